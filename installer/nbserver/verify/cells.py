"""The cells that run on the host's kernel, and the checks of their output."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import VerifyError
from nbserver.base.plain_text import clean
from nbserver.verify.kernel_channel import Output
from nbserver.verify.notebook_client import IF_DAMAGED

if TYPE_CHECKING:
    pass


MOST_VERSIONS = 50
VERSION_CHARACTERS = 100
MARK = "nbserver-verify "
CURVES = ((31, 119, 180), (214, 39, 40))  # the colors that the cell draws with
COMPUTE = """
import glob, json, os, platform, ssl
from importlib import metadata
import ipykernel.connect
import numpy

terms = numpy.arange(1.0, TERMS + 1.0)
matrix = numpy.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
versions = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
names = {"ipython": "ipython", "zmq": "pyzmq"}
for name in ("numpy", "matplotlib", "notebook", "jupyter_server", "tornado", "zmq", "ipython"):
    try:
        versions[name] = metadata.version(names.get(name, name))
    except metadata.PackageNotFoundError:
        pass
runtime = glob.escape(os.path.dirname(ipykernel.connect.get_connection_file()))
accepts_token = False
for path in sorted(glob.glob(os.path.join(runtime, "*server-*.json")), key=os.path.getmtime):
    try:
        with open(path, encoding="utf-8") as file:
            server = json.load(file)
        if server["port"] == PORT:  # the newest one: others were left by servers that were killed
            accepts_token = bool(server["token"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
print("MARK" + json.dumps({
    "accepts_token": accepts_token,
    "sum": float(numpy.sum(1.0 / terms**2)),
    "solution": numpy.linalg.solve(matrix, matrix @ numpy.array([1.0, 2.0, 3.0])).tolist(),
    "versions": versions,
}))
"""
DRAW = """
import json
import matplotlib
import matplotlib.pyplot as plt
import numpy

print("MARK" + json.dumps({"backend": matplotlib.get_backend()}))
x = numpy.linspace(0.0, 4.0 * numpy.pi, 400)
figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)
axes.plot(x, numpy.sin(x) * numpy.exp(-x / 10.0), color="#1f77b4", linewidth=2.5, label="sin(x) exp(-x/10)")
axes.plot(x, numpy.cos(x) * numpy.exp(-x / 10.0), color="#d62728", linewidth=2.5, label="cos(x) exp(-x/10)")
axes.set_title(f"NumPy {numpy.__version__} and Matplotlib {matplotlib.__version__}")
axes.set_xlabel("x")
axes.set_ylabel("y")
axes.grid(True, alpha=0.3)
axes.legend()
plt.show()
"""


def versions_of(answer: dict[str, Any]) -> dict[str, str]:
    """Return names and versions, cleaned for one line. Values that are not strings are left out."""
    items = sorted((name, version) for name, version in answer.items() if isinstance(version, str))[:MOST_VERSIONS]
    cleaned = ((clean(name, VERSION_CHARACTERS), clean(version, VERSION_CHARACTERS)) for name, version in items)
    return {name: version for name, version in cleaned if name and version}


def answer_of(output: Output, host: str) -> dict[str, Any]:
    """Return the single JSON line that a cell prints after the mark."""
    lines = [line.removeprefix(MARK) for line in output.stdout.splitlines() if line.startswith(MARK)]
    try:
        (line,) = lines
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise VerifyError(
            "cell-output-unexpected", "the output of the test cell does not contain the expected results", host=host, todo=NOT_OURS
        )
    return answer


NOT_OURS = "On the host, check whether a kernel startup file changes the output (see IPYTHONDIR and sitecustomize)"


def check_results(answer: dict[str, Any], terms: int, host: str) -> None:
    """Compare the results with the workstation's: a sum of 1/k^2, and a linear system with the solution 1, 2, 3."""
    expected = [math.fsum(1.0 / k**2 for k in range(1, terms + 1)), 1.0, 2.0, 3.0]
    try:
        results = [float(number) for number in [answer["sum"], *answer["solution"]]]
        complete = len(results) == len(expected) and isinstance(answer["versions"], dict)
    except (KeyError, TypeError, ValueError, OverflowError):
        complete = False
    if not complete:
        raise VerifyError(
            "cell-output-unexpected", "the output of the test cell does not contain the expected results", host=host, todo=NOT_OURS
        )
    if not all(math.isclose(is_, should, rel_tol=1e-9) for is_, should in zip(results, expected, strict=True)):
        raise VerifyError(
            "numpy-wrong-results",
            "NumPy returned wrong results: expected {expected}, got {actual}",
            host=host,
            todo=IF_DAMAGED,
            expected=str(expected),
            actual=str(results),
        )
