"""`python -m nbserver` is `nbserver`."""

from nbserver.cli.program import main

main()
