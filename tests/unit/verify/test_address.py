"""The address of a notebook server, from the settings and from a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import UsageError
from nbserver.verify.checks import address_of
from nbserver.verify.notebook_client import Address
from tests.verify.checking import host as host_at


def test_the_address_comes_from_the_settings() -> None:
    def url(address: str, public_url: str | None = None) -> str:
        return address_of(host_at(9999, address, public_url)).url

    assert url("win1.example.com") == "https://win1.example.com:9999"
    assert url("2001:db8::7") == "https://[2001:db8::7]:9999"
    assert url("win1", "https://notebooks.example.com") == "https://notebooks.example.com"
    assert url("win1", "https://notebooks.example.com:443/") == "https://notebooks.example.com"
    assert url("win1", "https://notebooks.example.com:8443/") == "https://notebooks.example.com:8443"


@given(
    st.ip_addresses().map(str) | st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,10}){0,3}", fullmatch=True),
    st.integers(min_value=1, max_value=65535),
    st.sampled_from(["", "/base", "/a/b"]),
)
def test_an_address_is_read_back_from_its_url(host: str, port: int, path: str) -> None:
    address = Address(host, port, path)
    assert Address.parse(address.url) == address
    assert address.url == address.origin + path


@pytest.mark.parametrize(
    "url",
    [
        "http://win1",
        "win1:9999",
        "https://",
        "https://u:hunter2@win1",
        "https://win1:0",
        "https://win1:70000",
        "https://win1:x",
        "https://[::1",
        "https://win1/?hunter2",
        "https://win1/#x",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Address.parse(url)
    assert "hunter2" not in str(refused.value)
