"""Plan merges: duplicates go, everything that refers to them moves to the record that stays (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.duplicates.moves import Blocked, Moves
from workbench.duplicates.request import Merge, fields_of, merge_rules, merges_of, spelled
from workbench.errors import Refused, UsageError, unknown
from workbench.mappings.queries import NEEDS
from workbench.murmurant.importers import MAPPING_CORRECTED, MERGED
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import Current, current_rows

LISTED = 10
"""Merges described one by one; of more, the header's parameters have each."""

_OWN = ("id", "created_at", "updated_at", "run_id")
"""What a record says of itself, not of the person: left as it is by every rule but one for that very field."""

_IN_WILD_APRICOT = {
    "Member": ("contact", "merge contact {1} into {0}, or archive {1}"),
    "Event": ("event", "move what is still booked on event {1} to {0}, and delete {1}"),
    "Registration": ("registration", "cancel registration {1}"),
}


def plan_merges(
    context: PlanContext,
    request: pd.DataFrame,
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
    table, kept = schema.table_of(entity), {spelled(schema, entity, key) for key in keep}
    file: str = request.attrs["file"]
    rules, by_hand = merge_rules(schema, entity, rules, by_hand)
    merges = merges_of(context, request, entity, leave_out)
    ids = sorted({record for merge in merges for record in merge.records})
    if strangers := sorted({*by_hand.values()} - {*ids}):
        problem = f"A value is to come from {strangers[0]}, which is not among the records to merge."
        raise UsageError(problem, "Name one of them.")
    records = dict(current_rows(context.raw, schema.catalogue, table, ids))
    if entity == REGISTRATION:
        _refuse_different_guests(schema, merges, records)
    with Draft(context, "merge") as draft:
        moves = Moves(context, table, merges, kept)
        while blocked := moves.blocked():
            if not skip_blocked or len(blocked) == len(merges):
                raise _refusal(blocked, len(merges))
            for merge in merges:
                for obstacle in blocked.get(merge.canonical, ()):
                    for duplicate in merge.duplicates:
                        reason = f"not merged into {merge.canonical}: {obstacle}"
                        draft.unresolved(table, duplicate, reason, obstacle.remedy)
            merges = [merge for merge in merges if merge.canonical not in blocked]
            moves = Moves(context, table, merges, kept)
        if idle := sorted(kept.difference(*(child.losers.values() for child in moves.children.values()))):
            raise UsageError(
                f"The row {idle[0]} is named to stay (--keep), but it collides with no other.",
                "Leave it out; it stays anyway.",
            )
        wa_ids, values, facts = _wa_ids(schema, moves), {}, []
        for merge in merges:
            values[merge.canonical], fields = _surviving(schema, entity, merge, records, rules, by_hand)
            facts.append(
                {
                    "wa_ids": {key: sorted(wa_ids[key]) for key in merge.records if key in wa_ids},
                    "canonical": merge.canonical,
                    "duplicates": list(merge.duplicates),
                    "chosen_by": merge.chosen_by,
                    "reason": merge.reason or None,
                    **fields,
                }
            )
        draft.parameters |= {
            "entity": entity,
            "file": file or None,
            "rule": rules.pop("*"),
            "fields": dict(sorted(rules.items())),
            "by_hand": [f"{name}={record}" for name, record in by_hand.items()],
            "keep": sorted(kept),
            "skip_blocked": skip_blocked,
            "merges": facts,
            "conservation": moves.proof(),
        }
        draft.reasons.append(_reason(entity, merges))
        if file:
            draft.evidence.append(f"the list {file}, SHA-256 {request.attrs['sha256']}")
        reasons = sorted({f"reason given: {merge.reason}" for merge in merges if merge.reason})
        draft.evidence += reasons[:LISTED] or ["the word of whoever asked for it"]
        draft.notes += [*_notes(schema, facts), *next_sync(draft.parameters)]
        _log(draft, entity, merges, moves)
        for name, losers in moves.gone.items():
            draft.delete(name, losers)
        updates: dict[str, dict[str, dict[str, str | None]]] = {table: values}
        for name, child in moves.children.items():
            changed = updates.setdefault(name, {})
            for key in [*child.moved, *(key for key in child.losers if key not in child.moved)]:
                goes = moves.goes(name, key)
                if child.rewritten:
                    draft.rewrite(name, child.rows[key], {} if goes else child.moved[key])
                elif not goes:  # a record that stays may itself have referred to one that goes
                    changed[key] = {**changed.get(key, {}), **child.moved[key]}
        for name in sorted(updates):
            draft.update(name, updates[name])
    return draft.plan


def _surviving(
    schema: Schema,
    entity: str,
    merge: Merge,
    records: Mapping[str, Current],
    rules: Mapping[str, str],
    by_hand: Mapping[str, str],
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Decide for each field whose value stays.

    Returns
    -------
    tuple of dict
        The columns that change, to their new value; and as facts the ``fields``, each of them to the record that it
        comes ``from`` and the ``rule``, and those ``given_up``, of which a record has another value that goes, to the rule.
    """
    changes: dict[str, str | None] = {}
    taken, given_up = {}, {}
    spelling = schema.resolved[CONCEPT_OF[entity]].spelling
    own = {spelling[name] for name in _OWN if name in spelling}
    values = {key: records[key].values for key in merge.records}
    filled = {key: {name for name, value in values[key].items() if value and value.strip()} for key in values}

    def changed(key: str) -> tuple[str, bool]:  # of two alike the canonical one is the newer
        moments = (values[key].get(spelling.get(name, "")) for name in ("updated_at", "created_at"))
        return next(filter(None, moments), ""), key == merge.canonical

    newest = sorted(merge.records, key=changed, reverse=True)
    fullest = sorted(merge.duplicates, key=lambda key: (-len(filled[key]), newest.index(key)))
    orders = {"canonical": [], "newest": newest, "most-complete": [merge.canonical, *fullest]}
    for column in fields_of(schema, entity):
        rule = rules.get(column, "canonical" if column in own else rules["*"])
        source = next((key for key in orders[rule] if column in filled[key]), merge.canonical)
        if by_hand.get(column) in values:
            source, rule = by_hand[column], "by hand"
        value = values[source][column]
        if value != values[merge.canonical][column]:
            changes[column] = value
            taken[column] = {"from": source, "rule": rule}
        if column not in own and any(
            column in filled[key] and values[key][column] != value for key in values
        ):
            given_up[column] = rule
    return changes, {"fields": taken, "given_up": dict(sorted(given_up.items()))}


def _refuse_different_guests(schema: Schema, merges: Sequence[Merge], records: Mapping[str, Current]) -> None:
    spelling = schema.resolved["registrations"].spelling
    names = [spelling[name] for name in ("event_id", "member_id") if name in spelling]
    for merge in merges:
        if len({tuple(records[key].values[name] for name in names) for key in merge.records}) > 1:
            raise Refused(
                f"The registrations {', '.join(merge.records)} are not of one member for one event.",
                "Merge the members, or the events: their registrations are settled with them.",
            )


def _refusal(blocked: Mapping[str, Sequence[Blocked]], count: int) -> Refused:
    lines = [
        f"into {canonical}: {obstacle}. {obstacle.remedy}."
        for canonical, obstacles in sorted(blocked.items())
        for obstacle in obstacles
    ]
    return Refused(
        "\n  ".join([f"{len(blocked):,} of {count:,} merges cannot be decided by any rule:", *lines]),
        "Leave a record out with --except ID, or of a list plan the others with --skip-blocked. Nothing was planned.",
    )


def _reason(entity: str, merges: Sequence[Merge]) -> str:
    duplicates = [key for merge in merges for key in merge.duplicates]
    count = len(duplicates)
    subject = f"{count:,} duplicate {entity.lower()}{'s' * (count > 1)}"
    if len(merges) > 1:
        return f"Merges {subject} into {len(merges):,}."
    because = f": {merges[0].reason}" if merges[0].reason else ""
    names = f"{', '.join(duplicates[:5])}{', ...' * (count > 5)}"
    return f"Merges {subject} ({names}) into {merges[0].canonical}{because}."


def _wa_ids(schema: Schema, moves: Moves) -> dict[str, set[str]]:
    """Return the WA ids that lead to each of the records."""
    wa_ids: dict[str, set[str]] = {}
    if schema.has(*NEEDS) and (child := moves.children.get(schema.resolved["mappings"].table)):
        column = schema.resolved["mappings"].spelling["wa_id"]
        for key, row in child.rows.items():
            for reference, record in child.targets(key):
                if reference.parent == moves.table:
                    wa_ids.setdefault(record, set()).add(str(row.values[column]))
    return wa_ids


def next_sync(parameters: Mapping[str, Any]) -> list[str]:
    """Say what the next sync will do to merged records that several WA ids lead to, and how to prevent it.

    Parameters
    ----------
    parameters : mapping
        Of a merge plan's header.
    """
    noun, remedy = _IN_WILD_APRICOT[parameters["entity"]]
    warnings = []
    for merge in parameters["merges"]:
        canonical, leading = merge["canonical"], merge.get("wa_ids", {})
        first, *others = [
            wa_id for key in (canonical, *merge["duplicates"]) for wa_id in leading.get(key, [])
        ] or [""]
        if others:
            warnings.append(
                f"Wild Apricot {noun}s {', '.join([first, *others])} all lead to {canonical}: the next full sync writes"
                " each of them into it, and the values of the last one stay. Before that, in Wild Apricot:"
                f" {remedy.format(first, ', '.join(others))}."
            )
    if len(warnings) > LISTED:
        rest = f"{len(warnings) - LISTED:,} more: `show PLAN --json` has the ids of each, under merges."
        warnings[LISTED:] = [f"The same of {rest}"]
    return warnings


def _notes(schema: Schema, merges: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what whoever approves it should know: which records and whose values stay, and what is not touched."""
    several = len(merges) > 1
    chosen = Counter(merge["chosen_by"].split(" (")[0] if several else merge["chosen_by"] for merge in merges)
    yield f"The records that stay: {', '.join(f'{count:,} by {by}' for by, count in sorted(chosen.items()))}."
    fates = Counter[tuple[str, str, str]]()
    for merge in merges:
        taken = ((column, source["rule"]) for column, source in merge["fields"].items())
        fates.update(("comes from a duplicate", *field) for field in taken)
        fates.update(
            ("has more than one value, and one stays", *field) for field in merge["given_up"].items()
        )
    for (fate, column, rule), count in sorted(fates.items()):
        in_some = f" in {count:,} of {len(merges):,} merges" if several else ""
        yield f"{column} {fate}{in_some} (rule: {rule})."
    audit = schema.resolved.get("audit")
    if audit is not None and "resource_id" in audit.spelling:
        column = f"{audit.table}.{audit.spelling['resource_id']}"
        yield f"{column} is history and stays: it names the duplicates by their old ids."


def _log(draft: Draft, entity: str, merges: Sequence[Merge], moves: Moves) -> None:
    """Have the apply log each merge, with the rows that it moves and deletes, and each mapping that moves (guide §4.2)."""
    moved, deleted = moves.counted()
    for merge in merges:
        canonical, duplicates = merge.canonical, list(merge.duplicates)
        counts = {
            "records_moved": moved[canonical],
            "records_deleted": deleted[canonical] + len(duplicates),
        }
        draft.log(MERGED, entity=entity, canonical=canonical, duplicates=duplicates, **counts)
    schema = draft.context.schema
    if not schema.has(*NEEDS):
        return
    spelling, table = schema.resolved["mappings"].spelling, schema.resolved["mappings"].table
    child = moves.children.get(table)
    for key, changes in child.moved.items() if child else ():
        if child and not moves.goes(table, key):
            values, (column, target) = child.rows[key].values, next(iter(changes.items()))
            facts = {"waId": values[spelling["wa_id"]], "entityType": values[spelling["entity_type"]]}
            ids = {"oldMurmurantId": values[column], "newMurmurantId": target}
            draft.log(MAPPING_CORRECTED, **facts, **ids)
