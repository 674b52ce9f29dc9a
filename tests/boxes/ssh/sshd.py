"""sshd on 127.0.0.1 with host keys, users' keys and a configuration of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.ports import free_port

SSHD = "/usr/sbin/sshd"
PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd does not start without it; Debian's service makes it


def missing() -> str:
    """What keeps such a host from being made here, or an empty text."""
    if os.name != "posix" or os.geteuid() != 0:
        return "an SSH host needs root on Linux, to make a user"
    for program, package in ((SSHD, "openssh-server"), ("sudo", "sudo"), ("ssh-keygen", "openssh-client"), ("useradd", "passwd")):
        if not shutil.which(program):
            return f"an SSH host needs {program} (Debian package {package})"
    return ""


class Sshd:
    """A running server; `close` ends it. `options` are lines of its configuration, which stand before the others and so win."""

    def __init__(self, folder: Path, user: str, authorized: Path, options: Sequence[str] = (), keys: Sequence[str] = ("ed25519",)) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(mode=0o755)
        self.host_keys = {kind: make_key(folder / f"host_{kind}", kind) for kind in keys}
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        lines = [
            *options,
            *(f"HostKey {key}" for key in self.host_keys.values()),
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"AuthorizedKeysFile {authorized}",
            "StrictModes no",  # the folders above are not the user's
            f"AllowUsers {user} root",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication yes",
            "KbdInteractiveAuthentication no",
            "UsePAM yes",
            f"PidFile {folder / 'pid'}",
            "LogLevel VERBOSE",
        ]
        (folder / "config").write_text("\n".join(lines) + "\n")
        self.log = folder / "log"
        self._process = subprocess.Popen([SSHD, "-D", "-f", folder / "config", "-E", self.log])
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self._process.poll() is None, f"sshd did not start: {self.log.read_text()}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"sshd does not listen: {self.log.read_text()}")

    def fingerprint(self, kind: str = "ed25519") -> str:
        """As ssh-keygen prints it."""
        printed = subprocess.run(["ssh-keygen", "-lf", self.host_keys[kind]], capture_output=True, text=True, check=True).stdout
        return printed.split()[1]

    def public_key(self, kind: str = "ed25519") -> str:
        """The line of the .pub file, without its comment."""
        return " ".join(self.host_keys[kind].with_suffix(".pub").read_text().split()[:2])

    def close(self) -> None:
        """Ends it; sessions that are open go on."""
        self._process.terminate()
        self._process.wait(600)


def make_key(path: Path, kind: str = "ed25519", password: str = "", options: Sequence[str] = ()) -> Path:
    """A private key in `path`, and its public one beside it."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", password, "-C", "test", "-f", path, *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


class User:
    """An account of this machine with a password; sudo rules are given to it and taken again."""

    def __init__(self, name: str, password: str) -> None:
        self.name, self.password = name, password
        self.home = Path(tempfile.mkdtemp(prefix="nbserver-ssh-"))
        self.home.chmod(0o755)
        self._sudoers, self._pam = Path("/etc/sudoers.d") / name, Path("/etc/pam.d") / name
        subprocess.run(["useradd", "--no-create-home", "--home-dir", self.home, "--shell", "/bin/bash", name], check=True)
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
        self.authorized = self.home / "authorized_keys"
        self.authorized.touch(mode=0o644)
        self.key = make_key(self.home / "key")
        self.authorize(self.key)
        shutil.chown(self.home, name)

    def authorize(self, key: Path) -> None:
        """Lets a key in, beside those before."""
        with self.authorized.open("a") as file:
            file.write(key.with_suffix(".pub").read_text())

    def sudo(self, *rules: str) -> None:
        """The account's rules for sudo; none removes them. %u is its name."""
        self._sudoers.unlink(missing_ok=True)
        if rules:
            text = "".join(f"{rule.replace('%u', self.name)}\n" for rule in rules)
            checked = subprocess.run(["visudo", "-cf", "-"], input=text, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            self._sudoers.touch(mode=0o440)
            self._sudoers.write_text(text)

    def shell(self, program: str) -> None:
        """The account's login shell."""
        subprocess.run(["usermod", "--shell", program, self.name], check=True)

    def expires(self, *, account: bool = False, password: bool = False) -> None:
        """Whether the account or its password has expired."""
        when = ["--expiredate", "0" if account else "-1", "--lastday", "0" if password else "2026-01-01"]
        subprocess.run(["chage", *when, self.name], check=True)

    def pam(self, *lines: str) -> str:
        """A PAM service of the account's own, for `Defaults pam_service=`: its name. Without lines, it is removed."""
        self._pam.unlink(missing_ok=True)
        if lines:
            self._pam.write_text("".join(f"{line}\n" for line in lines))
        return self._pam.name

    def close(self) -> None:
        """Removes the account and what it has."""
        self.sudo()
        self.pam()
        subprocess.run(["userdel", "--force", self.name], check=True, capture_output=True)  # its last session may just be ending
        shutil.rmtree(self.home, ignore_errors=True)
