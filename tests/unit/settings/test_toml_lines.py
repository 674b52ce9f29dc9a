"""The line of everything in a TOML file, against documents whose lines are known because the test wrote them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import CatalogError, InventoryError
from nbserver.settings.toml_lines import Key, parse, read

# Three tildes stand for three single quotes.
DOCUMENT = r'''# comment with = and [brackets]
plain = 1
dotted.key.deep = "a # no comment"
text = """one
"two" \""" three"""""
literal = ~~~
first
= 'second'
~~~
array = [ 1.5, # a comment, with ] in it
  "three]",
  { k = 1, "quoted key" = [3,
      4] }, 1979-05-27 07:32:00 ]
[table]
"key with.point" = true
[[list]]
n = 1
[list.below]
z = 2
[table.child]
[[list]]
n = 2
  [list.below]
  y.w = { a.b = 1, c = [] }
[out.of.order]
[table.other]
x = -0.1
[out]
late = 1
quotes = ["""x"""", "y", "z"]
'''.replace("~~~", "'" * 3)
LINES: dict[Key, int] = {
    ("plain",): 2,
    ("dotted",): 3,
    ("dotted", "key", "deep"): 3,
    ("text",): 4,
    ("literal",): 6,
    ("array",): 10,
    ("array", 0): 10,
    ("array", 1): 11,
    ("array", 2, "k"): 12,
    ("array", 2, "quoted key"): 12,
    ("array", 2, "quoted key", 1): 13,
    ("array", 3): 13,
    ("table",): 14,
    ("table", "key with.point"): 15,
    ("list",): 16,
    ("list", 0): 16,
    ("list", 0, "n"): 17,
    ("list", 0, "below", "z"): 19,
    ("table", "child"): 20,
    ("list", 1): 21,
    ("list", 1, "below"): 23,
    ("list", 1, "below", "y", "w", "a", "b"): 24,
    ("out", "of"): 25,
    ("out", "of", "order"): 25,
    ("table", "other", "x"): 27,
    ("out",): 28,
    ("out", "late"): 29,
    ("out", "quotes", 2): 30,
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_kind_of_line(end: str, encoding: str) -> None:
    file = parse(DOCUMENT.replace("\n", end).encode(encoding), InventoryError, name="x.toml")
    assert {key: file.lines.get(key) for key in LINES} == LINES
    assert file.where(("list", 1, "absent", "key")) == "x.toml:21"
    assert file.where(("absent",)) == "x.toml:1"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a=1\na=2\n", 2, "a key or table is defined twice"),
        ("[a]\nx=1\n[b]\n[a]\n", 4, "a key or table is defined twice"),
        ("[a]\nb=1\n[a.b]\nc=1\n", 3, "a key or table is defined twice"),
        ("\n\na={b=1,b=2}", 3, "a key or table is defined twice"),
        ('a="x\n', 1, "unterminated string"),
        ("\na = hunter2\n", 2, "must be in quotes"),
        ("a=[1,\n2\n\n", 2, "ends within"),
        ('a="C:\\Users"', 1, "unicode|escape"),
        ('a="C:\\dir"', 1, "write each backslash as"),
        ('a="C:\\Users"', 1, "write each backslash as"),
        (
            '\na="CORP\\xabel"',
            2,
            "unknown escape sequence at column 8 (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)",
        ),
        ('a="""x\n\\\\x\n y\\ez"""', 3, "unknown escape sequence at column 3 (in"),
        ('a="C:\\"\nb="x"\n', 1, "is an escaped quote and does not end the string (in"),
        ('a="C:\\data\\"', 1, "is an escaped quote and does not end the string|unknown escape sequence at column 7"),
        ("a = 1\n\u00a0b = 2\n", 2, "invisible character U+00A0 at column 1: delete it"),
        ("a\u200b = 1\n", 1, "invisible character U+200B at column 2: delete it"),
        ("a = \u201cx\u201d\n", 1, "typographic quote at column 5: write"),
        ("[a]\nx=1\n[b]\ny=1\n[a]\nz=1\nw=2\n", 5, "a key or table is defined twice"),
        ("a.b=1\n[a]\nc=1\n", 2, "a key or table is defined twice"),
        ("a=1\na=2\n[]\n", 2, "a key or table is defined twice"),
        ("[a.b]\nx=1\n[a]\nb.c=1\n", 4, "a key or table is defined twice"),
        ("[h.w]\nx={a=1}\n[h.w.x]\nb=1\n", 3, "a key or table is defined twice"),
        ("[h.w]\nx.a=1\n[h.w.x]\nb=1\n", 3, "a key or table is defined twice"),
        ("[[a]]\nx=1\n[a]\ny=1\n", 3, "a key or table is defined twice"),
        ("a=[]\n[[a]]\nb=1\n", 2, "a key or table is defined twice"),
        ("[x]\na={b=1}\na.c=2\n", 3, "a key or table is defined twice"),
        ("[a]\nb=1\n[a.b.c]\nd=1\n", 3, "a key or table is defined twice"),
        ("a = 01\n", 1, "invalid number"),
        ("a=" + "[" * 9000 + "]" * 9000, 1, "nested"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(InventoryError) as error:
        parse(text.encode(), InventoryError, name="x.toml")
    assert error.value.where == f"x.toml:{line}"
    assert any(word in str(error.value) for word in words.split("|"))
    assert "hunter2" not in str(error.value)


def test_utf_16_is_text_too() -> None:
    """Windows PowerShell 5.1 writes it, with a mark by > and Out-File, without one by >> to an empty file."""
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        file = parse("# \u00e9\r\n[a]\r\nb = '\u00e9'\r\n".encode(encoding), InventoryError, name="x.toml")
        assert (file.values, file.lines[("a", "b")]) == ({"a": {"b": "\u00e9"}}, 3)
    appended = b"a = 1\n" + "b = 2\r\n".encode("utf-16-le")
    with pytest.raises(InventoryError, match=r"x\.toml:2: the file changes from UTF-8 to UTF-16 on this line.*Add-Content -Encoding UTF8"):
        parse(appended, InventoryError, name="x.toml")
    with pytest.raises(InventoryError, match=r"x\.toml:2: the text is not UTF-8"):
        parse("a = 1\nb = 2".encode("utf-16") + b"\x00\xd8", InventoryError, name="x.toml")


def test_other_encodings_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes("a = 1\nb = 'é'\n".encode("latin-1"))
    with pytest.raises(CatalogError, match=r"x\.toml:2: the text is not UTF-8\. Save"):
        read(path, CatalogError)
    with pytest.raises(CatalogError, match="does not exist"):
        read(tmp_path / "absent.toml", CatalogError)
    with pytest.raises(CatalogError, match="could not read the file"):
        read(tmp_path, CatalogError)


SCALARS = [
    "1",
    "-2.5e3",
    "true",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    '"a\\"]"',
    "'}'",
    '"""\n"]\n"""',
    "'''#\n'''",
    '"""x""""',
    "'''x'''''",
]


class _Writer:
    """Writes statements and keeps the line of each, as the next one's is known from the text so far."""

    def __init__(self) -> None:
        self.text, self.table, self.lines, self.count = "", (), {}, 0  # type: ignore[var-annotated]

    def name(self, draw: Any) -> tuple[str, str]:
        self.count += 1
        name = f"k{self.count}" + draw(st.sampled_from(["", ".", " =", "#", "]", "é", '"', "\\"]))
        if name.isalnum() and name.isascii():
            return name, name
        return name, '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def write(self, key: Key, text: str) -> None:
        self.lines[key] = self.text.count("\n") + 1
        self.text += text

    def value(self, draw: Any, key: Key, depth: int) -> None:
        kind = draw(st.sampled_from(["scalar", "array", "inline"] if depth else ["scalar"]))
        if kind == "scalar":
            self.text += draw(
                st.sampled_from(
                    [
                        "1",
                        "-2.5e3",
                        "true",
                        "1979-05-27T07:32:00Z",
                        "07:32:00",
                        '"a\\"]"',
                        "'}'",
                        '"""\n"]\n"""',
                        "'''#\n'''",
                    ]
                )
            )
        elif kind == "array":
            self.text += "["
            for index in range(draw(st.integers(0, 3))):
                self.text += draw(st.sampled_from(["", "\n ", " # [\n\n"]))
                self.write((*key, index), "")
                self.value(draw, (*key, index), depth - 1)
                self.text += draw(st.sampled_from([",", " ,\n", "\n,"]))
            self.text += "]"
        else:
            self.text += "{"
            for index in range(draw(st.integers(0, 3))):
                self.text += ", " if index else " "
                self.pair(draw, key, depth - 1)
            self.text += " }"

    def pair(self, draw: Any, table: Key, depth: int) -> None:
        parts = [self.name(draw) for _ in range(draw(st.integers(1, 3)))]
        key = table
        for name, _ in parts:
            key = (*key, name)
            self.write(key, "")
        self.text += " . ".join(text for _, text in parts) + " = "
        self.value(draw, key, depth)

    def header(self, draw: Any, tables: list[Key]) -> None:
        parent = draw(st.sampled_from([(), *tables]))
        names = [part for part in parent if isinstance(part, str)]
        name, text = self.name(draw)
        quoted = ['"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in names]
        array = draw(st.booleans())
        for index in range(draw(st.integers(1, 2)) if array else 1):
            key = (*parent, name)
            if index == 0:
                self.write(key, "")
            self.table = (*key, index) if array else key
            self.write(self.table, "")
            inner = ".".join([*quoted, text])
            self.text += f"[[{inner}]]\n" if array else f" [ {inner} ] # x\n"
        if not array:
            tables.append(self.table)


@st.composite
def documents(draw: Any) -> tuple[str, dict[Key, int]]:
    writer, tables = _Writer(), []  # type: ignore[var-annotated]
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["pair", "pair", "comment", "header"]))
        if kind == "pair":
            writer.pair(draw, writer.table, 2)
            writer.text += draw(st.sampled_from(["\n", " # c = [\n", "\n\n"]))
        elif kind == "comment":
            writer.text += draw(st.sampled_from(["# [x]\n", "\n", ' #"""\n']))
        else:
            writer.header(draw, tables)
    return writer.text, writer.lines


def _places(value: Any, key: Key = ()) -> set[Key]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {key} - {()} | {place for part, inner in below for place in _places(inner, (*key, part))}


@given(documents(), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_lines_of_any_document(document: tuple[str, dict[Key, int]], end: str, encoding: str) -> None:
    text, lines = document
    file = parse(text.replace("\n", end).encode(encoding), InventoryError, name="x.toml")
    assert file.lines == lines
    assert _places(file.values) == set(lines)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="this Python lacks tomllib, the second opinion")
@given(documents())
def test_values_are_those_of_another_parser(document: tuple[str, dict[Key, int]]) -> None:
    import tomllib

    text, _ = document
    assert parse(text.encode(), InventoryError, name="x.toml").values == tomllib.loads(text)


@given(st.text(alphabet="ab.=[]{}\"'#\n\\, 1", max_size=40))
def test_no_text_breaks_the_scan(text: str) -> None:
    try:
        file = parse(text.encode(), InventoryError, name="x.toml")
    except InventoryError as error:
        assert error.where.startswith("x.toml:")
    else:
        assert _places(file.values) <= set(file.lines)
