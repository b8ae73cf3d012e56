"""What people do in the application after an import run: one thing each, logged or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from random import Random
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from tests.imports import FAMILY, GIVEN, Columns, Connection, Imported, insert, set_columns
from workbench.demo.club import Club


class Edit(NamedTuple):
    """What a person did: the columns they changed, besides ``updatedAt``; none where they added the row."""

    kind: str
    table: str
    key: str
    columns: tuple[str, ...]
    documented: bool


class _Desk(NamedTuple):
    """A person's place in the application, after a run."""

    connection: Connection
    club: Club
    imported: Imported
    kind: str
    seed: int

    def new(self, entity: str) -> list[str]:
        return list(self.imported.created[self.imported.table[entity]])

    def pick(
        self, entity: str, among: Collection[str] | None = None, beside: Collection[str] = ()
    ) -> str | None:
        """Pick a record of some, or an old one."""
        table = self.imported.table[entity]
        beside = [*beside, *(self.new(entity) if among is None else ())]
        query: LiteralString = """SELECT id::text FROM {table} WHERE (%s OR id::text = ANY(%s))
            AND NOT id::text = ANY(%s) ORDER BY md5(%s::text || id) LIMIT 1"""
        found = self.connection.execute(
            sql.SQL(query).format(table=sql.Identifier(table)),
            (among is None, list(among or ()), beside, f"{self.kind} {self.seed}"),
        ).fetchone()
        return found and str(found[0])

    def others(self, table: str, column: str, by: str = "", key: str | None = None) -> list[str]:
        """Return what a column of a table holds, where another column holds something."""
        query: LiteralString = "SELECT {}::text FROM {}" + (" WHERE {} = %s" if by else "")
        names = [sql.Identifier(each) for each in (column, table, by) if each]
        found = self.connection.execute(sql.SQL(query).format(*names), (key,) if by else ())
        return [row[0] for row in found.fetchall()]

    def change(self, entity: str, key: str | None, column: str | None, value: Any = None) -> Edit | None:
        if key is None or column is None:
            return None
        table = self.imported.table[entity]
        ((was,),) = self.connection.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier(column), sql.Identifier(table)),
            (key,),
        ).fetchall()
        before, _ = self.imported.updated.get((table, key), {}).get(column, (None, None))
        now = value or self.other_value(column, was, before)
        set_columns(self.connection, table, key, {column: now, "updatedAt": self.moment})
        return self.done("UPDATE", table, key, {column: was}, {column: now})

    def other_value(self, column: str, was: Any, before: Any) -> Any:
        """Return neither what is there nor what was there before the run."""
        roll = Random(f"{self.seed} {self.kind}").randrange(10_000)
        tiers = [str(key) for (key,) in self.connection.execute('SELECT id FROM "MembershipTier"')]
        offered = {
            "phone": [f"805557{(roll + n) % 10_000:04d}" for n in range(3)],
            "firstName": [GIVEN[roll % len(GIVEN)], "Zenobia"],
            "lastName": [FAMILY[roll % len(FAMILY)], "Quist"],
            "title": [f"{was} (new room)"],
            "membershipTierId": sorted(tiers),
            "status": ["NO_SHOW", "CONFIRMED", "CANCELLED"],
        }
        return next(value for value in offered[column] if value not in {str(was), str(before)})

    def add(self, table: str, key: str | None, **columns: Any) -> Edit | None:
        """Add a row that hangs on a record, unless there is no such record."""
        if key is None or None in columns.values():
            return None
        mine, at = self.club.id(f"{self.seed} {self.kind} {self.imported.run}", 0), self.moment
        insert(self.connection, table, {"id": mine, **columns, "createdAt": at, "updatedAt": at})
        return self.done("CREATE", table, mine, None, columns)

    @property
    def moment(self) -> datetime:
        after = timedelta(days=1, minutes=self.seed % 1000, seconds=len(self.kind))
        return (self.imported.finished + after).replace(tzinfo=None)

    def done(self, action: str, table: str, key: str, was: Columns | None, now: Columns) -> Edit:
        documented = self.kind.startswith("documented-")
        if documented:
            texts = [None if each is None else json.dumps(each, default=str) for each in (was, now)]
            entry = {
                "action": action,
                "resourceType": table,
                "resourceId": key,
                "memberId": self.pick("Member"),
            }
            entry["id"] = self.club.id(f"{self.seed} audit {self.kind} {self.imported.run}", 0)
            insert(
                self.connection,
                "AuditLog",
                {**entry, "before": texts[0], "after": texts[1], "createdAt": self.moment},
            )
        return Edit(self.kind, table, key, tuple(was or ()), documented)


def _again(desk: _Desk, same: bool) -> Edit | None:
    """Change a member the run updated: a column of the run's, or another one."""
    ours = ("membershipTierId", "lastName", "firstName", "phone")  # the last that fits
    found = {
        key: column
        for key, columns in desk.imported.updates("Member").items()
        for column in ours
        if (column in columns) is same
    }
    key = desk.pick("Member", found)
    return desk.change("Member", key, found.get(key or ""))


def _untouched(desk: _Desk) -> Edit | None:
    met = {*desk.imported.updates("Member"), *desk.imported.mapped}
    met |= {str(target) for pair in desk.imported.repointed.values() for target in pair}
    return desk.change("Member", desk.pick("Member", beside=met), "phone")


def _register(desk: _Desk, who: list[str] | None, where: list[str] | None) -> Edit | None:
    table, event = desk.imported.table["Registration"], desk.pick("Event", where)
    guests = desk.others(table, "memberId", "eventId", event)
    member = desk.pick("Member", who, beside=guests)
    facts = {"status": "CONFIRMED", "registeredAt": desk.moment}
    return desk.add(table, event, eventId=event, memberId=member, **facts)


def _account(desk: _Desk) -> Edit | None:
    member = desk.pick("Member", desk.new("Member"), beside=desk.others("UserAccount", "memberId"))
    email = next(iter(desk.others("Member", "email", "id", member)), None)
    word = "$argon2id$v=19$m=65536,t=3,p=4$"
    return desk.add("UserAccount", member, memberId=member, email=email, passwordHash=word, isActive=True)


def _note(desk: _Desk, event: str | None, author: str | None) -> Edit | None:
    text = {"noteType": "PLANNING", "content": "Ask for the projector."}
    return desk.add("EventNote", event, eventId=event, authorId=author, **text)


def _chair(desk: _Desk) -> Edit | None:
    member = desk.pick("Member", desk.new("Member"))
    return desk.change("Event", member and desk.pick("Event"), "eventChairId", member)


def _payment(desk: _Desk) -> Edit | None:
    key = desk.pick("Registration", desk.new("Registration"))
    facts = {"idempotencyKey": f"{desk.kind} {desk.seed} {key}", "status": "SUCCEEDED", "amountCents": 1500}
    return desk.add("PaymentIntent", key, registrationId=key, **facts)


def _tickets(desk: _Desk) -> Edit | None:
    key = desk.pick("Event", desk.new("Event"))
    return desk.add("TicketTier", key, eventId=key, name="Standard", priceCents=1500, quantity=20)


_EVERYWHERE: dict[str, Callable[[_Desk], Edit | None]] = {
    "created-member": lambda d: d.change("Member", d.pick("Member", d.new("Member")), "phone"),
    "created-event": lambda d: d.change("Event", d.pick("Event", d.new("Event")), "title"),
    "created-registration": lambda d: d.change(
        "Registration", d.pick("Registration", d.new("Registration")), "status"
    ),
    "updated-member-same-column": lambda d: _again(d, True),
    "updated-member-other-column": lambda d: _again(d, False),
    "updated-registration": lambda d: d.change(
        "Registration",
        d.pick("Registration", d.imported.updates(d.imported.table["Registration"], "status")),
        "status",
    ),
    "mapped-member": lambda d: d.change("Member", d.pick("Member", d.imported.mapped), "phone"),
    "untouched-member": _untouched,
    "created-member-registers": lambda d: _register(d, d.new("Member"), None),
    "old-member-registers": lambda d: _register(d, None, d.new("Event")),
}
_APPLICATION: dict[str, Callable[[_Desk], Edit | None]] = {
    "account": _account,
    "payment": _payment,
    "tickets": _tickets,
    "note": lambda d: _note(d, d.pick("Event", d.new("Event")), d.pick("Member")),
    "authored-note": lambda d: _note(d, d.pick("Event"), d.pick("Member", d.new("Member"))),
    "chair": _chair,
}
EDITS = {
    f"{twin}{name}": act
    for name, act in {**_EVERYWHERE, **_APPLICATION}.items()
    for twin in ("", "documented-")
}
"""One thing each that a person does after the run; the guide's audit log can document none of them."""


def later_edit(connection: Connection, club: Club, imported: Imported, kind: str, seed: int) -> Edit | None:
    """Do one thing that a person does after the run, or nothing if there is nothing it applies to."""
    if club.dialect == "guide" and kind not in _EVERYWHERE:
        return None
    with connection.transaction():
        return EDITS[kind](_Desk(connection, club, imported, kind, seed))
