"""For an nbserver whose host has a disk mounted in one of its folders: Wine shows that as a link, which the script would refuse.

Python imports this before all else where its folder is in PYTHONPATH: the script is then rendered with a Test-Link that finds none.
"""

from __future__ import annotations

from dataclasses import replace

from nbserver.render import step_files
from nbserver.render.body import Body

FINDS = "    [bool]([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReparsePoint)\n"
_read_body = step_files.read_body


def read_body(kind: str, scope: str) -> Body:
    body = _read_body(kind, scope)
    assert kind != "ps_scripts" or body.text.count(FINDS) == 1
    return replace(body, text=body.text.replace(FINDS, "    $false\n"))


step_files.read_body = read_body
