"""What the steps choose on which distribution: packages, the program that runs, the text of the unit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import SOURCE
from tests.linux import parts
from tests.linux.fixtures import sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]

SYSTEMS = {  # name -> package manager, ID, VERSION_ID
    "Debian 12": ("apt", "debian", "12"),
    "Ubuntu 24.04": ("apt", "ubuntu", "24.04"),
    "Leap 15.6": ("zypper", "opensuse-leap", "15.6"),
    "SLES 15": ("zypper", "sles", "15.7"),
    "SLES 16": ("zypper", "sles", "16.0"),
    "Leap 16": ("zypper", "opensuse-leap", "16.0"),
    "Tumbleweed": ("zypper", "opensuse-tumbleweed", "20261120"),
}
CODE = "".join(parts.step(name) for name in ("python", "packages", "certificate", "notebook", "service"))


def on(system: str, code: str, **variables: str) -> tuple[int, str]:
    """Runs code behind these steps: its exit code, and what it printed."""
    manager, name, version = SYSTEMS[system]
    values = {"PACKAGE_MANAGER": manager, "SYSTEM_ID": name, "SYSTEM_VERSION": version, "SYSTEM_NAME": system, **variables}
    given = "".join(f"{key}='{value}'\n" for key, value in values.items())
    done = parts.run(f"{CODE}\n{given}\n{code}")
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize(
    ("system", "version", "program", "packages"),
    [
        ("Debian 12", "", "/usr/bin/python3", "python3 python3-venv"),
        ("Ubuntu 24.04", "3.13", "/usr/bin/python3.13", "python3.13 python3.13-venv"),
        ("Ubuntu 24.04", "3", "/usr/bin/python3", "python3 python3-venv"),
        ("Debian 12", "3.11.2", "/usr/bin/python3.11", "python3.11 python3.11-venv"),
        ("Leap 15.6", "", "/usr/bin/python3.11", "python311"),
        ("SLES 15", "3.12", "/usr/bin/python3.12", "python312"),
        ("SLES 15", "", "/usr/bin/python3.11", "python311"),
        ("SLES 16", "", "/usr/bin/python3.13", "python313"),
        ("Leap 16", "", "/usr/bin/python3.13", "python313"),
        ("Tumbleweed", "", "/usr/bin/python3.13", "python313"),
        ("Tumbleweed", "3.11", "/usr/bin/python3.11", "python311"),
    ],
)
def test_python_is_the_distributions(system: str, version: str, program: str, packages: str) -> None:
    code, out = on(system, 'choose_python; printf "%s\\n" "$PYTHON" "${PYTHON_PACKAGES[*]}"', NB_PYTHON_VERSION=version)
    assert (code, out.splitlines()) == (0, [program, packages])


@pytest.mark.parametrize(
    ("installed", "wanted", "words"),
    [
        ("3.9.2-3", "", "version 3.9.2 of python3, but Python 3.10"),
        ("3.11.2-1+b1", "3.11.20", "version 3.11.2, but python.version in the inventory is"),
        ("3.1-1", "", "Python 3.10 or newer is required"),
    ],
)
def test_another_python_than_wanted_is_refused(installed: str, wanted: str, words: str) -> None:
    fake = f"read_packages() {{ local name; for name in \"$@\"; do PACKAGES[$name]='{installed}'; done; }}\nRUN_STEP=python\npython_test"
    code, out = on("Debian 12", fake, NB_PYTHON_VERSION=wanted)
    assert code == 3 and words in json.loads(out.splitlines()[-1])["text"]


@pytest.mark.parametrize("version", ["3.10.12-1~22.04", "3.11.2-1+b1", "3.13.5-1", "3.14.0-1"])
def test_a_python_of_3_10_or_newer_is_taken(version: str) -> None:
    fake = f"read_packages() {{ local name; for name in \"$@\"; do PACKAGES[$name]='{version}'; done; }}\nRUN_STEP=python\npython_test"
    assert on("Debian 12", fake + '\nprintf %s "${#DIFFERENCES[@]}"') == (0, "0")


# In user scope. `HIDE` leaves the root file system without a Python but the one that it moves to a folder of a user.
HIDE = (
    'mkdir -p /opt/own/bin && cp "$(readlink -f /usr/bin/python3)" /opt/own/bin/python && rm -f /usr/bin/python3* /usr/local/bin/python3*'
)
CHOOSE = "RUN_STEP=python\npython_test\nprintf '%s\\n' \"$PYTHON\"\n"


def choose_own(sandbox: Sandbox, **python: str | None) -> tuple[int, str]:
    text = parts.script([], scope="user", python={"program": None, "version": None, **python}).rpartition("main ")[0]
    sandbox.write("/opt/choose.sh", f"{text}\nHOME_FOLDER=/home/anna\nexec 3>&1\n{parts.step('python', 'user')}{CHOOSE}")
    done = sandbox.run("bash", "/opt/choose.sh", check=False)
    return done.returncode, done.stdout.decode().strip()


def test_the_distributions_python_first_then_the_one_that_runs_nbserver(sandbox: Sandbox) -> None:
    if sandbox.run("/usr/bin/python3", "-I", "-c", "import ensurepip, venv", check=False).returncode:
        pytest.skip("this needs a /usr/bin/python3 with venv (Debian's python3-venv)")
    minor = sandbox.run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.decode().strip()
    assert choose_own(sandbox, program="/opt/own/bin/python") == (0, "/usr/bin/python3")
    sandbox.run("bash", "-c", HIDE)
    assert (
        choose_own(sandbox, program="/opt/own/bin/python")
        == choose_own(sandbox, program="/opt/own/bin/python", version=minor)
        == (0, "/opt/own/bin/python")
    )
    for refused in ({"program": "/opt/own/bin/python", "version": "3.99"}, {"program": "/opt/none"}, {"program": "/opt/own"}, {}):
        code, out = choose_own(sandbox, **refused)
        words = "run nbserver with a suitable Python from uv or conda"
        assert code == 3 and (words if refused else "with the venv and ensurepip modules. Run sudo apt install") in json.loads(out)["text"]
    sandbox.run("mkdir", "-p", "/home/anna/.local/bin")
    sandbox.run("mv", "/opt/own/bin/python", "/home/anna/.local/bin/python3")
    assert choose_own(sandbox) == (0, "/home/anna/.local/bin/python3")


def test_a_script_of_this_machine_names_the_python_that_runs_nbserver(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    code = "from nbserver.catalog.linux_lock import load; from nbserver.render.linux_host import render; from nbserver.inventory.local_linux_host import LocalLinuxHost\n"
    code += "for scope in ('user', 'machine'): print(render(LocalLinuxHost(scope=scope), load()).text.partition('NB_PYTHON_PROGRAM=')[2].partition('\\n')[0])"
    variables = {"PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path]), "PATH": os.environ["PATH"]}
    done = subprocess.run([str(environment / "bin" / "python"), "-c", code], env=variables, capture_output=True, text=True, check=True)
    user, machine = done.stdout.splitlines()
    assert machine == "''" and not user.startswith(f"'{environment}")
    assert Path(user.strip("'")).samefile(Path(sys.base_prefix, "bin", "python3"))


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("source", ["auto", "wheels"])
def test_wheels_need_no_package_but_python(system: str, source: str) -> None:
    code, out = on(system, 'choose_packages; printf "%s %s" "${#NOTEBOOK_PACKAGES[@]}" "$NOTEBOOK_PYTHON"', NB_PACKAGES_SOURCE=source)
    assert (code, out) == (0, "0 /opt/nbserver/env-00000000/bin/python")


@pytest.mark.parametrize(
    ("system", "first"), [("Debian 12", "jupyter-notebook"), ("Ubuntu 24.04", "jupyter-notebook"), ("Tumbleweed", "python313-notebook")]
)
def test_the_distributions_own_packages(system: str, first: str) -> None:
    show = 'choose_python; choose_packages; printf "%s %s" "${NOTEBOOK_PACKAGES[0]}" "$([[ $NOTEBOOK_PYTHON == "$PYTHON" ]] && echo same)"'
    assert on(system, show, NB_PACKAGES_SOURCE="distribution") == (0, f"{first} same")


@pytest.mark.parametrize(("system", "version"), [("Leap 15.6", ""), ("SLES 15", ""), ("Leap 16", ""), ("Debian 12", "3.11")])
def test_what_no_distribution_has_is_refused(system: str, version: str) -> None:
    code, out = on(system, "RUN_STEP=packages\nchoose_packages", NB_PACKAGES_SOURCE="distribution", NB_PYTHON_VERSION=version)
    event = json.loads(out.splitlines()[-1])
    assert code == 3 and event["event"] == "failed" and ("python.version" if version else "wheels") in event["text"]


def unit(port: str = "9999", directory: str = "/srv/notebooks") -> tuple[int, str]:
    return on("Debian 12", 'unit_text; printf %s "$REPLY"', NB_NOTEBOOK_PORT=port, NB_NOTEBOOK_DIRECTORY=directory)


def test_only_a_port_below_1024_has_a_capability() -> None:
    assert "CAP_NET_BIND_SERVICE" not in unit()[1] and "\nCapabilityBoundingSet=\n" in unit()[1]
    assert "\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit("443")[1]


@pytest.mark.parametrize(
    ("directory", "home"),
    [
        ("/srv/100% of it", "ProtectHome=yes"),
        ("/home/anna/n", 'ProtectHome=tmpfs\nBindPaths="/home/anna/n"'),
        ("/homes/anna", "ProtectHome=yes"),
    ],
)
def test_home_folders_are_hidden_but_for_the_notebooks(directory: str, home: str) -> None:
    _, text = unit(directory=directory)
    assert f"\n{home}\n" in text
    assert f'\nReadWritePaths=/var/lib/nbserver/work "{directory.replace("%", "%%")}"\n' in text


@pytest.mark.parametrize("directory", ['/srv/a"b', "/srv/a\\b", "/srv/a:b", "/srv/a\nExecStart=/bin/false"])
def test_a_folder_that_no_unit_can_name_is_refused(directory: str) -> None:
    code, out = unit(directory=directory)
    assert code == 3 and "notebook.directory" in json.loads(out.splitlines()[-1])["text"]


@pytest.mark.parametrize("env_first", [True, False])
def test_uv_gets_what_pip_is_configured_for(tmp_path: Path, env_first: bool) -> None:
    """pip 23 sorts and merges, pip 26 lists every file in the order in which they count."""
    files = [
        "global.proxy='http://a.example.com'",
        "global.index-url='https://first.example.com'",
        "global.index-url='https://last.example.com'",
    ]
    files += ["install.proxy='http://b.example.com'", "global.proxy='http://c.example.com'", "download.index-url='https://not.example.com'"]
    files += [r"global.extra-index-url='https://a.example.com\nhttps://b.example.com'", "install.index-url='https://install.example.com'"]
    environment = [":env:.proxy='http://environment.example.com'"]
    (tmp_path / "pip.txt").write_text("\n".join(environment + files if env_first else files + environment) + "\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$*" = "-I -m pip config list" ] && cat "{tmp_path}/pip.txt"\n')
    python.chmod(0o755)
    code = 'exec 3>/dev/null; NOTEBOOK_PYTHON=$1 PROXY=(); read_own_package_environment; printf "%s\n" "${PROXY[@]}"'
    done = parts.run(code, str(python), scope="user")
    status, out = done.returncode, done.stdout.decode()
    found = [line for line in out.splitlines() if "_CERT" not in line]
    assert status == 0 and found == [
        "PIP_INDEX_URL=https://install.example.com",
        "UV_DEFAULT_INDEX=https://install.example.com",
        "PIP_EXTRA_INDEX_URL=https://a.example.com https://b.example.com",
        "UV_INDEX=https://a.example.com https://b.example.com",
        "UV_INDEX_STRATEGY=unsafe-best-match",
        "http_proxy=http://environment.example.com",
        "https_proxy=http://environment.example.com",
    ]
