"""A Debian host before an installation, what the installation leaves there, and how that gets onto another Debian host."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.boxes.linux.host import LinuxBox

SETTINGS: dict[str, Any] = {"notebook.directory": "/srv/notebooks", "firewall.remote_addresses": ["198.51.100.0/24", "2001:db8::/32"]}
UNIT = "etc/systemd/system/nbserver.service"
# With all that is in them. Of the environment, only what identifies it is kept.
TREES = f"etc/nbserver etc/ufw/user.rules etc/ufw/user6.rules {UNIT} var/lib/nbserver/state opt/nbserver/env-*/nbserver.lock"
FOLDERS = "var/lib/nbserver var/lib/nbserver/work srv/notebooks opt/nbserver opt/nbserver/env-*"
PREPARE = f"""\
set -e
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq purge -y --autoremove python3-venv ufw+
ufw allow 22/tcp
ufw --force enable
systemctl start ufw
mkdir -m 755 /srv/notebooks
echo mine >/srv/notebooks/mine.txt
chown -R admin:admin /srv/notebooks
mkdir -m 711 /etc/nbserver
echo theirs >/etc/nbserver/jupyter_config.json
chmod 604 /etc/nbserver/jupyter_config.json
cat >/{UNIT} <<END
[Service]
ExecStart=/bin/sleep infinity

[Install]
WantedBy=multi-user.target
END
systemctl enable nbserver.service
"""


def prepare(host: LinuxBox) -> None:
    """Creates what an installation finds: a unit and a configuration of the same names, a folder of a user, ufw, and no venv."""
    host.ssh("bash -s", text=PREPARE)


def keep(host: LinuxBox, target: Path) -> None:
    """Copies to `target` what the installation left: files, a list of them (mode, owner, time, path), and the account."""
    shutil.rmtree(target, ignore_errors=True)
    names = sorted(set(host.ssh(f"cd / && find {TREES}; ls -d {FOLDERS}").stdout.split()))
    for name in names:
        copy = target / "host" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (host.root / name).is_dir():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copyfile(host.root / name, copy)
    (target / "files.txt").write_text(host.ssh(f"cd / && stat -c '%a %U:%G %.9Y %n' {' '.join(names)}").stdout)
    (target / "accounts.txt").write_text(host.ssh("cd /etc && grep -H ^nbserver: passwd group shadow gshadow").stdout)


def put(host: LinuxBox, state: Path) -> None:
    """Puts what `keep` has kept onto a host that `prepare` prepared. The environment is empty, so the server does not run."""
    record = [json.loads(line) for line in (state / "host/var/lib/nbserver/state/record.jsonl").read_text().splitlines()]
    packages = " ".join(line["key"].removeprefix("apt ") for line in record if line["kind"] == "packages")
    host.ssh(f"DEBIAN_FRONTEND=noninteractive apt-get -qq install -y {packages}")
    for line in (state / "accounts.txt").read_text().splitlines():
        file, _, account = line.partition(":")
        with (host.root / "etc" / file).open("a") as accounts:
            accounts.write(f"{account}\n")
    access = []
    for line in (state / "files.txt").read_text().splitlines():
        mode, owner, time, name = line.split(" ", 3)
        if (state / "host" / name).is_file():
            shutil.copyfile(state / "host" / name, host.root / name)
        else:
            (host.root / name).mkdir(parents=True, exist_ok=True)
        access.append(f"chown {owner} /{name}; chmod {mode} /{name}; touch -d @{time} /{name}")
    host.ssh(
        "bash -s", text="\n".join(["set -e", *access, "systemctl daemon-reload", "systemctl enable nbserver.service", "ufw reload", ""])
    )
