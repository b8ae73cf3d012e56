"""Which pairs are worth comparing: those that share one of several keys, joined in DuckDB.

A key that too many members share is split by a further one; where even that is shared by too many, the
block is left out and said. So the pairs grow with the members, never with their square. DuckDB spills to
disk what does not fit in its memory limit. Its joins and windows are plain SQL over one table of whole numbers, and
`score_pairs` judges each pair by itself: a federation of clubs too large for one machine can give the same SELECTs to
Spark (``spark.sql``, with views for the temporary tables) and the portions to ``mapInPandas``. Nobody has run it there yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.duplicates.matching.people import MISSING, NO_DAY, Longs, People

LARGEST_BLOCK = 50
"""Members that may share a key: 1225 pairs."""

PORTION = 200_000
"""Pairs, roughly, that are compared at a time."""

_MEMORY = "512MB"


class Key(NamedTuple):
    """What two members must share to be compared: one or two columns, and a further one for large blocks."""

    said: str
    one: str
    other: str
    further: str


KEYS = (
    Key("mailbox", "mailbox", "0", "names"),
    Key("phone number", "phone", "0", "names"),
    Key("both names", "names", "0", "month"),
    Key("local part of the e-mail address", "local", "0", "names"),
    Key("a name and the day of joining", "word", "joined", "phone_end"),
    Key("a name and the end of the phone number", "word", "phone_end", "joined"),
    Key("a name and the beginning of the phone number", "word", "phone_start", "joined"),
    Key("a name and the end of the e-mail address", "word", "local_end", "joined"),
    Key("a name and the beginning of the e-mail address", "word", "local_start", "joined"),
    Key("the day of joining and the end of the e-mail address", "joined", "local_end", "word"),
)


@dataclass(frozen=True)
class Skipped:
    """Blocks that were left out because too many members share even the further key."""

    key: str
    blocks: int
    members: int

    def __str__(self) -> str:
        return (
            f"{self.members:,} members were not compared by {self.key} alone: in {self.blocks:,} groups more than"
            f" {LARGEST_BLOCK} share it; other keys compared those of them who share more."
        )


class Blocks:
    """The pairs worth comparing, in portions; `skipped` is complete from the beginning."""

    def __init__(self, people: People, *, threads: int | None = None, directory: str | None = None) -> None:
        import duckdb

        self._connection = duckdb.connect(":memory:")
        self._connection.execute(f"SET memory_limit = '{_MEMORY}'")
        self._connection.execute("SET preserve_insertion_order = false")
        if threads is not None:
            self._connection.execute(f"SET threads = {int(threads)}")
        if directory is not None:
            self._connection.execute("SET temp_directory = ?", [directory])
        frame = _keys(people)
        self._connection.register("frame", frame)
        self._connection.execute("CREATE TABLE people AS SELECT * FROM frame")
        self._connection.unregister("frame")
        self.skipped = tuple(found for key in KEYS if (found := self._block(key)) is not None)
        self._connection.execute(
            "CREATE TABLE pairs AS SELECT DISTINCT * FROM ("
            + " UNION ALL ".join(f"SELECT * FROM pairs_{number}" for number in range(len(KEYS)))
            + ")"
        )

    def _block(self, key: Key) -> Skipped | None:
        """Make the pairs of one key; say what was left out."""
        number = KEYS.index(key)
        columns = ("one", "other", "further")
        parts = []
        for name in ("given", "family") if "word" in key else ("",):
            one, other, further = (name if each == "word" else each for each in key[1:])
            parts.append(
                f"SELECT place, {one} AS one, {other} AS other, {further} AS further FROM people"
                f" WHERE {one} >= 0 AND {other} >= 0"
            )
        run = self._connection.execute
        run(f"CREATE TEMP TABLE keyed AS SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)})")
        run(
            "CREATE TEMP TABLE sized AS SELECT *, count(*) OVER (PARTITION BY one, other) AS wide,"
            " count(*) OVER (PARTITION BY one, other, further) AS narrow FROM keyed"
        )
        narrow = " AND ".join(f"a.{column} = b.{column}" for column in columns)
        wide = " AND ".join(f"a.{column} = b.{column}" for column in columns[:2])
        pair = "SELECT a.place AS low, b.place AS high FROM sized a JOIN sized b ON a.place < b.place AND"
        run(
            f"CREATE TABLE pairs_{number} AS"
            f" {pair} {wide} WHERE a.wide BETWEEN 2 AND {LARGEST_BLOCK} AND b.wide <= {LARGEST_BLOCK}"
            f" UNION ALL {pair} {narrow} WHERE a.wide > {LARGEST_BLOCK} AND a.narrow BETWEEN 2 AND {LARGEST_BLOCK}"
            f" AND b.wide > {LARGEST_BLOCK} AND b.narrow <= {LARGEST_BLOCK}"
        )
        left_out = run(
            f"SELECT count(DISTINCT (one, other, further)), count(DISTINCT place) FROM sized"
            f" WHERE wide > {LARGEST_BLOCK} AND narrow > {LARGEST_BLOCK}"
        ).fetchone()
        run("DROP TABLE keyed")
        run("DROP TABLE sized")
        assert left_out is not None
        return Skipped(key.said, *left_out) if left_out[0] else None

    def portions(self) -> Iterator[tuple[Longs, Longs]]:
        """Yield the pairs as two arrays of positions, the lower one first; in no order."""
        cursor = self._connection.execute("SELECT low, high FROM pairs")
        vectors = max(1, PORTION // 2048)
        while len(frame := cursor.fetch_df_chunk(vectors)):
            yield frame["low"].to_numpy(np.int64), frame["high"].to_numpy(np.int64)

    def close(self) -> None:
        """Let go of the database in memory."""
        self._connection.close()


def _parts(texts: Iterable[str]) -> Longs:
    """Return a number for each distinct text; -1, a value that is missing, looks up the last: missing as well."""
    codes: dict[str, int] = {}
    return np.array([*(codes.setdefault(text, len(codes)) for text in texts), MISSING], dtype=np.int64)


def _keys(people: People) -> pd.DataFrame:
    """Return the columns that keys are made of; negative where a value is missing."""
    size = len(people.names) + 1
    low = np.minimum(people.given, people.family).astype(np.int64)
    high = np.maximum(people.given, people.family).astype(np.int64)
    _, starts, ends = people.phone_ends
    local_ends = _parts(local[-4:] for local in people.locals)
    local_starts = _parts(local[:10] for local in people.locals)
    return pd.DataFrame(
        {
            "place": np.arange(len(people), dtype=np.int32),
            "given": people.given,
            "family": people.family,
            # Either way round: an exchanged name has the same number.
            "names": np.where(low == MISSING, MISSING, low * size + high),
            "mailbox": people.mailbox,
            "local": people.local,
            "local_start": local_starts[people.local],
            "local_end": local_ends[people.local],
            "phone": people.phone,
            "phone_start": starts[people.phone],
            "phone_end": ends[people.phone],
            "month": np.where(
                people.joined == NO_DAY, MISSING, people.joined.astype(np.int64) // 31 + 100_000
            ),
            # Days before 1970 are days as well.
            "joined": np.where(people.joined == NO_DAY, MISSING, people.joined.astype(np.int64) + 1_000_000),
        }
    )
