"""Run `nbserver` as `python -m nbserver`."""

from nbserver.cli.program import main

main()
