"""The rows of a plan for people: whose they are, old and new values, and what is kept, in conflict or undecided.

A plan may have a million rows: counts come from its sections, and of rows only a screenful is read and looked up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat, zip_longest
from operator import itemgetter
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import Connection, select

from workbench.answer import Table
from workbench.mappings.search import records_in_words
from workbench.murmurant.schema import Schema, as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Row, Section
from workbench.reporting.masking import mask
from workbench.session import Session

SHOWN = 40
"""Rows shown of each table."""

_SEARCHED = 20_000
"""Rows a plan would put back that are searched for the people and events others of them refer to."""

_FATES = {"delete": "deleted", "insert": "added"}
_COLUMNS = {
    MEMBER: {"first_name": "first_name", "last_name": "last_name", "email": "email"},
    EVENT: {"event": "title", "start": "start"},
    REGISTRATION: {"first_name": "first_name", "last_name": "last_name", "event": "title"},
}
_ENTITY_OF = {table: entity for entity in ENTITIES for table in CONCEPTS[CONCEPT_OF[entity]].tables}
_STAMPS = {real for concept in CONCEPTS.values() for real in concept.columns.get("updated_at", ())}
# A word with three digits names a record: an id, a number, a run. Possessive, so that no text takes long.
_NAMES = re.compile(r"(?<![\w-])(?:[A-Za-z_-]*+\d){3}+[\w-]*+")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Rows = dict[str, dict[str, Any]]
"""Key to what is known of the row: canonical column to value."""

Each = TypeVar("Each")


def fairly(sources: Sequence[Iterable[Each]], limit: int) -> list[Each]:
    """Take from several sources in turn until there are enough, reading no further; in the sources' order."""
    turns = zip_longest(*(zip(repeat(place), source, strict=False) for place, source in enumerate(sources)))
    found = islice((each for turn in turns for each in turn if each is not None), limit)
    return [each for _, each in sorted(found, key=itemgetter(0))]


def row_tables(session: Session, plan: Plan) -> dict[str, Table]:
    """Lay out the rows of a plan, some of each kind; nobody is looked up where it was made on another database."""
    lookup = _Lookup(session if plan.target == session.target else None, session.shows_people)
    tables = {"values": _values(lookup, plan)}
    tables |= {CONCEPT_OF[entity]: _affected(lookup, plan, entity) for entity in ENTITIES}
    tables |= _notes(lookup, plan, "because", "reason", "What the changes rest on")
    tables |= _notes(lookup, plan, "kept", "kept", "Rows that are kept")
    tables["conflicts"] = _conflicts(lookup, plan)
    return tables | _notes(lookup, plan, "unresolved", "unresolved", "Rows left undecided")


class _Lookup:
    """Turns keys into names, titles and Wild Apricot ids; knows none without a session."""

    def __init__(self, session: Session | None, unmask: bool) -> None:
        self.session, self.unmask = session, unmask

    def records(self, entity: str, keys: Sequence[str]) -> Rows:
        if self.session is None:
            return {}
        with self.session.reading() as connection:
            return records_in_words(connection, self.session.schema, entity, keys)

    def labels(self, pairs: Iterable[tuple[Any, Any]]) -> list[str]:
        """Name rows given by table and key: the table, and whose the row is where that is known."""
        pairs = [(str(table), str(key)) for table, key in pairs]
        words = self._in_words(pairs)
        return [f"{pair[0]}: {words[pair]}" if pair in words else pair[0] for pair in pairs]

    def values(self, column: Iterable[Any]) -> list[Any]:
        """Say what ids among values stand for: a tier or status by its code, a member or event with the id."""
        values = list(column)
        ids = sorted({each for each in values if each and _ID.fullmatch(each)})
        if self.session is None or not ids:
            return values
        schema = self.session.schema
        tables = [schema.resolved[name].table for name in ("members", "events") if name in schema.resolved]
        words = self._in_words([(table, key) for table in tables for key in ids])
        spoken = {key: f"{said} ({key})" for (_, key), said in words.items()}
        with self.session.reading() as connection:
            for concept in ("tiers", "statuses"):
                if schema.has(f"{concept}.code"):
                    codes = _by_key(connection, schema, concept, ids, "code")
                    spoken |= {key: str(facts["code"]) for key, facts in codes.items()}
        return [spoken.get(each, each) for each in values]

    def _in_words(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        wanted: dict[str, list[str]] = {}
        for table, key in dict.fromkeys(pairs):
            wanted.setdefault(table, []).append(key)
        words: dict[tuple[str, str], str] = {}
        if self.session is None:
            return words
        for table, keys in wanted.items():
            if table in _ENTITY_OF:
                rows = self.records(_ENTITY_OF[table], keys)
            elif table in CONCEPTS["mappings"].tables:
                with self.session.reading() as connection:
                    rows = _by_key(connection, self.session.schema, "mappings", keys, "entity_type", "wa_id")
            else:
                continue
            shown = mask(pd.DataFrame(list(rows.values()), dtype=object), self.unmask)
            said = {
                (table, key): _words(facts) for key, facts in zip(rows, shown.to_dict("records"), strict=True)
            }
            words |= {pair: text for pair, text in said.items() if text}
        return words


def _values(lookup: _Lookup, plan: Plan) -> Table:
    """Lay out old and new values of what a plan updates, column by column, with whose they are."""
    updates = sorted(
        (each for each in plan.operations if each.name == "update"), key=lambda each: _rank(each.table)
    )
    total = sum(each.rows * len(_told(each)) for each in updates)
    rows = fairly([_changed(plan, each) for each in updates], SHOWN)
    frame = pd.DataFrame(rows, columns=["table", "key", "column", "now", "would_be"], dtype=object)
    frame = _labelled(lookup, frame, "now", "would_be")
    return Table(frame, "Old and new values", "", ("record", "now", "would_be"), SHOWN, total)


def _changed(plan: Plan, section: Section) -> Iterator[Row]:
    for row in plan.rows(section):
        cells = dict(zip(section.columns, row, strict=True))
        for column in _told(section):
            yield section.table, _key(section, row), column, cells[f"old {column}"], cells[f"new {column}"]


def _affected(lookup: _Lookup, plan: Plan, entity: str) -> Table:
    """Lay out whose rows of one kind a plan deletes or adds: as the database has them now, or as the plan has them."""
    sections = [
        each for each in plan.operations if each.name in _FATES and _ENTITY_OF.get(each.table) == entity
    ]
    of_each = [[each for each in sections if each.name == name] for name in _FATES]
    rows = fairly([_each(plan, some) for some in of_each], SHOWN)
    keys = [_key(section, row) for section, row in rows]
    known = {key: _canonical(*pair) for key, pair in zip(keys, rows, strict=True) if pair[0].name == "insert"}
    if entity == REGISTRATION:
        known = _with_names(lookup, plan, known)
    known = lookup.records(entity, [key for key in keys if key not in known]) | known
    frame = pd.DataFrame(
        [
            {
                "would_be": _FATES[section.name],
                **{shown: known.get(key, {}).get(name) for shown, name in _COLUMNS[entity].items()},
                "key": key,
            }
            for key, (section, _) in zip(keys, rows, strict=True)
        ]
    )
    caption, total = (
        f"{CONCEPT_OF[entity].capitalize()} that would change",
        sum(each.rows for each in sections),
    )
    return Table(frame, caption, "", ("would_be",), SHOWN, total)


def _with_names(lookup: _Lookup, plan: Plan, registrations: Rows) -> Rows:
    """Name who comes to what in registrations that a plan would put back, and perhaps member and event with them."""
    known: dict[str, Rows] = {}
    for entity, column in ((MEMBER, "member_id"), (EVENT, "event_id")):
        wanted = sorted({str(facts[column]) for facts in registrations.values() if facts.get(column)})
        inserts = [
            each for each in plan.operations if each.name == "insert" and _ENTITY_OF.get(each.table) == entity
        ]
        back = islice(_each(plan, inserts), _SEARCHED) if wanted else ()
        found = {
            key: _canonical(section, row) for section, row in back if (key := _key(section, row)) in wanted
        }
        known[column] = lookup.records(entity, wanted) | found
    return {
        key: {**known["event_id"].get(str(facts.get("event_id")), {}), **known["member_id"].get(str(facts.get("member_id")), {})}
        for key, facts in registrations.items()
    }  # fmt: skip


def _conflicts(lookup: _Lookup, plan: Plan) -> Table:
    """Lay out the columns that both the run and somebody after it wrote: three values, and what becomes of them."""
    rows = list(islice(_noted(plan, "conflict"), SHOWN))
    frame = pd.DataFrame(rows, columns=list(NOTES["conflict"]), dtype=object).rename(
        columns={"run": "after_import"}
    )
    frame = _labelled(lookup, frame, "before", "after_import", "now")
    return Table(
        frame, "Conflicts", "", ("record", "column", "now", "reason"), SHOWN, noted(plan, "conflict")
    )


def _notes(lookup: _Lookup, plan: Plan, part: str, name: str, caption: str) -> dict[str, Table]:
    """Count notes of one kind by their reasons, what names a record left out; and show some rows, unless each is counted."""
    counts: Counter[tuple[str, ...]] = Counter()
    some: dict[tuple[str, ...], list[Row]] = {}
    for row in _noted(plan, name):
        kind = (str(row[0]), *(_NAMES.sub("…", str(each)) for each in row[2:]))
        counts[kind] += 1
        if len(taken := some.setdefault(kind, [])) < SHOWN:
            taken.append(row)
    ordered = sorted(counts.items(), key=lambda each: (_rank(each[0][0]), -each[1], each[0]))
    columns = ["table", *(each.replace("resolved_by", "what_would_decide_it") for each in NOTES[name][2:])]
    grouped = pd.DataFrame([(*kind, count) for kind, count in ordered], columns=[*columns, "rows"])
    rows = pd.DataFrame(
        fairly([some[kind] for kind, _ in ordered], SHOWN), columns=list(NOTES[name]), dtype=object
    )
    rows = _labelled(lookup, rows)[["record", "reason", "key"]]
    return {
        part: Table(grouped, f"{caption} ({counts.total():,})", "", ("reason", "rows"), SHOWN),
        f"{part}_rows": Table(
            rows, f"{caption}, row by row", "", ("record", "reason"), SHOWN, counts.total()
        ),
    }


def _labelled(lookup: _Lookup, frame: pd.DataFrame, *values: str) -> pd.DataFrame:
    """Put whose row it is in the place of the table, the key last, and say what ids among the values stand for."""
    frame.insert(0, "record", lookup.labels(zip(frame["table"], frame["key"], strict=True)))
    for name in values:
        frame[name] = pd.Series(lookup.values(frame[name]), dtype=object)
    return frame[[*(each for each in frame.columns if each not in ("table", "key")), "key"]]


def noted(plan: Plan, name: str) -> int:
    """Count a plan's notes of one kind, without reading them."""
    return sum(each.rows for each in plan.sections if each.name == name)


def _noted(plan: Plan, name: str) -> Iterator[Row]:
    return (row for section in plan.sections if section.name == name for row in plan.rows(section))


def changed_rows(plan: Plan) -> pd.DataFrame:
    """Count what a plan changes: ``table``, ``operation``, ``rows``; members, events and registrations first."""
    tables = sorted(plan.changes.items(), key=lambda each: (_rank(each[0]), each[0]))
    rows = [(table, name, cells[name]) for table, cells in tables for name in OPERATIONS if cells.get(name)]
    return pd.DataFrame(rows, columns=["table", "operation", "rows"])


def _each(plan: Plan, sections: Sequence[Section]) -> Iterator[tuple[Section, Row]]:
    return ((section, row) for section in sections for row in plan.rows(section))


def _key(section: Section, row: Row) -> str:
    return "/".join(str(row[section.columns.index(each)]) for each in section.key)


def _canonical(section: Section, row: Row) -> dict[str, Any]:
    """Return an inserted row under the columns' canonical names."""
    spelled = CONCEPTS[CONCEPT_OF[_ENTITY_OF[section.table]]].columns
    names = {real: name for name, reals in spelled.items() for real in reals}
    return {names[real]: value for real, value in zip(section.columns, row, strict=True) if real in names}


def _told(section: Section) -> tuple[str, ...]:
    """Return the columns worth telling: not the one that says when the row was written, unless it is the only one."""
    return tuple(each for each in section.changed if each not in _STAMPS) or section.changed


def _rank(table: str) -> int:
    """Return a table's place: members, events, registrations, mappings, then the rest."""
    known = [*_ENTITY_OF, *CONCEPTS["mappings"].tables, *CONCEPTS["sync_state"].tables]
    return known.index(table) if table in known else len(known)


def _by_key(connection: Connection, schema: Schema, concept: str, keys: Iterable[str], *columns: str) -> Rows:
    if not schema.has(f"{concept}.id"):
        return {}
    source = schema.source(concept)
    query = select(as_text(source.c.id).label("key"), *named(source, *columns))
    found = connection.execute(query.where(is_one_of(source.c.id, list(keys))).order_by("key")).mappings()
    return {row["key"]: dict(row) for row in found}


def _words(facts: Mapping[Any, Any]) -> str:
    """Say what a row is about: the person, the event, or the WA id."""
    if "wa_id" in facts:
        return f"{facts.get('entity_type') or 'record'} with WA id {facts['wa_id']}"
    known = {name: value for name, value in facts.items() if not pd.isna(value)}
    person = " ".join(str(known[each]) for each in ("first_name", "last_name") if known.get(each))
    return ", ".join(filter(None, [person, known.get("title")]))
