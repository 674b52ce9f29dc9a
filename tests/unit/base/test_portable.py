"""Every exception of nbserver can come from another process."""

from __future__ import annotations

import importlib
import inspect
import pickle
from typing import Any

import pytest

from nbserver.base.errors import HostError, NbserverError
from nbserver.base.message import Described, Lines, cause, detail, message
from tests.unit.test_packages import modules


def classes() -> list[type[BaseException]]:
    found = {
        value
        for name in modules()
        if not name.endswith("__main__")
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith("nbserver.")
    }
    return sorted(found, key=lambda found: found.__qualname__)


def created(kind: type[Any]) -> BaseException:
    """An exception of this class with all kinds of values that its constructor takes."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    if parameters and parameters[0].name == "code":
        reasons = Lines([message("one", "first {n}", n=1), NbserverError("two", "second")])
        values: dict[str, Any] = {"a": "x", "b": 3, "c": None, "d": reasons}
        if issubclass(kind, HostError):
            values["host"] = "web1"
        if "todo" in [parameter.name for parameter in parameters]:
            values["todo"] = "do {a}."
            return kind("some-code", "failed: {b} {c} {d}", **values)  # type: ignore[no-any-return]
        return kind("some-code", "failed: {a} {b} {c} {d}", **values)  # type: ignore[no-any-return]
    required = [one for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    return kind(*[f"text of {one.name}" for one in required])  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__qualname__)
def test_an_exception_survives_pickling(kind: type[BaseException]) -> None:
    error = created(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and (str(again), again.args) == (str(error), error.args)
    assert again.__dict__.keys() == error.__dict__.keys()
    if isinstance(error, Described):
        assert isinstance(again, Described) and detail(again) == detail(error) and str(cause(again)) == str(cause(error))  # type: ignore[arg-type]


def test_all_of_them_are_found() -> None:
    names = {kind.__qualname__ for kind in classes()}
    assert (
        len(names) >= 25
        and {"NbserverError", "ApprovalError", "ChainFault", "FingerprintMismatch", "ProxyRefused", "StopRequested"} <= names
    )
