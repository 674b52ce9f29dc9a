"""init: a first inventory, and the script that enables PowerShell remoting on Windows hosts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.errors import UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say, text_for_reader
from nbserver.base.terminal import is_terminal
from nbserver.cli.output import object_option

if TYPE_CHECKING:
    from nbserver.commands.init_questions import Dialog
    from nbserver.inventory.new_inventory import NewHost, SecretPlace

_PAIR = "NAME=ADDRESS"
ANSWER = 16  # columns that a question leaves free at the end of a line


@click.command()
@click.option("--windows", multiple=True, metavar=_PAIR, help="Windows host; can be repeated.")
@click.option("--linux", multiple=True, metavar=_PAIR, help="Linux host; can be repeated.")
@click.option("--ssh", "over_ssh", is_flag=True, help="Reach the Windows hosts over SSH instead of WinRM.")
@click.option("--local", is_flag=True, help="Include this machine as a host.")
@click.option(
    "--user", metavar="USER", help="User name for logging in to the hosts (default: your Windows logon; required for Linux hosts)."
)
@click.option(
    "--secrets",
    type=click.Choice(["prompt", "env", "keyring"]),
    default="prompt",
    show_default=True,
    help="Where nbserver gets passwords: from a prompt, environment variables, or the keyring.",
)
@click.option(
    "--pin",
    "pins",
    multiple=True,
    metavar="NAME[=FINGERPRINT]",
    help="Windows host to contact, to pin its certificate: the one with this fingerprint, or one that you confirm; can be repeated.",
)
@click.option(
    "--enable-remoting",
    "remoting_script",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the script that enables PowerShell remoting over HTTPS on a Windows host.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("nbserver.toml"),
    show_default=True,
    help="Inventory to write.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@object_option
def init(
    windows: tuple[str, ...],
    linux: tuple[str, ...],
    over_ssh: bool,
    local: bool,
    user: str | None,
    secrets: SecretPlace,
    pins: tuple[str, ...],
    remoting_script: Path | None,
    output: Path,
    force: bool,
    as_json: bool,
) -> int:
    """Write a first inventory

    Asks for the hosts on a terminal, or takes them from the options. The inventory contains no secrets, only where to find them.
    With --enable-remoting and no host, writes only that script. Contacts a host only to pin its certificate.
    """
    from nbserver.commands.init import Wanted
    from nbserver.commands.init import init as write
    from nbserver.commands.init_questions import ask_for_hosts

    dialog = _dialog()
    hosts = _hosts(windows, linux, over_ssh, local, user)
    asked = not hosts and remoting_script is None
    if asked:
        if dialog is None:
            raise UsageError(
                "init-without-hosts",
                "no hosts were specified, and there is no terminal to ask for them",
                todo="Specify the hosts with --windows, --linux, or --local",
            )
        hosts = ask_for_hosts(dialog)
    found = _pins(pins, hosts, dialog)
    if asked and dialog is not None:
        for host in hosts:
            question = phrase("Connect to {name}, to pin the certificate of its WinRM listener? yes or no (default: no):", name=host.name)
            if host.has_winrm and _is_yes(dialog.ask(question, "no")):
                found[host.name] = None
    return write(Wanted(output, hosts, secrets, found, remoting_script, force), dialog, as_json=as_json)


class _Terminal:
    """Questions on standard error, answers from standard input."""

    def ask(self, question: str, default: str) -> str:
        shown = folding.for_stream(text_for_reader(question), sys.stderr, room=ANSWER)
        answer: str = click.prompt(shown, default=default, show_default=False, prompt_suffix=" ", err=True)
        return answer

    def tell(self, text: str) -> None:
        say(text, err=True)

    def is_same(self, host: str, fingerprint: str) -> bool:
        self.tell(phrase("{host} shows the certificate {fingerprint}", host=host, fingerprint=fingerprint))
        question = phrase("Did enable-remoting.ps1 print the same fingerprint on the host? yes or no (default: no):")
        return _is_yes(self.ask(question, "no"))


def _is_yes(answer: str) -> bool:
    """Return whether an answer is yes, in English or in the language of the reader."""
    own = text_for_reader(phrase("yes")).lower()
    return answer.strip().lower() in ("y", "yes", own, own[0])


def _dialog() -> Dialog | None:
    return _Terminal() if is_terminal(sys.stdin) else None


def _hosts(windows: tuple[str, ...], linux: tuple[str, ...], over_ssh: bool, local: bool, user: str | None) -> list[NewHost]:
    from nbserver.commands.init_questions import check_name
    from nbserver.inventory.new_inventory import NewHost

    hosts: list[NewHost] = []
    for option, pairs in (("windows", windows), ("linux", linux)):
        for pair in pairs:
            name, _, address = pair.partition("=")
            try:
                check_name(name, {host.name.lower() for host in hosts})
            except ValueError as error:
                raise UsageError(
                    "init-host-invalid",
                    '--{option} "{pair}" is not valid: {reason}',
                    todo="Use NAME=ADDRESS",
                    option=option,
                    pair=pair,
                    reason=str(error),
                ) from None
            if option == "windows":
                hosts.append(NewHost("windows", name, address or name, user, over_ssh=over_ssh))
            else:
                hosts.append(NewHost("linux", name, address or name, user))
    if linux and user is None:
        raise UsageError("init-without-user", "a Linux host requires a user", todo="Add --user USER")
    if over_ssh and (not windows or user is None):
        raise UsageError("init-ssh-without-user", "--ssh requires --windows and --user", todo="Add --windows and --user, or remove --ssh")
    return [*hosts, NewHost("local", "local")] if local else hosts


def _pins(pins: tuple[str, ...], hosts: list[NewHost], dialog: Dialog | None) -> dict[str, str | None]:
    """Return the fingerprint that each host must show, or None if a person compares it."""
    from nbserver.base.pinned_tls import normalize

    windows = {host.name.lower(): host.name for host in hosts if host.has_winrm}
    found: dict[str, str | None] = {}
    for pin in pins:
        name, _, fingerprint = pin.partition("=")
        if name.lower() not in windows:
            raise UsageError(
                "init-pin-unknown",
                '--pin: "{name}" is not one of the hosts given with --windows',
                name=name,
                todo="Add the host with --windows",
            )
        if not fingerprint and dialog is None:
            raise UsageError(
                "init-pin-without-fingerprint",
                "--pin {name}: without a terminal, nbserver cannot ask you to confirm the certificate",
                todo="Add the fingerprint that enable-remoting.ps1 printed on the host: --pin {name}=SHA256:...",
                name=name,
            )
        try:
            found[windows[name.lower()]] = normalize(fingerprint) if fingerprint else None
        except ValueError as error:
            raise UsageError(
                "init-pin-malformed",
                "the fingerprint in --pin {name} is not valid: {reason}",
                todo="Copy the entire fingerprint that enable-remoting.ps1 printed on the host",
                name=name,
                reason=str(error),
            ) from None
    return found
