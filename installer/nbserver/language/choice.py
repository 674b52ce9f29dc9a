"""Which language a person reads: the option --lang, NBSERVER_LANG, or the language of the system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from nbserver.language.language import ENGLISH, Language

CODES = ("en", "fr", "ja")
OPTION = "--lang"
VARIABLE = "NBSERVER_LANG"
_OF_SYSTEM = ("LC_ALL", "LC_MESSAGES", "LANG")
_KANA = "\u3042\u30a2\u4e9c"  # one character of each kind
_PRIMARY = 0x3FF  # of a Windows language identifier: the language without its region
_WINDOWS = {0x0C: "fr", 0x11: "ja"}


def code_of(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """Return the code of the language for the arguments of nbserver. Whether the option has a valid value is checked elsewhere."""
    return next((code for code in (_option(arguments), environment.get(VARIABLE, "")) if code in CODES), None) or _system(environment)


def language(code: str) -> Language:
    """Return the language with a code, which is one of CODES."""
    if code == ENGLISH.code:
        return ENGLISH
    from nbserver.language.translated import Translated

    return Translated(code)


def shown_on(code: str, encodings: Iterable[str | None]) -> str:
    """Return the code of the language for streams with these encodings: English, if one of them lacks the characters of Japanese."""
    try:
        for encoding in encodings if code == "ja" else ():
            _KANA.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ENGLISH.code
    return code


def _option(arguments: Sequence[str]) -> str:
    found = ""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument, following in zip(options, [*options[1:], ""], strict=False):
        if argument == OPTION:
            found = following
        elif argument.startswith(f"{OPTION}="):
            found = argument.removeprefix(f"{OPTION}=")
    return found


def _system(environment: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        import ctypes

        return _WINDOWS.get(ctypes.windll.kernel32.GetUserDefaultUILanguage() & _PRIMARY, ENGLISH.code)
    locale = next((environment[name] for name in _OF_SYSTEM if environment.get(name)), "")
    code = locale.partition(".")[0].partition("_")[0]
    return code if code in CODES else ENGLISH.code
