"""The Windows in a box, localized: one prefix, whose locale changes between starts."""

from __future__ import annotations

import json
from pathlib import Path

from tests.boxes import registry_file
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import VARIABLES, end_wine, run, windows_path
from tests.localized.locales import Language

# No code page has all of these letters. In 932 the last byte of the last one is that of a backslash.
LETTERS = "é 日本 表"
USER = f"Zoé {LETTERS}"
PROGRAMS = rf"C:\Programmes {LETTERS}"
DATA = rf"C:\Données {LETTERS}"
NOTEBOOKS = rf"C:\carnets de notes {LETTERS}"
PATH_ENTRY = rf"%SystemDrive%\outils {LETTERS}\bin"
CURRENT_VERSION = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows{}\CurrentVersion"
PLACES = {
    CURRENT_VERSION.format(""): {"ProgramFilesDir": registry_file.string(PROGRAMS)},
    CURRENT_VERSION.format(" NT") + r"\ProfileList": {"ProgramData": registry_file.expandable(DATA)},
}
# What a session says of its Windows.
FACTS = r"""
[Globalization.CultureInfo]::CurrentCulture.Name
[string][Console]::OutputEncoding.CodePage
[string](Get-Item -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Control\Nls\CodePage').GetValue('OEMCP')
'{0:yyyy}|{1}' -f (New-Object DateTime 2026, 11, 22), 1.5
[string]('TITLE' -match 'title')
$env:ProgramFiles
$env:ProgramData
[IO.Path]::GetTempPath()
"""


class LocalizedWindows:
    """Made once at `prefix`; `speak` starts it again in a language."""

    def __init__(self, prefix: Path, locales: Path, first: Language) -> None:
        self.prefix, self.locales = prefix, locales
        prefix.mkdir()
        self._set(first)
        with WindowsBox.create(prefix) as host:
            file = host.folder / "places.reg"
            file.write_bytes(registry_file.write(PLACES))
            run(prefix, "reg", "import", windows_path(file))
            for place in (PROGRAMS, DATA):
                host.path(place).mkdir()

    def speak(self, language: Language) -> WindowsBox:
        """The host in this language. Close it before another one is spoken."""
        end_wine(self.prefix)
        self._set(language)
        return WindowsBox(self.prefix)

    def _set(self, language: Language) -> None:
        variables = {"LC_ALL": f"{language.locale}.UTF-8", "LOCPATH": str(self.locales), "USER": USER, "LOGNAME": USER}
        (self.prefix / VARIABLES).write_text(json.dumps(variables), encoding="utf-8")
