"""Frames, facts and findings as HTML: masked, escaped and cut to a readable length."""

from __future__ import annotations

import json
import numbers
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from workbench.checks.finding import Finding, culprits
from workbench.hints import DEFAULT, aim
from workbench.reporting.masking import is_identifier, mask, words_of

DASH = "\N{EN DASH}"
LONGEST = 160
"""Characters of a value that are shown."""

WORST_FIRST = ("fail", "not run", "warn", "waived", "pass")
"""Statuses in the order of a report."""

_MANY = 40  # rows; a longer table scrolls by itself
_JOINERS = "\u200c\u200d"  # invisible, but needed by some scripts and emoji
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_SYMBOLS = {"pass": "✓", "fail": "✗", "warn": "!", "waived": "≈", "differs": "≠", "in part": "◐", "same": "="}
_TONES = {
    "completed": "pass",
    "failed": "fail",
    **dict.fromkeys(("incomplete", "interrupted", "in part"), "warn"),
    "differs": "fail",
}
_SPELLED = {"wa": "WA", "sql": "SQL", "url": "URL"}


class Shown:
    """HTML that a notebook displays, with a plain text version."""

    def __init__(self, html: str, text: str | None = None) -> None:
        self.html = str(html)
        self.text = plain_text(self.html) if text is None else text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        # In JupyterLab a style sheet can only be part of the output.
        return {"text/html": f"<style>{_sheet()}</style>{self.html}", "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


@cache
def _sheet() -> str:
    return (Path(__file__).parent / "notebook.css").read_text(encoding="utf-8")


def plain_text(html: str) -> str:
    """Convert our HTML to text, one line for each paragraph, item, fact and row."""
    shown = re.sub(r"<details.*?</details>", "", re.sub(r"\s+", " ", html))
    shown = re.sub(r"</(p|li|dd|h3|div|tr)>", "\n", shown).replace("</dt>", ": ")
    shown = re.sub(r"</t[dh]><t[dh]>", " | ", shown)
    return "\n".join(filter(None, (str(Markup(line).striptags()) for line in shown.split("\n"))))


def show(
    frame: pd.DataFrame,
    caption: str,
    unmask: bool = False,
    *,
    limit: int = 20,
    total: int | None = None,
    kind: str = "",
) -> Shown:
    """Show a frame as a table; every value is text, whatever it contains.

    Parameters
    ----------
    caption : str
        The title of the table.
    unmask : bool
        Whether to show personal data.
    limit : int
        How many rows to show at most.
    total : int, optional
        The number of rows in total, if the frame is a sample.
    kind : str
        A CSS class for the table.
    """
    if frame.empty:
        return Shown(Markup('<p class="wb-note">{}: none.</p>').format(caption))
    shown, total = mask(frame.head(limit), unmask), len(frame) if total is None else total
    titles, columns = list[Markup](), list[list[Markup]]()
    for place, column in enumerate(shown.columns):
        number = _is_number(frame.iloc[:, place], column)
        look = "right" if number else "id" if is_identifier(column) else ""
        texts = [text_of(value, column) for value in shown.iloc[:, place]]
        titles.append(_cell(heading(column), "right") if number else escape(heading(column)))
        marked = column == "status"
        columns.append(
            [status_mark(text) if marked and text != DASH else _cell(text, look) for text in texts]
        )
    rows = [Markup("<td>{}</td>" * len(row)).format(*row) for row in zip(*columns, strict=True)]
    cut = Markup('<p class="wb-cut">showing {:,} of {:,}</p>').format(len(shown), total)
    return Shown(
        Markup(
            '<div class="wb-table {}"><p class="wb-caption">{}</p><div class="wb-scroll{}" role="region" tabindex="0"'
            ' aria-label="{}"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}</div>'
        ).format(
            kind,
            caption,
            " wb-many" if len(rows) > _MANY else "",
            caption,
            Markup("<th>{}</th>" * len(titles)).format(*titles),
            Markup("<tr>{}</tr>\n" * len(rows)).format(*rows),
            cut if total > len(shown) else "",
        )
    )


def listed(facts: Mapping[str, str], environment: str = DEFAULT) -> Shown:
    """Show facts by title; commands in them are completed for an environment."""
    items = [
        Markup("<dt>{}</dt><dd>{}</dd>").format(what, prose(visible(fact), environment))
        for what, fact in facts.items()
    ]
    return Shown(Markup('<dl class="wb-facts">{}</dl>').format(Markup("").join(items)))


def findings_in_full(findings: Sequence[Finding], unmask: bool = False) -> Shown:
    """Show each finding that did not pass: question, remedy, sample rows and query."""
    bad = [finding for status in WORST_FIRST[:-1] for finding in findings if finding.status == status]
    return Shown("\n".join(_in_full(finding, unmask) for finding in bad))


def _in_full(finding: Finding, unmask: bool) -> Markup:
    facts = {
        "Question": finding.question,
        "Found": "" if finding.count is None else f"{finding.count:,}",
        "Why": finding.reason,
        "If it fails" if finding.status == "not run" else "What to do": finding.remedy,
    }
    sample = culprits(finding.rows)
    caption = "Sample" if (finding.count or 0) > sample else "Rows"
    total = finding.count if finding.count != sample else None
    query = Markup('<details class="wb-query"><summary>Query</summary><pre>{}</pre></details>')
    return Markup(
        '<section class="wb-finding wb-{}"><h3>{} {} <small>guide {} · {}</small></h3>{}{}{}</section>'
    ).format(
        finding.status.replace(" ", "-"),
        status_mark(finding.status),
        finding.title,
        finding.guide,
        finding.check,
        Markup(listed({what: fact for what, fact in facts.items() if fact}).html),
        Markup(show(finding.rows, caption, unmask, total=total).html) if len(finding.rows) else "",
        query.format(finding.query) if finding.query else "",
    )


def heading(column: object) -> str:
    """Return a column's name for people: ``wa_id`` becomes ``WA id``."""
    words = " ".join(_SPELLED.get(word, word) for word in words_of(column)) or visible(str(column))
    return shorten(words[:1].upper() + words[1:])


def text_of(value: Any, column: object = "") -> str:
    """Format a value for people."""
    if isinstance(value, dict | list):
        return visible(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, str) or value is None or pd.isna(value):
        return visible(value) if isinstance(value, str) and value else DASH
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.strftime("%Y-%m-%d %H:%M" if isinstance(value, datetime) else "%Y-%m-%d")
    if isinstance(value, numbers.Number) and not is_identifier(column):
        number: Any = value
        return f"{number:,.0f}" if number == round(number) else f"{number:,.2f}"
    return visible(str(value))


def visible(text: str) -> str:
    """Replace control characters, such as those that change the writing direction, by their code."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter in "\n\t\r":
        return " "
    hidden = unicodedata.category(letter) in _INVISIBLE and letter not in _JOINERS
    return f"⟨U+{ord(letter):04X}⟩" if hidden else letter


def status_mark(status: str) -> Markup:
    """Show a status as a symbol and a word, not by colour alone."""
    tone = _TONES.get(status, status if status in _SYMBOLS else "not-run")
    symbol = _SYMBOLS.get(status) or _SYMBOLS.get(tone, "?")
    return Markup('<span class="wb-status wb-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone, symbol, shorten(visible(status))
    )


def prose(text: str, environment: str = DEFAULT) -> Markup:
    """Show a sentence; commands between backquotes become code, completed for an environment."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(aim(text, environment)))))


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text that is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _is_number(values: pd.Series[Any], column: object) -> bool:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    return kind in ("integer", "floating", "decimal", "mixed-integer-float") and not is_identifier(column)


def _cell(text: str, look: str) -> Markup:
    """Show a value in a cell: short ones on one line, sentences with room to wrap."""
    look = look or ("number" if len(text) <= 16 else "long" if len(text) > 40 else "phrase")
    cut = Markup(' title="{}"').format(shorten(text, 1000)) if len(text) > LONGEST else ""
    return Markup('<span class="wb-{}"{}>{}</span>').format(look, cut, shorten(text) if cut else text)
