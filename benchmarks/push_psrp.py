"""How fast a file gets to a Windows host over PSRP: nbserver's mode deliver, and pypsrp alone in two ways, in turns on one WinRM endpoint.

    python -m benchmarks.push_psrp --runs 5 --megabytes 36

The script is a whole one (tests/golden/most.ps1), whose lock has the hash of the file. docs/benchmarks.md says what is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from pypsrp.client import Client
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from nbserver.bundle.contents import File
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.delivery import Delivery, batches
from nbserver.run.envelope import Envelope
from nbserver.transports.payload import pieces
from nbserver.transports.psrp.transport import BLOCK, PsrpTransport
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.golden import FOLDER as GOLDEN

PASSWORD = "Tr0ub4dor"
NAME = "example_one-1.0-py3-none-any.whl"
LISTED = "13550350a8681c84c861aac2e5b440161c2b33a3e4f302ac680ca5b686de48de"  # of both wheels in the lock of the script
LARGEST = 36_000_000
DOWNLOADS = r"C:\ProgramData\nbserver\downloads"
WRITE = r"""
begin { $stream = [IO.File]::Create('C:\pypsrp.bin') }
process { $block = [byte[]]$_; $stream.Write($block, 0, $block.Length) }
end { $stream.Close(); 'written' }
"""


class Bench:
    """A Windows host with its endpoint, and the file to send."""

    def __init__(self, box: WindowsBox, endpoint: Endpoint, folder: Path, size: int) -> None:
        self.box, self.endpoint = box, endpoint
        self.file, self.size = folder / NAME, size
        self.file.write_bytes(os.urandom(size))
        self.sha256 = hashlib.sha256(self.file.read_bytes()).hexdigest()
        self.script = (GOLDEN / "most.ps1").read_text("ascii").replace(LISTED, self.sha256)
        self.script = self.script.replace('"source": "direct"', '"source": "push"')
        self.host = self._host(folder)
        self.run = 0

    def _host(self, folder: Path) -> WindowsHost:
        settings = {"system": "windows", "address": "127.0.0.1", "port": self.endpoint.port, "user": self.endpoint.user}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        pin = f'fingerprint = "{self.endpoint.certificate.fingerprint}"' if self.endpoint.certificate else "tls = false"
        secrets = ['password.env = "P"', 'notebook.password.env = "P"']
        (folder / "nbserver.toml").write_text("\n".join(["[hosts.most]", *lines, pin, *secrets, ""]), "utf-8")
        host = reader.load(folder / "nbserver.toml").hosts["most"]
        assert isinstance(host, WindowsHost)
        return host

    def blocks(self) -> Iterator[bytes]:
        with self.file.open("rb") as file:
            while block := file.read(BLOCK):
                yield block

    def pypsrp_options(self) -> dict[str, object]:
        certificate = self.endpoint.certificate
        assert certificate
        trusted = str(certificate.certificate)
        return {
            "port": self.endpoint.port,
            "auth": "negotiate",
            "cert_validation": trusted,
            "username": self.endpoint.user,
            "password": PASSWORD,
        }

    # -- the contenders; each returns the seconds that it took, without those for opening a connection

    def pypsrp_bytes(self) -> float:
        """byte[] objects as the input of one pipeline, which writes them."""
        with WSMan("127.0.0.1", no_proxy=True, **self.pypsrp_options()) as wsman, RunspacePool(wsman) as pool:  # type: ignore[arg-type]
            begin = time.perf_counter()
            pipeline = PowerShell(pool)
            pipeline.add_script(WRITE)
            said = pipeline.invoke(input=pieces(self.blocks(), BLOCK))
            taken = time.perf_counter() - begin
        assert said == ["written"] and self.box.path(r"C:\pypsrp.bin").stat().st_size == self.size
        return taken

    def pypsrp_copy(self) -> float:
        """Client.copy, which also compares the hashes at the end."""
        with Client("127.0.0.1", no_proxy=True, **self.pypsrp_options()) as client:  # type: ignore[arg-type]
            begin = time.perf_counter()
            client.copy(str(self.file), r"C:\pypsrp.bin")
            return time.perf_counter() - begin

    def nbserver(self) -> float:
        """All runs of mode deliver that the file needs: each checks, hashes, and reports; over one connection."""
        transport = PsrpTransport(self.host, PASSWORD, threading.Event())
        delivered = self.box.path(DOWNLOADS) / NAME
        try:
            begin = time.perf_counter()
            for parts in batches([(File("wheel", "example-one", "1.0", NAME, self.sha256, self.size, ""), 0)], LARGEST):
                self.run += 1
                envelope = Envelope("deliver", f"benchmark-{self.run}", parts=parts).lines()
                said = list(transport.run(self.script, envelope, Delivery({NAME: self.file}, parts).payload("most")))
            taken = time.perf_counter() - begin
        finally:
            transport.close()
        assert any('"state":"stored"' in line for line in said) and delivered.stat().st_size == self.size, said
        delivered.unlink()
        return taken


def main() -> int:
    """Prints the table. Returns 1 if nbserver is below 80 % of the best pypsrp."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_psrp", description="How fast a file gets to a Windows host over PSRP.")
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="measured runs of each contender, after one that does not count (5)"
    )
    parser.add_argument("--megabytes", type=int, default=36, metavar="MB", help="size of the file (36: what one run carries)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nbserver-benchmark-") as name:
        folder = Path(name)
        with (
            WindowsBox.create(folder / "windows") as box,
            box.endpoint(auth=["negotiate"], https=True, password=PASSWORD, one_process=True) as endpoint,
        ):
            return measure(Bench(box, endpoint, folder, options.megabytes * 1_000_000), options.runs)


def measure(bench: Bench, runs: int) -> int:
    """All take turns, so that a busy minute of the machine meets each of them."""
    contenders: dict[str, Callable[[], float]] = {
        "pypsrp, byte[]": bench.pypsrp_bytes,
        "pypsrp, Client.copy": bench.pypsrp_copy,
        "nbserver, deliver": bench.nbserver,
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(runs + 1):
        for name, contender in contenders.items():
            seconds = contender()
            print(f"{turn or 'warm-up'}: {name} {seconds:.2f} s", file=sys.stderr, flush=True)
            if turn:
                taken[name].append(seconds)
    tracemalloc.start()
    bench.nbserver()
    peak = tracemalloc.get_traced_memory()[1]
    best = min(statistics.median(times) for name, times in taken.items() if name.startswith("pypsrp"))
    for name, times in taken.items():
        median = statistics.median(times)
        rate, share = bench.size / 1e6 / median, best / median
        print(f"{name:22} {median:6.2f} s {rate:6.1f} MB/s {share:5.0%}   ({min(times):.2f}-{max(times):.2f} s)")
    print(f"{bench.size / 1e6:.0f} MB, load average {os.getloadavg()[0]:.1f}; nbserver's own memory at most {peak / 1e6:.1f} MB")
    return 0 if statistics.median(taken["nbserver, deliver"]) * 0.8 <= best else 1


if __name__ == "__main__":
    sys.exit(main())
