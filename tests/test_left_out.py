"""Whom an import left out, on excerpts of recordings: by its reports, and by the mappings it refreshed."""

from __future__ import annotations

import json

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.recorded import recording as recording

TRUNCATED = "sync_1796037675549_goha2l"
FIRST, SECOND = "sync_1796035718985_24omof", "sync_1796036131766_b7u8ub"
CSV = "d29262a8-8bb4-4cbb-a622-741d17a177e4"
NONE = {"created": 0, "updated": 0, "skipped": 0, "errors": 0}


def findings(club, *checks, report=None):
    reports = ("--import-report", str(report)) if report else ()
    answer = club.json("check", *checks, "--limit", "1000", *reports)
    return {finding["check"]: finding for finding in answer["findings"]}


def left_out(club):
    """The WA ids that the check names, by entity, and how many records it counts besides."""
    rows = findings(club, "records-left-out")["records-left-out"]["rows"]
    named = {(row["entity"], row["wa_id"]): row["reason"] for row in rows if row["wa_id"]}
    return named, sum(row["records"] for row in rows if not row["wa_id"])


def run_facts(club, run, *reports):
    return next(facts for facts in club.json("runs", *reports) if facts["run"] == run)


def report_of(club, name="report.json"):
    return json.loads((club.files / "imports" / name).read_text())


def written(folder, report):
    path = folder / "report-of-the-test.json"
    path.write_text(json.dumps(report))
    return path


@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_a_truncated_fetch_is_no_completed_run_and_nobody_is_called_existing(recording, whole):
    club = recording("truncated", whole=whole)
    run = club.json("run", TRUNCATED)
    assert run["status"] == "incomplete"
    assert run["records"]["Registration"] == {"created": 44, "updated": 3, "existing": 0, "unlinked": 719}
    assert [warning["code"] for warning in run["warnings"]] == ["LOW_CONTACT_COUNT", "HIGH_MEMBER_SKIP_RATIO"]
    assert run["diagnostics"]["registrationsSkippedMissingMember"] == 719
    named, others = left_out(club)
    assert (len(named), others) == (10, 719)
    assert ("Member", "50214") in named
    checks = findings(club, "records-left-out", "runs-interrupted", "members-missing", "records-missing")
    assert {finding["status"] for finding in checks.values()} == {"fail"}
    assert (checks["records-left-out"]["count"], checks["members-missing"]["count"]) == (729, 10)
    assert club.run("run", TRUNCATED).returncode == 1


def test_triage_of_a_truncated_fetch_is_never_green(recording):
    triage = recording("truncated").json("triage")
    assert {mode["guide"]: mode["state"] for mode in triage["modes"]}["§1.1"] == "present"
    assert triage["recommended"] not in (None, "level 0")
    # Without the report it is said what could not be asked.
    triage = recording("truncated", reports=False).json("triage")
    assert triage["recommended"] == "level 0"
    assert "Completeness of imports" in triage["why"]


def test_a_fetch_of_nobody_is_no_completed_run_though_nothing_warns(recording, tmp_path):
    """Not one contact came, so not one registration could be taken; the importer said nothing of it."""
    club = recording("truncated", reports=False)
    club.execute(
        """DELETE FROM "EventRegistration"; DELETE FROM "Member";
           DELETE FROM "WaIdMapping" WHERE "entityType" <> 'Event';
           DELETE FROM "AuditLog" WHERE "resourceType" <> 'Event'"""
    )
    report = report_of(club)
    report["warnings"] = []
    report["fetched"]["contacts"] = 0
    report["stats"] |= {"members": NONE, "registrations": {**NONE, "skipped": 766}}
    report["registrationDiagnostics"] |= {
        "registrationsTransformedOk": 0,
        "registrationsUpserted": 0,
        "registrationsSkippedMissingMember": 766,
    }
    path = written(tmp_path, report)
    (run,) = club.json("runs", "--import-report", str(path))
    assert run["status"] == "incomplete"
    checks = ("runs-interrupted", "members-missing", "records-missing", "records-left-out")
    answers = findings(club, *checks, report=path)
    assert {finding["status"] for finding in answers.values()} == {"fail"}
    assert answers["records-missing"]["count"] == 766
    assert answers["members-missing"]["count"] == 10  # as many as its report names


def test_one_contact_that_fails_is_named_and_the_run_did_not_fail(recording):
    club = recording("incremental")
    run = club.json("run", SECOND)
    assert run["status"] == "completed"
    assert "Member 50070" in run["why"]
    assert [(row["entity"], row["wa_id"], row["row"]) for row in run["problems"]] == [
        ("Member", "50070", None)
    ]
    assert SECOND not in {
        row["key"] for row in findings(club, "runs-interrupted")["runs-interrupted"]["rows"]
    }
    named, others = left_out(club)
    assert set(named) == {("Member", wa_id) for wa_id in ("50070", "50003", "50009", "50017")}
    assert "email" in named["Member", "50070"]
    assert (
        others == 1 + 8
    )  # a contact that only the importer's log names, and the registrations of those three


def test_what_was_skipped_is_told_apart_by_the_mappings_that_were_refreshed(recording):
    club = recording("incremental", whole=True)
    first, second = (run_facts(club, run)["records"] for run in (FIRST, SECOND))
    assert first["Member"] == {"created": 254, "updated": 0, "existing": 2, "refused": 4}
    assert second["Member"] == {"created": 20, "updated": 32, "existing": 223, "refused": 4}
    assert second["Registration"] == {"created": 40, "updated": 139, "existing": 619, "unlinked": 8}


def test_where_mappings_are_gone_nothing_is_called_refused_or_existing(recording):
    club = recording("incremental")
    club.execute("""DELETE FROM "WaIdMapping" WHERE "waId" IN (50000, 50001, 50002)""")
    cells = run_facts(club, SECOND)["records"]["Member"]
    assert cells["skipped"] > 0
    assert "refused" not in cells
    # Nor does the audit log tell of them: the application swallows a failed write of it.
    club.execute(
        """DELETE FROM "WaIdMapping" WHERE "entityType" = 'Member';
           DELETE FROM "AuditLog" WHERE "resourceType" = 'Member'"""
    )
    cells = run_facts(club, SECOND)["records"]["Member"]
    assert cells.get("existing", 0) == 0
    assert "refused" not in cells


def test_the_latest_word_on_a_record_counts(recording):
    """The sync could not write 50070 and left three contacts out; the CSV import after it took the one, and says why not the others."""
    club = recording("csv_over_api")
    named, others = left_out(club)
    members = {wa_id: reason for (entity, wa_id), reason in named.items() if entity == "Member"}
    assert members == dict.fromkeys(("50003", "50009", "50017", "50033"), "Missing lastName")
    registrations = {wa_id: reason for (entity, wa_id), reason in named.items() if entity == "Registration"}
    assert (len(registrations), others) == (8, 0)
    assert registrations["700118"] == "Member not found: 50017"
    run = club.json("run", CSV)
    assert len(run["problems"]) == len(run["left_out"]) == 12
    assert all(row["row"] for row in run["problems"])
    since = {row["wa_id"]: row["since"] for row in club.json("run", SECOND)["left_out"] if row["wa_id"]}
    assert since["50070"] == CSV
    assert "Missing lastName" in club.run("run", CSV).stdout


def test_a_contact_that_is_mapped_since_is_left_out_no_more(recording):
    club = recording("rebooked")
    assert ("Member", "50009") in left_out(club)[0]
    club.execute(
        """INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "syncedAt", "updatedAt")
           SELECT gen_random_uuid(), 'Member', 50009, id, now(), now() FROM "Member" LIMIT 1"""
    )
    assert ("Member", "50009") not in left_out(club)[0]


def test_without_its_report_it_is_not_known_whom_a_run_left_out(recording):
    club = recording("incremental", reports=False)
    finding = findings(club, "records-left-out")["records-left-out"]
    assert finding["status"] == "not run"
    assert SECOND in finding["reason"]
    assert "50070" in finding["reason"]
    rows = club.json("run", SECOND)["left_out"]
    assert [(row["entity"], row["wa_id"]) for row in rows] == [("Member", "50070")]


def test_a_fetch_far_below_what_is_mapped_is_named_with_and_without_its_report(recording, tmp_path):
    """A third full sync that gets 5 contacts, and says nothing of it."""
    club = recording("incremental")
    late = "sync_1796040000000_zzzzzz"
    club.execute(
        """UPDATE "WaIdMapping" SET "syncedAt" = '2026-11-30 12:00:05' WHERE "entityType" = 'Event' OR "waId" IN (
               SELECT "waId" FROM "WaIdMapping" WHERE "entityType" = 'Member' ORDER BY 1 LIMIT 5);
           INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
               SELECT gen_random_uuid(), 'UPDATE', 'Member', "clubosId", jsonb_build_object('mode', 'full',
                   'waId', "waId", 'source', 'wa_import', 'syncRunId', 'sync_1796040000000_zzzzzz'), '2026-11-30 12:00:05'
               FROM "WaIdMapping" WHERE "entityType" = 'Member' ORDER BY "waId" LIMIT 1;
           UPDATE "WaSyncState" SET ("lastFullSync", "lastContactSync", "lastEventSync", "lastRegSync") =
               ROW(m.at, m.at, m.at, m.at) FROM (SELECT timestamp '2026-11-30 12:00:09' AS at) m"""
    )
    report = report_of(club, "wa_full_sync_report-2.json")
    report |= {
        "runId": late,
        "startedAt": "2026-11-30T12:00:00Z",
        "finishedAt": "2026-11-30T12:00:09Z",
        "success": True,
        "fetched": {**report["fetched"], "contacts": 5},
        "stats": {**report["stats"], "members": {**NONE, "updated": 1, "skipped": 4}},
        "errors": [],
        "totalErrorCount": 0,
    }
    for path in (None, written(tmp_path, report)):
        reports = ("--import-report", str(path)) if path else ()
        run = club.json("run", late, *reports)
        assert run["status"] == "incomplete", run["why"]
        assert " 5 " in run["why"]
        assert late in {
            row["key"] for row in findings(club, "members-missing", report=path)["members-missing"]["rows"]
        }
        assert "50070" in {row["wa_id"] for row in run["left_out"]}


def test_a_sync_that_found_everything_as_it_was_is_complete_though_it_warns_that_it_wrote_nothing(
    recording, tmp_path
):
    club = recording("rebooked", reports=False)
    report = report_of(club)
    total = report["stats"]["registrations"]["created"] + report["stats"]["registrations"]["updated"]
    report["stats"]["registrations"] = {**NONE, "skipped": total}
    report["fetched"]["registrations"] = total
    report["registrationDiagnostics"] |= {
        "registrationsSkippedMissingMember": 0,
        "topSkipReasons": [],
        "registrationsQuarantined": 12,
    }
    for code, status in (("ZERO_REGISTRATIONS_UPSERTED", "completed"), ("ZERO_CONTACTS", "incomplete")):
        report["warnings"] = [{"code": code, "severity": "high", "message": "Nothing came."}]
        path = written(tmp_path, report)
        (run,) = club.json("runs", "--import-report", str(path))
        assert run["status"] == status
    # A key that nobody knows is shown by its name.
    key = "registrationDiagnostics.registrationsQuarantined"
    assert [row["key"] for row in run["unknown_keys"]] == [key]
    assert key in club.run("run", run["run"], "--import-report", str(path)).stdout


@pytest.mark.parametrize(
    ("counts", "status", "count"),
    [
        ({"created": 0, "updated": 0, "existing": 5, "errors": 3}, "fail", 3),
        ({"created": 0, "updated": 0, "existing": 5}, "pass", 0),
        ({"created": 0, "updated": 0, "skipped": 5}, "not run", None),
    ],
)
def test_a_run_that_only_logs_its_counts_is_believed_as_far_as_they_go(clubs, counts, status, count):
    club = clubs.clone("guide", 50)
    for action, facts, moment in (
        ("migration:started", {"mode": "live"}, "2026-12-01 10:00"),
        ("migration:completed", {"counts": {"members": counts}}, "2026-12-01 10:05"),
    ):
        metadata = json.dumps({"run_id": "run_20261201_abcdef", "operator": "dana", **facts})
        club.execute(
            'INSERT INTO "AuditLog" (action, metadata, "createdAt") VALUES (%s, %s, %s)',
            action,
            metadata,
            moment,
        )
    (finding,) = club.open().check(["records-left-out"]).findings
    assert (finding.status, finding.count) == (status, count)


def test_a_later_full_sync_has_the_last_word(recording, tmp_path):
    """It left nobody out: whoever an earlier one left out is in, or is in Wild Apricot no more."""
    club = recording("rebooked")
    report = report_of(club)
    fetched, diagnostics = report["fetched"], report["registrationDiagnostics"]
    lost = {name: 0 for name in diagnostics if name.startswith("registrationsSkipped")}
    report |= {
        "runId": "sync_1796050000000_zzzzzz",
        "startedAt": "2026-11-30T14:46:40Z",
        "finishedAt": "2026-11-30T14:47:40Z",
        "stats": {
            "members": {**NONE, "skipped": fetched["contacts"] - 4},
            "events": {**NONE, "skipped": fetched["events"]},
            "registrations": {**NONE, "skipped": fetched["registrations"]},
        },
        "fetched": {**fetched, "contacts": fetched["contacts"] - 4},
        "registrationDiagnostics": {**diagnostics, **lost, "topSkipReasons": []},
    }
    club.execute(
        """UPDATE "WaIdMapping" SET "syncedAt" = '2026-11-30 14:47' WHERE "entityType" <> 'EventRegistration'"""
    )
    for missing, status in ((0, "pass"), (2, "fail")):
        report["registrationDiagnostics"]["registrationsSkippedMissingMember"] = missing
        answers = findings(club, "records-left-out", report=written(tmp_path, report))
        assert answers["records-left-out"]["status"] == status
