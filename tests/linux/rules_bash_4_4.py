"""Rules about the oldest bash that runs the scripts, 4.4: nothing that is newer, or that has another meaning in it.

The source of the list is the section "New Features" of each release in the file CHANGES of bash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.linux.script_lines import Files, Rule, lines

_OPTIONS_5_0 = "assoc_expand_once|localvar_inherit|localvar_unset|progcomp_alias"
_OPTIONS_5_2 = "globskipdots|noexpand_translations?|patsub_replacement|varredir_close"
_OPTIONS_5_3 = "array_expand_once|bash_source_fullpath"

# (a pattern for a line of code, what it is, a line that must not pass)
NEWER: tuple[tuple[str, str, str], ...] = (
    (r"\bEPOCHSECONDS\b", "EPOCHSECONDS is of 5.0", "x=$EPOCHSECONDS"),
    (r"\bBASH_ARGV0\b", "BASH_ARGV0 is of 5.0", "BASH_ARGV0=x"),
    (rf"\b({_OPTIONS_5_0})\b", "this option is of 5.0", "shopt -s localvar_inherit"),
    (r"\bwait -\w*f", "wait -f is of 5.0", "wait -f %1"),
    (r"\bhistory -d \S*-", "history -d with a range is of 5.0", "history -d 3-5"),
    (r"\bSRANDOM\b", "SRANDOM is of 5.1", "x=$SRANDOM"),
    (r"\bwait\b.* -\w*p", "wait -p is of 5.1", "wait -n -p x"),
    (r"\bwait -n +[^-\s;|&]", "wait -n with processes is of 5.1", 'wait -n "$x" "$y"'),
    (r"\b(declare|local) -\w*I", "declare -I is of 5.1", "local -I x"),
    (r"\blocal -\w*p", "local -p is of 5.1", "local -p"),
    (r"\b(local|declare|unset)\b.*\bBASH_REMATCH\b(?!\[)(?<!\{BASH_REMATCH)", "BASH_REMATCH is read-only before 5.1", "local BASH_REMATCH"),
    (r"-A \w+=\((?!\s*(\[|\)|$))", "an associative array from a list of keys and values is of 5.1", "declare -A x=(a 1 b 2)"),
    (r"\[\[ -v [0-9]|\btest -v [0-9]", "-v with a positional parameter is of 5.1", "if [[ -v 1 ]]; then :; fi"),
    (r"\bulimit -\w*R", "ulimit -R is of 5.1", "ulimit -R 5"),
    (r"\$\{!?\w+(\[[^]]*\])?@[UuLKkQEPAa]\}", "a transformation: U, u, L, and K are of 5.1, k of 5.2, and none is used", "x=${y@U}"),
    (rf"\b({_OPTIONS_5_2})\b", "this option is of 5.2", "shopt -u patsub_replacement"),
    (r"\bunset \S*\[[@*]\]", "unset of all elements has another meaning in 5.2", "unset x[@]"),
    (r"\$\{!?\w+(\[[^]]*\])?/[^\"}]*[^\"}\\]&", "& in a replacement has another meaning in 5.2", "x=${y//a/b&c}"),
    (r"\$\{!?\w+(\[[^]]*\])?//?[^/}]*/\$", "an unquoted value in a replacement has another meaning in 5.2", "x=${y//a/$z}"),
    (rf"\b({_OPTIONS_5_3})\b", "this option is of 5.3", "shopt -s array_expand_once"),
    (r"\$\{[ |]", "a command substitution of 5.3", "x=${ stat y; }"),
    (r"\b(BASH_MONOSECONDS|BASH_TRAPSIG|GLOBSORT)\b", "this variable is of 5.3", "x=$BASH_MONOSECONDS"),
    (r"\bread -\w*E", "read -E is of 5.3", "read -E x"),
    (r"\btrap -\w*P", "trap -P is of 5.3", "trap -P TERM"),
    (r"\bcompgen -\w*V", "compgen -V is of 5.3", "compgen -V x -A function"),
    (r"\bsource -p", "source -p is of 5.3", "source -p x y"),
    (r"\breturn *($|[;&|}#])", "return without a status has another meaning in the EXIT trap of 4.4", "if x; then return; fi"),
)
# In single quotes, which the lines of code do not have: (pattern, what it is, a line that must not pass)
NEWER_FORMATS: tuple[tuple[str, str, str], ...] = (
    (r"\bprintf\b.*%[0-9.]*Q", "%Q is of 5.2", "printf '%Q' x"),
    (r"\bprintf\b.*%#[0-9.]*q", "%#q is of 5.3", "printf '%#q' x"),
)
# In ((...)), bash before 5.2 expands such a subscript twice, and so runs what is in it.
_TWICE = re.compile(r"(?<![\w${!#])[A-Za-z_]\w*\[[^]]*\$")


def only_bash_4_4(files: Files) -> Iterator[str]:
    has_fallback = "${EPOCHREALTIME:-}" in "".join(files.values())
    for line in lines(files):
        for pattern, what, _ in NEWER:
            if re.search(pattern, line.code):
                yield f"{line}: {what}: {line.code.strip()}"
        if re.search(r"\$\{?EPOCHREALTIME", line.code) and not has_fallback:
            yield f"{line}: EPOCHREALTIME is of 5.0, and there is no fallback: {line.code.strip()}"
        for arithmetic in re.findall(r"\(\((.*?)\)\)", line.code):
            if _TWICE.search(re.sub(r"\$\{(?:[^{}]|\{[^}]*\})*\}", "1", arithmetic)):
                yield f"{line}: a subscript with a variable in arithmetic: {line.code.strip()}"
    for name, text in files.items():
        for number, words in enumerate(text.splitlines(), 1):
            for pattern, what, _ in NEWER_FORMATS:
                if re.search(pattern, words):
                    yield f"{name}:{number}: {what}"


RULES: tuple[Rule, ...] = (only_bash_4_4,)
