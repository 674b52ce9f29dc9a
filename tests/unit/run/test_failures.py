"""Which hosts failed for the same reason."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import ConnectError
from nbserver.base.message import Reported, message
from nbserver.run.failures import group, grouped
from nbserver.run.result import Result


def refused(host: str, place: str) -> Result:
    result = Result(host)
    result.fail(ConnectError("ssh-nothing-listening", "{place} refused the connection", host=host, place=place))
    return result


def failed(host: str, step: str, code: str) -> Result:
    result = Result(host)
    result.because(message("step-failed", "{name}, {step}: {reason}", name=host, step=step, reason=Reported(code, f"no {host}", {})))
    return result


def test_the_codes_and_the_step_decide_and_not_the_values() -> None:
    results = [
        refused("a", "a:22"),
        failed("b", "python", "x"),
        refused("c", "c:23"),
        failed("d", "packages", "x"),
        failed("e", "python", "y"),
    ]
    results += [failed("f", "python", "x"), Result("ok", outcome="ok"), refused("g", "g:22")]
    assert [one.hosts for one in group(results)] == [("a", "c", "g"), ("b", "f"), ("d",), ("e",)]
    assert group(results)[0].text == "a: a:22 refused the connection"


def test_two_bugs_are_two_reasons() -> None:
    results = [Result(name) for name in "abc"]
    for result, error in zip(results, (KeyError("x"), ValueError("x"), KeyError("x")), strict=True):
        result.fail(error)
    assert [one.hosts for one in group(results)] == [("a", "c"), ("b",)]


def test_without_a_code_the_text_decides_apart_from_the_name() -> None:
    said = [("web1", "web1: lost, web1!", {}), ("web10", "web10: lost, web10!", {}), ("web2", "web2: lost, web1!", {})]
    assert [one.hosts for one in grouped(said)] == [("web1", "web10"), ("web2",)]


JSON = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.sampled_from(["code", "values", "step", "a"]), inner)
)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.text(), st.dictionaries(st.sampled_from(["code", "values"]), JSON))))
def test_every_host_is_in_one_group(said: list[tuple[str, str, dict[str, Any]]]) -> None:
    groups = grouped(said)
    assert sorted(host for one in groups for host in one.hosts) == sorted(host for host, _, _ in said)
    assert [len(one.hosts) for one in groups] == sorted((len(one.hosts) for one in groups), reverse=True)
