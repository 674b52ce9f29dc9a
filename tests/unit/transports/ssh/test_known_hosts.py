"""What is read from a known_hosts file, as OpenSSH reads it, and what is said about the rest."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path, PureWindowsPath

import pytest

from nbserver.base.errors import ConnectError, HostKeyError
from nbserver.inventory import reader
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.ssh_server import SshServer
from nbserver.run import host_job
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.transports.ssh import host_keys, known_hosts
from nbserver.transports.ssh.host_keys import HostKeys
from nbserver.transports.ssh.known_hosts import parse
from nbserver.transports.transport import Transport
from nbserver.view.plain_lines import PlainLines

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMmIyO5YvncxrzJB3RjIhhuY42gEs3XPlMNC2EQXdafN"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
NAME = "ubuntu1.example.com"
GOOD = f"{NAME} {KEY}\n".encode()
SALT = b"salt"
HASHED = f"|1|{base64.b64encode(SALT).decode()}|{base64.b64encode(hmac.new(SALT, NAME.encode(), hashlib.sha1).digest()).decode()}"


def host(**settings: object) -> LinuxHost:
    least = {"name": "l1", "system": "linux", "address": NAME, "user": "anna", "notebook": {"password": {"env": "N"}}}
    return LinuxHost.model_validate(least | settings)


def found(data: bytes, name: str = NAME, port: int = 22) -> tuple[int, int, int]:
    """The numbers of the host's trusted keys, authorities, and revoked keys."""
    keys, authorities, revoked = parse(data).keys(name, port)
    return len(keys), len(authorities), len(revoked)


BAD = {
    "one word": b"=======\n",
    "a Latin-1 name": "j\u00e9r\u00f4me\n".encode("latin-1"),
    "an unknown marker": f"@nonsense * {KEY}\n".encode(),
    "two markers": f"@revoked @cert-authority * {KEY}\n".encode(),
    "a marker alone": b"@revoked\n",
    "a key of SSH 1": b"ubuntu1.example.com 1024 35 1234567890\n",
    "a key that was cut off": f"{NAME} {KEY[:-8]}\n".encode(),
    "a key that is missing": f"{NAME} ssh-ed25519\n".encode(),
    "a kind that does not exist": f"{NAME} ssh-nonsense {KEY.split()[1]}\n".encode(),
    "another kind than in the key": f"{NAME} ssh-rsa {KEY.split()[1]}\n".encode(),
    "another hash": f"|2|AAAA|AAAA {KEY}\n".encode(),
    "a hash that was cut off": f"|1|AAAA {KEY}\n".encode(),
    "a byte that is zero": b"ubuntu1\0 x y\n",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_line_that_cannot_be_read_is_skipped_and_named(bad: str) -> None:
    """At the beginning, in the middle, and at the end, where it may have no line end."""
    junk = BAD[bad]
    for data, number in ((junk + GOOD, 1), (GOOD + junk + GOOD, 2), (GOOD + junk.rstrip(b"\n"), 2)):
        assert list(parse(data).skipped) == [number], data
        assert found(data)[0] == data.count(GOOD)


READ = {
    "a Latin-1 comment": f"{NAME} {KEY} j\u00e9r\u00f4me@home\n".encode("latin-1"),
    "U+2028 in a comment": f"{NAME} {KEY} a\u2028b\n".encode(),
    "other line ends of Unicode in a comment": f"{NAME} {KEY} a\u0085b\x0bc\x0cd\x1ce\n".encode(),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "the line ends of Windows": GOOD.replace(b"\n", b"\r\n"),
    "tabs and blanks": f" \t{NAME}\t {KEY.replace(' ', '  ')} \n".encode(),
    "comments and empty lines": b"# comment\n\n \t\n" + GOOD,
    "upper case": GOOD.replace(NAME.encode(), b"Ubuntu1.Example.COM"),
    "a pattern": f"x,*.EXAMPLE.com,!ubuntu2* {KEY}\n".encode(),
    "a hashed name": f"{HASHED} {KEY}\n".encode(),
    "UTF-16, appended": f"other {OTHER}\r\n".encode() + f"{NAME} {KEY}\r\n".encode("utf-16-le"),
    "UTF-16, and UTF-8 after it": f"other {OTHER}\r\n".encode("utf-16-le") + GOOD,
    "UTF-16, with a character that has a byte like LF": f"other {OTHER} \u0a0d\u0d0a\r\n{NAME} {KEY}\r\n".encode("utf-16-le"),
    "UTF-16, appended to a line without an end": f"other {OTHER}".encode() + f"a b\r\n{NAME} {KEY}\r\n".encode("utf-16-le"),
    "UTF-16 with a mark": f"other {OTHER}\r\n{NAME} {KEY}\r\n".encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + f"{NAME} {KEY}\r\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("form", READ)
def test_what_is_read(form: str) -> None:
    assert found(READ[form]) == (1, 0, 0)
    assert found(READ[form], "ubuntu3.elsewhere") == (0, 0, 0)
    assert bool(parse(READ[form]).utf16) == form.startswith("UTF-16")


def test_names_are_compared_without_case_also_where_they_forbid() -> None:
    assert found(f"@revoked *.Example.COM {KEY}\n".encode()) == (0, 0, 1)
    assert found(f"@REVOKED * {KEY}\n".encode()) == (0, 0, 0), "a marker has its case, as in OpenSSH"
    assert found(f"*,!UBUNTU1.* {KEY}\n".encode()) == (0, 0, 0)
    assert found(f"@cert-authority\t*.EXAMPLE.com {KEY}\n".encode()) == (0, 1, 0)
    assert found(f"@revoked [Ubuntu1.example.com]:2222 {KEY}\n{NAME} {KEY}\n".encode(), port=2222) == (1, 0, 1)
    assert found(f"[ubuntu1.example.com]:2222 {KEY}\n{NAME} {OTHER}\n{NAME} {KEY}\n".encode(), port=2222) == (1, 0, 0)
    assert found(GOOD, port=2222) == (1, 0, 0), "an entry without a port"
    assert found(f"10.0.0.0/8,[x] {KEY}\n".encode(), "10.1.2.3") == (0, 0, 0), "no networks, no sets of characters"


def test_a_fleet_finds_its_lines_without_comparing_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each host of a fleet has a line. Their order, and lines with patterns between them, still count."""
    lines = [f"web{number}.example.com,[web{number}.example.com]:2222 {KEY}\n" for number in range(50)]
    data = "".join([f"*.example.com {OTHER}\n", *lines, f"@revoked *7.example.com {KEY}\n"]).encode()
    compared = list[str]()
    is_for = known_hosts.Entry.is_for
    monkeypatch.setattr(known_hosts.Entry, "is_for", lambda entry, name: compared.append(name) or is_for(entry, name))  # type: ignore[func-returns-value]
    known = parse(data)
    kinds = [key.export_public_key().decode().split()[1] for key in known.keys("web8.example.com", 22)[0]]
    assert kinds == [OTHER.split()[1], KEY.split()[1]]
    assert tuple(map(len, known.keys("web7.example.com", 2222))) == (1, 0, 1)
    assert len(compared) == 8


def test_what_is_said_about_a_file(tmp_path: Path) -> None:
    """Once, although two hosts use it; nothing about a file that does not matter."""
    file = tmp_path / "known_hosts"
    one = host(known_hosts=str(file))
    assert host_job.warnings([one]) == []
    file.write_bytes(GOOD + BAD["one word"] * 12 + f"{NAME} {KEY}\r\n".encode("utf-16-le"))
    said = [str(warning) for warning in host_job.warnings([one, one])]
    assert said == [
        f"{file}: these lines are invalid and were skipped: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 (and 2 more). Correct or remove them",
        f"{file}: these lines are in UTF-16, which ssh cannot read: 14. Save the file as UTF-8; "
        "in Windows PowerShell, append with Add-Content instead of >>",
    ]
    assert host_job.warnings([host(known_hosts=None, host_key="SHA256:" + "A" * 43)]) == []


def test_a_user_without_a_home_folder_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container; a pinned key needs none."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert host_job.warnings([host()]) == []
    assert HostKeys(host(host_key="SHA256:" + "A" * 43)).choices() and HostKeys(host()).choices()


def test_a_file_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    one = host(known_hosts=str(tmp_path))
    assert host_job.warnings([one]) == []
    with pytest.raises(HostKeyError, match=r"l1: could not read .*: Is a directory\. Make sure that it is a file"):
        known_hosts.read(one)


def refusal(monkeypatch: pytest.MonkeyPatch, platform: str, file: str, data: bytes) -> str:
    """What is said about a host that shows another key than the one in the file."""
    monkeypatch.setattr(host_keys.sys, "platform", platform)
    monkeypatch.setattr(known_hosts, "read", lambda host: parse(data))
    keys = HostKeys(host(port=2222).model_copy(update={"known_hosts": PureWindowsPath(file) if platform == "win32" else Path(file)}))
    keys.shown = parse(f"x {OTHER}\n".encode()).entries[0].key
    return str(keys.refusal(""))


def test_the_advice_works_in_the_shell_of_the_workstation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows PowerShell 5.1 would write UTF-16 with >>, and cmd does not know single quotes."""
    scan = f"ssh-keyscan -t ed25519 -p 2222 {NAME}"
    remove = f"ssh-keygen -R '[{NAME}]:2222' -f"
    assert refusal(monkeypatch, "linux", "/home/a b/known", b"").endswith(f"or run: {scan} >> '/home/a b/known'")
    assert refusal(monkeypatch, "linux", "/home/a/known", GOOD).endswith(f"remove the old key with: {remove} /home/a/known")
    remove = remove.replace("'", '"')
    assert refusal(monkeypatch, "win32", r"C:\a\known", b"").endswith(
        f"or run in PowerShell: {scan} | Add-Content -Encoding Ascii C:\\a\\known"
    )
    assert refusal(monkeypatch, "win32", r"C:\a b\known", GOOD).endswith(f'remove the old key with: {remove} "C:\\a b\\known"')
    assert refusal(monkeypatch, "win32", r"C:\it's $1\known", GOOD).endswith(f"{remove} 'C:\\it''s $1\\known'")


def test_the_advice_for_a_host_behind_jump_hosts_asks_the_last_of_them() -> None:
    """The workstation does not reach the host."""
    hops = [SshServer("first", "192.0.2.1", "anna"), SshServer("second", "2001:db8::2", "john smith", 2222)]
    for count, begin in ((1, "ssh anna@192.0.2.1 "), (2, "ssh -J anna@192.0.2.1:22 -p 2222 'john smith@2001:db8::2' ")):
        keys = HostKeys(host(), hops[:count])
        keys.shown = parse(f"x {OTHER}\n".encode()).entries[0].key
        assert f"or run: {begin}ssh-keyscan -t ed25519 {NAME} >> " in str(keys.refusal(""))


def test_a_run_warns_once_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "known").write_bytes(BAD["one word"] + GOOD)
    least = 'system = "linux"\naddress = "l"\nuser = "root"\nknown_hosts = "known"\nnotebook.password = { prompt = true }\n'
    (tmp_path / "nbserver.toml").write_text(f"[hosts.l1]\n{least}[hosts.l2]\n{least}")

    def connect(host: LinuxHost, *given: object) -> Transport:
        raise ConnectError("ssh-nothing-listening", "{place} refused the connection", host=host.name, place="l:22")

    monkeypatch.setattr("nbserver.transports.connect.connect_to", connect)
    monkeypatch.setattr(host_job, "_password", lambda *given: None)
    monkeypatch.setattr(host_job, "_needs", lambda *given: [])
    loaded = reader.load(tmp_path / "nbserver.toml")
    results = operate("test", loaded, loaded.select(["l1", "l2"]), Options(), None, PlainLines(lambda line: None))
    assert {result.outcome for result in results.values()} == {"unreachable"}
    line = f"nbserver: warning: {tmp_path / 'known'}: these lines are invalid and were skipped: 1. Correct or remove them\n"
    assert capsys.readouterr().err == line


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists instead of modes")
def test_a_file_that_others_may_write_decides_nothing(tmp_path: Path) -> None:
    """They could add the key of a server of their own."""
    file = tmp_path / "known_hosts"
    file.write_bytes(GOOD)
    one = host(known_hosts=str(file))
    assert known_hosts.read(one).keys(NAME, 22)[0]
    for place, mode in ((file, 0o666), (tmp_path, 0o777)):
        place.chmod(mode)
        with pytest.raises(HostKeyError, match=r"l1: every user can write to .*known_hosts or its folder\. Remove this write access"):
            known_hosts.read(one)
        place.chmod(0o700)
