"""What changed since a snapshot, beside a full outer join in SQL: at most twice its time, and 500 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import embedded_url
from benchmarks.rollback import CODES, EVENTS, MEMBERS, NUMBERED, REGISTRATIONS, TAGS, _as_url
from workbench.database.embedded import client_tools
from workbench.demo.club import schema

TABLES = ("Member", "Event", "EventRegistration")

# A sync and a day's work, and after it much more of all, with rows deleted.
EDITS = """
UPDATE "Member" SET phone = '5550000000', "updatedAt" = '2026-06-02' WHERE id < '00800000-0000-0000-0000-000000000000';
UPDATE "EventRegistration" SET status = 'CANCELLED', "updatedAt" = '2026-06-02' WHERE id < '00200000-0000-0000-0000-000000000000';
UPDATE "EventRegistration" SET "updatedAt" = "updatedAt" WHERE id > 'fff00000-0000-0000-0000-000000000000';
INSERT INTO "Member" (id, "firstName", "lastName", email, "joinedAt", "membershipStatusId", "updatedAt")
    SELECT '00000000-0000-4000-8000-000000000001', 'Nora', 'New', 'nora@example.org', '2026-06-02', id, '2026-06-02'
    FROM "MembershipStatus" LIMIT 1;
INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
    SELECT gen_random_uuid(), id, '00000000-0000-4000-8000-000000000001', 'CONFIRMED', '2026-06-02', '2026-06-02', '2026-06-02'
    FROM "Event" LIMIT 1000;
"""
MORE = """
UPDATE "EventRegistration" SET status = 'CANCELLED', "updatedAt" = '2026-06-02' WHERE id < '08000000-0000-0000-0000-000000000000';
DELETE FROM "EventRegistration" WHERE id BETWEEN '04000000-0000-0000-0000-000000000000' AND '04100000-0000-0000-0000-000000000000';
"""

JOIN = """
SELECT count(*) FILTER (WHERE b.id IS NULL), count(*) FILTER (WHERE n.id IS NULL), count(*) FILTER (WHERE n.id = b.id)
FROM public.{table} n FULL JOIN before.{table} b ON n.id = b.id WHERE n IS DISTINCT FROM b
"""

OURS = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from benchmarks.differences import database
from workbench.history.differences import compared, side_of
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot
live, other, archive, tables = json.loads(sys.argv[1])
times = []
def progress(what, done, total):
    if what.startswith("comparing") and not times:
        times.append(perf_counter())
snapshot = Snapshot("bench", archive and Path(archive), None, None if archive else database(other))
with database(live).reading() as connection:
    now = side_of(connection, "public")
    with compared(snapshot, now, now.catalogue, Settings(scratch_url_env="BENCH_SCRATCH_URL"), only=tables, progress=progress) as found:
        times.append(perf_counter())
        counts = {name: [len(each.rows[kind]) for kind in ('added', 'removed', 'changed')] for name, each in found.tables.items()}
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": times[1] - times[0], "megabytes": megabytes, "counts": counts}))
"""


def database(url: str) -> Any:
    """Return a database as the workbench opens it."""
    from workbench.database.address import parse_address
    from workbench.database.connection import Database
    from workbench.database.environment import Environment

    address = parse_address(url, named="the benchmark")
    return Database(Environment("bench", "development", address.where), address, 3600.0)


def build(url: str, members: int, registrations: int) -> None:
    """Fill an empty database: so many members, and ten times as many registrations."""
    events = max(300, registrations // 45)
    facts: dict[str, Any] = {
        "run": "earlier",
        "start": "2026-04-01 09:00",
        "pace": "0.001 s",
        "first": 1,
        "last": members,
        "members": members,
        "events": events,
        "kind": "registration",
        "count": registrations,
    }
    tables, indexes = schema("application")
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'; SET work_mem = '256MB'")
        for statement in (tables, TAGS, NUMBERED, CODES):
            connection.execute(statement)
        for statement in (EVENTS, MEMBERS, REGISTRATIONS):
            connection.execute(statement, facts)
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(indexes)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def ours(
    live: str, other: str, archive: Path | None = None, tables: tuple[str, ...] = TABLES
) -> dict[str, Any]:
    """Compare in a process of its own; return seconds, once all is opened, memory and what was found."""
    values = json.dumps([_as_url(live), _as_url(other), archive and str(archive), tables])
    scratch = {**os.environ, "BENCH_SCRATCH_URL": _as_url(other)}
    done = subprocess.run(
        [sys.executable, "-c", OURS, values], check=True, capture_output=True, text=True, env=scratch
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def timed(url: str, statement: str, setting: str = "") -> float:
    """Run one question for each table; return seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(setting or "SELECT 1")  # type: ignore[arg-type]
        begun = perf_counter()
        for table in TABLES:
            connection.execute(sql.SQL(statement).format(table=sql.Identifier(table))).fetchall()  # type: ignore[arg-type]
        return perf_counter() - begun


def best(of: Callable[[], Any], rounds: int, by: Callable[[Any], float] = lambda each: float(each)) -> Any:
    """Return the best of some rounds."""
    return min((of() for _ in range(rounds)), key=by)


def compare(server: Path, home: Path, members: int, rounds: int = 5) -> None:
    """Build a club, take it down, change it, and print each way's time and the ratios."""
    live = embedded_url(server, "differences")
    begun = perf_counter()
    build(live, members, members * 10)
    print(f"{members:,} members, {members * 10:,} registrations (built in {perf_counter() - begun:.0f} s)")
    other = make_conninfo(live, dbname="differences_before")
    _clone(live, "differences_before")
    archive = home / "before.dump"
    subprocess.run([client_tools() / "pg_dump", "-Fc", "-Z0", "-f", archive, other], check=True)
    with psycopg.connect(live, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA before")
        for table in TABLES:
            name = sql.Identifier(table)
            connection.execute(sql.SQL("CREATE TABLE before.{} AS TABLE public.{}").format(name, name))
            connection.execute(sql.SQL("ALTER TABLE before.{} ADD PRIMARY KEY (id)").format(name))
        connection.execute("SET session_replication_role = replica")
        connection.execute(EDITS)
        connection.execute("VACUUM ANALYZE")
    for what in ("a sync and a day's work", "much more, with rows deleted"):
        if what.startswith("much"):
            with psycopg.connect(live, autocommit=True) as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(MORE)
                connection.execute("VACUUM ANALYZE")
        join = min(timed(live, JOIN, "SET work_mem = '256MB'") for _ in range(rounds))
        whole = min((ours(live, other) for _ in range(rounds)), key=lambda run: float(run["seconds"]))
        print(f"{what}: found (added, removed, changed) {whole['counts']}")
        print(f"full outer join in SQL            {join:7.3f} s")
        print(f"differences                       {whole['seconds']:7.3f} s   {whole['megabytes']:.0f} MB")
        print(f"  to the join                     {whole['seconds'] / join:7.2f}     (at most 2, and 500 MB)")
    dump = ours(live, make_conninfo(live, dbname="postgres"), archive)
    assert dump["counts"] == whole["counts"]
    print(f"a dump, once restored             {dump['seconds']:7.3f} s   {dump['megabytes']:.0f} MB")
    print(f"  to the join                     {dump['seconds'] / join:7.2f}     (at most 2)")


def large(server: Path, rows: int) -> None:
    """Compare a table of very many rows, and print time and memory."""
    live = embedded_url(server, "differences_large")
    with psycopg.connect(live, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE big (id uuid PRIMARY KEY, member uuid, status text, at timestamp(3))"
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO big SELECT md5('b' || n)::uuid, md5('m' || n % 1000)::uuid, 'CONFIRMED', '2026-06-01'"
                " FROM generate_series(1, {}) n"
            ).format(rows)
        )
        connection.execute("VACUUM ANALYZE")
    _clone(live, "differences_large_before")
    with psycopg.connect(live, autocommit=True) as connection:
        connection.execute(
            "UPDATE big SET status = 'CANCELLED' WHERE id < '10000000-0000-0000-0000-000000000000'"
        )
        connection.execute("DELETE FROM big WHERE id > 'ff800000-0000-0000-0000-000000000000'")
    other = make_conninfo(live, dbname="differences_large_before")
    found = ours(live, other, tables=("big",))
    print(
        f"{rows:,} rows: {found['seconds']:.1f} s, {found['megabytes']:.0f} MB; found {found['counts']['big']}"
    )


def _clone(url: str, name: str) -> None:
    original = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(original))
        )
