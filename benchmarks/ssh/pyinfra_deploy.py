"""What pyinfra runs for each host: its own facts, one command on the host each, compared with the host's table."""

from pyinfra import host
from pyinfra.api.exceptions import DeployError
from pyinfra.facts.deb import DebPackages
from pyinfra.facts.files import Directory, File, Sha256File
from pyinfra.facts.server import Command
from pyinfra.facts.systemd import SystemdEnabled, SystemdStatus

FOLDERS = {"/etc/nbserver", "/var/lib/nbserver", "/var/lib/nbserver/notebooks", "/var/lib/nbserver/state", "/var/lib/nbserver/work"}
# What has no fact of its own; each prints a line that the value is in.
COMMANDS = host.data.commands

should = host.data.should
found = {}
versions = None
for name in should:
    kind, what = name.split(" ", 1)
    if kind == "access":
        facts = host.get_fact(Directory if what in FOLDERS else File, path=what)
        found[name] = f"{facts['user']}:{facts['group']} {facts['mode']}" if facts else ""
    elif kind == "contents":
        found[name] = host.get_fact(Sha256File, path=what)
    elif kind == "package":
        versions = versions or host.get_fact(DebPackages)
        found[name] = " ".join(versions.get(what, ()))
    elif kind == "unit":
        runs = host.get_fact(SystemdStatus, services=[what]).get(what)
        starts = host.get_fact(SystemdEnabled, services=[what]).get(what)
        found[name] = f"{'active' if runs else 'inactive'} {'enabled' if starts else 'disabled'}"
    elif kind == "wheels":
        found[name] = " ".join((host.get_fact(Command, COMMANDS[name]) or "").split())
    else:
        text = host.get_fact(Command, COMMANDS[name]) or ""
        found[name] = text.splitlines()[0].partition("=")[2] if kind in ("certificate", "port") and text else text

wrong = [name for name, value in should.items() if found[name] != value]
if wrong:
    raise DeployError(f"{host.name}: " + "\n".join(f"differs: {name}" for name in wrong))
