"""Mappings, registrations, audit entries and a sync state that contradict the rest (guide, §2.4, §5.1, §7)."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from workbench.demo.breakages.ground import entity_type, events_of, members_of, run, wa_value
from workbench.demo.breakages.intruder import plant_run, small_cargo
from workbench.demo.breakages.truth import Connection, Harm, breakage, mapping_key
from workbench.demo.club import Club
from workbench.demo.rows import copy
from workbench.demo.shape import ident, stamp


@breakage("§2.4", "No orphaned mappings", "mappings-orphaned")
def orphaned_mappings(connection: Connection, club: Club) -> Harm:
    """Add a mapping of each entity whose record is not there."""
    name = "orphaned-mappings"
    shape = club.shape
    totals = {"Member": club.members, "Event": shape.events, "Registration": club.registrations}
    at = stamp(club.last_live_run.started)
    rows = []
    keys = []
    for place, (entity, total) in enumerate(totals.items()):
        wa_id = shape.wa_id(entity, total + 950)
        keys.append(mapping_key(entity, wa_id))
        nowhere = ident(club.seed, f"{name} target", place)
        own = ident(club.seed, name, place)
        rows.append((own, entity_type(club, entity), wa_value(club, wa_id), nowhere, at, at))
    target = "murmurantId" if club.dialect == "guide" else "clubosId"
    copy(connection, "WaIdMapping", f"id entityType waId {target} syncedAt updatedAt", rows)
    return keys, {}


@breakage("§7.1", "No orphaned registrations", "registrations-orphaned")
def orphaned_registrations(connection: Connection, club: Club) -> Harm:
    """Add one registration without its member and one without its event, past any foreign key."""
    name = "orphaned-registrations"
    shape = club.shape
    event = shape.id("Event", events_of(club, name)[0])
    member = shape.id("Member", members_of(club, name)[0])
    nobody, nowhere = (ident(club.seed, f"{name} target", place) for place in (0, 1))
    keys = [ident(club.seed, name, place) for place in (0, 1)]
    at = stamp(club.last_live_run.started)
    with connection.transaction():
        # The planting of a fault that keys forbid: triggers, and with them the keys' checks, are off.
        connection.execute("SET LOCAL session_replication_role = replica")
        copy(
            connection,
            "Registration" if club.dialect == "guide" else "EventRegistration",
            "id eventId memberId status registeredAt createdAt updatedAt",
            [
                (keys[0], event, nobody, "CONFIRMED", at, at, at),
                (keys[1], nowhere, member, "CONFIRMED", at, at, at),
            ],
        )
        connection.execute("SET LOCAL session_replication_role = origin")
    return keys, {"member": keys[0], "event": keys[1]}


@breakage(
    "§5.1",
    "Import begins, and neither finishes nor errors",
    "runs-ended",
    "runs-interrupted",
    "members-missing",
    "records-missing",
    "records-left-out",
)
def run_never_ended(connection: Connection, club: Club) -> Harm:
    """Add a run that was killed: it has a beginning, some records, and no end."""
    name = "run-never-ended"
    planted = plant_run(connection, club, name, small_cargo(club, name), end="killed")
    return {planted.run}, {"importer": planted.importer}


@breakage("§5.1", "Metadata Required", "audit-metadata")
def audit_metadata_missing(connection: Connection, club: Club) -> Harm:
    """Add a run whose audit entries lack what the guide requires of them."""
    name = "audit-metadata-missing"
    planted = plant_run(connection, club, name, small_cargo(club, name))
    key = sql.SQL("run_id" if club.dialect == "guide" else "syncRunId")
    order = sql.SQL("action" if club.dialect == "guide" else '"resourceType" DESC, id')
    entries = connection.execute(
        sql.SQL("""SELECT id::text FROM "AuditLog" WHERE metadata->>{} = %s ORDER BY {} LIMIT 2""").format(
            sql.Literal(key.as_string()), order
        ),
        (planted.run,),
    ).fetchall()
    keys = [row[0] for row in entries]
    # In the guide's dialect the entries sort as completed, started.
    lost = (["counts", "duration"], ["operator"]) if club.dialect == "guide" else (["waId"], ["mode"])
    for entry, names in zip(keys, lost, strict=True):
        run(
            connection,
            club,
            'UPDATE "AuditLog" SET metadata = metadata - %s::text[] WHERE id = %s',
            names,
            entry,
        )
    return keys, {"missing": dict(zip(keys, lost, strict=True)), "run": planted.run}


@breakage("§7.3", "Sync state needs attention", "sync-state")
def sync_state_ahead(connection: Connection, club: Club) -> Harm:
    """Let the sync state tell of a sync later than any there was."""
    ahead = stamp(club.anchor + timedelta(days=9))
    rows = run(connection, club, 'UPDATE "WaSyncState" SET "lastFullSync" = %s RETURNING id::text', ahead)
    return [row[0] for row in rows], {"lastFullSync": ahead}
