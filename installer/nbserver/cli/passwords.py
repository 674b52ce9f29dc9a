"""hash-password: the hash for scripts that are run by hand."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import click

from nbserver.base.errors import UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import require_written
from nbserver.cli.options import asker, inventory_option, salt_option
from nbserver.cli.output import object_option


@click.command("hash-password")
@click.argument("host")
@inventory_option
@salt_option
@object_option
def hash_password(host: str, inventory_path: Path, salt: Path | None, as_json: bool) -> int:
    """Print a password hash for a script that is run by hand

    It is the hash that apply would send to HOST. nbserver prompts for the password; without a terminal, it reads a line of
    standard input. The hash is created with the salt of the site, which is generated if it does not exist yet.
    """
    from nbserver.inventory import reader
    from nbserver.run import notebook_password, site_salt
    from nbserver.settings import secret

    loaded = reader.load_for(inventory_path, [host])
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(
            "password-for-one-host",
            '"{pattern}" matches {count} hosts, but a password can be hashed for only one host at a time',
            todo="Specify a single host",
            pattern=host,
            count=len(selected),
        )
    ask = secret.confirmed(asker())
    plain = ask(phrase("Notebook password for {name}: ", name=selected[0].name)) if ask else _line()
    notebook_password.check_password(plain, host=selected[0].name, minimum=selected[0].notebook.password_minimum)
    found = site_salt.of_site(loaded.path.parent, salt, create=True)
    hashed = notebook_password.hash_password(plain, found)
    click.echo(json.dumps({"event": "hash", "host": selected[0].name, "hash": hashed}) if as_json else hashed)
    require_written()
    return 0


def _line() -> str:
    """Return a line of standard input, or an empty text if that is closed. What is not text in it becomes surrogates, which no password may have.

    It is UTF-8, as a secret in a file is, if it can be: on Windows, the encoding of standard input is that of older programs.
    """
    if not isinstance(sys.stdin, io.TextIOWrapper):
        return ""
    line: bytes = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode(sys.stdin.encoding, "surrogateescape")
