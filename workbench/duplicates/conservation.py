"""The proof that nothing is lost: what refers to the records concerned, counted before and after, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from workbench.duplicates.associations import count_associations
from workbench.duplicates.graph import Work
from workbench.duplicates.moving import speaks_of
from workbench.errors import WorkbenchError
from workbench.murmurant.references import Reference, References
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.current import rows_by_key
from workbench.plans.journal import raw


def prove_conservation(connection: Connection, graph: References, work: Work) -> list[dict[str, Any]]:
    """Count what refers to the records concerned, and hold it against what the plan would move and delete.

    The counts are the database's own, asked anew and not derived from what was read for the plan.

    Returns
    -------
    list of dict
        One for each way to refer to what is merged that is in use: ``table``, ``column``, ``to``; the rows that refer
        to the records concerned ``before``, how many of them are ``moved`` and ``deleted`` (another row stays in their
        place), the rows ``after``; and ``why`` they differ.

    Raises
    ------
    WorkbenchError
        When they do not add up: the plan would lose, or miss, a row. None is written.
    """
    proof: list[dict[str, Any]] = []
    for parent, pairs in work.moves.items():
        references = [one for one in graph.binding(parent) if one.child in work.children]
        concerned = {*pairs, *pairs.values()}
        frame = count_associations(connection, graph.schema, sorted(concerned), references=references)
        counts: dict[tuple[str, str], Counter[str]] = {}
        for key, child, column, rows in frame.itertuples(index=False):
            counts.setdefault((child, column), Counter())[str(key)] = int(rows)
        for one in references:
            counted = counts.get((one.child, one.column), Counter())
            moved, deleted = _planned(connection, graph, work, one, concerned)
            leaving = Counter({key: rows for key, rows in counted.items() if key in pairs})
            planned = moved + Counter({key: rows for key, rows in deleted.items() if key in pairs})
            if leaving != planned:
                raise WorkbenchError(
                    f"The plan does not add up: {leaving.total():,} rows of {one.child} refer to what would go by"
                    f" {one.column}, and the plan moves or deletes {planned.total():,}.",
                    "Nothing was planned. Please report it.",
                )
            if before := counted.total():
                settled = work.settled.get(one.child)
                rules = sorted(settled.rules) if settled else []
                why = "; ".join(rules or ["the record itself is one of the duplicates"])
                going = deleted.total()
                proof.append(
                    {
                        "table": one.child,
                        "column": one.column,
                        "to": parent,
                        "before": before,
                        "moved": moved.total(),
                        "deleted": going,
                        "after": before - going,
                        "why": why if going else "",
                    }
                )
    order = [graph.schema.table_of(entity) for entity in ENTITIES if graph.schema.has(CONCEPT_OF[entity])]

    def rank(table: str) -> int:
        return order.index(table) if table in order else len(order)

    return sorted(proof, key=lambda one: (rank(one["to"]), rank(one["table"]), one["table"], one["column"]))


def in_words(proof: Sequence[dict[str, Any]]) -> list[str]:
    """Say it: a sentence for each table that is referred to, and one for each difference."""
    words = []
    for to in dict.fromkeys(one["to"] for one in proof):
        rows = [one for one in proof if one["to"] == to]
        before, after = (sum(one[name] for one in rows) for name in ("before", "after"))
        same = "as many afterwards" if before == after else f"{after:,} afterwards"
        columns = f"{len(rows):,} column{'s' * (len(rows) > 1)}"
        words.append(f"Conservation: {before:,} rows refer to these rows of {to}, by {columns}; {same}.")
        words += [
            f"Of {one['table']}.{one['column']}, {one['deleted']:,} would be there twice and"
            f" {'go' if one['deleted'] > 1 else 'goes'}: {one['why']}."
            for one in rows
            if one["deleted"]
        ]
    return words or ["Nothing refers to the records concerned."]


def _planned(
    connection: Connection, graph: References, work: Work, reference: Reference, concerned: Collection[str]
) -> tuple[Counter[str], Counter[str]]:
    """Count what the plan moves by one reference, and what it deletes that refers by it, per record referred to."""
    child, pairs = work.children[reference.child], work.moves[reference.parent]
    moved: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    for key, row in child.rows.items():
        old = row.values.get(reference.column)
        if old in pairs and not work.goes(reference.child, key) and speaks_of(reference, row.values):
            (deleted if key in child.dropped else moved)[str(old)] += 1
    if doomed := list(work.moves.get(reference.child, ())):
        names = [name for name in (reference.column, reference.kind_column) if name]
        described = graph.schema.catalogue.tables[reference.child]
        current = rows_by_key(raw(connection), graph.schema.catalogue.schema, described, doomed, names)
        for row in current.values():
            if row.values[reference.column] in concerned and speaks_of(reference, row.values):
                deleted[str(row.values[reference.column])] += 1
    return moved, deleted
