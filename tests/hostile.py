"""Values that would rather be something else, in every place that a club has for words; and what a page is made of."""

from __future__ import annotations

import html
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import psycopg
from psycopg import sql

TRAP = "window.hacked=1"
VALUES = (
    f"<script>{TRAP}</script>",
    f'"><img src=x onerror="{TRAP}">',
    f"</textarea></style></iframe><svg onload='{TRAP}'>",
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "-2+3",
    "abc\u202egnp.exe\u2066\u200b",
    '\'; DROP TABLE "Member"; --',
    f"[x](javascript:{TRAP}) `{TRAP}` **x**",
    "👩‍👩‍👧🏴‍☠️ \U0001f1e9\U0001f1ea ﷽ Ω̵̢",
    "%00 \\0 \x01\x1b[31m \ufffe ␀",
    r"$\frac{x$ {{7*7}} {x} %s",
    "x" * 10_000,
)
"""HTML, formulas, direction marks, quotes, markdown, emoji, control characters, mathematics, length."""

WORDS = (
    ("Member", "firstName"),
    ("Member", "lastName"),
    ("Member", "phone"),
    ("Member", "waMembershipLevelRaw"),
    ("Event", "title"),
    ("Event", "description"),
    ("Event", "category"),
    ("Event", "location"),
    ("MembershipTier", "name"),
    ("MembershipStatus", "label"),
)
"""Columns for words, where the dialect has them."""

_OURS = """
a abbr b body br caption circle code col colgroup dd details div dl dt em figcaption figure footer g h1 h2 h3 h4 head
header hr html i iframe img input kbd label li link main mark meta nav ol p path pre rect section small span strong style summary sup svg
table tbody td th thead time title tr tt ul
"""
ELEMENTS = frozenset(_OURS.split())
"""What the workbench makes pages of; nothing in it runs."""


def plant(connection: psycopg.Connection[Any]) -> None:
    """Put the values into every row of every such column, one after another."""
    query = "SELECT table_name::text, column_name::text FROM information_schema.columns"
    there = set(connection.execute(query).fetchall())
    for place, (table, column) in enumerate(WORDS):
        if (table, column) in there:
            _fill(connection, table, column, place)
    # An address stays one in parts, so that those who share one still do; a run's id is its own.
    connection.execute(
        """UPDATE "Member" SET email = '<b onclick=window.hacked=1>' || email || '"''=HYPERLINK(1)'"""
    )
    connection.execute(
        """UPDATE "AuditLog" SET metadata = metadata || %s WHERE metadata ->> 'source' IS DISTINCT FROM 'workbench'""",
        ['{"operator": "<script>window.hacked=1</script>", "error": "<img src=x onerror=window.hacked=1>"}'],
    )
    if ("WaIdMapping", "syncRunId") in there:
        for table, column in (
            ("WaIdMapping", "syncRunId"),
            ("Member", "importRunId"),
            ("Event", "importRunId"),
            ("Registration", "importRunId"),
        ):
            connection.execute(_RENAMED.format(sql.Identifier(table), column=sql.Identifier(column)))
        connection.execute(
            """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{run_id}', to_jsonb(metadata->>'run_id' || '<script>window.hacked=1</script>')) WHERE metadata ? 'run_id'"""
        )


_RENAMED = sql.SQL("UPDATE {} SET {column} = {column} || '<script>window.hacked=1</script>'")


def _fill(connection: psycopg.Connection[Any], table: str, column: str, place: int) -> None:
    query = sql.SQL(
        """UPDATE {table} t SET {column} = (%s::text[])[1 + (n.number + %s) %% %s]
        FROM (SELECT ctid, row_number() OVER (ORDER BY id) AS number FROM {table}) n WHERE n.ctid = t.ctid"""
    ).format(table=sql.Identifier(table), column=sql.Identifier(column))
    connection.execute(query, [list(VALUES), place, len(VALUES)])


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        runs = [name for name in told if name.startswith("on")]
        leads = [told.get(name, "").strip().lower() for name in ("href", "src", "action", "formaction")]
        runs += [each for each in leads if each.startswith(("javascript:", "data:text", "http:", "//"))]
        if tag not in ELEMENTS or runs or (tag == "iframe" and told.get("sandbox") != ""):
            self.wrong.append(self.get_starttag_text() or tag)
        if tag == "img" and not told.get("src", "").startswith("data:image/"):
            self.wrong.append(self.get_starttag_text() or tag)
        if "srcdoc" in told:
            self.feed_within(told["srcdoc"])

    def feed_within(self, page: str) -> None:
        self.wrong += wrong_elements(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def wrong_elements(page: str) -> list[str]:
    """Return every element of a page that the workbench never makes, or that would run something."""
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser.wrong


def steering(page: str) -> Iterator[str]:
    """Yield the characters of a page that would steer a terminal, or turn the reading direction."""
    for letter in ("\u202e", "\u2066", "\x1b", "\x01"):
        if letter in page or letter in html.unescape(page):
            yield repr(letter)
