"""Damage to what was installed is seen and repaired: the step packages, which installs one small package. test_cleanup.py installs a real environment."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from nbserver.notebooks.part import Part
from nbserver.run.envelope import Envelope
from tests.linux import parts
from tests.linux.fixtures import Run, record, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
ENVIRONMENT = "/opt/nbserver/env-aaaaaaaa"
LISTS = "/var/lib/nbserver/state/installed"
SITE = "lib/python3.11/site-packages"
MODULE = f"{ENVIRONMENT}/{SITE}/small/module.py"
FILES = {
    f"{SITE}/small/module.py": "import sys\n",
    f"{SITE}/small/in, deed.txt": "text\n",
    "bin/small": "#!/bin/sh\n",
    f"{SITE}/small/none.txt": "",
}


def recorded(name: str, text: str) -> str:
    """The line of a file in RECORD, with its path from site-packages."""
    path = name.removeprefix(f"{SITE}/") if name.startswith(SITE) else f"../../../{name}"
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return (f'"{path}"' if "," in path else path) + f",sha256={digest},{len(text)}"


RECORD = "\r\n".join([*(recorded(name, text) for name, text in FILES.items()), "small-1.0.dist-info/RECORD,,", "small/none.pyc,,", ""])
WRITES = "\n".join(f"printf %s '{text}' >'{name}'" for name, text in {**FILES, f"{SITE}/small-1.0.dist-info/RECORD": RECORD}.items())
INSTALLATION = f"""
LOCK=('small==1.0 --hash=sha256:{"b" * 64}') PYTHON=/usr/bin/python3
create_environment() {{
    mkdir -p "$ENVIRONMENT"
    cd "$ENVIRONMENT"
    mkdir -p bin {SITE}/small {SITE}/small-1.0.dist-info
    ln -s python3 bin/python
    ln -s "$PYTHON" bin/python3
    {WRITES}
    chmod -R u=rwX,go=rX .
    cd /
}}
install_with_pip() {{ :; }}
choose_python() {{ :; }}
"""
THOROUGH, REPAIR = "thorough yes\n", "repair yes\n"


def go(host: Sandbox, mode: str, *options: str, scope: str = "machine") -> Run:
    packages = {"index_url": None, "installer": "pip", "lock_sha256": "a" * 64, "source": "wheels" if scope == "machine" else "auto"}
    steps = [INSTALLATION, parts.step("packages", scope)]
    done = run(host, mode, steps, secrets="".join(options), packages=packages, scope=scope)
    assert done.outcome == "ok", (done.events, done.errors)
    return done


def told(done: Run) -> list[tuple[str, Any]]:
    """(code, values) of each difference."""
    return [(event["code"], event["values"]) for event in done.of("difference")]


def codes(done: Run) -> list[str]:
    return [code for code, _ in told(done)]


def damage(host: Sandbox, command: str) -> None:
    host.run("bash", "-c", f"set -e; module={MODULE}; touch -r $module /tmp/time; {command}")


def mark(host: Sandbox) -> bytes:
    """When the environment was created."""
    return host.run("stat", "-c", "%.9Y", f"{ENVIRONMENT}/nbserver.lock").stdout


@pytest.fixture
def host(sandbox: Sandbox) -> Sandbox:
    sandbox.run("bash", "-c", "rm -rf /opt/nbserver /var/lib/nbserver")
    assert ("packages", "changed") in go(sandbox, "apply").steps
    assert told(go(sandbox, "test", THOROUGH)) == []
    return sandbox


def test_a_plan_sees_damage_and_an_apply_repairs_it(host: Sandbox) -> None:
    created = mark(host)
    damage(host, 'echo "import os" >>"$module"')
    assert told(go(host, "test")) == [("files-changed", {"count": "1", "path": MODULE})]
    for command, expected in (
        ('rm -r "${module%/*}"', ["files-missing"]),
        ("chown 1:1 $module", ["files-changed"]),
        ("chmod 666 $module", ["files-changed"]),
        ("chmod 777 ${module%/*}", ["files-changed"]),
        ("ln -sfn /usr/bin/env " + ENVIRONMENT + "/bin/python3", ["files-changed"]),
    ):
        done = go(host, "apply")
        assert codes(done) and ("packages", "changed") in done.steps
        assert done.of("restored") == [], "the damaged environment, which was set aside, is not back"
        assert told(go(host, "test", THOROUGH)) == []
        damage(host, command)
        assert codes(go(host, "test")) == expected, command
    assert mark(host) != created
    assert go(host, "undo").outcome == "ok" and record(host) == []
    assert not host.exists("/opt/nbserver") and not host.exists(LISTS)


def test_what_keeps_size_and_time_is_seen_by_a_thorough_plan(host: Sandbox) -> None:
    """Neither the changed program nor its RECORD is asked. A repair needs nothing that differs."""
    lie = f"rm {ENVIRONMENT}/bin/python3; printf '#!/bin/sh\\necho >/tmp/lied\\n' >{ENVIRONMENT}/bin/python3; chmod 755 {ENVIRONMENT}/bin/python3"
    damage(host, 'sed -i "1s/./#/" "$module"; touch -r /tmp/time "$module"')
    assert told(go(host, "test")) == []
    assert told(go(host, "test", THOROUGH)) == [("files-other-content", {"count": "1", "path": MODULE})]
    damage(host, 'sed -i "s/,sha256=.*/,,/" "${module%/*/*}"/small-*.dist-info/RECORD; ' + lie)
    assert codes(go(host, "test", THOROUGH)) == ["files-changed", "files-other-content"] and not host.exists("/tmp/lied")
    done = go(host, "apply", REPAIR)
    assert codes(done) == ["repair-requested"] and ("packages", "changed") in done.steps and not host.exists("/tmp/lied")
    created = mark(host)
    assert told(go(host, "test", THOROUGH)) == []
    assert ("packages", "changed") in go(host, "apply", REPAIR).steps and mark(host) != created


def test_a_host_whose_packages_are_installed_again_needs_their_files_again(host: Sandbox) -> None:
    """With downloads.source = "push", the workstation sends what mode missing says, before mode apply removes anything."""
    parts = Envelope("missing", "run-1", parts=(Part("small-1.0-py3-none-any.whl", 9, "b" * 64, 0, 0),)).lines()
    (offered,) = (f"{line}\n" for line in parts if line.startswith("part "))

    def state(*options: str) -> str:
        (file,) = go(host, "missing", offered, *options).of("file")
        return str(file["state"])

    assert (state(), state(REPAIR)) == ("needless", "absent")
    damage(host, 'sed -i "1s/./#/" "$module"; touch -r /tmp/time "$module"')
    assert (state(), state(THOROUGH)) == ("needless", "absent"), "a default plan does not see it, so apply keeps the environment"


def test_a_folder_that_others_could_write_to_is_closed_and_read(host: Sandbox) -> None:
    created = mark(host)
    damage(host, "chmod 777 /opt/nbserver; chown 1:1 /opt/nbserver")
    assert codes(go(host, "test")) == ["access-differs"]
    assert ("packages", "changed") in go(host, "apply").steps
    assert host.access("/opt/nbserver") == "root:root 755" and mark(host) == created, "the environment is as it was"
    damage(host, 'chmod 777 /opt/nbserver; sed -i "1s/./#/" "$module"; touch -r /tmp/time "$module"')
    assert codes(go(host, "test")) == ["access-differs", "files-other-content"]
    go(host, "apply")
    assert mark(host) != created and told(go(host, "test", THOROUGH)) == []


def test_a_kernel_of_the_site_is_a_warning(host: Sandbox) -> None:
    damage(host, f"mkdir -p {ENVIRONMENT}/share/jupyter/kernels/other; echo {{}} >{ENVIRONMENT}/share/jupyter/kernels/other/kernel.json")
    for mode in ("test", "apply"):
        done = go(host, mode)
        (warning,) = done.of("warning")
        assert warning["code"] == "files-added" and told(done) == []
    assert go(host, "apply", REPAIR).outcome == "ok" and go(host, "test").of("warning") == []


def test_packages_that_a_person_changed_are_named_and_an_apply_restores_the_lock(host: Sandbox) -> None:
    site = f"{ENVIRONMENT}/{SITE}"
    damage(host, f"cd {site}; mv small-1.0.dist-info Small-1.1.dist-info; mkdir other_Package-2.0.dist-info; touch other.py")
    done = go(host, "test")
    found = [(event["code"], event["values"], event["is"], event["should"]) for event in done.of("difference")]
    assert found[:2] == [
        ("package-added", {"name": "other-package"}, "2.0", None),
        ("package-changed", {"name": "small"}, "1.1", "1.0"),
    ]
    assert done.of("warning") == [], "an added package is a difference"
    assert ("packages", "changed") in go(host, "apply").steps and told(go(host, "test", THOROUGH)) == []
    damage(host, f"cd {site}; rm -r small-1.0.dist-info; for i in {{10..20}}; do mkdir x$i-1.dist-info; done")
    assert told(go(host, "test"))[9:11] == [("package-added", {"name": "x18"}), ("packages-changed", {"count": "2"})]
    assert go(host, "test").of("difference")[0]["code"] == "package"


def test_what_an_earlier_release_installed_gets_its_lists(host: Sandbox) -> None:
    created = mark(host)
    host.run("rm", "-r", LISTS)
    assert codes(go(host, "test")) == ["files-not-listed"] == codes(go(host, "test", THOROUGH)), "nothing is called damaged"
    assert ("packages", "changed") in go(host, "apply").steps
    assert mark(host) == created and told(go(host, "test", THOROUGH)) == [], "it was not installed again"
    host.run("rm", "-r", LISTS)
    damage(host, 'sed -i "1s/./#/" "$module"; touch -r /tmp/time "$module"')
    assert codes(go(host, "test")) == ["files-not-listed"]
    assert codes(go(host, "test", THOROUGH)) == ["files-not-listed", "files-other-content"], "RECORD knows its hash"
    go(host, "apply")
    assert mark(host) != created and told(go(host, "test", THOROUGH)) == []


def test_in_user_scope_too(sandbox: Sandbox) -> None:
    programs = f"{Path.home()}/.local/share/nbserver"
    sandbox.run("bash", "-c", 'mkdir -p "$HOME" && cd && rm -rf .local/share/nbserver .local/state/nbserver .config/nbserver')
    go(sandbox, "apply", scope="user")
    sandbox.run(
        "bash",
        "-c",
        f"mkdir {programs}/env-aaaaaaaa/{SITE}/more-1.dist-info; echo >{programs}/env-aaaaaaaa/more; echo >>{programs}/env-aaaaaaaa/bin/small",
    )
    done = go(sandbox, "test", scope="user")
    assert told(done) == [("files-changed", {"count": "1", "path": f"{programs}/env-aaaaaaaa/bin/small"})]
    assert "package-added" not in codes(done) and done.of("warning") == [], "a notebook may install packages"
    assert ("packages", "changed") in go(sandbox, "apply", scope="user").steps
    assert told(go(sandbox, "test", THOROUGH, scope="user")) == []


def test_another_python_version_is_another_environment(tmp_path: Path) -> None:
    """The environment is named after the lock, which is the same for all of them."""
    (tmp_path / "env/lib/python3.11").mkdir(parents=True)
    code = """ENVIRONMENT=$1/env
for NB_PYTHON_VERSION in '' 3.11 3.11.7 3.12 3.1; do DIFFERENCES=(); compare_python_of_environment; printf '%s\\n' "${DIFFERENCES[*]}"; done >&3"""
    found = [line.split(" ")[0] for line in parts.run(code, str(tmp_path)).stdout.decode().splitlines()]
    assert found == ["", "", "", "environment-python", "environment-python"]


@pytest.mark.parametrize(("scope", "expected"), [("machine", ["", "environment-python", ""]), ("user", ["", "", ""])])
def test_an_environment_follows_the_python_of_the_distribution(tmp_path: Path, scope: str, expected: list[str]) -> None:
    """Also if the previous Python is still there. In user scope, notebooks may have installed packages in it."""
    (tmp_path / "env/lib/python3.11").mkdir(parents=True)
    for minor in (11, 12):
        (tmp_path / f"python3.{minor}").touch()
    code = """ENVIRONMENT=$1/env PYTHON=$1/python3 NB_PYTHON_VERSION=''
for program in python3.11 python3.12 none; do
    rm -f "$PYTHON"; ln -s "$1/$program" "$PYTHON"
    DIFFERENCES=(); compare_python_of_environment; printf '%s\\n' "${DIFFERENCES[*]}"
done >&3"""
    found = [line.split(" ")[0] for line in parts.run(code, str(tmp_path), scope=scope).stdout.decode().splitlines()]
    assert found == expected
