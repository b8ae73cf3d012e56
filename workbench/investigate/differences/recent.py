"""What was written since a snapshot, by the server's own transaction numbers: the rows that need no comparing.

A row version that is still there and whose transaction had ended before the snapshot was in the snapshot
exactly as it is. What is left are the versions written since, and those of transactions that were under way:
a subtransaction's number is not in the list of these, but it is larger than that of the oldest of them, so
everything from the oldest on is compared. A frozen row keeps its number; one so old that the numbers have gone
round since may look new, and is compared in vain. Nothing new can look old while fewer than two billion
transactions have passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from workbench.investigate.differences.columns import Digests, as_digests
from workbench.investigate.differences.sides import Shape, Side

MOST = 1 << 18
"""So many rows that may be new are held in memory; where there are more, all are compared."""

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
    keys : list of str or None
        Of the rows that may be new; None where they are too many.
    digests : array
        Of their columns, side by side with the keys.
    """

    rows: int
    keys: list[str] | None
    digests: Digests


def written(side: Side, shape: Shape, since: Since) -> Written:
    """Read a table once, of each row its head alone: how many there are, and where those lie that may be new."""
    place = side.place(shape.table)
    query = sql.SQL(
        "SELECT n, CASE WHEN cardinality(new) <= {} THEN new::text END, cardinality(new) FROM"
        " (SELECT count(*) AS n, array_agg(t.ctid) FILTER (WHERE age(t.xmin) <= {}) AS new FROM {} t) x"
    ).format(MOST, since.age, place)
    rows, places, count = side.connection.execute(query).fetchone() or (0, None, None)
    if not count or places is None:
        return Written(rows, None if count else [], as_digests(b"", shape))
    query = sql.SQL("SELECT {}, {} FROM {} t WHERE t.ctid = ANY (%s::tid[])").format(
        shape.key_text, shape.column_digests, place
    )
    new = side.connection.execute(query, [places], binary=True).fetchall()
    return Written(rows, [row[0] for row in new], as_digests(b"".join(row[1] for row in new), shape))


@dataclass(frozen=True)
class Found:
    """Rows that a snapshot has of those that may be new.

    Attributes
    ----------
    places : array of int
        Where their keys stand among those asked for.
    digests : array
        Of their columns, side by side.
    lie : array of int
        Where in the table each lies, side by side: the page's number times 65,536, and within it; for a clone alone.
    """

    places: NDArray[np.intp]
    digests: Digests
    lie: NDArray[np.int64]


def look_up(side: Side, shape: Shape, keys: Sequence[str], *, clone: bool) -> Found:
    """Look rows up by their keys, with the place where each lies where that means something."""
    lies = sql.SQL(
        "(t.ctid::text::point)[0]::bigint << 16 | (t.ctid::text::point)[1]::bigint" if clone else "0::bigint"
    )
    query = sql.SQL("SELECT {}, {}, {} FROM {} t WHERE {}").format(
        shape.key_text,
        shape.column_digests,
        lies,
        side.place(shape.table),
        shape.among(side.many(shape.table, len(keys))),
    )
    found = side.connection.execute(query, [list(keys)], binary=True).fetchall()
    number = {key: at for at, key in enumerate(keys)}
    return Found(
        np.array([number[row[0]] for row in found], np.intp),
        as_digests(b"".join(row[1] for row in found), shape),
        np.array([row[2] for row in found], np.int64),
    )
