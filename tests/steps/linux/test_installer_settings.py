"""Which settings of pip and uv are used, and that all others change nothing. pip and uv are real."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.linux import parts
from tests.package_index import put_wheel, served

# Without the configuration of the machine that runs this test.
ALONE = 'unset "${!PIP_@}" "${!UV_@}" SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE; export XDG_CONFIG_DIRS=/none\n'
SHOW = """
exec 3>"$2"
NOTEBOOK_PYTHON=$1
read_package_environment
read_own_package_environment
printf '%s\\n' "${PROXY[@]}" "${LOCK_OPTIONS[@]}"
printf 'settings %s\\n' "$INSTALLER_SETTINGS"
"""
CONFIGURATION = """[global]
index-url = https://packages.example.com/simple
extra-index-url =
    https://a.example.com/simple
    https://b.example.com/simple
find-links = /srv/wheels
proxy = http://proxy.example.com:3128
cert = {cert}
trusted-host = packages.example.com
user = true
target = /srv/elsewhere
require-virtualenv = true
quiet = 3
log = /no/such/folder/log
[install]
index-url = https://install.example.com/simple
"""
USED = "index-url extra-index-url find-links trusted-host proxy cert"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the pip that it brings, as the script's environment has."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin/python"


def exported(variables: dict[str, str]) -> str:
    return "".join(f"export {name}='{value}'\n" for name, value in variables.items())


def show(tmp_path: Path, python: Path, variables: dict[str, str], **settings: str) -> tuple[set[str], list[dict[str, object]]]:
    """Return the variables and options for pip and uv, and the events."""
    given = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), **variables}
    code = ALONE + exported(given) + "".join(f"NB_{name}='{value}'\n" for name, value in settings.items()) + SHOW
    events = tmp_path / "events"
    done = parts.run(code, str(python), str(events), scope="user")
    assert (done.returncode, done.stderr) == (0, b"")
    return set(done.stdout.decode().splitlines()), [json.loads(line) for line in events.read_text().splitlines()]


def test_only_what_says_where_packages_come_from_is_used(tmp_path: Path, python: Path) -> None:
    cert = tmp_path / "authorities.pem"
    cert.write_text("")
    (tmp_path / "pip.conf").write_text(CONFIGURATION.format(cert=cert))
    hostile = {"PIP_TARGET": "/srv/other", "PIP_PYTHON": "/no/python", "UV_OFFLINE": "1", "UV_INDEX_URL": "https://no.example.com"}
    found, events = show(tmp_path, python, {**hostile, "REQUESTS_CA_BUNDLE": "/no/file", "PIP_EXTRA_INDEX_URL": "https://c.example.com"})
    names = {line.partition("=")[0] for line in found}
    assert not names & {"PIP_TARGET", "PIP_USER", "PIP_PYTHON", "UV_OFFLINE", "UV_INDEX_URL"}
    assert found >= {
        "PIP_CONFIG_FILE=/dev/null",
        "UV_NO_CONFIG=1",
        "UV_SYSTEM_CERTS=1",
        "PIP_INDEX_URL=https://install.example.com/simple",
        "UV_DEFAULT_INDEX=https://install.example.com/simple",
        "PIP_EXTRA_INDEX_URL=https://c.example.com",
        "UV_INDEX=https://c.example.com",
        "PIP_FIND_LINKS=/srv/wheels",
        "UV_FIND_LINKS=/srv/wheels",
        "PIP_TRUSTED_HOST=packages.example.com",
        "UV_INSECURE_HOST=packages.example.com",
        f"PIP_CERT={cert}",
        f"SSL_CERT_FILE={cert}",
        "http_proxy=http://proxy.example.com:3128",
        "https_proxy=http://proxy.example.com:3128",
        f"settings packages.index_url, downloads.proxy, pip {USED}",
    }
    used, ignored = (event["values"] for event in events if event["event"] == "log")
    assert used == {"options": USED}
    assert isinstance(ignored, dict) and set(ignored["options"].split()) >= {"user", "target", "require-virtualenv"}


def test_the_inventory_takes_precedence(tmp_path: Path, python: Path) -> None:
    (tmp_path / "pip.conf").write_text(CONFIGURATION.format(cert="/no/file"))
    inventory = {"PACKAGES_INDEX_URL": "https://inventory.example.com", "DOWNLOADS_PROXY": "http://inventory.example.com:1"}
    found, _ = show(tmp_path, python, {}, **inventory)
    names = {line.partition("=")[0] for line in found}
    assert not names & {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"}
    assert "https_proxy=http://inventory.example.com:1" in found


def test_a_folder_of_wheels_instead_of_an_index(tmp_path: Path, python: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nno-index = yes\nfind-links = /srv/a /srv/b\n")
    found, _ = show(tmp_path, python, {})
    assert found >= {"--no-index", "PIP_FIND_LINKS=/srv/a /srv/b", "UV_FIND_LINKS=/srv/a,/srv/b"}


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_authorities_of_the_environment_count_for_pip_and_uv(tmp_path: Path, name: str) -> None:
    python = tmp_path / "python"  # its pip has no configuration, not even that of the machine that runs this test
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    (tmp_path / "authorities.pem").write_text("")
    found, _ = show(tmp_path, python, {name: str(tmp_path / "authorities.pem")})
    assert found >= {f"PIP_CERT={tmp_path}/authorities.pem", f"SSL_CERT_FILE={tmp_path}/authorities.pem"}


def test_a_configuration_that_pip_cannot_read_is_named(tmp_path: Path, python: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url = https://anna:s3cret@packages.example.com\n")
    done = parts.run(
        ALONE + exported({"PIP_CONFIG_FILE": f"{tmp_path}/pip.conf"}) + SHOW, str(python), str(tmp_path / "events"), scope="user"
    )
    (event,) = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert (done.returncode, event["code"]) == (3, "pip-configuration-unreadable")
    assert (
        f"{tmp_path}/pip.conf" in event["text"]
        and "s3cret" not in str(event)
        and event["text"].endswith("Correct the pip configuration file, then try again")
    )


@pytest.mark.parametrize("scope", ["user", "machine"])
def test_pip_and_uv_install_despite_hostile_settings(tmp_path: Path, python: Path, scope: str) -> None:
    """Each of these settings alone would install nothing, or install it elsewhere."""
    home = tmp_path / "home"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/uv").mkdir()
    (home / ".config/pip/pip.conf").write_text("[global]\nuser = true\n[install]\nprefix = /srv/elsewhere\nno-binary = :all:\n")
    (home / ".config/uv/uv.toml").write_text('exclude-newer = "2020-01-01T00:00:00Z"\noffline = true\n')
    variables = {"HOME": str(home), "PIP_TARGET": str(tmp_path / "a"), "PIP_PYTHON": "/no/python", "UV_OFFLINE": "1", "UV_TARGET": "b"}
    code = ALONE + exported(variables)
    code += "exec 3>$3; NOTEBOOK_PYTHON=$1; read_package_environment\n"
    if scope == "user":
        code += "read_own_package_environment\n"
    code += 'run_program "${PROXY[@]}" "$1" -I -m pip config list\n'
    code += 'run_program "${PROXY[@]}" "$2" pip install --python "$1" --dry-run --show-settings none\n'
    uv, events = Path(sys.executable).with_name("uv"), tmp_path / "events"
    done = parts.run(code, str(python), str(uv), str(events), scope=scope)
    assert done.returncode == 0, done.stderr
    said = "\n".join(json.loads(line)["text"].strip() for line in events.read_text().splitlines())
    for name in ("user", "prefix", "target", "no-binary", "python"):
        assert f".{name}=" not in said
    assert "exclude_newer: ExcludeNewer {\nglobal: None" in said and "connectivity: Online" in said and "\ntarget: None" in said


def test_the_pip_of_this_environment_reads_no_file_with_dev_null(tmp_path: Path, python: Path) -> None:
    """What the script relies on: /dev/null as PIP_CONFIG_FILE turns off every file."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/pip.conf").write_text("[global]\nuser = true\n")
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("PIP_")}, "XDG_CONFIG_HOME": str(tmp_path)}
    command = [python, "-I", "-m", "pip", "config", "list"]
    assert "user" in subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(command, env={**environment, "PIP_CONFIG_FILE": "/dev/null"}, capture_output=True, text=True, check=True)
    assert "user" not in done.stdout


INSTALL = """
exec 3>"$2"
read_envelope <<<"secret packages.index_login $(printf %s 'c%20i:p%40ss%2Frd' | base64)"
NB_PACKAGES_INDEX_URL=$1 NB_PACKAGES_INSTALLER=pip ENVIRONMENT=$4 NOTEBOOK_PYTHON=$4/bin/python PYTHON=$3
LOCK=("$5")
read_package_environment
create_environment
install_with_pip
run_program "${PROXY[@]}" "$6" pip install --reinstall --python "$NOTEBOOK_PYTHON" --no-cache "${LOCK_OPTIONS[@]}" \
    --requirement "$ENVIRONMENT/lock.txt"
printf '%s\n' "${LOCK_OPTIONS[@]}"
"""


def test_pip_and_uv_log_in_to_the_index(tmp_path: Path) -> None:
    """The login is decoded from the envelope, and is in no argument and no event."""
    index, uv = tmp_path / "index", Path(sys.executable).with_name("uv")
    put_wheel(index, "small", "1.0")
    digest = hashlib.sha256(next((index / "small").glob("*.whl")).read_bytes()).hexdigest()
    line = f"small==1.0 --hash=sha256:{digest}"
    with served(index) as web:
        web.login = "c i:p@ss/rd"
        words = [web.url, str(tmp_path / "events"), sys.executable, str(tmp_path / "environment"), line, str(uv)]
        done = parts.run(ALONE + INSTALL, *words, scope="machine")
    said = (tmp_path / "events").read_text()
    assert done.returncode == 0, said
    assert set(web.logins) == {web.login} and len(web.logins) >= 4
    assert b"index" not in done.stdout and "p%40ss" not in said and "p@ss" not in said
