"""What was written since a snapshot, by the server's own transaction numbers: the rows that need no comparing.

A row version that is still there and whose transaction had ended before the snapshot was in the snapshot
exactly as it is. What is left are the versions written since, and those of transactions that were under way:
a subtransaction's number is not in the list of these, but it is larger than that of the oldest of them, so
everything from the oldest on is compared. A frozen row keeps its number; one so old that the numbers have gone
round since may look new, and is compared in vain. Nothing new can look old while fewer than two billion
transactions have passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from workbench.investigate.differences.records import AT_ONCE
from workbench.investigate.differences.sides import Shape, Side

_FARTHEST = 2**31 - 2**20  # transactions; the numbers of 32 bits can be compared over half their circle

_HERE = """
    SELECT s.system_identifier::text, (SELECT oid::text FROM pg_database WHERE datname = current_database()),
           c.timeline_id, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    FROM pg_control_system() s, pg_control_checkpoint() c
"""

# A column that was added, dropped or given another type changes rows without writing them; so does a new word
# for an enum's label.
_REDEFINED = """
    SELECT c.relname::text FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
      AND (age(a.xmin) <= %(age)s OR EXISTS (
          SELECT FROM pg_enum e WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype) AND age(e.xmin) <= %(age)s))
"""


@dataclass(frozen=True)
class Moment:
    """When a snapshot was taken, in the server's own terms.

    Attributes
    ----------
    system_identifier : str
        The cluster's own number.
    database : str
        The database's number (oid): another one has its place after a restore.
    timeline : int
        The cluster's history: a recovery to an earlier point begins another.
    transaction : str
        What ``pg_current_snapshot()`` said in the snapshot's transaction.
    """

    system_identifier: str
    database: str
    timeline: int
    transaction: str

    @property
    def oldest(self) -> int:
        """The oldest transaction that was under way; 64 bits."""
        return int(self.transaction.split(":")[0])

    @property
    def next(self) -> int:
        """The first transaction that had not begun; 64 bits."""
        return int(self.transaction.split(":")[1])


@dataclass(frozen=True)
class Since:
    """The rows that were written since a moment.

    Attributes
    ----------
    age : int
        The highest age, in transactions, that they have.
    redefined : frozenset of str
        Tables whose rows may have changed without being written: their columns or enums were.
    """

    age: int
    redefined: frozenset[str]


def since(side: Side, moment: Moment | None) -> Since | str:
    """Find out how what was written since a moment is told; else return why it cannot be, in words."""
    if moment is None:
        return "the snapshot does not say at which transaction it was taken"
    connection = side.connection
    try:
        with connection.transaction():
            row = connection.execute(_HERE).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return "the database user may not ask which server this is"
    assert row is not None
    system, database, timeline, upcoming = row
    if system != moment.system_identifier:
        return "the snapshot was taken on another server"
    if database != moment.database:
        return "the database was restored, or made anew, since the snapshot"
    if timeline != moment.timeline:
        return "the server was recovered to another point in time since the snapshot"
    if upcoming < moment.next:
        return "the server's transaction counter is behind the snapshot's: it was set back since"
    if upcoming - moment.oldest >= _FARTHEST:
        return "more transactions have passed since the snapshot than their numbers can tell apart"
    number = moment.oldest % 2**32
    (age,) = connection.execute("SELECT age(%s::text::xid)", [str(number)]).fetchone() or (0,)
    redefined = connection.execute(_REDEFINED, {"schema": side.schema, "age": age})
    return Since(age, frozenset(row[0] for row in redefined))


@dataclass(frozen=True)
class Written:
    """A table as the server's transaction numbers tell of it.

    Attributes
    ----------
    rows : int
        How many it has.
    keys, digests : list
        Of the rows that may be new, side by side; None where they are too many.
    """

    rows: int
    keys: list[str] | None
    digests: list[int]


def written(side: Side, shape: Shape, since: Since) -> Written:
    """Read a table once: how many rows there are, and which may be new."""
    new = sql.SQL("age(t.xmin) <= {}").format(since.age)
    place = side.place(shape.table)
    if side.tables.get(shape.table, 0) > AT_ONCE:
        query = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}) FROM {} t").format(new, place)
        rows, found = side.connection.execute(query).fetchone() or (0, 0)
        if found > AT_ONCE:
            return Written(rows, None, [])
        if not found:
            return Written(rows, [], [])
    query = sql.SQL(
        "SELECT count(*), array_agg({}) FILTER (WHERE {}), array_agg({}) FILTER (WHERE {}) FROM {} t"
    ).format(shape.key_text, new, shape.digest, new, place)
    row = side.connection.execute(query, binary=True).fetchone()
    assert row is not None
    return Written(row[0], row[1] or [], row[2] or [])


def tables_written(written: Iterable[tuple[str, Written, int]]) -> list[str]:
    """Return the tables of which a row is new or gone.

    Parameters
    ----------
    written : iterable of (str, Written, int)
        A table, what is told of it, and how many rows it had.
    """
    return [table for table, now, before in written if now.keys != [] or now.rows != before]
