"""A healthy club in a real database, with the traces and report files of its imports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from workbench.database.environment import DEMO_MARK
from workbench.demo.history import ANCHOR, STARTS, Dialect, Importer, Run
from workbench.demo.importing import begin_run, demo_file, end_run, staging

LEVELS = {
    "Newcomer": "NEWCOMER",
    "2nd Year": "NEWCOMER",
    "Third Year": "EXTENDED",
    "Alumni": "ALUMNI",
    "Prospect": "PROSPECT",
    "Extended Newcomer": "EXTENDED",
    "New Member": "NEWCOMER",
    "Lapsed": "LAPSED",
}
"""The membership levels, and the tier that ``membership.yaml`` maps each to."""

_PACE = timedelta(milliseconds=2)  # time that an importer takes per record
_AFTER_THE_ROWS, _AFTER_THE_IMPORTS = "-- After the rows", "-- After the imports"


@dataclass(frozen=True)
class Club:
    """A club: its size and seed, the folder of its importers' files, and its past.

    Members, events and registrations are numbered, in ranges: those of the first run, of the CSV import (only in the
    application's dialect), and of the second run. Everything about the n-th of them is derived from the seed and n by
    hashing, in ``sql/common.sql``.

    Attributes
    ----------
    imports : Path
        The folder with the importers' report files and ``membership.yaml``.
    runs : tuple of Run
        Its runs including dry runs, in order of time.
    registrations : int
        The number of registrations.
    anchor : datetime
        The club's present, in UTC.
    """

    dialect: Dialect
    members: int
    seed: int
    imports: Path
    runs: tuple[Run, ...] = ()
    registrations: int = 0
    anchor: datetime = field(default=ANCHOR)

    def __post_init__(self) -> None:
        if not 50 <= self.members <= 1_000_000:
            raise ValueError(f"A club has 50 to 1,000,000 members, not {self.members}.")

    @property
    def last_live_run(self) -> Run:
        """The latest run that wrote."""
        return [run for run in self.runs if run.mode == "live"][-1]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Where the ranges of members and events end."""
        members, in_csv = self.members, self.dialect == "application"
        first_members, events = members * 7 // 10, max(18, members // 5)
        first_events = events * 3 // 4
        return {
            "members": members,
            "first_members": first_members,
            "csv_members": first_members + (min(500, max(3, members // 20)) if in_csv else 0),
            "csv_updates": (min(4000, first_members) + 15) // 20 if in_csv else 0,
            "all_events": events,
            "first_events": first_events,
            "csv_events": first_events + (min(8, max(2, events // 20)) if in_csv else 0),
            # From here on, the first run's events were in the future and still took registrations.
            "open_events": first_events - max(2, first_events // 8),
            "registrations": self.registrations,
            "wide": 100 if members > 200_000 else 1,
        }

    def id(self, kind: str, number: int) -> str:
        """Return Murmurant's id of a record, as `demo.id` makes it."""
        return str(UUID(md5(f"{self.seed}:{kind}:{number}".encode(), usedforsecurity=False).hexdigest()))

    def wa_id(self, entity: str, number: int) -> int:
        """Return the Wild Apricot id of a record, as `demo.wa_id` makes it."""
        base = {"Member": 50_000, "Event": 9_000, "Registration": 700_000}[entity]
        return base * self.sizes["wide"] + number


def schema(dialect: Dialect) -> tuple[str, str]:
    """Return a dialect's tables, and its indexes and foreign keys, which are created after the rows."""
    before, _, after = demo_file(f"schemas/{dialect}.sql").rpartition(_AFTER_THE_ROWS)
    return before, after


def build_club(
    connection: psycopg.Connection[Any],
    *,
    dialect: Dialect,
    members: int = 200,
    seed: int = 1,
    imports: Path,
) -> Club:
    """Build a healthy club on an empty database, in one transaction.

    The same arguments give the same rows and the same files, byte for byte.

    Parameters
    ----------
    connection : psycopg.Connection
        To a database without tables.
    dialect : {"guide", "application"}
        The dialect of its tables.
    members : int
        50 to 1,000,000.
    imports : Path
        The folder for the importers' files; created if missing.

    Raises
    ------
    ValueError
        When the database is not empty, or the size is out of range.
    """
    club = Club(dialect, members, seed, imports)
    tables, indexes = schema(dialect)
    seeds, _, doings = demo_file(f"sql/{dialect}/club.sql").partition(_AFTER_THE_IMPORTS)
    with connection.transaction():
        taken = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 LIMIT 1"
        ).fetchone()
        if taken is not None:
            raise ValueError(f"A club is built on an empty database; this one has a table {taken[0]}.")
        connection.execute(tables)
        imports.mkdir(parents=True, exist_ok=True)
        _write_levels(club)
        with staging(connection, club):
            connection.execute(demo_file("sql/club.sql"))
            if seeds:
                connection.execute(seeds)
            ((registrations,),) = connection.execute("SELECT count(*) FROM demo.booking").fetchall()
            club = replace(club, registrations=registrations)
            records = members + club.sizes["all_events"] + registrations + 2000
            runs: list[Run] = []
            for origin, started in STARTS.items():
                if origin == "csv" and dialect == "guide":
                    continue
                importer: Importer = "csv" if origin == "csv" else "guide" if dialect == "guide" else "api"
                length = _PACE * (5000 if origin == "csv" else records)
                first = {"first": "", "csv": "first", "second": "csv"}[origin]
                numbers = [club.sizes[f"{first}_{name}"] if first else 0 for name in ("members", "events")]
                begin_run(connection, importer, started, length, (*numbers, 0), pace=_PACE)
                connection.execute("CALL demo.fill(%s)", (origin,))
                runs += end_run(connection, club)
            connection.execute(doings)
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")  # for a large club's indexes
        connection.execute(indexes)
        connection.execute(
            sql.SQL('COMMENT ON TABLE "Member" IS {}').format(f"{DEMO_MARK}: nobody in it is real")
        )
        connection.execute("ANALYZE")
    return replace(club, runs=tuple(runs))


def _write_levels(club: Club) -> None:
    levels = "\n".join(f'  "{level}": {code}' for level, code in LEVELS.items())
    # The application's tiers come from its policies; the guide has only one mapping.
    key = "membership_status_mapping" if club.dialect == "guide" else "membership.tiers.waMapping"
    (club.imports / "membership.yaml").write_text(
        f"# Which membership tier each Wild Apricot membership level becomes.\n{key}:\n{levels}\n",
        encoding="utf-8",
    )
