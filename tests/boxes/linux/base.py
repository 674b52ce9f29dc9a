"""Root folders that hosts are cloned from, made once and kept in the tests' cache.

A base is known by the hash of everything that makes it: this recipe's files, the mirror, the machine's own authorities. It
gets its name when it is complete, so a build that was cut off is never taken for one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.boxes.linux import folders
from tests.boxes.linux.lab import PROXY

PASSWORD = "correct horse 7 'battery'"  # of every user of a host; it is in no file of this machine but hashed
AUTHORITIES = Path("/usr/local/share/ca-certificates")  # a machine behind a proxy that opens TLS has its certificate here
PACKAGES = (
    "apt bash ca-certificates curl dbus iproute2 nftables openssh-server openssl procps python3 python3-venv sudo systemd "
    "systemd-sysv tar xz-utils"
).split()
USERS = {  # user -> a line for sudoers.d, or nothing
    "admin": "admin ALL=(ALL:ALL) NOPASSWD: ALL",
    "sudoer": "sudoer ALL=(ALL:ALL) ALL",
    "visitor": "",
}


@dataclass(frozen=True)
class Recipe:
    """How a base is made: Debian's packages, then `finish`, called with the root folder and a folder to work in."""

    name: str
    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
    finish: Callable[[Path, Path], None] | None = None
    sources: tuple[Path, ...] = field(default=())  # the files that `finish` is made of

    def digest(self) -> str:
        """12 hexadecimal digits that change when what is made would."""
        parts = [self.name, self.suite, *self.packages, *mirror(self.suite)]
        parts += [path.read_text("utf-8") for path in (Path(__file__), *self.sources, *sorted(AUTHORITIES.glob("*.crt")))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


DEBIAN = Recipe("debian")


@dataclass(frozen=True)
class LinuxBase:
    """A finished base: `root` is never changed or booted; `key` is the private key that root and every user accept."""

    name: str
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def key(self) -> Path:
        return self.folder / "key"


def mirror(suite: str) -> list[str]:
    """apt's lines for a Debian release, with the mirrors that this machine uses. Raises LookupError, CalledProcessError."""
    wanted = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", wanted, "Identifier: Packages"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    places: dict[str, str] = {}
    for uri, release, component in (line.split("|") for line in listed):
        if component == "main":
            places.setdefault(release, uri)
    if suite not in places:
        raise LookupError(f"apt's sources on this machine do not have Debian's {suite}")
    return [f"deb {places[name]} {name} main" for name in (suite, f"{suite}-updates", f"{suite}-security") if name in places]


def build(cache: Path, recipe: Recipe) -> LinuxBase:
    """The base of that recipe, from the cache or made now (half a minute). Raises CalledProcessError, LookupError."""
    bases = cache / "linux" / "bases"
    folder = bases / f"{recipe.name}-{recipe.digest()}"
    if not folder.is_dir():
        with folders.locked(bases / f"{recipe.name}.lock"):
            for unfinished in bases.glob(f"building-{recipe.name}-*"):
                folders.remove(unfinished)
            if not folder.is_dir():
                work = Path(tempfile.mkdtemp(dir=bases, prefix=f"building-{recipe.name}-"))
                work.chmod(0o755)
                _make(work, recipe)
                work.rename(folder)
    return LinuxBase(recipe.name, folder)


def _make(folder: Path, recipe: Recipe) -> None:
    root = folder / "root"
    packages = ",".join((*PACKAGES, *recipe.packages))
    _run(
        "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={packages}", recipe.suite, str(root), *mirror(recipe.suite)
    )
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / "key")], check=True)
    _configure_network(root)
    for name, sudo in USERS.items():
        _run("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", name)
        if sudo:
            rule = root / "etc" / "sudoers.d" / name
            rule.write_text(sudo + "\n")
            rule.chmod(0o440)
    for name in ("root", *USERS):
        _run("chroot", str(root), "chpasswd", text=f"{name}:{PASSWORD}\n")
        keys = root / ("root" if name == "root" else f"home/{name}") / ".ssh"
        keys.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(folder / "key.pub", keys / "authorized_keys")
        _run("chroot", str(root), "chown", "-R", f"{name}:{name}", "/" + str(keys.relative_to(root)))
    # A clone has host keys of its own, and no work at times of its own choosing
    for path in (root / "etc" / "ssh").glob("ssh_host_*"):
        path.unlink()
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"):
        _run("systemctl", f"--root={root}", "--quiet", "disable", timer)
    if recipe.finish:
        work = folder / "work"
        work.mkdir()
        recipe.finish(root, work)
        folders.remove(work)


def _configure_network(root: Path) -> None:
    """Nothing but the lab's proxy leads out, and there are no name servers."""
    (root / "etc/apt/apt.conf.d/90proxy").write_text(f'Acquire::http::Proxy "{PROXY}";\nAcquire::https::Proxy "{PROXY}";\n')
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    (root / "etc/pip.conf").write_text(f"[global]\nproxy = {PROXY}\ncert = {bundle}\n")
    for certificate in AUTHORITIES.glob("*.crt"):
        shutil.copy(certificate, root / "usr/local/share/ca-certificates")
    _run("chroot", str(root), "update-ca-certificates")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").touch()


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
