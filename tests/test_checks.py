"""Each check both ways, in both dialects: silent on the healthy club, and on the broken one it names the right rows."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import DIALECTS
from workbench.checks import REGISTRY, Look, run_checks
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


def findings(club, **changes):
    with club.workbench(**changes) as wb:
        # All the rows found, to be compared with the truth.
        return {each.check: each for each in wb.check(sample=1_000_000).findings}


def finding(club, check, **changes):
    """Ask one check alone."""
    with club.workbench(**changes) as wb:
        (found,) = wb.check([check], sample=1_000_000).findings
    return found


def test_a_healthy_club_is_clean(club):
    found = findings(club)
    assert {name: each.status for name, each in found.items() if each.status != "pass"} == dict.fromkeys(
        {*HTTP, "counts-as-expected"}, "not run"
    )
    assert not any(each.open for each in found.values())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", BREAKAGES)
def test_each_breakage_is_found_with_the_right_rows(clubs, name, dialect):

    club = clubs.clone(dialect)
    (truth,) = club.breaks(name)
    found = findings(club)
    fired = found[truth.check]
    assert fired.status == fired.severity, fired.reason
    assert set(map(str, fired.rows["key"])) == set(truth.keys)
    assert fired.count == culprits(fired.rows)
    others = {check for check, each in found.items() if each.status in {"fail", "warn"}} - {truth.check}
    assert others <= set(BREAKAGES[name].checks), others


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_breakages_together_are_found(clubs, dialect):

    club = clubs.clone(dialect)
    truths = club.breaks(*BREAKAGES)
    found = findings(club)
    for truth in truths:
        keys = set(map(str, found[truth.check].rows.get("key", ())))
        assert set(truth.keys) <= keys, truth


def test_every_check_is_planted_or_broken_by_hand():
    planted = {check for each in BREAKAGES.values() for check in each.checks}
    assert set(REGISTRY) - UNPLANTED <= planted


def test_every_symptom_of_the_guide_has_a_check():
    sections = {each.guide for each in REGISTRY.values()}
    assert {
        "§1.1",
        "§1.2",
        "§1.3",
        "§1.4",
        "§1.5",
        "§1.6",
        "§2.4",
        "§5.1",
        "§7.1",
        "§7.2",
        "§7.3",
    } <= sections


def test_counts_that_differ_are_found(club):
    assert finding(club, "counts-as-expected", expected={"members": 200}).status == "pass"
    found = finding(club, "counts-as-expected", expected={"members": 210, "events": 40})
    assert found.status == "fail"
    assert found.rows.to_dict("records") == [
        {"key": "members", "expected": 210, "found": 200, "difference": -10}
    ]


def test_a_renamed_level_is_found(club):
    club.execute(
        """UPDATE "Member" SET "waMembershipLevelRaw" = 'Gold Circle' WHERE "waMembershipLevelRaw" = 'Alumni'"""
    )
    found = finding(club, "tiers-unmapped-level")
    assert list(found.rows["key"]) == ["Gold Circle"]


def test_a_member_registered_twice_is_found(clubs):
    club = clubs.clone("guide")
    club.execute(
        """INSERT INTO "Registration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
           SELECT 'twin', "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt"
           FROM "Registration" ORDER BY id LIMIT 1"""
    )
    assert finding(club, "registrations-duplicate").count == 1


def test_registrations_that_vanished_are_found(club):
    table = "Registration" if club.club.dialect == "guide" else "EventRegistration"
    run = club.club.last_live_run.run
    with club.workbench() as wb:
        records = wb.runs.records(run).records
    created = records[(records["entity"] == "Registration") & (records["action"] == "created")]
    club.execute(f'DELETE FROM "{table}" WHERE id::text = %s', created.iloc[0]["record_id"])
    found = finding(club, "records-missing")
    assert [(row["key"], row["missing"]) for row in found.rows.to_dict("records")] == [(run, 1)]
    assert found.count == 1
    club.execute(f"""DELETE FROM "{table}" WHERE id::text = ANY(%s)""", created["record_id"].tolist()[:7])
    found = finding(club, "records-missing")
    assert (found.count, len(found.rows)) == (7, 1), "of registrations, not of runs"


def test_updates_without_a_trace_are_found(clubs):
    club = clubs.clone("application")
    run = club.club.last_live_run
    club.execute(
        """DELETE FROM "AuditLog" WHERE id IN (SELECT id FROM "AuditLog" WHERE action = 'UPDATE'
                    AND "resourceType" = 'Member' AND metadata->>'syncRunId' = %s ORDER BY id LIMIT 2)""",
        run.run,
    )
    found = finding(club, "runs-as-reported")
    assert [(row["key"], row["reported"] - row["traced"]) for row in found.rows.to_dict("records")] == [
        (run.run, 2)
    ]


@pytest.mark.parametrize("reports", [True, False])
def test_a_run_of_which_nothing_is_left_is_found(clubs, reports):
    club = clubs.clone("guide")
    run = club.club.last_live_run.run
    for table, column in (
        ("WaIdMapping", "syncRunId"),
        ("Registration", "importRunId"),
        ("Member", "importRunId"),
    ):
        club.execute(f'DELETE FROM "{table}" WHERE "{column}" = %s', run)
    found = findings(club, **({} if reports else {"import_reports": ()}))
    assert run in set(found["members-missing"].rows["key"])
    assert run in set(found["records-missing"].rows["key"])


def test_a_run_that_was_rolled_back_is_not_missed(club):
    run = club.club.last_live_run.run
    table = "Registration" if club.club.dialect == "guide" else "EventRegistration"
    with club.workbench() as wb:
        records = wb.runs.records(run).records
    created = records[(records["entity"] == "Registration") & (records["action"] == "created")]
    club.execute(f'DELETE FROM "{table}" WHERE id::text = %s', created.iloc[0]["record_id"])
    facts = f'{{"run_id": "{run}", "records_affected": 1, "migrationAction": "migration:rollback:level1"}}'
    if club.club.dialect == "guide":
        club.execute(
            """INSERT INTO "AuditLog" (action, metadata) VALUES ('migration:rollback:level1', %s)""", facts
        )
    else:
        club.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata)
               VALUES (gen_random_uuid(), 'UNDO', 'WaSyncState', gen_random_uuid(), %s)""",
            facts,
        )
    assert finding(club, "records-missing").status == "pass"


def test_where_tiers_are_not_used_the_statuses_are_asked(clubs):
    club = clubs.clone("application")
    club.execute('UPDATE "Member" SET "membershipTierId" = NULL')
    assert finding(club, "tiers-missing").count == 200
    club.execute('DELETE FROM "MembershipTier"')
    found = findings(club)
    assert found["tiers-missing"].status == "pass"
    assert found["tiers-all-the-same"].status == "pass"
    club.execute(
        'UPDATE "Member" SET "membershipStatusId" = (SELECT min(id::text)::uuid FROM "MembershipStatus")'
    )
    assert finding(club, "tiers-all-the-same").status == "fail"


def test_times_with_a_zone_are_understood(club):
    for table, column in (("AuditLog", "createdAt"), ("WaIdMapping", "syncedAt"), ("Member", "updatedAt")):
        club.execute(
            f"""ALTER TABLE "{table}" ALTER "{column}" TYPE timestamptz USING "{column}" AT TIME ZONE 'UTC'"""
        )
    assert {name for name, each in findings(club).items() if each.open} == set()


def test_events_swapped_are_found(club):
    target = "murmurantId" if club.club.dialect == "guide" else "clubosId"
    club.execute(
        f"""UPDATE "WaIdMapping" a SET "{target}" = b."{target}" FROM "WaIdMapping" b
            WHERE a."entityType" = 'Event' AND b."entityType" = 'Event'
            AND ((a."waId"::text, b."waId"::text) IN (('9001', '9002'), ('9002', '9001')))"""
    )
    assert set(finding(club, "events-wrong-record").rows["key"]) == {"Event/9001", "Event/9002"}


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ('DROP TABLE "WaSyncState"', "sync-state"),
        ('ALTER TABLE "Member" DROP COLUMN "waMembershipLevelRaw"', "tiers-wrong"),
        ('ALTER TABLE "Event" DROP COLUMN capacity', "events-overbooked"),
        ('DROP TABLE "WaIdMapping"', "mappings-orphaned"),
    ],
)
def test_a_check_that_cannot_run_is_never_green(club, statement, check):
    club.execute(statement)
    found = findings(club)[check]
    assert (found.status, found.count) == ("not run", None)
    assert found.open
    assert "would supply" in found.reason


def test_a_question_that_the_database_refuses_silences_no_other(club):
    club.execute("ALTER TABLE \"Event\" ALTER COLUMN title TYPE bytea USING convert_to(title, 'UTF8')")
    found = findings(club)
    assert found["events-duplicate"].status == "not run"
    assert "refused" in found["events-duplicate"].reason
    assert found["members-duplicate-email"].status == "pass"


def test_without_evidence_nothing_is_green(clubs):
    club = clubs.clone("guide")
    found = findings(club, import_reports=())
    assert found["members-wrong-person"].status == "not run"
    assert found["registrations-wrong-event"].status == "not run"


def test_test_people_in_production_are_found(club):
    with club.workbench() as wb, wb.session.reading() as connection:
        from dataclasses import replace

        look = wb.session.look(connection)
        production = Look(
            connection,
            wb.session.schema,
            replace(wb.environment, name="live", kind="production"),
            wb.session.options,
            look.runs,
        )
        (found,) = run_checks(production, ["environment-wrong"])
    assert found.status == "fail"
    assert "test data" in set(found.rows["says"])


def test_a_waiver_names_who_and_why_and_does_not_hide_the_count(clubs):
    club = clubs.clone("guide")
    club.execute('UPDATE "Event" SET capacity = 500 WHERE id IN (SELECT id FROM "Event" ORDER BY id LIMIT 1)')
    with club.workbench() as wb:
        (found,) = wb.check(
            ["events-over-capacity-limit"], {"events-over-capacity-limit": "the gala"}
        ).findings
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
def application():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("well", ("pass", "pass", "pass", "pass")),
        ("ill", ("fail", "fail", "not run", "fail")),
        ("open", ("pass", "pass", "fail", "pass")),
    ],
)
def test_the_application_is_asked_over_http(clubs, application, monkeypatch, state, expected):
    monkeypatch.setattr(Application, "state", state)
    monkeypatch.setenv("APP_TOKEN", "s3same-open")
    found = findings(clubs.clone("guide"), app_url=application, app_token_env="APP_TOKEN")
    names = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
    assert tuple(found[name].status for name in names) == expected
    assert "s3same" not in repr(found)


COOKIE = "cookie:__Host-clubos_session"


@pytest.mark.parametrize(
    ("reads", "how", "status"),
    [
        (("Authorization", "Bearer s3same-open"), "bearer", "pass"),
        (("Authorization", "Bearer s3same-open"), COOKIE, "fail"),
        (("Cookie", "__Host-clubos_session=s3same-open"), COOKIE, "pass"),
        (("Cookie", "__Host-clubos_session=s3same-open"), "cookie:session", "fail"),
        (("Cookie", "__Host-clubos_session=s3same-open"), None, "fail"),
    ],
)
def test_the_token_is_sent_as_the_application_reads_it(
    clubs, at, application, monkeypatch, reads, how, status
):
    monkeypatch.setattr(Application, "reads", reads)
    monkeypatch.setenv("APP_TOKEN", "s3same-open")
    settings = [f'app_url = "{application}"', 'app_token_env = "APP_TOKEN"']
    club = at(clubs.clone("guide"), *settings, *([f'app_auth = "{how}"'] if how else []))
    done = club("check", "app-auth-admits", "app-auth-refuses", "--json")
    found = {each["check"]: each["status"] for each in json.loads(done.stdout)["findings"]}
    assert found == {"app-auth-admits": status, "app-auth-refuses": "pass"}
    assert done.returncode == (status == "fail")
    assert "s3same" not in done.stdout + done.stderr
    monkeypatch.setenv("APP_TOKEN", "zwölf\n")  # no header may carry it
    assert club("check", "app-auth-admits").returncode == 1


@pytest.mark.parametrize("how", ["cookie", "cookie:", "cookie:a b", "cookie:a;b=c", "Basic"])
def test_a_way_to_send_the_token_that_means_nothing_is_refused(clubs, at, how):
    done = at(clubs.clone("guide"), f'app_auth = "{how}"')("check", "app-auth-admits")
    assert (done.returncode, "app_auth" in done.stderr) == (2, True)


def test_an_application_that_does_not_answer_fails(clubs):
    found = findings(clubs.clone("guide"), app_url="http://127.0.0.1:1")
    assert found["app-health"].status == "fail"
    assert "no answer" in found["app-health"].rows["answer"].iloc[0]
    assert found["app-auth-admits"].status == "not run"


def test_a_registration_mapped_once_in_each_spelling_is_mapped_twice(clubs):
    """A unique index rules duplicates out, but for what it takes for two kinds."""
    club = clubs.clone("application", 60)
    assert finding(club, "mappings-duplicate").status == "pass"
    club.execute(
        """INSERT INTO "WaIdMapping" SELECT gen_random_uuid(), 'Registration', "waId", "clubosId", "syncedAt", "updatedAt"
           FROM "WaIdMapping" WHERE "entityType" = 'EventRegistration' ORDER BY "waId" LIMIT 1"""
    )
    assert finding(club, "mappings-duplicate").count == 1
