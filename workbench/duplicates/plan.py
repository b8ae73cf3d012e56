"""Plan merges: duplicates go, everything that refers to them moves to the record that stays (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from workbench.duplicates.collisions import work_out
from workbench.duplicates.conservation import prove_conservation
from workbench.duplicates.moves import Blocked, Work
from workbench.duplicates.request import Merge, Request, merge_rules, merges_of, spelled
from workbench.duplicates.survivorship import Survival, survive
from workbench.errors import Refused, UsageError, unknown
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import MAPPING_CORRECTED, MERGED
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import Current, current_rows

TOLD = 10
"""Merges told one by one; of more, the header's parameters have each."""

_IN_WILD_APRICOT = {
    "Member": ("contact", "merge contact {1} into {0}, or archive {1}"),
    "Event": ("event", "move what is still booked on event {1} to {0}, and delete {1}"),
    "Registration": ("registration", "cancel registration {1}"),
}


def plan_merges(
    context: PlanContext,
    request: Request,
    entity: str,
    rules: str | Mapping[str, str],
    by_hand: Mapping[str, str],
    keep: Collection[str],
    leave_out: Collection[str],
    skip_blocked: bool,
) -> Plan:
    """Plan to merge duplicates, all of them in one plan: see `workbench.duplicates.questions.Duplicates.plan_merges`.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    Refused
        For a merge that no rule can decide, with the rows and what to do.
    """
    schema = context.schema
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    table, kept = schema.table_of(entity), frozenset(spelled(schema, entity, key) for key in keep)
    rules, by_hand = merge_rules(schema, entity, rules, by_hand)
    merges = merges_of(context, request, entity, leave_out)
    ids = sorted({record for merge in merges for record in merge.records})
    for column, record in by_hand.items():
        if record not in ids:
            raise UsageError(
                f"The value of {column!r} is to come from {record}, which is not among the records to merge.",
                "Name one of them.",
            )
    records = dict(current_rows(context.raw, schema.catalogue, table, ids))
    if entity == REGISTRATION:
        _refuse_different_guests(schema, merges, records)
    with Draft(context, "merge") as draft:
        work = work_out(context, table, merges, kept)
        while blocked := work.blocked(merges):
            if not skip_blocked or len(blocked) == len(merges):
                raise _refusal(blocked, len(merges), skip_blocked)
            for merge in merges:
                for one in blocked.get(merge.canonical, ()):
                    for duplicate in merge.duplicates:
                        reason = f"not merged into {merge.canonical}: {one.words}"
                        draft.unresolved(table, duplicate, reason, one.remedy)
            merges = [merge for merge in merges if merge.canonical not in blocked]
            work = work_out(context, table, merges, kept)
        if idle := sorted(kept.difference(*(child.by_hand for child in work.children.values()))):
            raise UsageError(
                f"The row {idle[0]} is named to stay (--keep), but it collides with no other.",
                "Leave it out; it stays anyway.",
            )
        survivals = {
            merge.canonical: survive(schema, entity, merge, records, rules, by_hand) for merge in merges
        }
        proof = prove_conservation(context, work, {key: records[key] for key in work.moves[table]})
        leading: dict[str, set[str]] = {}
        if schema.has(*NEEDS):
            for row in mapping_rows(context.connection, schema, records=ids, entity=entity):
                leading.setdefault(row.target, set()).add(row.wa_id)
        draft.parameters |= {
            "entity": entity,
            "file": request.file or None,
            "rule": rules.pop("*"),
            "fields": dict(sorted(rules.items())),
            "by_hand": [f"{name}={record}" for name, record in by_hand.items()],
            "keep": sorted(kept),
            "skip_blocked": skip_blocked,
            "merges": [_facts(merge, survivals[merge.canonical], leading) for merge in merges],
            "conservation": proof,
        }
        draft.reasons.append(_reason(entity, merges))
        if request.file:
            draft.evidence.append(f"the list {request.file}, SHA-256 {request.sha256}")
        reasons = sorted({f"reason given: {merge.reason}" for merge in merges if merge.reason})
        draft.evidence += reasons[:TOLD] or ["the word of whoever asked for it"]
        draft.notes += [*_notes(schema, merges, survivals), *next_sync(draft.parameters)]
        _log(draft, entity, merges, work)
        for name, losers in work.moves.items():
            draft.delete(name, losers)
        for name, child in sorted(work.children.items()):
            for key, current in child.rows.items() if child.rewritten else ():
                after = {} if work.goes(name, key) else child.after(current.values, work.moves)
                draft.rewrite(name, current, after)
            if not child.rewritten:
                stays = {key: row.values for key, row in child.rows.items() if not work.goes(name, key)}
                draft.update(name, {key: child.after(values, work.moves) for key, values in stays.items()})
        draft.update(table, {key: survival.values for key, survival in survivals.items()})
    return draft.plan


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


def _refusal(blocked: Mapping[str, Sequence[Blocked]], count: int, skipping: bool) -> Refused:
    lines = [
        f"into {canonical}: {one.words}. {one.remedy}."
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
        "fields": {name: {"from": source, "rule": rule} for name, (source, rule) in survival.taken.items()},
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
    """Say what whoever approves it should know: which records and whose values stay, and what is not touched."""
    several = len(merges) > 1
    chosen = Counter(merge.chosen_by.split(" (")[0] if several else merge.chosen_by for merge in merges)
    yield f"The records that stay: {', '.join(f'{count:,} by {by}' for by, count in sorted(chosen.items()))}."
    ways = {
        "comes from a duplicate{} (rule: {}).": (
            (name, rule) for one in survivals.values() for name, (_, rule) in one.taken.items()
        ),
        "has more than one value{}; one stays (rule: {}), the others go.": (
            pair for one in survivals.values() for pair in one.given_up.items()
        ),
    }
    for words, pairs in ways.items():
        for (column, rule), count in sorted(Counter(pairs).items()):
            in_some = f" in {count:,} of {len(merges):,} merges" if several else ""
            yield f"{column} {words.format(in_some, rule)}"
    audit = schema.resolved.get("audit")
    if audit is not None and "resource_id" in audit.spelling:
        column = f"{audit.table}.{audit.spelling['resource_id']}"
        yield f"{column} is history and stays: it names the duplicates by their old ids."


def _log(draft: Draft, entity: str, merges: Sequence[Merge], work: Work) -> None:
    """Have the apply tell of each merge, with the rows that it moves and deletes, and of each mapping that moves (guide §4.2)."""
    moved, deleted = Counter[str](), Counter[str]()
    for child in work.children.values():
        for key in child.rows.keys() | child.losers.keys():
            if key in child.losers:
                deleted.update(work.belongs_to(child, key))
            elif not work.goes(child.table, key):
                moved.update(work.belongs_to(child, key))
    for merge in merges:
        into, gone = merge.canonical, list(merge.duplicates)
        counts = {"records_moved": moved[into], "records_deleted": deleted[into] + len(gone)}
        draft.log(MERGED, entity=entity, canonical=into, duplicates=gone, **counts)
    schema, connection = draft.context.schema, draft.context.connection
    for kind in ENTITIES if schema.has("mappings.id", *NEEDS) else ():
        moves = work.moves.get(schema.table_of(kind), {}) if schema.has(CONCEPT_OF[kind]) else {}
        for row in mapping_rows(connection, schema, records=moves, entity=kind):
            if not work.goes(schema.resolved["mappings"].table, row.id):
                ids = {"oldMurmurantId": row.target, "newMurmurantId": moves[row.target]}
                draft.log(MAPPING_CORRECTED, waId=row.wa_id, entityType=row.entity_type, **ids)
