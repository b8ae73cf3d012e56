"""The proof that nothing is lost: what refers to the records concerned, counted before and after, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.duplicates.associations import count_associations, leads
from workbench.duplicates.moves import Child, Work
from workbench.errors import WorkbenchError
from workbench.murmurant.references import Reference
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.current import Current
from workbench.plans.draft import PlanContext


def prove_conservation(
    context: PlanContext, work: Work, duplicates: Mapping[str, Current]
) -> list[dict[str, Any]]:
    """Count what refers to the records concerned, and hold it against what the plan would move and delete.

    The counts are the database's own, asked anew and not derived from what was read for the plan.

    Parameters
    ----------
    duplicates : mapping of str to Current
        The records that go.

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
    schema, proof = context.schema, list[dict[str, Any]]()
    for parent, pairs in work.moves.items():
        references = [each for each in context.references.binding(parent) if each.child in work.children]
        concerned = {*pairs, *pairs.values()}
        counted = count_associations(context.connection, context.references, concerned, references)
        for one in references:
            child = work.children[one.child]
            of_it = counted[(counted["child"] == one.child) & (counted["column"] == one.column)]
            before = Counter(
                {str(key): int(count) for key, count in zip(of_it["id"], of_it["rows"], strict=True)}
            )
            gone = (
                {key: row.values for key, row in duplicates.items()}
                if one.child == work.table
                else child.gone
            )
            deleted = _counted(one, gone, concerned)
            moved = _counted(one, {k: r.values for k, r in child.rows.items() if k not in gone}, pairs)
            leaving = Counter({key: count for key, count in before.items() if key in pairs})
            planned = moved + Counter({key: count for key, count in deleted.items() if key in pairs})
            if leaving != planned:
                raise WorkbenchError(
                    f"The plan does not add up: {leaving.total():,} rows of {one.child} refer to what would go by"
                    f" {one.column}, and the plan moves or deletes {planned.total():,}.",
                    "Nothing was planned. Please report it.",
                )
            if before:
                proof.append(_proved(one, child, before.total(), moved.total(), deleted.total()))
    order = [schema.table_of(entity) for entity in ENTITIES if schema.has(CONCEPT_OF[entity])]

    def rank(table: str) -> int:
        return order.index(table) if table in order else len(order)

    return sorted(proof, key=lambda one: (rank(one["to"]), rank(one["table"]), one["table"], one["column"]))


def _counted(
    reference: Reference, rows: Mapping[str, Mapping[str, str | None]], concerned: Any
) -> Counter[str]:
    """Count rows by the record they refer to."""
    return Counter(
        str(values[reference.column])
        for values in rows.values()
        if values[reference.column] in concerned and leads(reference, values)
    )


def _proved(one: Reference, child: Child, before: int, moved: int, deleted: int) -> dict[str, Any]:
    why = "; ".join(sorted(child.rules)) or "the record itself is one of the duplicates"
    counts = {"before": before, "moved": moved, "deleted": deleted, "after": before - deleted}
    return {
        "table": one.child,
        "column": one.column,
        "to": one.parent,
        **counts,
        "why": why if deleted else "",
    }


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
