"""Correct wrong mappings, each with guide §4.2's audit entry, and move what came through them.

A swap or a longer cycle is corrected as one: half of it would leave the rest wrong, and two ids on one
record. What came through a wrong mapping moves only where a trace says so, and never what people entered.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from workbench.errors import Refused, UsageError, nearest
from workbench.mappings.places import BY_HAND, COLUMN_OF, Wrong, came_through
from workbench.mappings.problems import mapping_findings
from workbench.mappings.queries import MappingRow, mapping_to_keep
from workbench.mappings.traces import Traces
from workbench.murmurant.importers import MAPPING_CORRECTED
from workbench.murmurant.listings import read_csv
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES, ENTITY_TYPES, MEMBER, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import current_rows

NEEDED, OPTIONAL = ("entity", "wa_id", "new_id"), ("reason",)
"""The columns of a table of corrections."""

Slot = tuple[str, str]
"""Event and member: no two registrations may have the same."""

Resolved = list[tuple["Correction", list[MappingRow]]]
"""Corrections in the order of their keys, each with the mappings of its id as they are."""

_ENTITY_OF = {word.casefold(): entity for entity, kinds in ENTITY_TYPES.items() for word in (entity, *kinds)}
_SHOWN = 12
_EXPORT = "Wild Apricot's export of registrations, given with --export"
_SLOTS = """
SELECT id::text, event_id::text, member_id::text FROM registrations
WHERE id::text = ANY (%(keys)s::text[])
   OR (event_id::text, member_id::text) IN (SELECT * FROM unnest(%(events)s::text[], %(members)s::text[]))
"""


class Correction(NamedTuple):
    """One mapping, and the record it should lead to.

    Attributes
    ----------
    line : int
        Where it stands in the table; 0 for one that was given by hand.
    problem : str
        Why that line cannot be read; empty where it can.
    """

    entity: str
    wa_id: str
    new_id: str
    reason: str = ""
    line: int = 0
    problem: str = ""

    @property
    def key(self) -> str:
        """The mapping as people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


def corrections_of(source: str | Path | Iterable[Any]) -> list[Correction]:
    """Take corrections from a CSV file; from rows, by name or in the order of the columns; or from one such tuple.

    Raises
    ------
    UsageError
        For a file that is no such table, rows that lack a column, and none at all.
    """
    names = [*NEEDED, *OPTIONAL]
    if isinstance(source, str | Path):
        listing = read_csv(Path(source))
        lines = listing.lines(listing.columns(NEEDED, OPTIONAL))
        rows = [(line.cells, line.number, line.problem) for line in lines]
    else:
        alone = isinstance(source, tuple)
        frame = pd.DataFrame([source] if alone else source, dtype=object)
        if isinstance(frame.columns, pd.RangeIndex):
            frame.columns = pd.Index(names[: frame.shape[1]])
        if frame.empty or not {*NEEDED} <= {*frame.columns}:
            raise UsageError(
                "There is no correction to be planned.",
                f"Give rows of {', '.join(NEEDED)} and perhaps a reason.",
            )
        records = frame.where(frame.notna(), "").to_dict("records")
        rows = [(row, line, "") for line, row in enumerate(records, 0 if alone else 1)]
    return [
        Correction._make([*(str(cells.get(name) or "").strip() for name in names), line, problem])
        for cells, line, problem in rows
    ]


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
    resolved = _resolve(traces, corrections)
    problems = mapping_findings(traces).problems
    problems = problems.assign(key=problems["entity"] + "/" + problems["wa_id"])
    if missing := _missing(problems, {correction.key: correction for correction, _ in resolved}, whole_cycle):
        resolved = _resolve(traces, [*(correction for correction, _ in resolved), *missing])
    corrected = [correction for correction, _ in resolved]
    wrongs = [
        Wrong(correction.entity, correction.wa_id, row.target, correction.new_id)
        for correction, rows in resolved
        for row in rows
        if correction.entity in COLUMN_OF and row.target != correction.new_id
    ]
    through = came_through(traces, wrongs)
    concerned = problems[problems["key"].isin([correction.key for correction in corrected])]
    known = concerned[concerned["problem"] != "shared-target"]
    with Draft(
        context,
        "mapping",
        parameters={
            "corrections": [dict(zip((*NEEDED, *OPTIONAL), row, strict=False)) for row in corrected],
            "move_records": move_records,
            "whole_cycle": whole_cycle,
        },
        evidence=(known["key"] + ": " + known["evidence"]).drop_duplicates().head(_SHOWN).tolist(),
    ) as draft:
        _note_doubts(draft, concerned, corrected)
        _correct(draft, resolved)
        moved = _move_registrations(draft, traces, through) if move_records else 0
        movable = sum(not row["because"] for row in through)
        if movable and not move_records:
            draft.note(
                f"{movable:,} registrations came through them and stay; --move-records would move them too."
            )
        if any(wrong.entity == MEMBER for wrong in wrongs):
            draft.note(
                "A sync may have written what it knew of these contacts into the wrong members; the next full sync writes"
                " each from its own contact again."
            )
        draft.reasons.append(_reason(concerned, len(corrected), moved))
    return draft.plan


def _resolve(traces: Traces, asked: Sequence[Correction]) -> Resolved:
    """Look at every correction: whether its id is mapped, its record exists, and both are of one entity.

    Everything that is wrong is raised, line by line: nothing is planned until all are right. What is so already is
    passed over; refused where that is all.
    """
    uuids = traces.schema.id_type == "uuid"
    asked = [
        row._replace(
            entity=_ENTITY_OF.get(row.entity.casefold(), row.entity),
            new_id=row.new_id.lower() if uuids else row.new_id,
        )
        for row in asked
    ]
    rows: dict[str, list[MappingRow]] = defaultdict(list)
    for mapping in traces.mappings(wa_ids={row.wa_id for row in asked}):
        rows[mapping.key].append(mapping)
    there = traces.there({(entity, row.new_id) for entity in ENTITIES for row in asked})
    first: dict[str, Correction] = {}
    wrong = []
    for row in asked:
        before = first.setdefault(row.key, row)
        entities = [entity for entity in ENTITIES if (entity, row.new_id) in there]
        problem = ""
        if row.problem:
            problem = row.problem
        elif row.entity not in ENTITIES or not traces.schema.has(CONCEPT_OF[row.entity]):
            problem = f"there is no entity {row.entity!r}; nearest: {', '.join(nearest(row.entity, ENTITIES)) or 'none'}"
        elif not rows[row.key]:
            problem = f"WA id {row.wa_id!r} is not mapped as {row.entity}"
        elif entities and row.entity not in entities:
            problem = f"{row.new_id!r} is the id of another entity ({entities[0]}), not of {row.entity}"
        elif not entities:
            problem = f"there is no {row.entity} {row.new_id!r}"
        elif before is not row:
            problem = f"{row.key} is there before, in line {before.line}"
        wrong += [f"line {row.line}: {problem}" if row.line else problem] if problem else []
    if wrong:
        problems = wrong[0] if len(asked) == 1 else "".join(f"\n  {problem}" for problem in wrong)
        raise UsageError(
            f"What cannot be planned: {problems}.", "Nothing was planned. Correct it and try again."
        )
    resolved = [(row, rows[row.key]) for row in sorted(asked, key=lambda row: row.key)]
    resolved = [(row, held) for row, held in resolved if [mapping.target for mapping in held] != [row.new_id]]
    if not resolved:
        raise Refused(
            f"There is nothing to do: {asked[0].key}{' and the others lead' if asked[1:] else ' leads'} there already.",
            "`workbench mappings` lists the mappings that are wrong.",
        )
    return resolved


def _missing(problems: pd.DataFrame, named: Mapping[str, Correction], whole_cycle: bool) -> list[Correction]:
    """Return what is missing of the cycles that are corrected in part; refuse where nobody asked for the whole."""
    added: list[Correction] = []
    for _, rows in problems[problems["cycle"] != ""].groupby("cycle", sort=True):
        rows = rows.sort_values("position")
        right = dict(zip(rows["key"], rows["should_be"], strict=True))
        parts = [key for key in right if key in named and named[key].new_id == right[key]]
        missing = [key for key in right if key not in named] if parts else []
        if missing and not whole_cycle:
            kind = "a swap" if len(right) == 2 else f"a cycle of {len(right)}"
            circle = " -> ".join((*right, next(iter(right))))
            raise Refused(
                f"{parts[0]} is part of {kind}: {circle} (each leads to the record of the next). Corrected alone, the"
                " rest would stay wrong, and two ids would lead to one record. Nothing was planned.",
                f"Add --whole-cycle to correct all of it: {'; '.join(f'{key} to {to}' for key, to in right.items())}.",
            )
        for key in missing:
            entity, _, wa_id = key.partition("/")
            reason = named[parts[0]].reason or f"completes the correction of {parts[0]}"
            added.append(Correction(entity, wa_id, right[key], reason))
    return added


def _note_doubts(draft: Draft, problems: pd.DataFrame, corrections: Sequence[Correction]) -> None:
    """Say where the traces say otherwise than was asked, and which ids shall share a record."""
    known = problems[(problems["should_be"] != "") & (problems["problem"] != "duplicate")]
    should_be = dict(zip(known["key"], known["should_be"], strict=True))
    sharing: dict[str, list[str]] = defaultdict(list)
    for row in corrections:
        sharing[row.new_id].append(row.key)
        if (right := should_be.get(row.key, row.new_id)) != row.new_id:
            draft.note(f"{row.key} shall lead to {row.new_id}, as asked; but the traces say {right}.")
    for record, keys in sorted(sharing.items()):
        if len(keys) > 1:
            draft.note(f"{' and '.join(keys)} shall lead to one record, {record}.")


def _correct(draft: Draft, resolved: Resolved) -> None:
    """Note the changes of every correction, and its audit entries."""
    schema = draft.context.schema
    table, columns = schema.resolved["mappings"].table, set(CONCEPTS["mappings"].columns["target"])
    wanted: dict[str, str] = {}
    surplus: list[str] = []
    for correction, rows in resolved:
        kept = mapping_to_keep(schema, rows, correction.new_id)
        for row in rows:
            if row is kept and row.target == correction.new_id:
                continue
            if row is kept:
                wanted[row.id], removed = correction.new_id, {}
            else:
                surplus.append(row.id)
                removed = {"mappingRemoved": row.id}
            if correction.reason:
                draft.because(table, row.id, correction.reason)
            draft.log(
                MAPPING_CORRECTED,
                waId=correction.wa_id,
                oldMurmurantId=row.target,
                newMurmurantId=correction.new_id,
                entityType=row.entity_type,
                reason=correction.reason or ("the id was mapped more than once" if removed else ""),
                **removed,
            )
    leading = {}
    for key, current in current_rows(draft.context.raw, schema.catalogue, table, sorted(wanted)):
        # Where both spellings of the column are in use, every one that is filled must say the same afterwards.
        filled = [name for name, value in current.values.items() if name in columns and value is not None]
        leading[key] = dict.fromkeys(filled, wanted[key])
    draft.update(table, leading)
    draft.delete(table, surplus)


def _move_registrations(draft: Draft, traces: Traces, through: Sequence[Mapping[str, str]]) -> int:
    """Move registrations to the right event or member; list what cannot move, or must not, with the reason.

    All that move are one section of the plan: at the apply those who change places step aside for one another.
    """
    schema = draft.context.schema
    table, spelling = schema.table_of(REGISTRATION), schema.resolved["registrations"].spelling
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for row in through:
        if not row["because"]:
            wanted[row["registration"]][row["column"]] = row["right"]
        elif row["because"] == BY_HAND:
            draft.keep(table, row["registration"], row["because"])
        else:
            why = f"on {row['now']} through {row['through']}: {row['because']}"
            draft.unresolved(table, row["registration"], why, _EXPORT)
    now = _slots(traces, [*wanted])
    after = {
        key: (wanted[key].get("event_id", event), wanted[key].get("member_id", member))
        for key, (event, member) in now.items()
    }
    now |= _slots(traces, [], sorted(set(after.values())))
    names = [spelling[column] for column in ("event_id", "member_id")]
    refused = refuse_taken(now, after)
    for key, other in refused.items():
        for name, at, right in zip(names, now[key], after[key], strict=True):
            if at != right:
                reason = f"the place it belongs to (same event, same member) is taken by registration {other}"
                draft.conflict(table, key, name, None, right, at, reason)
    moving = sorted(after.keys() - refused.keys())
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
    refused = dict[str, str]()
    while True:
        going = {key: slot for key, slot in after.items() if key not in refused}
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


def _slots(traces: Traces, keys: Sequence[str], slots: Sequence[Slot] = ()) -> dict[str, Slot]:
    """Return where registrations are, by their ids or by the places themselves."""
    events, members = [event for event, _ in slots], [member for _, member in slots]
    rows = traces.ask(_SLOTS, keys=keys, events=events, members=members)
    return {registration: (event, member) for registration, event, member in rows}


def _reason(problems: pd.DataFrame, corrected: int, moved: int) -> str:
    """Say in one line what is corrected: how many, and which swaps and cycles among them."""
    cycles = problems[problems["cycle"] != ""].drop_duplicates("key").groupby("cycle").size()
    kinds = [
        f"{count} swap{'s' * (count > 1)}" if size == 2 else f"{count} cycle{'s' * (count > 1)} of {size}"
        for size, count in sorted(Counter(cycles.tolist()).items())
    ]
    words = f"Corrects {corrected:,} mapping{'s' * (corrected > 1)}"
    words += f", {' and '.join(kinds)} among them (guide §4.2)" if kinds else " (guide §4.2)"
    return f"{words}, and moves {moved:,} registrations that came through them." if moved else f"{words}."
