"""One import run: the club's own, one that a breakage plants, one more that a test plays.

A run leaves what its importer leaves: records, mappings, audit entries, report files, the sync state. What it brings
is put into the tables of the schema ``demo`` (see ``sql/common.sql``), between `begin_run` and `end_run`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from workbench.demo.history import ANCHOR, STARTS, Importer, Run

if TYPE_CHECKING:
    from workbench.demo.club import Club

Connection = psycopg.Connection[Any]
End = Literal["completed", "failed", "killed"]

DRY_RUN_LEAD = timedelta(hours=3)
"""How long before a live run its dry run started."""

MOST_LISTED = 20_000
"""How many records one section of a report lists; past it the report says it is truncated."""

_TOGETHER = 40  # names of one weight in one row: small enough to be read in place
_MOST_INDENTED = 2_000_000  # characters of a file that somebody may read


def demo_file(path: str) -> str:
    """Return the text of a file beside this one: ours, and so as good as if it stood here."""
    return files("workbench.demo").joinpath(path).read_text(encoding="utf-8")


@contextmanager
def staging(connection: Connection, club: Club) -> Iterator[None]:
    """Lay out the schema ``demo``, in which the rows of runs are made, and remove it when they are."""
    names, men, given, families = _names()
    last = club.last_live_run if club.runs else None
    constants: dict[str, tuple[str, Any]] = {
        "seed": ("text", club.seed),
        "men": ("bigint", men),
        "given": ("bigint", given),
        "families": ("bigint", families),
        "anchor": ("timestamp", f"{ANCHOR:%F %T}"),
        "last_run": ("text", last.run if last else ""),
        "last_finish": ("timestamp", f"{last.finished if last else ANCHOR:%F %T.%f}"),
        "most_listed": ("int", MOST_LISTED),
        **{f"{origin}_run": ("timestamp", f"{started:%F %T}") for origin, started in STARTS.items()},
        **{name: ("int", size) for name, size in club.sizes.items()},
    }
    definition = sql.SQL("CREATE FUNCTION demo.{}() RETURNS {kind} IMMUTABLE RETURN {}::{kind}")
    statements = [
        sql.SQL("CREATE SCHEMA demo"),
        *(
            definition.format(sql.Identifier(name), str(value), kind=sql.SQL(kind))
            for name, (kind, value) in constants.items()
        ),
        *(
            sql.SQL(demo_file(f"sql/{path}.sql"))
            for path in (f"{club.dialect}/words", "common", "reports", f"{club.dialect}/runs")
        ),
    ]
    # What is prepared here would outlive the types it was prepared for.
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    try:
        connection.execute(sql.SQL(";\n").join(statements))
        with connection.cursor().copy("COPY demo.name FROM STDIN") as rows:
            rows.write(names)
        yield
        connection.execute("DROP SCHEMA demo CASCADE")
    finally:
        connection.prepare_threshold = threshold


@cache
def _names() -> tuple[str, int, int, int]:
    """Return the rows of `demo.name` for COPY, and how many men there are, people, and people with a surname."""
    rows: list[str] = []
    men, places, ends = 0, Counter[str](), Counter[str]()
    for line in demo_file("names.tsv").splitlines():
        if line.startswith("#"):
            continue
        kind, weight, text = line.split("\t")
        names, which = text.split(), "family" if kind == "family" else "given"
        for at in range(0, len(names), _TOGETHER):
            part = names[at : at + _TOGETHER]
            begins, ends[which] = ends[which], ends[which] + int(weight) * len(part)
            quoted = ",".join(f'"{name}"' for name in part)  # there are people called Null
            rows.append(f"{which}\t{places[which]}\t{begins}\t{ends[which]}\t{weight}\t{{{quoted}}}\n")
            places[which] += 1
        men += int(weight) * len(names) * (kind == "male")
    return "".join(rows), men, ends["given"], ends["family"]


def begin_run(
    connection: Connection,
    importer: Importer,
    started: datetime,
    length: timedelta,
    numbers: Sequence[int],
    *,
    pace: timedelta = timedelta(seconds=1),
    dry_run_lead: timedelta | None = DRY_RUN_LEAD,
    end: End = "completed",
    environment: str | None = None,
    config: Mapping[str, str] | None = None,
) -> str:
    """Begin a live run in the staging, and return its id.

    Parameters
    ----------
    numbers : sequence of int
        Those of its first new member, event and registration.
    pace : timedelta
        What it takes per record.
    dry_run_lead : timedelta, optional
        How long before it its dry run began; None for no dry run.
    end : {"completed", "failed", "killed"}
        A failed sync still reports success, and says in its skip reasons what it could not fetch. A
        killed run leaves no end: no audit entry, no report, no sync state.
    environment : str, optional
        Which environment it says that it wrote to.
    config : mapping, optional
        What it says of its configuration beside what all runs say.
    """
    connection.execute("CALL demo.clear()")
    begun = started.replace(tzinfo=None)
    options = (pace, dry_run_lead, end, environment, json.dumps(config or {}))
    ((run,),) = connection.execute(
        """INSERT INTO demo.run SELECT demo.run_id(i, s), i, s, %s, %s, %s, %s, %s, demo.config(i) || %s, %s, %s, %s
           FROM (SELECT %s::text AS i, %s::timestamp AS s) r RETURNING run""",
        (begun + length, *options, *numbers, importer, begun),
    ).fetchall()
    return str(run)


def end_run(connection: Connection, club: Club, *, reported: bool = True) -> tuple[Run, ...]:
    """Write what the run in the staging brings, and what it and its dry run leave; return the two.

    Parameters
    ----------
    reported : bool
        Whether it leaves report files.
    """
    connection.execute(
        "CALL demo.set_clock(); CALL demo.count_run(); CALL demo.write_rows(); CALL demo.write_end()"
    )
    if reported:
        for name, text in connection.execute("SELECT name, content::text FROM demo.files()"):
            # Indented to be read by people, unless nobody would: that is a third of a large file, and of the time.
            if len(text) < _MOST_INDENTED:
                text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
            (club.imports / name).write_text(text, encoding="utf-8")
    query = "SELECT run, importer, mode, started, finished, counts FROM demo.outcome ORDER BY started"
    return tuple(
        Run(run, importer, mode, started.replace(tzinfo=UTC), finished.replace(tzinfo=UTC), counts)
        for run, importer, mode, started, finished, counts in connection.execute(query)
    )
