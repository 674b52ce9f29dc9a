"""Rendered folders that somebody changed in order to get them approved: each is refused, with exit code 5 and one clean message."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import audit
from nbserver.render.bash import literal
from tests import rendered_folders
from tests.checkout import SOURCE
from tests.rendered_folders import MANIFEST, forged, put
from tests.unit.approval.audited import PLAIN, files, linux_user, refused

__all__ = ["files", "linux_user"]


def test_what_was_rendered_passes(files: dict[str, bytes], linux_user: dict[str, bytes], tmp_path: Path) -> None:
    for kind in (files, linux_user, rendered_folders.windows_user()):
        assert [line for line in audit.audit(put(kind, tmp_path / "rendered")) if not PLAIN.fullmatch(line)] == []


# ---- foreign code in a script


def lines_before_body(text: str, new: str) -> str:
    """The script with lines between its lock and its body."""
    return text.replace("\n# ==== body", f"\n{new}\n# ==== body", 1)


@pytest.mark.parametrize("host", ["win1", "lin1"])
def test_a_line_break_in_the_hosts_name_does_not_end_the_comment(files: dict[str, bytes], tmp_path: Path, host: str) -> None:
    evil = f"{host}'\ntouch pwned\n# "

    def text(script: str) -> str:
        head, mark, rest = script.partition("\n\n" if host == "lin1" else "\nparam(")
        inside = json.dumps(evil).replace("'", "\\u0027")
        own = (f"NB_HOST='{host}'", f"NB_HOST={literal(evil, 'NB_HOST')}") if host == "lin1" else (f'"host": "{host}"', f'"host": {inside}')
        return head.replace(host, evil) + mark + rest.replace(*own, 1)

    message = refused(forged(files, host, text, lambda entry: entry["settings"].update(host=evil)), tmp_path)
    assert "manifest.json" in message and "host" in message


def test_the_name_of_a_setting_is_no_code(files: dict[str, bytes], tmp_path: Path) -> None:
    key = "ADOPT='';TOUCH PWNED;X"

    def text(script: str) -> str:
        return script.replace("NB_ARCHITECTURE=", f"NB_{key}='1'\nNB_ARCHITECTURE=", 1)

    message = refused(forged(files, "lin1", text, lambda entry: entry["settings"].update({key: 1})), tmp_path)
    assert "unknown key" in message


def with_lock(lines: list[str], start: str) -> tuple[Callable[[str], str], Callable[[dict[str, Any]], None]]:
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode("ascii")).hexdigest()

    def text(script: str) -> str:
        head, mark, rest = script.partition(start)
        tail = rest.partition(")\n\n# ==== body")
        old = re.findall(r'(?:LOCK_SHA256=|"lock_sha256": )["\']([0-9a-f]{64})', head)[0]
        changed = head.replace(old, digest).replace(f"-{old[:8]}\\\\", f"-{digest[:8]}\\\\") + mark
        return changed + "".join(f"    '{line}'\n" for line in lines) + "".join(tail[1:])

    def entry(values: dict[str, Any]) -> None:
        values["lock_sha256"] = values["settings"]["packages"]["lock_sha256"] = digest
        if "path" in values["settings"]:
            values["settings"]["path"]["entries"] = [
                f"%ProgramFiles%\\nbserver\\env-{values['settings']['python']['version']}-{digest[:8]}\\Scripts"
            ]

    return text, entry


@pytest.mark.parametrize(("host", "start"), [("win1", "$Lock = @(\n"), ("lin1", "LOCK=(\n")])
def test_a_lock_line_is_no_code(files: dict[str, bytes], tmp_path: Path, host: str, start: str) -> None:
    assert "lock" in refused(forged(files, host, *with_lock(["pkg==1' $(touch pwned) 'z"], start)), tmp_path)


@pytest.mark.parametrize(("host", "start"), [("win1", "$Lock = @(\n"), ("lin1", "LOCK=(\n")])
def test_a_foreign_lock_is_refused(files: dict[str, bytes], tmp_path: Path, host: str, start: str) -> None:
    assert "lock" in refused(forged(files, host, *with_lock([f"numpy==9.9.9 --hash=sha256:{'0' * 64}"], start)), tmp_path)


def test_a_lock_of_another_python_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    other = (SOURCE / "nbserver" / "catalog" / "data" / "locks" / "windows-x64-python3.12.txt").read_text("ascii")
    lines = sorted(line for line in other.splitlines() if line and not line.startswith("#"))
    assert "lock" in refused(forged(files, "win1", *with_lock(lines, "$Lock = @(\n")), tmp_path)


@pytest.mark.parametrize("host", ["win1", "lin1"])
@pytest.mark.parametrize("new", ["touch pwned\n", "# a comment\n", "\r\n", "\0", "\u00e9\n", "\n"])
def test_nothing_stands_between_lock_and_body(files: dict[str, bytes], tmp_path: Path, host: str, new: str) -> None:
    refused(forged(files, host, lambda text: lines_before_body(text, new)), tmp_path)


@pytest.mark.parametrize("host", ["win1", "lin1"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "touch pwned\n",
        lambda text: text + "\n",
        lambda text: text + "\0",
        lambda text: text + "\x1a",
        lambda text: text[:-1],
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: "\n" + text,
        lambda text: text.replace("# ==== body", "# ==== body\n# ==== body", 1),
        lambda text: text + text,
        lambda text: "",
    ],
)
def test_every_byte_of_a_script_counts(files: dict[str, bytes], tmp_path: Path, host: str, change: Callable[[str], str]) -> None:
    refused(forged(files, host, change), tmp_path)


# ---- settings which the body would take for something else


def with_setting(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def entry(values: dict[str, Any]) -> None:
        *above, last = path.split(".")
        table = values["settings"]
        for key in above:
            table = table[key]
        table[last] = value

    return entry


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("notebook.port", "a[$(touch pwned)]"),
        ("notebook.port", "9999"),
        ("notebook.port", True),
        ("notebook.port", 10**15),
        ("certificate.days", "a[$(touch pwned)]"),
        ("certificate.days", -1),
        ("notebook.directory", "/srv/../etc/sudoers.d"),
        ("notebook.directory", "/srv/a\nExecStart=/bin/sh"),
        ("notebook.directory", "notebooks"),
        ("notebook.ip", "*\n"),
        ("notebook.ip", "localhost"),
        ("firewall.remote_addresses", []),
        ("firewall.remote_addresses", ["any"]),
        ("certificate.names", ["DNS:*.example.com"]),
        ("certificate.names", ["LIN1.example.com"]),
        ("python.program", "/tmp/evil"),
        ("scope", "user"),
        ("service.memory_max", "90%\nExecStart=/bin/sh"),
        ("service.memory_max", None),
        ("service.tasks_max", True),
        ("skip", ["preflight"]),
        ("packages.index_url", "https://anna:secret@mirror.example.com/simple/"),
        ("packages.index_url", "file:///tmp/packages"),
        ("downloads.mirror", "https://mirror.example.com"),
        ("downloads.source", "mirror"),
        ("downloads.source", "cache"),
        ("architecture", "x64 "),
        ("system", "windows"),
        ("release", "9.9.9"),
    ],
)
def test_a_setting_that_no_inventory_gives_is_refused(files: dict[str, bytes], tmp_path: Path, path: str, value: Any) -> None:
    names = path.replace(".", "_").upper()
    shown = (
        f"( {' '.join(literal(item, 'x') for item in value)} )"
        if isinstance(value, list) and value
        else "()"
        if value == []
        else literal(value, "x")
    )

    def text(script: str) -> str:
        head, mark, rest = script.partition("LOCK=(\n")
        return re.sub(rf"^NB_{names}=.*$", lambda _: f"NB_{names}={shown}", head, flags=re.MULTILINE) + mark + rest

    message = refused(forged(files, "lin1", text, with_setting(path, value)), tmp_path)
    assert path.split(".")[0] in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("openssl.executable", ["%TEMP%\\evil.exe"]),
        ("openssl.url", "https://mirror.example.com/other.msi"),
        ("python.sha256", "0" * 64),
        ("python.kind", "zip"),
        ("vc_redist", None),
        ("openssl", None),
        ("notebook.directory", "C:\\"),
        ("path.entries", ["C:\\tools;C:\\evil"]),
        ("path.programs", False),
        ("certificate.thumbprint", "0" * 40),
        ("certificate.source", "store"),
        ("scope", "user"),
        ("windows", "95"),
        ("adopt", 1),
    ],
)
def test_a_windows_setting_that_no_inventory_gives_is_refused(files: dict[str, bytes], tmp_path: Path, path: str, value: Any) -> None:
    content = json.loads(files[MANIFEST])
    entry = content["hosts"]["win1"]
    with_setting(path, value)(entry)
    if path != "path.programs":  # it is what an inventory with these entries gives; the report shows it

        def text(script: str) -> str:
            start, _, rest = script.partition("ConvertFrom-Json '\n")
            end = rest.partition("\n'\n")[2]
            from nbserver.render.powershell import settings_block

            return start + settings_block(entry["settings"]).removeprefix("$Settings = ").rstrip("\n") + "\n" + end

        def change(values: dict[str, Any]) -> None:
            values["settings"] = entry["settings"]
            values["downloads"] = [
                {"name": name, **{key: entry["settings"][name][key] for key in ("version", "url", "size", "sha256")}}
                for name in ("python", "vc_redist", "openssl")
                if entry["settings"][name]
            ]

        message = refused(forged(files, "win1", text, change), tmp_path)
        assert ("openssl" if path == "scope" else path.split(".")[0]) in message  # in user scope there is no OpenSSL
