"""Where breakages work: whose turn each member and event is, and the two dialects' words for things.

Every breakage has victims of its own, so that all can be planted together. They are among what the
first run brought (what the last run brought is for ``members-missing``), and not among those that a
later run or a person changed.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import sql

from workbench.demo.application import ENTITY_TYPES
from workbench.demo.breakages.truth import Connection
from workbench.demo.club import Club

MEMBER_TURNS = {
    "swapped-mappings": 2,
    "cycle-of-three": 3,
    "wrong-person": 2,
    "shared-target": 1,
    "duplicate-mappings": 1,
    "null-tiers": 3,
    "duplicate-members": 3,
    "orphaned-registrations": 1,
    "imported-through-swap": 2,
}
EVENT_TURNS = (
    "events-without-registrations",
    "duplicate-events",
    "over-capacity-limit",
    "overbooked",
    "ends-before-start",
    "orphaned-registrations",
    "split-registrations",
)
SWAPPED_EVENTS = (0, 1)  # the two that the CSV lists, see Shape.seats

_QUIET = (5, 7, 8, 10, 11, 12, 14, 15, 17, 18, 19)  # of twenty: no household, nobody changed later


def members_of(club: Club, breakage: str) -> list[int]:
    """Return the numbers of the members whom a breakage may harm."""
    quiet = [n for n in range(min(club.shape.first_members, 200)) if n % 20 in _QUIET]
    names = list(MEMBER_TURNS)
    before = sum(MEMBER_TURNS[name] for name in names[: names.index(breakage)])
    return quiet[before : before + MEMBER_TURNS[breakage]]


def all_victims(club: Club) -> list[str]:
    """Return the ids of all members who are some breakage's."""
    return [club.shape.id("Member", n) for name in MEMBER_TURNS for n in members_of(club, name)]


def events_of(club: Club, breakage: str) -> list[int]:
    """Return the numbers of the past events that a breakage may harm: one to three, with free places."""
    free = [
        n
        for n in range(len(SWAPPED_EVENTS), min(club.shape.open_events, 200))
        if n % 6 != 5 and n % 15 < 13 and n % 12 != 8
    ]
    each = min(3, len(free) // len(EVENT_TURNS))
    turn = EVENT_TURNS.index(breakage)
    return free[turn * each : (turn + 1) * each]


def words(club: Club) -> dict[str, sql.Composable]:
    """Return what differs in the statements of the two dialects: names, and the type of ids."""
    guide = club.dialect == "guide"
    return {
        "registrations": sql.Identifier("Registration" if guide else "EventRegistration"),
        "target": sql.Identifier("murmurantId" if guide else "clubosId"),
        "ids": sql.SQL("text[]" if guide else "uuid[]"),
        "run": sql.Identifier("syncRunId"),
    }


def run(connection: Connection, club: Club, statement: LiteralString, *values: Any) -> list[Any]:
    """Execute a statement in the club's words; return its rows, if it has any."""
    cursor = connection.execute(sql.SQL(statement).format(**words(club)), values)
    return cursor.fetchall() if cursor.description else []


def entity_type(club: Club, entity: str) -> str:
    """Return how the dialect's mappings and audit entries spell an entity."""
    return entity if club.dialect == "guide" else ENTITY_TYPES[entity]


def wa_value(club: Club, wa_id: int) -> int | str:
    """Return a WA id as the dialect's column holds it."""
    return str(wa_id) if club.dialect == "guide" else wa_id


def point(connection: Connection, club: Club, entity: str, wa_id: int, record: str) -> None:
    """Let a WA id's mapping point at a record."""
    run(
        connection,
        club,
        'UPDATE "WaIdMapping" SET {target} = %s WHERE "entityType" = %s AND "waId" = %s',
        *(record, entity_type(club, entity), wa_value(club, wa_id)),
    )


def erase(connection: Connection, club: Club, table: str, ids: list[str]) -> dict[str, int]:
    """Delete records with all that foreign keys, or the guide's missing ones, tie to them, and mappings.

    Returns
    -------
    dict of str to int
        Rows deleted, by table.
    """
    if not ids:
        return {}
    gone: dict[str, int] = {}
    for child, column in _dependents(connection, club, table):
        found = connection.execute(
            sql.SQL("SELECT id::text FROM {} WHERE {} = ANY(%s::{})").format(
                sql.Identifier(child), sql.Identifier(column), words(club)["ids"]
            ),
            (ids,),
        )
        for name, count in erase(connection, club, child, [row[0] for row in found]).items():
            gone[name] = gone.get(name, 0) + count
    for child, column in _referring(connection, club, table, "n"):
        emptied = sql.Identifier(column)
        connection.execute(
            sql.SQL("UPDATE {} SET {} = NULL WHERE {} = ANY(%s::uuid[])").format(
                sql.Identifier(child), emptied, emptied
            ),
            (ids,),
        )
    # What refers to them is gone or emptied. Left to the database, each of 62 foreign keys would be looked
    # through once more for every single member: hours, in a large club.
    connection.execute("SET LOCAL session_replication_role = replica")
    cursor = connection.execute(
        sql.SQL("DELETE FROM {} WHERE id = ANY(%s::{})").format(sql.Identifier(table), words(club)["ids"]),
        (ids,),
    )
    connection.execute("SET LOCAL session_replication_role = origin")
    gone[table] = gone.get(table, 0) + cursor.rowcount
    if table in ("Member", "Event", "Registration", "EventRegistration"):
        run(
            connection,
            club,
            'DELETE FROM "WaIdMapping" WHERE "entityType" = %s AND {target} = ANY(%s::{ids})',
            *(table, ids),
        )
    return gone


def _dependents(connection: Connection, club: Club, table: str) -> list[tuple[str, str]]:
    if club.dialect == "guide":
        owners = {"Member": "memberId", "Event": "eventId"}
        return [("Registration", owners[table])] if table in owners else []
    return _referring(connection, club, table, "rc")


def _referring(connection: Connection, club: Club, table: str, rules: str) -> list[tuple[str, str]]:
    """Return the foreign keys that lead to a table, by delete rule: restrict, cascade, set null."""
    if club.dialect == "guide":
        return []
    return connection.execute(
        """
        SELECT c.relname, a.attname
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        WHERE k.contype = 'f' AND strpos(%s, k.confdeltype::text) > 0 AND k.confrelid = format('%%I', %s::text)::regclass
        ORDER BY 1, 2
        """,
        (rules, table),
    ).fetchall()
