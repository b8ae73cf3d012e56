"""Whatever the data hold, a table shows it as text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pandas as pd
import pytest

from workbench.reporting.tables import show, status_mark, text_of, visible


class Tags(HTMLParser):
    """The tags of a page and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

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
        (Decimal("1000"), "1,000"),
        (True, "yes"),
        (False, "no"),
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (pd.NaT, "\N{EN DASH}"),
        (pd.NA, "\N{EN DASH}"),
        ("", "\N{EN DASH}"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_values_as_people_write_them(value: object, expected: str) -> None:
    assert text_of(value) == expected


def test_ids_are_not_grouped() -> None:
    assert text_of(50012, "wa_id") == "50012"


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
    plain = Tags(show(pd.DataFrame({"title": ["harmless"]}), "Events").html)
    shown = show(pd.DataFrame({"title": [hostile], hostile: ["v"]}), "Events")
    page = Tags(shown.html)
    assert set(page.tags) - {"span"} == set(plain.tags) - {"span"}
    assert any(hostile[:100] in text for text in page.texts)
    assert len(shown.html) < 8_000


def test_what_turns_the_writing_direction_is_seen() -> None:
    assert visible("abc\u202egpj.exe\x00") == "abc⟨U+202E⟩gpj.exe⟨U+0000⟩"
    assert visible("Zoë 👩‍👩‍👧 नमस्ते") == "Zoë 👩‍👩‍👧 नमस्ते"
    assert "\u202e" not in show(pd.DataFrame({"title": ["a\u202eb"]}), "x").text


def test_a_table_says_when_it_is_cut() -> None:
    frame = pd.DataFrame({"key": range(1432)})
    shown = show(frame, "Members")
    assert "showing 20 of 1,432" in shown.html
    assert "showing 20 of 1,432" in shown.text
    assert "showing 3 of 9" in show(frame.head(3), "Members", total=9).html
    assert "showing" not in show(frame.head(3), "Members").html


def test_people_are_masked_unless_asked_for() -> None:
    frame = pd.DataFrame({"first_name": ["Alice"], "email": ["alice@example.org"]})
    shown = show(frame, "Members")
    assert "Alice" not in shown.html + shown.text
    assert "alice@" not in shown.html + shown.text
    assert "alice@example.org" in show(frame, "Members", unmask=True).html


def test_statuses_have_a_symbol_and_a_word() -> None:
    for status in ("pass", "fail", "warn", "not run", "waived", "completed", "interrupted"):
        assert status in status_mark(status)
    assert "<b>" not in status_mark("<b>")


def test_nothing_to_show() -> None:
    assert "none" in show(pd.DataFrame(columns=["a"]), "Runs").html
