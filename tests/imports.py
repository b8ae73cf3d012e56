"""A later import run on a live club, for tests that undo the run.

The run leaves what its importer leaves, as the recordings of the real ones show it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from workbench.demo.club import LEVELS, Club
from workbench.demo.history import Importer
from workbench.demo.importing import begin_run, end_run, staging

Connection = psycopg.Connection[Any]
Columns = dict[str, Any]
Revision = tuple[str, str, Columns]  # entity, id, new values

IMPORTERS: dict[str, tuple[Importer, ...]] = {"application": ("api", "csv"), "guide": ("guide",)}
GIVEN = ("Ada", "Bruno", "Célia", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Liam")
FAMILY = (
    "Achterberg",
    "Bianchi",
    "Chandra",
    "Dvořák",
    "Eklund",
    "Fuentes",
    "Grimaldi",
    "Hasegawa",
    "Ibsen",
    "Juhász",
)
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
    with connection.transaction(), staging(connection, club):
        play = _Play(connection, club, importer, seed)
        revisions = [play.revision(n) for n in range(updates)]
        # A contact's e-mail is known of a member whom a CSV import brought, or of another contact.
        kinds = ("stranger" if (seed + n) % 2 == 0 else "Member" for n in range(mapped))
        adopted = tuple(next(play.met[each], None) or next(play.met["Member"]) for each in kinds)
        play.bring(members, events, registrations, again)
        if importer == "csv":
            revisions, adopted = play.listed(revisions), ()
        revisions.sort(key=lambda each: _ENTITIES.index(each[0]))
        return play.end(revisions, adopted, again, crossed=importer == "guide" and updates >= 3)


class _Play:
    """One run as it goes: its clock, and whom of the old records it meets."""

    def __init__(self, connection: Connection, club: Club, by: Importer, seed: int) -> None:
        self.connection, self.club, self.by, self.seed = connection, club, by, seed
        self.started = club.anchor + timedelta(days=3 + seed % 30, hours=13 if by == "csv" else 9)
        registration = "Registration" if club.dialect == "guide" else "EventRegistration"
        self.table = {"Member": "Member", "Event": "Event", "Registration": registration}
        self.before = self.rows()
        self.files = set(club.imports.iterdir())
        own = (club.members, club.sizes["all_events"], club.registrations)
        # Past the club's own numbers and those that breakages give out: a thousand for each run.
        past = 1000 * (1 + 2 * (seed % 30) + (by == "csv"))
        self.first = {entity: number + past for entity, number in zip(_ENTITIES, own, strict=True)}
        numbers = (self.first["Member"], self.first["Event"], self.first["Registration"])
        self.run = begin_run(connection, by, self.started, timedelta(minutes=30), numbers, dry_run_lead=None)
        self.moments = (self.started + timedelta(seconds=n) for n in itertools.count(60))
        self.places = itertools.count()
        self.created: dict[str, list[str]] = {}
        self.met = {
            "Member": self.old("Member"),
            "stranger": self.old("Member", known=False),
            "Event": self.old("Event", 'AND t."isPublished" AND t.capacity <= 96'),
            "Registration": self.old("Registration", "AND t.status = 'CONFIRMED'"),
            "waiting": self.old("Registration", "AND t.status = 'WAITLISTED'"),
            "room": self.old(
                "Event",
                """AND t."isPublished" AND t.capacity > 3 + (SELECT count(*) FROM demo.registration r
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
        beginning: LiteralString = """SELECT t.id::text FROM {} t
            WHERE (%s OR EXISTS (SELECT FROM demo.mapping WHERE entity = %s AND record = t.id)) = %s """
        query = sql.SQL(beginning + condition + " ORDER BY md5(%s::text || t.id)").format(
            sql.Identifier(self.table[entity])
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
        was, chance = self.before[self.table[entity]][key], Random(f"{self.seed} {turn} {number}")
        if turn == "status" and waiting:
            place = {} if self.by == "guide" else {"waitlistPosition": None}
            return entity, key, {"status": "CONFIRMED", **place}
        if turn in ("status", "capacity"):
            return entity, key, {turn: was[turn] + 4 if turn == "capacity" else "CANCELLED"}
        if turn == "phone":
            digits = f"{chance.randrange(10_000):04d}"
            return entity, key, {turn: f"805-558-{digits}" if self.by == "csv" else f"805558{digits}"}
        if turn == "name":
            return entity, key, {"firstName": chance.choice(GIVEN), "lastName": chance.choice(FAMILY)}
        tiers = {
            code: str(key) for key, code in self.connection.execute('SELECT id, code FROM "MembershipTier"')
        }
        level = chance.choice(
            [each for each, code in LEVELS.items() if tiers[code] != str(was["membershipTierId"])]
        )
        columns = {"membershipTierId": tiers[LEVELS[level]], "waMembershipLevelRaw": level}
        if self.by == "csv":
            query = 'SELECT id FROM "MembershipStatus" WHERE code = %s'
            ((status,),) = self.connection.execute(query, (LEVELS[level],)).fetchall()
            columns["membershipStatusId"] = str(status)
        return entity, key, columns

    def bring(self, members: int, events: int, registrations: int, again: int) -> None:
        """Make up new records; registrations tie new to new, new to old, old to new and old to old."""
        first, club = self.first, self.club
        self.connection.execute(
            """INSERT INTO demo.new_member SELECT n, id, given, family, email, CASE WHEN %s THEN demo.dashed(phone) ELSE phone END,
               joined, level, status, private FROM demo.people(%s, %s)""",
            (self.by == "csv", first["Member"], first["Member"] + members),
        )
        self.connection.execute(
            """INSERT INTO demo.new_event SELECT n, id, title, category, location, starts, starts + interval '2 hours', capacity,
               published, registration FROM demo.events(%(first)s, %(last)s),
               LATERAL (SELECT %(started)s::timestamp + (20 + 7 * (n - %(first)s)) * interval '1 day' AS starts) s""",
            {
                "first": first["Event"],
                "last": first["Event"] + events,
                "started": self.started.replace(tzinfo=None),
            },
        )
        new = {"Member": members, "Event": events}
        self.created = {
            each: [club.id(each, first[each] + n) for n in range(count)] for each, count in new.items()
        }
        rows = self.before[self.table["Registration"]].values()
        taken = {(str(row["memberId"]), str(row["eventId"])) for row in rows}
        guests = [self.created["Member"], list(islice(self.met["Member"], 20 + registrations))]
        hosts = [self.created["Event"], list(islice(self.met["room"], 20 + registrations))]
        self.booked: list[tuple[str, str, str]] = []  # id, member, event
        for n in range(registrations):
            who, where = guests[n % 4 // 2] or guests[1], hosts[n % 2] or hosts[1]
            turned = (who[n // 4 % len(who) :] + who)[: len(who)]
            free = next((pair for pair in itertools.product(turned, where) if pair not in taken), None)
            if free is None:
                continue  # all of these have registered for all of those
            taken.add(free)
            number = first["Registration"] + n
            # One that comes again was cancelled since; the guide's importer counts it once.
            cancelled = n % 5 == 4 or (self.by == "guide" and len(self.booked) < again)
            self.booked.append((club.id("Registration", number), *free))
            self.connection.execute(
                "INSERT INTO demo.new_registration VALUES (%s, %s, %s, %s, %s, %s)",
                (number, self.booked[-1][0], free[1], free[0], "CANCELLED" if cancelled else "CONFIRMED",
                 (self.started - timedelta(hours=8 + n)).replace(tzinfo=None)),
            )  # fmt: skip
        if self.by == "csv":
            for entity, word in (("member", "WA"), ("event", "EVT"), ("registration", "REG")):
                self.connection.execute(
                    sql.SQL("UPDATE demo.{} SET name = %s || demo.wa_id(initcap(%s), n)").format(
                        sql.Identifier(f"new_{entity}")
                    ),
                    (word, entity),
                )

    def listed(self, revisions: list[Revision]) -> list[Revision]:
        """Add what a CSV export lists besides: whoever a registration names; all of it is written anew."""
        unchanged: list[Revision] = [
            ("Registration", key, {}) for key in islice(self.met["Registration"], _ONLY_LISTED)
        ]
        rows = self.before[self.table["Registration"]]
        guests = [
            str(rows[key]["memberId"]) for entity, key, _ in revisions + unchanged if entity != "Member"
        ]
        guests += [member for _, member, _ in self.booked]
        done = {key for _, key, _ in revisions} | set(self.created["Member"])
        everybody = dict.fromkeys([*guests, *islice(self.met["Member"], _ONLY_LISTED)])
        others: list[Revision] = [("Member", key, {}) for key in everybody if key not in done]
        return revisions + others + unchanged

    def meet(
        self,
        entity: str,
        action: str,
        key: str,
        wa_id: int | None,
        changes: Columns | None = None,
        anew: str = "",
    ) -> None:
        """Let the run do something with a record that is there; a CSV names it in its own way."""
        word = {"Member": "WA", "Event": "EVT", "Registration": "REG"}[entity]
        self.connection.execute(
            "INSERT INTO demo.met VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (entity, action, next(self.places), key, wa_id, None if changes is None else json.dumps(changes),
             f"{word}{int(key[:7], 16)}{anew}" if self.by == "csv" else None, next(self.moments).replace(tzinfo=None)),
        )  # fmt: skip

    def end(self, revisions: list[Revision], adopted: tuple[str, ...], again: int, crossed: bool) -> Imported:
        """Write what the run brings, and leave the traces and files of its end."""
        for entity, key, columns in revisions:
            query = "SELECT min(wa_id)::int FROM demo.mapping WHERE record = %s"
            ((wa_id,),) = self.connection.execute(query, (key,)).fetchall()
            self.meet(entity, "update", key, wa_id, columns)
        for number, key in enumerate(adopted, self.first["Member"] + len(self.created["Member"])):
            self.meet("Member", "map", key, self.club.wa_id("Member", number))
        twice = [("Member", key, True) for key in self.created["Member"][:again]]
        twice += [("Registration", key, True) for key, *_ in self.booked[:again]]
        twice += [("Registration", key, False) for key in islice(self.met["Registration"], again)]
        for number, (entity, key, new) in enumerate(twice, 500):
            # Met again under another WA id: booked anew, or a contact with the same e-mail.
            wa_id = self.club.wa_id(entity, self.first[entity] + number)
            if (entity == "Registration" and not (new and self.by == "guide")) or self.by == "csv":
                changes = {"status": "CANCELLED"} if entity == "Registration" else {}
                self.meet(entity, "update", key, wa_id, changes, f" again{number}")
            if self.by != "csv" and (self.by, entity) != ("api", "Registration"):  # as the recordings have it
                self.meet(entity, "map", key, wa_id)
        if self.by == "csv":
            rows = self.before[self.table["Registration"]]
            hosts = [event for *_, event in self.booked]
            hosts += [str(rows[key]["eventId"]) for entity, key, _ in revisions if entity == "Registration"]
            for key in dict.fromkeys(key for key in hosts if key in self.before["Event"]):
                self.meet("Event", "skip", key, None)
        self.connection.execute(
            "UPDATE demo.run SET finished = %s", (next(self.moments).replace(tzinfo=None),)
        )
        (live,) = end_run(self.connection, self.club, reported=self.by != "guide")
        if (
            self.by == "guide"
        ):  # a record's mapping names the run that updated it, and another record if re-pointed
            for number, (_, key, _) in enumerate(revisions):
                self.refresh(key, key, number)
            if crossed:
                wrong, right = islice(self.met["Member"], 2)
                self.refresh(right, wrong, len(revisions))
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
        reports = tuple(sorted(set(self.club.imports.iterdir()) - self.files))
        span = (live.started, live.finished)
        return Imported(self.run, self.by, self.table, created, updated, adopted, reports, *span)

    def refresh(self, key: str, target: str, number: int) -> None:
        at = (self.started + timedelta(seconds=60 + number)).replace(tzinfo=None)
        self.connection.execute(
            """UPDATE "WaIdMapping" SET "murmurantId" = %s, "syncRunId" = %s, "syncedAt" = %s, "updatedAt" = %s
               WHERE "murmurantId" = %s""",
            (target, self.run, at, at, key),
        )


def insert(connection: Connection, table: str, row: Columns) -> None:
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    connection.execute(query, list(row.values()))


def set_columns(connection: Connection, table: str, key: str, columns: Columns) -> None:
    names = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    query = sql.SQL("UPDATE {} SET {} WHERE id = %s").format(sql.Identifier(table), names)
    connection.execute(query, (*columns.values(), key))
