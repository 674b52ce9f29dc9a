"""What nbserver's steps look at on a Linux host that is set up, as a flat table of `name -> value` for the other contenders.

    access PATH      USER:GROUP MODE
    contents PATH    SHA-256 of the file
    package NAME     its version (dpkg)
    wheels FOLDER    names of the *.dist-info folders there, sorted, with spaces between
    user NAME        its line of /etc/passwd
    unit NAME        ActiveState and UnitFileState
    certificate FILE fingerprint, where it lasts for 30 days more
    port NUMBER      fingerprint of the certificate that it shows

A contender finds the values with its own means, compares all of them, and says `differs NAME` for each that is another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.ssh.hosts import PORT
from tests.boxes.linux.host import LinuxBox

ACCESS = (
    "/etc/nbserver",
    "/etc/nbserver/certificate.pem",
    "/etc/nbserver/jupyter_config.json",
    "/etc/nbserver/key.pem",
    "/etc/nbserver/serve.py",
    "/var/lib/nbserver",
    "/var/lib/nbserver/notebooks",
    "/var/lib/nbserver/state",
    "/var/lib/nbserver/work",
)
UNIT = "nbserver.service"
CONTENTS = ("/etc/nbserver/certificate.cnf", "/etc/nbserver/jupyter_config.json", "/etc/nbserver/serve.py", f"/etc/systemd/system/{UNIT}")
PACKAGES = ("openssl", "python3", "python3-venv")
USER = "nbserver"
CERTIFICATE = "/etc/nbserver/certificate.pem"
DIFFERS = re.compile(r'differs: ([a-z]+ [^\s",\\]+)')  # Ansible shows a text as JSON

Table = Mapping[str, str]

# The commands that are the same for each contender; what they print is `... Fingerprint=AA:BB:...`.
LASTS = f"openssl x509 -in {CERTIFICATE} -noout -fingerprint -sha256 -checkend 2592000"
SHOWN = f"timeout 10 openssl s_client -connect 127.0.0.1:{PORT} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"


def read_table(host: LinuxBox) -> Table:
    """The values of one host that is set up, read once, in one connection."""
    environment = "/opt/nbserver/env-*"
    parts = (
        f"stat --format='%n %U:%G %a' {' '.join(ACCESS)}",
        f"sha256sum {' '.join(CONTENTS)} {environment}/nbserver.lock",
        f"dpkg-query --show --showformat='${{Package}} ${{Version}}\\n' {' '.join(PACKAGES)}",
        f"cd {environment}/lib/python3.*/site-packages && pwd && ls -d *.dist-info",
        f"getent passwd {USER}",
        f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}",
        LASTS,
        SHOWN,
    )
    answers = host.ssh("; echo ----; ".join(parts)).stdout.split("----\n")
    access, contents, packages, wheels, user, unit, lasts, shown = (answer.splitlines() for answer in answers)
    table = {f"access {path}": rest for path, _, rest in (line.partition(" ") for line in access)}
    table |= {f"contents {path}": digest for digest, path in (line.split() for line in contents)}
    table |= {f"package {name}": version for name, version in (line.split() for line in packages)}
    table |= {f"wheels {wheels[0]}": " ".join(sorted(wheels[1:])), f"user {USER}": user[0], f"unit {UNIT}": " ".join(unit)}
    table |= {f"certificate {CERTIFICATE}": lasts[0].partition("=")[2], f"port {PORT}": shown[0].partition("=")[2]}
    assert all(table.values()), f"{host.name} is set up"
    return table


def of_kind(table: Table, kind: str) -> list[str]:
    """The second words of the names of that kind, in the table's order."""
    return [name.partition(" ")[2] for name in table if name.partition(" ")[0] == kind]


def all_wrong(table: Table) -> Table:
    """The same names, each with a value that no host has."""
    return {name: f"{value}x" for name, value in table.items()}


def named_as_different(output: str) -> set[str]:
    """Of what a contender printed: the names that it found to differ."""
    return set(DIFFERS.findall(output))


def missed(table: Table, output: str) -> list[str]:
    """Names whose wrong value went unnoticed, in the output of a run with `all_wrong`."""
    return sorted(table.keys() - named_as_different(output))
