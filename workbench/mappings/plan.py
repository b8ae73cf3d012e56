"""Correct wrong mappings, each with guide §4.2's audit entry, and move what came through them.

A swap or a longer cycle is corrected as one: half of it would leave the rest wrong, and two ids on one
record. What came through a wrong mapping moves only where a trace says so, and never what people entered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from workbench.errors import Refused
from workbench.mappings.corrections import NEEDED, OPTIONAL, Correction, resolve_corrections
from workbench.mappings.places import BY_HAND, COLUMN_OF, Misplaced, Wrong, came_through, written_through
from workbench.mappings.problems import mapping_findings
from workbench.mappings.queries import MappingRow, mapping_to_keep
from workbench.mappings.traces import Traces
from workbench.murmurant.importers import MAPPING_CORRECTED
from workbench.murmurant.spellings import CONCEPTS, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import current_rows

Slot = tuple[str, str]
"""Event and member: no two registrations may have the same."""

_SHOWN = 12
_EXPORT = "Wild Apricot's export of registrations, given with --export"
_SLOTS = """
SELECT id::text, event_id::text, member_id::text FROM registrations
WHERE id::text = ANY (%(keys)s::text[])
   OR (event_id::text, member_id::text) IN (SELECT * FROM unnest(%(events)s::text[], %(members)s::text[]))
"""


def plan_mappings(
    context: PlanContext,
    traces: Traces,
    corrections: Sequence[Correction],
    *,
    move_records: bool = False,
    whole_cycle: bool = False,
) -> Plan:
    """Plan the correction of mappings.

    Parameters
    ----------
    corrections : sequence of Correction
        Which id shall lead to which record.
    move_records : bool
        Whether what came through the wrong mappings moves too.
    whole_cycle : bool
        Whether the rest of a swap or cycle is corrected with the part that was named.

    Raises
    ------
    UsageError
        When a correction is not right, with every one that is not.
    Refused
        When there is nothing to do, or only a part of a swap or cycle was named.
    """
    resolved = resolve_corrections(traces, corrections)
    problems = mapping_findings(traces).problems
    problems = problems.assign(key=problems["entity"] + "/" + problems["wa_id"])
    if completed := _completed(problems, {one.key: one for one, _ in resolved}, whole_cycle):
        resolved = resolve_corrections(traces, [*(one for one, _ in resolved), *completed])
    corrected = [correction for correction, _ in resolved]
    wrongs = [
        Wrong(correction.entity, correction.wa_id, row.target, correction.new_id)
        for correction, rows in resolved
        for row in rows
        if correction.entity in COLUMN_OF and row.target != correction.new_id
    ]
    through = came_through(traces, wrongs)
    concerned = problems[problems["key"].isin([one.key for one in corrected])]
    known = concerned[concerned["problem"] != "shared-target"]
    with Draft(
        context,
        "mapping",
        parameters={
            "corrections": [dict(zip((*NEEDED, *OPTIONAL), one, strict=False)) for one in corrected],
            "move_records": move_records,
            "whole_cycle": whole_cycle,
        },
        evidence=(known["key"] + ": " + known["evidence"]).drop_duplicates().head(_SHOWN),
    ) as draft:
        draft.notes += _notes(concerned, corrected)
        _correct(draft, resolved)
        moved = 0
        if move_records:
            moved = _move_registrations(draft, traces, wrongs, through)
        elif movable := sum(not one.because for one in through):
            draft.note(
                f"{movable:,} registrations came through these mappings and stay; --move-records would move them too."
            )
        draft.reasons.append(_reason(concerned, len(corrected), moved))
    return draft.plan


def _completed(
    problems: pd.DataFrame, named: Mapping[str, Correction], whole_cycle: bool
) -> list[Correction]:
    """Return what is missing of the cycles that are corrected in part; refuse where nobody asked for the whole."""
    added: list[Correction] = []
    for _, rows in problems[problems["cycle"] != ""].groupby("cycle", sort=True):
        rows = rows.sort_values("position")
        right = dict(zip(rows["key"], rows["should_be"], strict=True))
        parts = [key for key in right if key in named and named[key].new_id == right[key]]
        missing = [key for key in right if key not in named]
        if parts and missing and not whole_cycle:
            kind = "a swap" if len(right) == 2 else f"a cycle of {len(right)}"
            circle = " -> ".join((*right, next(iter(right))))
            raise Refused(
                f"{parts[0]} is part of {kind}: {circle} (each leads to the record of the next). Corrected alone, the"
                " rest would stay wrong, and two ids would lead to one record. Nothing was planned.",
                f"Add --whole-cycle to correct all of it: {'; '.join(f'{key} to {to}' for key, to in right.items())}.",
            )
        for key in missing if parts else ():
            entity, _, wa_id = key.partition("/")
            reason = named[parts[0]].reason or f"completes the correction of {parts[0]}"
            added.append(Correction(entity, wa_id, right[key], reason))
    return added


def _correct(draft: Draft, resolved: Sequence[tuple[Correction, list[MappingRow]]]) -> None:
    """Note the changes of every correction, and its audit entries."""
    schema = draft.context.schema
    table = schema.resolved["mappings"].table
    wanted: dict[str, str] = {}
    surplus: list[str] = []
    for correction, rows in resolved:
        kept = mapping_to_keep(schema, rows, correction.new_id)
        for row in rows:
            removed = row is not kept
            if not removed and row.target == correction.new_id:
                continue
            if removed:
                surplus.append(row.id)
            else:
                wanted[row.id] = correction.new_id
            if correction.reason:
                draft.because(table, row.id, correction.reason)
            draft.log(
                MAPPING_CORRECTED,
                waId=correction.wa_id,
                oldMurmurantId=row.target,
                newMurmurantId=correction.new_id,
                entityType=row.entity_type,
                reason=correction.reason or ("the id was mapped more than once" if removed else ""),
                **({"mappingRemoved": row.id} if removed else {}),
            )
    columns = set(CONCEPTS["mappings"].columns["target"])
    leading = {}
    for key, current in current_rows(draft.context.raw, schema.catalogue, table, sorted(wanted)):
        # Where both spellings of the column are in use, every one that is filled must say the same afterwards.
        filled = [name for name, value in current.values.items() if name in columns and value is not None]
        leading[key] = dict.fromkeys(filled, wanted[key])
    draft.update(table, leading)
    if surplus:
        draft.delete(table, surplus)
        draft.note(f"Removes {len(surplus):,} of several mappings of one id.")


def _move_registrations(
    draft: Draft, traces: Traces, wrongs: Sequence[Wrong], through: Sequence[Misplaced]
) -> int:
    """Move registrations to the right event or member; list what cannot move, or must not, with the reason.

    All that move are one section of the plan: at the apply those who change places step aside for one another.
    """
    schema = draft.context.schema
    for wrong, run in written_through(traces, wrongs):
        draft.unresolved(
            schema.table_of(wrong.entity),
            wrong.was,
            f"run {run} wrote what it knew of WA id {wrong.wa_id} into this record",
            "the next full sync writes each record from its own contact again; a snapshot from before tells more",
        )
    if not through:
        return 0
    table, spelling = schema.table_of(REGISTRATION), schema.resolved["registrations"].spelling
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for one in through:
        if not one.because:
            wanted[one.registration][one.column] = one.right
        elif one.because == BY_HAND:
            draft.keep(table, one.registration, one.because)
        else:
            why = f"on {one.now} through {one.through}: {one.because}"
            draft.unresolved(table, one.registration, why, _EXPORT)
    now = _slots(traces, wanted)
    after = {
        key: (wanted[key].get("event_id", event), wanted[key].get("member_id", member))
        for key, (event, member) in now.items()
    }
    now |= _slots(traces, (), sorted(set(after.values())))
    names = [spelling[column] for column in ("event_id", "member_id")]
    refused = refuse_taken(now, after)
    for key, other in refused.items():
        for name, at, right in zip(names, now[key], after[key], strict=True):
            if at != right:
                reason = f"the place it belongs to (same event, same member) is taken by registration {other}"
                draft.conflict(table, key, name, None, right, at, reason)
    moving = sorted(after.keys() - refused.keys())
    held = {now[key] for key in moving}
    if exchanging := sum(after[key] in held for key in moving):
        draft.note(f"{exchanging:,} registrations move to a place that another one leaves.")
    draft.update(table, {key: dict(zip(names, after[key], strict=True)) for key in moving}, together=names)
    return len(moving)


def refuse_taken(now: Mapping[str, Slot], after: Mapping[str, Slot]) -> dict[str, str]:
    """Return the registrations that cannot move, each with the one that has its place or goes there as well.

    Parameters
    ----------
    now : mapping of str to (event, member)
        Where every registration that moves is, and every other one in a place that somebody moves to.
    after : mapping of str to (event, member)
        Where those that move shall be.
    """
    going, refused = dict(after), dict[str, str]()
    while True:
        holders: dict[Slot, list[str]] = defaultdict(list)
        for key, slot in now.items():
            holders[going.get(key, slot)].append(key)
        taken = {
            key: min(other for other in holders[slot] if other != key)
            for key, slot in going.items()
            if len(holders[slot]) > 1
        }
        if not taken:
            return refused
        refused |= taken
        going = {key: slot for key, slot in going.items() if key not in taken}


def _slots(traces: Traces, keys: Collection[str], slots: Sequence[Slot] = ()) -> dict[str, Slot]:
    """Return where registrations are, by their ids or by the places themselves."""
    events, members = zip(*slots, strict=True) if slots else ((), ())
    asked = {"keys": list(keys), "events": list(events), "members": list(members)}
    rows = traces.ask(_SLOTS, **asked)
    return {registration: (event, member) for registration, event, member in rows}


def _notes(problems: pd.DataFrame, corrections: Sequence[Correction]) -> list[str]:
    """Tell where the traces say otherwise than was asked, and which ids shall share a record."""
    told = problems[(problems["should_be"] != "") & (problems["problem"] != "duplicate")]
    told = told.drop_duplicates("key", keep="last").set_index("key")
    known, because = dict(told["should_be"]), dict(told["because"])
    notes = [
        f"{one.key} shall lead to {one.new_id}, as asked; but {because[one.key] or 'the traces'}: {known[one.key]}."
        for one in corrections
        if known.get(one.key, one.new_id) != one.new_id
    ]
    sharing: dict[str, list[str]] = defaultdict(list)
    for one in corrections:
        sharing[one.new_id].append(one.key)
    shared = sorted((record, keys) for record, keys in sharing.items() if len(keys) > 1)
    return notes + [f"{' and '.join(keys)} shall lead to one record, {record}." for record, keys in shared]


def _reason(problems: pd.DataFrame, corrected: int, moved: int) -> str:
    """Say in one line what is corrected: how many, and which swaps and cycles among them."""
    cycles = problems[problems["cycle"] != ""].drop_duplicates("key").groupby("cycle").size()
    kinds = [
        f"{n} swap{'s' * (n > 1)}" if size == 2 else f"{n} cycle{'s' * (n > 1)} of {size}"
        for size, n in sorted(Counter(cycles.tolist()).items())
    ]
    alone = corrected - int(cycles.sum())
    kinds += [f"{alone:,} by {'itself' if alone == 1 else 'themselves'}"] if kinds and alone > 0 else []
    words = f"Corrects {corrected:,} mapping{'s' * (corrected > 1)}{': ' if kinds else ''}{', '.join(kinds)} (guide §4.2)"
    return f"{words} and moves {moved:,} registrations that came through them." if moved else f"{words}."
