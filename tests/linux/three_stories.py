"""The three stories of Linux hosts, each from the first plan to the last undo, with what the tests look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests import browser, lesson
from tests.boxes.linux.base import PASSWORD
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import NETWORK
from tests.boxes.mirror import Mirror
from tests.linux.server_life import live
from tests.linux.story import Story, another_wheel, find_secrets, leave_foreign_configuration, move, password, run_by_hand
from tests.site import LinuxSite
from tests.tier import FULL

Fresh = Callable[[], LinuxBox]
INSTALL = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y"


def stand_in(host: LinuxBox, *packages: str) -> None:
    """Installs empty packages of these names. fonttools demands them, but no notebook needs them, nor the compilers that they demand."""
    fields = "Version: 99\nArchitecture: all\nMaintainer: test <test@example.com>\nDescription: stand-in"
    for package in packages:
        host.ssh("mkdir -p /tmp/stand-in/DEBIAN && cat >/tmp/stand-in/DEBIAN/control", text=f"Package: {package}\n{fields}\n")
        host.ssh("dpkg-deb --build /tmp/stand-in /tmp/stand-in.deb && dpkg --install /tmp/stand-in.deb && rm -r /tmp/stand-in*")


def debian(fresh: Fresh, mirror: Mirror, folder: Path) -> Iterator[Story]:
    """Debian 12, wheels, ufw."""
    with fresh() as host:
        host.ssh(f"{INSTALL} ufw && ufw allow 22/tcp && ufw --force enable && systemctl start ufw", timeout=1200)
        story = Story(LinuxSite(folder, host, mirror, notebook_password=password()))
        site = story.site
        leave_foreign_configuration(host)
        story.snapshot("before")
        story.nbserver("render", "render", "-o", "rendered")
        story.nbserver("plan", "plan")
        story.snapshot("planned")
        run_by_hand(story, "by hand before")
        story.nbserver("apply", "apply", "--approved", "rendered/manifest.json", watch=True)
        story.see("security", "systemd-analyze security --no-pager --threshold=15 nbserver.service")
        inside = "nsenter --mount --target=$(systemctl show --property=MainPID --value nbserver)"
        story.see("kernel's files", f"{inside} cat /proc/meminfo /proc/stat /proc/cpuinfo")
        story.see(
            "ways out", f"{inside} ls /run/dbus/system_bus_socket 2>&1; touch /dev/shm/host; {inside} ls -A /dev/shm; rm /dev/shm/host"
        )
        story.see("others' processes", f"{inside} setpriv --reuid=nbserver --regid=nbserver --clear-groups cat /proc/1/cmdline 2>/dev/null")
        story.see(
            "access", "cd /var/lib/nbserver && stat -c '%U:%G %a %n' /opt/nbserver . state work notebooks /etc/nbserver /etc/nbserver/*"
        )
        story.see("ufw", "ufw show added")
        story.nbserver("verify", "verify", "--png", "pictures", "--json")
        story.ask("without a password")
        if not browser.missing():
            story.open_in_chromium()
        story.nbserver("again", "apply", "--json")
        story.nbserver("status", "status", "--json")
        notebooks = story.host.root / "var/lib/nbserver/notebooks"
        story.lesson = lesson.there_and_back(site.run, site.folder, "lin1", notebooks)
        story.lesson["service"] = notebooks.stat().st_uid
        run_by_hand(story, "by hand")
        story.host.reboot()
        story.nbserver("verify after reboot", "verify", "--wait", "300", "--json")
        story.nbserver("plan after reboot", "plan")
        live(story)
        story.secret_files = find_secrets(story)
        move(story)
        story.nbserver("undo", "undo")
        story.snapshot("undone")
        story.nbserver("undo again", "undo", "--json")
        story.done["evidence"] = site.run("audit", "lin1", "--evidence", "--json", "-")
        site.write()
        yield story


def suse(fresh: Fresh, mirror: Mirror, folder: Path) -> Iterator[Story]:
    """The openSUSE-like host, wheels, sudo with a password, no firewall, and neither localhost nor its own name in /etc/hosts."""
    with fresh() as host:
        (host.root / "etc/hosts").write_text("")
        story = Story(LinuxSite(folder, host, mirror, user="sudoer", notebook_password=password()))
        story.site.secrets["SUDO_PASSWORD"] = PASSWORD
        story.site.settings["sudo_password.env"] = "SUDO_PASSWORD"
        story.site.write()
        story.snapshot("before")
        story.nbserver("plan", "plan")
        story.snapshot("planned")
        (folder / "wheel").mkdir()
        with another_wheel(mirror, "numpy", folder / "wheel"):
            story.nbserver("tampered", "apply")
        story.see("environment", "ls /opt/nbserver/env-*/nbserver.lock; systemctl is-enabled nbserver")
        story.nbserver("apply", "apply", watch=True)
        story.see("rpm", "rpm -qa --queryformat '%{NAME}\\n'")
        story.nbserver("verify", "verify", "--png", "pictures", "--json")
        if not browser.missing():
            story.open_in_chromium()
        story.nbserver("again", "apply", "--json")
        story.nbserver("status", "status", "--json")
        story.host.reboot()
        story.nbserver("verify after reboot", "verify", "--wait", "300", "--json")
        story.nbserver("plan after reboot", "plan")
        story.secret_files = find_secrets(story)
        story.nbserver("undo", "undo")
        story.snapshot("undone")
        yield story


def distribution(fresh: Fresh, mirror: Mirror, folder: Path) -> Iterator[Story]:
    """Debian 12, apt's packages, firewalld. In the first tier, two libraries that no notebook needs are empty."""
    with fresh() as host:
        host.ssh(f"{INSTALL} firewalld && firewall-cmd --state", timeout=1200)
        if not FULL:
            stand_in(host, "python3-scipy", "python3-sympy")
        story = Story(LinuxSite(folder, host, mirror, notebook_password=password()))
        story.site.settings.update(
            {
                "packages.source": "distribution",
                "packages.index_url": None,
                "firewall.remote_addresses": [f"{NETWORK}.0/24", "2001:db8::/32"],
            }
        )
        story.site.write()
        leave_foreign_configuration(host)
        story.snapshot("before")
        story.nbserver("plan", "plan")
        story.snapshot("planned")
        story.nbserver("apply", "apply", watch=True)
        for name, option in (("now", ""), ("permanent", "--permanent")):
            story.see(f"firewalld {name}", f"firewall-cmd {option} --list-rich-rules")
        story.nbserver("verify", "verify", "--png", "pictures", "--json")
        story.ask("without a password")
        story.nbserver("again", "apply", "--json")
        story.nbserver("status", "status", "--json")
        story.host.reboot()
        story.nbserver("verify after reboot", "verify", "--wait", "300", "--json")
        story.nbserver("plan after reboot", "plan")
        story.secret_files = find_secrets(story)
        story.nbserver("undo", "undo")
        story.snapshot("undone")
        yield story
