"""Each check both ways, in both dialects: silent on the healthy club, and on the broken one it names the right rows."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.imports import import_run
from workbench.checks import REGISTRY
from workbench.checks.finding import culprits
from workbench.demo.breakages import BREAKAGES
from workbench.errors import UsageError

HTTP = {"app-health", "app-pages", "app-auth-refuses", "app-auth-admits"}
UNPLANTED = HTTP | {
    # Broken by hand below: no symptom of the guide's tables, so no breakage of the demo.
    "counts-as-expected",
    "tiers-not-seeded",
    "registrations-duplicate",
    "records-missing",
    "events-wrong-record",
    "runs-as-reported",
    "merges-written-over",  # proved both ways in tests/merging
    # Proved both ways in tests/test_transforms.py.
    "members-joined-at-import",
    "events-published-as-draft",
    # Proved both ways in tests/mappings/test_rebuild.py, and on recordings.
    "mappings-missing",
    "records-imported-twice",
    "events-shifted",
    "values-odd",  # proved both ways in tests/test_other_schemas.py
    # Proved both ways in tests/audit.
    "audit-entries",
}


def findings(club, *checks, **changes):
    """Ask all checks, or some, for all the rows they find, to be compared with the truth."""
    with club.workbench(**changes) as wb:
        return {row.check: row for row in wb.check(checks, sample=1_000_000).findings}


def finding(club, check, **changes):
    return findings(club, check, **changes)[check]


def test_a_healthy_club_is_clean(club):
    found = findings(club)
    assert {name: each.status for name, each in found.items() if each.status != "pass"} == dict.fromkeys(
        {*HTTP, "counts-as-expected"}, "not run"
    )
    assert not any(each.open for each in found.values())
    # And so where times have a zone.
    for table, column in (("AuditLog", "createdAt"), ("WaIdMapping", "syncedAt"), ("Member", "updatedAt")):
        club.execute(
            f"""ALTER TABLE "{table}" ALTER "{column}" TYPE timestamptz USING "{column}" AT TIME ZONE 'UTC'"""
        )
    assert {name for name, each in findings(club).items() if each.open} == set()


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_breakage_is_found_with_the_right_rows_and_nothing_else(clubs, name):
    club = clubs.clone("guide")
    (truth,) = club.breaks(name)
    by_check = findings(club)
    fired = by_check[truth.check]
    assert fired.status == fired.severity, fired.reason
    assert set(map(str, fired.rows["key"])) == set(truth.keys)
    assert fired.count == culprits(fired.rows)
    others = {check for check, row in by_check.items() if row.status in {"fail", "warn"}} - {truth.check}
    assert others <= set(BREAKAGES[name].checks), others


def test_all_breakages_together_are_found(clubs):
    club = clubs.clone("application")
    truths = club.breaks(*BREAKAGES)
    by_check = findings(club)
    for truth in truths:
        keys = set(map(str, by_check[truth.check].rows.get("key", ())))
        assert set(truth.keys) <= keys, truth


def test_every_check_is_planted_or_broken_by_hand():
    planted = {check for each in BREAKAGES.values() for check in each.checks}
    assert set(REGISTRY) - UNPLANTED <= planted
    assert {each.guide for each in REGISTRY.values()} >= {
        *("§1.1", "§1.2", "§1.3", "§1.4", "§1.5", "§1.6", "§2.4", "§5.1", "§7.1", "§7.2", "§7.3")
    }


def test_counts_that_differ_are_found(clubs):
    club = clubs.clone("guide")
    assert finding(club, "counts-as-expected", expected={"members": 200}).status == "pass"
    found = finding(club, "counts-as-expected", expected={"members": 210, "events": 40})
    assert found.status == "fail"
    assert found.rows.to_dict("records") == [
        {"key": "members", "expected": 210, "found": 200, "difference": -10}
    ]


def test_a_member_registered_twice_is_found(guide):
    guide.execute(
        """INSERT INTO "Registration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
           SELECT 'twin', "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt"
           FROM "Registration" ORDER BY id LIMIT 1"""
    )
    assert finding(guide, "registrations-duplicate").count == 1


def test_a_registration_mapped_once_in_each_spelling_is_mapped_twice(application):
    """A unique index rules duplicates out, but for what it takes for two kinds."""
    assert finding(application, "mappings-duplicate").status == "pass"
    application.execute(
        """INSERT INTO "WaIdMapping" SELECT gen_random_uuid(), 'Registration', "waId", "clubosId", "syncedAt", "updatedAt"
           FROM "WaIdMapping" WHERE "entityType" = 'EventRegistration' ORDER BY "waId" LIMIT 1"""
    )
    assert finding(application, "mappings-duplicate").count == 1
    application.execute("""UPDATE "WaIdMapping" SET "waId" = 1 WHERE "entityType" = 'Registration'""")
    assert finding(application, "mappings-shared-target").count == 2


def test_registrations_that_vanished_are_found_unless_they_were_rolled_back(club):
    table = "Registration" if club.club.dialect == "guide" else "EventRegistration"
    run = club.club.last_live_run.run
    records = club.wb.runs.records(run).records
    created = records[(records["entity"] == "Registration") & (records["action"] == "created")]
    club.execute(f'DELETE FROM "{table}" WHERE id::text = %s', created.iloc[0]["record_id"])
    found = finding(club, "records-missing")
    assert [(row["key"], row["missing"]) for row in found.rows.to_dict("records")] == [(run, 1)]
    club.execute(f"""DELETE FROM "{table}" WHERE id::text = ANY(%s)""", created["record_id"].tolist()[:7])
    found = finding(club, "records-missing")
    assert (found.count, len(found.rows)) == (7, 1), "of registrations, not of runs"
    facts = f'{{"run_id": "{run}", "records_affected": 7, "migrationAction": "migration:rollback:level1"}}'
    columns, values = ("action, metadata", "'migration:rollback:level1', %s")
    if club.club.dialect == "application":
        columns = 'id, action, "resourceType", "resourceId", metadata'
        values = "gen_random_uuid(), 'UNDO', 'WaSyncState', gen_random_uuid(), %s"
    club.execute(f'INSERT INTO "AuditLog" ({columns}) VALUES ({values})', facts)
    assert finding(club, "records-missing").status == "pass"


def test_what_a_person_deleted_is_not_missing(application):
    first = """(SELECT id FROM "AuditLog" WHERE action = 'CREATE' AND "resourceType" = 'EventRegistration' ORDER BY id LIMIT 1)"""
    application.execute(
        f"""DELETE FROM "EventRegistration" WHERE id = (SELECT "resourceId" FROM "AuditLog" WHERE id = {first})"""
    )
    assert finding(application, "records-missing", import_reports=()).count == 1
    application.execute(
        f"""INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata)
            SELECT gen_random_uuid(), 'DELETE', "resourceType", "resourceId", '{{}}' FROM "AuditLog" WHERE id = {first}"""
    )
    for reports in ({}, {"import_reports": ()}):
        assert finding(application, "records-missing", **reports).status == "pass"


def test_updates_without_a_trace_are_found(application):
    run = application.club.last_live_run.run
    application.execute(
        """DELETE FROM "AuditLog" WHERE id IN (SELECT id FROM "AuditLog" WHERE action = 'UPDATE'
                    AND "resourceType" = 'Member' AND metadata->>'syncRunId' = %s ORDER BY id LIMIT 2)""",
        run,
    )
    found = finding(application, "runs-as-reported").rows.to_dict("records")
    assert [(row["key"], row["reported"] - row["traced"]) for row in found] == [(run, 2)]


def test_a_run_of_which_nothing_is_left_is_found(guide):
    run = guide.club.last_live_run.run
    for table, column in {
        "WaIdMapping": "syncRunId",
        "Registration": "importRunId",
        "Member": "importRunId",
    }.items():
        guide.execute(f'DELETE FROM "{table}" WHERE "{column}" = %s', run)
    for reports in ({}, {"import_reports": ()}):
        missing = findings(guide, "members-missing", "records-missing", **reports)
        assert all(run in set(row.rows["key"]) for row in missing.values())


def test_where_tiers_are_not_used_the_statuses_are_asked(application):
    application.execute('UPDATE "Member" SET "membershipTierId" = NULL')
    assert finding(application, "tiers-missing").count == 60
    application.execute('DELETE FROM "MembershipTier"')
    found = findings(application, "tiers-missing", "tiers-all-the-same")
    assert {each.status for each in found.values()} == {"pass"}
    application.execute(
        'UPDATE "Member" SET "membershipStatusId" = (SELECT min(id::text)::uuid FROM "MembershipStatus")'
    )
    assert finding(application, "tiers-all-the-same").status == "fail"


def test_events_swapped_are_found(club):
    target = "murmurantId" if club.club.dialect == "guide" else "clubosId"
    club.execute(
        f"""UPDATE "WaIdMapping" a SET "{target}" = b."{target}" FROM "WaIdMapping" b
            WHERE a."entityType" = 'Event' AND b."entityType" = 'Event'
            AND ((a."waId"::text, b."waId"::text) IN (('9001', '9002'), ('9002', '9001')))"""
    )
    assert set(finding(club, "events-wrong-record").rows["key"]) == {"Event/9001", "Event/9002"}


def test_a_check_that_cannot_run_is_never_green_and_silences_no_other(guide):
    evidence = ("members-wrong-person", "registrations-wrong-event")
    assert {each.status for each in findings(guide, *evidence, import_reports=()).values()} == {"not run"}
    for statement, check in (
        ('DROP TABLE "WaSyncState"', "sync-state"),
        ('ALTER TABLE "Member" DROP COLUMN "waMembershipLevelRaw"', "tiers-wrong"),
        ('ALTER TABLE "Event" DROP COLUMN capacity', "events-overbooked"),
        ('DROP TABLE "WaIdMapping"', "mappings-orphaned"),
    ):
        guide.execute(statement)
        found = finding(guide, check)
        assert (found.status, found.count, found.open) == ("not run", None, True)
        assert "would supply" in found.reason
    guide.execute("ALTER TABLE \"Event\" ALTER COLUMN title TYPE bytea USING convert_to(title, 'UTF8')")
    found = findings(guide)
    assert found["events-duplicate"].status == "not run"
    assert "refused" in found["events-duplicate"].reason
    assert found["members-duplicate-email"].status == "pass"


def test_records_of_several_ids_are_found_where_the_audit_log_may_not_be_read(application):
    application.breaks("shared-target")
    asked = ("mappings-shared-target", "runs-interrupted")
    readable = findings(application, *asked)[asked[0]]
    with application.connect(autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        connection.execute('REVOKE SELECT ON "AuditLog" FROM reader')
        try:
            with application.open(application.login("reader")) as wb:
                interrupted, shared = wb.check(asked).findings
        finally:
            connection.execute("DROP OWNED BY reader; DROP ROLE reader")
    assert (shared.status, shared.count) == (readable.status, readable.count) == ("warn", 2)
    assert (interrupted.status, interrupted.reason.count("The database user")) == ("not run", 1)


def test_test_people_in_production_are_found(application):
    live = replace(application, kind="production", name="live")
    found = finding(live, "environment-wrong")
    assert found.status == "fail"
    assert "test data" in set(found.rows["says"])


def test_the_environment_of_a_run_is_read_from_all_its_rows(application):
    """The first rows that a sync logs may lack what later ones have."""
    with application.connect() as connection:
        run = import_run(connection, application.club, "api").run
    assert run not in {*finding(application, "environment-wrong").rows["key"]}
    application.execute(
        f"""UPDATE "AuditLog" AS a SET metadata = metadata || '{{"environment": "staging"}}'
        WHERE metadata ->> 'syncRunId' = '{run}' AND "createdAt" > (
            SELECT min("createdAt") FROM "AuditLog" AS f
            WHERE f.metadata ->> 'syncRunId' = '{run}' AND f.action = a.action AND f."resourceType" = a."resourceType")"""
    )
    assert run in {*finding(application, "environment-wrong").rows["key"]}


def test_a_waiver_names_who_and_why_and_does_not_hide_the_count(guide):
    guide.execute(
        'UPDATE "Event" SET capacity = 500 WHERE id IN (SELECT id FROM "Event" ORDER BY id LIMIT 1)'
    )
    with guide.workbench() as wb:
        waived = wb.check(["events-over-capacity-limit"], {"events-over-capacity-limit": "the gala"})
        (found,) = waived.findings
        assert (found.status, found.count, found.reason) == ("waived", 1, "by dana: the gala")
        (passed,) = wb.check(["mappings-duplicate"], {"mappings-duplicate": "whatever"}).findings
        assert passed.status == "pass"
        with pytest.raises(UsageError, match="mappings-duplicate"):
            wb.check(waive={"mapping-duplicate": "typo"})


class Application(http.server.BaseHTTPRequestHandler):
    """A stand-in that answers over real HTTP, well or ill."""

    state, reads = "well", ("Authorization", "Bearer s3same-open")

    def do_GET(self):
        known = self.headers.get(self.reads[0]) == self.reads[1]
        if self.state == "ill":
            code = 500
        elif self.state == "open" or self.path == "/api/v1/health":
            code = 200
        else:
            code = 200 if known else 401
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def application_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_application_is_asked_over_http(guide, application_server, monkeypatch):
    names = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
    monkeypatch.setenv("APP_TOKEN", "s3same-open")
    for state, expected in (
        ("well", ["pass", "pass", "pass", "pass"]),
        ("ill", ["fail", "fail", "not run", "fail"]),
        ("open", ["pass", "pass", "fail", "pass"]),
    ):
        monkeypatch.setattr(Application, "state", state)
        found = findings(guide, *names, app_url=application_server, app_token_env="APP_TOKEN")
        assert [found[name].status for name in names] == expected
        assert "s3same" not in repr(found)
    found = findings(guide, *names, app_url="http://127.0.0.1:1")
    assert found["app-health"].status == "fail"
    assert "no answer" in found["app-health"].rows["answer"].iloc[0]
    assert found["app-auth-admits"].status == "not run"


COOKIE = "cookie:__Host-clubos_session"


@pytest.mark.parametrize(
    ("reads", "how", "status"),
    [
        (("Authorization", "Bearer s3same-open"), COOKIE, "fail"),
        (("Cookie", "__Host-clubos_session=s3same-open"), COOKIE, "pass"),
        (("Cookie", "__Host-clubos_session=s3same-open"), "bearer", "fail"),
    ],
)
def test_the_token_is_sent_as_the_application_reads_it(
    guide, at, application_server, monkeypatch, reads, how, status
):
    monkeypatch.setenv("APP_TOKEN", "s3same-open")
    monkeypatch.setattr(Application, "reads", reads)
    club = at(
        guide, f'app_url = "{application_server}"', 'app_token_env = "APP_TOKEN"', f'app_auth = "{how}"'
    )
    done = club("check", "app-auth-admits", "app-auth-refuses", "--json")
    statuses = {row["check"]: row["status"] for row in json.loads(done.stdout)["findings"]}
    assert statuses == {"app-auth-admits": status, "app-auth-refuses": "pass"}
    assert done.returncode == (status == "fail")
    assert "s3same" not in done.stdout + done.stderr


def test_a_token_that_no_header_may_carry_and_a_way_that_is_none(guide, at, application_server, monkeypatch):
    monkeypatch.setenv("APP_TOKEN", "zwölf\n")
    club = at(guide, f'app_url = "{application_server}"', 'app_token_env = "APP_TOKEN"')
    assert club("check", "app-auth-admits").returncode == 1
    for how in ("cookie:", "cookie:a;b=c", "Basic"):
        done = at(guide, f'app_auth = "{how}"')("check", "app-auth-admits")
        assert (done.returncode, "app_auth" in done.stderr) == (2, True)
