"""Every script that can run on a Windows host, read by PowerShell's own parser and held against our rules.

PowerShell 7 runs the tests, Windows PowerShell 3.0 to 5.1 the scripts: what 7 would let pass is a rule here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbserver.render.powershell import head
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, SCOPES, STEPS, read_body
from nbserver.review.script_scan import deletions, program_calls
from tests import golden
from tests.powershell import (
    rules_commands,
    rules_culture,
    rules_effects,
    rules_framework,
    rules_language,
    rules_readable,
    rules_secrets,
    rules_structure,
)
from tests.powershell.engine import STEP_FILES, require_engine
from tests.powershell.findings import Profiles, Rule, Scripts, command_name, member_name, static_call
from tests.powershell.syntax import ParsedScript, parse
from tests.powershell.violations import EXAMPLES, NAME

BOOTSTRAP = STEP_FILES / "bootstrap.ps1"  # no part of a script; steps/windows/test_bootstrap.py reads it
SSH_BOOTSTRAP = STEP_FILES / "ssh-bootstrap.ps1"  # nor this: steps/windows/test_ssh_bootstrap.py
LAUNCHER = STEP_FILES / "launcher.ps1"  # the same: steps/windows/test_launcher.py
REMOTING = STEP_FILES / "enable-remoting.ps1"  # nor this, which runs before nbserver can reach a host
COMMANDS_VARIABLE = "NBSERVER_TEST_POWERSHELL_COMMANDS"
VERSIONS = ("3.0", "4.0", "5.1")
RULES: dict[str, Rule] = {
    rule.__name__: rule
    for module in (
        rules_language,
        rules_commands,
        rules_culture,
        rules_effects,
        rules_secrets,
        rules_structure,
        rules_readable,
        rules_framework,
    )
    for rule in module.RULES
}
NEEDS_PROFILES = {rule.__name__ for rule in rules_commands.NEEDS_PROFILES | rules_effects.NEEDS_PROFILES}
FOR_FILES_ONLY = {"a_step_file_has_one_step_of_its_name", *(rule.__name__ for rule in rules_readable.FOR_FILES_ONLY)}


@dataclass(frozen=True, repr=False)
class Parsed:
    """`keeps` and `breaks` are the examples of each rule, parsed."""

    bodies: dict[str, Scripts]  # by scope: the files in a body, in their order
    heads: dict[str, Scripts]  # by scope: what is before a body
    rendered: Scripts
    remoting: Scripts
    keeps: dict[str, ParsedScript]
    breaks: dict[tuple[str, str], ParsedScript]


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    """The rendered scripts of two Windows hosts."""
    return [script for script in golden.scripts() if script.extension == "ps1"]


@pytest.fixture(scope="module")
def parsed(scripts: list[Script]) -> Parsed:
    """Everything that this module looks at, from one run of the engine."""
    require_engine()
    files = [(name, (STEP_FILES / name).read_bytes().decode("utf-8")) for name in sorted({*body_files("machine"), *body_files("user")})]
    heads = [(f"head of scope {scope}", head_of(scope)) for scope in SCOPES]
    user = read_body("ps_scripts", "user").text
    rendered = [*((script.file_name, script.text) for script in scripts), ("user.ps1", head_of("user") + user)]
    keeps = [(rule, example) for rule, (example, _) in EXAMPLES.items()]
    breaks = [(rule, example) for rule, (_, examples) in EXAMPLES.items() for example in examples]
    remoting = [(REMOTING.name, REMOTING.read_text("ascii"))]
    trees, aliases = parse([*files, *heads, *rendered, *remoting, *((NAME, text + "\n") for _, text in keeps + breaks)])
    tree = iter(trees)
    profiles = _profiles()
    parsed_files = {name: next(tree) for name, _ in files}
    return Parsed(
        bodies={scope: Scripts([parsed_files[name] for name in body_files(scope)], aliases, profiles) for scope in SCOPES},
        heads={scope: Scripts([next(tree)], aliases, profiles) for scope in SCOPES},
        rendered=Scripts([next(tree) for _ in rendered], aliases, profiles),
        remoting=Scripts([next(tree)], aliases, profiles),
        keeps={rule: next(tree) for rule, _ in keeps},
        breaks={key: next(tree) for key in breaks},
    )


def body_files(scope: str) -> list[str]:
    return [
        *(f"prelude/{name}.ps1" for name in PRELUDE["ps_scripts", scope]),
        *(f"steps/{name}.ps1" for name in STEPS["ps_scripts", scope]),
        "main.ps1",
    ]


def head_of(scope: str) -> str:
    return head({"host": "win1", "scope": scope}, ("a==1 --hash=sha256:" + "0" * 64,), read_body("ps_scripts", scope))


def _profiles() -> Profiles:
    folder = os.environ.get(COMMANDS_VARIABLE, "")
    if not folder:
        return {}
    found = {}
    for version in VERSIONS:
        commands = json.loads((Path(folder) / f"{version}.json").read_text("utf-8"))
        found[version] = {name.lower(): frozenset(p.lower() for p in command["parameters"]) for name, command in commands.items()}
    return found


def _require_profiles(rule: str, scripts: Scripts) -> None:
    if rule in NEEDS_PROFILES and not scripts.profiles:
        pytest.skip(f"this needs {COMMANDS_VARIABLE}: the folder with the commands of PowerShell {', '.join(VERSIONS)}")


def _assert_none(findings: Iterable[str]) -> None:
    found = list(findings)
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rule", RULES)
def test_the_files_keep_the_rule(parsed: Parsed, rule: str, scope: str) -> None:
    files = parsed.bodies[scope]
    _require_profiles(rule, files)
    if rule == "every_variable_is_assigned":  # the settings block and the parameters are in the head
        files = Scripts([*files.files, *parsed.heads[scope].files], files.aliases, files.profiles)
    _assert_none(RULES[rule](files))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_body_defines_every_function_that_it_calls(parsed: Parsed, scope: str) -> None:
    known = {name for body in parsed.bodies.values() for name in body.functions}
    body = parsed.bodies[scope]
    called = {(command_name(command).lower(), command.place) for command in body.commands()}
    assert [f"{place}: {name}" for name, place in sorted(called) if name in known and name not in body.functions] == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in FOR_FILES_ONLY])
def test_rendered_scripts_keep_the_rule(parsed: Parsed, rule: str) -> None:
    _require_profiles(rule, parsed.rendered)
    for script in parsed.rendered.files:
        _assert_none(RULES[rule](Scripts([script], parsed.rendered.aliases, parsed.rendered.profiles)))


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"a_file_says_first_what_it_does"}))  # its head is for the person who runs it
def test_the_script_that_enables_remoting_keeps_the_rule(parsed: Parsed, rule: str) -> None:
    _require_profiles(rule, parsed.remoting)
    assert not parsed.remoting.files[0].errors
    _assert_none(RULES[rule](parsed.remoting))


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, (_, texts) in EXAMPLES.items() for text in texts])
def test_the_rule_catches(parsed: Parsed, rule: str, text: str) -> None:
    _require_profiles(rule, parsed.bodies["machine"])
    found = list(RULES[rule](Scripts([parsed.breaks[rule, text]], parsed.bodies["machine"].aliases, parsed.bodies["machine"].profiles)))
    assert found
    assert all(re.match(rf"{re.escape(NAME)}:[0-9]+: .", line) for line in found)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_lets_pass(parsed: Parsed, rule: str) -> None:
    _require_profiles(rule, parsed.bodies["machine"])
    example = parsed.keeps[rule]
    assert not example.errors
    _assert_none(RULES[rule](Scripts([example], parsed.bodies["machine"].aliases, parsed.bodies["machine"].profiles)))


def test_every_rule_has_examples() -> None:
    assert set(EXAMPLES) == set(RULES)
    assert all(texts for _, texts in EXAMPLES.values())


def test_a_finding_names_file_and_line(parsed: Parsed) -> None:
    example = parsed.breaks["ascii_with_line_feeds", "'a'\r\n'b'"]
    assert list(RULES["ascii_with_line_feeds"](Scripts([example], frozenset(), {}))) == [f"{NAME}:1: the character U+000D"]


def test_steps_stand_in_the_order_of_step_files(parsed: Parsed) -> None:
    for script in parsed.rendered.files:
        scope = "user" if script.name == "user.ps1" else "machine"
        assert rules_structure.step_names(Scripts([script], frozenset(), {})) == list(read_body("ps_scripts", scope).steps)


def test_every_file_stands_in_a_script() -> None:
    machine, user = set(body_files("machine")), set(body_files("user"))
    for folder, names in (("machine", machine - user), ("user", user - machine)):
        assert {name for name in names if name.split("/")[1] != folder} == set(), f"a part of one scope is in its folder, {folder}"
    listed = machine | user
    assert {
        path.relative_to(STEP_FILES).as_posix()
        for path in STEP_FILES.rglob("*")
        if path.is_file() and path not in (BOOTSTRAP, SSH_BOOTSTRAP, LAUNCHER, REMOTING)
    } == listed


def test_the_files_stand_in_a_script_word_for_word(scripts: list[Script]) -> None:
    for scope, text in (("machine", scripts[0].text), ("user", read_body("ps_scripts", "user").text)):
        for name in body_files(scope):
            assert (STEP_FILES / name).read_bytes().decode("ascii") in text


def test_the_body_is_the_same_for_every_host(scripts: list[Script]) -> None:
    first_line = (STEP_FILES / "prelude" / "run.ps1").read_text("ascii").splitlines()[0]
    heads, bodies = zip(*(script.text.split(first_line) for script in scripts), strict=True)
    assert len(scripts) > 1 and len(set(heads)) == len(scripts)
    assert set(bodies) == {read_body("ps_scripts", "machine").text.partition(first_line)[2]}
    assert {script.body_sha256 for script in scripts} == {hashlib.sha256((first_line + bodies[0]).encode("ascii")).hexdigest()}


def test_splatted_rules_fit_the_firewalls_commands(parsed: Parsed) -> None:
    """Set-FirewallRule and its undo splat; the keys of their tables are parameters of these commands in every version."""
    _require_profiles("every_parameter_exists_in_each_version", parsed.bodies["machine"])
    splatted = [node for node in parsed.bodies["machine"].all("VariableExpression") if "Splatted" in node.values]
    assert {(node.function, node.values["VariablePath"]) for node in splatted} == {
        ("Set-FirewallRule", "Rule"),
        ("Set-FirewallRule", "wide"),
        ("", "narrow"),
    }
    for function in ("get-firewallrule", "get-wantedfirewallrule"):
        table = next(node for node in parsed.bodies["machine"].functions[function].descendants() if node.kind == "Hashtable")
        keys = {key.values["Value"].lower() for key in table.children[::2]}
        assert keys
        for commands in parsed.bodies["machine"].profiles.values():
            assert keys <= commands["new-netfirewallrule"] & commands["set-netfirewallrule"]


def task_sid(name: str) -> str:
    """The SID of a scheduled task's own process: S-1-5-87 and SHA-1 of its name in capitals, UTF-16LE."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le")).digest()
    return "S-1-5-87-" + "-".join(str(number) for number in struct.unpack("<5I", digest))


@pytest.mark.parametrize(
    ("name", "sid"),
    [
        (
            "Microsoft-Windows-SoftwareProtectionPlatform-SvcRestartTask",
            "S-1-5-87-2912274048-3994893941-1669128114-1310430903-1263774323",
        ),
        ("\u5907\u4efd-\u542f\u52a8\u5907\u4efd", "S-1-5-87-782916017-575545879-3398072960-2725436614-2063171235"),
    ],
)
def test_a_tasks_sid_is_computed_as_windows_does(name: str, sid: str) -> None:
    assert task_sid(name) == sid


def test_the_service_has_the_sid_of_its_task(parsed: Parsed) -> None:
    assignments = [node for node in parsed.bodies["machine"].all("AssignmentStatement") if node.children[0].text == "$ServiceSid"]
    assert [node.script.name for node in assignments] == ["prelude/machine/places.ps1"]
    assert assignments[0].children[1].text == f"'{task_sid('nbserver')}'"


@pytest.mark.parametrize("scope", SCOPES)
def test_the_review_lists_every_program_call_and_every_deletion(parsed: Parsed, scope: str) -> None:
    body = read_body("ps_scripts", scope).text
    removing, starting = set(), set()
    for command in parsed.bodies[scope].commands():
        name = command_name(command).lower()
        if name.startswith(("remove-", "unregister-", "uninstall-", "clear-")):
            removing.add(_line_of(command.place))
        started = name.startswith(("start-process", "start-service", "start-scheduledtask", "stop-process", "stop-service", "restart-"))
        if started or name in rules_effects.STARTERS or command.values.get("InvocationOperator") == "Ampersand":
            starting.add(_line_of(command.place))
    for call in parsed.bodies[scope].all("InvokeMemberExpression"):
        if member_name(call).startswith("delete"):
            removing.add(_line_of(call.place))
        if static_call(call) == ("diagnostics.process", "start") or member_name(call) == "kill":
            starting.add(_line_of(call.place))
    assert len(removing) > 10 and len(starting) > 5
    assert removing <= {found.code for found in deletions(body, "ps1")}
    assert starting <= {found.code for found in program_calls(body, "ps1")}


def _line_of(place: str) -> str:
    name, _, number = place.rpartition(":")
    return (STEP_FILES / name).read_text("utf-8").split("\n")[int(number) - 1].strip()
