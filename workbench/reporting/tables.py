"""What people read on a page: frames as tables, facts, findings; masked, escaped, cut to a sensible length."""

from __future__ import annotations

import json
import numbers
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
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
"""Characters of a value that are shown; the rest is behind an ellipsis."""

_MANY = 40  # rows from which on a table scrolls by itself, under headings that stay
_JOINERS = "\u200c\u200d"  # invisible, but part of how some scripts and emoji are written
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_MARKS = {
    "pass": ("✓", "pass"),
    "fail": ("✗", "fail"),
    "warn": ("!", "warn"),
    "waived": ("≈", "waived"),
    "completed": ("✓", "pass"),
    "failed": ("✗", "fail"),
    "incomplete": ("!", "warn"),
    "interrupted": ("!", "warn"),
}
_SPELLED = {"wa": "WA", "sql": "SQL", "url": "URL"}
_WORST_FIRST = ("fail", "not run", "warn", "waived")


class Shown:
    """Something a notebook displays: HTML, and the same as plain text."""

    def __init__(self, html: str, text: str | None = None) -> None:
        self.html = str(html)
        self.text = plain_text(self.html) if text is None else text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        # JupyterLab has no place for a sheet of ours but the output itself.
        return {"text/html": f"<style>{_sheet()}</style>{self.html}", "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


@cache
def _sheet() -> str:
    return (Path(__file__).parent / "notebook.css").read_text(encoding="utf-8")


def plain_text(html: str) -> str:
    """Return the words of a page of ours, a line for each paragraph, item, fact and row."""
    shown = re.sub(r"<details.*?</details>", "", re.sub(r"\s+", " ", html))
    shown = re.sub(r"</(p|li|dd|h3|div|tr)>", "\n", shown).replace("</dt>", ": ")
    shown = re.sub(r"</t[dh]><t[dh]>", " | ", shown)
    return "\n".join(filter(None, (str(Markup(line).striptags()) for line in shown.split("\n"))))


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
    if frame.empty:
        return Shown(Markup('<p class="wb-note">{}: none.</p>').format(caption))
    shown, of_all = mask(frame.head(limit), unmask), len(frame) if total is None else total
    titles, columns, plain = list[Markup](), list[list[Markup]](), pd.DataFrame(index=range(len(shown)))
    for at, column in enumerate(shown.columns):
        number = _is_number(frame.iloc[:, at], column)
        kind = "right" if number else "id" if is_identifier(column) else ""
        texts = [text_of(value, column) for value in shown.iloc[:, at]]
        titles.append(_cell(heading(column), "right") if number else escape(heading(column)))
        columns.append([status_mark(text) if column == "status" else _cell(text, kind) for text in texts])
        plain.insert(at, heading(column), [shorten(text) for text in texts], allow_duplicates=True)
    cut = f"showing {len(shown):,} of {of_all:,}" if of_all > len(shown) else ""
    below = Markup('<p class="wb-cut">{}</p>').format(cut) if cut else ""
    html = table(caption, titles, zip(*columns, strict=True), below, many=len(shown) > _MANY)
    return Shown(html, "\n".join(filter(None, [caption, plain.to_string(index=False), cut])))


def table(
    caption: str,
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    below: str = "",
    *,
    many: bool = False,
    kind: str = "",
) -> Markup:
    """Return a table of cells that are mark-up, or are escaped here; it scrolls by itself where it has many rows."""
    row, cell = Markup("<tr>{}</tr>"), Markup("<td>{}</td>")
    body = Markup("\n").join(row.format(Markup("").join(map(cell.format, cells))) for cells in rows)
    head = Markup("").join(map(Markup("<th>{}</th>").format, titles))
    return Markup(
        '<div class="wb-table{}"><p class="wb-caption">{}</p><div class="wb-scroll{}" role="region" tabindex="0"'
        ' aria-label="{}"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}</div>'
    ).format(kind, caption, " wb-many" if many else "", caption, head, body, below)


def listed(facts: Mapping[str, str], environment: str = DEFAULT) -> Shown:
    """Show facts, each under what it is about; commands in them ask an environment."""
    fact = Markup("<dt>{}</dt><dd>{}</dd>")
    items = Markup("").join(
        fact.format(what, prose(visible(said), environment)) for what, said in facts.items()
    )
    return Shown(Markup('<dl class="wb-facts">{}</dl>').format(items))


def findings_in_full(findings: Sequence[Finding], unmask: bool = False) -> Shown:
    """Show each finding that somebody has to look at: question, remedy, sample and query."""
    bad = [each for status in _WORST_FIRST for each in findings if each.status == status]
    if not bad:
        return Shown('<p class="wb-note">Nothing that needs looking at.</p>')
    shown = [_in_full(each, unmask) for each in bad]
    return Shown("\n".join(each.html for each in shown), "\n\n".join(each.text for each in shown))


def _in_full(finding: Finding, unmask: bool) -> Shown:
    said = {
        "The question": finding.question,
        "Found": "" if finding.count is None else f"{finding.count:,} found.",
        "Why": finding.reason,
        "If it fails" if finding.status == "not run" else "What to do": finding.remedy,
    }
    fact, sample = Markup("<dt>{}</dt><dd>{}</dd>"), culprits(finding.rows)
    facts = Markup("").join(fact.format(what, prose(words)) for what, words in said.items() if words)
    total = finding.count if finding.count != sample else None
    caption = "A sample" if (finding.count or 0) > sample else "All of them"
    rows = show(finding.rows, caption, unmask, total=total) if len(finding.rows) else Shown("")
    query = Markup('<details class="wb-query"><summary>The query</summary><pre>{}</pre></details>')
    head = Markup("<h3>{} {} <small>{} · {}</small></h3><dl>{}</dl>").format(
        status_mark(finding.status), finding.title, f"guide {finding.guide}", finding.check, facts
    )
    html = Markup('<section class="wb-finding wb-{}">{}{}{}</section>').format(
        finding.status.replace(" ", "-"),
        head,
        Markup(rows.html),
        query.format(finding.query) if finding.query else "",
    )
    return Shown(html, "\n".join(filter(None, [plain_text(head), rows.text])))


def heading(column: object) -> str:
    """Return a column's name as people write it: ``wa_id`` is ``WA id``."""
    words = " ".join(_SPELLED.get(word, word) for word in words_of(column)) or visible(str(column))
    return shorten(words[:1].upper() + words[1:])


def text_of(value: Any, column: object = "") -> str:
    """Return one value as text: dates, numbers and gaps as people write them."""
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
    """Make control characters, among them those that turn the writing direction, plain to see."""
    if text.isprintable():
        return text
    return "".join(
        " " if each in "\n\t\r"
        else f"⟨U+{ord(each):04X}⟩" if unicodedata.category(each) in _INVISIBLE and each not in _JOINERS
        else each
        for each in text
    )  # fmt: skip


def status_mark(status: str) -> Markup:
    """Return a status as a symbol and a word, so that it is never told by colour alone."""
    symbol, tone = _MARKS.get(status, ("?", "not-run"))
    return Markup('<span class="wb-status wb-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        tone, symbol, shorten(visible(status))
    )


def prose(text: str, environment: str = DEFAULT) -> Markup:
    """Return a sentence with the commands in it, `between backticks`, set as code; they ask an environment."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(aim(text, environment)))))


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text that is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _is_number(values: pd.Series[Any], column: object) -> bool:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    return kind in ("integer", "floating", "decimal", "mixed-integer-float") and not is_identifier(column)


def _cell(text: str, kind: str) -> Markup:
    """Return a value as a cell has it: what is short stays on one line, a sentence gets the room to be read."""
    if not kind and len(text) > LONGEST:
        cut = Markup('<span class="wb-long" title="{}">{}</span>')
        return cut.format(shorten(text, 1000), shorten(text))
    kind = kind or ("number" if len(text) <= 16 else "long" if len(text) > 40 else "")
    return Markup('<span class="wb-{}">{}</span>').format(kind, text) if kind else escape(text)
