"""One import run: of the club itself, of a planted failure, or of a test.

A run leaves the same traces as its importer: records, mappings, audit entries, report files, the sync state. Its records
are put into the tables of the schema ``demo`` (see ``sql/common.sql``), between `begin_run` and `end_run`.
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
"""How long before a live run its dry run starts."""

MOST_LISTED = 20_000
"""The most records in one section of a report; a longer one is marked as truncated."""

_TOGETHER = 40  # names of the same weight per row: short enough not to be stored out of line
_MOST_INDENTED = 2_000_000  # characters; nobody reads a longer file


def demo_file(path: str) -> str:
    """Return the text of a file in this package."""
    return files("workbench.demo").joinpath(path).read_text(encoding="utf-8")


@contextmanager
def staging(connection: Connection, club: Club) -> Iterator[None]:
    """Create the schema ``demo``, in which the rows of runs are generated, and drop it at the end."""
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
    # Prepared statements would outlive the types of this schema.
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
    """Return the rows of `demo.name` for COPY, and the total weights of male, given and family names."""
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
            quoted = ",".join(f'"{name}"' for name in part)  # some people are called Null
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
    """Begin a live run in the schema ``demo``, and return its id.

    Parameters
    ----------
    numbers : sequence of int
        The numbers of its first new member, event and registration.
    pace : timedelta
        The time per record.
    dry_run_lead : timedelta, optional
        How long before it its dry run started; None for no dry run.
    end : {"completed", "failed", "killed"}
        A failed sync still reports success, with what it could not fetch among the skip reasons. A killed run leaves no
        final audit entry, no report and no sync state.
    environment : str, optional
        The environment that it claims to have written to.
    config : mapping, optional
        Additions to the configuration that it reports.
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
    """Write the records of the current run, and the traces of it and of its dry run; return both runs.

    Parameters
    ----------
    reported : bool
        Whether it writes report files.
    """
    connection.execute(
        "CALL demo.set_clock(); CALL demo.count_run(); CALL demo.write_rows(); CALL demo.write_end()"
    )
    if reported:
        for name, text in connection.execute("SELECT name, content::text FROM demo.files()"):
            # Indented for people; in a large file that would be a third of its size and time.
            if len(text) < _MOST_INDENTED:
                text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
            (club.imports / name).write_text(text, encoding="utf-8")
    query = "SELECT run, importer, mode, started, finished, counts FROM demo.outcome ORDER BY started"
    return tuple(
        Run(run, importer, mode, started.replace(tzinfo=UTC), finished.replace(tzinfo=UTC), counts)
        for run, importer, mode, started, finished, counts in connection.execute(query)
    )
