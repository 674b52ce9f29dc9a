"""What an exported file carries: the script, taken out as an auditor would."""

from __future__ import annotations

import base64
import gzip
import re

BASE64 = re.compile(r"^(?:launch .* <<'END'|Start-Packed .* @')\n([A-Za-z0-9+/=\n]+)^(?:END|'@)\n\Z", re.MULTILINE)


def unpacked(launched: str) -> bytes:
    """The bytes of the script that is packed into a launched file, which ends with it."""
    found = BASE64.search(launched)
    assert found, launched[:200]
    return gzip.decompress(base64.b64decode(found[1]))
