"""Locales for Wine, made for the tests. Wine takes a Windows' culture and its ANSI and OEM code pages from the locale."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path("/usr/share/i18n/locales")


@dataclass(frozen=True)
class Language:
    """A locale, the culture and the OEM code page that Windows has with it, and why it is one of these."""

    locale: str
    culture: str
    oem: int
    why: str


LANGUAGES = {
    language.culture: language
    for language in (
        Language("fr_FR", "fr-FR", 850, "a decimal comma; code pages without kanji"),
        Language("ja_JP", "ja-JP", 932, "a double-byte code page without é; the second byte of 表 is a backslash there"),
        Language("tr_TR", "tr-TR", 857, "i and I are no pair, in ToLower() and in -match, -replace and -like too"),
        Language("th_TH", "th-TH", 874, "the Buddhist calendar: 2026 is 2569"),
        Language("ar_SA", "ar-SA", 720, "the Umm al-Qura calendar: 2026 is 1448"),
    )
}


def make_locales(folder: Path, languages: Iterable[Language]) -> None:
    """Fills `folder`, for LOCPATH. Skips the test where their sources are missing."""
    if not shutil.which("localedef") or not SOURCES.is_dir():
        pytest.skip("a localized Windows needs localedef and its sources (Debian package locales)")
    for language in languages:
        subprocess.run(
            ["localedef", "--no-archive", "-i", language.locale, "-f", "UTF-8", str(folder / f"{language.locale}.UTF-8")],
            check=True,
            timeout=60,
        )
