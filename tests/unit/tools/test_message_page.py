"""docs/messages.md is what tools/messages writes."""

from __future__ import annotations

from tests.checkout import CHECKOUT
from tools import message_page
from tools.message_entry import Entry

SYSTEMS, FAULTS = message_page.collect(CHECKOUT)
PAGE = (CHECKOUT / "docs" / "messages.md").read_text("utf-8")


def test_no_rule_is_broken() -> None:
    assert not FAULTS, "\n".join(FAULTS)


def test_the_page_is_up_to_date() -> None:
    missing = [entry.code for entries in SYSTEMS.values() for entry in entries if f"| `{entry.code}`" not in PAGE]
    assert not missing, f"not in docs/messages.md, run tools/messages: {', '.join(missing)}"
    assert message_page.page(SYSTEMS) == PAGE, "docs/messages.md is out of date: run tools/messages"


def test_a_row_has_the_places_of_a_message_once() -> None:
    entries = [
        Entry("b", "text", "", "z.py", 1),
        Entry("a", "x | y", "Do `z`", "b.py", 9),
        Entry("b", "text", "", "z.py", 2),
        Entry("b", "text", "", "a.py"),
    ]
    assert [row.line() for row in message_page.rows(entries)] == [
        "| `a` | `x \\| y` | Do &#96;z&#96; | `b.py` |\n",
        "| `b` | `text` |  | `a.py`, `z.py` |\n",
    ]
    assert message_page.rows([Entry("c", "text", "", "c.py", place="HOST")])[0].line() == "| `c` | `HOST: text` |  | `c.py` |\n"
    assert message_page.twice(entries) == [] and message_page.twice([*entries, Entry("a", "other", "", "c.py")]) == ["a"]


def test_a_part_of_messages_has_its_own_table() -> None:
    page = message_page.page(
        {message_page.MESSAGES: [Entry("a", "whole", "", "a.py")], message_page.PARTS_OF: [Entry("b", "part", "", "b.py", 1, "part")]}
    )
    whole, part = page.split(f"## {message_page.PARTS_OF}")
    assert "| `a` | `whole`" in whole and "| `b` (part) | `part`" in part


def test_a_difference_has_its_words() -> None:
    entries = [
        Entry("port", "TCP port {port}", "", "a.ps1", 1, "difference", ("used", "free")),
        Entry("port", "TCP port {port}", "", "b.ps1", 1, "difference", ("free",)),
    ]
    (row,) = message_page.rows(entries)
    assert row.line() == "| `port` (difference) | `TCP port {port}` | `used`, `free` | `a.ps1`, `b.ps1` |\n"


def test_a_difference_to_nothing_has_the_word_that_is_shown_for_it() -> None:
    entry = Entry("user", "user {user}", "", "a.sh", 1, "difference", ("", "a system user"))
    (row,) = message_page.rows([entry])
    assert row.line() == "| `user` (difference) | `user {user}` | `absent`, `a system user` | `a.sh` |\n"
    assert message_page.templates({"Linux script": [entry]})["words"] == {"user": ["a system user"]}
