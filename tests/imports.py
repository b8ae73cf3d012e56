"""A later import run on a live club, for tests that undo the run.

The run leaves what its importer leaves, as the recordings of the real ones show it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from workbench.demo import application, guide
from workbench.demo.breakages.ground import entity_type, run, wa_value, words
from workbench.demo.breakages.intruder import Cargo, Entry, _close, _known, _listing, _load
from workbench.demo.club import Club
from workbench.demo.history import Importer, Run, run_id, tally
from workbench.demo.listings import event_record, member_record, registration_record
from workbench.demo.names import family_name, given_name
from workbench.demo.people import LEVELS, Gathering, Person, dashed, gathering, person
from workbench.demo.reports import CSV_CONFIG, Record, write_api_report, write_listing
from workbench.demo.rows import copy
from workbench.demo.shape import draw, ident, stamp

Connection = psycopg.Connection[Any]
Columns = dict[str, Any]
Revision = tuple[str, str, Columns]  # entity, id, new values

IMPORTERS: dict[str, tuple[Importer, ...]] = {"application": ("api", "csv"), "guide": ("guide",)}
_ENTITIES = ("Member", "Event", "Registration")
_ONLY_LISTED = 3  # members, and registrations, that a CSV lists though nothing about them is new


@dataclass(frozen=True)
class Imported:
    """What a run did, audit entries aside: all rows of members, events, registrations, mappings, sync state.

    Attributes
    ----------
    created : dict
        Table to ids.
    updated : dict
        Table and id to column to the values before and after.
    mapped : tuple of str
        Members who were there before and whom it only mapped.
    """

    run: str
    importer: Importer
    table: dict[str, str]
    created: dict[str, tuple[str, ...]]
    updated: dict[tuple[str, str], dict[str, tuple[Any, Any]]]
    mapped: tuple[str, ...]
    reports: tuple[Path, ...]
    started: datetime
    finished: datetime

    def updates(self, table: str, column: str = "updatedAt") -> dict[str, dict[str, tuple[Any, Any]]]:
        """Return what it updated in one table, where it changed a column."""
        return {key: each for (name, key), each in self.updated.items() if name == table and column in each}

    @property
    def repointed(self) -> dict[str, tuple[Any, Any]]:
        """Mappings of earlier runs that name another record now: id to the old and the new target."""
        found = self.updates("WaIdMapping", "murmurantId")
        return {key: columns["murmurantId"] for key, columns in found.items()}


def import_run(
    connection: Connection,
    club: Club,
    importer: Importer,
    *,
    seed: int = 1,
    members: int = 4,
    events: int = 2,
    registrations: int = 10,
    updates: int = 5,
    mapped: int = 1,
    again: int = 0,
) -> Imported:
    """Play one more live run, some days after the club's present; thirty seeds, thirty days.

    So many of the new members, of the new registrations and of old ones come `again`, under another WA id.
    """
    with connection.transaction():
        play = _Play(connection, club, importer, seed)
        revisions = [play.revision(n) for n in range(updates)]
        # A contact's e-mail is known of a member whom a CSV import brought, or of another contact.
        kinds = ("stranger" if (seed + n) % 2 == 0 else "Member" for n in range(mapped))
        adopted = tuple(next(play.met[each], None) or next(play.met["Member"]) for each in kinds)
        cargo = play.cargo(members, events, registrations)
        if importer == "csv":
            revisions, adopted = play.listed(revisions, cargo), ()
        revisions.sort(key=lambda each: _ENTITIES.index(each[0]))
        twice = [("Member", one.id) for one in cargo.members[:again]]
        twice += [("Registration", entry.id) for entry in cargo.registrations[:again]]
        twice += [("Registration", key) for key in islice(play.met["Registration"], again)]
        crossed = importer == "guide" and updates >= 3
        return play.write(cargo, revisions, adopted, twice, crossed)


class _Play:
    """One run as it goes: its clock, and whom of the old records it meets."""

    def __init__(self, connection: Connection, club: Club, by: Importer, seed: int) -> None:
        self.connection, self.club, self.by, self.seed = connection, club, by, seed
        self.started = club.anchor + timedelta(days=3 + seed % 30, hours=13 if by == "csv" else 9)
        self.run = run_id(club.shape, by, self.started)
        self.table = {entity: entity_type(club, entity) for entity in _ENTITIES}
        self.before = self.rows()
        own = {"Member": club.members, "Event": club.shape.events, "Registration": club.registrations}
        # Past the club's own numbers and those that breakages give out: a thousand for each run.
        past = 1000 * (1 + 2 * (seed % 30) + (by == "csv"))
        self.first = {entity: own[entity] + past for entity in _ENTITIES}
        self.known = _known(connection, club, by)
        self.moments = (self.started + timedelta(seconds=n) for n in itertools.count(60))
        self.met = {
            "Member": self.old("Member"),
            "stranger": self.old("Member", known=False),
            "Event": self.old("Event", 'AND t."isPublished" AND t.capacity <= 96'),
            "Registration": self.old("Registration", "AND t.status = 'CONFIRMED'"),
            "waiting": self.old("Registration", "AND t.status = 'WAITLISTED'"),
            "room": self.old(
                "Event",
                """AND t."isPublished" AND t.capacity > 3 + (SELECT count(*) FROM {registrations} r
                WHERE r."eventId" = t.id AND r.status <> 'CANCELLED')""",
            ),
        }

    def rows(self) -> dict[str, dict[str, Columns]]:
        found = {}
        with self.connection.cursor(row_factory=dict_row) as cursor:
            for table in (*self.table.values(), "WaIdMapping", "WaSyncState"):
                cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
                found[table] = {str(row["id"]): row for row in cursor}
        return found

    def old(self, entity: str, condition: LiteralString = "", known: bool = True) -> Iterator[str]:
        """Yield records the source knows: a CSV finds any by e-mail or title, a sync by its mapping."""
        beginning: LiteralString = """SELECT t.id::text FROM {table} t
            WHERE (%s OR EXISTS (SELECT FROM "WaIdMapping" WHERE "entityType" = %s AND {target} = t.id)) = %s """
        query = sql.SQL(beginning + condition + " ORDER BY md5(%s::text || t.id)").format(
            table=sql.Identifier(self.table[entity]), **words(self.club)
        )
        values = (self.by == "csv", self.table[entity], known, str(self.seed))
        return (row[0] for row in self.connection.execute(query, values).fetchall())

    def revision(self, number: int) -> Revision:
        """Choose a record that was there before, and what the source says of it now."""
        turns = ("name", "status", "phone", "tier", *(() if self.by == "csv" else ("capacity",)))
        turn = turns[number % len(turns)]  # a CSV import leaves known events alone
        entity = {"status": "Registration", "capacity": "Event"}.get(turn, "Member")
        waiting = next(self.met["waiting"], None) if turn == "status" and (self.seed + number) % 2 else None
        key = waiting or next(self.met[entity])
        was, roll = self.before[self.table[entity]][key], draw(self.seed, turn, number)
        if turn == "status" and waiting:
            place = {} if self.by == "guide" else {"waitlistPosition": None}
            return entity, key, {"status": "CONFIRMED", **place}
        if turn in ("status", "capacity"):
            return entity, key, {turn: was[turn] + 4 if turn == "capacity" else "CANCELLED"}
        if turn == "phone":
            phone = f"805558{roll % 10_000:04d}"
            return entity, key, {turn: dashed(phone) if self.by == "csv" else phone}
        if turn == "name":
            names = {"firstName": given_name(roll), "lastName": family_name(roll >> 11)}
            return entity, key, {n: v if v != was[n] else f"{v}-Lee" for n, v in names.items()}
        tiers = guide.tier_ids(self.club.shape)
        levels = [level for level, tier in tiers.items() if tier != str(was["membershipTierId"])]
        level = levels[roll % len(levels)]
        columns = {"membershipTierId": tiers[level], "waMembershipLevelRaw": level}
        if self.by == "csv":
            columns["membershipStatusId"] = application.status_ids(self.club.shape)[LEVELS[level][1]]
        return entity, key, columns

    def cargo(self, members: int, events: int, registrations: int) -> Cargo:
        """Make up new records; registrations tie new to new, new to old, old to new and old to old."""
        shape = self.club.shape
        people = [person(shape, self.first["Member"] + n) for n in range(members)]
        if self.by == "csv":
            people = [one._replace(phone=dashed(one.phone)) for one in people]
        gatherings = [
            gathering(shape, self.first["Event"] + n)._replace(start=start, end=start + timedelta(hours=2))
            for n, start in enumerate(self.started + timedelta(days=20 + 7 * n) for n in range(events))
        ]
        taken = {
            (str(row["memberId"]), str(row["eventId"]))
            for row in self.before[self.table["Registration"]].values()
        }
        guests = [[one.id for one in people], list(islice(self.met["Member"], 20 + registrations))]
        hosts = [[event.id for event in gatherings], list(islice(self.met["room"], 20 + registrations))]
        entries = []
        for n in range(registrations):
            who, where = guests[n % 4 // 2] or guests[1], hosts[n % 2] or hosts[1]
            turned = (who[n // 4 % len(who) :] + who)[: len(who)]
            free = next((pair for pair in itertools.product(turned, where) if pair not in taken), None)
            if free is None:
                continue  # all of these have registered for all of those
            member, event = free
            taken.add((member, event))
            number, status = self.first["Registration"] + n, "CANCELLED" if n % 5 == 4 else "CONFIRMED"
            registered = self.started - timedelta(hours=8 + n)
            entries.append(Entry(number, shape.id("Registration", number), event, member, status, registered))
        return Cargo(tuple(people), tuple(gatherings), tuple(entries))

    def listed(self, revisions: list[Revision], cargo: Cargo) -> list[Revision]:
        """Add what a CSV export lists besides: whoever a registration names; all of it is written anew."""
        unchanged: list[Revision] = [
            ("Registration", key, {}) for key in islice(self.met["Registration"], _ONLY_LISTED)
        ]
        rows = self.before[self.table["Registration"]]
        guests = [
            str(rows[key]["memberId"]) for entity, key, _ in revisions + unchanged if entity != "Member"
        ]
        guests += [entry.member for entry in cargo.registrations]
        done = {key for _, key, _ in revisions} | {one.id for one in cargo.members}
        everybody = dict.fromkeys([*guests, *islice(self.met["Member"], _ONLY_LISTED)])
        others: list[Revision] = [("Member", key, {}) for key in everybody if key not in done]
        return revisions + others + unchanged

    def write(
        self,
        cargo: Cargo,
        revisions: list[Revision],
        adopted: tuple[str, ...],
        twice: list[tuple[str, str]],
        crossed: bool,
    ) -> Imported:
        """Write what the run brings, in its order, and leave the traces and files of its end."""
        length = timedelta(seconds=120 + len(twice) + len(revisions) + len(adopted) + len(cargo.each()))
        live = Run(self.run, self.by, "live", self.started, self.started + length, {})
        _load(self.connection, self.club, self.by, live, cargo, None)
        for number, (entity, key, columns) in enumerate(revisions):
            self.update(number, entity, key, columns)
        for number, key in enumerate(adopted, self.first["Member"] + len(cargo.members)):
            self.map("Member", number, key)
        for number, (entity, key) in enumerate(twice, 500):
            self.repeat(entity, key, self.first[entity] + number)
        if crossed:
            wrong, right = islice(self.met["Member"], 2)
            self.refresh("Member", right, stamp(next(self.moments)), target=wrong)
        if self.by != "csv":
            _close(self.connection, self.club, live)
        after = self.rows()
        created = {
            table: tuple(sorted(after[table].keys() - rows.keys()))
            for table, rows in self.before.items()
            if table != "WaSyncState"
        }
        updated = {
            (table, key): {column: (was[column], now) for column, now in row.items() if now != was[column]}
            for table, rows in after.items()
            for key, row in rows.items()
            if (was := self.before[table].get(key)) and was != row
        }
        changed = Counter(table for table, _ in updated)
        records = self.listing(live, cargo, after, updated, twice) if self.by == "csv" else {}
        rewritten = Counter(entity for entity, _ in twice)  # a CSV report lists each once more
        if self.by != "csv":
            new = [1 for _, key in twice if key in created[self.table["Registration"]]]
            rewritten = Counter(Registration=len(new) if self.by == "api" else 0)
        counts = {}
        for entity, table in self.table.items():
            met = self.known[entity] - changed[table] if self.by != "csv" else 0
            if (self.by, entity) == ("csv", "Event"):
                met = len(records["events"]) - len(cargo.events)
            only = len(adopted) if entity == "Member" else 0
            counts[entity] = tally(len(created[table]), changed[table] + rewritten[entity], only, met)
        live = replace(live, counts=counts)
        reports: tuple[Path, ...] = ()
        if self.by == "csv":
            reports = write_listing(self.club.imports, live, CSV_CONFIG, records)
        elif self.by == "api":
            reached = self.known["Event"] + len(cargo.events)
            reports = (write_api_report(self.club.imports, live, mapped_events=reached),)
        else:
            entries = enumerate(guide.run_entries(live))
            rows = [(ident(self.seed, f"entry {self.run}", n), *entry) for n, entry in entries]
            copy(self.connection, "AuditLog", "id action metadata createdAt", rows)
        span = (live.started, live.finished)
        return Imported(self.run, self.by, self.table, created, updated, adopted, reports, *span)

    def map(self, entity: str, number: int, key: str) -> None:
        """Map a WA id onto a record."""
        wa_id = wa_value(self.club, self.club.shape.wa_id(entity, number))
        at = stamp(next(self.moments))
        row = (ident(self.seed, f"mapping {self.run}", number), self.table[entity], wa_id, key)
        world, by = (guide, (self.run,)) if self.by == "guide" else (application, ())
        copy(self.connection, "WaIdMapping", world.MAPPING_COLUMNS, [(*row, *by, at, at)])

    def repeat(self, entity: str, key: str, number: int) -> None:
        """Meet a record again under another WA id: booked anew, or a contact with the same e-mail."""
        if entity == "Registration" or self.by == "csv":
            columns = {"status": "CANCELLED"} if entity == "Registration" else {}
            self.update(number, entity, key, columns, self.club.shape.wa_id(entity, number))
        if self.by != "csv" and (self.by, entity) != ("api", "Registration"):  # as the recordings have it
            self.map(entity, number, key)

    def update(self, number: int, entity: str, key: str, columns: Columns, wa_id: int | None = None) -> None:
        table, at = self.table[entity], stamp(next(self.moments))
        set_columns(self.connection, table, key, {**columns, "updatedAt": at})
        if self.by == "guide" and wa_id is None:
            self.refresh(entity, key, at)
        if self.by == "api":
            question: LiteralString = 'SELECT min("waId") FROM "WaIdMapping" WHERE {target} = %s'
            ((known,),) = run(self.connection, self.club, question, key)
            wa_id = wa_id or known
            more: Columns = {"changes": columns}
            if entity == "Registration":
                was = self.before[table][key]["status"] if key in self.before[table] else "CONFIRMED"
                more = {"oldStatus": was, "newStatus": columns["status"]}
            metadata = application.import_metadata(self.run, wa_id, **more)
            entry = ident(self.seed, f"audit {self.run}", number), "UPDATE", table, key
            row = (*entry, None, None, None, metadata, at)
            copy(self.connection, "AuditLog", application.AUDIT_COLUMNS, [row])

    def refresh(self, entity: str, key: str, at: str, target: str | None = None) -> None:
        """Let a record's mapping name this run, and another record if it is to be re-pointed."""
        question: LiteralString = """UPDATE "WaIdMapping" SET {target} = %s, {run} = %s, "syncedAt" = %s,
            "updatedAt" = %s WHERE "entityType" = %s AND {target} = %s"""
        values = (target or key, self.run, at, at, self.table[entity], key)
        run(self.connection, self.club, question, *values)

    def listing(
        self, live: Run, cargo: Cargo, after: Any, updated: Any, twice: list[tuple[str, str]]
    ) -> dict[str, list[Record]]:
        """Return what a CSV import's report lists: what it brought, and every old record it met."""
        records = _listing(self.club, self.by, live, cargo)

        def called(word: str, key: str) -> str:
            return f"{word}{int(key[:7], 16)}"

        hosts = [entry.event for entry in cargo.registrations]
        rewritten = [(self.table[entity], key) for entity, key in twice]
        for number, (table, key) in enumerate([*updated, *rewritten]):
            row = after[table][key]
            anew = f" again{number}" if number >= len(updated) else ""
            if table == "Member":
                names = row["firstName"], row["lastName"], row["email"], row["phone"] or ""
                one = Person(0, key, *names, row["joinedAt"], row["waMembershipLevelRaw"], "", False)
                records["members"].append(member_record(one, called("WA", key) + anew, "update", key))
            else:
                who, where = str(row["memberId"]), str(row["eventId"])
                hosts.append(where)
                facts = (row["status"], row["registeredAt"], called("REG", key) + anew, "update", key)
                records["registrations"].append(registration_record(who, where, *facts))
        known = self.before["Event"]
        for key in dict.fromkeys(key for key in hosts if key in known):
            row = known[key]
            titles = row["title"], row["category"], row["location"]
            times = row["startTime"], row["endTime"]
            event = Gathering(0, key, *titles, *times, row["capacity"], row["isPublished"])
            records["events"].append(event_record(event, called("EVT", key), "skip", key))
        return records


def set_columns(connection: Connection, table: str, key: str, columns: Columns) -> None:
    names = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    query = sql.SQL("UPDATE {} SET {} WHERE id = %s").format(sql.Identifier(table), names)
    connection.execute(query, (*columns.values(), key))
