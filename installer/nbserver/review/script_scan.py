"""Find the lines of a script that start or stop programs, and those that delete or remove something.

The scan is broad: a line that only might do so is listed too. It reads the scripts of nbserver, which keep to a small part of
their languages; tests compare it with the parsers of the script rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

# Builtins and reserved words of bash that start no program. `exec` and `command` are not among them: they start one.
_BUILTINS = frozenset(
    ": [ [[ (( break case cd continue declare do done elif else esac exit export false fi for function if in let local mapfile printf "
    "read readonly return set shift shopt then time trap true type ulimit umask unset until wait while { } ! =".split()
)
_RESERVED = r"(?:if|then|do|else|elif|while|until|!)"
_ASSIGNMENT = r"(?:[A-Za-z_]\w*(?:\[[^]]*\])?\+?=(?:\"[^\"]*\"|'[^']*'|(?!\$\()[^\s;()])*\s+)*"
_BEGIN = rf"(?:^|[;&|({{`]|\$\(|<\(|>\(|(?<![\w-]){_RESERVED}(?=\s)|[\w*'\"|.-]\)(?=\s))"
_COMMAND = re.compile(rf"{_BEGIN}\s*(?:{_RESERVED}\s+)*{_ASSIGNMENT}(?P<word>\$(?:[A-Za-z_]\w*|[@*0-9])|[A-Za-z_./][\w./-]*)(?=[\s;)&|]|$)")
_FUNCTION = re.compile(r"^(\w+)\(\) \{", re.MULTILINE)
_RUNS = re.compile(r"\b(run_program|run_apt|run_zypper|run_installer)\b")
_BASH_DELETES = re.compile(
    r"(?<![\w$./-])(rm|rmdir|unlink|shred|truncate|userdel|groupdel|delete|purge|autoremove|remove(?!d)|disable)(?![\w./=-])|--remove\b|-delete\b"
)

_PS_FUNCTION = re.compile(r"^function ([\w-]+)", re.MULTILINE | re.IGNORECASE)
_PS_STARTS = re.compile(
    r"(?<![\w$-])(Invoke-Program|Start-Background|New-ProgramStart|(?:Start|Stop)-(?:Process|Service|ScheduledTask|Job)\w*|Restart-\w+"
    r"|Set-Service(?=[^|;]* -Status\b)"
    r"|(?:Register|Enable)-ScheduledTask|Invoke-Item|Invoke-WmiMethod|Invoke-CimMethod|Invoke-Expression|Invoke-Command)(?![\w-])"
    r"|Diagnostics\.Process(?:StartInfo)?\b(?:\]::Start)?|\.(?:Kill|CloseMainWindow)\(|\.exe\b|^\s*[&.] (?=[$'\"({])|[|;={(]\s*[&.] (?=[$'\"])"
    r"|-ComObject\b",
    re.IGNORECASE,
)
_PS_DELETES = re.compile(
    r"(?<![\w$-])(?:(?:Remove|Unregister|Clear|Uninstall|Disable)-\w+)(?![\w-])|::Delete\b|\.Delete\w*\(|'remove-\w+'|DeleteOnClose"
    r"|/uninstall\b|/VERYSILENT|(?<=[\s(,])'?/x'?(?=[\s',])|(?<=[\s(,'>])/delete\b",
    re.IGNORECASE,
)

# In the programs in Python that are text of a script.
_PYTHON_STARTS = re.compile(r"\bos\.(?:exec|spawn|posix_spawn|fork|kill)\w*(?=\()|\bos\.(?:system|popen)(?=\()|\bsubprocess\.\w+")
_PYTHON_DELETES = re.compile(r"\bos\.(?:unlink|remove|removedirs|rmdir|truncate|ftruncate)(?=\()|\brmtree(?=\()|\.(?:unlink|rmdir)(?=\()")


@dataclass(frozen=True)
class Found:
    """`line` counts from 1; `code` is the line as it is in the script, without the spaces around it; `names` are what was found in it."""

    line: int
    code: str
    names: tuple[str, ...]


@lru_cache(maxsize=16)
def program_calls(text: str, language: str) -> tuple[Found, ...]:
    """Return the lines that start or stop a program. `language` is "ps1" or "sh"."""
    if language == "sh":
        return _found(text, _bash_calls(text), _bash_lines(text), _PYTHON_STARTS)
    return _found(text, _powershell_calls(text), _powershell_lines(text), _PYTHON_STARTS)


@lru_cache(maxsize=16)
def deletions(text: str, language: str) -> tuple[Found, ...]:
    """Return the lines that delete, remove, unregister, or uninstall something."""
    if language == "sh":
        functions = {name for name in _FUNCTION.findall(text) if re.match(r"(?:remove|delete|restore)_|forget_", name)}
        calls = re.compile(rf"(?<![\w$-])(?:{'|'.join(sorted(functions)) or '(?!)'})(?![\w-])")
        return _found(
            text,
            lambda code: [*_all(_BASH_DELETES, code), *([] if _FUNCTION.match(code) else _all(calls, code))],
            _bash_lines(text),
            _PYTHON_DELETES,
        )
    return _found(text, lambda code: [] if _PS_FUNCTION.match(code) else _all(_PS_DELETES, code), _powershell_lines(text), _PYTHON_DELETES)


def _all(pattern: re.Pattern[str], code: str) -> list[str]:
    return [match[0].strip() for match in pattern.finditer(code)]


def _bash_calls(text: str) -> Callable[[str], Iterable[str]]:
    functions = frozenset(_FUNCTION.findall(text))

    def names(code: str) -> Iterator[str]:
        if _FUNCTION.match(code):
            code = code.partition("{")[2]
        elif "${" not in code.partition("}")[0]:
            code = re.sub(r"^\s*[\w' .*|:-]+\)(?=\s|$)", "; ", code)
        plain = re.sub(r"\$?\(\((?!.*\$\([^(]).*?\)\)", " 0 ", code)
        plain = re.sub(r'"\$\{?([A-Za-z_]\w*|[@*0-9])(?:\[[@*]\])?\}?"', r"$\1", plain)
        plain = re.sub(r'"(?:[^"$\\]|\\.|\$(?!\())*"', '""', plain).replace('"$(', "$(")
        plain = re.sub(r"\[\[(?:(?!\$\().)*?\]\]|\$\{(?:(?!\$\()[^}])*\}", " _ ", plain)
        plain = re.sub(r"\b[A-Za-z_]\w*\+?=\((?![^)]*\$\()[^)]*\)", " ", plain)
        for match in _COMMAND.finditer(plain):
            word = match["word"]
            if word not in _BUILTINS and word not in functions and not word.startswith("_"):
                yield word
        yield from _all(_RUNS, code)

    return names


def _powershell_calls(text: str) -> Callable[[str], Iterable[str]]:
    wrappers = sorted(name for name in _PS_FUNCTION.findall(text) if name.lower().startswith("invoke-"))
    bodies = {name: body for name, body in _functions(text) if name in wrappers}
    starting: set[str] = set()
    while more := {
        name
        for name, body in bodies.items()
        if name not in starting and (re.search(r"Invoke-Program\b|\]::Start\(", body) or any(_calls(body, other) for other in starting))
    }:
        starting |= more
    calls = re.compile(rf"(?<![\w$-])(?:{'|'.join(sorted(starting)) or '(?!)'})(?![\w-])", re.IGNORECASE)
    return lambda code: [] if _PS_FUNCTION.match(code) and "{" not in code.rstrip("{ ") else [*_all(_PS_STARTS, code), *_all(calls, code)]


def _calls(body: str, name: str) -> bool:
    return re.search(rf"(?<![\w$-]){re.escape(name)}(?![\w-])", body, re.IGNORECASE) is not None


def _functions(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each function at the beginning of a line, up to the next one."""
    starts = list(_PS_FUNCTION.finditer(text))
    for number, match in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        yield match[1], text[match.end() : end]


def _found(
    text: str, names: Callable[[str], Iterable[str]], lines: Iterator[tuple[int, str]], python: re.Pattern[str]
) -> tuple[Found, ...]:
    """Return the lines with names in their code, or with what `python` finds in them: a program in Python is text in quotes."""
    found = []
    originals = text.split("\n")
    for number, code in lines:
        whole = originals[number - 1]
        here = tuple(dict.fromkeys([*names(code), *([] if whole.lstrip().startswith("#") else _all(python, whole))]))
        if here:
            last = number
            while originals[last - 1].endswith("\\") and last < len(originals):
                last += 1
            shown = " ".join(line.strip().removesuffix("\\").strip() for line in originals[number - 1 : last])
            found.append(Found(number, shown, here))
    return tuple(found)


def _bash_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, code). Lines that a backslash continues are one line, with the number of the first one."""
    begin, continued = 0, ""
    for number, code in enumerate(_without_quoted(text).split("\n"), 1):
        begin = begin if continued else number
        continued += code
        if continued.endswith("\\"):
            continued = continued[:-1] + " "
            continue
        yield begin, continued
        continued = ""


def _powershell_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, code) without comments."""
    for number, line in enumerate(text.split("\n"), 1):
        cut = next((m.start() for m in re.finditer(r"(?:^|\s)#", line) if line.count("'", 0, m.start()) % 2 == 0), len(line))
        yield number, line[:cut]


def _without_quoted(text: str) -> str:
    """Return a bash text with spaces for comments, single-quoted text, and strings of several lines. Each character keeps its place.

    Other text in double quotes stays, because it can contain commands.
    """
    out, state, at, several = [], "", 0, False
    while at < len(text):
        char = text[at]
        if state == "'":
            out.append(char if char in "'\n" else " ")
            state = "" if char == "'" else state
        elif state == "#":
            out.append("\n" if char == "\n" else " ")
            state = "" if char == "\n" else state
        elif char == "\\" and at + 1 < len(text):
            out.append("  " if text[at + 1] != "\n" else "\\\n")
            at += 1
        elif state == '"':
            out.append(" " if several and char not in '"\n' else char)
            state = "" if char == '"' else state
        elif char == "#" and (at == 0 or text[at - 1] in " \n;"):
            out.append(" ")
            state = "#"
        else:
            out.append(char)
            several = char == '"' and "\n" in text[at + 1 : text.find('"', at + 1)] and "$(" not in text[at + 1 : text.find('"', at + 1)]
            state = char if char in "'\"" else state
        at += 1
    return "".join(out)
