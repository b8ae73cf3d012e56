"""What is wrong with a club, asked in plain SQL and JSON: check id -> the keys it would have to name.

Written apart from `workbench.checks`, so that a breakage and its check cannot be wrong together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from workbench.demo.club import Club

Keys = set[str]
Connection = psycopg.Connection[Any]
Oracle = Callable[[Connection, Club], Keys]


def ask(connection: Connection, club: Club, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    guide = club.dialect == "guide"
    words = {
        "REG": '"Registration"' if guide else '"EventRegistration"',
        "TARGET": '"murmurantId"' if guide else '"clubosId"',
        "WORD": """replace("entityType", 'EventRegistration', 'Registration')""",
    }
    for word, name in words.items():
        statement = statement.replace(word, name)
    return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]


def contents(connection: Connection) -> dict[str, str]:
    """Digest of every table's rows, as COPY gives them."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    digests = {}
    for (name,) in names:
        statement = sql.SQL("COPY (SELECT * FROM {} ORDER BY id) TO STDOUT")
        with connection.cursor().copy(statement.format(sql.Identifier(name))) as rows:
            digests[name] = hashlib.sha256(b"".join(bytes(row) for row in rows)).hexdigest()
    return digests


def keys(guide: str, application: str | None = None) -> Oracle:
    def oracle(connection: Connection, club: Club) -> Keys:
        statement = guide if club.dialect == "guide" or application is None else application
        return {str(row[0]) for row in ask(connection, club, statement)}

    return oracle


def reports(club: Club, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(Path(club.imports).glob(pattern))]


def full_reports(club: Club) -> list[dict[str, Any]]:
    return reports(club, "migration-*-full.json")


def wrong_person(connection: Connection, club: Club) -> Keys:
    if club.dialect == "application":
        rows = ask(
            connection,
            club,
            """
            SELECT 'Member/' || m."waId" FROM "WaIdMapping" m
            JOIN "AuditLog" a ON a.action = 'CREATE' AND a."resourceType" = 'Member'
                AND (a.metadata->>'waId')::int = m."waId"
            WHERE m."entityType" = 'Member' AND m."clubosId" <> a."resourceId"
            """,
        )
        return {row[0] for row in rows}
    made = {
        record["_waId"]: record["_murmurantId"]
        for report in full_reports(club)
        for record in report["members"]["records"]
        if not report["dryRun"] and record["_action"] == "create"
    }
    rows = ask(connection, club, """SELECT "waId", TARGET FROM "WaIdMapping" WHERE "entityType" = 'Member'""")
    return {f"Member/{wa_id}" for wa_id, record in rows if made.get(wa_id, record) != record}


def wrong_event(connection: Connection, club: Club) -> Keys:
    on = dict(ask(connection, club, 'SELECT id::text, "eventId"::text FROM REG'))
    return {
        record["_murmurantId"]
        for report in full_reports(club)
        for record in report["registrations"]["records"]
        if not report["dryRun"] and on.get(record["_murmurantId"], record["eventId"]) != record["eventId"]
    }


def members_missing(connection: Connection, club: Club) -> Keys:
    if club.dialect == "guide":
        told = ask(
            connection,
            club,
            """
            SELECT metadata->>'run_id', (metadata #>> '{counts,members,created}')::int FROM "AuditLog"
            WHERE action = 'migration:completed' AND metadata->>'mode' = 'live' AND metadata ? 'counts'
            """,
        )
        there = dict(ask(connection, club, 'SELECT "importRunId", count(*) FROM "Member" GROUP BY 1'))
    else:
        told = [
            (report["runId"], report["stats"]["members"]["created"])
            for report in reports(club, "wa_full_sync_report-*.json")
            if not report["dryRun"]
        ]
        there = dict(
            ask(
                connection,
                club,
                """
                SELECT metadata->>'syncRunId', count(*) FROM "AuditLog" a
                JOIN "Member" m ON m.id = a."resourceId" WHERE a.action = 'CREATE' GROUP BY 1
                """,
            )
        )
    return {run for run, created in told if there.get(run, 0) < created}


def runs_interrupted(connection: Connection, club: Club) -> Keys:
    failed = {
        report["runId"]
        for report in reports(club, "wa_full_sync_report-*.json")
        for reason in report["registrationDiagnostics"]["topSkipReasons"]
        if reason["reason"].startswith("Fetch error") and report["success"]
    }
    if club.dialect == "guide":
        failed |= keys("""SELECT metadata->>'run_id' FROM "AuditLog" WHERE action = 'migration:failed'""")(
            connection, club
        )
    return failed


def runs_ended(connection: Connection, club: Club) -> Keys:
    if club.dialect == "guide":
        rows = ask(
            connection,
            club,
            """
            SELECT metadata->>'run_id' FROM "AuditLog" WHERE starts_with(action, 'migration:')
            GROUP BY 1 HAVING bool_and(action = 'migration:started')
            """,
        )
        return {row[0] for row in rows}
    told = {report["runId"] for report in reports(club, "wa_full_sync_report-*.json")}
    return (
        keys("""SELECT DISTINCT metadata->>'syncRunId' FROM "AuditLog" WHERE metadata ? 'syncRunId'""")(
            connection, club
        )
        - told
    )


def starts(connection: Connection, club: Club) -> list[tuple[str, str, datetime, str, Any]]:
    """Every run that tells of its start: id, importer, start, mode, config; in order of time."""
    found = [
        (
            report["runId"],
            "api" if "stats" in report else "csv",
            datetime.fromisoformat(report["startedAt"].rstrip("Z")),
            "dry" if report["dryRun"] else "live",
            report.get("config"),
        )
        for report in (*reports(club, "wa_full_sync_report-*.json"), *full_reports(club))
    ]
    if club.dialect == "guide":
        rows = ask(
            connection,
            club,
            """
            SELECT metadata->>'run_id', 'guide', "createdAt", metadata->>'mode', metadata->'config'
            FROM "AuditLog" WHERE action = 'migration:started'
            """,
        )
        found = [tuple(row) for row in rows]  # type: ignore[misc]
    return sorted(found, key=lambda run: run[2])


def without_dry_run(connection: Connection, club: Club) -> Keys:
    runs = starts(connection, club)
    return {
        run
        for run, importer, start, mode, _ in runs
        if mode == "live"
        and not any(
            other[1] == importer and other[3] == "dry" and start - timedelta(hours=24) <= other[2] < start
            for other in runs
        )
    }


def config_differs(connection: Connection, club: Club) -> Keys:
    odd: Keys = set()
    last: dict[str, Any] = {}
    for run, importer, _, mode, config in starts(connection, club):
        if mode == "dry":
            last[importer] = config
        elif importer in last and last[importer] != config:
            odd.add(run)
    return odd


_EMAIL = """
    split_part(replace(split_part(lower(email), '@', 1), '.', ''), '+', 1) || '@'
    || split_part(lower(email), '@', 2)
"""
_TIER = """
    SELECT m.id FROM "Member" m JOIN "MembershipTier" t ON t.id = m."membershipTierId"
    WHERE t.code <> CASE m."waMembershipLevelRaw"
        WHEN 'Third Year' THEN 'EXTENDED' WHEN 'Extended Newcomer' THEN 'EXTENDED'
        WHEN 'Alumni' THEN 'ALUMNI' WHEN 'Prospect' THEN 'PROSPECT' WHEN 'Lapsed' THEN 'LAPSED'
        WHEN '3rd Year' THEN t.code -- renamed: nobody can say
        ELSE 'NEWCOMER' END
"""

ORACLES: dict[str, Oracle] = {
    "members-missing": members_missing,
    "events-without-registrations": keys(
        """
        SELECT e.id FROM "Event" e WHERE e."isPublished" AND e."startTime" < '2026-06-01'
        AND NOT EXISTS (SELECT FROM REG r WHERE r."eventId" = e.id)
        """,
        """
        SELECT e.id FROM "Event" e WHERE e."isPublished" AND e."requiresRegistration"
        AND NOT EXISTS (SELECT FROM REG r WHERE r."eventId" = e.id)
        """,
    ),
    "runs-interrupted": runs_interrupted,
    "members-wrong-person": wrong_person,
    "registrations-wrong-event": wrong_event,
    "mappings-duplicate": keys(
        'SELECT WORD || \'/\' || "waId" FROM "WaIdMapping" GROUP BY 1 HAVING count(*) > 1'
    ),
    "mappings-shared-target": keys(
        """
        SELECT WORD || '/' || "waId" FROM "WaIdMapping" WHERE TARGET IN (
            SELECT TARGET FROM "WaIdMapping" GROUP BY 1 HAVING count(DISTINCT "waId") > 1)
        """
    ),
    "tiers-all-the-same": keys(
        """
        SELECT t.code FROM "Member" m JOIN "MembershipTier" t ON t.id = m."membershipTierId"
        GROUP BY 1 HAVING count(*) > 0.9 * (SELECT count("membershipTierId") FROM "Member")
        """
    ),
    "tiers-wrong": keys(_TIER),
    "tiers-unmapped-level": keys(
        """
        SELECT DISTINCT "waMembershipLevelRaw" FROM "Member" WHERE "waMembershipLevelRaw" NOT IN (
            'Newcomer', '2nd Year', 'Third Year', 'Alumni', 'Prospect', 'Extended Newcomer', 'New Member', 'Lapsed')
        """
    ),
    "tiers-missing": keys(
        """
        SELECT m.id FROM "Member" m LEFT JOIN "MembershipTier" t ON t.id = m."membershipTierId"
        WHERE t.id IS NULL
        """
    ),
    "members-duplicate-email": keys(
        f"""
        SELECT id FROM "Member" WHERE {_EMAIL} IN (
            SELECT {_EMAIL} FROM "Member" GROUP BY 1 HAVING count(*) > 1)
        """
    ),
    "events-duplicate": keys(
        """
        SELECT id FROM "Event" WHERE (title, "startTime") IN (
            SELECT title, "startTime" FROM "Event" GROUP BY 1, 2 HAVING count(*) > 1)
        """
    ),
    "registrations-split": keys(
        f"""
        SELECT unnest(array_agg(r.id)) FROM REG r JOIN "Member" m ON m.id = r."memberId"
        GROUP BY r."eventId", {_EMAIL} HAVING count(DISTINCT m.id) > 1
        """
    ),
    "events-over-capacity-limit": keys('SELECT id FROM "Event" WHERE capacity > 100'),
    "events-overbooked": keys(
        """
        SELECT e.id FROM "Event" e JOIN REG r ON r."eventId" = e.id AND r.status = 'CONFIRMED'
        GROUP BY e.id HAVING count(*) > e.capacity
        """
    ),
    "members-visibility": keys(
        """SELECT id FROM "Member" WHERE "isPrivate" AND visibility <> 'PRIVATE'""",
        """
        SELECT m.id FROM "Member" m JOIN "FileObject" f ON f.id = m."profilePhotoId" AND f."isPublic"
        JOIN "FileAccess" a ON a."fileId" = f.id
        """,
    ),
    "events-invalid-dates": keys('SELECT id FROM "Event" WHERE "endTime" <= "startTime"'),
    "environment-wrong": keys(
        """SELECT metadata->>'run_id' FROM "AuditLog" WHERE metadata->>'environment' <> 'demo'""",
        """SELECT metadata->>'syncRunId' FROM "AuditLog" WHERE metadata->>'environment' <> 'demo'""",
    ),
    "real-people-in-demo": keys(
        r"""SELECT DISTINCT split_part(email, '@', 2) FROM "Member" WHERE email !~* '@example[.](com|org)$'"""
    ),
    "config-differs": config_differs,
    "live-run-without-dry-run": without_dry_run,
    "mappings-orphaned": keys(
        """
        SELECT WORD || '/' || "waId" FROM "WaIdMapping" w WHERE NOT EXISTS (
            SELECT FROM "Member" r WHERE r.id = TARGET AND "entityType" = 'Member'
            UNION ALL SELECT FROM "Event" r WHERE r.id = TARGET AND "entityType" = 'Event'
            UNION ALL SELECT FROM REG r WHERE r.id = TARGET AND WORD = 'Registration')
        """
    ),
    "registrations-orphaned": keys(
        """
        SELECT r.id FROM REG r LEFT JOIN "Member" m ON m.id = r."memberId"
        LEFT JOIN "Event" e ON e.id = r."eventId" WHERE m.id IS NULL OR e.id IS NULL
        """
    ),
    "runs-ended": runs_ended,
    "audit-metadata": keys(
        """
        SELECT id FROM "AuditLog" WHERE NOT metadata ?& CASE action
            WHEN 'migration:started' THEN '{run_id,mode,operator}'::text[]
            WHEN 'migration:completed' THEN '{run_id,counts,duration}'
            WHEN 'migration:failed' THEN '{run_id,error,last_batch}' ELSE '{}' END
        """,
        """
        SELECT id FROM "AuditLog" WHERE metadata->>'source' = 'wa_import'
        AND NOT metadata ?& '{mode,waId,syncRunId}'
        """,
    ),
    "sync-state": keys(
        """
        SELECT s.id FROM "WaSyncState" s
        WHERE "lastFullSync" > (SELECT max("syncedAt") + interval '1 day' FROM "WaIdMapping")
        """
    ),
}
