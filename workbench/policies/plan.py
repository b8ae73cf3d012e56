"""Correct what breaks the organisation's rules, where a rule says how and nothing speaks against it (guide §1.5).

A rule's fix is a SELECT of ``table``, ``key``, ``column`` and ``value``, one row for each cell, with a ``doubt`` where
that is no obvious correction. What a person changed after the import stays, and is listed; so does what no import is
known to have written, and what would still break a rule once corrected.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import psycopg
from sqlalchemy import select

from workbench.checks import Check, Look
from workbench.checks.registry import NotRunError
from workbench.checks.rules import Rules
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.canonical import Relation, ask, words_of
from workbench.murmurant.importers import POLICY_CORRECTED
from workbench.murmurant.schema import as_text
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS
from workbench.plans.current import current_rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.evidence import TOLERANCE, last_writers

LISTED = 100
"""Records that an audit entry names; the journal has them all."""

Cell = tuple[str, str, str]
"""A relation, a key and a column, by their canonical names."""


@dataclass
class Wanted:
    """What one rule wants: the value of each cell, and the records that it cannot help, each with the reason."""

    rule: Check
    values: dict[Cell, str | None]
    doubts: dict[tuple[str, str], str]

    def records(self) -> set[tuple[str, str]]:
        """Return the records that it would change."""
        return {(relation, key) for relation, key, _ in self.values}

    def leave(self, record: tuple[str, str], why: str) -> None:
        """Leave a record alone."""
        self.values = {cell: value for cell, value in self.values.items() if cell[:2] != record}
        self.doubts.setdefault(record, why)


def plan_policies(context: PlanContext, look: Look, rules: Rules, ids: Sequence[str] = ()) -> Plan:
    """Plan the corrections that some rules ask for.

    Parameters
    ----------
    look : Look
        The database, with every run that is known.
    rules : Rules
        All the rules: a correction that would break another of them is none.
    ids : sequence of str
        Which rules to correct by; all that say how when empty.

    Raises
    ------
    UsageError
        For a rule that is not there, or does not say how to correct, or not in a way that can be read.
    Refused
        When there is nothing that can be corrected.
    """
    chosen = _correcting(rules, ids)
    names = ", ".join(rule.id for rule in chosen)
    with Draft(
        context,
        "policies",
        parameters={"rules": rules.name, "chosen": [rule.id for rule in chosen]},
        evidence=[f"rules {rules.name}, SHA-256 {rules.sha256}"],
        nothing=f"There is nothing to correct by {names}",
        hint="Nothing breaks them.",
    ) as draft:
        if live := sum(run.mode == "live" for run in look.runs):
            draft.evidence.append(f"what {live:,} import runs left, to tell their work from people's")
        wanted = []
        for rule in chosen:
            try:
                wanted.append(_wanted_by(rule, look))
            except (SchemaGap, NotRunError, psycopg.Error) as error:
                draft.hint = f"Rule {rule.id} could not be asked: {error}"
                draft.note(draft.hint)
        _leave_contradictions(wanted)
        _leave_what_breaks_rules(wanted, rules, look, draft)
        changes: dict[tuple[str, str], dict[str, str | None]] = defaultdict(dict)
        for each in wanted:
            corrected = _kept_by_their_writers(each, look, draft)
            for (relation, key, column), value in each.values.items():
                if (relation, key) in corrected:
                    changes[relation, key][look.schema.resolved[relation].spelling[column]] = value
            if corrected:
                keys = sorted(key for _, key in corrected)
                draft.reasons.append(f"Corrects {len(keys):,} of: {each.rule.title} ({each.rule.id}).")
                draft.log(
                    POLICY_CORRECTED,
                    rule=each.rule.id,
                    rules=rules.name,
                    rules_sha256=rules.sha256,
                    records_affected=len(keys),
                    records=keys[:LISTED],
                )
        for relation in sorted({relation for relation, _ in changes}):
            table = look.schema.resolved[relation].table
            keys = sorted(key for name, key in changes if name == relation)
            for key, row in current_rows(context.raw, look.schema.catalogue, table, keys):
                draft.update(table, key, dict(row.values) | changes[relation, key], row=row)
    return draft.plan


def _correcting(rules: Rules, ids: Sequence[str]) -> list[Check]:
    chosen = rules.choose(list(ids))
    if ids and (without := [rule.id for rule in chosen if not rule.fix]):
        raise UsageError(
            f"Rule {without[0]!r} of {rules.name} does not say how to correct.",
            "After its SELECT and a line `-- fix` it may have another, of table, key, column and value.",
        )
    if not (chosen := [rule for rule in chosen if rule.fix]):
        raise UsageError(
            f"No rule of {rules.name} says how to correct.",
            "Make the starter set your own, `workbench policies --starter FOLDER`: some of its rules do.",
        )
    return chosen


def _wanted_by(rule: Check, look: Look) -> Wanted:
    """Ask what a rule would correct."""
    rule.require(look, rule.fix)
    with look.connection.begin_nested():
        _, rows, _ = ask(look.connection, look.canonical, rule.fix, keyed=True)
    if missing := {"table", "column", "value"} - {*rows}:
        raise UsageError(f"The fix of rule {rule.id!r} has no column called {', '.join(sorted(missing))}.")
    wanted = Wanted(rule, {}, {})
    for row in rows.to_dict("records"):
        cell = _named(rule, look, str(row["table"]), str(row["key"]), str(row["column"]))
        if pd.notna(doubt := row.get("doubt")):
            wanted.doubts[cell[:2]] = str(doubt)
        else:
            wanted.values[cell] = None if pd.isna(row["value"]) else str(row["value"])
    for record in {*wanted.doubts}:
        wanted.leave(record, wanted.doubts[record])
    return wanted


def _named(rule: Check, look: Look, table: str, key: str, column: str) -> Cell:
    """Return a cell by its canonical names; a fix may have either spelling."""
    for relation, known in CONCEPTS.items():
        if table == relation or table in known.tables:
            for name, spellings in known.columns.items():
                if column == name or column in spellings:
                    look.schema.require(f"{relation}.{name}")
                    return relation, key, name
    raise UsageError(f"The fix of rule {rule.id!r} names {table}.{column}, which is no column of a relation.")


def _leave_contradictions(wanted: Sequence[Wanted]) -> None:
    """Leave alone what two rules want differently."""
    values: dict[Cell, set[str | None]] = defaultdict(set)
    for each in wanted:
        for cell, value in each.values.items():
            values[cell].add(value)
    for cell in (cell for cell, different in values.items() if len(different) > 1):
        for each in wanted:
            if cell in each.values:
                each.leave(cell[:2], f"two rules want different values of {cell[2]}")


def _leave_what_breaks_rules(wanted: Sequence[Wanted], rules: Rules, look: Look, draft: Draft) -> None:
    """Ask the rules again as if all were corrected, and leave alone what still breaks one that speaks of it."""
    fixes: dict[str, dict[str, dict[str, str | None]]] = defaultdict(lambda: defaultdict(dict))
    for each in wanted:
        for (relation, key, column), value in each.values.items():
            fixes[relation][key][column] = value
    corrected = {relation: _as_corrected(look, relation, changes) for relation, changes in fixes.items()}
    for rule in rules.checks.values() if corrected else ():
        words = words_of(rule.sql)
        touched = [
            each
            for each in wanted
            if any(relation in words and column in words for relation, _, column in each.values)
        ]
        if not touched:
            continue
        try:
            rule.require(look, rule.sql)
            with look.connection.begin_nested():
                _, rows, _ = ask(look.connection, look.canonical, rule.sql, keyed=True, instead=corrected)
        except (SchemaGap, NotRunError, UsageError, psycopg.Error) as error:
            draft.note(f"Whether a correction would break rule {rule.id} is not known: {error}")
            continue
        named = set(rows.astype(str).to_numpy().ravel())
        for each in touched:
            for record in each.records():
                if record[1] in named:
                    each.leave(record, f"corrected, it would still break a rule: {rule.title} ({rule.id})")


def _as_corrected(look: Look, relation: str, changes: Mapping[str, Mapping[str, str | None]]) -> Relation:
    """Return a relation as it would be with some of its cells changed."""
    was, columns = look.canonical.relation(relation), {name for each in changes.values() for name in each}
    cells = (
        f"CASE WHEN jsonb_exists(changes, '{name}') THEN (changes ->> '{name}')::{look.canonical.type_of(name)}"
        f' ELSE was."{name}" END AS "{name}"'
        if name in columns
        else f'was."{name}"'
        for name in CONCEPTS[relation].columns
    )
    select = (
        f"SELECT {', '.join(cells)} FROM ({was.select}) AS was LEFT JOIN ("
        f"SELECT key, changes::jsonb FROM unnest(%({relation}_keys)s::text[], %({relation}_changes)s::text[]) AS u(key, changes)"
        ") AS corrected ON corrected.key = was.id::text"
    )
    given = {
        f"{relation}_keys": list(changes),
        f"{relation}_changes": list(map(json.dumps, changes.values())),
    }
    return Relation(select, was.lacking, {**was.parameters, **given})


def _kept_by_their_writers(wanted: Wanted, look: Look, draft: Draft) -> set[tuple[str, str]]:
    """Return the records that an import wrote last; note the others as kept or unresolved, and so what is in doubt."""
    for (relation, key), why in sorted(wanted.doubts.items()):
        decided = "look it up in the source and correct it by hand, or waive it"
        draft.unresolved(look.schema.resolved[relation].table, key, why, decided)
    found: set[tuple[str, str]] = set()
    for relation in sorted({relation for relation, _ in wanted.records()}):
        keys = sorted(key for name, key in wanted.records() if name == relation)
        entity = next((name for name, concept in CONCEPT_OF.items() if concept == relation), None)
        judge = _by_imports if entity else _older_than_the_last_run
        found |= {(relation, key) for key in judge(look, relation, entity or "", keys, draft)}
    return found


def _by_imports(look: Look, relation: str, entity: str, keys: list[str], draft: Draft) -> list[str]:
    table = look.schema.resolved[relation].table
    authors = last_writers(look.connection, look.schema, look.runs, entity, keys)
    for key in keys:
        if (author := authors.get(key)) is None:
            why = "nothing tells that an import wrote it; it may be people's own"
            draft.unresolved(table, key, why, "the report file of the run that did (--import-report)")
        elif author.by_people:
            draft.keep(table, key, f"{author.touched_since} changed it after run {author.run.run}")
    return [key for key in keys if key in authors and not authors[key].by_people]


def _older_than_the_last_run(look: Look, relation: str, _: str, keys: list[str], draft: Draft) -> list[str]:
    """Judge rows that no import writes by their own time: what was written after the last run is a person's."""
    source, table = look.schema.source(relation), look.schema.resolved[relation].table
    if look.as_of is None or "updated_at" not in source.c:
        for key in keys:
            why = "nothing tells whether somebody changed it after the import"
            draft.unresolved(table, key, why, "a run's report file (--import-report)")
        return []
    written = select(as_text(source.c.id)).where(source.c.updated_at > look.as_of + TOLERANCE)
    late = {str(key) for (key,) in look.connection.execute(written)}.intersection(keys)
    for key in sorted(late):
        draft.keep(table, key, "somebody changed it after the last import")
    return [key for key in keys if key not in late]
