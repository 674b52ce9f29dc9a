"""The key that an SSH server may show, as the inventory has it: a fingerprint, or a public key."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic.json_schema import WithJsonSchema

from nbserver.settings.refusal import refuse

_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")


def public_host_key(text: str) -> str:
    """Return a fingerprint in the format of OpenSSH, or a public key as `TYPE BASE64`.

    Also accepted are whole lines of `ssh-keygen -l` (`256 SHA256:... comment (ED25519)`) and of `ssh-keyscan` (`host ssh-ed25519 AAAA...`).
    """
    words = text.split()
    fingerprint = next((word for word in words[:2] if word.startswith("SHA256:")), "")
    if re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", fingerprint) and (words[0] == fingerprint or words[0].isdigit()):
        return fingerprint.rstrip("=")
    if any(re.fullmatch(r"(MD5:)?([0-9a-f]{2}:){15}[0-9a-f]{2}", word) for word in words):
        raise refuse("host-key-md5", "an MD5 fingerprint is not secure; run ssh-keygen -l without -E md5")
    if words and words[0] in ("@revoked", "@cert-authority"):
        raise refuse("host-key-marker", "must be the host's own key, without a marker such as @cert-authority")
    if len(words) > 1 and _KEY_TYPE.fullmatch(words[1]) and not _KEY_TYPE.fullmatch(words[0]):
        words = words[1:]
    if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]):
        raise refuse("host-key-malformed", "must be a fingerprint (SHA256:...) or a public key")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise refuse("host-key-not-base64", "the key is not valid Base64; copy the entire line from the public key file") from None
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != words[0].encode():
        raise refuse("host-key-type-differs", "the key type does not match the key data; copy the entire line from the public key file")
    return " ".join(words[:2])


HostKey = Annotated[
    str, AfterValidator(public_host_key), WithJsonSchema({"type": "string", "pattern": "(SHA256:|[a-z0-9@.-]+ )[A-Za-z0-9+/]+"})
]
HOST_KEY = 'a fingerprint (SHA256: and 43 characters), a public key such as "ssh-ed25519 AAAA...", or a line that ssh-keygen -l or ssh-keyscan prints'
