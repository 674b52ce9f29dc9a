"""Which settings of pip and uv a Windows host uses: those that the real pip lists, given to the real script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.powershell.engine import Session, host_path, part, prelude, require_engine, steps


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        files = prelude(
            "run", "messages", "events", "part_data", "paths", "programs", "delivered_files", "package_environment", scope="user"
        )
        opened.keep(f"{files}\n{steps('python', 'packages', scope='user')}")
        yield opened


# -- in machine scope pip reads no file

PIP_ON_WINDOWS = """
import ntpath, os, sys
os.devnull = ntpath.devnull
from pip._internal.configuration import Configuration
os.environ["PIP_CONFIG_FILE"] = sys.argv[1]
found = Configuration(isolated=False)
found.load()
print(dict(found.items()))
"""


def test_the_machines_pip_ini_is_not_read(session: Session, tmp_path: Path) -> None:
    """By the real pip, with Windows' name of the null device: with another one it reads the file in %ProgramData%."""
    own = part("prelude/machine/package_configuration")
    given = f'{own}\n$Settings = ConvertFrom-Json \'{{"python": {{"version": "3.11.9"}}, "downloads": {{"mirror": null, "proxy": null, "source": "direct"}}, "packages": {{"index_url": null}}}}\'; function Get-Python {{ "C:\\p\\python.exe" }}; '
    (file,) = session.run(given + "(Get-PackageEnvironment).PIP_CONFIG_FILE")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nlog = /somewhere/else\nuser = true\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}

    def read(value: str) -> str:
        command = [sys.executable, "-I", "-c", PIP_ON_WINDOWS, value]
        return subprocess.run(
            command, env={**environment, "XDG_CONFIG_DIRS": str(tmp_path)}, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout

    assert "/somewhere/else" in read("NUL")
    assert "/somewhere/else" not in read(file) and "pip.conf" not in read(file)


@pytest.mark.parametrize("text", ["index-url = https://a:s3cret@b/\n", "[global]\ns3cret\n"])
def test_what_pip_cannot_read_is_not_quoted(session: Session, tmp_path: Path, text: str) -> None:
    (tmp_path / "pip.ini").write_text(text)
    environment = {**os.environ, "PIP_CONFIG_FILE": str(tmp_path / "pip.ini")}
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert said.returncode and "s3cret" in said.stdout
    (tmp_path / "said").write_text(said.stdout)
    own = part("prelude/user/package_configuration")
    given = f"{own}\nfunction Get-Python {{ 'python.exe' }}; function Invoke-Program {{ $Run.ExitCode = 1; "
    given += f"$Run.Output = [IO.File]::ReadAllLines('{host_path(tmp_path / 'said')}') }}; "
    found = "\n".join(session.run(given + "try { Get-PipConfiguration @{} } catch { $_.Exception.Message }"))
    assert "pip cannot read its configuration" in found and "pip.ini" in found and "s3cret" not in found


def test_logins_are_in_variables_of_pip_and_uv(session: Session) -> None:
    own = part("prelude/machine/package_configuration")
    settings = '{"python": {"version": "3.11.9"}, "downloads": {"mirror": null, "proxy": "http://proxy:3128", "source": "direct"}, "packages": {"index_url": "https://a/b/"}}'
    given = f"{own}\n$Settings = ConvertFrom-Json '{settings}'; function Get-Python {{ 'C:\\p\\python.exe' }}; "
    tell = "$found = Get-PackageEnvironment; 'PIP_INDEX_URL', 'UV_DEFAULT_INDEX', 'HTTPS_PROXY' | ForEach-Object { $found[$_] }; "
    tell += "(Get-LockArgument 'lock.txt') -join ' '"
    without = ["https://a/b/", "https://a/b/", "http://proxy:3128"]
    logins = "$Secrets = @{ 'packages.index_login' = 'ci:p%40ss'; 'downloads.proxy_login' = 'me:too' }; "
    with_login = ["https://ci:p%40ss@a/b/", "https://ci:p%40ss@a/b/", "http://me:too@proxy:3128"]
    for more, expected in (("$Secrets = @{}; ", without), (logins, with_login)):
        *addresses, arguments = session.run(given + more + tell)
        assert addresses == expected
        assert arguments == "-r lock.txt --require-hashes --no-deps --only-binary :all:"


def test_a_mirror_replaces_the_index(session: Session) -> None:
    settings = '{"python": {"version": "3.11.9"}, "downloads": {"mirror": "https://m/b", "proxy": null, "source": "mirror"}, "packages": {"index_url": null}}'
    given = f"{part('prelude/machine/package_configuration')}\n$Settings = ConvertFrom-Json '{settings}'; function Get-Python {{ 'C:\\p\\python.exe' }}; "
    tell = "$found = Get-PackageEnvironment; 'PIP_FIND_LINKS', 'UV_FIND_LINKS', 'PIP_INDEX_URL' | ForEach-Object { \"$_=$($found[$_])\" }; "
    tell += "(Get-LockArgument 'lock.txt') -join ' '; Get-SourceSetting; $PackageSource.NoIndex = $false"
    assert session.run(given + tell) == [
        "PIP_FIND_LINKS=https://m/b/wheels.html",
        "UV_FIND_LINKS=https://m/b/wheels.html",
        "PIP_INDEX_URL=",
        "-r lock.txt --require-hashes --no-deps --only-binary :all: --no-index",
        "downloads.mirror, downloads.proxy",
    ]


# -- what pip is configured for, for uv

# pip prints \x7f and the like as Python writes them; no address has such characters.
ADDRESSES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="'%").filter(str.isprintable), min_size=1, max_size=20
)
KEYS = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "proxy": "HTTPS_PROXY"}


def own_environment(session: Session, lines: list[str], index: str = "") -> dict[str, str]:
    """What pip and uv get where pip says these lines; of the variables that are the same for all, those of pip with a value only."""
    answer = "function Invoke-Program { $Run.ExitCode = 0; $Run.Output = @($answer) }; $answer = @($input); "
    given = f'$Settings = ConvertFrom-Json \'{{"packages": {{"index_url": "{index}"}}, "downloads": {{"mirror": null, "proxy": null, "source": "direct"}}}}\'; '
    tell = "$environment = @{}; function Get-Python { 'python.exe' }; function Write-Notice {}; Set-PackageConfiguration $environment; foreach ($name in $environment.Keys) { if ($environment[$name]) { \"$name=$($environment[$name])\" } }"
    return dict(line.split("=", 1) for line in session.run(answer + given + tell, lines))


def pip_says(file: str | Path, **variables: str) -> list[str]:
    """The lines of the real `pip config list`, with a configuration file beside those of this machine; os.devnull: none at all."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    command = [sys.executable, "-I", "-X", "utf8", "-m", "pip", "config", "list"]
    done = subprocess.run(
        command, env={**own, "PIP_CONFIG_FILE": str(file), **variables}, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return done.stdout.splitlines()


def test_uv_gets_what_pip_is_configured_for(session: Session, tmp_path: Path) -> None:
    certificate = tmp_path / "new authorities.pem"
    certificate.write_text("")
    (tmp_path / "pip.ini").write_text(
        "[global]\nindex-url = https://packages.example.com/simple\nextra-index-url =\n    https://a.example.com/simple\n    https://b.example.com/simple\n"
        f"find-links = C:\\new\\wheels\nproxy = http://proxy.example.com:3128\ncert = {host_path(certificate)}\n[install]\nindex-url = https://other.example.com/simple\n"
    )
    assert own_environment(session, pip_says(tmp_path / "pip.ini")) == {
        "PIP_INDEX_URL": "https://other.example.com/simple",
        "PIP_EXTRA_INDEX_URL": "https://a.example.com/simple https://b.example.com/simple",
        "PIP_FIND_LINKS": r"C:\new\wheels",
        "PIP_CERT": host_path(certificate),
        "UV_DEFAULT_INDEX": "https://other.example.com/simple",
        "UV_INDEX": "https://a.example.com/simple https://b.example.com/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": r"C:\new\wheels",
        "HTTP_PROXY": "http://proxy.example.com:3128",
        "HTTPS_PROXY": "http://proxy.example.com:3128",
        "SSL_CERT_FILE": host_path(certificate),
    }
    lines = pip_says(tmp_path / "pip.ini", PIP_INDEX_URL="https://environment.example.com/simple")
    assert own_environment(session, lines)["UV_DEFAULT_INDEX"] == "https://environment.example.com/simple"
    assert (
        not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"}
        & own_environment(session, lines, "https://inventory.example.com/simple").keys()
    )


@pytest.mark.parametrize("env_first", [True, False])
def test_of_a_name_that_pip_tells_more_than_once_the_last_word_counts(session: Session, env_first: bool) -> None:
    """pip 23 sorts and merges, pip 26 lists every file in the order in which they count."""
    environment = [":env:.proxy='http://environment.example.com'"]
    files = [
        "global.proxy='http://a.example.com'",
        "install.cert='no such file'",
        "global.index-url='https://first.example.com'",
        "global.index-url='https://last.example.com'",
    ]
    files += ["install.proxy='http://b.example.com'", "global.proxy='http://c.example.com'", "download.index-url='https://not.example.com'"]
    found = own_environment(session, environment + files if env_first else files + environment)
    assert found == {
        "PIP_INDEX_URL": "https://last.example.com",
        "UV_DEFAULT_INDEX": "https://last.example.com",
        "HTTP_PROXY": "http://environment.example.com",
        "HTTPS_PROXY": "http://environment.example.com",
    }


def test_a_pip_without_configuration_changes_nothing(session: Session) -> None:
    assert own_environment(session, pip_says(os.devnull, PIP_TIMEOUT="9")) == {}


def test_other_settings_of_pip_and_uv_change_nothing(session: Session, tmp_path: Path) -> None:
    """The real pip lists the file, although the file says `user = true`, which is also an option of `pip config`."""
    (tmp_path / "pip.ini").write_text(
        "[global]\nindex-url = https://a.example.com\nuser = true\ntarget = C:\\x\nquiet = 3\nno-index = on\n"
    )
    lines = pip_says(tmp_path / "pip.ini", PIP_QUIET="0", PIP_USER="0", PIP_GLOBAL="0", PIP_SITE="0")
    lines = [line for line in lines if "cert" not in line]  # of the machine that runs this test
    ask = f"""
        $answer = @($input)
        function Invoke-Program {{ param($File, $Arguments, $Environment) $Run.ExitCode = 0; $Run.Output = $answer; $script:Asked = $Environment }}
        function Get-Python {{ '{host_path(tmp_path)}\\python.exe' }}
        $notices = New-Object Collections.ArrayList
        function Write-Notice {{ [void]$notices.Add("notice $($args[1]): $($args[3].options)") }}
        $Settings = ConvertFrom-Json '{{"python": {{"version": "3.11"}}, "packages": {{"index_url": null}}, "downloads": {{"mirror": null, "proxy": null, "source": "direct"}}}}'
        $given = @{{ PIP_TARGET = 'C:\\y'; PIP_PYTHON = 'C:\\z'; UV_OFFLINE = '1'; UV_INDEX_URL = 'https://b.example.com'; PIP_PROXY = 'http://p:1' }}
        foreach ($name in $given.Keys) {{ [Environment]::SetEnvironmentVariable($name, $given[$name]) }}
        try {{ $environment = Get-PackageEnvironment }}
        finally {{ foreach ($name in $given.Keys) {{ [Environment]::SetEnvironmentVariable($name, $null) }} }}
        $notices
        foreach ($name in 'PIP_TARGET', 'PIP_PYTHON', 'UV_OFFLINE', 'UV_INDEX_URL', 'PIP_PROXY') {{ "$name $($environment.ContainsKey($name)) $($null -eq $environment[$name])" }}
        "asked with $($Asked.PIP_PROXY) $($Asked.PIP_TARGET) $($Asked.PIP_USER)"
        foreach ($name in 'PIP_CONFIG_FILE', 'UV_NO_CONFIG', 'UV_SYSTEM_CERTS', 'PIP_USE_FEATURE', 'PIP_INDEX_URL') {{ "$name=$($environment[$name])" }}
        "$((Get-LockArgument 'f')[-1]), $(Get-SourceSetting)"
        $PackageSource.NoIndex = $false
        """
    said = session.run(ask, lines)
    ignored, used, *said = said
    assert used == "notice pip-settings-used: index-url no-index"
    assert {"user", "target", "quiet"} <= set(ignored.removeprefix("notice pip-settings-ignored: ").split())
    assert said == [
        *(f"{name} True True" for name in ("PIP_TARGET", "PIP_PYTHON", "UV_OFFLINE", "UV_INDEX_URL", "PIP_PROXY")),
        "asked with http://p:1  0",
        "PIP_CONFIG_FILE=nul",
        "UV_NO_CONFIG=1",
        "UV_SYSTEM_CERTS=1",
        "PIP_USE_FEATURE=",
        "PIP_INDEX_URL=https://a.example.com",
        "--no-index, packages.index_url, downloads.proxy, pip index-url no-index",
    ]


@pytest.mark.parametrize(("version", "vendored", "feature"), [("3.11.9", True, "truststore"), ("3.8.10", True, ""), ("3.11.9", False, "")])
def test_pip_trusts_the_authorities_of_windows(session: Session, tmp_path: Path, version: str, vendored: bool, feature: str) -> None:
    if vendored:
        (tmp_path / "Lib/site-packages/pip/_vendor/truststore").mkdir(parents=True)
    python = f'function Get-Python {{ \'{host_path(tmp_path)}\\python.exe\' }}; $Settings = ConvertFrom-Json \'{{"python": {{"version": "{version}"}}}}\'; '
    assert session.run(python + '''$v = @{}; Set-HostAuthority $v; "$($v.UV_SYSTEM_CERTS) $($v["PIP_USE_FEATURE"])"''') == [f"1 {feature}"]


@given(value=ADDRESSES, key=st.sampled_from(sorted(KEYS)))
def test_a_text_is_read_as_python_writes_it(session: Session, value: str, key: str) -> None:
    assert own_environment(session, [f"global.{key}={value!r}"])[KEYS[key]] == value
