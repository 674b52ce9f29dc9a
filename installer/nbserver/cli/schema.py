"""The command that prints the JSON Schema of the inventory."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the inventory

    An editor with TOML support uses it for completion and checks. Write it next to the inventory, and name it in the
    first line of the inventory:

    \b
      nbserver schema > nbserver.schema.json
      #:schema ./nbserver.schema.json
    """
    import json

    from nbserver.base.standard_streams import require_written
    from nbserver.inventory.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
    require_written()
