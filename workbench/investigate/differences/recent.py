"""What was written since a snapshot, by the server's own transaction numbers: the rows that need no comparing.

A row version that is still there and whose transaction had ended before the snapshot was in the snapshot
exactly as it is. What is left are the versions written since, and those of transactions that were under way:
a subtransaction's number is not in the list of these, but it is larger than that of the oldest of them, so
everything from the oldest on is compared. A frozen row keeps its number; one so old that the numbers have gone
round since may look new, and is compared in vain. Nothing new can look old while fewer than two billion
transactions have passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from workbench.investigate.differences.sides import Side

_LISTED = 1 << 14
"""So many transactions are named one by one: several processes may look for these, which age() does not allow."""

_HASHES = 150_000  # the first version of PostgreSQL that looks both in a list and not in it up in a hash

_FARTHEST = 2**31 - 2**20  # transactions; the numbers of 32 bits can be compared over half their circle

_HERE = """
    SELECT s.system_identifier::text, (SELECT oid::text FROM pg_database WHERE datname = current_database()),
           c.timeline_id, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    FROM pg_control_system() s, pg_control_checkpoint() c
"""

# A column that was added, dropped or given another type changes rows without writing them; so does a new word
# for an enum's label.
_REDEFINED = """
    WITH fresh AS MATERIALIZED (SELECT DISTINCT enumtypid AS oid FROM pg_enum WHERE age(xmin) <= %(age)s)
    SELECT DISTINCT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND c.relkind IN ('r', 'p')
      AND (age(a.xmin) <= %(age)s OR a.atttypid = ANY (ARRAY(
          SELECT oid FROM fresh UNION SELECT oid FROM pg_type WHERE typelem IN (SELECT oid FROM fresh)
          UNION SELECT oid FROM pg_type WHERE typbasetype IN (SELECT oid FROM fresh))))
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
    listed : tuple of int or None
        The transactions themselves, 32 bits each; None where they are too many.
    redefined : frozenset of str
        Tables whose rows may have changed without being written: their columns or enums were.
    """

    age: int
    listed: tuple[int, ...] | None
    redefined: frozenset[str]

    @property
    def new(self) -> sql.Composed:
        """The condition that a row may be new."""
        if self.listed is None:
            return sql.SQL("age(t.xmin) <= {}").format(self.age)
        listed = "{" + ",".join(map(str, self.listed)) + "}"
        return sql.SQL("t.xmin = ANY ({}::xid[])").format(listed)

    @property
    def old(self) -> sql.Composed:
        """The condition that a row is as it was."""
        return sql.SQL("NOT ({})").format(self.new)


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
    listed = None
    if upcoming - moment.oldest <= _LISTED and connection.info.server_version >= _HASHES:
        listed = tuple(each % 2**32 for each in range(moment.oldest, upcoming))
    return Since(age, listed, frozenset(row[0] for row in redefined))
