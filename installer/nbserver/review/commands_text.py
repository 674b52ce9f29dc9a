"""The commands that recompute each hash of a review, by coreutils and by PowerShell alone."""

from __future__ import annotations

from dataclasses import dataclass

from nbserver.review.statements import Host, Review


@dataclass(frozen=True)
class Command:
    """A hash, and how to compute it in the audited folder: with a POSIX shell and coreutils, and with PowerShell."""

    what: str
    sha256: str
    posix: str
    powershell: str


_BYTES = '$b = [IO.File]::ReadAllBytes("$pwd\\{file}"); $t = [Text.Encoding]::ASCII.GetString($b); $i = $t.IndexOf("`n# ==== body") + 1'
_HASH = "[BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::ASCII.GetBytes({text}))).Replace('-', '').ToLower()"


def of_manifest(review: Review) -> Command:
    return Command("manifest.json", review.manifest_sha256, "sha256sum manifest.json", "(Get-FileHash manifest.json).Hash.ToLower()")


def of_host(host: Host) -> list[Command]:
    """Return the commands for the script of a host, its head, its body, and its lock."""
    file = host.script
    begin = _BYTES.format(file=file)
    return [
        Command("script", host.sha256, f"sha256sum {file}", f"(Get-FileHash {file}).Hash.ToLower()"),
        Command(
            "head",
            host.head_sha256,
            f"sed '/^# ==== body/,$d' {file} | sha256sum",
            f"{begin}; {_HASH.format(text='$t.Substring(0, $i)')}",
        ),
        Command(
            "body", host.body_sha256, f"sed -n '/^# ==== body/,$p' {file} | sha256sum", f"{begin}; {_HASH.format(text='$t.Substring($i)')}"
        ),
        Command(
            "lock",
            host.lock_sha256,
            f"sed '/^# ==== body/,$d' {file} | sed -n \"s/^    '\\(.* --hash=sha256:[0-9a-f]*\\)'\\$/\\1/p\" | sha256sum",
            f"{begin}; $l = [regex]::Matches($t.Substring(0, $i), \"(?m)^    '(.* --hash=sha256:[0-9a-f]+)'$\"); "
            + _HASH.format(text='-join ($l | ForEach-Object { $_.Groups[1].Value + "`n" })'),
        ),
    ]
