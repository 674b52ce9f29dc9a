"""Packages that a site chooses, on a Windows and a Debian host: what nbserver lock resolves with the default index, an upgrade to
it, the first page and a sound analysed with SciPy in Chromium, %pip, a rollback, and `packages.set = "science"`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance
from nbserver.run import known_certificates
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import Address, NotebookClient
from tests import browser
from tests.package_sites import PASSWORD, Machine, debian, windows

pytestmark = [
    pytest.mark.second_tier("installs a Windows and a Debian host with all packages, three times each: half an hour"),
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing()),
]
TONES = """
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import signal

rate = 8000
time = np.arange(2 * rate) / rate
sound = np.sin(2 * np.pi * (500 + 500 * time) * time)
frequencies, times, power = signal.spectrogram(sound, rate)
plt.pcolormesh(times, frequencies, 10 * np.log10(power + 1e-12), shading="gouraud")
plt.show()
pd.DataFrame({"frequency": frequencies[power.argmax(axis=0)]}).describe()
""".strip()
MODEL = """
import ipywidgets, numpy, pandas, PIL
from scipy.signal import spectrogram
from sklearn.linear_model import LinearRegression

tone = numpy.sin(2 * numpy.pi * 1000 * numpy.arange(8000) / 8000)
frequencies, _, power = spectrogram(tone, 8000)
table = pandas.DataFrame({"x": [1, 2, 3], "y": [3, 5, 7]})
model = LinearRegression().fit(table[["x"]], table["y"])
print(round(frequencies[power.mean(axis=1).argmax()]), table.describe()["y"]["mean"], round(float(model.coef_[0]), 6))
"""


@dataclass
class Told:
    """What was run, in the order of the story, and what was seen."""

    machine: Machine
    pictures: Path
    locked: str = ""  # what nbserver lock said
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    seen: dict[str, browser.Ran] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(self, name: str, command: str, *arguments: str, code: int = 0) -> None:
        done = self.machine.site.run(command, *arguments)
        assert done.returncode == code, (name, done.stdout[-3000:], done.stderr[-3000:])
        self.done[name] = done

    def install(self, name: str) -> None:
        """Apply, and measure the environment that it creates: megabytes, and seconds of the step."""
        site, before = self.machine.site, set(self.environments())
        self.run(name, "apply", site.name)
        (new,) = set(self.environments()) - before
        times = {event["event"]: event["time"] for event in site.last_events() if event["step"] == "packages"}
        seconds = (datetime.fromisoformat(times["changed"]) - datetime.fromisoformat(times["started"])).total_seconds()
        size = sum(path.lstat().st_size for path in new.rglob("*") if path.is_file() and not path.is_symlink())
        self.figures[name] = {"megabytes": size / 1e6, "seconds": seconds}

    def environments(self) -> list[Path]:
        return list(self.machine.environments.glob("env-*"))

    def see(self, name: str, notebook: str, frame_has: str = "") -> None:
        machine = self.machine
        pin, picture = browser.spki(machine.certificate), self.pictures / f"{machine.site.name}-{name}.png"
        self.seen[name] = browser.run_all(machine.url, pin, PASSWORD, notebook, picture, frame_has=frame_has)

    def compute(self, name: str, code: str) -> None:
        self.printed[name] = printed(self.machine, code)


def printed(machine: Machine, code: str) -> str:
    """What a kernel of the site's server prints."""
    site = machine.site
    fingerprint = known_certificates.read(site.folder / "nbserver.known")[site.name].fingerprint
    address, allowance = Address.parse(machine.url), Allowance(900)
    with NotebookClient(address, host=site.name, fingerprint=fingerprint, allowance=allowance) as client:
        client.login(PASSWORD)
        kernel, _ = client.start_kernel(seconds=300)
        path = f"/api/kernels/{kernel}/channels"
        tls = pinned_tls.connect(address.host, address.port, fingerprint=fingerprint, timeout=60, allowance=allowance)
        url, cookie = f"wss://{address.netloc}{path}", client.cookies_for(path)
        with KernelChannel(tls, url=url, origin=address.origin, cookie=cookie, host=site.name, seconds=300, allowance=allowance) as channel:
            return channel.run(code, seconds=600).stdout


def tell(told: Told) -> None:
    site, name = told.machine.site, told.machine.site.name
    told.install("shipped lock")
    site.settings["packages.include"] = ["pandas", "scipy==1.17.*"]
    told.locked = told.machine.lock()
    told.run("plan", "plan", name, code=4)
    told.install("pandas and SciPy")
    told.see("welcome", "Welcome.ipynb", frame_has="Welcome.ipynb")
    cell = {"cell_type": "code", "id": "tones", "metadata": {}, "execution_count": None, "outputs": [], "source": TONES}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [cell]}
    (site.folder / "sounds").mkdir()
    (site.folder / "sounds" / "Tones.ipynb").write_text(json.dumps(notebook), "utf-8")
    told.run("push", "notebooks", "push", "sounds", name)
    told.see("tones", "Tones.ipynb")
    told.compute("pip", "%pip install tabulate\n!pip install tabulate\n%uv pip install tabulate\nprint(6 * 7)")
    told.run("plan after pip", "plan", name)
    told.run("status", "status", name)
    told.run("rollback", "rollback", name)
    told.compute("after rollback", "from importlib.util import find_spec\nprint(find_spec('scipy'), find_spec('pandas'))")
    told.run("status after rollback", "status", name, code=4)
    del site.settings["packages.include"]
    site.settings["packages.set"] = "science"
    site.write()
    told.machine.wheels(told.machine.science)
    told.install("science")
    told.compute("model", MODEL)
    told.run("undo", "undo", name)


@pytest.fixture(scope="module", params=["windows", "debian"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp(request.param)
    fresh = request.getfixturevalue("debian_host") if request.param == "debian" else None
    with windows(folder) if fresh is None else debian(folder, fresh) as machine:
        story = Told(machine, folder / "pictures")
        story.pictures.mkdir()
        try:
            tell(story)
        finally:
            keep(story)
        yield story


def keep(told: Told) -> None:
    """Where NBSERVER_TEST_PICTURES names a folder, keep there what a person looks at: pictures, tables, and figures."""
    if folder := os.environ.get("NBSERVER_TEST_PICTURES"):
        shutil.copytree(told.pictures, folder, dirs_exist_ok=True)
        texts = {name: done.stdout + done.stderr for name, done in told.done.items()}
        found = {"lock": told.locked, "figures": told.figures, "printed": told.printed, "texts": texts}
        (Path(folder) / f"{told.machine.site.name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")


def test_lock_adds_what_was_asked_for_and_nothing_else(told: Told) -> None:
    said = told.locked
    assert "  added pandas " in said and "  added scipy 1.17." in said
    assert sorted(line.split()[1] for line in said.splitlines()[1:]) == ["pandas", "scipy"], said


def test_the_first_page_shows_its_plots_and_measures_with_scipy(told: Told) -> None:
    seen = told.seen["welcome"]
    assert (seen.pictures, seen.sounds, seen.animations, seen.frames, seen.errors) == (2, 1, 1, 1, 0)
    assert "523 Hz: 52" in seen.text and "not installed" not in seen.text


def test_a_sound_is_analysed_with_scipy_and_described_with_pandas(told: Told) -> None:
    seen = told.seen["tones"]
    assert (seen.pictures, seen.errors) == (1, 0)


def test_pip_says_what_to_do_and_changes_nothing(told: Told) -> None:
    said = told.printed["pip"]
    assert said.count("add the package to packages.include in the inventory") == 3 and "42" in said, said
    assert "up to date" in told.done["plan after pip"].stdout


def test_a_rollback_runs_the_previous_packages(told: Told) -> None:
    assert told.printed["after rollback"].split() == ["None", "None"]


def test_the_packages_of_science_work(told: Told) -> None:
    assert told.printed["model"].split() == ["1000", "5.0", "2.0"]


def test_science_is_larger_and_the_server_keeps_its_notebooks(told: Told) -> None:
    sizes = {name: found["megabytes"] for name, found in told.figures.items()}
    assert sizes["shipped lock"] < sizes["pandas and SciPy"] < sizes["science"], sizes
    assert (told.machine.notebooks / "Tones.ipynb").is_file(), "an undo keeps it"
