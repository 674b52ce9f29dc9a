"""Rules for the bash that runs on hosts, beside ShellCheck's: what an auditor must be able to rely on.

A rule takes {file name: text} and yields what breaks it, as `file:line: words`. Rules about the form of files, messages,
and the oldest bash are in the modules next to this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.linux import rules_bash_4_4, rules_form, rules_messages
from tests.linux.script_lines import Files, Rule, commands, functions, lines

BUILTINS = set(
    ": [[ (( break builtin case cd continue declare do done elif else esac exec exit export false fi for if in kill local mapfile printf read return set shift shopt sleep then trap true type umask unset wait while { } ! =".split()
)
# Programs that only answer, and programs that change something. Another one is a decision: it is named here.
ASKING = set(
    "apt-get base64 comm date dd dpkg-query find firewall-cmd flock getent head id journalctl loginctl ls od openssl paste readlink rpm sed sha256sum sort stat systemctl tail timeout tr ufw zypper".split()
)
CHANGING = set("chmod chown cp mkdir mv rm rmdir sync".split())
# These run through run_program, so that their words become events and they have no input.
WRAPPED = set(
    "apt-get apt-mark bash dpkg env firewall-cmd firewall-offline-cmd groupdel openssl restorecon systemctl ufw useradd userdel zypper python3 pip uv".split()
)
# Where functions stand in a condition, errexit is off in all of them: only those that ask, or that return on every failure.
IN_CONDITIONS = re.compile(
    r"(has|is|can|hold|check)_\w+$|take_hold$|restore_file$|problem$|run_program$|stop_process$|run_apt$|finish_interrupted_dpkg$|run_zypper$|undo_line$|read_others$|write_record$|json_string$|fingerprint_of$|stop_unit$|reset_failed_unit$|forget_files$|fail$|write_event$|differs$|difference$|"
    r"stop_service$|launch_process$|save_server$|switch_to$|bring_back_files$|replace_whole$|adapt_saved_unit$|start_saved_\w+$|prove_restored$|remove_environment$|remove_line$|restore_folder$|return_environment$|remove_aside$|remove_unused$|end_lingering$|for_page$|write_first_page$"
)


def ascii_with_line_feeds(files: Files) -> Iterator[str]:
    for name, text in files.items():
        for number, line in enumerate(text.split("\n"), 1):
            if re.search(r"[^ -~]", line):
                yield f"{name}:{number}: a character that is no printable ASCII"
            if line.endswith(" "):
                yield f"{name}:{number}: a space at the end"


def nothing_is_run_that_was_not_read(files: Files) -> Iterator[str]:
    """No code that is not in the script: no eval, no sourcing, no second shell, no download into a shell."""
    for line in lines(files):
        if {"eval", "source"} & set(commands(line)) or re.search(
            r"(?<![\w-])(sh -c|bash -c|xargs|curl|wget|python3? -c|perl|awk)(?![\w-])|(^|[;&|]\s*)\.\s|`|\|\s*(ba)?sh\b", line.code
        ):
            yield f"{line}: {line.code.strip()}"


def every_command_is_known(files: Files) -> Iterator[str]:
    known = BUILTINS | ASKING | CHANGING | set(functions(files))
    for line in lines(files):
        for command in commands(line):
            if command not in known:
                yield f"{line}: {command}"


def the_locale_stays_c(files: Files) -> Iterator[str]:
    for line in lines(files):
        if re.search(r"\b(LC_\w+|LANG|LANGUAGE)\b", line.code) and "export PATH LC_ALL=C" not in line.code:
            yield f"{line}: {line.code.strip()}"


_MAY_HOLD_SECRETS = {
    "read_envelope",
    "request_secret",
    "expand_secret",
    "has_text",
    "assert_password_hash",
    "keep_password_hash",
    "read_salts",
    "read_login_url",
    "assert_page_answers",
    "bring_back_files",
    "assert_sent_certificate",
}


def secrets_touch_builtins_only(files: Files) -> Iterator[str]:
    """SECRETS is used in a few functions, in tests and assignments; what a program is given or prints has none of it."""
    for line in lines(files):
        if "SECRETS" not in line.code or re.match(r"declare -A SECRETS=\(\)$", line.code.strip()):
            continue
        harmless = re.search(r"\[\[.*SECRETS|^\s*(SECRETS\[\$?\w+\]|REPLY)\+?=", line.code) or line.code.strip() == "SECRETS=()"
        if line.function not in _MAY_HOLD_SECRETS or not harmless or "<<" in line.code or "export" in line.code:
            yield f"{line}: {line.code.strip()}"


def here_documents_are_not_used(files: Files) -> Iterator[str]:
    """Nor here-strings: before bash 5.1 they are files, which a full disk has no room for, and which could hold a secret."""
    for line in lines(files):
        if "<<" in line.code and "((" not in line.code:
            yield f"{line}: {line.code.strip()}"


def conditions_only_ask(files: Files) -> Iterator[str]:
    own = set(functions(files))
    for line in lines(files):
        code = re.sub(r"\[\[.*?\]\]|\(\(.*?\)\)", "_", line.code)
        for word in re.findall(r"(?:\bif|\bwhile|\buntil|\belif|!|&&|\|\|)\s+(?:! )?\"?(\w+)", code) + re.findall(
            r"(\w+)[^;|&]*(?:&&|\|\|)", code
        ):
            if word in own and not IN_CONDITIONS.match(word):
                yield f"{line}: {word} in a condition, where a failure inside would not be seen"


def tests_change_nothing(files: Files) -> Iterator[str]:
    """Whatever a step's test calls, and what that calls: no program that changes something, no function that records."""
    all_functions = functions(files)
    for start in (name for name in all_functions if name.endswith("_test")):
        todo, seen = [start], {start}
        while todo:
            name = todo.pop()
            for line in all_functions[name]:
                words = set(commands(line)) | {word for word in re.findall(r"\w+", line.code) if word in all_functions}
                for word in sorted(words):
                    if word in CHANGING or (
                        word != "set" and re.match(r"(save|set|add|open|install|restore|write_whole|run_program|write_record)(_|$)", word)
                    ):
                        yield f"{line}: {word}, which {start} reaches"
                    elif word in all_functions and word not in seen and word not in ("fail",):
                        seen.add(word)
                        todo.append(word)


def steps_change_through_the_prelude(files: Files) -> Iterator[str]:
    """A step that touches files itself has recorded them, or the folder they are in, before."""
    for name, body in functions({name: text for name, text in files.items() if name.startswith("steps/")}).items():
        saved = False
        for line in body:
            saved = saved or "save_file_before" in line.code or "save_before folder" in line.code
            for word in commands(line):
                if word in CHANGING and not saved:
                    yield f"{line}: {word} in {name}, before anything was recorded"


def restoring_sees_every_failure(files: Files) -> Iterator[str]:
    """Undo calls these in a condition, so errexit is off: every command but the last one says what happens when it fails."""
    for name, body in functions(files).items():
        if not re.match(
            r"restore_|switch_to$|bring_back_files$|replace_whole$|adapt_saved_|start_saved_|save_server$|remove_(environment|line|aside|unused)$|return_environment$",
            name,
        ):
            continue
        inner = [line for line in body[1:] if line.code.strip() not in ("}", "fi", "esac", ";;", "else")]
        for line in inner[:-1]:
            if set(commands(line)) & (CHANGING | {"run_program", "write_whole"}) and "||" not in line.code:
                yield f"{line}: {line.code.strip()}"


def a_kind_is_saved_and_restored(files: Files) -> Iterator[str]:
    text = "\n".join(line.code for line in lines(files))
    saved = set(re.findall(r"save_before (\w+)", text))
    restored = set(re.findall(r"^restore_(\w+)\(\)", text, re.MULTILINE))
    for kind in sorted(saved ^ restored):
        yield f"kind {kind} is {'saved' if kind in saved else 'restored'} only"


def every_function_is_used(files: Files) -> Iterator[str]:
    """A body carries only what its scope uses: each function is named outside itself, or called by a name that is put together.

    `note` is one of the messages, which all bodies have.
    """
    used: dict[str, set[str]] = {}
    for line in lines(files):
        for word in re.findall(r"\w+", line.code):
            used.setdefault(word, set()).add(line.function)
    text = "".join(files.values())  # a trap names its function in single quotes
    for name, body in functions(files).items():
        by_name = re.search(rf"^trap '{name}\b|\btrap '{name} ", text, re.MULTILINE) or (name in used and used[name] - {name})
        put_together = re.search(r"^restore_|_(test|apply)$|_(with|by|packages)_(apt|zypper)$", name)
        if name != "note" and not by_name and not put_together:
            yield f"{body[0]}: {name} is not used in this body"


def every_function_is_defined_once(files: Files) -> Iterator[str]:
    """A second definition would silently replace the first one for all parts."""
    found: dict[str, str] = {}
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if defined := re.match(r"(\w+)\(\) \{", line):
                if defined[1] in found:
                    yield f"{name}:{number}: {defined[1]} is also defined in {found[defined[1]]}"
                found[defined[1]] = name


def the_scope_is_no_condition(files: Files) -> Iterator[str]:
    """What differs by scope is in files of that scope."""
    for line in lines(files):
        if "NB_SCOPE" in line.code:
            yield f"{line}: {line.code.strip()}"


# What these move stays in the state folder, where only this script reads it.
_MOVES_STATE = {"set_work_aside", "store_wheels", "open_switch", "verify_switch", "roll_back"}


def a_file_stays_in_the_folder_where_it_was_created(files: Files) -> Iterator[str]:
    """With SELinux, a file gets the label of that folder and keeps it: systemd refuses a unit or a program that comes from /tmp.

    So `mv` only takes an ending off a name, and a copy keeps the label (-a), except for the kept script.
    """
    for line in lines(files):
        if line.function in _MOVES_STATE:
            continue
        if "mv" in commands(line) or " mv -" in line.code:
            moved = re.search(r'\bmv -T (?:-- )?"([^"]+)" "([^"]+)"', line.code)
            ends = moved and {moved[1].removeprefix(moved[2]), moved[2].removeprefix(moved[1])} & {".new", ".next", ".replaced"}
            if not ends and 'mv -T -- "$ENVIRONMENT" "$SET_ASIDE"' not in line.code:
                yield f"{line}: {line.code.strip()}"
        if "cp" in commands(line) and "cp -a -T" not in line.code and line.function != "keep_script":
            yield f"{line}: {line.code.strip()}"


RULES: tuple[Rule, ...] = (
    ascii_with_line_feeds,
    nothing_is_run_that_was_not_read,
    every_command_is_known,
    the_locale_stays_c,
    secrets_touch_builtins_only,
    here_documents_are_not_used,
    conditions_only_ask,
    tests_change_nothing,
    steps_change_through_the_prelude,
    restoring_sees_every_failure,
    a_kind_is_saved_and_restored,
    every_function_is_used,
    every_function_is_defined_once,
    the_scope_is_no_condition,
    a_file_stays_in_the_folder_where_it_was_created,
    *rules_bash_4_4.RULES,
    *rules_form.RULES,
    *rules_messages.RULES,
)
