"""What a plan of merges says in words, in facts and in the audit log; no value of a person among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from workbench.merging.conservation import Conserved, in_words
from workbench.merging.graph import Work
from workbench.merging.request import Merge
from workbench.merging.survivorship import Survival
from workbench.murmurant.importers import MAPPING_CORRECTED, MERGED
from workbench.murmurant.schema import Schema
from workbench.plans.current import rows_by_key

TOLD = 10
"""Merges told one by one; of more, the numbers are told, and the header's parameters have each."""


def reason_of(entity: str, merges: Sequence[Merge]) -> tuple[str, ...]:
    """Say what the plan is for."""
    count = sum(len(each.duplicates) for each in merges)
    noun = entity.lower()
    many = f"{count:,} duplicate {noun}{'s' * (count > 1)}"
    if len(merges) == 1:
        one = merges[0]
        because = f": {one.reason}" if one.reason else ""
        return (
            f"Merges {many} ({', '.join(one.duplicates[:5])}{', ...' * (count > 5)}) into {one.canonical}{because}.",
        )
    return (f"Merges {many} into {len(merges):,}.",)


def facts_of(merge: Merge, survival: Survival, leading: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return one merge as the header's parameters have it; `leading` are the WA ids that lead to each record."""
    records = (merge.canonical, *merge.duplicates)
    return {
        "wa_ids": {each: leading[each] for each in records if each in leading},
        "canonical": merge.canonical,
        "duplicates": list(merge.duplicates),
        "chosen_by": merge.chosen_by,
        "reason": merge.reason or None,
        "fields": {each.column: {"from": each.source, "rule": each.rule} for each in survival.taken},
        "given_up": dict(sorted(survival.given_up.items())),
    }


def next_sync(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what the next sync will do to merged records that several WA ids lead to, and how to prevent it.

    Parameters
    ----------
    parameters : mapping
        Of a merge plan's header.
    """
    noun, remedy = _IN_WILD_APRICOT[parameters["entity"]]
    told = []
    for merge in parameters["merges"]:
        canonical, leading = merge["canonical"], merge.get("wa_ids", {})
        own = leading.get(canonical, [])
        ids = [*own, *(each for key in merge["duplicates"] for each in leading.get(key, []))]
        if len(ids) > 1:
            first, rest = ids[0], _and(ids[1:])
            told.append(
                f"Wild Apricot {noun}s {_and(ids)} {'both' if len(ids) == 2 else 'all'} lead to {canonical}: the next full sync writes each of them into"
                f" it, and the values of the last one stay. Before that, in Wild Apricot: {remedy.format(first, rest)}."
            )
    more = [f"The same of {len(told) - TOLD:,} more: `show PLAN --json` has the ids of each, under merges."]
    return (*told[:TOLD], *(more if len(told) > TOLD else []))


_IN_WILD_APRICOT = {
    "Member": ("contact", "merge contact {1} into {0}, or archive {1}"),
    "Event": ("event", "move what is still booked on event {1} to {0}, and delete {1}"),
    "Registration": ("registration", "cancel registration {1}"),
}


def _and(ids: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(ids[:-1]), *ids[-1:]]))


def notes_of(
    schema: Schema,
    merges: Sequence[Merge],
    survivals: Mapping[str, Survival],
    conserved: list[Conserved],
) -> tuple[str, ...]:
    """Say what whoever approves it should know: the proof, whose values stay, what is not touched."""
    told = in_words(conserved)
    told += list(_one_by_one(merges, survivals) if len(merges) <= TOLD else _in_numbers(merges, survivals))
    audit = schema.resolved.get("audit")
    if audit is not None and "resource_id" in audit.spelling:
        told.append(
            f"{audit.table}.{audit.spelling['resource_id']} is history and stays: it names the duplicates by their old ids."
        )
    return tuple(told)


def audit_entries(
    connection: psycopg.Connection[Any], schema: Schema, entity: str, merges: Sequence[Merge], work: Work
) -> tuple[dict[str, Any], ...]:
    """Return the audit entries of the apply: one for each merge, and guide §4.2's for each mapping that moves."""
    moved, deleted = _counts(work)
    entries = [
        {
            "action": MERGED,
            "metadata": {
                "entity": entity,
                "canonical": merge.canonical,
                "duplicates": list(merge.duplicates),
                "records_moved": moved[merge.canonical],
                "records_deleted": deleted[merge.canonical] + len(merge.duplicates),
            },
        }
        for merge in merges
    ]
    return (*entries, *_corrected(connection, schema, work))


def _corrected(connection: psycopg.Connection[Any], schema: Schema, work: Work) -> Iterator[dict[str, Any]]:
    found = schema.resolved.get("mappings")
    child = work.children.get(found.table) if found else None
    if found is None or child is None or not child.rows:
        return
    wa_id, kind = found.spelling["wa_id"], found.spelling["entity_type"]
    target = found.spelling["target"]
    current = rows_by_key(connection, schema.catalogue.schema, child.described, child.rows, [wa_id, kind])
    for key, row in child.rows.items():
        new = child.after(row.values, work.moves).get(target)
        if new is not None and not work.goes(child.table, key):
            yield {
                "action": MAPPING_CORRECTED,
                "metadata": {
                    "waId": current[key].values[wa_id],
                    "entityType": current[key].values[kind],
                    "oldMurmurantId": row.values[target],
                    "newMurmurantId": new,
                },
            }


def _counts(work: Work) -> tuple[Counter[str], Counter[str]]:
    """Count the rows that each merge moves, and those it deletes besides the duplicates, by its canonical record."""
    moved: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    for table, child in work.children.items():
        for key in child.rows:
            if not work.goes(table, key):
                (deleted if key in child.dropped else moved).update(work.belongs_to(child, key))
    for table, losers in list(work.moves.items())[1:]:
        for key in losers:
            deleted.update(work.origin.get((table, key), ()))
    return moved, deleted


def _one_by_one(merges: Sequence[Merge], survivals: Mapping[str, Survival]) -> Iterator[str]:
    for merge in merges:
        survival = survivals[merge.canonical]
        if merge.chosen_by != "named":
            yield f"{merge.canonical} stays by {merge.chosen_by}."
        by_source: dict[tuple[str, str], list[str]] = {}
        for each in survival.taken:
            by_source.setdefault((each.source, each.rule), []).append(each.column)
        for (source, rule), columns in by_source.items():
            yield f"{merge.canonical} takes {', '.join(columns)} from {source} (rule: {rule})."
        lost: dict[str, list[str]] = {}
        for column, rule in survival.given_up.items():
            lost.setdefault(rule, []).append(column)
        for rule, columns in lost.items():
            yield (
                f"Of {', '.join(columns)} the records of {merge.canonical} have more than one value; one stays"
                f" (rule: {rule}), the others go."
            )


def _in_numbers(merges: Sequence[Merge], survivals: Mapping[str, Survival]) -> Iterator[str]:
    chosen = Counter(each.chosen_by.split(" (")[0] for each in merges)
    yield (
        "The records that stay: "
        + ", ".join(f"{count:,} by {by}" for by, count in sorted(chosen.items()))
        + "."
    )
    taken = Counter((each.column, each.rule) for merge in merges for each in survivals[merge.canonical].taken)
    for (column, rule), count in sorted(taken.items()):
        yield f"{column} comes from a duplicate in {count:,} merges (rule: {rule})."
    lost = Counter(
        (column, rule) for merge in merges for column, rule in survivals[merge.canonical].given_up.items()
    )
    for (column, rule), count in sorted(lost.items()):
        yield f"{column} has more than one value in {count:,} merges; one stays (rule: {rule}), the others go."
