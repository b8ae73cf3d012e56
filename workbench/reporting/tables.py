"""Frames as tables that people read: masked, escaped, cut to a sensible length."""

from __future__ import annotations

import json
import numbers
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from workbench.hints import DEFAULT, aim
from workbench.reporting.masking import is_identifier, mask, words_of

DASH = "\N{EN DASH}"
LONGEST = 160
"""Characters of a value that are shown; the rest is behind an ellipsis."""

MANY = 40
"""Rows from which on a table scrolls by itself, under headings that stay."""

_JOINERS = "\u200c\u200d"  # invisible, but part of how some scripts and emoji are written
_MARKS = {
    "pass": ("✓", "pass"),
    "fail": ("✗", "fail"),
    "warn": ("!", "warn"),
    "not run": ("?", "not-run"),
    "waived": ("≈", "waived"),
    "completed": ("✓", "pass"),
    "failed": ("✗", "fail"),
    "incomplete": ("!", "warn"),
    "interrupted": ("!", "warn"),
    "unknown": ("?", "not-run"),
}
_SPELLED = {"wa": "WA", "id": "id", "ids": "ids", "sql": "SQL", "url": "URL"}


class Shown:
    """Something a notebook displays, as HTML and as plain text."""

    def __init__(self, html: str, text: str) -> None:
        self.html, self.text = str(html), text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # JupyterLab has no place for a sheet of ours but the output itself.
        return {"text/html": f"<style>{_sheet()}</style>{self.html}", "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


@cache
def _sheet() -> str:
    return (Path(__file__).parent / "notebook.css").read_text(encoding="utf-8")


def show(
    frame: pd.DataFrame, caption: str, unmask: bool = False, *, limit: int = 20, total: int | None = None
) -> Shown:
    """Lay a frame out as a table. Every value is text, whatever it contains.

    Parameters
    ----------
    caption : str
        What the table shows.
    unmask : bool
        Whether personal data may be seen.
    limit : int
        The most rows to show.
    total : int, optional
        How many there are in all, where the frame itself is a sample.
    """
    of_all = len(frame) if total is None else total
    if frame.empty:
        return Shown(Markup('<p class="wb-note">{}: none.</p>').format(caption), f"{caption}: none.")
    shown = mask(frame.head(limit), unmask)
    texts = [
        [text_of(value, column) for value in shown.iloc[:, at]] for at, column in enumerate(shown.columns)
    ]
    right = [_is_number(frame.iloc[:, at], column) for at, column in enumerate(frame.columns)]
    cut = f"showing {len(shown):,} of {of_all:,}" if of_all > len(shown) else ""
    cells = {
        at: [
            status_mark(text)
            if column == "status"
            else _aligned(_clipped(text), right[at], is_identifier(column))
            for text in texts[at]
        ]
        for at, column in enumerate(shown.columns)
    }
    titles = [_aligned(escape(heading(column)), right[at], False) for at, column in enumerate(shown.columns)]
    with pd.option_context("display.max_colwidth", None):
        # Everything in it went through `escape` above, which is what lets a status keep its mark-up.
        body = pd.DataFrame(cells).set_axis(titles, axis=1).to_html(index=False, escape=False, border=0)
    html = Markup(
        '<div class="wb-table"><p class="wb-caption">{}</p>'
        '<div class="wb-scroll{}" role="region" tabindex="0" aria-label="{}">{}</div>{}</div>'
    ).format(
        caption,
        " wb-many" if len(shown) > MANY else "",
        caption,
        Markup(body),
        Markup('<p class="wb-cut">{}</p>').format(cut) if cut else "",
    )
    plain = pd.DataFrame({at: [shorten(text) for text in column] for at, column in enumerate(texts)})
    plain.columns = pd.Index([heading(column) for column in shown.columns])
    return Shown(html, "\n".join(filter(None, [caption, plain.to_string(index=False), cut])))


def listed(facts: Mapping[str, str]) -> Shown:
    """Show facts, each under what it is about."""
    items = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(what, visible(fact)) for what, fact in facts.items()
    )
    text = "\n".join(f"{what}: {visible(fact)}" for what, fact in facts.items())
    return Shown(Markup('<dl class="wb-facts">{}</dl>').format(items), text)


def heading(column: object) -> str:
    """Return a column's name as people write it: ``wa_id`` is ``WA id``."""
    words = [_SPELLED.get(word, word) for word in words_of(column)] or [visible(str(column))]
    return shorten(" ".join(words)[:1].upper() + " ".join(words)[1:])


def text_of(value: Any, column: object = "") -> str:
    """Return one value as text: dates, numbers and gaps as people write them."""
    if isinstance(value, dict | list):
        return visible(json.dumps(value, ensure_ascii=False, default=str))
    if value is None or value is pd.NaT or value is pd.NA or (not isinstance(value, str) and value != value):
        return DASH
    if _is_boolean(value):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, numbers.Number) and not is_identifier(column):
        number: Any = value
        return f"{number:,.0f}" if number == round(number) else f"{number:,.2f}"
    return visible(str(value)) if str(value) else DASH


def visible(text: str) -> str:
    """Make control characters, among them those that turn the writing direction, plain to see."""
    if text.isprintable():
        return text
    return "".join(
        " " if each in "\n\t\r" else f"⟨U+{ord(each):04X}⟩" if _is_invisible(each) else each for each in text
    )


def status_mark(status: str) -> Markup:
    """Return a status as a symbol and a word, so that it is never told by colour alone."""
    symbol, tone = _MARKS.get(status, ("?", "not-run"))
    return Markup('<span class="wb-status wb-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone, symbol, shorten(visible(status))
    )


def prose(text: str, environment: str = DEFAULT) -> Markup:
    """Return a sentence with the commands in it, `between backticks`, set as code; they ask an environment."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(aim(text, environment)))))


def _is_invisible(each: str) -> bool:
    return unicodedata.category(each) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and each not in _JOINERS


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in {"bool_", "bool"}


def _is_number(values: pd.Series[Any], column: object) -> bool:
    if is_identifier(column) or pd.api.types.is_bool_dtype(values):
        return False
    if pd.api.types.is_numeric_dtype(values):
        return True
    known = [value for value in values.head(100) if not isinstance(value, dict | list) and not pd.isna(value)]
    return bool(known) and all(
        isinstance(value, numbers.Number) and not _is_boolean(value) for value in known
    )


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text that is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _clipped(text: str) -> Markup:
    if len(text) <= 40:
        # A moment or a short phrase stays on one line; a sentence gets the room to be read.
        return Markup('<span class="wb-number">{}</span>').format(text) if len(text) <= 16 else escape(text)
    if len(text) <= LONGEST:
        return Markup('<span class="wb-long">{}</span>').format(text)
    return Markup('<span class="wb-long" title="{}">{}</span>').format(
        text[:1000] + ("…" if len(text) > 1000 else ""), shorten(text)
    )


def _aligned(text: Markup, right: bool, identifier: bool) -> Markup:
    if right:
        return Markup('<span class="wb-number" style="display:block;text-align:right">{}</span>').format(text)
    return Markup('<span class="wb-id">{}</span>').format(text) if identifier else text
