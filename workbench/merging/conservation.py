"""The proof that nothing is lost: what refers to the people concerned, counted before and after, column by column."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.associations import count_associations
from workbench.errors import WorkbenchError
from workbench.merging.graph import Work
from workbench.merging.moving import speaks_of
from workbench.murmurant.references import Reference, References
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.current import rows_by_key
from workbench.plans.journal import raw


@dataclass(frozen=True)
class Conserved:
    """One way to refer to what is merged.

    Attributes
    ----------
    table, column : str
        The rows that refer, and by which column.
    to : str
        The table they refer to.
    before : int
        Rows that refer to the records concerned, those that go and those that stay.
    moved : int
        Of these, how many refer to another record afterwards.
    deleted : int
        How many go, because another row stays in their place.
    after : int
        Rows that refer to the records that stay.
    why : str
        What explains a difference.
    """

    table: str
    column: str
    to: str
    before: int
    moved: int
    deleted: int
    after: int
    why: str = ""

    def as_fact(self) -> dict[str, Any]:
        """Return it as a plan's header has it."""
        return asdict(self)


def prove_conservation(connection: Connection, graph: References, work: Work) -> list[Conserved]:
    """Count what refers to the records concerned, and hold it against what the plan would move and delete.

    The counts are the database's own, asked anew and not derived from what was read for the plan.

    Raises
    ------
    WorkbenchError
        When they do not add up: the plan would lose, or miss, a row. None is written.
    """
    found: list[Conserved] = []
    for parent, pairs in work.moves.items():
        references = [each for each in graph.binding(parent) if each.child in work.children]
        people = sorted({*pairs, *pairs.values()})
        everything = count_associations(connection, graph.schema, people, references=references)
        gone = set(pairs)
        for each in references:
            counted = everything[(everything["child"] == each.child) & (everything["column"] == each.column)]
            before, leaving = int(counted["rows"].sum()), int(counted[counted["id"].isin(gone)]["rows"].sum())
            moved, deleted = _planned(connection, graph, work, each, people)
            planned = sum(moved.values()) + sum(deleted[key] for key in gone if key in deleted)
            per_record = _by_record(counted[counted["id"].isin(gone)])
            if leaving != planned or per_record != _together(moved, deleted, gone):
                raise WorkbenchError(
                    f"The plan does not add up: {leaving:,} rows of {each.child} refer to what would go by {each.column},"
                    f" and the plan moves or deletes {planned:,}.",
                    "Nothing was planned. Please report it.",
                )
            going = sum(deleted.values())
            if before:
                why = "; ".join(_reasons(work, each.child)) if going else ""
                found.append(
                    Conserved(
                        *(
                            each.child,
                            each.column,
                            parent,
                            before,
                            sum(moved.values()),
                            going,
                            before - going,
                            why,
                        )
                    )
                )
    return sorted(
        found, key=lambda each: (_rank(graph, each.to), _rank(graph, each.table), each.table, each.column)
    )


def in_words(found: list[Conserved]) -> list[str]:
    """Say it: a sentence for each table that is referred to, and one for each difference."""
    told = []
    for to in dict.fromkeys(each.to for each in found):
        rows = [each for each in found if each.to == to]
        before, after = sum(each.before for each in rows), sum(each.after for each in rows)
        counted = (
            f"{before:,} rows refer to these rows of {to}, by {len(rows):,} column{'s' * (len(rows) > 1)}"
        )
        same = "as many afterwards" if before == after else f"{after:,} afterwards"
        told.append(f"Conservation: {counted}; {same}.")
        told += [
            f"Of {each.table}.{each.column}, {each.deleted:,} would be there twice and {'go' if each.deleted > 1 else 'goes'}: {each.why}."
            for each in rows
            if each.deleted
        ]
    return told or ["Nothing refers to the records concerned."]


def _planned(
    connection: Connection, graph: References, work: Work, each: Reference, people: list[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Count what the plan moves by one reference, and what it deletes that refers by it, per record referred to."""
    child, pairs = work.children[each.child], work.moves[each.parent]
    moved: dict[str, int] = {}
    deleted: dict[str, int] = {}
    for key, row in child.rows.items():
        old = row.values.get(each.column)
        if old in pairs and not work.goes(each.child, key) and speaks_of(each, row.values):
            counts = deleted if key in child.dropped else moved
            counts[str(old)] = counts.get(str(old), 0) + 1
    doomed = list(work.moves.get(each.child, ()))
    if doomed:
        names = [name for name in (each.column, each.kind_column) if name]
        described = graph.schema.catalogue.tables[each.child]
        current = rows_by_key(raw(connection), graph.schema.catalogue.schema, described, doomed, names)
        known = set(people)
        for going in current.values():
            if going.values[each.column] in known and speaks_of(each, going.values):
                name = str(going.values[each.column])
                deleted[name] = deleted.get(name, 0) + 1
    return moved, deleted


def _by_record(counted: pd.DataFrame) -> dict[str, int]:
    return {str(key): int(rows) for key, rows in zip(counted["id"], counted["rows"], strict=True)}


def _together(moved: dict[str, int], deleted: dict[str, int], gone: set[str]) -> dict[str, int]:
    keys = moved.keys() | (deleted.keys() & gone)
    return {key: moved.get(key, 0) + deleted.get(key, 0) for key in keys}


def _reasons(work: Work, table: str) -> list[str]:
    settled = work.settled.get(table)
    return (
        sorted(settled.rules) if settled and settled.rules else ["the record itself is one of the duplicates"]
    )


def _rank(graph: References, table: str) -> int:
    known = [graph.schema.table_of(each) for each in ENTITIES if graph.schema.has(CONCEPT_OF[each])]
    return known.index(table) if table in known else len(known)
