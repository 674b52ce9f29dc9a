"""Find where a TOML text defines a key or table a second time. tomlkit often notices it at the end of the second table."""

from __future__ import annotations

Key = tuple[str | int, ...]


class Definitions:
    """How each key of a document was defined so far: by a header, above another one, by dotted keys, as an array, or as a value.

    `repeated` has the line of each definition that TOML does not allow after the earlier ones.
    """

    def __init__(self) -> None:
        self.repeated: list[int] = []
        self._kinds: dict[Key, str] = {}
        self._dotted_in: dict[Key, Key] = {}  # the table whose dotted keys define a table

    def above(self, key: Key, line: int) -> None:
        """Add `key`, above the table of a header."""
        self._require(key, line, "header", "above", "dotted", "array")
        self._kinds.setdefault(key, "above")

    def table(self, key: Key, line: int) -> None:
        """Add the header `[key]`."""
        self._require(key, line, "above")
        self._kinds[key] = "header"

    def array(self, key: Key, line: int) -> None:
        """Add the header `[[key]]`, which begins a new element."""
        self._require(key, line, "array")
        self._kinds[key] = "array"

    def dotted(self, key: Key, table: Key, line: int) -> None:
        """Add a dotted key in `table` that has a value inside `key`."""
        self._require(key, line, "dotted")
        self._kinds.setdefault(key, "dotted")
        if self._dotted_in.setdefault(key, table) != table:
            self.repeated.append(line)

    def value(self, key: Key, line: int) -> None:
        """Add `key = VALUE`."""
        self._require(key, line)
        self._kinds[key] = "value"

    def _require(self, key: Key, line: int, *kinds: str) -> None:
        if key in self._kinds and self._kinds[key] not in kinds:
            self.repeated.append(line)
