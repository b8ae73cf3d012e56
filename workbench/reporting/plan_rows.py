"""The rows of a plan for people: whose they are, old and new values, and what is kept, in conflict or undecided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pandas as pd

from workbench.answer import Table, many
from workbench.mappings.queries import fetch
from workbench.mappings.search import records_in_words
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Row, Section
from workbench.reporting.masking import mask
from workbench.session import Session

SHOWN = 40
"""Rows shown of each table."""

_FATES = {"delete": "deleted", "update": "changed", "insert": "added"}
_CAPTIONS = {
    "because": ("reason", "What the changes rest on"),
    "kept": ("kept", "Rows that are kept"),
    "conflicts": ("conflict", "Conflicts"),
    "unresolved": ("unresolved", "Rows left undecided"),
}
_TITLES = {"table": "record", "run": "after_import", "resolved_by": "what_would_decide_it"}
_VALUES = {"now", "would_be", "before", "after_import"}  # columns whose ids may stand for something
_ENTITIES = {CONCEPT_OF[entity]: entity for entity in ENTITIES}
_LOOKUPS = {
    "mappings": "SELECT id::text AS key, entity_type, wa_id FROM mappings WHERE id = ANY (%(keys)s::ids)",
    "tiers": "SELECT id::text AS key, code FROM tiers WHERE id = ANY (%(keys)s::ids)",
    "statuses": "SELECT id::text AS key, code FROM statuses WHERE id = ANY (%(keys)s::ids)",
}
_ORDER = (*_ENTITIES, *_LOOKUPS, "sync_state")
_CONCEPTS = {table: concept for concept in _ORDER for table in CONCEPTS[concept].tables}
_STAMPS = {real for concept in CONCEPTS.values() for real in concept.columns.get("updated_at", ())}
# A word with three digits names a record: an id, a number, a run. Possessive, so that no text takes long.
_NAMES = re.compile(r"(?<![\w-])(?:[A-Za-z_-]*+\d){3}+[\w-]*+")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def row_tables(session: Session, plan: Plan) -> dict[str, Table]:
    """Lay out the rows of a plan, some of each kind; nobody is looked up where it was made on another database."""
    tables = {"rows": _changes(plan), **{part: _notes(plan, part) for part in _CAPTIONS}}
    wanted: dict[str, set[str]] = {concept: set() for concept in _ORDER}
    for table in tables.values():
        for name, key in zip(table.frame["record"], table.frame["key"], strict=True):
            wanted.setdefault(_CONCEPTS.get(name, ""), set()).add(key)
        values = {value for name in _VALUES & {*table.frame} for value in table.frame[name]}
        for concept in (*_ENTITIES, "tiers", "statuses"):
            wanted[concept] |= {value for value in values if value and _ID.fullmatch(value)}
    words = _words(session, plan, wanted)
    for table in tables.values():
        frame = table.frame
        known = [words.get(key, "") for key in frame["key"]]
        for name in _VALUES & {*frame}:
            frame[name] = [_meaning(value, words) for value in frame[name]]
        frame["record"] = [": ".join(filter(None, pair)) for pair in zip(frame["record"], known, strict=True)]
    return tables


def changed_rows(plan: Plan) -> pd.DataFrame:
    """Count what a plan changes: ``table``, ``operation``, ``rows``; members, events and registrations first."""
    tables = sorted(plan.changes.items(), key=lambda item: (_rank(item[0]), item[0]))
    rows = [(table, name, cells[name]) for table, cells in tables for name in OPERATIONS if cells.get(name)]
    return pd.DataFrame(rows, columns=["table", "operation", "rows"])


def noted(plan: Plan, name: str) -> int:
    """Count a plan's notes of one kind, without reading them."""
    return sum(section.rows for section in plan.sections if section.name == name)


def _changes(plan: Plan) -> Table:
    """Lay out what a plan deletes, changes (column by column, with old and new values) and adds."""
    order = sorted(
        plan.operations, key=lambda section: (_rank(section.table), OPERATIONS.index(section.name))
    )
    rows = [row for section in order for row in islice(_lines(plan, section), SHOWN)]
    columns = ["change", "record", "column", "now", "would_be", "key"]
    frame = _some_of_each(pd.DataFrame(rows, columns=columns, dtype=object), ["change", "record"])
    frame = frame.drop(columns=[name for name in columns[2:5] if frame[name].isna().all()])
    total = sum(section.rows * len(_told(section)) for section in order)
    return Table(frame, "What changes, row by row", "", ("change", "record", "now", "would_be"), SHOWN, total)


def _lines(plan: Plan, section: Section) -> Iterator[tuple[str | None, ...]]:
    for row in plan.rows(section):
        cells = dict(zip(section.columns, row, strict=True))
        for column in _told(section):
            old, new = cells.get(f"old {column}"), cells.get(f"new {column}")
            yield _FATES[section.name], section.table, column, old, new, _key(section, row)


def _told(section: Section) -> tuple[str | None, ...]:
    """Return the columns to name of each row: not the one that says when it was changed, unless it is the only one."""
    if section.name != "update":
        return (None,)
    return tuple(name for name in section.changed if name not in _STAMPS) or section.changed


def _notes(plan: Plan, part: str) -> Table:
    """Lay out notes of one kind, some of each reason; below, how many there are of each, whatever record it names."""
    name, caption = _CAPTIONS[part]
    notes = pd.DataFrame(getattr(plan, part), columns=list(NOTES[name]), dtype=object).rename(columns=_TITLES)
    notes = notes[[*notes.columns.drop("key"), "key"]]
    kinds = notes["record"] + ": " + notes["reason"].astype(str).str.replace(_NAMES, "…", regex=True)
    counts = kinds.value_counts()
    lines = [f"{many(count, 'row')} of {kind}" for kind, count in counts.head(10).items()]
    note = "\n".join(lines) if len(notes) > SHOWN else ""
    frame = _some_of_each(notes, kinds)
    return Table(frame, caption, "", ("record", "column", "now", "reason"), SHOWN, len(notes), note)


def _some_of_each(frame: pd.DataFrame, kinds: Any) -> pd.DataFrame:
    """Return as many rows as are shown, of each kind as many as of every other, in their order."""
    turns = frame.groupby(kinds, sort=False).cumcount().sort_values(kind="stable")
    return frame.loc[turns.index[:SHOWN].sort_values()].reset_index(drop=True)


def _words(session: Session, plan: Plan, wanted: dict[str, set[str]]) -> dict[str, str]:
    """Say what ids stand for: a person, an event, the WA id of a mapping, the code of a tier or status."""
    added, words = _added(plan), dict[str, str]()
    with session.reading() as connection:
        for concept, keys in wanted.items():
            facts = {key: added[key] for key in sorted(keys & added.keys())}
            rest = sorted(keys - added.keys()) if plan.target == session.target else []
            if rest and concept in _ENTITIES:
                facts |= records_in_words(connection, session.schema, _ENTITIES[concept], rest)
            elif rest and concept in _LOOKUPS:
                rows = fetch(connection, session.schema, _LOOKUPS[concept], keys=rest)
                facts |= {row.key: row._asdict() for row in rows}
            shown = mask(pd.DataFrame(list(facts.values()), dtype=object), session.shows_people)
            for key, row in zip(facts, shown.to_dict("records"), strict=True):
                words[key] = _in_words(
                    {str(name): value for name, value in row.items() if not pd.isna(value)}
                )
    return words


def _added(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what a plan says of members, events and registrations that it adds, by canonical names."""
    added: dict[str, dict[str, Any]] = {}
    for section in plan.operations:
        concept = _CONCEPTS.get(section.table, "")
        if section.name == "insert" and concept in _ENTITIES:
            canonical = {real: name for name, reals in CONCEPTS[concept].columns.items() for real in reals}
            for row in islice(plan.rows(section), SHOWN):
                cells = zip(section.columns, row, strict=True)
                facts = {canonical[real]: value for real, value in cells if real in canonical}
                # A registration is known by its member and event, which may come with it.
                ends = [added.get(str(facts.get(name)), {}) for name in ("member_id", "event_id")]
                added[_key(section, row)] = {**ends[0], **ends[1], **facts}
    return added


def _in_words(facts: dict[str, Any]) -> str:
    if "wa_id" in facts and "entity_type" in facts:
        return f"{facts['entity_type']} with WA id {facts['wa_id']}"
    person = " ".join(str(facts[name]) for name in ("first_name", "last_name") if name in facts)
    return ", ".join(filter(None, [person, *map(facts.get, ("email", "title", "code"))]))


def _meaning(value: Any, words: dict[str, str]) -> Any:
    return f"{words[value]} ({value})" if value in words else value


def _key(section: Section, row: Row) -> str:
    return "/".join(str(row[section.columns.index(name)]) for name in section.key)


def _rank(table: str) -> int:
    """Return a table's place: members, events, registrations, mappings, then the rest."""
    return _ORDER.index(_CONCEPTS[table]) if table in _CONCEPTS else len(_ORDER)
