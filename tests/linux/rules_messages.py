"""Rules about messages: each has a code, one literal sentence, and a value for each of its names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbserver.base.message import CODE
from tests.linux.script_lines import Files, Rule
from tests.linux.script_messages import Message, literal, messages

_OF_A_PROGRAM = {"program", "exit_code", "output"}  # the values of --failure, without any --value
_UNITS = {"bytes", "packages", "seconds"}
# Function -> how many words are between the text and the pairs of names and values.
_BETWEEN = {"report_progress": 3, "differs": 2}


def a_message_has_a_code_and_a_literal_text(files: Files) -> Iterator[str]:
    for message in messages(files):
        code, text = [*message.words[:2], "", ""][:2]
        if not CODE.fullmatch(code):
            yield f"{message}: {message.function} has no literal code: {code}"
        elif not literal(text):
            yield f"{message}: {message.function} {code} has no text in single quotes: {text}"
        elif literal(text)[-1:] == ".":
            yield f"{message}: the text of {code} ends with a period"


def a_message_has_the_values_of_its_text(files: Files) -> Iterator[str]:
    for message in messages(files):
        text = literal(message.words[1]) if len(message.words) > 1 else None
        if text is None:
            continue
        wanted = set(re.findall(r"\{([^{}]*)\}", text)) - {"cause"}
        given = _given(message)
        if given is None:
            yield f"{message}: {message.words[0]} has a name without a value, or no literal name"
        elif (message.function == "--failure" and not wanted <= given) or (message.function != "--failure" and wanted != given):
            yield f"{message}: the text of {message.words[0]} names {sorted(wanted)}, the values are {sorted(given)}"
        elif re.sub(r"\{[a-z0-9_]+\}", "", text).strip("{}") != re.sub(r"\{[a-z0-9_]+\}|[{}]", "", text):
            yield f"{message}: the text of {message.words[0]} has a brace that encloses no name"


def _given(message: Message) -> set[str] | None:
    """Return the names that have a value, or None if they cannot be read."""
    if message.function == "--failure":
        return _OF_A_PROGRAM.union(message.words[2:])
    words = list(message.words[2 + _BETWEEN.get(message.function, 0) :])
    if "--" in words:
        words = words[: words.index("--")]
    names = words[::2]
    if len(words) % 2 or not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names):
        return None
    return set(names)


def a_difference_is_between_words_or_values(files: Files) -> Iterator[str]:
    """IS and SHOULD are words without braces, or values without words around them."""
    for message in messages(files):
        if message.function != "differs":
            continue
        for word in [*message.words[2:4], "", ""][:2]:
            text = literal(word)
            value = re.sub(r"\$\{[^{}]*\}|\$\w+", "", word)
            if not (
                re.fullmatch(r"[a-z-]+|''", word)
                or (text and not set("{}") & set(text))
                or ("$" in word and not re.search("[A-Za-z]", value))
            ):
                yield f"{message}: differs compares {word or 'nothing'}"


def progress_has_a_unit(files: Files) -> Iterator[str]:
    for message in messages(files):
        if message.function == "report_progress" and [*message.words[4:5], ""][0] not in _UNITS:
            yield f"{message}: the fifth word of report_progress is not one of {', '.join(sorted(_UNITS))}"


def a_code_has_one_text(files: Files) -> Iterator[str]:
    texts: dict[str, str] = {}
    codes: dict[str, str] = {}
    for message in messages(files):
        code, text = [*message.words[:2], "", ""][:2]
        said = literal(text)
        if not said:
            continue
        if message.function == "differs":  # what is different is in two more words
            said = " ".join([said, *message.words[2:4]])
        if texts.setdefault(code, said) != said:
            yield f'{message}: {code} is also the code of "{texts[code]}"'
        if codes.setdefault(said, code) != code:
            yield f"{message}: the text of {code} is also that of {codes[said]}"


RULES: tuple[Rule, ...] = (
    a_message_has_a_code_and_a_literal_text,
    a_message_has_the_values_of_its_text,
    a_difference_is_between_words_or_values,
    progress_has_a_unit,
    a_code_has_one_text,
)
