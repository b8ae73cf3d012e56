"""A healthy club in a real database, with the traces and report files its imports left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from workbench.database.environment import DEMO_MARK
from workbench.demo import application, doings, guide
from workbench.demo.history import Run, history
from workbench.demo.listings import csv_name, listing
from workbench.demo.people import LEVELS
from workbench.demo.reports import CSV_CONFIG, GUIDE_CONFIG, write_api_report, write_listing
from workbench.demo.rows import copy, schema
from workbench.demo.shape import ANCHOR, Dialect, Origin, Shape


@dataclass(frozen=True)
class Club:
    """What `build_club` built.

    Attributes
    ----------
    imports : Path
        The folder with the importers' report files and ``membership.yaml``.
    runs : tuple of Run
        Its past, dry runs included, in order of time.
    anchor : datetime
        Its present, in UTC.
    registrations : int
        How many registrations it has.
    """

    dialect: Dialect
    members: int
    seed: int
    imports: Path
    runs: tuple[Run, ...]
    anchor: datetime
    registrations: int

    @cached_property
    def shape(self) -> Shape:
        """Where the club's parts lie."""
        return Shape(self.dialect, self.members, self.seed)

    @property
    def last_live_run(self) -> Run:
        """The latest run that wrote."""
        return [run for run in self.runs if run.mode == "live"][-1]


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
        To a database without tables of its own.
    dialect : {"guide", "application"}
        Which of the two worlds to build.
    members : int
        50 to 1,000,000. Memory does not grow with it.
    imports : Path
        Where the importers leave their files; made if missing.

    Raises
    ------
    ValueError
        When the database is not empty, or the size is out of range.
    """
    shape = Shape(dialect, members, seed)
    tables, indexes = schema(dialect)
    seen: Counter[str] = Counter()
    world = guide if dialect == "guide" else application
    with connection.transaction():
        taken = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 LIMIT 1"
        ).fetchone()
        if taken is not None:
            raise ValueError(f"A club is built on an empty database; this one has a table {taken[0]}.")
        connection.execute(tables)
        for part in chain(
            world.tables(shape, seen), doings.tables(shape) if dialect == "application" else ()
        ):
            copy(connection, *part)
        runs = history(shape, seen)
        for part in world.closing(shape, runs):
            copy(connection, *part)
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")  # for the indexes of a large club
        connection.execute(indexes)
        if dialect == "application":
            # COPY gave the support cases their numbers; the next one must not take one of them.
            connection.execute(
                """SELECT setval('"SupportCase_caseNumber_seq"', max("caseNumber")) FROM "SupportCase" """
            )
        mark = sql.SQL("COMMENT ON TABLE {} IS {}")
        connection.execute(
            mark.format(sql.Identifier("Member"), sql.Literal(f"{DEMO_MARK}: nobody in it is real"))
        )
        connection.execute("ANALYZE")
        imports.mkdir(parents=True, exist_ok=True)
        _write_files(shape, runs, imports, seen)
    return Club(
        dialect, members, seed, imports, runs, ANCHOR, sum(seen[o] for o in ("first", "csv", "second"))
    )


def _write_files(shape: Shape, runs: tuple[Run, ...], imports: Path, seen: Counter[str]) -> None:
    levels = "\n".join(f'  "{level}": {code}' for level, (_, code, _) in LEVELS.items())
    # The application's tiers come from its policies; the guide knows one mapping only.
    key = "membership_status_mapping" if shape.dialect == "guide" else "membership.tiers.waMapping"
    (imports / "membership.yaml").write_text(
        f"# Which membership tier each Wild Apricot membership level becomes.\n{key}:\n{levels}\n",
        encoding="utf-8",
    )
    origins: tuple[Origin, ...] = (
        ("first", "second") if shape.dialect == "guide" else ("first", "csv", "second")
    )
    for run, origin in zip(runs, (o for o in origins for _ in ("dry", "live")), strict=True):
        if run.importer == "api":
            _write_sync(shape, run, origin, imports)
        elif run.importer == "csv":
            write_listing(imports, run, CSV_CONFIG, listing(shape, origin, run.mode, csv_name(shape)))
        else:
            names = listing(shape, origin, run.mode, lambda entity, index: str(shape.wa_id(entity, index)))
            write_listing(imports, run, GUIDE_CONFIG, names)


def _write_sync(shape: Shape, run: Run, origin: Origin, imports: Path) -> None:
    fetched = sum(run.counts["Event"].values())
    unmapped: range = range(0)
    if run.mode == "dry":
        first = 0 if origin == "first" else shape.csv_events
        last = shape.first_events if origin == "first" else shape.events
        unmapped = range(shape.wa_id("Event", first), shape.wa_id("Event", last))
    write_api_report(imports, run, mapped_events=fetched - len(unmapped), unmapped=unmapped)
