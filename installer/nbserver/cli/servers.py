"""restart, stop, rollback, set-password, and rotate-certificate: commands for servers that are set up. They apply nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.cli.options import approved_option, asker, command_line, run_options, salt_option
from nbserver.cli.output import Output


@click.command()
@run_options
@approved_option
def restart(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Restart notebook servers, or start stopped ones

    The server starts with its installed configuration; differences from the inventory remain. Kernels end, and unsaved
    changes are lost. The command waits until the server presents its certificate and refuses requests without the password.
    """
    from nbserver.commands import servers
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    options = Options(command=command_line(), **given)
    return servers.run("restart", loaded, loaded.select(hosts), options, asker(), output.view())


@click.command()
@run_options
@approved_option
def stop(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Stop notebook servers

    Kernels end, and unsaved changes are lost. A server stays stopped, even if its host restarts, until nbserver restart or
    nbserver apply starts it again. Until then, nbserver plan shows a difference.

    For local alone, no script runs, and the options about runs have no effect: the server of this machine is stopped until
    nbserver restart local, nbserver apply local, or, if it is a unit of systemd, the next start of this machine.
    """
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts)
    if hosts == ("local",):
        from nbserver.commands import status

        return status.stop(loaded.local, as_json=output.as_json, quiet=output.quiet)
    from nbserver.commands import servers
    from nbserver.run.options import Options

    options = Options(command=command_line(), **given)
    return servers.run("stop", loaded, loaded.select(hosts), options, asker(), output.view())


@click.command()
@run_options
@approved_option
def rollback(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Go back to the environment before the last upgrade

    The server starts from the environment that the last upgrade kept, with the configuration that it had then, and
    is verified. If that fails, nbserver returns to the current environment. A second rollback reverses the first. Kernels end.
    """
    from nbserver.commands import servers
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    options = Options(command=command_line(), **given)
    return servers.rollback(loaded, loaded.select(hosts), options, asker(), output.view(), quiet=not output.for_a_person)


@click.command("set-password")
@run_options
@approved_option
@salt_option
def set_password(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Change the password of notebook servers

    Applies notebook.password from the inventory, and nothing else. The server restarts: kernels end, everybody is logged
    out, and the previous password is refused. To lock out somebody who could read the server's key, use nbserver rotate.

    For local alone, does the same as apply local with a new password, for which nbserver prompts. If you leave it empty, a
    password is generated.
    """
    from nbserver.commands import servers
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    with servers.hiding_arguments():
        loaded = reader.load_for(inventory_path, hosts)
        selected = loaded.select(hosts)
    options = Options(command=command_line(), **given)
    if hosts == ("local",):
        from nbserver.commands import up

        return up.set_password(loaded, options, asker(), output.view())

    return servers.set_password(loaded, selected, options, asker(), output.view(), quiet=not output.for_a_person)


@click.command("rotate-certificate")
@run_options
@approved_option
def rotate_certificate(hosts: tuple[str, ...], inventory_path: Path, output: Output, **given: Any) -> int:
    """Replace the key and certificate of notebook servers

    For certificates that the hosts create themselves. The password and everything else stay. The previous certificate is in
    use until the server restarts with the new one; if the server does not start, the previous one is restored. Kernels end.
    """
    from nbserver.commands import servers
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    options = Options(command=command_line(), **given)
    return servers.rotate_certificate(loaded, loaded.select(hosts), options, asker(), output.view(), quiet=not output.for_a_person)
