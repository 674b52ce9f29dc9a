"""Write the result of a run as JUnit XML, which pipelines show: one test case per host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import atomic_file, utc
from nbserver.base.errors import UsageError
from nbserver.base.message import notice
from nbserver.base.output_file import require_no_other_content
from nbserver.base.standard_streams import warn
from nbserver.base.writable_folder import require_writable_now

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.run.result import Result

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 does not have
COMMANDS = {"test": "plan", "request": "certificate request"}


class JunitFile:
    """Writes `path` at the end of a run, in one step. A failure to write it is a warning, because the run has ended by then.

    Raises UsageError if its folder does not exist or cannot be written, and if the file is a link or has other content.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            require_writable_now(path.absolute().parent)  # a folder that is missing is not created, as with --log
            is_link = path.is_symlink()
        except OSError as error:
            raise UsageError(
                "junit-folder-not-writable",
                "could not write to the folder that contains {file} ({reason})",
                todo="Make sure that the folder exists and is writable, or choose another file with --junit",
                file=path,
                reason=error.strerror or type(error).__name__,
            ) from None
        if is_link:
            raise UsageError("junit-is-link", "{file} is a link", todo="Use --junit to specify the file that the link points to", file=path)
        try:
            atomic_file.require_replaceable(path)
        except OSError as error:
            raise UsageError(
                "junit-not-replaceable",
                "{file} cannot be replaced ({reason})",
                todo="Choose another file with --junit",
                file=path,
                reason=error.strerror,
            ) from None
        require_no_other_content(path)
        self._start = utc.now()

    def begin(self, mode: str, steps: Mapping[str, tuple[str, ...]]) -> None:
        self._start = utc.now()

    def host_began(self, host: str) -> None:
        pass

    def event(self, host: str, event: Event) -> None:
        pass

    def host_ended(self, result: Result) -> None:
        pass

    def interrupted(self) -> None:
        pass

    def end(self) -> None:
        pass

    def summary(self, mode: str, results: Mapping[str, Result], folder: Path) -> None:
        try:
            atomic_file.write_bytes(self._path, document(mode, results, folder, f"{self._start:%Y-%m-%dT%H:%M:%S}"))
        except OSError as error:
            warn(
                notice(
                    "junit-not-written",
                    "could not write {file} ({reason}). Choose another file with --junit",
                    file=self._path,
                    reason=str(error.strerror),
                )
            )


def document(mode: str, results: Mapping[str, Result], folder: Path, start: str) -> bytes:
    """Return the XML. `start` is a time in UTC, without a time zone, as the format has it."""
    from xml.etree import ElementTree

    name = f"nbserver {COMMANDS.get(mode, mode)}"
    failures = {host: failure for host, result in results.items() if (failure := _failure(result))}
    seconds = f"{sum(result.seconds or 0 for result in results.values()):.1f}"
    counts = {"tests": str(len(results)), "failures": str(len(failures)), "errors": "0", "time": seconds}
    suites = ElementTree.Element("testsuites", {"name": "nbserver", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, "timestamp": start, "skipped": "0", **counts})
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", {"name": "run", "value": _text(str(folder))})
    for host, result in results.items():
        case = ElementTree.SubElement(suite, "testcase", {"classname": name, "name": host, "time": f"{result.seconds or 0:.1f}"})
        if host in failures:
            kind, said = failures[host]
            ElementTree.SubElement(case, "failure", {"type": kind, "message": said}).text = said
        lines = [f"outcome: {result.outcome}", *(f"{step}: {ended}" for step, ended in result.steps.items())]
        ElementTree.SubElement(case, "system-out").text = _text("\n".join(lines))
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def _failure(result: Result) -> tuple[str, str] | None:
    """Return the type and the message of a failure, or None. A server that does not run is one, as for the exit code."""
    if kind := result.error_kind:
        return kind, _text(result.error or result.outcome)
    if result.status is not None and not result.status.is_running:
        state = result.status.found["service"]["state"]
        return "step", str(
            notice(
                "server-does-not-run",
                "{name}: the notebook server is not running ({state}). To start it, run nbserver restart {name}",
                name=result.host,
                state=state,
            )
        )
    return None


def _text(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
