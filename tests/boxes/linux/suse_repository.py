"""Signed RPM repositories of small packages, built with rpmbuild, createrepo_c and gpg."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.boxes.linux.suse_packages import Package, Patch

SIGNER = "Stand-in Repository <repository@example.invalid>"
PROGRAMS = {"rpmbuild": "rpm", "rpmsign": "rpm", "createrepo_c": "createrepo-c", "modifyrepo_c": "createrepo-c", "gpg": "gnupg"}


class Workshop:
    """A folder with a signing key of its own, in which packages are built; `with` ends its key agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "repository.asc"
        keys = folder / "gnupg"
        keys.mkdir(mode=0o700, parents=True)
        self._environment = {**os.environ, "GNUPGHOME": str(keys), "LC_ALL": "C"}
        self._gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", SIGNER, "rsa2048", "sign", "never")
        self._gpg("--armor", "--output", str(self.key), "--export", SIGNER)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._run("gpgconf", "--kill", "all")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}")

    def _gpg(self, *arguments: str) -> None:
        self._run("gpg", "--batch", "--yes", "--quiet", *arguments)

    def package(self, package: Package, into: Path) -> Path:
        """Builds and signs a package. Gives the .rpm."""
        spec = self.folder / f"{package.name}.spec"
        spec.write_text(_spec(package))
        self._run("rpmbuild", "--quiet", "--define", f"_topdir {self.folder}", "--define", f"_rpmdir {into}", "-bb", str(spec))
        (file,) = into.glob(f"noarch/{package.name}-{package.version}-1.noarch.rpm")
        # Debian's rpm does not know where gpg is
        self._run("rpmsign", "--define", "__gpg /usr/bin/gpg", "--define", f"_gpg_name {SIGNER}", "--addsign", str(file))
        return file

    def repository(self, folder: Path, packages: tuple[Package, ...], patches: tuple[Patch, ...] = ()) -> None:
        """Makes a signed repository of these packages and patches."""
        folder.mkdir(parents=True)
        for package in packages:
            self.package(package, folder)
        self._run("createrepo_c", "--quiet", str(folder))
        if patches:
            updates = self.folder / "updateinfo.xml"
            updates.write_text(_updates(patches))
            self._run("modifyrepo_c", "--mdtype=updateinfo", str(updates), str(folder / "repodata"))
        index = folder / "repodata" / "repomd.xml"
        self._gpg("--armor", "--local-user", SIGNER, "--detach-sign", str(index))
        shutil.copy(self.key, index.with_name("repomd.xml.key"))


def _spec(package: Package) -> str:
    mark = f"/usr/share/stand-in/{package.name}"
    lines = [
        f"Name: {package.name}",
        f"Version: {package.version}",
        "Release: 1",
        f"Summary: Stand-in for {package.name}",
        "License: MIT",
        "BuildArch: noarch",
        "AutoReqProv: no",
        *(f"Requires: {name}" for name in package.requires),
        *(f"Provides: {name}" for name in package.provides),
        "%description",
        "A stand-in.",
        "%install",
        f"mkdir -p %{{buildroot}}/usr/share/stand-in && echo {package.version} >%{{buildroot}}{mark}",
    ]
    for path, target in package.links.items():
        lines += [f"mkdir -p %{{buildroot}}$(dirname {path}) && ln -s {target} %{{buildroot}}{path}"]
    for path, text in package.scripts.items():
        lines += [f"mkdir -p %{{buildroot}}$(dirname {path})", f"cat >%{{buildroot}}{path} <<'END'", text + "END"]
    if package.post:
        lines += ["%post", package.post]
    lines += ["%files", mark, *package.links, *(f"%attr(0755, root, root) {path}" for path in package.scripts)]
    return "\n".join(lines) + "\n"


def _updates(patches: tuple[Patch, ...]) -> str:
    entries = "".join(
        f"""
 <update from="repository@example.invalid" status="stable" type="recommended" version="1">
  <id>{patch.name}</id><title>{patch.name}</title><release>Leap</release><issued date="1700000000"/>
  <severity>moderate</severity><description>A stand-in.</description><references/>
  <pkglist><collection short="leap"><name>Leap</name>
   <package name="{patch.package}" version="{patch.version}" release="1" epoch="0" arch="noarch">
    <filename>{patch.package}-{patch.version}-1.noarch.rpm</filename><{patch.asks}>1</{patch.asks}>
   </package>
  </collection></pkglist>
 </update>"""
        for patch in patches
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>{entries}\n</updates>\n'
