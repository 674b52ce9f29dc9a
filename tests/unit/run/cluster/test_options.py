"""What is refused before a scheduler is contacted: no encryption, no address, options that do not belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.inventory import reader
from nbserver.run import engine, intent, operation
from nbserver.run.batches import Policy
from nbserver.run.cluster.options import ClusterOptions, cluster_options
from nbserver.run.intent import Intent
from nbserver.run.options import Options

INVENTORY = """
[defaults]
system = "linux"
user = "root"
notebook.password = { env = "NOTEBOOK" }
[groups.paris]
hosts = ["p1", "p2"]
[hosts.p1]
address = "192.0.2.1"
[hosts.p2]
address = "192.0.2.2"
[hosts.r1]
address = "192.0.2.3"
"""
DASK = Options(engine="dask", scheduler="tls://scheduler.example.com:8786")


def code(options: Options) -> str:
    with pytest.raises(UsageError) as caught:
        cluster_options(options)
    assert caught.value.todo
    return caught.value.code


def test_only_an_encrypted_scheduler_is_accepted() -> None:
    assert cluster_options(DASK) == ClusterOptions("tls://scheduler.example.com:8786")
    for scheme in ("tcp", "ws", "wss", "ucx", "inproc"):
        assert code(replace(DASK, scheduler=f"{scheme}://192.0.2.1:8786")) == "scheduler-not-encrypted"
    for text in ("scheduler.example.com:8786", "tls://", "tls://x", "tls://x:99999", "tls://a:b@x:1", "tls://x:1/a", "tls://[::1"):
        assert code(replace(DASK, scheduler=text)) == "scheduler-invalid", text
    assert code(replace(DASK, scheduler=None)) == "engine-without-scheduler"


@pytest.mark.parametrize("given", [{"scheduler": "tls://x:1"}, {"scheduler_ca": Path("ca.pem")}, {"place": ("a=b",)}])
def test_the_options_require_the_engine(given: dict[str, object]) -> None:
    assert cluster_options(Options()) is None
    assert code(Options(**given)) == "scheduler-without-engine"  # type: ignore[arg-type]


def test_the_connection_needs_certificates() -> None:
    options = ClusterOptions("tls://x:1")
    options.require_files("ca.pem", "client.pem")
    for ca, certificate in ((None, "client.pem"), ("ca.pem", None)):
        with pytest.raises(UsageError, match="requires a certificate"):
            options.require_files(ca, certificate)


def test_a_place_is_a_pattern_and_a_resource(tmp_path: Path) -> None:
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    inventory = reader.load(tmp_path / "nbserver.toml")
    hosts = inventory.select(["p1", "r1", "local"])
    assert engine.places_of(inventory, hosts, ("paris=site-7", "r*=site-8")) == {"p1": "site-7", "r1": "site-8"}
    assert engine.places_of(inventory, hosts, ()) == {}
    for wrong in ("paris", "=x", "paris="):
        with pytest.raises(UsageError, match="PATTERN=RESOURCE"):
            engine.places_of(inventory, hosts, (wrong,))


def test_a_pattern_can_match_hosts_outside_the_command(tmp_path: Path) -> None:
    """Their settings were not read: `resume` continues with some hosts only, and --limit selects some of them."""
    (tmp_path / "nbserver.toml").write_text(INVENTORY)
    inventory = reader.load_for(tmp_path / "nbserver.toml", ["p1"])
    assert engine.places_of(inventory, inventory.select(["p1"]), ("paris=site-7", "r1=site-8")) == {"p1": "site-7"}
    with pytest.raises(UsageError, match="the canary p2 is not among the hosts selected for this run"):
        operation._policy(["p1"], inventory, Options(policy=Policy(canary=("paris",))))


def test_a_run_that_is_continued_uses_the_same_cluster(tmp_path: Path) -> None:
    given = replace(DASK, scheduler_ca=tmp_path / "ca.pem", place=("paris=site-7",))
    (tmp_path / intent.FILE).write_bytes(intent.of((), given, None).as_bytes())
    kept = intent.read(tmp_path)
    assert isinstance(kept, Intent) and intent.options(kept) == given
    assert intent.options(kept, engine="local", place=("a=b",)) == replace(given, engine="local", place=("a=b",))
