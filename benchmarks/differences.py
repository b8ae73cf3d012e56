"""What changed since a snapshot, beside one scan of the tables and beside a full outer join in SQL.

The issue: on the same server 100,000 members and a million registrations within twice one scan of the tables,
and five times as fast as the join; against a dump within twice the join; memory bounded at ten million rows.
"""

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

from benchmarks.rollback import CODES, EVENTS, MEMBERS, NUMBERED, REGISTRATIONS, TAGS, _as_url
from workbench.database.embedded import client_tools, embedded_url
from workbench.demo.rows import schema

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

SCAN = "SELECT count(*) FROM public.{table} t"
ALONE = "SET max_parallel_workers_per_gather = 0"
# Rows are counted by a small index where there is one; only the table itself says who wrote which.
BY_TABLE = "SET enable_indexonlyscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off"

JOIN = """
SELECT count(*) FILTER (WHERE b.id IS NULL), count(*) FILTER (WHERE n.id IS NULL), count(*) FILTER (WHERE n.id = b.id)
FROM public.{table} n FULL JOIN before.{table} b ON n.id = b.id WHERE n IS DISTINCT FROM b
"""

OURS = """
import json, resource, sys
from contextlib import ExitStack
from time import perf_counter
from benchmarks.differences import open_sides
from workbench.investigate.differences.comparing import compared, keys_of
live, other, moment, in_full, archive, tables = json.loads(sys.argv[1])
with ExitStack() as stack:
    now, start, opening = open_sides(stack, live, other, moment, archive)
    begun = perf_counter()
    with compared(start, now, keys=keys_of(now.catalogue.tables), only=tables, in_full=in_full) as found:
        seconds = perf_counter() - begun
        counts = {name: [len(each.added), len(each.removed), len(each.changed)] for name, each in found.tables.items()}
        how = sorted({each.how for each in found.tables.values()})
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "opening": sum(opening), "megabytes": megabytes, "counts": counts, "how": how}))
"""


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


def open_sides(stack: Any, live: str, other: str, moment: list[Any], archive: str | None) -> Any:
    """Open the live database, and the snapshot: a clone, or an archive restored on the same server."""
    from contextlib import contextmanager

    from workbench.database.address import Address, parse_address
    from workbench.database.connection import Database
    from workbench.database.environment import Environment
    from workbench.investigate.differences.comparing import Earlier
    from workbench.investigate.differences.recent import Moment
    from workbench.investigate.differences.sides import side_of
    from workbench.settings import Settings
    from workbench.snapshots.scratch import restored

    def database(address: Address) -> Database:
        return Database(Environment("bench", "development", address.where), address, 3600.0)

    opening: list[float] = []

    @contextmanager
    def opened(tables: Any) -> Any:
        begun = perf_counter()
        if archive:
            os.environ["SCRATCH_URL"] = other
            settings = Settings(scratch_url_env="SCRATCH_URL")
            with (
                restored(Path(archive), tables, settings=settings) as scratch,
                database(Address(scratch.server.address.url)).reading() as connection,
            ):
                side = side_of(connection, "public", tables)
                opening.append(perf_counter() - begun)
                yield side
            return
        with database(parse_address(other, named="the clone")).reading() as connection:
            yield side_of(connection, "public", tables)

    now = side_of(stack.enter_context(database(parse_address(live, named="live")).reading()), "public")
    names, rows = moment[4], moment[5]
    taken = Moment(*moment[:4])
    return (
        now,
        Earlier("bench", opened, set(names), dict(zip(names, rows, strict=True)), taken, not archive),
        opening,
    )


def moment_of(url: str) -> list[Any]:
    """Return what a manifest would say of this moment."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT s.system_identifier::text, (SELECT oid::text FROM pg_database WHERE datname = current_database()),"
            " c.timeline_id, pg_current_snapshot()::text FROM pg_control_system() s, pg_control_checkpoint() c"
        ).fetchone()
        names = [
            each[0]
            for each in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        rows = [
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(each))).fetchone()[0]  # type: ignore[index]
            for each in names
        ]
    return [*(row or ()), names, rows]


def ours(
    live: str,
    other: str,
    moment: list[Any],
    *,
    in_full: bool,
    archive: Path | None = None,
    tables: tuple[str, ...] = TABLES,
) -> dict[str, Any]:
    """Compare in a process of its own; return seconds, memory and what was found."""
    values = json.dumps([_as_url(live), _as_url(other), moment, in_full, archive and str(archive), tables])
    done = subprocess.run([sys.executable, "-c", OURS, values], check=True, capture_output=True, text=True)
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
    moment = moment_of(live)
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
    seconds = lambda each: float(each["seconds"])  # noqa: E731
    server_url = make_conninfo(live, dbname="postgres")
    for what in ("a sync and a day's work", "much more, with rows deleted"):
        if what.startswith("much"):
            with psycopg.connect(live, autocommit=True) as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(MORE)
                connection.execute("VACUUM ANALYZE")
        scan = best(lambda: timed(live, SCAN, f"{ALONE}; {BY_TABLE}"), rounds)
        by_index = best(lambda: timed(live, SCAN, ALONE), rounds)
        join = best(lambda: timed(live, JOIN, "SET work_mem = '256MB'"), rounds)
        short = best(lambda: ours(live, other, moment, in_full=False), rounds, seconds)
        whole = best(lambda: ours(live, other, moment, in_full=True), rounds, seconds)
        print(f"{what}: found (added, removed, changed) {short['counts']}")
        assert short["counts"] == whole["counts"], (short, whole)
        print(
            f"one scan of the tables            {scan:7.3f} s   (counted by an index alone: {by_index:.3f} s)"
        )
        print(f"full outer join in SQL            {join:7.3f} s")
        print(f"same server, by transaction       {short['seconds']:7.3f} s   {short['megabytes']:.0f} MB")
        print(f"  to the scan                     {short['seconds'] / scan:7.2f}     (at most 2)")
        print(f"  of the join                     1/{join / short['seconds']:<6.1f}    (at most 1/5)")
        print(f"same server, in full              {whole['seconds']:7.3f} s   {whole['megabytes']:.0f} MB")
        print(f"  to the join                     {whole['seconds'] / join:7.2f}     (at most 2)")
    dump = best(
        lambda: ours(live, server_url, moment, in_full=True, archive=archive),
        2,
        lambda each: float(each["seconds"] - each["opening"]),
    )
    assert dump["counts"] == whole["counts"]
    after = dump["seconds"] - dump["opening"]
    print(f"a dump, once restored             {after:7.3f} s   {dump['megabytes']:.0f} MB")
    print(f"  to the join                     {after / join:7.2f}     (at most 2)")
    print(f"  restoring it took               {dump['opening']:7.3f} s")


def large(server: Path, rows: int) -> None:
    """Compare a table of very many rows in full, and print time and memory."""
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
    moment = moment_of(live)
    with psycopg.connect(live, autocommit=True) as connection:
        connection.execute(
            "UPDATE big SET status = 'CANCELLED' WHERE id < '10000000-0000-0000-0000-000000000000'"
        )
        connection.execute("DELETE FROM big WHERE id > 'ff800000-0000-0000-0000-000000000000'")
    other = make_conninfo(live, dbname="differences_large_before")
    for in_full in (False, True):
        found = ours(live, other, moment, in_full=in_full, tables=("big",))
        print(
            f"{rows:,} rows, {'in full' if in_full else found['how'][0]}: {found['seconds']:.1f} s,"
            f" {found['megabytes']:.0f} MB; found {found['counts']['big']}   (memory bounded)"
        )


def _clone(url: str, name: str) -> None:
    original = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(original))
        )
