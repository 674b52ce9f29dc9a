"""The commands that recompute each hash of a review, by coreutils and by PowerShell alone."""

from __future__ import annotations

from dataclasses import dataclass

from nbserver.base.message import phrase
from nbserver.review.statements import Host, Review


@dataclass(frozen=True)
class Command:
    """A hash, and how to compute it in the audited folder: with a POSIX shell and coreutils, and with PowerShell."""

    what: str
    sha256: str
    posix: str
    powershell: str


_TEXT = '$t = [Text.Encoding]::ASCII.GetString([IO.File]::ReadAllBytes("$pwd\\{file}"))'
_UNSIGNED = '; $t = $t.Substring(0, $t.IndexOf("`r`n# SIG # Begin", [StringComparison]::Ordinal)).Replace("`r`n", "`n")'
_BODY = '; $i = $t.IndexOf("`n# ==== body", [StringComparison]::Ordinal) + 1'
_HASH = "[BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::ASCII.GetBytes({text}))).Replace('-', '').ToLower()"


def of_manifest(review: Review) -> Command:
    return Command("manifest.json", review.manifest_sha256, "sha256sum manifest.json", "(Get-FileHash manifest.json).Hash.ToLower()")


def of_host(host: Host) -> list[Command]:
    """Return the commands for the script of a host, its head, its body, and its lock."""
    file = host.script
    signed = bool(host.signed_sha256)
    text = _TEXT.format(file=file) + (_UNSIGNED if signed else "")
    begin = text + _BODY
    head, body = _posix(host, "sed '/^# ==== body/,$d'"), _posix(host, "sed -n '/^# ==== body/,$p'")
    commands = [Command(phrase("script"), host.sha256, f"sha256sum {file}", f"(Get-FileHash {file}).Hash.ToLower()")]
    if signed:
        commands = [
            Command(phrase("signed script"), host.signed_sha256, commands[0].posix, commands[0].powershell),
            Command(
                phrase("script without its signature"), host.sha256, f"{_posix(host)} | sha256sum", f"{text}; {_HASH.format(text='$t')}"
            ),
        ]
    return [
        *commands,
        Command(
            phrase("head"),
            host.head_sha256,
            f"{head} | sha256sum",
            f"{begin}; {_HASH.format(text='$t.Substring(0, $i)')}",
        ),
        Command(
            phrase("body"),
            host.body_sha256,
            f"{body} | sha256sum",
            f"{begin}; {_HASH.format(text='$t.Substring($i)')}",
        ),
        Command(
            phrase("lock"),
            host.lock_sha256,
            f"{head} | sed -n \"s/^    '\\(.* --hash=sha256:[0-9a-f]*\\)'\\$/\\1/p\" | sha256sum",
            f"{begin}; $l = [regex]::Matches($t.Substring(0, $i), \"(?m)^    '(.* --hash=sha256:[0-9a-f]+)'$\"); "
            + _HASH.format(text='-join ($l | ForEach-Object { $_.Groups[1].Value + "`n" })'),
        ),
    ]


def _posix(host: Host, command: str = "") -> str:
    """Return a command with the text of the script as its input. A signed file has CRLF, and an empty line before the signature."""
    if not host.signed_sha256:
        return f"{command} {host.script}"
    unsigned = f"sed '/^# SIG # Begin signature block/,$d' {host.script} | sed '$d' | tr -d '\\r'"
    return f"{unsigned} | {command}" if command else unsigned
