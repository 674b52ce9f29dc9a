"""A Windows host with `packages.set = "science"`: a kernel makes a spectrogram, describes a table, and fits a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance
from nbserver.run import known_certificates
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import Address, NotebookClient
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.windows import WindowsBox
from tests.checkout import SOURCE
from tests.ports import free_port
from tests.site import Site

LOCK = SOURCE / "nbserver" / "catalog" / "data" / "locks" / "science" / "windows-x64-python3.11.txt"
PASSWORD = "Tr0ub4dor"
CODE = """
import numpy, pandas
from scipy.signal import spectrogram
from sklearn.linear_model import LinearRegression

tone = numpy.sin(2 * numpy.pi * 1000 * numpy.arange(8000) / 8000)
frequencies, _, power = spectrogram(tone, 8000)
table = pandas.DataFrame({"x": [1, 2, 3], "y": [3, 5, 7]})
model = LinearRegression().fit(table[["x"]], table["y"])
print(round(frequencies[power.mean(axis=1).argmax()]), table.describe()["y"]["mean"], round(float(model.coef_[0]), 6))
"""


def printed(site: Site, code: str) -> str:
    """What a kernel of the site's server prints."""
    fingerprint = known_certificates.read(site.folder / "nbserver.known")[site.name].fingerprint
    address, allowance = Address.parse(f"https://127.0.0.1:{site.port}"), Allowance(900)
    with NotebookClient(address, host=site.name, fingerprint=fingerprint, allowance=allowance) as client:
        client.login(site.secrets["NOTEBOOK_PASSWORD"])
        kernel, _ = client.start_kernel(seconds=300)
        path = f"/api/kernels/{kernel}/channels"
        tls = pinned_tls.connect(address.host, address.port, fingerprint=fingerprint, timeout=60, allowance=allowance)
        url, cookie = f"wss://{address.netloc}{path}", client.cookies_for(path)
        with KernelChannel(tls, url=url, origin=address.origin, cookie=cookie, host=site.name, seconds=300, allowance=allowance) as channel:
            return channel.run(code, seconds=600).stdout


@pytest.mark.second_tier("installs a Windows host with 112 packages: ten minutes")
def test_the_packages_of_science_work(tmp_path: Path) -> None:
    with (
        Mirror(LOCK) as mirror,
        prefix_folder(tmp_path) as prefix,
        WindowsBox.create(prefix) as host,
        host.endpoint(auth=["negotiate"], https=True, password=PASSWORD) as endpoint,
    ):
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="correct horse")
        site.settings["packages.set"] = "science"
        site.write()
        done = site.run("apply", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert printed(site, CODE).split() == ["1000", "5.0", "2.0"]
