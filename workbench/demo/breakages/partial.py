"""Imports that stopped, or whose work is gone (guide, §1.1)."""

from __future__ import annotations

from workbench.demo.breakages.ground import erase, events_of, run
from workbench.demo.breakages.intruder import plant_run, small_cargo
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.shape import stamp


@breakage("§1.1", "Some members imported, others missing", "members-missing", "records-missing")
def members_missing(connection: Connection, club: Club) -> Harm:
    """Remove the members that the last run created, with all that hangs on them; its traces stay."""
    last = club.last_live_run
    created = run(
        connection,
        club,
        'SELECT id::text FROM "Member" WHERE "createdAt" BETWEEN %s AND %s ORDER BY id',
        *(stamp(last.started), stamp(last.finished)),
    )
    gone = erase(connection, club, "Member", [row[0] for row in created])
    return {last.run}, {"deleted": gone}


@breakage(
    "§1.1", "Events imported but registrations failed", "events-without-registrations", "records-missing"
)
def events_without_registrations(connection: Connection, club: Club) -> Harm:
    """Remove all registrations of some past events."""
    events = [club.shape.id("Event", number) for number in events_of(club, "events-without-registrations")]
    held = run(
        connection, club, 'SELECT id::text FROM {registrations} WHERE "eventId" = ANY(%s::{ids})', events
    )
    table = "Registration" if club.dialect == "guide" else "EventRegistration"
    gone = erase(connection, club, table, [row[0] for row in held])
    return events, {"deleted": gone}


@breakage("§1.1", "Transaction rolled back mid-batch", "runs-interrupted", "records-left-out")
def halted_batch(connection: Connection, club: Club) -> Harm:
    """Add a run that lost its source midway."""
    name = "halted-batch"
    halted = plant_run(connection, club, name, small_cargo(club, name), end="failed")
    return {halted.run}, {"importer": halted.importer}
