"""``wb.policies``: check the organisation's own rules, and plan the corrections they describe (guide §1.5).

A rule's fix is a SELECT of ``table``, ``key``, ``column`` and ``value``, one row for each cell, with a ``doubt`` where the
correction is not obvious. Rows stay and are listed if a person changed them after the import, if no import is known to
have written them, or if the corrected row would still break a rule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psycopg
from sqlalchemy import select

from workbench.answer import Answer, findings_answer
from workbench.checks import Check, Look
from workbench.checks.finding import SAMPLE
from workbench.checks.look import NotRunError
from workbench.checks.registry import Rules, Waivers, read_rules, run_rules
from workbench.covering import answering
from workbench.errors import SchemaGap, UsageError
from workbench.murmurant.canonical import ask, listed, words_of
from workbench.murmurant.importers import POLICY_CORRECTED
from workbench.murmurant.schema import Relation, as_text
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS
from workbench.plans.draft import Draft
from workbench.plans.plan import Plan
from workbench.runs.evidence import TOLERANCE, last_writers
from workbench.session import Session

LISTED = 100
"""The most records that an audit entry lists; the journal has all of them."""

COLUMNS = ["rule", "relation", "key", "column", "value"]
"""The value that a rule wants in a cell, by canonical names."""

_UNKNOWN = "it is not known whether an import wrote it last; it may be people's own"
_DECIDED_BY = "look it up in the source and correct it by hand, or waive it"
_ENTITY = {relation: entity for entity, relation in CONCEPT_OF.items()}

Left = dict[tuple[str, str], str]
"""Rows that stay, by relation and key, and why."""


class Policies:
    """The organisation's rules: ``wb.policies()`` checks them."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(
        self,
        rules: str | Path | None = None,
        ids: Sequence[str] = (),
        waive: Waivers = (),
        sample: int = SAMPLE,
    ) -> Answer:
        """Check the rules on one state of the database.

        Parameters
        ----------
        rules : path, optional
            A folder of rules; by default the environment's own, or else the starter set.
        ids : sequence of str
            Only these rules.
        waive : mapping of str to str, or sequence of ``rule=reason``
            Accepted findings: rule and reason.
        sample : int
            The most rows that a finding lists.
        """
        chosen = self.rules(rules)
        with self.wb.reading() as connection:
            look = replace(self.wb.look(connection), sample=sample)
            findings = run_rules(look, chosen, ids, waive, by=self.wb.settings.operator)
        facts = {"rules": chosen.name, "environment": vars(self.wb.environment), "dialect": self.wb.dialect}
        name = f"Rules: {chosen.name}."
        return findings_answer(
            findings, facts=facts, asked_by="policies", report="policies", by_name=bool(ids), headline=name
        )

    def rules(self, rules: str | Path | None = None) -> Rules:
        """Read the rules of a folder; by default the environment's own, or else the starter set."""
        return read_rules(Path(rules) if rules else self.wb.options.policies)

    def plan(self, ids: Sequence[str] = (), *, rules: str | Path | None = None) -> Plan:
        """Plan the corrections that rules describe; writes only a plan file.

        Parameters
        ----------
        ids : sequence of str
            Only by these rules; by default by all that have a fix.
        rules : path, optional
            A folder of rules; by default the environment's own.

        Raises
        ------
        UsageError
            For a rule that does not exist, has no fix, or one that cannot be read.
        Refused
            When there is nothing that can be corrected.
        """
        every, schema = self.rules(rules), self.wb.schema
        chosen = every.choose(list(ids))
        correcting = [rule for rule in chosen if rule.fix]
        if not correcting or (ids and len(correcting) < len(chosen)):
            without = ", ".join(rule.id for rule in chosen if not rule.fix)
            raise UsageError(
                f"These rules of {every.name} have no fix: {without}.",
                "Add a line `-- fix` and a SELECT of table, key, column and value to a rule of your own;"
                " `workbench policies --starter FOLDER` saves examples.",
            )
        names = [rule.id for rule in correcting]
        with (
            self.wb.planning() as context,
            Draft(
                context,
                "policies",
                parameters={"rules": every.name, "chosen": names},
                evidence=[f"rules {every.name}, SHA-256 {every.sha256}"],
                nothing=f"There is nothing to correct by {', '.join(names)}",
            ) as draft,
        ):
            look = self.wb.look(context.connection)
            if live := sum(run.mode == "live" for run in look.runs):
                draft.evidence.append(f"the traces of {live:,} import runs, to tell their work from people's")
            left: Left = {}
            frames = [pd.DataFrame(columns=COLUMNS)]
            for rule in correcting:
                try:
                    frames.append(_wanted_by(rule, look, left))
                except (SchemaGap, NotRunError, psycopg.Error) as error:
                    draft.note(f"Rule {rule.id} could not be checked: {error}")
            wanted = pd.concat(frames, ignore_index=True)
            values = wanted.groupby(["relation", "key", "column"])["value"].transform("nunique", dropna=False)
            wanted = _leave(wanted, values > 1, left, "two rules want different values")
            wanted = _without_broken(wanted, left, every, look, draft)
            for (relation, key), why in sorted(left.items()):
                draft.unresolved(schema.resolved[relation].table, key, why, _DECIDED_BY)
            for relation in sorted(set(wanted["relation"])):
                table, cells = schema.resolved[relation].table, wanted["relation"] == relation
                keys = sorted(set(wanted.loc[cells, "key"]))
                changed = _changed_since(look, relation, keys)
                for key in keys:
                    if key not in changed:
                        draft.unresolved(table, key, _UNKNOWN, "the run's report file (--import-report)")
                    elif changed[key]:
                        draft.keep(table, key, changed[key])
                wanted = wanted[~cells | wanted["key"].map(changed).eq("")]
                of_table = wanted[wanted["relation"] == relation]
                draft.update(table, _by_key(of_table.replace({"column": schema.resolved[relation].spelling})))
            for rule in correcting:
                if keys := sorted(set(wanted.loc[wanted["rule"] == rule.id, "key"])):
                    draft.reasons.append(f"Corrects {len(keys):,} of: {rule.title} ({rule.id}).")
                    facts = {
                        "rules_sha256": every.sha256,
                        "records_affected": len(keys),
                        "records": keys[:LISTED],
                    }
                    draft.log(POLICY_CORRECTED, rule=rule.id, rules=every.name, **facts)
        return draft.plan


def _wanted_by(rule: Check, look: Look, left: Left) -> pd.DataFrame:
    """Run a rule's fix; rows with a doubt stay."""
    rule.require(look, rule.fix)
    with look.connection.begin_nested():
        _, rows, _ = ask(look.connection, look.canonical, rule.fix, keyed=True)
    if missing := {"table", "column", "value"} - {*rows}:
        raise UsageError(f"The fix of rule {rule.id!r} has no column called {', '.join(sorted(missing))}.")
    cells, doubts = [], Left()
    for row in rows.to_dict("records"):
        relation, column = _named(rule, look, str(row["table"]), str(row["column"]))
        value = None if pd.isna(row["value"]) else str(row["value"])
        cells.append((rule.id, relation, str(row["key"]), column, value))
        if pd.notna(doubt := row.get("doubt")):
            doubts[relation, str(row["key"])] = str(doubt)
    left |= doubts
    return pd.DataFrame([cell for cell in cells if cell[1:3] not in doubts], columns=COLUMNS, dtype=object)


def _named(rule: Check, look: Look, table: str, column: str) -> tuple[str, str]:
    """Return the canonical names of a relation and a column, which a fix may spell as the database does."""
    for relation, known in CONCEPTS.items():
        for name, spellings in known.columns.items() if table in (relation, *known.tables) else ():
            if column in (name, *spellings):
                look.schema.require(f"{relation}.{name}")
                return relation, name
    raise UsageError(
        f"The fix of rule {rule.id!r} names {table}.{column}, which is not a column of a relation."
    )


def _leave(wanted: pd.DataFrame, those: pd.Series, left: Left, why: str) -> pd.DataFrame:
    """Let rows stay as far as the rules of some cells are concerned; return the other cells."""
    for row in wanted.loc[those, ["relation", "key"]].itertuples(index=False, name=None):
        left.setdefault(row, why)
    by = ["rule", "relation", "key"]
    gone = pd.MultiIndex.from_frame(wanted.loc[those, by])
    return wanted[~pd.MultiIndex.from_frame(wanted[by]).isin(gone)]


def _without_broken(wanted: pd.DataFrame, left: Left, rules: Rules, look: Look, draft: Draft) -> pd.DataFrame:
    """Run the rules on the corrected relations; rows stay that would still break a rule about the same columns."""
    corrected = {
        str(relation): _as_corrected(look, str(relation), cells)
        for relation, cells in wanted.groupby("relation")
    }
    for rule in rules.checks.values():
        words = words_of(rule.sql)
        named = wanted[wanted["relation"].isin(words) & wanted["column"].isin(words)]
        if named.empty:
            continue
        try:
            rule.require(look, rule.sql)
            with look.connection.begin_nested():
                _, rows, _ = ask(look.connection, look.canonical, rule.sql, keyed=True, instead=corrected)
        except (SchemaGap, NotRunError, UsageError, psycopg.Error) as error:
            draft.note(f"Rule {rule.id} could not be checked after the corrections: {error}")
            continue
        broken = wanted["key"].isin(rows.astype(str).to_numpy().ravel()) & wanted["rule"].isin(named["rule"])
        wanted = _leave(wanted, broken, left, f"would still break a rule: {rule.title} ({rule.id})")
    return wanted


def _by_key(cells: pd.DataFrame) -> dict[str, dict[str, str | None]]:
    rows = cells.groupby("key")[["column", "value"]]
    return {str(key): dict(row.itertuples(index=False, name=None)) for key, row in rows}


def _as_corrected(look: Look, relation: str, cells: pd.DataFrame) -> Relation:
    """Return a relation with some of its cells changed."""
    was, changes = look.canonical.relation(relation), _by_key(cells)
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


def _changed_since(look: Look, relation: str, keys: list[str]) -> dict[str, str]:
    """Return who changed rows after the import, empty for nobody; rows for which that is unknown are missing."""
    if relation in _ENTITY:
        authors = last_writers(look.connection, look.schema, look.runs, _ENTITY[relation], keys)
        return {
            key: f"{author.touched_since} changed it after run {author.run.run}" if author.by_people else ""
            for key, author in authors.items()
        }
    source = look.schema.source(relation)
    if look.as_of is None or "updated_at" not in source.c:
        return {}
    written = select(as_text(source.c.id)).where(source.c.updated_at > look.as_of + TOLERANCE)
    late = {str(key) for (key,) in look.connection.execute(written)}
    return {key: "somebody changed it after the last import" if key in late else "" for key in keys}
