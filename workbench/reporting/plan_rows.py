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
from sqlalchemy import Connection

from workbench.mappings.search import records_in_words
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.plans.plan import OPERATIONS, Plan, Row, Section
from workbench.reporting.reviewing import Review, noted
from workbench.reporting.tables import Shown, table
from workbench.reporting.whose import (
    ENTITY_OF_TABLE,
    Pair,
    Rows,
    fairly,
    in_words,
    masked_value,
    spoken_values,
)

SHOWN = 40
"""Rows shown of each table."""

_SEARCHED = 20_000
"""Rows a plan would put back that are searched for the people and events others of them refer to."""

_FATES = {"delete": "deleted", "update": "changed", "insert": "added"}
_COLUMNS = {
    MEMBER: {"first_name": "first_name", "last_name": "last_name", "email": "email"},
    EVENT: {"event": "title", "start": "start"},
    REGISTRATION: {"first_name": "first_name", "last_name": "last_name", "event": "title"},
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
        frame, total = affected_rows(review, entity)
        caption = f"{CONCEPT_OF[entity].capitalize()} that would change"
        shown.append(table(frame, caption, review.wb.session.shows_people, limit=SHOWN, total=total))
    return _one_after_another(shown)


def plan_values(review: Review) -> Shown:
    """Show the old and the new values of what a plan updates, column by column, masked unless asked otherwise."""
    frame, total = value_rows(review)
    return table(frame, "Values that would change", review.wb.session.shows_people, limit=SHOWN, total=total)


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
    shown = table(frame, caption, review.wb.session.shows_people, limit=SHOWN * 3)
    why = [f"{each['table']}, {each['deleted']:,} deleted: {each['why']}." for each in counted if each["why"]]
    notes = Markup("").join(Markup('<p class="wb-note">{}</p>').format(each) for each in why)
    return Shown(Markup("{}{}").format(Markup(shown.html), notes), "\n".join([shown.text, *why]))


def plan_kept(review: Review) -> Shown:
    """Show what a plan leaves alone: the reasons, counted, then rows."""
    return _left(review, "kept", "Why rows are kept", "Rows that are kept", "reason")


def plan_unresolved(review: Review) -> Shown:
    """Show what a plan leaves undecided, and what would decide it: counted, then rows."""
    columns = "reason", "what_would_decide_it"
    return _left(review, "unresolved", "What would decide them", "Rows left undecided", *columns)


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
        frame, "Conflicts", review.wb.session.shows_people, limit=SHOWN, total=noted(review.plan, "conflict")
    )


def _left(review: Review, name: str, why: str, caption: str, *columns: str) -> Shown:
    """Count the notes of one kind by their reasons, and show some of the rows."""
    total, unmask = noted(review.plan, name), review.wb.session.shows_people
    reasons, rows = _grouped(review.plan, name)
    words = _words(review, [(str(row[0]), str(row[1])) for row in rows])
    frame = pd.DataFrame(
        [{"record": _record(words, row[0], row[1]), "reason": row[2], "key": row[1]} for row in rows]
    )
    shown = table(frame, caption, unmask, limit=SHOWN, total=total)
    if not total:
        return shown
    counts = pd.DataFrame([(*kind, count) for kind, count in reasons], columns=["table", *columns, "rows"])
    return _one_after_another([table(counts, why, unmask, limit=SHOWN), shown])


def affected_rows(
    review: Review, entity: str, operations: Sequence[str] = OPERATIONS
) -> tuple[pd.DataFrame, int]:
    """Lay out whose rows of one kind change, a few of each operation; and count them all."""
    sections = [
        each
        for each in review.plan.operations
        if each.name in operations and ENTITY_OF_TABLE.get(each.table) == entity
    ]
    rows = fairly(
        [_each(review.plan, [one for one in sections if one.name == name]) for name in OPERATIONS], SHOWN
    )
    brought = {
        _key(section, row): _canonical(section, row) for section, row in rows if section.name == "insert"
    }
    known = brought
    if review.here:
        live = [_key(section, row) for section, row in rows if section.name != "insert"]
        with review.wb.session.reading() as connection:
            if entity == REGISTRATION:
                brought = _with_names(review, connection, brought)
            known = records_in_words(connection, review.wb.session.schema, entity, live) | brought
    frame = pd.DataFrame(
        [
            {
                "would_be": _FATES[section.name],
                **{shown: known.get(key, {}).get(name) for shown, name in _COLUMNS[entity].items()},
                "columns": ", ".join(_told(section)) if section.name == "update" else None,
                "key": key,
            }
            for section, row in rows
            for key in [_key(section, row)]
        ]
    )
    # Which columns are set says something of updates only.
    if not any(section.name == "update" for section, _ in rows):
        frame = frame.drop(columns="columns", errors="ignore")
    return frame, sum(each.rows for each in sections)


def _with_names(review: Review, connection: Connection, registrations: Rows) -> Rows:
    """Name who comes to what in registrations that a plan would put back, and perhaps member and event with them."""
    known: dict[str, Rows] = {}
    for entity, column in ((MEMBER, "member_id"), (EVENT, "event_id")):
        wanted = {str(facts[column]) for facts in registrations.values() if facts.get(column)}
        inserts = [
            each
            for each in review.plan.operations
            if each.name == "insert" and ENTITY_OF_TABLE.get(each.table) == entity
        ]
        back = islice(_each(review.plan, inserts), _SEARCHED) if wanted else ()
        known[column] = records_in_words(connection, review.wb.session.schema, entity, sorted(wanted)) | {
            _key(section, row): _canonical(section, row)
            for section, row in back
            if _key(section, row) in wanted
        }
    return {
        key: {
            **known["event_id"].get(str(facts.get("event_id")), {}),
            **known["member_id"].get(str(facts.get("member_id")), {}),
        }
        for key, facts in registrations.items()
    }


def _each(plan: Plan, sections: list[Section]) -> Iterator[tuple[Section, Row]]:
    for section in sections:
        for row in plan.rows(section):
            yield section, row


def _key(section: Section, row: Row) -> str:
    return "/".join(str(row[section.columns.index(each)]) for each in section.key)


def _canonical(section: Section, row: Row) -> dict[str, object]:
    """Return an inserted row under the columns' canonical names."""
    spelled = CONCEPTS[CONCEPT_OF[ENTITY_OF_TABLE[section.table]]].columns
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
    with review.wb.session.reading() as connection:
        return in_words(connection, review.wb.session.schema, pairs, review.wb.session.shows_people)


def _record(words: dict[Pair, str], name: str | None, key: str | None) -> str:
    """Name a row: its table, and whose it is where that is known."""
    said = words.get((str(name), str(key)))
    return f"{name}: {said}" if said else str(name)


def _spoken(review: Review, values: list[str | None]) -> dict[str, str]:
    if not review.here:
        return {}
    with review.wb.session.reading() as connection:
        return spoken_values(connection, review.wb.session.schema, values, review.wb.session.shows_people)


def _value(review: Review, spoken: dict[str, str], column: str, value: str | None) -> str | None:
    return spoken.get(value or "") or masked_value(column, value, review.wb.session.shows_people)


def _one_after_another(shown: list[Shown]) -> Shown:
    return Shown(
        Markup("\n").join(Markup(each.html) for each in shown), "\n\n".join(each.text for each in shown)
    )
