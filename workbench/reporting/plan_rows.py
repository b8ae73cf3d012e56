"""The rows of a plan for people: who is affected, values before and after, what is kept, in conflict or open.

A plan may have a million rows: counts come from its sections, and of rows only a screenful is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import pandas as pd
from markupsafe import Markup

from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES
from workbench.plans.plan import OPERATIONS, Plan, Row, Section
from workbench.reporting.reviewing import Review, noted
from workbench.reporting.tables import Shown, table
from workbench.reporting.whose import (
    CONCEPT_OF_TABLE,
    Facts,
    Pair,
    Rows,
    events,
    fairly,
    in_words,
    masked_value,
    members,
    registrations,
    spoken_values,
    with_names,
)

SHOWN = 40
"""Rows shown of each table."""

_SEARCHED = 20_000
"""Rows a plan would put back that are searched for the people and events others of them refer to."""

_FATES = {"delete": "deleted", "update": "changed", "insert": "added"}
_COLUMNS = {
    "members": ("first_name", "last_name", "email"),
    "events": ("event", "start"),
    "registrations": ("first_name", "last_name", "event"),
}
# A word with three digits names a record: an id, a number, a run. Possessive, so that no text takes long.
_NAMES = re.compile(r"(?<![\w-])(?:[A-Za-z_-]*+\d){3}+[\w-]*+")


def plan_affected(review: Review) -> Shown:
    """Show the members, events and registrations that a plan changes, masked unless asked otherwise."""
    words = ""
    if not review.here:
        words = "This is not the database that the plan was made on, so nobody was looked up."
    elif review.state == "applied":
        words = "The plan was applied, so what it deleted is not there to be named."
    shown = [Shown(Markup('<p class="wb-note">{}</p>').format(words), words)] if words else []
    for entity in ENTITIES:
        concept = CONCEPT_OF[entity]
        frame, total = affected_rows(review, concept)
        caption = f"{concept.capitalize()} that would change"
        shown.append(table(frame, caption, review.wb.shows_people, limit=SHOWN, total=total))
    return _one_after_another(shown)


def plan_values(review: Review) -> Shown:
    """Show the old and the new values of what a plan updates, column by column, masked unless asked otherwise."""
    frame, total = value_rows(review)
    return table(frame, "Values that would change", review.wb.shows_people, limit=SHOWN, total=total)


def value_rows(review: Review) -> tuple[pd.DataFrame, int]:
    """Return some old and new values, with whose they are: ``record``, ``column``, ``now``, ``would_be``, ``key``; and how many there are."""
    updates = [each for each in review.plan.operations if each.name == "update"]
    total = sum(each.rows * len(_told(each)) for each in updates)
    rows = fairly([_values(review.plan, each) for each in _known_first(updates)], SHOWN)
    words = _words(review, [each[:2] for each in rows])
    spoken = _spoken(review, [value for each in rows for value in each[3:]])
    frame = pd.DataFrame(
        [
            {
                "record": _record(words, name, key),
                "column": column,
                "now": _value(review, spoken, column, old),
                "would_be": _value(review, spoken, column, new),
                "key": key,
            }
            for name, key, column, old, new in rows
        ]
    )
    return frame, total


def plan_conservation(review: Review) -> Shown:
    """Show the proof of a plan that moves rows from one record to another: what refers to them, before and after."""
    counted = review.plan.parameters.get("conservation") or []
    caption = "Rows that refer to the records concerned"
    if not counted:
        words = "This plan moves nothing from one record to another."
        return Shown(Markup('<p class="wb-note">{}</p>').format(words), words)
    frame = pd.DataFrame(
        [
            {
                "rows_of": f"{each['table']}.{each['column']}",
                "refer_to": each["to"],
                **{name: each[name] for name in ("before", "moved", "deleted", "after")},
            }
            for each in counted
        ]
    )
    shown = table(frame, caption, review.wb.shows_people, limit=SHOWN * 3)
    why = [f"{each['table']}, {each['deleted']:,} deleted: {each['why']}." for each in counted if each["why"]]
    notes = Markup("").join(Markup('<p class="wb-note">{}</p>').format(each) for each in why)
    return Shown(Markup("{}{}").format(Markup(shown.html), notes), "\n".join([shown.text, *why]))


def plan_kept(review: Review) -> Shown:
    """Show what a plan leaves alone: the reasons, counted, then rows."""
    reasons, rows = _grouped(review.plan, "kept")
    words = _words(review, [(str(each[0]), str(each[1])) for each in rows])
    frame = pd.DataFrame(
        [{"record": _record(words, name, key), "reason": reason, "key": key} for name, key, reason in rows]
    )
    counts = pd.DataFrame(
        [(name, what, n) for (name, what), n in reasons], columns=["table", "reason", "rows"]
    )
    unmask, total = review.wb.shows_people, noted(review.plan, "kept")
    if not total:
        return table(counts, "Rows that are kept")
    return _one_after_another(
        [
            table(counts, "Why rows are kept", unmask, limit=SHOWN),
            table(frame, "Rows that are kept", unmask, limit=SHOWN, total=total),
        ]
    )


def plan_conflicts(review: Review) -> Shown:
    """Show the columns that both the run and somebody after it wrote: three values, and what becomes of them."""
    rows = list(islice(_notes(review.plan, "conflict"), SHOWN))
    words = _words(review, [(str(each[0]), str(each[1])) for each in rows])
    spoken = _spoken(review, [value for each in rows for value in each[3:6]])
    frame = pd.DataFrame(
        [
            {
                "record": _record(words, name, key),
                "column": column,
                "before": _value(review, spoken, str(column), before),
                "after_import": _value(review, spoken, str(column), left),
                "now": _value(review, spoken, str(column), now),
                "reason": reason,
                "key": key,
            }
            for name, key, column, before, left, now, reason in rows
        ]
    )
    return table(
        frame, "Conflicts", review.wb.shows_people, limit=SHOWN, total=noted(review.plan, "conflict")
    )


def plan_unresolved(review: Review) -> Shown:
    """Show what a plan leaves undecided, and what would decide it: counted, then rows."""
    reasons, rows = _grouped(review.plan, "unresolved")
    words = _words(review, [(str(each[0]), str(each[1])) for each in rows])
    counts = pd.DataFrame(
        [(name, why, by, n) for (name, why, by), n in reasons],
        columns=["table", "reason", "what_would_decide_it", "rows"],
    )
    frame = pd.DataFrame(
        [{"record": _record(words, name, key), "reason": reason, "key": key} for name, key, reason, _ in rows]
    )
    unmask, total = review.wb.shows_people, noted(review.plan, "unresolved")
    if not total:
        return table(counts, "Rows left undecided")
    return _one_after_another(
        [
            table(counts, "What would decide them", unmask, limit=SHOWN),
            table(frame, "Rows left undecided", unmask, limit=SHOWN, total=total),
        ]
    )


def affected_rows(
    review: Review, concept: str, operations: Sequence[str] = OPERATIONS
) -> tuple[pd.DataFrame, int]:
    """Lay out whose rows of one kind change, a few of each operation; and count them all."""
    sections = [
        each
        for each in review.plan.operations
        if each.name in operations and CONCEPT_OF_TABLE.get(each.table) == concept
    ]
    rows = fairly(
        [_each(review.plan, [one for one in sections if one.name == name]) for name in OPERATIONS], SHOWN
    )
    brought = {
        _key(section, row): _canonical(section, row) for section, row in rows if section.name == "insert"
    }
    live = [_key(section, row) for section, row in rows if section.name != "insert"]
    known = _facts(review, concept, live, brought)
    frame = pd.DataFrame(
        [
            {
                "would_be": _FATES[section.name],
                **{name: _named(known.get(_key(section, row), {}), name) for name in _COLUMNS[concept]},
                "columns": ", ".join(_told(section)) if section.name == "update" else None,
                "key": _key(section, row),
            }
            for section, row in rows
        ]
    )
    # Which columns are set says something of updates only.
    if not any(section.name == "update" for section, _ in rows):
        frame = frame.drop(columns="columns", errors="ignore")
    return frame, sum(each.rows for each in sections)


def _facts(review: Review, concept: str, live: list[str], brought: Rows) -> Rows:
    if not review.here:
        return brought
    ask = {"members": members, "events": events, "registrations": registrations}[concept]
    schema = review.wb.schema
    with review.wb.reading() as connection:
        found = ask(connection, schema, live)
        if concept == "registrations" and brought:
            brought = with_names(connection, schema, brought, _put_back(review.plan, brought))
    return found | brought


def _put_back(plan: Plan, found: Rows) -> dict[str, Rows]:
    """Return the members and events that a plan would put back and that some registrations refer to."""
    wanted = {str(value) for facts in found.values() for value in facts.values()}
    there: dict[str, Rows] = {}
    for concept in ("members", "events"):
        sections = [
            each
            for each in plan.operations
            if each.name == "insert" and CONCEPT_OF_TABLE.get(each.table) == concept
        ]
        there[concept] = {
            _key(section, row): _canonical(section, row)
            for section, row in islice(_each(plan, sections), _SEARCHED)
            if _key(section, row) in wanted
        }
    return there


def _named(facts: Facts, name: str) -> object:
    """Return a fact; of an event its title, whichever way it is called."""
    return facts.get(name, facts.get("title") if name == "event" else None)


def _each(plan: Plan, sections: list[Section]) -> Iterator[tuple[Section, Row]]:
    for section in sections:
        for row in plan.rows(section):
            yield section, row


def _key(section: Section, row: Row) -> str:
    return "/".join(str(row[section.columns.index(each)]) for each in section.key)


def _canonical(section: Section, row: Row) -> Facts:
    """Return an inserted row under the columns' canonical names."""
    spelled = CONCEPTS[CONCEPT_OF_TABLE[section.table]].columns
    names = {real: name for name, reals in spelled.items() for real in reals}
    return {names[real]: value for real, value in zip(section.columns, row, strict=True) if real in names}


def _told(section: Section) -> tuple[str, ...]:
    """Return the columns worth telling: not the one that says when the row was written, unless it is the only one."""
    stamps = {real for concept in CONCEPTS.values() for real in concept.columns.get("updated_at", ())}
    return tuple(each for each in section.changed if each not in stamps) or section.changed


def _values(plan: Plan, section: Section) -> Iterator[tuple[str, str, str, str | None, str | None]]:
    for row in plan.rows(section):
        cells = dict(zip(section.columns, row, strict=True))
        for column in _told(section):
            yield section.table, _key(section, row), column, cells[f"old {column}"], cells[f"new {column}"]


def _known_first(sections: list[Section]) -> list[Section]:
    return sorted(sections, key=lambda each: _rank(each.table))


def _rank(table: str) -> int:
    """Return a table's place: members, events, registrations, then the rest."""
    known = [name for entity in ENTITIES for name in CONCEPTS[CONCEPT_OF[entity]].tables]
    return known.index(table) if table in known else len(known)


def _notes(plan: Plan, name: str) -> Iterator[Row]:
    return (row for section in plan.sections if section.name == name for row in plan.rows(section))


def _grouped(plan: Plan, name: str) -> tuple[list[tuple[tuple[str, ...], int]], list[Row]]:
    """Count notes by table and reason, what names a record left out of it; and take some of each."""
    counts: Counter[tuple[str, ...]] = Counter()
    some: dict[tuple[str, ...], list[Row]] = {}
    for row in _notes(plan, name):
        kind = (str(row[0]), *(_NAMES.sub("…", str(each)) for each in row[2:]))
        counts[kind] += 1
        taken = some.setdefault(kind, [])
        if len(taken) < SHOWN:
            taken.append(row)
    ordered = sorted(counts.items(), key=lambda each: (_rank(each[0][0]), -each[1], each[0]))
    return ordered, fairly([some[kind] for kind, _ in ordered], SHOWN)


def _words(review: Review, pairs: list[Pair]) -> dict[Pair, str]:
    if not review.here:
        return {}
    with review.wb.reading() as connection:
        return in_words(connection, review.wb.schema, pairs, review.wb.shows_people)


def _record(words: dict[Pair, str], name: str | None, key: str | None) -> str:
    """Name a row: its table, and whose it is where that is known."""
    said = words.get((str(name), str(key)))
    return f"{name}: {said}" if said else str(name)


def _spoken(review: Review, values: list[str | None]) -> dict[str, str]:
    if not review.here:
        return {}
    with review.wb.reading() as connection:
        return spoken_values(connection, review.wb.schema, values, review.wb.shows_people)


def _value(review: Review, spoken: dict[str, str], column: str, value: str | None) -> str | None:
    return spoken.get(value or "") or masked_value(column, value, review.wb.shows_people)


def _one_after_another(shown: list[Shown]) -> Shown:
    return Shown(
        Markup("\n").join(Markup(each.html) for each in shown), "\n\n".join(each.text for each in shown)
    )
