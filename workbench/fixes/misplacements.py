"""Registrations that came through a wrong mapping, on their way to the right event or member."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from sqlalchemy import Connection, select, tuple_

from workbench.fixes.ledger import Ledger
from workbench.fixes.moving import Slot, order_moves
from workbench.investigate.mappings.by_run import written_through
from workbench.investigate.mappings.misplaced import BY_HAND, Misplaced, Wrong
from workbench.investigate.mappings.statements import listed
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text
from workbench.plans.current import current_rows
from workbench.plans.drafting import Updates
from workbench.plans.journal import raw

_COLUMNS = ("event_id", "member_id")


def move_registrations(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    through: Sequence[Misplaced],
    ledger: Ledger,
    stack: ExitStack,
) -> list[Updates]:
    """Note where registrations move; what cannot move, or must not, goes into the ledger with its reason.

    Parameters
    ----------
    through : sequence of Misplaced
        From `workbench.investigate.mappings.misplaced.came_through`.

    Returns
    -------
    list of Updates
        To be written in this order, before anything else: each moves into places the one before has left.
    """
    table = schema.resolved["registrations"].table if "registrations" in schema.resolved else ""
    wanted: dict[str, dict[str, str]] = {}
    for one in through:
        if one.moves:
            wanted.setdefault(one.registration, {})[one.column] = one.right
        elif one.because == BY_HAND:
            ledger.kept.append((table, one.registration, one.because))
        else:
            said = f"on {one.now} through {one.through}: {one.because}"
            ledger.unresolved.append((table, one.registration, said, _EXPORT))
    for each, run in written_through(connection, schema, runs, wrongs):
        ledger.unresolved.append(
            (
                schema.table_of(each.entity),
                each.was,
                f"run {run} wrote what it knew of WA id {each.wa_id} into this record",
                "the next full sync writes each record from its own contact again; a snapshot from before tells more",
            )
        )
    if not wanted:
        return []
    now = _slots_of(connection, schema, list(wanted))
    after: dict[str, Slot] = {
        key: (wanted[key].get("event_id", slot[0]), wanted[key].get("member_id", slot[1]))
        for key, slot in now.items()
    }
    now |= _holding(connection, schema, sorted(set(after.values())))
    moves = order_moves(now, after, unique=schema.forbids_twins("registrations", *_COLUMNS))
    spelled = schema.resolved["registrations"].spelling
    for key, reason in moves.refused.items():
        for column, right in sorted(wanted[key].items()):
            at = now[key][_COLUMNS.index(column)]
            ledger.conflicts.append((table, key, spelled[column], None, right, at, reason))
    # What changes places must be in one section, whole; sections are told apart by the columns they set.
    together = {
        key: set().union(*(wanted[each] for each in circle)) for circle in moves.circles for key in circle
    }
    if together:
        ledger.notes.append(f"{len(together):,} registrations change places with one another.")
    found = []
    for layer in (*moves.layers, *([sorted(together)] if together else ())):
        updates = stack.enter_context(Updates())
        for key, row in current_rows(raw(connection), schema.catalogue, table, layer):
            changes = {
                spelled[column]: (
                    row.values[spelled[column]],
                    wanted[key].get(column, now[key][_COLUMNS.index(column)]),
                )
                for column in together.get(key, wanted[key])
            }
            updates.add(table, key, row.digest, changes)
        found.append(updates)
    return found


_EXPORT = "Wild Apricot's export of registrations, given with --export"


def _slots_of(connection: Connection, schema: Schema, keys: Sequence[str]) -> dict[str, Slot]:
    row, wanted = schema.registrations, listed("moving", value=sorted(keys))
    rows = connection.execute(
        select(as_text(row.c.id), as_text(row.c.event_id), as_text(row.c.member_id)).where(
            as_text(row.c.id).in_(select(wanted.c.value))
        )
    )
    return {key: (event, member) for key, event, member in rows}


def _holding(connection: Connection, schema: Schema, slots: Sequence[Slot]) -> dict[str, Slot]:
    row = schema.registrations
    wanted = listed("slots", event=[event for event, _ in slots], member=[member for _, member in slots])
    event, member = as_text(row.c.event_id), as_text(row.c.member_id)
    rows = connection.execute(
        select(as_text(row.c.id), event, member).where(
            tuple_(event, member).in_(select(wanted.c.event, wanted.c.member))
        )
    )
    return {key: (at, who) for key, at, who in rows}
