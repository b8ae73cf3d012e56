"""Plan what comes back after a restore (guide §3, level 2): planned before it, applied after it.

A restore loses everything since the snapshot. This plan holds what of that is not the bad runs' doing, and says
of each row what the snapshot has: apply refuses it until the restored database has the live one's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.documents import Target
from workbench.errors import Refused, UsageError, unknown
from workbench.fixes.replay.doings import Doings, Sorting
from workbench.fixes.replay.resting import leave_out_what_cannot_stand
from workbench.fixes.restoring import OnConflict
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import Kind
from workbench.investigate.differences.sides import Side
from workbench.investigate.records import record_fates
from workbench.murmurant.catalogue import Catalogue, CatalogueTable
from workbench.murmurant.importers import REPLAYED, Strength
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.current import rows_by_key
from workbench.plans.drafting import Updates, write_deletes
from workbench.plans.plan import Header, Plan, Section, format_row
from workbench.plans.rows import in_chunks, seen_columns
from workbench.plans.writing import PlanWriter

_CHUNK = 5_000  # whole rows
_KEYS = 200_000


@dataclass(frozen=True)
class ReplayRequest:
    """What was asked for.

    Attributes
    ----------
    snapshot : str
        Its name.
    runs : tuple of str
        The runs whose doing is not put back.
    on_conflict : {"keep", "restore"}
        What becomes of a column that both a run and somebody after it changed: what is there now is put back,
        or it stays as the snapshot has it.
    min_evidence : Strength
        Records tied to a run more weakly are not put back, and are listed.
    """

    snapshot: str
    runs: tuple[str, ...]
    on_conflict: OnConflict = "keep"
    min_evidence: Strength = Strength.likely

    @classmethod
    def checked(
        cls, snapshot: str, runs: Sequence[str], on_conflict: str, min_evidence: str
    ) -> ReplayRequest:
        """Take what was asked for in words; `UsageError` for a word that means nothing here."""
        if min_evidence not in Strength.__members__:
            raise unknown("strength of evidence", min_evidence, Strength.__members__)
        if on_conflict not in ("keep", "restore"):
            raise unknown("way with conflicts", on_conflict, ("keep", "restore"))
        if not runs:
            raise UsageError(
                "No run is named whose doing is not to be put back.", "Name it with --run RUN_ID."
            )
        way: OnConflict = "restore" if on_conflict == "restore" else "keep"
        return cls(snapshot, tuple(dict.fromkeys(runs)), way, Strength[min_evidence])

    def parameters(self) -> dict[str, Any]:
        """Return them as a plan's header has them."""
        return {
            "snapshot": self.snapshot,
            "runs": list(self.runs),
            "on_conflict": self.on_conflict,
            "min_evidence": self.min_evidence.name,
        }


def sort_doings(sorting: Sorting, graph: References) -> Doings:
    """Sort what was done since a snapshot, and take out what cannot be put back.

    Raises
    ------
    Refused
        For a dry run, or a snapshot that is not from before the run.
    """
    for run in sorting.bad:
        if run.mode == "dry":
            raise Refused(f"{run.run} was a dry run: it wrote nothing, so nothing is lost by keeping it.")
    _refuse_a_later_snapshot(sorting)
    done = sorting.sort()
    leave_out_what_cannot_stand(sorting.compared, graph, done)
    return done


def _refuse_a_later_snapshot(sorting: Sorting) -> None:
    """Refuse one that has what a bad run made: a restore to it would not undo the run."""
    schema, tables = sorting.schema, sorting.compared.tables
    for run in sorting.bad:
        others = [each for each in sorting.runs if each is not run]
        for fates in record_fates(sorting.connection, schema, run, others):
            if fates.action != "created" or not fates.exists or fates.strength < sorting.min_evidence:
                continue
            made = {key for key in fates.record_ids if key is not None}
            for chunk in tables[schema.table_of(fates.entity)].added.chunks(_KEYS):
                made.difference_update(chunk)
            if made:
                raise Refused(
                    f"The snapshot is not from before run {run.run}: it has {len(made):,} of the {fates.entity}"
                    f" records that the run created, {min(made)} for one.",
                    "Give one that was taken before it began.",
                )


def plan_replay(
    sorting: Sorting,
    graph: References,
    request: ReplayRequest,
    *,
    evidence: Sequence[str],
    target: Target,
    planned_by: str,
    folder: Path,
) -> Plan:
    """Plan what is put back after a restore to a snapshot.

    Parameters
    ----------
    sorting : Sorting
        The snapshot and the database, side by side.
    evidence : sequence of str
        What it rests on, in words.
    folder : Path
        Where the plan file is written.

    Returns
    -------
    Plan
        For the database that the restore puts in the live one's place.

    Raises
    ------
    Refused
        When there is nothing to put back.
    """
    done = sort_doings(sorting, graph)
    if not done.total:
        more = f" {len(done.conflicts):,} rows or values cannot be put back." if done.conflicts else ""
        raise Refused(f"Nothing was done since {request.snapshot} but by {', '.join(request.runs)}.{more}")
    facts: dict[str, Any] = {"backup_file": request.snapshot, "records_affected": done.total}
    facts |= {"run_id": request.runs[0]} if len(request.runs) == 1 else {"runs": list(request.runs)}
    header = Header(
        kind="replay",
        parameters=request.parameters(),
        reasons=(
            f"Puts back, after a restore to {request.snapshot}, what was done since and is not the doing of"
            f" {', '.join(request.runs)}.",
        ),
        target=target,
        planned_by=planned_by,
        evidence=tuple(evidence),
        notes=(
            "For the restored database: before the restore its rows are not as this plan expects them.",
            *_by_nobody(sorting, done),
            *done.notes,
        ),
        audit=({"action": REPLAYED, "metadata": facts},),
    )
    return _write(sorting, graph, header, done, folder)


def _by_nobody(sorting: Sorting, done: Doings) -> list[str]:
    """Say how many rows come back of which nothing tells who wrote them."""
    kinds: dict[Kind, dict[str, Any]] = {
        "added": {**done.inserts},
        "changed": {**done.updates},
        "removed": {**done.deletes},
    }
    count = 0
    for kind, tables in kinds.items():
        for table, keys in tables.items():
            for chunk in in_chunks(sorted(keys), _KEYS):
                known = sorting.authors.of(table, kind, chunk)
                count += len(chunk) - sum(key in known for key in chunk)
    if not count:
        return []
    return [f"Of {count:,} rows that are put back nothing tells who wrote them; no run left a mark on them."]


def _write(sorting: Sorting, graph: References, header: Header, done: Doings, folder: Path) -> Plan:
    """Write the plan in an order that no reference minds: what goes, what changes, what comes, what leads to that."""
    compared = sorting.compared
    assert compared.before is not None
    there = _as_restored(sorting.schema, compared.before)
    deletes = {table: sorted(keys) for table, keys in done.deletes.items() if keys}
    inserts = {table: sorted(keys) for table, keys in done.inserts.items() if keys}
    going = {(each.child, each.column) for table in deletes for each in graph.binding(table)}
    coming = {
        (each.child, each.column): done.inserts[each.parent]
        for each in graph.all
        if each.declared and each.parent in inserts
    }
    with ExitStack() as stack:
        first, second, last = (stack.enter_context(Updates()) for _ in range(3))
        for table, changed in sorted(done.updates.items()):
            described = rows.table_of(there, table)
            digest = rows.digest(described, seen_columns(there, table), "t")
            for chunk in in_chunks(sorted(changed), _CHUNK):
                found = rows_by_key(
                    compared.before.connection, compared.before.schema, described, chunk, [], digest
                )
                for key in chunk:
                    columns = changed[key]
                    leads = any(
                        (table, name) in coming and new in coming[table, name]
                        for name, (_, new) in columns.items()
                    )
                    frees = any((table, name) in going for name in columns)
                    place = last if leads else first if frees else second
                    place.add(table, key, found[key].digest, columns)
        with PlanWriter(folder, header) as writer:
            first.write(writer, there, frozenset(), among=False)
            for table in graph.delete_order(deletes).tables:
                write_deletes(writer, compared.before.connection, there, table, deletes[table])
            second.write(writer, there, frozenset(), among=False)
            for table in reversed(graph.delete_order(inserts).tables):
                _write_inserts(writer, compared, there, table, inserts[table])
            last.write(writer, there, frozenset(), among=False)
            writer.notes("kept", sorted(done.kept))
            writer.notes("conflict", sorted(done.conflicts, key=lambda each: tuple(map(str, each))))
            writer.notes("unresolved", sorted(done.unresolved))
            return writer.finish()


def _write_inserts(
    writer: PlanWriter, compared: Comparing, there: Catalogue, table: str, keys: Sequence[str]
) -> None:
    shape = compared.tables[table].shape
    assert shape is not None
    names = tuple(name for name in shape.columns if not there.tables[table].columns[name].generated)
    described = compared.now.catalogue.tables[table]
    key = rows.table_of(there, table).primary_key
    with writer.section(Section("insert", table, key, changed=names)):
        for chunk in in_chunks(keys, _CHUNK):
            found = rows_by_key(
                compared.now.connection,
                compared.now.schema,
                replace(described, primary_key=key),
                chunk,
                names,
            )
            writer.block(b"".join(format_row([found[each].values[name] for name in names]) for each in chunk))


def _as_restored(schema: Schema, before: Side) -> Catalogue:
    """Return how the restored database will describe itself: the snapshot's columns, the live one's keys."""
    live = schema.catalogue.tables
    tables: dict[str, CatalogueTable] = {
        name: replace(found, primary_key=live[name].primary_key, unique=live[name].unique)
        for name, found in before.catalogue.tables.items()
        if name in live
    }
    return replace(schema.catalogue, tables=tables)
