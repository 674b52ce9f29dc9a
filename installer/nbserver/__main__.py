"""`python -m nbserver` is `nbserver`."""

from nbserver.cli import main

main()
