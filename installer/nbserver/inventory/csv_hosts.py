"""Hosts in a CSV file: a header with `name`, `groups`, and keys of the inventory, such as `address` and `notebook.port`."""

from __future__ import annotations

import csv
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from nbserver.base.message import Message, message
from nbserver.inventory.host_list import HostList
from nbserver.inventory.host_settings import NAMES, model_of
from nbserver.settings.faults import nearest

DELIMITERS = (",", ";", "\t")


def add_to(found: HostList, text: str) -> None:
    """Add the hosts of a CSV text: with commas, semicolons, or tabs, whichever its header has. Empty cells set nothing."""
    rows = _rows(found, text)
    line, header = next(rows, (1, []))
    columns = [cell.strip().lower() for cell in header]
    kinds = {column: _kinds(column) for column in columns}
    reasons = [(number, reason) for number, column in enumerate(columns, 1) if (reason := _fault(column, kinds[column]))]
    for number, reason in reasons:
        found.fault(line, message("column-invalid", "column {number}: {reason}", number=number, reason=reason))
    if len(kinds) < len(columns):
        second = next(index for index, column in enumerate(columns) if column in columns[:index])
        first = columns.index(columns[second])
        found.fault(line, message("column-twice", "columns {first} and {second} have the same name", first=first + 1, second=second + 1))
    elif "name" not in kinds and not reasons:
        found.fault(line, message("column-name-missing", 'the header has no column "name"; expected a header such as name,address,groups'))
    if found.faults:
        return
    for line, cells in rows:
        if len(cells) != len(columns):
            found.fault(
                line,
                message(
                    "cells-unlike-header",
                    "expected {expected} cells, as in the header, got {count}",
                    count=len(cells),
                    expected=len(columns),
                ),
            )
            continue
        values = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
        name, groups = values.pop("name", ""), values.pop("groups", "")
        if found.add(name, line, _table({column: _value(value, kinds[column]) for column, value in values.items()})):
            for group in re.findall(r"[^\s,;]+", groups):
                found.join(group, name, line)


def _rows(found: HostList, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each row and its cells; a syntax error ends the rows."""
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error:
        found.fault(line, message("csv-invalid", "this is not valid CSV: a quote is not closed, or text follows a closing quote"))


def _table(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of a host: `notebook.port` is a key of the table `notebook`."""
    table: dict[str, Any] = {}
    for column, value in values.items():
        *outer, inner = column.split(".")
        below = table
        for name in outer:
            below = below.setdefault(name, {})
        below[inner] = value
    return table


def _value(text: str, kinds: frozenset[type]) -> Any:
    """Return the value of a cell. Text that is no number or truth value stays text, and is refused as a setting."""
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if int in kinds and re.fullmatch(r"[0-9]{1,99}", text) else text


def _fault(column: str, kinds: frozenset[type]) -> Message | None:
    """Return why a file cannot have this column, or None. An unknown name could be a secret."""
    if kinds & {str, int, bool}:
        return None
    if kinds:
        return message(
            "column-not-one-value",
            "{column} is a table or an array, which a CSV cell cannot contain; set it in [defaults] or in a group of the inventory",
            column=column,
        )
    near = nearest(column, _columns())
    if near:
        return message("column-unknown-near", 'the column name is not valid (did you mean "{near}"?)', near=near)
    return message(
        "column-unknown", "the column name is not valid; expected name, groups, or a key of the inventory, such as address or notebook.port"
    )


def _columns() -> list[str]:
    found = ["name", "groups"]
    for model in map(model_of, NAMES):
        for name, setting in model.model_fields.items():
            below = _models(setting.annotation)
            found += [f"{name}.{inner}" for table in below for inner in table.model_fields] if below else [name]
    return found


def _kinds(column: str) -> frozenset[type]:
    """Return the types of the values of a column, as far as a cell can have them; an empty set for an unknown one."""
    if column in ("name", "groups"):
        return frozenset({str})
    parts = column.split(".")
    found: set[type] = set()
    for model in map(model_of, NAMES):
        tables: Sequence[type[BaseModel]] = [model]
        for number, part in enumerate(parts, 1):
            annotations = [table.model_fields[part].annotation for table in tables if part in table.model_fields]
            if number == len(parts):
                found.update(kind for annotation in annotations for kind in _leaves(annotation))
            tables = [table for annotation in annotations for table in _models(annotation)]
    return frozenset(found)


def _leaves(annotation: Any) -> Iterator[type]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _leaves(inner)
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation)}
    elif origin is not None:
        yield tuple
    elif annotation is not type(None):
        yield annotation if annotation in (int, bool) or issubclass(annotation, BaseModel) else str


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [kind for kind in _leaves(annotation) if issubclass(kind, BaseModel)]
