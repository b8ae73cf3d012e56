"""Whatever the data hold, a table shows it as text; and the page around it."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.reporting.html import to_html, write_index
from workbench.reporting.tables import DASH, show, status_mark, text_of, visible


class Tags(HTMLParser):
    """The tags of a page and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pd.Timestamp("2026-05-01 10:00:59"), "2026-05-01 10:00"),
        (date(2026, 5, 1), "2026-05-01"),
        (1432, "1,432"),
        (2.5, "2.50"),
        (3.0, "3"),
        (Decimal(1000), "1,000"),
        (True, "yes"),
        ({"a": 1}, '{"a": 1}'),
        *((nothing, DASH) for nothing in (None, float("nan"), pd.NaT, pd.NA, "")),
    ],
)
def test_values_as_people_write_them(value: object, expected: str) -> None:
    assert text_of(value) == expected
    assert text_of(50012, "wa_id") == "50012", "ids are not grouped"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '=HYPERLINK("http://x","y")',
        '"><img src=x onerror=alert(1)>',
        "<b>$x$</b>",
        "&lt;",
        "x" * 10_000,
    ],
)
def test_hostile_values_are_text(hostile: str) -> None:
    shown = show(pd.DataFrame({"title": [hostile], hostile: ["v"]}), "Events")
    page = Tags(shown.html)
    assert page.tags == Tags(show(pd.DataFrame({"title": ["harmless"]}), "Events").html).tags
    assert any(hostile[:100] in text for text in page.texts)
    assert len(shown.html) < 8_000


def test_what_turns_the_writing_direction_is_seen() -> None:
    assert visible("abc\u202egpj.exe\x00") == "abc⟨U+202E⟩gpj.exe⟨U+0000⟩"
    assert visible("Zoë 👩‍👩‍👧 नमस्ते") == "Zoë 👩‍👩‍👧 नमस्ते"
    assert "\u202e" not in show(pd.DataFrame({"title": ["a\u202eb"]}), "x").text


def test_a_table_says_when_it_is_cut_and_when_it_is_empty() -> None:
    frame = pd.DataFrame({"key": range(1432)})
    shown = show(frame, "Members")
    assert "showing 20 of 1,432" in shown.html
    assert "showing 20 of 1,432" in shown.text
    assert "showing 3 of 9" in show(frame.head(3), "Members", total=9).html
    assert "showing" not in show(frame.head(3), "Members").html
    assert "none" in show(pd.DataFrame(columns=["a"]), "Runs").html


def test_people_are_masked_unless_asked_for() -> None:
    frame = pd.DataFrame({"first_name": ["Alice"], "email": ["alice@example.org"]})
    shown = show(frame, "Members")
    assert not any(name in shown.html + shown.text for name in ("Alice", "alice@"))
    assert "alice@example.org" in show(frame, "Members", unmask=True).html


def test_statuses_have_a_symbol_and_a_word() -> None:
    for status in ("pass", "fail", "warn", "not run", "waived", "completed", "interrupted"):
        assert re.search(rf'aria-hidden="true">\S</span> {status}<', status_mark(status))
    assert "<b>" not in status_mark("<b>")


def test_outputs_are_text_unless_the_workbench_made_them() -> None:
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    hostile = "<script>alert(1)</script>\x1b[31m"
    foreign = {"text/markdown": hostile, "application/javascript": "alert(1)", "text/plain": "x"}
    outputs = [
        new_output("stream", text=hostile),
        new_output("display_data", data={"text/plain": hostile}),
        new_output("display_data", data=foreign),
        new_output("error", ename="E", evalue=hostile, traceback=[hostile]),
    ]
    notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs)], metadata={"title": hostile})
    environment = {"name": hostile, "kind": "production", "where": hostile}
    verdict = {"environment": environment, "made_at": "2026-05-01T10:00:00"}
    page = to_html(notebook, verdict, hostile, failed=hostile)
    assert "<script" not in page
    assert "alert(1)&lt;/script&gt;" in page
    assert "kind-production" in page
    assert "\x1b" not in page


def put(folder: Path, moment: str, where: str = "club", **checks: int) -> None:
    """Leave a verdict, on which these checks are open with so many cases, and one is closed."""
    findings: list[dict[str, Any]] = [
        {"check": check, "title": f"Title of {check}", "count": count, "open": count > 0}
        for check, count in (checks | {"closed": 0}).items()
    ]
    verdict = {
        "report": "post-recovery",
        "made_at": moment,
        "headline": f"Is it safe? <No> at {moment}",
        "status": "fail",
        "environment": {"name": where, "kind": "demo"},
        "parameters": {"environment": where, "unmask": len(checks) > 1},
        "findings": findings,
    }
    (folder / f"{where}-{moment}.json").write_text(json.dumps(verdict))


def test_the_page_of_all_reports_has_the_latest_first_with_what_changed(tmp_path: Path) -> None:
    put(tmp_path, "2026-01-01T10:00:00", lost=3, twice=2)
    put(tmp_path, "2026-01-02T10:00:00", where="other", lost=9)
    put(tmp_path, "2026-01-03T10:00:00", lost=1, wrong=4)
    put(tmp_path, "2026-01-04T10:00:00", lost=1, wrong=4)
    (tmp_path / "cut.json").write_text('{"report": ')
    (tmp_path / "notes.json").write_text("[]")
    write_index(tmp_path)
    page = (tmp_path / "index.html").read_text()
    lines = [re.findall(r"(?s)<td>(.*?)</td>", row) for row in re.findall(r"(?s)<tr>(.*?)</tr>", page)[1:]]
    rows = [[unescape(re.sub("<[^<]*>", "|", cell)) for cell in row] for row in lines]
    made, report, verdict, changes, where = zip(*rows, strict=True)
    assert [moment[:10] for moment in made] == ["2026-01-04", "2026-01-03", "2026-01-02", "2026-01-01", ""]
    assert where[:2] == ("club (demo)",) * 2
    assert "cut.json" in report[-1]
    assert verdict[0] == "Is it safe? <No> at 2026-01-04T10:00:00"
    assert changes[0] == "nothing"
    assert changes[2] == changes[3] == "the first of its kind"
    said = {"new: Title of wrong", "settled: Title of twice", "Title of lost: 3 → 1"}
    assert set(filter(None, changes[1].split("|"))) == said
