"""Where this checkout is, and what a Python of its own needs to find nbserver and the tests."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parent
CHECKOUT = TESTS.parent
SOURCE = CHECKOUT / "installer"
PYTHON_PATH = os.pathsep.join([str(SOURCE), str(CHECKOUT)])
