"""WA ids that lead to the wrong record (guide, §1.2)."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from workbench.demo.breakages.ground import (
    SWAPPED_EVENTS,
    entity_type,
    members_of,
    point,
    run,
    wa_value,
)
from workbench.demo.breakages.intruder import Cargo, entry, new_number, plant_run, start_of
from workbench.demo.breakages.truth import Connection, Harm, breakage, mapping_key
from workbench.demo.club import Club
from workbench.demo.people import gathering, person
from workbench.demo.rows import copy
from workbench.demo.shape import ident, stamp


def _rotate(connection: Connection, club: Club, breakage: str) -> Harm:
    numbers = members_of(club, breakage)
    shape = club.shape
    right = {shape.wa_id("Member", n): shape.id("Member", n) for n in numbers}
    shifted = [*list(right.values())[1:], next(iter(right.values()))]
    for wa_id, record in zip(right, shifted, strict=True):
        point(connection, club, "Member", wa_id, record)
    was = {mapping_key("Member", wa_id): record for wa_id, record in right.items()}
    return was, {"right": was}


@breakage("§1.2", "Member linked to wrong person", "members-wrong-person")
def swapped_mappings(connection: Connection, club: Club) -> Harm:
    """Let two members' WA ids point at each other's record: no orphan, no duplicate, all wrong."""
    return _rotate(connection, club, "swapped-mappings")


@breakage("§1.2", "Member linked to wrong person", "members-wrong-person")
def cycle_of_three(connection: Connection, club: Club) -> Harm:
    """Let three members' WA ids each point at the next one's record."""
    return _rotate(connection, club, "cycle-of-three")


@breakage("§1.2", "Member linked to wrong person", "members-wrong-person")
def imported_through_swap(connection: Connection, club: Club) -> Harm:
    """Let two members' WA ids point at each other's record, and a later run bring a registration of each: to the other."""
    name = "imported-through-swap"
    shape = club.shape
    keys, detail = _rotate(connection, club, name)
    numbers = members_of(club, name)
    taken = list(zip(numbers, reversed(numbers), strict=True))
    events, entries = [], []
    for place, (_, wrong) in enumerate(taken):
        event = gathering(shape, new_number(club, name, "Event", place))
        registered = start_of(name) - timedelta(hours=8)
        events.append(event)
        entries.append(entry(club, name, place, event.id, shape.id("Member", wrong), registered))
    met = tuple((person(shape, own), shape.id("Member", wrong)) for own, wrong in taken)
    planted = plant_run(connection, club, name, Cargo((), tuple(events), tuple(entries), met))
    belong = {each.id: shape.id("Member", own) for each, own in zip(entries, numbers, strict=True)}
    return keys, {**detail, "registrations": belong, "run": planted.run}


@breakage("§1.2", "Member linked to wrong person", "members-wrong-person", "mappings-shared-target")
def wrong_person(connection: Connection, club: Club) -> Harm:
    """Let Alice's WA id point at Bob's record, to which Bob's own points too."""
    alice, bob = members_of(club, "wrong-person")
    shape = club.shape
    wa_id = shape.wa_id("Member", alice)
    point(connection, club, "Member", wa_id, shape.id("Member", bob))
    key = mapping_key("Member", wa_id)
    right = {key: shape.id("Member", alice)}
    return {key}, {"right": right}


@breakage("§1.2", "Event registrations on wrong event", "registrations-wrong-event", "events-wrong-record")
def registrations_on_wrong_event(connection: Connection, club: Club) -> Harm:
    """Exchange two events' mappings, and put some registrations of the one on the other."""
    shape = club.shape
    (wa_a, a), (wa_b, b) = ((shape.wa_id("Event", n), shape.id("Event", n)) for n in SWAPPED_EVENTS)
    # The import's own listing proves where they belong: every registration it lists in the guide's
    # dialect, those of the CSV import (which have no mapping) in the application's.
    moved = run(
        connection,
        club,
        """
        SELECT r.id::text FROM {registrations} r
        WHERE r."eventId" = %s
          AND NOT EXISTS (
              SELECT FROM {registrations} o WHERE o."eventId" = %s AND o."memberId" = r."memberId"
          )
          AND (%s OR NOT EXISTS (SELECT FROM "WaIdMapping" m WHERE m.{target} = r.id))
          AND r.id <> %s
        ORDER BY r.id LIMIT 2
        """,
        *(a, b, club.dialect == "guide", shape.id("Registration", 0)),
    )
    keys = [row[0] for row in moved]
    run(connection, club, 'UPDATE {registrations} SET "eventId" = %s WHERE id = ANY(%s::{ids})', b, keys)
    point(connection, club, "Event", wa_a, b)
    point(connection, club, "Event", wa_b, a)
    swapped = {mapping_key("Event", wa_a): a, mapping_key("Event", wa_b): b}
    return keys, {"right": dict.fromkeys(keys, a), "mappings": swapped}


@breakage("§1.2", "Duplicate mappings", "mappings-duplicate")
def duplicate_mappings(connection: Connection, club: Club) -> Harm:
    """Map one WA id twice.

    In the application, entity type and WA id are unique together; there the second mapping spells the
    entity type as the guide does.
    """
    shape = club.shape
    entity = "Member" if club.dialect == "guide" else "Registration"
    number = members_of(club, "duplicate-mappings")[0] if entity == "Member" else 0
    _copy_mapping(
        connection,
        club,
        (entity_type(club, entity), shape.wa_id(entity, number)),
        (entity, shape.wa_id(entity, number)),
        "duplicate-mappings",
    )
    key = mapping_key(entity, shape.wa_id(entity, number))
    return {key}, {"record": shape.id(entity, number)}


@breakage("§1.2", "Duplicate mappings", "mappings-shared-target", "members-wrong-person")
def shared_target(connection: Connection, club: Club) -> Harm:
    """Map a second WA id to a member, as the sync does with a contact whose e-mail it knows."""
    shape = club.shape
    number = members_of(club, "shared-target")[0]
    own = shape.wa_id("Member", number)
    second = shape.wa_id("Member", club.members + 900)
    _copy_mapping(connection, club, ("Member", own), ("Member", second), "shared-target")
    keys = frozenset({mapping_key("Member", own), mapping_key("Member", second)})
    return keys, {"record": shape.id("Member", number)}


@breakage("§1.2", "Member linked to wrong person", "mappings-orphaned", "mappings-shared-target")
def wrong_entity(connection: Connection, club: Club) -> Harm:
    """Map a contact onto an event: no member has this id."""
    shape = club.shape
    wa_id = shape.wa_id("Member", club.members + 960)
    event = shape.id("Event", SWAPPED_EVENTS[-1] + 1)
    at = stamp(club.last_live_run.started)
    target = "murmurantId" if club.dialect == "guide" else "clubosId"
    row = (ident(club.seed, "wrong-entity", 0), "Member", wa_value(club, wa_id), event, at, at)
    copy(connection, "WaIdMapping", f"id entityType waId {target} syncedAt updatedAt", [row])
    return {mapping_key("Member", wa_id)}, {"target": event}


def _copy_mapping(
    connection: Connection, club: Club, source: tuple[str, int], copied: tuple[str, int], breakage: str
) -> None:
    run_column = sql.SQL(', "syncRunId"' if club.dialect == "guide" else "")
    statement = sql.SQL(
        """
        INSERT INTO "WaIdMapping" (id, "entityType", "waId", {target}, "syncedAt", "updatedAt"{run})
        SELECT %s, %s, %s, {target}, "syncedAt", "updatedAt"{run}
        FROM "WaIdMapping" WHERE "entityType" = %s AND "waId" = %s
        """
    ).format(target=sql.Identifier("murmurantId" if club.dialect == "guide" else "clubosId"), run=run_column)
    connection.execute(
        statement,
        (
            ident(club.seed, breakage, 0),
            copied[0],
            wa_value(club, copied[1]),
            source[0],
            wa_value(club, source[1]),
        ),
    )
