"""Which hosts are validated, and what hosts share."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory.reader import load, load_for
from nbserver.settings.faults import MOST

DEFAULTS = '[defaults]\nsystem = "linux"\nuser = "anna"\nnotebook.password = { prompt = true }\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "nbserver.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path, *patterns: str) -> str:
    with pytest.raises(InventoryError) as error:
        load_for(path, patterns)
    return str(error.value).replace(f"{path}:", "")


def many(count: int, broken: str = "") -> str:
    names = ", ".join(f'"h{number}"' for number in range(count))
    hosts = "".join(f'[hosts.h{number}]\naddress = "h{number}.example.com"\n{broken}' for number in range(count))
    return f"{DEFAULTS}[groups.every]\nhosts = [{names}]\n{hosts}"


def test_the_settings_of_other_hosts_are_not_checked(tmp_path: Path) -> None:
    path = write(tmp_path, f'{DEFAULTS}[hosts.good]\naddress = "a"\n[hosts.bad]\nadress = "a"\n')
    assert list(load_for(path, ["good"]).hosts) == ["good"]
    assert "8: [hosts.bad] unknown key" in refusal(path, "bad") and "8: [hosts.bad] unknown key" in refusal(path, "*")
    with pytest.raises(InventoryError, match=r":8: \[hosts.bad\] unknown key"):
        load(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[hosts.GOOD]\naddress = "b"\n', "name is already used by hosts.good on line 5"),
        ('[hosts."no name"]\naddress = "b"\n', "a name must have 1 to 100 characters"),
        ('[groups.lab]\nhosts = ["goood"]\n', 'entry 1 is not the name of a host (did you mean "good"?); known hosts: good'),
        ('[groups.lab]\nhosts = ["good", "Good"]\n', '"Good" is listed twice'),
        ('[groups.lab]\nhosts = []\nport = "22"\n', "port: expected a number, found text"),
        ("[hosts]\nbad = 1\n", "hosts: expected a [hosts.NAME] table"),
    ],
)
def test_names_groups_and_what_hosts_share_are_always_checked(tmp_path: Path, text: str, fault: str) -> None:
    text = (
        f'{DEFAULTS}[hosts.good]\naddress = "a"\n{text}'
        if not text.startswith("[hosts]")
        else f'{DEFAULTS}{text}[hosts.good]\naddress = "a"\n'
    )
    path = write(tmp_path, text)
    assert fault in refusal(path, "good")
    assert fault in refusal(path, "unknown"), "the errors of the file come first"


def test_a_shared_reference_is_one_object(tmp_path: Path) -> None:
    text = f'{DEFAULTS}[hosts.a]\naddress = "a"\n[hosts.b]\naddress = "b"\n'
    text += '[hosts.c]\naddress = "c"\nnotebook.password = { prompt = true }\n'
    text += '[groups.g]\nhosts = ["b", "c"]\npassword = { file = "secret" }\n'
    hosts = load(write(tmp_path, text)).hosts
    assert hosts["a"].notebook.password is hosts["b"].notebook.password
    assert hosts["a"].notebook.password is not hosts["c"].notebook.password
    assert hosts["a"].notebook.password == hosts["c"].notebook.password
    assert hosts["b"].password is hosts["c"].password is not None  # type: ignore[union-attr]


def test_a_typo_does_not_list_all_hosts(tmp_path: Path) -> None:
    path = write(tmp_path, many(500))
    assert refusal(path, "h499x").endswith(
        '(did you mean "h499"?). Known hosts: h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, and 490 more. Known groups: every'
    )


def test_many_errors_are_counted(tmp_path: Path) -> None:
    found = refusal(write(tmp_path, many(MOST + 20, "port = 0\n")), "every").splitlines()
    assert len(found) == MOST + 1 and found[-1].startswith("more errors in ") and found[-1].endswith(", not shown: 20")
    contradiction = refusal(write(tmp_path, many(20).replace('user = "anna"\n', 'user = "anna"\nagent = false\n')), "every")
    assert "h8, h9, and 10 more)" in contradiction


def test_one_of_many_hosts_is_read_quickly(tmp_path: Path) -> None:
    path = write(tmp_path, many(3000))

    def seconds(read: object) -> float:
        begin = time.process_time()
        assert callable(read)
        read()
        return time.process_time() - begin

    parsing = min(seconds(lambda: tomllib.loads(path.read_text("utf-8"))) for _ in range(3))
    assert min(seconds(lambda: load_for(path, ["h7"])) for _ in range(3)) < 4 * parsing
