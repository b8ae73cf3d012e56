"""One more import run, planted into a club's past after its own: complete, or cut short somewhere.

A run leaves what its importer leaves: records, mappings, audit entries, a report file, the
sync state. Each breakage that needs a run has a day of its own, and records of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from workbench.demo import application, guide
from workbench.demo.breakages.ground import entity_type, run, wa_value
from workbench.demo.breakages.truth import Connection
from workbench.demo.club import Club
from workbench.demo.history import DRY_RUN_LEAD, Importer, Run, run_id, tally
from workbench.demo.listings import event_record, member_record, registration_record
from workbench.demo.people import Gathering, Person, gathering, person
from workbench.demo.reports import CSV_CONFIG, GUIDE_CONFIG, Record, write_api_report, write_listing
from workbench.demo.rows import Row, copy
from workbench.demo.shape import SECOND_RUN, ident, sibling, stamp

DAYS = (
    # The first comes more than a day after the last dry run of the club, and before any other's.
    "premature-run",
    "halted-batch",
    "run-never-ended",
    "wrong-environment",
    "wrong-config",
    "audit-metadata-missing",
    "duplicate-members",
    "duplicate-events",
    "split-registrations",
    "stale-dry-run",
    "imported-through-swap",
)
"""The breakages that plant a run, each on a day of its own."""

_NUMBERS_EACH = 20  # records of one entity that a planted run may have
_LENGTH = timedelta(minutes=2)


@dataclass(frozen=True)
class Entry:
    """A registration that a planted run brings."""

    number: int
    id: str
    event: str
    member: str
    status: str
    registered: datetime


@dataclass(frozen=True)
class Cargo:
    """The records a planted run creates, and the contacts it knew already with the member it took each for."""

    members: tuple[Person, ...] = ()
    events: tuple[Gathering, ...] = ()
    registrations: tuple[Entry, ...] = ()
    met: tuple[tuple[Person, str], ...] = ()

    def each(self) -> list[tuple[str, int, str]]:
        """Return entity, number and id of every record."""
        return [
            *(("Member", one.number, one.id) for one in self.members),
            *(("Event", event.number, event.id) for event in self.events),
            *(("Registration", entry.number, entry.id) for entry in self.registrations),
        ]


def start_of(breakage: str) -> datetime:
    """Return when a breakage's run starts."""
    return SECOND_RUN + timedelta(days=1 + DAYS.index(breakage), hours=1)


def new_number(club: Club, breakage: str, entity: str, position: int) -> int:
    """Return a number beyond the club's own for a record that a breakage adds."""
    own = {"Member": club.members, "Event": club.shape.events, "Registration": club.registrations}
    return own[entity] + _NUMBERS_EACH * DAYS.index(breakage) + position


def newcomers(club: Club, breakage: str, count: int = 3) -> tuple[Person, ...]:
    """Return people the club did not know before."""
    numbers = (new_number(club, breakage, "Member", position) for position in range(count))
    return tuple(person(club.shape, number) for number in numbers)


def entry(
    club: Club,
    breakage: str,
    position: int,
    event: str,
    member: str,
    registered: datetime,
    status: str = "CONFIRMED",
) -> Entry:
    """Return a new registration."""
    number = new_number(club, breakage, "Registration", position)
    return Entry(number, club.shape.id("Registration", number), event, member, status, registered)


def small_cargo(club: Club, breakage: str) -> Cargo:
    """Return three new members, one of them registered for an event to come that has room."""
    shape = club.shape
    room = [
        number
        for number in reversed(range(shape.csv_events, shape.events))
        if number % 6 != 5 and gathering(shape, number).start > club.anchor
    ]
    event = room[DAYS.index(breakage) % min(len(room), len(DAYS))]
    people = newcomers(club, breakage)
    registered = start_of(breakage) - timedelta(hours=8)
    first = entry(club, breakage, 0, shape.id("Event", event), people[0].id, registered)
    return Cargo(people, (), (first,))


def plant_run(
    connection: Connection,
    club: Club,
    breakage: str,
    cargo: Cargo,
    *,
    importer: Importer | None = None,
    dry_run: bool = True,
    dry_run_lead: timedelta = DRY_RUN_LEAD,
    end: Literal["completed", "failed", "killed"] = "completed",
    config: Mapping[str, str] | None = None,
    environment: str | None = None,
) -> Run:
    """Plant one more live run, and the dry run that should precede it.

    Parameters
    ----------
    end : {"completed", "failed", "killed"}
        A failed sync still reports success, and says in its skip reasons what it could not fetch. A
        killed run leaves no end: no audit entry, no report, no sync state.
    config, environment
        What the live run says of itself, if not what all runs say.
    """
    by: Importer = importer or ("guide" if club.dialect == "guide" else "api")
    started = start_of(breakage)
    known = _known(connection, club, by)
    brought = {
        "Member": len(cargo.members),
        "Event": len(cargo.events),
        "Registration": len(cargo.registrations),
    }
    # Events whose registrations a sync loses: all that were still to come.
    failed = range(club.shape.open_events, club.shape.first_events) if end == "failed" else range(0)
    lost = sum(seats.first + seats.second for seats in map(club.shape.seats, failed))
    known["Registration"] -= min(lost, known["Registration"])
    known["Member"] -= len(cargo.met)
    updated = {"Member": len(cargo.met)}
    counts = {
        entity: tally(brought[entity], updated.get(entity, 0), existing=known[entity]) for entity in brought
    }
    live = Run(run_id(club.shape, by, started), by, "live", started, started + _LENGTH, counts)
    dry = replace(
        live,
        run=run_id(club.shape, by, started - dry_run_lead),
        mode="dry",
        started=started - dry_run_lead,
        finished=started - dry_run_lead + _LENGTH,
    )
    _load(connection, club, by, live, cargo, environment)
    plain = GUIDE_CONFIG if by == "guide" else CSV_CONFIG
    for each in (dry, live) if dry_run else (live,):
        ended = end if each is live else "completed"
        settings = dict(config or plain) if each is live else plain
        if by == "guide":
            place = environment if each is live and environment else guide.ENVIRONMENT
            entries = guide.run_entries(each, config=settings, environment=place, end=ended)
            rows = [(ident(club.seed, f"entry {each.run}", n), *one) for n, one in enumerate(entries)]
            copy(connection, "AuditLog", "id action metadata createdAt", rows)
        if by == "api" and ended != "killed":
            write_api_report(
                club.imports,
                each,
                mapped_events=known["Event"],
                unfetched=[club.shape.wa_id("Event", number) for number in failed if each is live],
            )
        elif by != "api" and ended == "completed":
            write_listing(club.imports, each, settings, _listing(club, by, each, cargo))
    if (by == "api" and end != "killed") or (by == "guide" and end == "completed"):
        _close(connection, club, live)
    return live


def _known(connection: Connection, club: Club, by: Importer) -> dict[str, int]:
    """Count what a run meets that is there already: the mapped records; a small CSV export has none."""
    found = dict(run(connection, club, 'SELECT "entityType", count(*) FROM "WaIdMapping" GROUP BY 1'))
    return {
        entity: 0 if by == "csv" else found.get(entity_type(club, entity), 0)
        for entity in ("Member", "Event", "Registration")
    }


def _load(
    connection: Connection, club: Club, by: Importer, live: Run, cargo: Cargo, environment: str | None
) -> None:
    moments = {
        record: stamp(live.started + timedelta(seconds=1 + place))
        for place, (_, _, record) in enumerate(cargo.each())
    }
    tiers = guide.tier_ids(club.shape)
    members: list[Row] = []
    events: list[Row] = []
    registrations: list[Row] = []
    if by == "guide":
        members = [
            guide.member_row(tiers[one.level], one, live.run, moments[one.id], moments[one.id])
            for one in cargo.members
        ]
        events = [guide.event_row(e, live.run, moments[e.id], moments[e.id]) for e in cargo.events]
        registrations = [
            (e.id, e.event, e.member, e.status, stamp(e.registered), live.run, moments[e.id], moments[e.id])
            for e in cargo.registrations
        ]
    else:
        for one in cargo.members:
            wa_id = club.shape.wa_id("Member", one.number) if by == "api" else None
            raw = application.raw_data(one, wa_id, moments[one.id]) if wa_id is not None else None
            at = moments[one.id]
            members.append(application.member_row(club.shape, one, at, at, wa_id, raw))
        events = [application.event_row(e, True, None, moments[e.id], moments[e.id]) for e in cargo.events]
        registrations = [
            (e.id, e.event, e.member, e.status, None, stamp(e.registered), moments[e.id], moments[e.id])
            for e in cargo.registrations
        ]
    world: Any = guide if by == "guide" else application
    copy(connection, "Member", world.MEMBER_COLUMNS, members)
    copy(connection, "Event", world.EVENT_COLUMNS, events)
    copy(connection, entity_type(club, "Registration"), world.REGISTRATION_COLUMNS, registrations)
    if by == "csv":
        return
    mappings: list[Row] = []
    audit: list[Row] = []
    for entity, number, record in cargo.each():
        wa_id = club.shape.wa_id(entity, number)
        head = (sibling(record, 0), entity_type(club, entity), wa_value(club, wa_id), record)
        at = moments[record]
        mappings.append((*head, live.run, at, at) if by == "guide" else (*head, at, at))
        more = {"environment": environment} if environment else {}
        metadata = application.import_metadata(live.run, wa_id, **more)
        kind = entity_type(club, entity)
        audit.append((sibling(record, 1), "CREATE", kind, record, None, None, None, metadata, at))
    for one, record in cargo.met:
        metadata = application.import_metadata(live.run, club.shape.wa_id("Member", one.number), changes={})
        own = ident(club.seed, f"met {live.run}", one.number)
        audit.append((own, "UPDATE", "Member", record, None, None, None, metadata, stamp(live.started)))
    copy(connection, "WaIdMapping", world.MAPPING_COLUMNS, mappings)
    if by == "api":
        copy(connection, "AuditLog", application.AUDIT_COLUMNS, audit)


def _listing(club: Club, by: Importer, each: Run, cargo: Cargo) -> dict[str, list[Record]]:
    def name(entity: str, number: int) -> str:
        word = {"Member": "WA", "Event": "EVT", "Registration": "REG"}[entity] if by == "csv" else ""
        return f"{word}{club.shape.wa_id(entity, number)}"

    born = {record for _, _, record in cargo.each()}

    def known(record: str) -> str:
        return f"dry-{sibling(record, 2)}" if each.mode == "dry" and record in born else record

    return {
        "members": [
            *(
                member_record(one, name("Member", one.number), "create", known(one.id))
                for one in cargo.members
            ),
            *(member_record(one, name("Member", one.number), "update", record) for one, record in cargo.met),
        ],
        "events": [event_record(e, name("Event", e.number), "create", known(e.id)) for e in cargo.events],
        "registrations": [
            registration_record(
                known(e.member),
                known(e.event),
                e.status,
                e.registered,
                name("Registration", e.number),
                "create",
                known(e.id),
            )
            for e in cargo.registrations
        ],
    }


def _close(connection: Connection, club: Club, live: Run) -> None:
    """Leave what a run leaves at its end: the sync state, and all members' and events' mappings met."""
    at = stamp(live.finished)
    run(connection, club, 'UPDATE "WaSyncState" SET "lastFullSync" = %s, "updatedAt" = %s', at, at)
    if club.dialect == "guide":
        return
    run(
        connection,
        club,
        """
        UPDATE "WaSyncState" SET "lastContactSync" = %s, "lastEventSync" = %s, "lastRegSync" = %s
        """,
        *(at, at, at),
    )
    met = stamp(live.started + timedelta(seconds=1))
    run(
        connection,
        club,
        """
        UPDATE "WaIdMapping" SET "syncedAt" = %s, "updatedAt" = %s
        WHERE "entityType" IN ('Member', 'Event') AND "syncedAt" < %s
        """,
        *(met, met, met),
    )
