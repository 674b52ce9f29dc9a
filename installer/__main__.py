"""`python -m installer` is `nbserver`."""

from installer.cli import main

main()
