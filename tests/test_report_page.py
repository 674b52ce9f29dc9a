"""The report in a browser: nothing is loaded or refused, its figures are those of events.jsonl, and keyboard and phone do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.report import before, statements
from nbserver.report.page import page
from tests import browser, run_folders
from tests.page_visits import visits
from tests.unit.report.test_statements import figures
from tests.unit.verify.test_picture import DRAWING


def test_a_person_reads_the_report(tmp_path: Path) -> None:
    if browser.missing():
        pytest.skip(browser.missing())
    earlier, folder = run_folders.fleet(tmp_path, DRAWING)
    found = statements.report(folder)
    path = tmp_path / "report.html"
    path.write_text(page(found, before.compare(found, earlier)), "utf-8")
    expected = figures(folder)
    with visits(path) as visit:
        for opened in visit.on_two_screens(narrow=390):
            assert opened.evaluate("document.querySelector('img').naturalWidth") == 400
            for row in opened.locator("tr[data-host]").all():
                _compare_lane(row, expected, found.seconds)
            rows = opened.locator("tr[data-host]:visible")
            opened.fill("input[data-filter]", "unreachable")
            assert rows.count() == 5 and opened.locator("output").inner_text() == "5 shown"
            opened.fill("input[data-filter]", "")
            assert rows.count() == 12
            opened.locator("#timeline ~ table a[href='#host-web07']").focus()
            opened.keyboard.press("Enter")
            steps = opened.locator("#host-web07 tbody tr")
            steps.first.wait_for(state="visible")  # the link has opened the host
            shown = {row.locator("th").inner_text(): row.locator("td >> nth=0").inner_text().split()[-1] for row in steps.all()}
            assert shown == {name: result for name, (result, _) in expected["steps"]["web07"].items()}
            opened.locator("#host-web07 > summary").focus()
            opened.keyboard.press("Enter")
            steps.first.wait_for(state="hidden")
        plain = visit.without_scripts()
        assert plain.locator("tr[data-host]:visible").count() == 12 and plain.locator("input[data-filter]").is_hidden()


def _compare_lane(row: object, expected: dict[str, dict[str, object]], seconds: float) -> None:
    """The bars of a host are as long as its events say, in thousandths of the run."""
    boxes = row.evaluate("row => [...row.querySelectorAll('rect')].map(rect => [+rect.getAttribute('x'), +rect.getAttribute('width')])")  # type: ignore[attr-defined]
    host = row.get_attribute("data-host")  # type: ignore[attr-defined]
    drawn = boxes[-1][0] + boxes[-1][1] - boxes[1][0] if len(boxes) > 1 else 0
    assert drawn == pytest.approx(expected["spans"].get(host, 0) / seconds * 1000, abs=1.0), host
