"""Whatever stands behind a key of the inventory, in whichever table: it is taken, or refused with the file's line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from nbserver.base.errors import InventoryError
from nbserver.inventory.host_settings import NAMES, model_of
from nbserver.inventory.reader import load
from tests import tier

VALUES = ["-1", '""', '["x"]', "[{}]", "{}", "{env = []}", "true", "1979-05-27"]
MORE = ["1", '"x"', "[]", "[[]]", "{a = 1}", '{env = "X"}', "{file = 1}", "1.5", '"\\u0000"', "nan", "99999999999999999999", '"a\\nb"']
HOST = {"system": "", "address": '"x"', "user": '"u"', "password": '{env = "A"}'}


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, (*above, name))


@pytest.mark.parametrize("table", ["hosts.a", "defaults", "groups.g"])
@pytest.mark.parametrize("system", NAMES)
def test_no_value_is_a_traceback(tmp_path: Path, system: str, table: str) -> None:
    path, refused = tmp_path / "nbserver.toml", 0
    for key in keys(model_of(system)):
        host = "".join(f"{name} = {value}\n" for name, value in (HOST | {"system": f'"{system}"'}).items() if name != key[0])
        members = 'hosts = ["a"]\n' if table == "groups.g" else ""
        for value in VALUES + MORE * tier.FULL:
            line = f"{'.'.join(key)} = {value}\n"
            path.write_text(f"[hosts.a]\n{host}{line}" if table == "hosts.a" else f"[{table}]\n{members}{line}[hosts.a]\n{host}", "utf-8")
            try:
                load(path)
            except InventoryError as error:
                assert f"{path.name}:" in str(error), line
                refused += 1
    assert refused > 200
