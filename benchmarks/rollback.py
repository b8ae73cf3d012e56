"""Rolling a large run back, beside the guide's own Level 1 by hand.

The issue: a run of a million rows in at most an eighth of the hand-written SQL's time, one of ten thousand
in at most half, planning in at most twice the apply, under 500 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import embedded_url
from workbench.database.embedded import client_tools
from workbench.demo.club import schema

LEVEL1 = Path(__file__).with_name("level1.sql")

RUN_ID = "run_20260601_bench"
EARLIER_RUN_ID = "run_20260401_bench"

# What the guide's Level 1 asks for and the application does not have.
TAGS = """
ALTER TABLE "Member" ADD "importRunId" TEXT;
ALTER TABLE "Event" ADD "importRunId" TEXT;
ALTER TABLE "EventRegistration" ADD "importRunId" TEXT;
ALTER TABLE "WaIdMapping" ADD "syncRunId" TEXT;
"""

# Everything follows from a number by hashing, so the same size gives the same rows.
NUMBERED = """
CREATE FUNCTION pg_temp.numbered(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT md5(kind || n)::uuid $$;
"""

CODES = """
INSERT INTO "MembershipStatus" (id, code, label, "updatedAt")
    SELECT pg_temp.numbered('status', n), code, initcap(code), '2026-03-01'
    FROM unnest(ARRAY['active', 'lapsed', 'pending_new', 'pending_renewal', 'not_a_member']) WITH ORDINALITY AS s(code, n);
INSERT INTO "MembershipTier" (id, code, name, "sortOrder", "updatedAt")
    SELECT pg_temp.numbered('tier', n), code, initcap(code), n, '2026-03-01'
    FROM unnest(ARRAY['PROSPECT', 'NEWCOMER', 'MEMBER', 'ALUMNI']) WITH ORDINALITY AS t(code, n);
"""

EVENTS = """
INSERT INTO "Event" (id, title, description, category, location, "startTime", "endTime", capacity, "isPublished",
                     status, "createdAt", "updatedAt", "importRunId")
    SELECT pg_temp.numbered('event', n), 'Gathering ' || n, 'Come along', 'Social', 'Club house',
           timestamp '2026-06-10' + n * interval '7 hours', timestamp '2026-06-10 02:00' + n * interval '7 hours',
           40 + n %% 60, true, 'PUBLISHED', moment, moment, %(run)s
    FROM generate_series(1, %(events)s) AS n, LATERAL (SELECT %(start)s::timestamp + n * interval '0.1 s') AS m(moment)
"""

MEMBERS = """
INSERT INTO "Member" (id, "firstName", "lastName", email, phone, "joinedAt", "membershipStatusId", "membershipTierId",
                      "waMembershipLevelRaw", "createdAt", "updatedAt", "waRawData", "importRunId")
    SELECT pg_temp.numbered('member', n), 'Given' || n %% 997, 'Family' || n %% 7919, 'member' || n || '@example.org',
           to_char(5550000000 + n, 'FM9999999999'), timestamp '2015-01-01' + n %% 4000 * interval '1 day',
           pg_temp.numbered('status', 1 + n %% 5), pg_temp.numbered('tier', 1 + n %% 4), 'Level ' || n %% 4,
           moment, moment,
           jsonb_build_object(
               'status', 'Active', '_importedAt', moment, 'displayName', 'Family' || n %% 7919 || ', Given' || n %% 997,
               'fieldValues', jsonb_build_object('Phone (Phone)', to_char(5550000000 + n, 'FM999"-"999"-"9999')),
               'memberSince', '2015-01-01T00:00:00', 'waContactId', 10000000 + n, 'organization', NULL,
               'membershipLevel', jsonb_build_object('id', 100 + n %% 4, 'name', 'Level ' || n %% 4),
               'isSuspendedMember', false, 'profileLastUpdated', '2026-04-01T10:00:00',
               'isAccountAdministrator', false),
           %(run)s
    FROM generate_series(%(first)s::bigint, %(last)s) AS n,
         LATERAL (SELECT %(start)s::timestamp + (n - %(first)s) * %(pace)s::interval) AS m(moment)
"""

# Event by event, as an importer fetches them. No member has the same event twice: 31 and the number of events
# have no common factor, and nobody has as many registrations as there are events.
REGISTRATIONS = """
INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "waitlistPosition", "registeredAt", "confirmedAt",
                                 "createdAt", "updatedAt", "importRunId")
    SELECT pg_temp.numbered(%(kind)s, n), pg_temp.numbered('event', event), pg_temp.numbered('member', member),
           CASE WHEN n %% 10 = 0 THEN 'WAITLISTED' ELSE 'CONFIRMED' END::"RegistrationStatus",
           CASE WHEN n %% 10 = 0 THEN 999 END, moment - interval '20 days',
           CASE WHEN n %% 10 > 0 THEN moment - interval '19 days' END, moment, moment, %(run)s
    FROM (
        SELECT n, row_number() OVER (ORDER BY event, member) AS place, event, member
        FROM generate_series(0::bigint, %(count)s - 1) AS n,
             LATERAL (SELECT n / %(members)s + 1 AS nth, %(first)s + n %% %(members)s AS member) AS a,
             LATERAL (SELECT 1 + (member * 7 + nth * 31) %% %(events)s AS event) AS b
    ) AS slot, LATERAL (SELECT %(start)s::timestamp + place * %(pace)s::interval) AS m(moment)
    ORDER BY place
"""

MAPPINGS = """
INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "syncedAt", "updatedAt", "syncRunId")
    SELECT pg_temp.numbered('mapping', n), 'Member', 10000000 + n, pg_temp.numbered('member', n), moment, moment, %(run)s
    FROM generate_series(%(first)s::bigint, %(last)s) AS n,
         LATERAL (SELECT %(start)s::timestamp + (n - %(first)s) * %(pace)s::interval) AS m(moment)
"""

# What people did: it hangs on members, events and registrations that were there before the run.
DOINGS = """
INSERT INTO "UserAccount" (id, "memberId", email, "passwordHash", "updatedAt")
    SELECT pg_temp.numbered('account', n), pg_temp.numbered('member', n), 'member' || n || '@example.org', 'x', '2026-05-01'
    FROM generate_series(1, %(members)s, 2) AS n;
INSERT INTO "Session" (id, "tokenHash", "userAccountId", email, "globalRole", "expiresAt")
    SELECT pg_temp.numbered('session', n), md5('token' || n), pg_temp.numbered('account', n), 'member' || n || '@example.org',
           'member', '2026-12-01'
    FROM generate_series(1, %(members)s, 2) AS n;
INSERT INTO "EventNote" (id, "eventId", "authorId", "noteType", content, "updatedAt")
    SELECT pg_temp.numbered('note', n), pg_temp.numbered('event', 1 + n %% %(events)s), pg_temp.numbered('member', n),
           'PLANNING', 'Bring chairs', '2026-05-01'
    FROM generate_series(1, %(members)s, 5) AS n;
INSERT INTO "PaymentIntent" (id, "registrationId", "idempotencyKey", status, "amountCents", "updatedAt")
    SELECT pg_temp.numbered('payment', n), pg_temp.numbered('old registration', n), 'key ' || n, 'SUCCEEDED', 1500, '2026-05-01'
    FROM generate_series(0, %(members)s - 1) AS n;
"""

OLD_MEMBERS, OLD_REGISTRATIONS = 3_000, 30_000


def build(url: str, rows: int, imports: Path) -> None:
    """Fill an empty database: a small club, then one run of `rows` rows, nine tenths of them registrations.

    The importer left no files, and the application's enum has no room for the guide's audit entries: what ties
    records to the run is its id on them and on its mappings.
    """
    members, registrations = rows // 20, rows - rows // 20 * 2
    events = max(300, registrations // 45)  # as many registrations to an event as in the demo club
    tables, indexes = schema("application")
    imports.mkdir(parents=True, exist_ok=True)
    earlier = {
        "run": EARLIER_RUN_ID,
        "start": "2026-04-01 09:00",
        "pace": "0.05 s",
        "first": 1,
        "last": OLD_MEMBERS,
        "members": OLD_MEMBERS,
        "events": events,
        "kind": "old registration",
        "count": OLD_REGISTRATIONS,
    }
    run = {
        **earlier,
        "run": RUN_ID,
        "first": OLD_MEMBERS + 1,
        "last": OLD_MEMBERS + members,
        "members": members,
        "kind": "registration",
        "count": registrations,
    }

    def within_the_hour(start: str, minutes: int, count: int) -> dict[str, str]:
        return {"start": f"2026-06-01 {start}", "pace": f"{minutes * 60 / max(count, 1):.9f} s"}

    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'; SET work_mem = '256MB'")
        for statement in (tables, TAGS, NUMBERED, CODES):
            connection.execute(statement)
        connection.execute(EVENTS, earlier)
        for statement in (MEMBERS, REGISTRATIONS, MAPPINGS, DOINGS):
            connection.execute(statement, earlier)
        connection.execute(indexes)
        # The run comes into a database in use, whose indexes grow row by row. Its references are right by
        # construction; checking two million of them would only cost time.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(MEMBERS, run | within_the_hour("09:00", 10, members))
        connection.execute(REGISTRATIONS, run | within_the_hour("09:10", 49, registrations))
        connection.execute(MAPPINGS, run | within_the_hour("09:00", 10, members))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


@contextmanager
def fresh(url: str) -> Iterator[str]:
    """Clone a database nobody is connected to; yield the clone's address, and drop it."""
    original = str(conninfo_to_dict(url)["dbname"])
    clone = f"{original}_clone"
    names = sql.Identifier(clone), sql.Identifier(original)
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        # Copied as files and flushed, so that nothing of the copying is left to do while the clock runs.
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(names[0]))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*names))
        try:
            yield make_conninfo(url, dbname=clone)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


def by_hand(url: str) -> float:
    """Run the guide's Level 1 on a fresh clone, by psql and in one transaction; return seconds."""
    with fresh(url) as clone:
        begun = perf_counter()
        command = [str(client_tools() / "psql"), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*command, "-v", f"run={RUN_ID}", "-f", str(LEVEL1), clone], check=True)
        return perf_counter() - begun


OURS = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from workbench.database.address import parse_address
from workbench.database.connection import Database
from workbench.database.environment import Environment
from workbench.settings import EnvironmentSettings, Settings
from workbench.session import Session
from workbench.workbench import Workbench
url, home, what, name = sys.argv[1:]
address = parse_address(url, named="the benchmark's URL")
database = Database(Environment("bench", "development", address.where), address)
options = EnvironmentSettings(kind="development")
with Workbench(Session(database, options, Settings(operator="bench", home=Path(home)))) as wb:
    runs, plans = wb.runs, wb.plans  # whose modules are loaded on first use
    begun = perf_counter()
    if what == "plan":
        plan = runs.plan_rollback(name)
    else:
        plan = plans[name]
        plans.approve(plan, plan.digest)
        plans.apply(plan)
    seconds = perf_counter() - begun
print(json.dumps({
    "plan": plan.id,
    "changes": plan.total,
    "seconds": seconds,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def ours(url: str, home: Path) -> dict[str, dict[str, float]]:
    """Plan and apply on a fresh clone, each in a process of its own; return seconds and memory of both."""
    found = {}
    with fresh(url) as clone:
        name = RUN_ID
        for what in ("plan", "apply"):
            command = [sys.executable, "-c", OURS, _as_url(clone), str(home), what, name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[what] = json.loads(done.stdout)
            name = str(found[what]["plan"])
    return found


def _as_url(conninfo: str) -> str:
    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={quote(str(parts['host']))}"


def compare(server: Path, home: Path, rows: int, rounds: int) -> None:
    """Build a run of so many rows, roll it back both ways in turn, and print the best of each and their ratios."""
    url = embedded_url(server, f"rollback_{rows}")
    begun = perf_counter()
    build(url, rows, home / "imports")
    print(f"rolling back a run of {rows:,} rows (built in {perf_counter() - begun:.0f} s)")
    hand, mine = [], []
    for _round in range(rounds):
        hand.append(by_hand(url))
        mine.append(ours(url, home / f"home-{rows}-{_round}"))
    applied = min((each["apply"] for each in mine), key=lambda each: each["seconds"])
    planned = min((each["plan"] for each in mine), key=lambda each: each["seconds"])
    limit = "1/8" if rows >= 1_000_000 else "1/2"
    print(f"guide's Level 1 by hand  {min(hand):8.2f} s")
    print(f"apply, with its journal  {applied['seconds']:8.2f} s   {applied['megabytes']:.0f} MB")
    print(f"ratio                    1/{min(hand) / applied['seconds']:<6.1f}     (at most {limit})")
    print(f"plan                     {planned['seconds']:8.2f} s   {planned['megabytes']:.0f} MB")
    print(f"plan to apply            {planned['seconds'] / applied['seconds']:8.2f}     (at most 2)")
