"""Correct wrong mappings, each with guide §4.2's audit entry, and move what came through them.

A swap or a longer cycle is corrected as one: half of it would leave the rest wrong, and two ids on one
record. What came through a wrong mapping moves only where a trace says so, and never what people entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.documents import Target
from workbench.errors import Refused
from workbench.fixes.corrections import Correction, resolve_corrections
from workbench.fixes.ledger import Ledger
from workbench.fixes.misplacements import move_registrations
from workbench.investigate.mappings.lookup import MappingRow, mapping_to_keep
from workbench.investigate.mappings.misplaced import Wrong, came_through
from workbench.investigate.mappings.problems import mapping_findings
from workbench.murmurant.importers import MAPPING_CORRECTED, Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPTS, EVENT, MEMBER
from workbench.plans.current import current_rows
from workbench.plans.drafting import Updates, write_deletes
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan
from workbench.plans.writing import PlanWriter

_TOLD = 12


@dataclass(frozen=True)
class MappingRequest:
    """What was asked for.

    Attributes
    ----------
    corrections : tuple of Correction
        Which id shall lead to which record.
    move_records : bool
        Whether what came through the wrong mappings moves too.
    whole_cycle : bool
        Whether the rest of a swap or cycle is corrected with the part that was named.
    """

    corrections: tuple[Correction, ...]
    move_records: bool = False
    whole_cycle: bool = False


def plan_mappings(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    request: MappingRequest,
    *,
    exports: Sequence[ReportRecord] = (),
    target: Target,
    planned_by: str,
    folder: Path,
) -> Plan:
    """Plan the correction of mappings.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction; nothing else is needed.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports, where given: whose registration is whose.
    folder : Path
        Where the plan file is written.

    Raises
    ------
    UsageError
        When a correction is not right, with every one that is not.
    Refused
        When there is nothing to do, or only a part of a swap or cycle was named.
    """
    resolved = resolve_corrections(connection, schema, request.corrections)
    problems = mapping_findings(connection, schema, runs, exports).problems
    completed = _completed(problems, [each for each, _ in resolved], request.whole_cycle)
    if completed:
        resolved = resolve_corrections(connection, schema, [*(each for each, _ in resolved), *completed])
    ledger = Ledger(notes=_notes(problems, [each for each, _ in resolved]))
    wrongs = [
        Wrong(each.entity, each.wa_id, row.target, each.new_id)
        for each, rows in resolved
        for row in rows
        if each.entity in (MEMBER, EVENT) and row.target != each.new_id
    ]
    through = came_through(connection, schema, runs, wrongs, exports)
    with ExitStack() as stack:
        updates = stack.enter_context(Updates())
        audit = _correct(connection, schema, resolved, updates, ledger)
        layers: list[Updates] = []
        if request.move_records:
            layers = move_registrations(connection, schema, runs, wrongs, through, ledger, stack)
        elif movable := sum(each.moves for each in through):
            ledger.notes.append(
                f"{movable:,} registrations came through these mappings and stay where they are;"
                " --move-records would move them too."
            )
        header = Header(
            kind="mapping",
            parameters={
                "corrections": [each.facts() for each, _ in resolved],
                "move_records": request.move_records,
                "whole_cycle": request.whole_cycle,
            },
            reasons=_reasons(resolved, sum(each.total for each in layers)),
            target=target,
            planned_by=planned_by,
            evidence=_evidence(problems, [each.key for each, _ in resolved]),
            notes=tuple(ledger.notes),
            audit=tuple(audit),
        )
        return _write(connection, schema, header, ledger, updates, layers, folder)


def _completed(problems: pd.DataFrame, asked: Sequence[Correction], whole_cycle: bool) -> list[Correction]:
    """Return what is missing of the cycles that are corrected in part; refuse where nobody asked for the whole."""
    named = {each.key: each for each in asked}
    added: list[Correction] = []
    for _, rows in problems[problems["cycle"] != ""].groupby("cycle", sort=True):
        rows = rows.sort_values("position")
        keys = [f"{entity}/{wa_id}" for entity, wa_id in zip(rows["entity"], rows["wa_id"], strict=True)]
        right = dict(zip(keys, rows["should_be"], strict=True))
        parts = [key for key in keys if key in named and named[key].new_id == right[key]]
        if not parts:
            continue
        missing = [key for key in keys if key not in named]
        if missing and not whole_cycle:
            raise _part_of_a_cycle(named[parts[0]], keys, right)
        reason = named[parts[0]].reason or f"completes the correction of {parts[0]}"
        added += [
            Correction(entity, wa_id, right[key], reason)
            for key in missing
            for entity, wa_id in [key.split("/", 1)]
        ]
    return added


def _part_of_a_cycle(part: Correction, keys: Sequence[str], right: Mapping[str, str]) -> Refused:
    kind = "a swap" if len(keys) == 2 else f"a cycle of {len(keys)}"
    circle = " -> ".join((*keys, keys[0]))
    return Refused(
        f"{part.key} is part of {kind}: {circle} (each leads to the record of the next). Corrected alone, the rest"
        " would stay wrong, and two ids would lead to one record. Nothing was planned.",
        "Add --whole-cycle to correct all of it: "
        + "; ".join(f"{key} to {right[key]}" for key in keys)
        + ". `workbench mappings --csv FILE` writes all sure corrections as a table for `plan mapping --from FILE`.",
    )


def _notes(problems: pd.DataFrame, asked: Sequence[Correction]) -> list[str]:
    known = {
        f"{row['entity']}/{row['wa_id']}": (str(row["should_be"]), str(row["because"]))
        for row in problems.to_dict("records")
        if row["should_be"] and row["problem"] != "duplicate"
    }
    found = []
    for each in asked:
        right, because = known.get(each.key, ("", ""))
        if right and right != each.new_id:
            found.append(
                f"{each.key} shall lead to {each.new_id}, as asked; but {because or 'the traces'}: {right}."
            )
    named: dict[tuple[str, str], list[str]] = {}
    for each in asked:
        named.setdefault((each.entity, each.new_id), []).append(each.key)
    for (_, record), keys in sorted(named.items()):
        if len(keys) > 1:
            found.append(f"{' and '.join(keys)} shall lead to one record, {record}.")
    return found


def _correct(
    connection: Connection,
    schema: Schema,
    resolved: Sequence[tuple[Correction, list[MappingRow]]],
    updates: Updates,
    ledger: Ledger,
) -> list[dict[str, Any]]:
    """Note the changes of every correction, and its audit entries."""
    table = schema.resolved["mappings"].table
    wanted: dict[str, str] = {}
    audit: list[dict[str, Any]] = []
    surplus: list[str] = []
    for each, rows in resolved:
        kept = mapping_to_keep(schema, rows, each.new_id)
        surplus += [row.id for row in rows if row is not kept]
        if kept.target != each.new_id:
            wanted[kept.id] = each.new_id
        changed = [row for row in rows if row is not kept or kept.target != each.new_id]
        audit += [_entry(each, row, removed=row is not kept) for row in changed]
    columns = [
        name
        for name in CONCEPTS["mappings"].columns["target"]
        if name in schema.catalogue.tables[table].columns
    ]
    for key, row in current_rows(raw(connection), schema.catalogue, table, sorted(wanted)):
        # Where both spellings of the column are in use, every one that is filled must say the same afterwards.
        filled = {name: row.values[name] for name in columns if row.values.get(name) is not None}
        changes = {name: (old, wanted[key]) for name, old in filled.items() if old != wanted[key]}
        updates.add(table, key, row.digest, changes)
    if surplus:
        ledger.doomed[table] = sorted(surplus)
        ledger.notes.append(f"{len(surplus):,} mappings of ids that are mapped more than once are removed.")
    return audit


def _entry(each: Correction, row: MappingRow, *, removed: bool) -> dict[str, Any]:
    reason = each.reason or ("the id was mapped more than once" if removed else "")
    return {
        "action": MAPPING_CORRECTED,
        "metadata": {
            "waId": each.wa_id,
            "oldMurmurantId": row.target,
            "newMurmurantId": each.new_id,
            "entityType": row.entity_type,
            "reason": reason,
            **({"mappingRemoved": row.id} if removed else {}),
        },
    }


def _reasons(resolved: Sequence[tuple[Correction, list[MappingRow]]], moved: int) -> tuple[str, ...]:
    told = [
        f"{each.key}: from {', '.join(dict.fromkeys(row.target for row in rows))} to {each.new_id}"
        + (f" ({each.reason})" if each.reason else "")
        for each, rows in resolved
    ]
    more = [f"and {len(told) - _TOLD:,} more"] if len(told) > _TOLD else []
    head = f"Corrects {len(told):,} mapping{'s' if len(told) > 1 else ''} (guide §4.2)"
    head += f" and moves {moved:,} registrations that came through them." if moved else "."
    return (head, *told[:_TOLD], *more)


def _evidence(problems: pd.DataFrame, keys: Iterable[str]) -> tuple[str, ...]:
    wanted = set(keys)
    told = dict.fromkeys(
        f"{row['entity']}/{row['wa_id']}: {row['evidence']}"
        for row in problems.to_dict("records")
        if f"{row['entity']}/{row['wa_id']}" in wanted and row["problem"] != "shared-target"
    )
    return tuple(list(told)[:_TOLD])


def _write(
    connection: Connection,
    schema: Schema,
    header: Header,
    ledger: Ledger,
    updates: Updates,
    layers: Sequence[Updates],
    folder: Path,
) -> Plan:
    """Write the plan: registrations layer by layer, each into places that the one before has left; then mappings."""
    catalogue = schema.catalogue
    with PlanWriter(folder, header) as writer:
        for layer in layers:
            layer.write(writer, catalogue, frozenset(), among=False)
        for table, keys in sorted(ledger.doomed.items()):
            write_deletes(writer, raw(connection), catalogue, table, keys)
        updates.write(writer, catalogue, frozenset(), among=False)
        writer.notes("kept", sorted(ledger.kept))
        writer.notes("conflict", sorted(ledger.conflicts, key=lambda each: each[:3]))
        writer.notes("unresolved", sorted(ledger.unresolved))
        return writer.finish()
