"""Correct what breaks the organisation's rules, where a rule says how and nothing speaks against it (guide §1.5).

A rule's fix is a SELECT of ``table``, ``key``, ``column`` and ``value``, one row for each cell, with a ``doubt`` where
that is no obvious correction. What a person changed after the import stays, and is listed; so does what no import is
known to have written, and what would still break a rule once corrected.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

import pandas as pd
import psycopg
from sqlalchemy import select

from workbench.checks import Check, Look
from workbench.checks.look import NotRunError
from workbench.checks.rules import Rules
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.canonical import ask, listed, words_of
from workbench.murmurant.importers import POLICY_CORRECTED
from workbench.murmurant.schema import Relation, as_text
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.evidence import TOLERANCE, last_writers

LISTED = 100
"""Records that an audit entry names; the journal has them all."""

COLUMNS = ["rule", "relation", "key", "column", "value"]
"""What rules want: the value of each cell, by its canonical names."""


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
    chosen, schema = _correcting(rules, ids), look.schema
    with Draft(
        context,
        "policies",
        parameters={"rules": rules.name, "chosen": [rule.id for rule in chosen]},
        evidence=[f"rules {rules.name}, SHA-256 {rules.sha256}"],
        nothing=f"There is nothing to correct by {', '.join(rule.id for rule in chosen)}",
        hint="Nothing breaks them.",
    ) as draft:
        if live := sum(run.mode == "live" for run in look.runs):
            draft.evidence.append(f"what {live:,} import runs left, to tell their work from people's")
        left: dict[tuple[str, str], str] = {}
        frames = []
        for rule in chosen:
            try:
                frames.append(_wanted_by(rule, look, left))
            except (SchemaGap, NotRunError, psycopg.Error) as error:
                draft.hint = f"Rule {rule.id} could not be asked: {error}"
                draft.note(draft.hint)
        wanted = _uncontradicted(pd.concat([pd.DataFrame(columns=COLUMNS), *frames], ignore_index=True), left)
        wanted = _unbroken(wanted, left, rules, look, draft)
        for (relation, key), why in sorted(left.items()):
            decided = "look it up in the source and correct it by hand, or waive it"
            draft.unresolved(schema.resolved[relation].table, key, why, decided)
        for relation in sorted(set(wanted["relation"])):
            cells = wanted[wanted["relation"] == relation]
            table, entity = schema.resolved[relation].table, _ENTITY.get(relation)
            judge = _by_imports if entity else _older_than_the_last_run
            keys = judge(look, entity or relation, table, sorted(set(cells["key"])), draft)
            wanted = wanted[(wanted["relation"] != relation) | wanted["key"].isin(keys)]
            changes: dict[str, dict[str, str | None]] = defaultdict(dict)
            for _, _, key, column, value in cells[cells["key"].isin(keys)].itertuples(index=False):
                changes[key][schema.resolved[relation].spelling[column]] = value
            draft.update(table, changes)
        for rule in chosen:
            if keys := sorted(set(wanted.loc[wanted["rule"] == rule.id, "key"])):
                draft.reasons.append(f"Corrects {len(keys):,} of: {rule.title} ({rule.id}).")
                draft.log(
                    POLICY_CORRECTED,
                    rule=rule.id,
                    rules=rules.name,
                    rules_sha256=rules.sha256,
                    records_affected=len(keys),
                    records=keys[:LISTED],
                )
    return draft.plan


_ENTITY = {relation: entity for entity, relation in CONCEPT_OF.items()}


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


def _wanted_by(rule: Check, look: Look, left: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Ask what a rule would correct; what it is in doubt of is left alone."""
    rule.require(look, rule.fix)
    with look.connection.begin_nested():
        _, rows, _ = ask(look.connection, look.canonical, rule.fix, keyed=True)
    if missing := {"table", "column", "value"} - {*rows}:
        raise UsageError(f"The fix of rule {rule.id!r} has no column called {', '.join(sorted(missing))}.")
    cells, doubted = [], set()
    for row in rows.to_dict("records"):
        relation, column = _named(rule, look, str(row["table"]), str(row["column"]))
        if pd.notna(doubt := row.get("doubt")):
            left[relation, str(row["key"])] = str(doubt)
            doubted.add((relation, str(row["key"])))
        value = None if pd.isna(row["value"]) else str(row["value"])
        cells.append((rule.id, relation, str(row["key"]), column, value))
    return pd.DataFrame([cell for cell in cells if cell[1:3] not in doubted], columns=COLUMNS, dtype=object)


def _named(rule: Check, look: Look, table: str, column: str) -> tuple[str, str]:
    """Return a relation and a column by their canonical names; a fix may have either spelling."""
    for relation, known in CONCEPTS.items():
        for name, spellings in known.columns.items() if table in (relation, *known.tables) else ():
            if column in (name, *spellings):
                look.schema.require(f"{relation}.{name}")
                return relation, name
    raise UsageError(f"The fix of rule {rule.id!r} names {table}.{column}, which is no column of a relation.")


def _leave(
    wanted: pd.DataFrame, those: pd.Series, left: dict[tuple[str, str], str], why: str
) -> pd.DataFrame:
    """Leave the records of some cells alone, as far as their rule wants something of them."""
    for record in wanted.loc[those, ["relation", "key"]].itertuples(index=False, name=None):
        left.setdefault(record, why)
    by = ["rule", "relation", "key"]
    gone = pd.MultiIndex.from_frame(wanted.loc[those, by])
    return wanted[~pd.MultiIndex.from_frame(wanted[by]).isin(gone)]


def _uncontradicted(wanted: pd.DataFrame, left: dict[tuple[str, str], str]) -> pd.DataFrame:
    if wanted.empty:
        return wanted
    values = wanted.groupby(["relation", "key", "column"])["value"]
    differ = values.transform(lambda of_cell: of_cell.nunique(dropna=False)) > 1
    for column in sorted(set(wanted.loc[differ, "column"])):
        those = differ[wanted.index] & (wanted["column"] == column)
        wanted = _leave(wanted, those, left, f"two rules want different values of {column}")
    return wanted


def _unbroken(
    wanted: pd.DataFrame, left: dict[tuple[str, str], str], rules: Rules, look: Look, draft: Draft
) -> pd.DataFrame:
    """Ask the rules again as if all were corrected, and leave alone what still breaks one that speaks of it."""
    corrected = {
        relation: _as_corrected(look, relation, wanted[wanted["relation"] == relation])
        for relation in set(wanted["relation"])
    }
    for rule in rules.checks.values():
        words = words_of(rule.sql)
        spoken = wanted[wanted["relation"].isin(words) & wanted["column"].isin(words)]
        if spoken.empty:
            continue
        try:
            rule.require(look, rule.sql)
            with look.connection.begin_nested():
                _, rows, _ = ask(look.connection, look.canonical, rule.sql, keyed=True, instead=corrected)
        except (SchemaGap, NotRunError, UsageError, psycopg.Error) as error:
            draft.note(f"Whether a correction would break rule {rule.id} is not known: {error}")
            continue
        broken = wanted["key"].isin(rows.astype(str).to_numpy().ravel()) & wanted["rule"].isin(spoken["rule"])
        why = f"corrected, it would still break a rule: {rule.title} ({rule.id})"
        wanted = _leave(wanted, broken, left, why)
    return wanted


def _as_corrected(look: Look, relation: str, cells: pd.DataFrame) -> Relation:
    """Return a relation as it would be with some of its cells changed."""
    was, changes = look.canonical.relation(relation), defaultdict[str, dict[str, str | None]](dict)
    for _, _, key, column, value in cells.itertuples(index=False):
        changes[key][column] = value
    columns = (
        f"CASE WHEN jsonb_exists(changes, '{name}') THEN (changes ->> '{name}')::{look.schema.type_of(name)}"
        f' ELSE was."{name}" END AS "{name}"'
        if name in set(cells["column"])
        else f'was."{name}"'
        for name in CONCEPTS[relation].columns
    )
    table = {"key": ("text", [*changes]), "changes": ("jsonb", [*map(json.dumps, changes.values())])}
    corrected = listed(f"corrected_{relation}", table)
    return Relation(
        f"SELECT {', '.join(columns)} FROM ({was.select}) AS was"
        f" LEFT JOIN ({corrected.select}) AS corrected ON corrected.key = was.id::text",
        was.lacking,
        {**was.parameters, **corrected.parameters},
    )


def _by_imports(look: Look, entity: str, table: str, keys: list[str], draft: Draft) -> list[str]:
    authors = last_writers(look.connection, look.schema, look.runs, entity, keys)
    for key in keys:
        if (author := authors.get(key)) is None:
            why = "nothing tells that an import wrote it; it may be people's own"
            draft.unresolved(table, key, why, "the report file of the run that did (--import-report)")
        elif author.by_people:
            draft.keep(table, key, f"{author.touched_since} changed it after run {author.run.run}")
    return [key for key in keys if key in authors and not authors[key].by_people]


def _older_than_the_last_run(
    look: Look, relation: str, table: str, keys: list[str], draft: Draft
) -> list[str]:
    """Judge rows that no import writes by their own time: what was written after the last run is a person's."""
    source = look.schema.source(relation)
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
