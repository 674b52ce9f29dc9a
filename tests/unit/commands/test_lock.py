"""`nbserver lock` with real uv and a small index: what it writes, and what it says about an index or packages that do not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base.errors import CatalogError
from nbserver.catalog import linux_lock
from nbserver.cli import program
from nbserver.commands import render
from nbserver.inventory import reader
from tests.formats import validate
from tests.package_index import Served, put_server, put_wheel, served
from tests.rendered_folders import put

WINDOWS = '[hosts.win1]\nsystem = "windows"\naddress = "win1.example.com"\n'
LINUX = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "anna"\n'
NAMES = {"windows": "windows-x64-python3.13.txt", "linux": "linux-x64.txt"}


class Site:
    """An inventory next to an index. `run` runs the command in this process."""

    def __init__(self, folder: Path, index: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.index, self._capsys, self._monkeypatch = folder, index, capsys, monkeypatch
        self.packages = folder / "index"
        self.error = ""

    def inventory(self, settings: str, hosts: str = WINDOWS + LINUX) -> None:
        text = f'[defaults]\nnotebook.password = {{ prompt = true }}\npackages.index_url = "{self.index.url}"\n{settings}\n{hosts}'
        (self.folder / "nbserver.toml").write_text(text, "utf-8")

    def run(self, *arguments: str, code: int = 0) -> str:
        self._monkeypatch.setattr("sys.argv", ["nbserver", "lock", *arguments, "-i", str(self.folder / "nbserver.toml")])
        with pytest.raises(SystemExit) as ended:
            program.main()
        printed = self._capsys.readouterr()
        self.error = printed.err
        assert ended.value.code == code, printed
        return printed.out

    def lock(self, system: str) -> str:
        return (self.folder / "nbserver.locks" / NAMES[system]).read_text("utf-8")

    def files(self) -> dict[str, bytes]:
        return render.files(list(reader.load(self.folder / "nbserver.toml").hosts.values()))


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    put_server(tmp_path / "index")
    with served(tmp_path / "index") as index:
        yield Site(tmp_path, index, capsys, monkeypatch)


def pins(text: str) -> list[str]:
    return [line.partition(" --hash")[0] for line in text.splitlines() if line[:1] not in ("#", "") and "==1.0" not in line.split(" ;")[0]]


def test_one_lock_per_kind_is_written_rendered_and_audited(site: Site) -> None:
    put_wheel(site.packages, "pandas", "3.1", "dateutil>=2", "tzdata; sys_platform == 'win32'")
    put_wheel(site.packages, "dateutil", "2.9")
    put_wheel(site.packages, "tzdata", "2026.1")
    for python in ("310", "311", "312", "313", "314"):
        put_wheel(site.packages, "scipy", "1.15", tag=f"cp{python}-cp{python}-manylinux_2_17_x86_64")
    for python in ("312", "313", "314"):
        put_wheel(site.packages, "scipy", "1.17", tag=f"cp{python}-cp{python}-manylinux_2_17_x86_64")
    put_wheel(site.packages, "scipy", "1.17", tag="cp313-cp313-win_amd64")
    (site.folder / "requirements.txt").write_text("# analysis\nSciPy >= 1.15  # sound\n", "utf-8")
    site.inventory('packages.include = ["pandas"]\npackages.requirements = "requirements.txt"')

    with pytest.raises(CatalogError, match=r"win1: .*windows-x64-python3\.13\.txt does not exist\. Run: nbserver lock win1"):
        site.files()
    said = site.run()
    assert f"{NAMES['windows']}: written, 13 packages, for win1" in said
    assert "  added pandas 3.1\n" in said and "Resolving packages for Linux x64, Python 3.10 to 3.14" in site.error
    assert pins(site.lock("windows")) == ["dateutil==2.9", "pandas==3.1", "scipy==1.17", "tzdata==2026.1"]
    assert pins(site.lock("linux")) == [
        "dateutil==2.9",
        "pandas==3.1",
        'scipy==1.15 ; python_version <= "3.11"',
        'scipy==1.17 ; python_version >= "3.12"',
    ]
    folder = put(site.files(), site.folder / "rendered")
    assert len(audit.audit(folder, Reference.load((), [site.folder / "nbserver.locks"]))) > 10
    before = site.lock("linux")
    assert "unchanged" in site.run("--check") and site.lock("linux") == before


def test_collaboration_needs_its_package_in_the_lock(site: Site) -> None:
    put_wheel(site.packages, "jupyter-collaboration", "5.0")
    site.inventory("notebook.collaboration = true", WINDOWS)
    site.run()
    assert pins(site.lock("windows")) == ["jupyter-collaboration==5.0"]
    rendered = site.files()["win1.ps1"].decode("ascii")
    assert '"collaboration":true' in rendered.replace(" ", "") and "jupyter-collaboration==5.0" in rendered
    site.inventory('notebook.collaboration = true\npackages.include = ["Jupyter_Collaboration==4.*"]', WINDOWS)
    site.run(code=2)
    assert "Jupyter_Collaboration==4" in site.error or "jupyter-collaboration==4" in site.error
    own = site.folder / "own.txt"
    lines = site.lock("windows").splitlines()
    own.write_text("".join(f"{line}\n" for line in lines if not line.startswith("jupyter-collaboration")), "utf-8")
    site.inventory('notebook.collaboration = true\npackages.lock = "own.txt"', WINDOWS)
    with pytest.raises(CatalogError, match=r"win1: notebook.collaboration requires the package jupyter-collaboration, which .*own.txt"):
        site.files()


def test_a_first_lock_is_compared_with_what_such_a_host_has_without_it(site: Site) -> None:
    """The shipped lock for Linux has several versions of a package, and packages for old versions of Python only."""
    put_wheel(site.packages, "pandas", "3.1")
    site.inventory('packages.include = ["pandas"]\npython.version = "3.11.2"', LINUX)
    said = site.run()
    assert re.search(r"^  numpy [0-9.]+ -> 1\.0$", said, re.MULTILINE) and "  added pandas 3.1\n" in said, said
    assert any(line.startswith("exceptiongroup==") for line in linux_lock.load().lines) and "exceptiongroup" not in said


def test_versions_stay_until_they_are_upgraded(site: Site) -> None:
    put_wheel(site.packages, "pandas", "3.1")
    put_wheel(site.packages, "six", "2.0")
    site.inventory('packages.include = ["pandas", "six"]', WINDOWS)
    site.run()
    put_wheel(site.packages, "pandas", "3.2")
    put_wheel(site.packages, "six", "2.1", "dateutil")
    put_wheel(site.packages, "dateutil", "2.9")
    assert "unchanged" in site.run()
    assert "out of date" in site.run("--check", "--upgrade", "pandas", code=4)
    assert "pandas 3.1 -> 3.2" in site.run("--upgrade", "pandas")
    answer = json.loads(site.run("--upgrade-all", "--json"))
    validate("answer", answer)
    [lock] = answer["locks"]
    assert lock["changes"] == [
        {"package": "dateutil", "before": None, "after": "2.9"},
        {"package": "six", "before": "2.0", "after": "2.1"},
    ]
    assert (lock["system"], lock["python"], lock["hosts"], lock["changed"]) == ("windows", "3.13", ["win1"], True)
    site.inventory('packages.include = ["pandas"]', WINDOWS)
    with pytest.raises(CatalogError, match=r"the lock does not match the packages in the inventory\. Run: nbserver lock win1"):
        site.files()
    said = site.run()
    assert "removed six 2.1" in said and "removed dateutil 2.9" in said
    assert site.files()


def test_a_lock_that_was_edited_is_refused_and_written_again(site: Site) -> None:
    put_wheel(site.packages, "pandas", "3.1")
    site.inventory('packages.include = ["pandas"]', WINDOWS)
    site.run()
    path = site.folder / "nbserver.locks" / NAMES["windows"]
    written = path.read_text("utf-8")
    for text in (written.replace("pandas==3.1", "pandas==3.0"), written + "-e .\n"):
        path.write_text(text, "utf-8")
        with pytest.raises(CatalogError, match=r"was edited after nbserver lock wrote it|an editable package"):
            site.files()
        site.run()
        assert "was edited by hand" in site.error
        assert path.read_text("utf-8") == written
    path.write_text("pandas==3.1\n", "utf-8")
    site.run(code=2)
    path.write_text("pandas==3.1 --hash=sha256:" + "0" * 64 + "\n", "utf-8")
    site.run(code=2)
    assert "did not write this file, so it will not replace it" in site.error


def test_what_cannot_be_resolved_is_named(site: Site) -> None:
    for version, tag in (("1.1", "cp313-cp313-win_amd64"), ("1.2", "cp313-cp313-win_amd64"), ("2.0", "cp312-cp312-win_amd64")):
        put_wheel(site.packages, "scipy", version, tag=tag)
    put_wheel(site.packages, "old", "1.1", "numpy<1")
    put_wheel(site.packages, "linux-only", "1.1", tag="cp313-cp313-manylinux_2_17_x86_64")
    for include, reason in (
        (
            '"scipy==2.0"',
            "Windows x64, Python 3.13: some packages cannot be installed on these hosts: no wheel for scipy==2.0 is compatible with these hosts; versions with a compatible wheel: 1.2, 1.1. Choose a version",
        ),
        ('"scipy>=3"', "no wheel for scipy>=3 is compatible with these hosts; versions with a compatible wheel: 1.2, 1.1"),
        ('"linux-only"', "no version of linux-only has a wheel"),
        ('"absent"', "the package index has no package named absent"),
        ('"old"', "the packages cannot be installed together: "),
    ):
        site.inventory(f"packages.include = [{include}]", WINDOWS)
        site.run(code=2)
        assert reason in site.error
        assert not (site.folder / "nbserver.locks").exists()
    (site.folder / "constraints.txt").write_text("scipy<1\n", "utf-8")
    site.inventory('packages.include = ["scipy"]\npackages.constraints = "constraints.txt"', WINDOWS)
    site.run(code=2)
    assert "no wheel for scipy is compatible with these hosts; versions with a compatible wheel: 1.2, 1.1" in site.error


@pytest.mark.parametrize(
    ("status", "page", "reason"),
    [
        (401, b"", "refused the request (HTTP status 401 Unauthorized)"),
        (403, b"", "refused the request (HTTP status 403 Forbidden)"),
        (407, b"", "the workstation's proxy requires a login (HTTP status 407 Proxy Authentication Required)"),
        (200, b"<html>Log in to the portal</html>", "has no wheel for notebook on Windows x64, Python 3.13: it is not a package index"),
    ],
)
def test_an_index_that_does_not_answer_as_one(site: Site, status: int, page: bytes, reason: str) -> None:
    site.inventory('packages.include = ["pandas"]', WINDOWS)
    site.index.status, site.index.page = status, page
    site.run(code=3)
    assert reason in site.error


def test_no_index(site: Site) -> None:
    site.inventory('packages.include = ["pandas"]', WINDOWS)
    path = site.folder / "nbserver.toml"
    path.write_text(path.read_text("utf-8").replace(site.index.url, "http://127.0.0.1:1/"), "utf-8")
    site.run(code=3)
    assert "could not read the package index http://127.0.0.1:1/: " in site.error


def test_two_requests_for_one_kind_are_refused(site: Site) -> None:
    site.inventory("", WINDOWS + 'packages.include = ["pandas"]\n' + WINDOWS.replace("win1", "win2") + 'packages.include = ["six"]\n')
    site.run(code=2)
    assert "win1 and win2 would share the lock for Windows x64, Python 3.13, but need different packages" in site.error
    site.inventory("")
    site.run(code=2)
    assert "none of these hosts needs its own lock" in site.error


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-r other.txt", "options are not accepted"),
        ("six @ https://user:hunter2@example.com/six.whl", "expected a package name"),
        (f"six==1.0 --hash=sha256:{'0' * 64}", "a line with hashes belongs in a lock"),
    ],
)
def test_a_requirements_file_is_refused_with_its_line(site: Site, line: str, reason: str) -> None:
    (site.folder / "requirements.txt").write_text(f"# first\n{line}\n", "utf-8")
    site.inventory('packages.requirements = "requirements.txt"')
    site.run(code=2)
    assert f"requirements.txt:2: the list of packages is not valid: {reason}" in site.error and "hunter2" not in site.error


def test_without_uv(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.inventory('packages.include = ["pandas"]')
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/absent/python")
    monkeypatch.setattr("sysconfig.get_path", lambda name, scheme="": f"/absent/{name}")
    site.run(code=2)
    assert 'this command requires uv, which is not installed. Run: pip install "nbserver[lock]"' in site.error


def test_an_index_with_a_login(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    password = "p@ss:w/rd%41"
    site.index.login = f"ci:{password}"
    put_wheel(site.packages, "pandas", "3.1+site")
    settings = 'packages.include = ["pandas"]\npackages.index_user = "ci"\npackages.index_password = { env = "INDEX_PASSWORD" }'
    site.inventory(settings, WINDOWS)
    monkeypatch.setenv("INDEX_PASSWORD", "wrong-password")
    site.run(code=3)
    assert f"the package index {site.index.url} refused the request (HTTP status 401 Unauthorized)" in site.error
    assert "wrong-password" not in site.error
    monkeypatch.setenv("INDEX_PASSWORD", password)
    assert "added pandas 3.1+site" in site.run()
    assert site.index.logins[-1] == site.index.login
    assert password not in site.lock("windows") + site.error
