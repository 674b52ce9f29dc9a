"""Data stays data: settings, arguments and text files, on their way through the real engine."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbserver.base.errors import NbserverError
from nbserver.render.powershell import becomes_date, lock_block, settings_block, texts
from tests.boxes.windows_command_line import split_arguments
from tests.powershell.engine import EngineError, Session, command, host_path, prelude, require_engine

NASTY = [
    "'",
    '"',
    "''",
    "\u2018",
    "\u2019",
    "\u201c",
    "\u201d",
    "\u201e",
    "`",
    "`n",
    "$",
    "$(exit)",
    "${x}",
    "$env:PATH",
    "@'",
    "'@",
    '@"',
    '"@',
    "\n'@\n",
    "\n'\n",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\x1a",
    "\x1b[0m",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\ufffe",
    "#",
    "<#",
    "#>",
    ";",
    "|",
    "&",
    "%",
    "\\",
    "\\u0027",
    "\\'",
    "--%",
    "{0}",
    "{",
    "}",
    "\u00e9",
    "\u65e5\u672c",
    "\U0001f600",
    "e\u0301",
    "/",
    "</S>",
    "_x000A_",
    "null",
    "1e5",
]
pieces = st.sampled_from(NASTY) | st.text(max_size=4)
nasty = st.lists(pieces, max_size=6).map("".join)
dates = st.from_regex(
    r"\A\s?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,7})?)?(Z|[+-][0-9]{2}:[0-9]{2})?\Z"
) | st.from_regex(r"\A/Date\(-?[0-9]{1,13}\)/\Z")
plain = (nasty | dates).filter(lambda text: not becomes_date(text))
many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "events", "envelope", "part_data", "record", "files", "programs"))
        yield opened


def echo(session: Session, block: str) -> list[str]:
    """The texts that a settings block of {"texts": [...]} has on the host."""
    return session.run(block + "foreach ($text in $Settings.texts) { $text }")


# ---- settings


@many
@given(st.lists(plain, min_size=1, max_size=5))
@example(["".join(NASTY)])
@example(["'@\n'; exit; @'", "$(throw 1)", "`u{27}"])
def test_every_text_survives(session: Session, values: list[str]) -> None:
    block = settings_block({"texts": values})
    assert block.isascii() and all(char == "\n" or char.isprintable() for char in block)
    assert block.count("'") == 2
    assert echo(session, block) == values


def test_a_very_long_text_survives(session: Session) -> None:
    long = "\u65e5'\n" * 100_000
    assert echo(session, settings_block({"texts": [long]})) == [long]


@many
@given(
    st.recursive(
        plain.map(str) | st.booleans() | st.none() | st.integers(-(2**31), 2**31 - 1),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v, max_size=3),
        max_leaves=6,
    )
)
def test_every_value_survives(session: Session, value: Any) -> None:
    block = settings_block({"texts": {"value": value}})
    (out,) = session.run(block + "ConvertTo-Json $Settings.texts -Compress -Depth 20")
    assert json.loads(out) == {"value": value}


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+09:00", "/Date(1700000000000)/"])
def test_a_text_like_a_date_is_refused_because_the_engine_would_change_it(session: Session, text: str) -> None:
    with pytest.raises(NbserverError, match=r"the setting notebook\.directory looks like a date"):
        settings_block({"notebook": {"directory": text}})
    block = f"$Settings = ConvertFrom-Json '{json.dumps({'texts': [text]})}'\n"
    major = int(session.run("[string]$PSVersionTable.PSVersion.Major")[0])
    if major < 6:
        assert echo(session, block) == [text]
    else:
        with pytest.raises(EngineError, match="something that is no text"):
            echo(session, block)


@many
@given(dates)
def test_a_date_is_refused_or_stays_a_text(session: Session, text: str) -> None:
    try:
        block = settings_block({"texts": [text]})
    except NbserverError:
        return
    assert echo(session, block) == [text]


@many
@given(st.lists(plain, max_size=4))
def test_the_same_settings_give_the_same_bytes(values: list[str]) -> None:
    first = {"b": values, "a": {"z": 1, "y": values}}
    assert settings_block(first) == settings_block(dict(reversed(first.items())))
    assert [text for _, text in texts(first)] == values * 2


# ---- the lock


def test_the_lock_is_data(session: Session) -> None:
    lines = ("one==1.0 --hash=sha256:" + "0" * 64, "two==2.0+x! --hash=sha256:" + "a" * 64 + " --hash=sha256:" + "b" * 64)
    assert session.run(lock_block(lines) + "$Lock") == list(lines)


@given(nasty)
def test_no_other_line_gets_into_the_lock(text: str) -> None:
    line = "one==1.0 --hash=sha256:" + "0" * 64
    for wrong in {text, line + text, text + line, line.replace("1.0", f"1.0{text}")} - {line}:
        try:
            block = lock_block((wrong,))
        except NbserverError:
            continue
        assert block == f"$Lock = @(\n    '{wrong}'\n)\n\n" and wrong.isascii() and not set(wrong) & set("'\n\r`$\"")


# ---- arguments of programs

arguments = st.lists(
    st.lists(st.sampled_from(["\\", "\\\\", '"', " ", "\t", "a", "'", "%PATH%", "^", "&", "\u00e9", "\u65e5"]), max_size=6).map("".join)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    min_size=1,
    max_size=6,
)
TRAILING = [
    "",
    " ",
    "\\",
    "a\\",
    "a b\\",
    "a b\\\\",
    'a"b',
    'a\\"b',
    '\\"',
    '"',
    "C:\\Program Files\\",
    "\u65e5 \u672c",
    "a\tb",
    "a\nb",
    "--x=%PATH%",
    "'a b'",
]


@many
@given(arguments)
@example(TRAILING)
def test_arguments_arrive_as_they_are(session: Session, values: list[str]) -> None:
    """Cut by the rules that Microsoft documents for programs' arguments."""
    (line,) = session.run("@(@($input) | ForEach-Object { Format-Argument $_ }) -join ' '", values)
    assert split_arguments(line) == values


def test_a_real_program_gets_them(session: Session, tmp_path: Path) -> None:
    """The documented rules are those by which a program on Windows really gets its arguments."""
    echo_arguments = tmp_path / "arguments.ps1"
    echo_arguments.write_text(
        "foreach ($argument in [Environment]::GetCommandLineArgs()) { 'argument ' + [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($argument)) }\n",
        "ascii",
    )
    _, *options = command("session.ps1")
    script = (
        "$StateFolder = [Environment]::SystemDirectory\n"
        "$lines = @($input)\n"
        "Invoke-Program ([Diagnostics.Process]::GetCurrentProcess().MainModule.FileName) $lines\n"
        "Get-Said"
    )
    given_arguments = [*options[:-1], host_path(echo_arguments), *TRAILING]
    events = [json.loads(line) for line in session.run(script, given_arguments)]
    words = [event["text"].removeprefix("argument ") for event in events if event["text"].startswith("argument ")]
    got = [base64.b64decode(word).decode("utf-16-le") for word in words]
    assert got[-len(TRAILING) :] == TRAILING


# ---- text files

WRITE = "$lines = @($input); $Secrets.Clear(); if ($lines[2]) { $Secrets['x'] = $lines[2] }\n"


@many
@given(nasty.filter(lambda text: not text.startswith("\ufeff")), nasty)
@example("ab", "a\u00adb")
@example("caf\u00e9", "cafe\u0301")
@example("ab", "a\0b")
def test_a_text_file_holds_these_bytes_and_no_more(
    session: Session, tmp_path_factory: pytest.TempPathFactory, text: str, other: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "text-file"
    # The first example makes the file, the others replace it.
    script = (
        WRITE
        + "Write-TextFile $lines[0] $lines[1]; [string](Test-TextFile $lines[0] $lines[1]); [string](Test-TextFile $lines[0] $lines[3])"
    )
    same, another = session.run(script, [host_path(file), text, "", other])
    assert file.read_bytes() == text.encode("utf-8")
    assert not file.with_name("text-file.new").exists()
    assert (same, another) == ("True", str(text == other))


@many
@given(
    st.lists(st.sampled_from(["a", "@x@", "@y@", "@", "x", "$1", "\n"]), max_size=5).map("".join),
    st.sampled_from(["@x@", "$&", "s\u00e9cret", "'\"`$\\"]),
)
def test_a_secret_stands_where_its_name_stood(session: Session, tmp_path_factory: pytest.TempPathFactory, text: str, secret: str) -> None:
    file = tmp_path_factory.getbasetemp() / "secret-file"
    script = WRITE + "Write-TextFile $lines[0] $lines[1] 'x'; [string](Test-TextFile $lines[0] $lines[1] 'x')"
    assert session.run(script, [host_path(file), text, secret]) == ["True"]
    assert file.read_bytes() == text.replace("@x@", secret).encode("utf-8")


def test_without_the_secret_everything_around_it_is_compared(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "configuration"
    file.write_bytes(b'{"password": "argon2:1"}\n')
    test = WRITE + "[string](Test-TextFile $lines[0] $lines[1] 'x')"
    assert session.run(test, [host_path(file), '{"password": "@x@"}\n', ""]) == ["True"]
    assert session.run(test, [host_path(file), '{"password": "@x@"}', ""]) == ["False"]
    assert session.run(test, [host_path(file), '{"Password": "@x@"}\n', ""]) == ["False"]
    assert session.run(test, [host_path(file), '{"password": "@x@"}\n', "argon2:1"]) == ["True"]
    assert session.run(test, [host_path(file), '{"password": "@x@"}\n', "argon2:2"]) == ["False"]
    assert session.run(test, [host_path(tmp_path / "none"), "@x@", ""]) == ["False"]
