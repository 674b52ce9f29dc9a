"""The step notebook of a Windows script, on the real engine: the salt of the password's hash, and how long a log-in lasts.

Folders and their access are other tests' matter; here they are as they should be.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.engine import EngineError, Session, host_path, prelude, require_engine, steps

OURS, OTHER = "A" * 22, "b" * 22


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        places = "$FirstPage = ''; $CertificateFile = $KeyFile = 'x'; $ServiceFolder = $WorkFolder = 'C:\\x'; $Settings = ConvertFrom-Json '{\"scope\": \"user\"}'; "
        opened.keep(
            places
            + prelude("run", "events", "envelope", "part_data", "record", "files", "first_page", "starter", "password_hash")
            + steps("notebook")
        )
        yield opened


class Step:
    """The step with a configuration file of its own. A session of 25 hours, unless another is named."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self.file = session, folder / "jupyter_server_config.json"
        self.path = host_path(self.file)

    def run(self, script: str, *lines: str, hours: int = 25) -> list[str]:
        settings = {
            "notebook": {
                "cull_idle_seconds": 0,
                "collaboration": False,
                "interface": "notebook",
                "ip": "*",
                "port": 9999,
                "session": hours,
                "directory": "C:\\x",
            }
        }
        return self._session.run(
            f"""
            $Settings = ConvertFrom-Json '{json.dumps(settings)}'; $EnvelopeLines = @($input); $Mode = 'apply'; $Secrets.Clear()
            $Run.Id = ''; $Run.FormerSalt = ''; $Run.NewSalt = $false; $Run.Step = 'notebook'; $Run.Differences = New-Object Collections.ArrayList
            $ConfigurationFile = '{self.path}'; $StarterFile = '{self.path}.starter'; $MigratedFile = '{self.path}.migrated'
            $RecordFile = '{self.path}.record'; $StateFolder = '{host_path(self.file.parent)}'
            function Compare-Folder {{ }}; function Add-Folder {{ }}; function Add-DataFolder {{ }}; function Test-ServiceGrant {{ $true }}
            $step = @($Steps | Where-Object {{ $_.Name -eq 'notebook' }})[0]
            Read-Envelope
            {script}""",
            lines,
        )

    def differences(self, *lines: str) -> list[Any]:
        return [
            json.loads(line)
            for line in self.run(
                "$Run.Mode = 'test'; & $step.Test; foreach ($one in $Run.Differences) { ConvertTo-Json -Compress $one }", *lines
            )
        ]

    def apply(self, *lines: str, **settings: Any) -> None:
        self.run("& $step.Apply", *lines, **settings)


@pytest.fixture
def step(session: Session, tmp_path: Path) -> Step:
    return Step(session, tmp_path)


def hashed(salt: str, end: str = "abc+/DEF") -> str:
    value = f"argon2:$argon2id$v=19$m=65536,t=3,p=4${salt}${end}"
    return f"secret notebook.password_hash {base64.b64encode(value.encode()).decode()}"


NOT_ASKED = "function Read-Host { throw 'asked' }; $Run.Mode = 'apply'; "


@pytest.mark.parametrize("act", ["& $step.Test", "& $step.Apply"])
def test_a_run_with_an_envelope_asks_nobody(step: Step, act: str) -> None:
    """Intune and startup scripts are not interactive, and nothing says so to PowerShell: it would wait for an hour, with the lock."""
    with pytest.raises(EngineError, match="the notebook password hash is missing or not valid"):
        step.run(NOT_ASKED + act, "mode apply")
    assert not step.file.exists()
    step.apply(hashed(OURS))
    step.run(NOT_ASKED + act, "mode apply")
    step.file.with_name(step.file.name + ".record").unlink()
    with pytest.raises(EngineError, match="asked"):
        step.run(NOT_ASKED + "& $step.Apply")


def test_another_salt_is_told_and_is_refused_without_new_salt(step: Step) -> None:
    """A checkout without nbserver.salt must not restart a server."""
    step.apply(hashed(OURS))
    before = step.file.read_bytes()
    assert step.differences(hashed(OURS)) == []
    assert [(one["what"], one["is"], one["should"]) for one in step.differences(hashed(OTHER))] == [
        (f"password hash salt in {step.path}", OURS, OTHER)
    ]
    for lines in ([hashed(OTHER)], [hashed(OTHER), "former-salt " + "c" * 22]):
        with pytest.raises(EngineError) as refused:
            step.apply(*lines)
        assert f"has the salt {OURS}, but this run sent a hash with the salt {OTHER}" in str(refused.value) and "--new-salt" in str(
            refused.value
        )
    assert step.file.read_bytes() == before
    step.apply(hashed(OTHER), "new-salt yes")
    assert step.differences(hashed(OTHER)) == [] and OTHER in step.file.read_text()
    # What an earlier release set for this host is replaced without a question.
    step.apply(hashed(OURS), f"former-salt {OTHER}")
    assert [one["what"] for one in step.differences(hashed(OURS, "other"))] == [step.path], (
        "another password with the same salt is a difference like any other"
    )
    # Without a hash in the envelope nothing is compared, and the one that is set stays.
    assert step.differences() == []
    step.apply(hours=12)
    assert OURS in step.file.read_text()
    # What is as it should be keeps its time: the server restarts if its files are newer than it.
    files = [Path(f"{step.file}{end}") for end in ("", ".starter", ".migrated")]
    times = [file.stat().st_mtime_ns for file in files]
    step.apply(hours=12)
    assert [file.stat().st_mtime_ns for file in files] == times


@pytest.mark.parametrize("text", ["secret123", 'argon2:$"quoted"'])
def test_a_password_in_place_of_its_hash_is_refused(step: Step, text: str) -> None:
    """Kernels can read the configuration."""
    with pytest.raises(EngineError, match="hash is missing or not valid"):
        step.apply(f"secret notebook.password_hash {base64.b64encode(text.encode()).decode()}")
    assert not step.file.exists()


def test_the_server_is_for_who_knows_the_password_and_for_no_other_site(step: Step) -> None:
    step.apply(hashed(OURS))
    found = json.loads(step.file.read_text("ascii"))
    assert found["ServerApp"] == {
        "ip": "*",
        "port": 9999,
        "port_retries": 0,
        "base_url": "/",
        "default_url": "/tree",
        "open_browser": False,
        "allow_remote_access": True,
        "allow_unauthenticated_access": False,
        "disable_check_xsrf": False,
        "allow_password_change": False,
        "allow_origin": "",
        "allow_origin_pat": "",
        "allow_credentials": False,
        "root_dir": "C:\\x",
        "certfile": "x",
        "keyfile": "x",
    }
    password = found["PasswordIdentityProvider"]
    assert password.pop("hashed_password").startswith("argon2:$argon2id$")
    assert password == {"password_required": True, "allow_password_change": False}
    assert set(found) == {"ServerApp", "PasswordIdentityProvider", "IdentityProvider"}


@pytest.mark.parametrize(("hours", "days"), [(12, 0.5), (1, 0.041667), (48, 2), (25, 1.041667)])
def test_a_log_in_lasts_as_long_as_the_settings_say(step: Step, hours: int, days: float) -> None:
    step.apply(hashed(OURS), hours=hours)
    found = json.loads(step.file.read_text("ascii"))["IdentityProvider"]
    assert found == {"token": "", "cookie_options": {"expires_days": days}, "get_secure_cookie_kwargs": {"max_age_days": days}}
