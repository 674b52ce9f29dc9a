"""Exports for cloud-init, Ansible, Intune, and Group Policy: what they carry, and what they refuse."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
from typing import Any

import pytest
from jinja2 import Environment, Template

from nbserver.base.errors import UsageError
from nbserver.export import ansible, cloud_init, windows_management
from nbserver.export.exported import Exported
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.script import Script
from tests.unit.export.unpacked import unpacked

CODE = "".join(f"# {hashlib.sha256(str(number).encode()).hexdigest()}\n" for number in range(200))  # about 7 KB packed
OWN: tuple[dict[str, str], ...] = ({}, {"nbserver_mode": "undo"})
URL = "https://files.example.com/{file}?a='b'"


class Host:
    name = "a"


HOST: Any = Host()


def script(extension: str) -> Script:
    return Script("a", (CODE,), {}, (), hashlib.sha256(CODE.encode()).hexdigest(), "", extension)


def test_user_data_is_compressed_if_it_would_not_fit() -> None:
    (plain,) = cloud_init.exported(HOST, script("sh"), limit=65_536, hash_command="cat /h")
    assert unpacked(plain.data.decode()) == CODE.encode() and plain.size < 65_536
    (small,) = cloud_init.exported(HOST, script("sh"), limit=plain.size - 1, hash_command="cat /h")
    assert small.size < plain.size and gzip.decompress(small.data) == plain.data
    with pytest.raises(UsageError, match=r"a: the user data is [0-9]+ bytes long after compression, but the limit is 2000 bytes"):
        cloud_init.exported(HOST, script("sh"), limit=2000, hash_command="cat /h")


def test_user_data_that_fetches_the_script_has_its_hash() -> None:
    data, code = cloud_init.exported(HOST, script("sh"), limit=65_536, hash_command="cat /h", url=URL)
    assert data.size < 3000 and code.data == CODE.encode() and code.name == "a.sh"
    last = data.data.decode().splitlines()[-1]
    assert last.endswith(f"| launch apply {code.script_sha256} 'cat /h'") and "a.sh?a='\"'\"'b'\"'\"'" in last


def test_the_script_is_fetched_again_if_the_server_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    answers: list[Any] = [OSError("refused"), http.client.IncompleteRead(b""), io.BytesIO(b"script")]
    pauses: list[int] = []

    def urlopen(url: str, timeout: int) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr("sys.argv", ["-c", "https://files.example.com/a.sh"])
    exec(cloud_init._FETCH, {})
    assert capsysbinary.readouterr().out == b"script" and pauses == [5, 15]
    answers[:] = [OSError("refused")] * 4
    with pytest.raises(SystemExit, match="1"):
        exec(cloud_init._FETCH, {})
    out, err = capsysbinary.readouterr()
    assert (out, err.count(b"could not fetch the script: refused"), answers) == (b"", 4, [])


def test_a_url_with_other_letters_is_written_in_ascii() -> None:
    found = cloud_init.checked(limit=1, hash_command="", url="https://b\u00fccher.example.com/{file}")
    assert found["url"] == "https://xn--bcher-kva.example.com/{file}"
    data, _ = cloud_init.exported(HOST, script("sh"), limit=65_536, hash_command="", url=found["url"])
    assert b"https://xn--bcher-kva.example.com/a.sh" in data.data


@pytest.mark.parametrize("url", ["file:///etc/x", "https://user@example.com/{file}", "example.com"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is not a valid URL"):
        cloud_init.checked(limit=1, hash_command="", url=url)


def test_several_hosts_do_not_fetch_the_script_of_one() -> None:
    files = [Exported(f"{name}.user-data", b"", name) for name in ("a", "a", "b")]
    assert list(cloud_init.different(URL)(files)) == list(cloud_init.different("")(files)) == files
    one = cloud_init.different("https://files.example.com/nbserver.sh")
    assert list(one(files[:2])) == files[:2]
    with pytest.raises(UsageError, match="the same for several hosts"):
        list(one(files))


def test_a_play_has_the_hosts_of_its_system() -> None:
    files = {file.name: file for name in ("ps1", "sh") for file in ansible.with_play(ansible.exported(HOST, script(name)))}
    assert set(files) == {"files/a.ps1", "files/a.sh", "hosts.json", "nbserver-linux.yml", "nbserver-windows.yml"}
    both = [*ansible.exported(HOST, script("sh")), *ansible.exported(HOST, script("ps1"))]
    hosts = next(json.loads(file.data) for file in ansible.with_play(both) if file.name == "hosts.json")
    for system, extension in (("linux", "sh"), ("windows", "ps1")):
        found = hosts["all"]["children"][f"nbserver_{system}"]["hosts"]["a"]
        assert found == {"nbserver_script": f"files/a.{extension}", "nbserver_sha256": hashlib.sha256(CODE.encode()).hexdigest()}
        play = files[f"nbserver-{system}.yml"].data.decode("ascii")
        assert f"hosts: nbserver_{system}\n" in play and "no_log: true" in play
        (mode,) = [line.strip() for line in play.splitlines() if line.strip().startswith("mode ")]
        ways = {is_check: [Template(mode).render(ansible_check_mode=is_check, **own) for own in OWN] for is_check in (True, False)}
        assert ways == {True: ["mode test"] * 2, False: ["mode apply", "mode undo"]}, "a dry run changes nothing, whatever the site has set"


@pytest.mark.parametrize("extension", ["sh", "ps1"])
def test_a_line_end_after_the_hash_in_a_vault_does_no_harm(extension: str) -> None:
    """`nbserver hash-password HOST | ansible-vault encrypt_string` puts one there."""
    play = [*ansible.with_play(ansible.exported(HOST, script(extension)))][-1].data.decode("ascii")
    (line,) = [line.strip() for line in play.splitlines() if line.strip().startswith("secret ")]
    environment = Environment()
    environment.filters["b64encode"] = lambda text: base64.b64encode(text.encode()).decode()
    assert environment.from_string(line).render(nbserver_password_hash="argon2:a\n").endswith(base64.b64encode(b"argon2:a").decode())


def test_intune_gets_a_pair_within_its_limit() -> None:
    detect, remediate = windows_management.intune(HOST, script("ps1"), hash_file=r"C:\h")
    assert (detect.name, remediate.name) == ("a.detect.ps1", "a.remediate.ps1")
    assert b"Start-Packed 'test'" in detect.data and b"Start-Packed 'apply'" in remediate.data and rb"'C:\h'" not in detect.data
    assert unpacked(detect.data.decode()) == unpacked(remediate.data.decode()) == CODE.encode()
    text = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(6000))
    large = Script("a", (text,), {}, (), hashlib.sha256(text.encode()).hexdigest(), "", "ps1")
    with pytest.raises(UsageError, match=r"is [0-9]+ bytes long, but the limit is 204800 bytes \(Intune script\)"):
        windows_management.intune(HOST, large, hash_file=r"C:\h")


def windows_host(windows: str | None) -> WindowsHost:
    given = {"name": "a", "system": "windows", "address": "a", "windows": windows, "notebook": {"password": {"prompt": True}}}
    return WindowsHost.model_validate(given)


def test_intune_for_windows_server_is_a_warning() -> None:
    for windows in ("2012r2", "2022", "2025"):
        said = windows_management.intune_warning(windows_host(windows))
        assert said and f'only on Windows 10 and 11, but the host has windows = "{windows}"' in str(said)
    for host in (windows_host("10"), windows_host("11"), windows_host(None), LocalWindowsHost()):
        assert windows_management.intune_warning(host) is None


def test_a_startup_script_has_its_own_log() -> None:
    (found,) = windows_management.gpo(HOST, script("ps1"), hash_file=r"C:\h", log=r"%SystemRoot%\Logs\a.log")
    assert rb"'C:\h' '%SystemRoot%\Logs\a.log' @'" in found.data and unpacked(found.data.decode()) == CODE.encode()
