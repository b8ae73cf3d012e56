"""Plan merges: duplicates go, everything that refers to them moves to the record that stays (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.duplicates.collisions import Blocked
from workbench.duplicates.conservation import in_words, prove_conservation
from workbench.duplicates.graph import Work, blocked_merges, work_out
from workbench.duplicates.request import Merge, MergeRequest, are_uuids, merges_of
from workbench.duplicates.survivorship import Survival, fields_of, refuse_strange_hands, survive
from workbench.errors import Refused, UsageError, unknown
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import MAPPING_CORRECTED, MERGED
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITIES, REGISTRATION
from workbench.plans.current import Current, current_rows, rows_by_key
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan

TOLD = 10
"""Merges told one by one; of more, the numbers are told, and the header's parameters have each."""

_IN_WILD_APRICOT = {
    "Member": ("contact", "merge contact {1} into {0}, or archive {1}"),
    "Event": ("event", "move what is still booked on event {1} to {0}, and delete {1}"),
    "Registration": ("registration", "cancel registration {1}"),
}


def plan_merges(context: PlanContext, request: MergeRequest) -> Plan:
    """Plan to merge duplicates, all of them in one plan.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    Refused
        For a merge that no rule can decide, with the rows and what to do.
    """
    connection, schema, graph = context.connection, context.schema, context.references
    entity = request.entity
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    table = schema.table_of(entity)
    wishes = request.wishes.checked(fields_of(schema, entity), are_uuids(schema, entity))
    merges = merges_of(connection, schema, request)
    refuse_strange_hands(merges, wishes)
    ids = sorted({record for merge in merges for record in merge.records})
    records = dict(current_rows(context.raw, schema.catalogue, table, ids))
    if entity == REGISTRATION:
        _refuse_different_guests(schema, merges, records)
    with Draft(context, "merge") as draft:
        work = work_out(context.raw, graph, table, merges, wishes.keep)
        while blocked := blocked_merges(work, graph, merges):
            if not wishes.skip_blocked or len(blocked) == len(merges):
                raise _blocked(blocked, len(merges), wishes.skip_blocked)
            for merge in merges:
                for one in blocked.get(merge.canonical, ()):
                    reason = (
                        f"not merged into {merge.canonical}: {one.table} {', '.join(one.keys)}: {one.reason}"
                    )
                    for duplicate in merge.duplicates:
                        draft.unresolved(table, duplicate, reason, one.remedy)
            merges = [merge for merge in merges if merge.canonical not in blocked]
            work = work_out(context.raw, graph, table, merges, wishes.keep)
        if idle := sorted(wishes.keep - {key for one in work.settled.values() for key in one.kept_by_hand}):
            raise UsageError(
                f"The row {idle[0]} is named to stay (--keep), but it collides with no other.",
                "Leave it out; it stays anyway.",
            )
        survivals = {merge.canonical: survive(schema, entity, merge, records, wishes) for merge in merges}
        proof = prove_conservation(connection, graph, work)
        leading: dict[str, set[str]] = {}
        for row in (
            mapping_rows(connection, schema, records=records, entity=entity) if schema.has(*NEEDS) else ()
        ):
            leading.setdefault(row.target, set()).add(row.wa_id)
        draft.parameters |= {
            "entity": entity,
            "file": request.file or None,
            **wishes.parameters(),
            "merges": [_facts(merge, survivals[merge.canonical], leading) for merge in merges],
            "conservation": proof,
        }
        draft.reasons.append(_reason(entity, merges))
        draft.evidence += _evidence(request, merges)
        draft.notes += [*in_words(proof), *_notes(schema, merges, survivals), *next_sync(draft.parameters)]
        draft.audit += [*_audit_entries(entity, merges, work), *_corrections(context, work)]
        _write_changes(draft, work)
        for key in sorted(survivals):
            changes = {name: new for name, (_, new) in survivals[key].values.items()}
            draft.update(table, key, changes, row=records[key])
    return draft.plan


def _write_changes(draft: Draft, work: Work) -> None:
    """Delete what goes, and lead away from it what refers to it."""
    for table, losers in work.moves.items():
        draft.delete(table, losers)
    for table, child in sorted(work.children.items()):
        for key, row in child.rows.items():
            after = child.after(row.values, work.moves)
            if child.rewritten:
                draft.rewrite(table, row, {} if key in child.dropped else after)
            elif not work.goes(table, key):
                draft.update(table, key, after, row=row)


def _refuse_different_guests(schema: Schema, merges: Sequence[Merge], records: Mapping[str, Current]) -> None:
    spelling = schema.resolved["registrations"].spelling
    names = [spelling[name] for name in ("event_id", "member_id") if name in spelling]
    for merge in merges:
        if len({tuple(records[key].values[name] for name in names) for key in merge.records}) > 1:
            raise Refused(
                f"Registration {merge.canonical} and {', '.join(merge.duplicates)} are not of one member for one event,"
                " so they are not the same registration.",
                "Merge the members, or the events: their registrations are settled with them.",
            )


def _blocked(blocked: Mapping[str, Sequence[Blocked]], count: int, skipping: bool) -> Refused:
    lines = [
        f"into {canonical}: {one.table} {', '.join(one.keys)}: {one.reason}. {one.remedy}."
        for canonical, reasons in sorted(blocked.items())
        for one in reasons
    ]
    ours = "This merge" if count == 1 else f"{len(blocked):,} of {count:,} merges"
    way = "Leave a record out with --except ID"
    if count > 1 and not skipping:
        way += ", or plan the other merges with --skip-blocked"
    return Refused(
        "\n  ".join([f"{ours} cannot be decided by any rule:", *lines]), f"{way}. Nothing was planned."
    )


def _evidence(request: MergeRequest, merges: Sequence[Merge]) -> list[str]:
    evidence = [f"the list {request.file}, SHA-256 {request.sha256}"] if request.file else []
    if len(merges) < 6:
        evidence += sorted({f"reason given: {merge.reason}" for merge in merges if merge.reason})
    return evidence or ["the word of whoever asked for it"]


def _reason(entity: str, merges: Sequence[Merge]) -> str:
    duplicates = [key for merge in merges for key in merge.duplicates]
    count = len(duplicates)
    many = f"{count:,} duplicate {entity.lower()}{'s' * (count > 1)}"
    if len(merges) > 1:
        return f"Merges {many} into {len(merges):,}."
    because = f": {merges[0].reason}" if merges[0].reason else ""
    named = f"{', '.join(duplicates[:5])}{', ...' * (count > 5)}"
    return f"Merges {many} ({named}) into {merges[0].canonical}{because}."


def _facts(merge: Merge, survival: Survival, leading: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return one merge as the header's parameters have it; `leading` are the WA ids that lead to each record."""
    return {
        "wa_ids": {key: sorted(leading[key]) for key in merge.records if key in leading},
        "canonical": merge.canonical,
        "duplicates": list(merge.duplicates),
        "chosen_by": merge.chosen_by,
        "reason": merge.reason or None,
        "fields": {one.column: {"from": one.source, "rule": one.rule} for one in survival.taken},
        "given_up": dict(sorted(survival.given_up.items())),
    }


def next_sync(parameters: Mapping[str, Any]) -> list[str]:
    """Say what the next sync will do to merged records that several WA ids lead to, and how to prevent it.

    Parameters
    ----------
    parameters : mapping
        Of a merge plan's header.
    """
    noun, remedy = _IN_WILD_APRICOT[parameters["entity"]]
    words = []
    for merge in parameters["merges"]:
        canonical, leading = merge["canonical"], merge.get("wa_ids", {})
        ids = [wa_id for key in (canonical, *merge["duplicates"]) for wa_id in leading.get(key, [])]
        if len(ids) > 1:
            what = remedy.format(ids[0], _and(ids[1:]))
            words.append(
                f"Wild Apricot {noun}s {_and(ids)} {'both' if len(ids) == 2 else 'all'} lead to {canonical}: the next full"
                f" sync writes each of them into it, and the values of the last one stay. Before that, in Wild Apricot: {what}."
            )
    if len(words) > TOLD:
        more = (
            f"The same of {len(words) - TOLD:,} more: `show PLAN --json` has the ids of each, under merges."
        )
        return [*words[:TOLD], more]
    return words


def _and(ids: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(ids[:-1]), *ids[-1:]]))


def _notes(schema: Schema, merges: Sequence[Merge], survivals: Mapping[str, Survival]) -> Iterator[str]:
    """Say what whoever approves it should know: whose values stay, and what is not touched."""
    yield from _one_by_one(merges, survivals) if len(merges) <= TOLD else _in_numbers(merges, survivals)
    audit = schema.resolved.get("audit")
    if audit is not None and "resource_id" in audit.spelling:
        column = f"{audit.table}.{audit.spelling['resource_id']}"
        yield f"{column} is history and stays: it names the duplicates by their old ids."


def _one_by_one(merges: Sequence[Merge], survivals: Mapping[str, Survival]) -> Iterator[str]:
    for merge in merges:
        survival = survivals[merge.canonical]
        if merge.chosen_by != "named":
            yield f"{merge.canonical} stays by {merge.chosen_by}."
        taken: dict[tuple[str, str], list[str]] = {}
        for one in survival.taken:
            taken.setdefault((one.source, one.rule), []).append(one.column)
        for (source, rule), columns in taken.items():
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
    chosen = Counter(merge.chosen_by.split(" (")[0] for merge in merges)
    yield f"The records that stay: {', '.join(f'{count:,} by {by}' for by, count in sorted(chosen.items()))}."
    taken = Counter((one.column, one.rule) for survival in survivals.values() for one in survival.taken)
    for (column, rule), count in sorted(taken.items()):
        yield f"{column} comes from a duplicate in {count:,} merges (rule: {rule})."
    lost = Counter(pair for survival in survivals.values() for pair in survival.given_up.items())
    for (column, rule), count in sorted(lost.items()):
        yield f"{column} has more than one value in {count:,} merges; one stays (rule: {rule}), the others go."


def _audit_entries(entity: str, merges: Sequence[Merge], work: Work) -> Iterator[dict[str, Any]]:
    """Yield the audit entry of each merge, with the rows that it moves, and those it deletes."""
    moved: Counter[str] = Counter()
    deleted: Counter[str] = Counter()
    for table, child in work.children.items():
        for key in child.rows:
            if not work.goes(table, key):
                (deleted if key in child.dropped else moved).update(work.belongs_to(child, key))
    for table, losers in list(work.moves.items())[1:]:
        for key in losers:
            deleted.update(work.origin.get((table, key), ()))
    for merge in merges:
        yield {
            "action": MERGED,
            "metadata": {
                "entity": entity,
                "canonical": merge.canonical,
                "duplicates": list(merge.duplicates),
                "records_moved": moved[merge.canonical],
                "records_deleted": deleted[merge.canonical] + len(merge.duplicates),
            },
        }


def _corrections(context: PlanContext, work: Work) -> Iterator[dict[str, Any]]:
    """Yield guide §4.2's audit entry for each mapping that moves."""
    mappings = context.schema.resolved.get("mappings")
    child = work.children.get(mappings.table) if mappings else None
    if mappings is None or child is None or not child.rows:
        return
    names = [mappings.spelling[name] for name in ("wa_id", "entity_type")]
    schema, target = context.schema.catalogue.schema, mappings.spelling["target"]
    current = rows_by_key(context.raw, schema, child.described, child.rows, names)
    for key, row in child.rows.items():
        new = child.after(row.values, work.moves).get(target)
        if new is not None and not work.goes(child.table, key):
            wa_id, kind = (current[key].values[name] for name in names)
            yield {
                "action": MAPPING_CORRECTED,
                "metadata": {
                    "waId": wa_id,
                    "entityType": kind,
                    "oldMurmurantId": row.values[target],
                    "newMurmurantId": new,
                },
            }
