"""A Windows host in a box that nbserver has set up, so that a further apply finds nothing to change."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.conftest import LOCK
from tests.ports import free_port
from tests.site import Site

PREPARED = "prepared.json"


@dataclass(frozen=True)
class PreparedHost:
    """The host, its WinRM endpoint (HTTPS, Negotiate with NTLM) and the site whose inventory names it."""

    host: WindowsBox
    endpoint: Endpoint
    site: Site
    folder: Path


@contextlib.contextmanager
def prepared_host(folder: Path) -> Iterator[PreparedHost]:
    """The host in `folder`, made there (about two minutes) if there is none; the folder stays.

    Raises LookupError (something that a host in a box needs is missing) and RuntimeError (nbserver could not set it up).
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix, note = folder / "prefix", folder / PREPARED
    known = json.loads(note.read_text(encoding="utf-8")) if note.exists() else None
    if known is None and prefix.exists():
        raise LookupError(f"{folder} holds a host that was not finished; remove the folder, or name another one")
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(WindowsBox(prefix) if known else WindowsBox.create(prefix))
        known = known or {"notebook_port": free_port(), "notebook_password": secrets.token_hex(12)}
        password = secrets.token_hex(12)
        endpoint = stack.enter_context(host.endpoint(auth=["negotiate"], https=True, password=password))
        mirror = stack.enter_context(Mirror(LOCK))
        (folder / "site").mkdir(exist_ok=True)
        site = Site(
            folder / "site",
            endpoint,
            mirror,
            port=known["notebook_port"],
            windows_password=password,
            notebook_password=known["notebook_password"],
        )
        host.scheduler.boot()  # the notebook server of a host that was prepared before
        _set_up(site)
        note.touch(0o600)
        note.write_text(json.dumps(known), encoding="utf-8")
        yield PreparedHost(host, endpoint, site, folder)


def _set_up(site: Site) -> None:
    print("setting up the host with nbserver ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    done = site.run("apply", "win1")
    if done.returncode:
        raise RuntimeError(f"nbserver could not set up the host:\n{done.stdout}{done.stderr}")
    print(f"... done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
