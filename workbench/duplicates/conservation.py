"""The proof that nothing is lost: what refers to the records concerned, counted before and after, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from workbench.duplicates.associations import count_associations, leads
from workbench.duplicates.moves import Work
from workbench.errors import WorkbenchError
from workbench.murmurant.references import Reference
from workbench.plans.draft import PlanContext
from workbench.plans.rows import Current


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
    proof: list[dict[str, Any]] = []
    going = {key: row.values for key, row in duplicates.items()}
    for parent, pairs in work.moves.items():
        references = [each for each in context.references.binding(parent) if each.child in work.children]
        concerned = {*pairs, *pairs.values()}
        counted = count_associations(context.connection, context.references, concerned, references)
        for one in references:
            child = work.children[one.child]
            of_it = counted[(counted["child"] == one.child) & (counted["column"] == one.column)]
            before = Counter[str](dict(zip(of_it["id"], of_it["rows"].astype(int), strict=True)))
            gone = going if one.child == work.table else child.gone
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
                numbers = {"before": int(before.total()), "moved": moved.total(), "deleted": deleted.total()}
                why = "; ".join(sorted(child.rules)) or "the record itself is one of the duplicates"
                numbers["after"] = numbers["before"] - numbers["deleted"]
                facts = {"table": one.child, "column": one.column, "to": parent, **numbers}
                proof.append({**facts, "why": why if deleted else ""})
    return sorted(proof, key=lambda one: (one["to"], one["table"], one["column"]))


def _counted(
    reference: Reference, rows: Mapping[str, Mapping[str, str | None]], concerned: Any
) -> Counter[str]:
    """Count rows by the record they refer to."""
    return Counter(
        str(values[reference.column])
        for values in rows.values()
        if values[reference.column] in concerned and leads(reference, values)
    )
