"""The readers of the scripts' messages, on the forms that the scripts use."""

from __future__ import annotations

import pytest

from tools.script_messages import of_bash, of_powershell

POWERSHELL = r"""
throw (New-Failure port-taken 'TCP port {port} is used by {program}. Stop it, or choose another notebook.port' @{ port = 1; program = 'x' })
throw (New-Failure python-unsafe ('first part ' +
        'second, which isn''t the first') @{ x = 1 } -Cause $_.Exception)
throw (New-Failure 'quoted-code' 'text' @{})
Write-Notice warning shared-folder 'the folder {path} is shared' @{ path = $path }
Write-Notice log kept 'kept'
Write-StepProgress downloading 'Downloading {file}' @{ file = $name } -Done 1 -Total 2 -Unit bytes
Invoke-Program $exe @('-a') -Accept 0, 1 -Code openssl-failed -Text 'OpenSSL could not create the key'
Add-Difference registry-value '{key}\{name}' $is 'one' @{ key = $key; name = $name }
Add-Difference port-not-free 'TCP port {port}' 'used' 'free' @{ port = 1 }
Add-Difference folder-mode 'access to {path}' (Get-Mode $path) 'private' @{ path = $path }
Add-Difference folder-missing '{path}' $null 'a folder' @{ path = $path }
Add-Difference folder-needless '{path}' 'a folder' $null @{ path = $path }
function Invoke-Program { param([string]$File, [string]$Code = 'program-failed', [string]$Text = '{program} failed') }
'{"v":1,"event":"failed","code":"restricted","values":{"mode":"' + $Mode + '"},"text":"PowerShell runs in ' + $Mode +
' mode. Ask ' +
'for an exception"}'
Add-Step ie_esc 'IE ESC is off' -Test {
Add-Step tls 'TLS 1.2 is on' -Bracket -Test {
"""

BASH = r"""
fail port-taken 'TCP port {port} is used by {program}' port "$port" program "$program"
if ((x)); then problem file-missing 'the file {path} is missing' path "$1"; fi
warn long-text 'first part '\
'second part' name "$x"
note quote 'the host'\''s clock'
fail 'quoted-code' 'text' || return
    report_progress installing 'Installing packages' "$done" "$total" packages
differs folder-mode 'mode of {path}' "$(stat "$1")" 'private' path "$1"
differs server-state 'the notebook server' 'not running' 'running'
differs user-missing 'user {user}' '' 'a system user' user "$1"
local accept=0 code=program-failed text='{program} failed' word
run_program --accept '0 1' --failure apt-failed 'apt-get failed' -- apt-get update
local -a options=(--accept '0 102' --failure zypper-failed
    'zypper failed')
write_message "$REPLY" text upgrade-failed 'the upgrade failed: {cause}' name "$x"
step certificate 'the server has a certificate'
"""


def brief(entries: list[object]) -> list[tuple[str, ...]]:
    return [(entry.code, entry.text, entry.kind, *entry.words) for entry in entries]  # type: ignore[attr-defined]


def test_the_forms_of_powershell() -> None:
    found = of_powershell(POWERSHELL, "a.ps1")
    assert brief([*found]) == [
        ("port-taken", "TCP port {port} is used by {program}. Stop it, or choose another notebook.port", ""),
        ("python-unsafe", "first part second, which isn't the first", ""),
        ("quoted-code", "text", ""),
        ("shared-folder", "the folder {path} is shared", ""),
        ("kept", "kept", ""),
        ("downloading", "Downloading {file}", ""),
        ("openssl-failed", "OpenSSL could not create the key", ""),
        ("registry-value", "{key}\\{name}", "difference", "one"),
        ("port-not-free", "TCP port {port}", "difference", "used", "free"),
        ("folder-mode", "access to {path}", "difference", "private"),
        ("folder-missing", "{path}", "difference", "", "a folder"),
        ("folder-needless", "{path}", "difference", "a folder", ""),
        ("program-failed", "{program} failed", ""),
        ("restricted", "PowerShell runs in {mode} mode. Ask for an exception", ""),
        ("step-ie-esc", "IE ESC is off", "step"),
        ("step-tls", "TLS 1.2 is on", "step"),
    ]
    assert [entry.line for entry in found][:3] == [2, 3, 5] and {entry.file for entry in found} == {"a.ps1"}
    assert brief([*of_powershell(POWERSHELL.replace("\n", "\r\n"), "a.ps1")]) == brief([*found])


def test_the_forms_of_bash() -> None:
    found = of_bash(BASH, "a.sh")
    assert brief([*found]) == [
        ("port-taken", "TCP port {port} is used by {program}", ""),
        ("file-missing", "the file {path} is missing", ""),
        ("long-text", "first part second part", ""),
        ("quote", "the host's clock", ""),
        ("quoted-code", "text", ""),
        ("installing", "Installing packages", ""),
        ("folder-mode", "mode of {path}", "difference", "private"),
        ("server-state", "the notebook server", "difference", "not running", "running"),
        ("user-missing", "user {user}", "difference", "", "a system user"),
        ("program-failed", "{program} failed", ""),
        ("apt-failed", "apt-get failed", ""),
        ("zypper-failed", "zypper failed", ""),
        ("upgrade-failed", "the upgrade failed: {cause}", ""),
        ("step-certificate", "the server has a certificate", "step"),
    ]
    assert [entry.line for entry in found][:4] == [2, 3, 4, 6]


@pytest.mark.parametrize(
    "text",
    [
        "throw 'an old text'",
        "throw (New-Failure $Code $Text @{})",
        'throw (New-Failure port-taken "the port $port" @{})',
        "throw (New-Failure 'a sentence' 'text' @{})",
        "    # throw (New-Failure port-taken 'a comment' @{})",
        "<# Write-Notice log kept 'kept'\n#>",
        "function New-Failure {",
        "Difference 'old' 'is' 'should'",
        "Invoke-Program $exe $arguments -Code $Code -Text $Text",
    ],
)
def test_other_powershell_is_no_message(text: str) -> None:
    assert of_powershell(text, "a.ps1") == []


@pytest.mark.parametrize(
    "text",
    [
        "fail 'an old text'",
        'fail "the port $port"',
        'fail port-taken "the port $port"',
        "fail port-taken 'the port '\"$port\"' is used'",
        "# fail port-taken 'a comment'",
        "fail() {",
        "is_fail port-taken 'text'",
        'run_program --failure "$1" "$2"',
        'step certificate "$title"',
    ],
)
def test_other_bash_is_no_message(text: str) -> None:
    assert of_bash(text, "a.sh") == []
