"""A firewall rule's remote addresses, told alike whatever Windows makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.powershell.engine import Session, prelude, require_engine


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "record", "firewall"))
        yield opened


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("Any", "Any"),
        ("LocalSubnet", "LocalSubnet"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("192.0.2.7/255.255.255.255", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_one_form_for_each_network(session: Session, address: str, prefix: str) -> None:
    assert session.run("ConvertTo-NetworkPrefix @($input)[0]", [address]) == [prefix]
