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
from sqlalchemy import select

from workbench.answer import Table, many
from workbench.mappings.search import records_in_words
from workbench.murmurant.schema import as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Row, Section
from workbench.reporting.masking import mask
from workbench.session import Session

SHOWN = 40
"""Rows shown of each table."""

_FATES = {"delete": "deleted", "update": "changed", "insert": "added"}
_NOTED = {
    "because": ("reason", "What the changes rest on", ["record", "reason", "key"]),
    "kept": ("kept", "Rows that are kept", ["record", "reason", "key"]),
    "conflicts": (
        "conflict", "Conflicts", ["record", "column", "before", "after_import", "now", "reason", "key"],
    ),
    "unresolved": ("unresolved", "Rows left undecided", ["record", "reason", "what_would_decide_it", "key"]),
}  # fmt: skip
_ENTITY_OF = {table: entity for entity in ENTITIES for table in CONCEPTS[CONCEPT_OF[entity]].tables}
_ORDER = [*_ENTITY_OF, *CONCEPTS["mappings"].tables, *CONCEPTS["sync_state"].tables]
_STAMPS = {real for concept in CONCEPTS.values() for real in concept.columns.get("updated_at", ())}
# A word with three digits names a record: an id, a number, a run. Possessive, so that no text takes long.
_NAMES = re.compile(r"(?<![\w-])(?:[A-Za-z_-]*+\d){3}+[\w-]*+")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Each = TypeVar("Each")
Facts = dict[str, Any]


def row_tables(session: Session, plan: Plan) -> dict[str, Table]:
    """Lay out the rows of a plan, some of each kind; nobody is looked up where it was made on another database."""
    names = _Names(session, plan)
    return {
        "rows": _changes(names, plan),
        **{part: _notes(names, plan, *how) for part, how in _NOTED.items()},
    }


def changed_rows(plan: Plan) -> pd.DataFrame:
    """Count what a plan changes: ``table``, ``operation``, ``rows``; members, events and registrations first."""
    tables = sorted(plan.changes.items(), key=lambda each: (_rank(each[0]), each[0]))
    rows = [(table, name, cells[name]) for table, cells in tables for name in OPERATIONS if cells.get(name)]
    return pd.DataFrame(rows, columns=["table", "operation", "rows"])


def noted(plan: Plan, name: str) -> int:
    """Count a plan's notes of one kind, without reading them."""
    return sum(each.rows for each in plan.sections if each.name == name)


def fairly(sources: Sequence[Iterable[Each]], limit: int) -> list[Each]:
    """Take from several sources in turn until there are enough, reading no further; in the sources' order."""
    turns = zip_longest(*(zip(repeat(place), source, strict=False) for place, source in enumerate(sources)))
    taken = islice((each for turn in turns for each in turn if each is not None), limit)
    return [each for _, each in sorted(taken, key=itemgetter(0))]


class _Names:
    """Whose a row is, and what an id stands for; knows only the plan's own rows where it was made elsewhere."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self.session, self.here = session, plan.target == session.target
        self.added: dict[str, Facts] = {}

    def remember(self, section: Section, row: Row) -> None:
        """Keep what a plan says of a member, an event or a registration that it adds, by canonical names."""
        spelled = CONCEPTS[CONCEPT_OF[_ENTITY_OF[section.table]]].columns
        canonical = {real: name for name, reals in spelled.items() for real in reals}
        cells = zip(section.columns, row, strict=True)
        self.added[_key(section, row)] = {
            canonical[real]: value for real, value in cells if real in canonical
        }

    def rows(self, pairs: Iterable[tuple[str, str]]) -> list[str]:
        """Name rows given by table and key: the table, and whose the row is where that is known."""
        pairs = list(pairs)
        words = self._in_words(pairs)
        return [": ".join(filter(None, (table, words.get((table, key), "")))) for table, key in pairs]

    def values(self, column: Iterable[Any]) -> list[Any]:
        """Say what ids among values stand for: a tier or status by its code, a member or event with the id."""
        values, resolved = list(column), self.session.schema.resolved
        ids = sorted({each for each in values if each and _ID.fullmatch(each)})
        tables = [resolved[name].table for name in ("members", "events") if name in resolved]
        words = self._in_words([(table, key) for table in tables for key in ids])
        spoken = {key: f"{said} ({key})" for (_, key), said in words.items()}
        for concept in ("tiers", "statuses"):
            spoken |= {key: str(facts["code"]) for key, facts in self._by_key(concept, ids, "code").items()}
        return [spoken.get(each, each) for each in values]

    def _in_words(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        wanted: dict[str, list[str]] = {}
        for table, key in dict.fromkeys(pairs):
            wanted.setdefault(table, []).append(key)
        words: dict[tuple[str, str], str] = {}
        for table, keys in wanted.items():
            facts = self._facts(table, keys)
            shown = mask(pd.DataFrame(list(facts.values()), dtype=object), self.session.shows_people)
            for key, row in zip(facts, shown.to_dict("records"), strict=True):
                words[table, key] = _words(row)
        return words

    def _facts(self, table: str, keys: list[str]) -> dict[str, Facts]:
        if table in CONCEPTS["mappings"].tables:
            return self._by_key("mappings", keys, "entity_type", "wa_id")
        if table not in _ENTITY_OF:
            return {}
        facts = {}
        for key in (each for each in keys if each in self.added):
            own = self.added[key]
            # A registration that is put back is known by its member and event, which may come with it.
            others = [str(own[name]) for name in ("member_id", "event_id") if own.get(name)]
            around = [self.added.get(each, {}) for each in others]
            facts[key] = {name: value for row in (*around, own) for name, value in row.items()}
        if self.here:
            with self.session.reading() as connection:
                schema, there = self.session.schema, [each for each in keys if each not in facts]
                facts |= records_in_words(connection, schema, _ENTITY_OF[table], there)
        return facts

    def _by_key(self, concept: str, keys: list[str], *columns: str) -> dict[str, Facts]:
        schema = self.session.schema
        if not (
            self.here and keys and schema.has(f"{concept}.id", *(f"{concept}.{each}" for each in columns))
        ):
            return {}
        source = schema.source(concept)
        query = select(as_text(source.c.id).label("key"), *named(source, *columns))
        with self.session.reading() as connection:
            rows = connection.execute(query.where(is_one_of(source.c.id, keys)).order_by("key")).mappings()
            return {row["key"]: dict(row) for row in rows}


def _changes(names: _Names, plan: Plan) -> Table:
    """Lay out what a plan deletes, changes (column by column, with old and new values) and adds."""
    sections = sorted(plan.operations, key=lambda each: (_rank(each.table), OPERATIONS.index(each.name)))
    for section in sections:
        if section.name == "insert" and section.table in _ENTITY_OF:
            for row in islice(plan.rows(section), SHOWN):
                names.remember(section, row)
    total = sum(each.rows * (len(_worth_telling(each)) or 1) for each in sections)
    columns = ["change", "table", "key", "column", "now", "would_be"]
    rows = fairly([_lines(plan, each) for each in sections], SHOWN)
    frame = _labelled(names, pd.DataFrame(rows, columns=columns, dtype=object), "now", "would_be")
    told = [name for name in ("column", "now", "would_be") if frame[name].notna().any()]
    frame = frame[["change", "record", *told, "key"]]
    first = ("change", "record", "now", "would_be")
    return Table(frame, "What changes, row by row", "", first, SHOWN, total)


def _lines(plan: Plan, section: Section) -> Iterator[tuple[Any, ...]]:
    for row in plan.rows(section):
        cells, about = dict(zip(section.columns, row, strict=True)), (section.table, _key(section, row))
        if section.name == "update":
            for column in _worth_telling(section):
                yield _FATES["update"], *about, column, cells[f"old {column}"], cells[f"new {column}"]
        else:
            yield _FATES[section.name], *about, None, None, None


def _notes(names: _Names, plan: Plan, name: str, caption: str, columns: list[str]) -> Table:
    """Lay out notes of one kind, some of each reason; below, how many there are of each, what names a record left out."""
    counts: Counter[str] = Counter()
    some: dict[str, list[Row]] = {}
    reason = NOTES[name].index("reason")
    for row in (row for section in plan.sections if section.name == name for row in plan.rows(section)):
        kind = f"{row[0]}: {_NAMES.sub('…', str(row[reason]))}"
        counts[kind] += 1
        if len(taken := some.setdefault(kind, [])) < SHOWN:
            taken.append(row)
    rows = fairly([some[kind] for kind, _ in counts.most_common()], SHOWN)
    frame = pd.DataFrame(rows, columns=list(NOTES[name]), dtype=object)
    frame = frame.rename(columns={"run": "after_import", "resolved_by": "what_would_decide_it"})
    frame = _labelled(names, frame, *({*frame} & {"before", "after_import", "now"}))[columns]
    told = [f"{many(count, 'row')} of {kind}" for kind, count in counts.most_common(10)]
    note = "\n".join(told) if counts.total() > SHOWN else ""
    return Table(frame, caption, "", ("record", "column", "now", "reason"), SHOWN, counts.total(), note)


def _labelled(names: _Names, frame: pd.DataFrame, *values: str) -> pd.DataFrame:
    """Put whose row it is in the place of the table, the key last, and say what ids among the values stand for."""
    frame["table"] = names.rows(zip(frame["table"], frame["key"], strict=True))
    for name in values:
        frame[name] = pd.Series(names.values(frame[name]), dtype=object)
    frame = frame.rename(columns={"table": "record"})
    return frame[[*(each for each in frame.columns if each != "key"), "key"]]


def _words(facts: Mapping[Any, Any]) -> str:
    """Say what a row is about: the person, the event, or the WA id."""
    known: dict[str, str] = {name: str(value) for name, value in facts.items() if not pd.isna(value)}
    if "wa_id" in known and "entity_type" in known:
        return f"{known['entity_type']} with WA id {known['wa_id']}"
    person = " ".join(known[name] for name in ("first_name", "last_name") if name in known)
    return ", ".join(filter(None, [person, known.get("email"), known.get("title")]))


def _key(section: Section, row: Row) -> str:
    return "/".join(str(row[section.columns.index(each)]) for each in section.key)


def _worth_telling(section: Section) -> tuple[str, ...]:
    """Return the columns worth telling of an update: not the one that says when, unless it is the only one."""
    if section.name != "update":
        return ()
    return tuple(each for each in section.changed if each not in _STAMPS) or section.changed


def _rank(table: str) -> int:
    """Return a table's place: members, events, registrations, mappings, then the rest."""
    return _ORDER.index(table) if table in _ORDER else len(_ORDER)
