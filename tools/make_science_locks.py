"""Makes the locks of packages.set = "science", for each kind of host that has a lock of the notebook server.

    python tools/make_science_locks.py

Needs `uv`, which uses the package index and the certificates that it is configured for. The versions are those of the lock of
the notebook server, as far as they fit; `nbserver lock` resolves in the same way.

Look at the difference in git before committing: a new lock is new code on every host.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "installer"))

from nbserver.base.errors import NbserverError  # noqa: E402
from nbserver.catalog import reader  # noqa: E402
from nbserver.catalog.lock_kind import LockKind  # noqa: E402
from nbserver.catalog.package_request import PackageRequest  # noqa: E402
from nbserver.catalog.resolver import uv  # noqa: E402
from nbserver.commands import lock  # noqa: E402
from nbserver.inventory.package_choice import PackageChoice  # noqa: E402

FOLDER = ROOT / "installer" / "nbserver" / "catalog" / "data" / "locks" / "science"


def main() -> None:
    choice = PackageChoice.model_validate({"set": "science"})
    kinds = [LockKind.of("linux", "x64", None), LockKind.of("linux", "arm64", None)]
    kinds += [LockKind.of("windows", found.architecture, found.python) for found in reader.load().locks]
    for kind in kinds:
        job = lock.Job(FOLDER / kind.file_name, kind, PackageRequest.of(choice, kind), None, "", (str(kind),))
        try:
            written = lock.run([job], [], upgrade_all=False, uv=uv.find(), date=lock.today(), progress=print)
        except NbserverError as error:
            print(f"left out: {error}")
            continue
        lock.write(written)
        print("\n".join(lock.lines(written, check=False)))


if __name__ == "__main__":
    main()
