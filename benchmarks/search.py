"""A search in the panel that corrects mappings, beside fetching every member and searching in pandas.

The issue: over a million members a panel answers in under a second, because it asks the database; no index
may be added for it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from benchmarks.rollback import CODES, MAPPINGS, MEMBERS, NUMBERED, TAGS
from workbench.demo.club import schema
from workbench.demo.history import Dialect
from workbench.panels.corrections import MappingCorrection
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench, open_workbench

SOUGHT = {
    "a common name": "given1",
    "a rare name": "family7918 given99",
    "nothing at all": "nobody of that name",
    "a WA id": "10000777",
    "an e-mail address": "Member777@example.org",
    "the beginning of an id": "8739027d",
}
"""What is typed. Given names repeat every 997 members, family names every 7,919."""


# The guide's tables have neither statuses nor what Wild Apricot sent, and ids and numbers are text.
_AS_THE_GUIDE = {
    "application": (CODES, MEMBERS, MAPPINGS),
    "guide": (
        """
        INSERT INTO "MembershipTier" (id, code, name, "updatedAt")
            SELECT pg_temp.numbered('tier', n), code, initcap(code), '2026-03-01'
            FROM unnest(ARRAY['PROSPECT', 'NEWCOMER', 'MEMBER', 'ALUMNI']) WITH ORDINALITY AS t(code, n);
        """,
        """
        INSERT INTO "Member" (id, "firstName", "lastName", email, phone, "joinedAt", "membershipTierId",
                              "waMembershipLevelRaw", "createdAt", "updatedAt", "importRunId")
            SELECT pg_temp.numbered('member', n), 'Given' || n %% 997, 'Family' || n %% 7919,
                   'member' || n || '@example.org', to_char(5550000000 + n, 'FM9999999999'),
                   timestamp '2015-01-01' + n %% 4000 * interval '1 day', pg_temp.numbered('tier', 1 + n %% 4),
                   'Level ' || n %% 4, moment, moment, %(run)s
            FROM generate_series(%(first)s::bigint, %(last)s) AS n,
                 LATERAL (SELECT %(start)s::timestamp + n * %(pace)s::interval) AS m(moment)
        """,
        """
        INSERT INTO "WaIdMapping" (id, "entityType", "waId", "murmurantId", "syncedAt", "updatedAt", "syncRunId")
            SELECT pg_temp.numbered('mapping', n), 'Member', 10000000 + n, pg_temp.numbered('member', n),
                   moment, moment, %(run)s
            FROM generate_series(%(first)s::bigint, %(last)s) AS n,
                 LATERAL (SELECT %(start)s::timestamp + n * %(pace)s::interval) AS m(moment)
        """,
    ),
}


def build(url: str, members: int, dialect: Dialect) -> None:
    """Fill an empty database with so many members, each with its mapping."""
    facts: dict[str, Any] = {
        "run": "earlier",
        "start": "2026-04-01 09:00",
        "pace": "0.001 s",
        "first": 1,
        "last": members,
    }
    codes, people, mappings = _AS_THE_GUIDE[dialect]
    tables, indexes = schema(dialect)
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        for statement in (tables, *([TAGS] if dialect == "application" else []), NUMBERED, codes):
            connection.execute(statement)
        for statement in (people, mappings):
            connection.execute(statement, facts)
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(indexes)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def compare(url: str, members: int, rounds: int = 5) -> None:
    """Search for each thing in the panel and in pandas, and print both times."""
    os.environ["SEARCH_URL"] = url
    here = EnvironmentSettings(kind="development", url_env="SEARCH_URL")
    with open_workbench("bench", settings=Settings(environments={"bench": here})) as wb:
        begun = perf_counter()
        panel = MappingCorrection(wb)
        panel.work.wait()
        print(f"{members:,} members; every mapping looked at in {perf_counter() - begun:.1f} s, once")
        for what, typed in SOUGHT.items():
            mappings, processor = _best(lambda: _answer(panel, panel._search, typed), rounds)  # noqa: B023
            people, _ = _best(lambda: _answer(panel, panel._target, typed), rounds)  # noqa: B023
            fetched, _ = _best(lambda: _in_pandas(wb, typed), 1)  # noqa: B023
            count = panel._target.table._total
            print(
                f"{what:24} mappings {mappings:6.3f} s  people {people:6.3f} s  (at most 1)   pandas {fetched:6.2f} s,"
                f" {fetched / max(mappings, people):.0f} times as long; {count:,} found, {processor:.3f} s of it here"
            )
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, for pandas")


def _answer(panel: MappingCorrection, search: Any, typed: str) -> None:
    """Type, and wait until the table shows the answer."""
    search.clear()
    search._typed.value = typed
    search.work.wait()
    assert "wb-fail" not in search.work.said, search.work.said


def _in_pandas(wb: Workbench, typed: str) -> None:
    target = "murmurantId" if wb.session.schema.dialect == "guide" else "clubosId"
    with psycopg.connect(wb.session.database.address.conninfo) as each:
        rows = each.execute(
            sql.SQL(
                'SELECT m.id::text, "firstName", "lastName", email, "waId"::text FROM "Member" m'
                ' LEFT JOIN "WaIdMapping" w ON w.{} = m.id AND w."entityType" = \'Member\''
            ).format(sql.Identifier(target))
        ).fetchall()
    people = pd.DataFrame(rows, columns=["key", "first_name", "last_name", "email", "wa_id"])
    text = (people["first_name"] + "\n" + people["last_name"] + "\n" + people["email"]).str.lower()
    named = pd.Series(True, index=people.index)
    for word in typed.lower().split():
        named &= text.str.contains(word, regex=False)
    people[named | (people["key"] == typed) | (people["wa_id"] == typed)].head(50)


def _best(of: Callable[[], None], rounds: int) -> tuple[float, float]:
    found = []
    for _ in range(rounds):
        begun, busy = perf_counter(), process_time()
        of()
        found.append((perf_counter() - begun, process_time() - busy))
    return min(found)
