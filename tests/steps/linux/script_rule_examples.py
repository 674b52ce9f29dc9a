"""Examples for the rules about the form of files, messages, and the oldest bash: rule -> (a script that keeps it, scripts that break it)."""

from __future__ import annotations

from tests.linux.rules_bash_4_4 import NEWER, NEWER_FORMATS
from tests.linux.rules_form import COLUMNS, FUNCTION_LINES, SENTENCE_COLUMNS, TITLE_COLUMNS

TITLE = "# ---- step: x ".ljust(TITLE_COLUMNS, "-")
SENTENCE = "# Do one thing."

FORM: dict[str, tuple[str, tuple[str, ...]]] = {
    "lines_fit": (f"{':' * COLUMNS}\n", (f"{':' * (COLUMNS + 1)}\n",)),
    "functions_fit": (
        "f() {\n" + "    :\n" * (FUNCTION_LINES - 2) + "}\n",
        ("f() {\n" + "    :\n" * (FUNCTION_LINES - 1) + "}\n", "f() {\n    REPLY='\n" + "}\n" * FUNCTION_LINES + "'\n}\n"),
    ),
    "a_file_begins_with_its_title": (
        f"{TITLE}\n{SENTENCE}\n\n# A comment.\ntrue\n",
        (
            "true\n",
            f"{SENTENCE}\n{TITLE}\n",
            f"{TITLE}-\n{SENTENCE}\n",
            f"{TITLE[:-1]}\n{SENTENCE}\n",
            f"{TITLE.replace('x', 'y')}\n{SENTENCE}\n",
            f"{TITLE.replace('step', 'prelude')}\n{SENTENCE}\n",
            f"{TITLE}\n\n{SENTENCE}\n",
            f"{TITLE}\n# No period\n",
            f"{TITLE}\n# {'x' * SENTENCE_COLUMNS}.\n",
            f"{TITLE}\n{SENTENCE}\n# A second comment.\n",
        ),
    ),
    "fail_is_on_a_separate_line": (
        "if [[ $1 ]]; then\n    fail a-b 'then fail c'\nfi\nhas_x || fail a 'b'\ncase $1 in\n    x) fail a 'b' ;;\nesac\n",
        (
            "if [[ $1 ]]; then fail a 'b'; fi\n",
            "if has_x; then\n    true\nelse fail a 'b'\nfi\n",
            "has_x && fail a 'b'\n",
            "true; fail a 'b'\n",
            "for x in y; do fail a 'b'; done\n",
            "has_x || { fail a 'b'; }\n",
        ),
    ),
}
MESSAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "a_message_has_a_code_and_a_literal_text": (
        "fail a-b2 'text'\nproblem a 'first '\\\n'second' || return\nhas_x || warn a 'b' x \"$(stat 'y')\"\nrun_program --failure a 'b' stat\nwrite_message failed text a 'b' -- at 'line 1'\n"
        "note a \\\n    'b'\ndiffers a 'b' '' c   # fail x\nprintf '%s' 'fail x' \\\n    fail x\n",
        (
            "fail 'a text'\n",
            "fail A 'b'\n",
            "fail a_b 'c'\n",
            "fail a- 'b'\n",
            "fail 'a' 'b'\n",
            "fail \"$1\" 'b'\n",
            f"fail {'a' * 65} 'b'\n",
            "fail a\n",
            "fail a ''\n",
            "fail a b\n",
            'fail a "b"\n',
            "fail a 'b'\"$c\"\n",
            "fail a \"b $c\" 'd'\n",
            "fail a 'b.'\n",
            "if x; then warn 'b'; fi\n",
            "x || problem 'b' || return\n",
            "case x in\n    1) note 'b' ;;\nesac\n",
            "differs 'b' '' c\n",
            "report_start 'b'\n",
            "report_progress 'b' 1 2 seconds\n",
            "run_program --failure 'b' stat\n",
            "write_message failed text 'b'\n",
        ),
    ),
    "a_message_has_the_values_of_its_text": (
        "fail a '{x}: {cause}, {y_2} {x}' \\\n    x \"$1\" y_2 \"${z[a b]}\"\nreport_progress a '{x}' 1 2 seconds x y\ndiffers a '{x}' '' y x \"$z\"\n"
        "run_program --failure a '{program} {exit_code} {output}' stat\nwrite_message failed text a '{x}' x y -- at z\n",
        (
            "fail a '{x}'\n",
            "fail a 'b' x y\n",
            "fail a '{x}' y z\n",
            "fail a '{x}' x\n",
            "fail a '{x}' x y z\n",
            "fail a '{x}' \"$x\" y\n",
            "warn a '{x} {y}' x 1\n",
            "warn a '{X}' X 1\n",
            "warn a 'a { b'\n",
            "warn a 'a {} b'\n",
            "problem a '{x}' || return\n",
            "report_progress a '{x}' 1 2 seconds\n",
            "differs a '{x}' '' y\n",
            "run_program --failure a '{path}' stat\n",
            "write_message failed text a '{x}' -- x y\n",
        ),
    ),
    "a_difference_is_between_words_or_values": (
        "differs a 'b' '' 'not running'\ndiffers a 'b' \"${x[$y]:-} $z\" installed\n",
        ("differs a 'b' 'x {y}' z\n", "differs a 'b' '' \"the user $x\"\n", "differs a 'b' ''\n", "differs a 'b' X Y\n"),
    ),
    "progress_has_a_unit": (
        "report_progress a 'b' \"$x\" 300 seconds\n",
        ("report_progress a 'b' 1 2 minutes\n", "report_progress a 'b' 1 2\n", "report_progress a 'b' 1 2 \"$x\"\n"),
    ),
    "a_code_has_one_text": (
        "fail a 'b'\nfail c 'd'\nfail a 'b'\n",
        ("fail a 'b'\nfail a 'c'\n", "fail a 'b'\nwarn c 'b'\n"),
    ),
}
OLDEST_BASH: dict[str, tuple[str, tuple[str, ...]]] = {
    "only_bash_4_4": (
        "if [[ ${EPOCHREALTIME:-} ]]; then x=$EPOCHREALTIME; fi\nwait \"$x\"\nlocal -\nmapfile -d '' x\nprintf '%(%s)T' -1\n"
        'x=${y//"$a"/"$b"}\nx=${y//\\"/\\\\\\"}\nx=${y,,}\ndeclare -A z=()\ndeclare -A z=([a]=1)\nif ((${z[$x]:-0} > y[i])); then :; fi\n'
        'local -a found=("${BASH_REMATCH[@]}")\nunset \'x[-1]\'\nx=("${y[@]: -3}")\n',
        (
            *(f"{line}\n" for _, _, line in (*NEWER, *NEWER_FORMATS)),
            "x=$EPOCHREALTIME\n",
            "if ((x[$y])); then :; fi\n",
            'x=$((1 + x["$y"]))\n',
        ),
    ),
}
EXAMPLES = {**FORM, **MESSAGES, **OLDEST_BASH}
