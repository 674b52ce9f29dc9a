"""What a script receives: typed, frozen, and every field with its rule beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from nbserver.approval import script_settings
from nbserver.approval.script_settings import TABLES
from nbserver.base import strict_json
from nbserver.settings.faults import _table as table_of
from tests import golden


def undescribed(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """The dotted keys of fields that are no tables and say nothing about what may be in them."""
    for key, field in model.model_fields.items():
        below = table_of(field.annotation)
        if below:
            yield from undescribed(below, f"{at}{key}.")
        elif not field.description:
            yield f"{at}{key}"


@pytest.mark.parametrize("name", TABLES)
def test_every_field_says_what_may_be_in_it(name: str) -> None:
    assert list(undescribed(script_settings.rules(name).model)) == []


def test_the_settings_of_a_script_are_plain_json() -> None:
    for script in golden.scripts():
        assert strict_json.same(json.loads(json.dumps(script.settings)), script.settings)


def test_settings_are_never_changed() -> None:
    settings = script_settings.typed(golden.scripts()[0].settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.host = "other"  # type: ignore[misc]
    assert settings == script_settings.typed(settings.as_json()) and hash(settings) == hash(script_settings.typed(settings.as_json()))
