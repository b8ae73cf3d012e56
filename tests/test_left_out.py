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


def finding(club, check):
    (found,) = club.json("check", check, "--limit", "1000")["findings"]
    return found


def left_out(club):
    """The WA ids that the check names, by entity, and how many records it counts besides."""
    rows = finding(club, "records-left-out")["rows"]
    named = {(row["entity"], row["wa_id"]): row["reason"] for row in rows if row["wa_id"]}
    return named, sum(row["records"] for row in rows if not row["wa_id"])


def run_facts(club, run):
    return next(each for each in club.json("runs") if each["run"] == run)


@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_a_truncated_fetch_is_no_completed_run_and_nobody_is_called_existing(recording, whole):
    club = recording("truncated", whole=whole)
    run = club.json("run", TRUNCATED)
    assert run["status"] == "incomplete"
    assert run["records"]["Registration"] == {"created": 44, "updated": 3, "existing": 0, "unlinked": 719}
    assert [(each["code"], each["severity"]) for each in run["warnings"]] == [
        ("LOW_CONTACT_COUNT", "high"),
        ("HIGH_MEMBER_SKIP_RATIO", "high"),
    ]
    assert run["diagnostics"]["registrationsSkippedMissingMember"] == 719
    named, others = left_out(club)
    assert len(named) == 10
    assert ("Member", "50214") in named
    assert others == 719
    assert finding(club, "records-left-out")["count"] == 729
    for check in ("runs-interrupted", "members-missing", "records-missing"):
        assert finding(club, check)["status"] == "fail"
    assert finding(club, "members-missing")["count"] == 10
    assert club.run("run", TRUNCATED).returncode == 1


def test_triage_of_a_truncated_fetch_shows_a_partial_import(recording):
    told = recording("truncated").json("triage")
    assert {each["guide"]: each["state"] for each in told["modes"]}["§1.1"] == "present"
    assert told["recommended"] not in (None, "level 0")
    assert "credentials" in told["why"]


def test_a_fetch_of_nobody_is_no_completed_run_though_nothing_warns(recording, tmp_path):
    """Not one contact came, so not one registration could be taken; the importer said nothing of it."""
    club = recording("truncated", reports=False)
    with club.connect() as connection:
        connection.execute('DELETE FROM "EventRegistration"')
        connection.execute('DELETE FROM "Member"')
        connection.execute("""DELETE FROM "WaIdMapping" WHERE "entityType" <> 'Event'""")
        connection.execute("""DELETE FROM "AuditLog" WHERE "resourceType" <> 'Event'""")
    report = json.loads((club.files / "imports" / "report.json").read_text())
    none = {"created": 0, "updated": 0, "errors": 0}
    report["warnings"] = []
    report["fetched"]["contacts"] = 0
    report["stats"] |= {"members": {**none, "skipped": 0}, "registrations": {**none, "skipped": 766}}
    report["registrationDiagnostics"] |= {
        "registrationsTransformedOk": 0,
        "registrationsUpserted": 0,
        "registrationsSkippedMissingMember": 766,
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    given = ("--import-report", str(path))
    (run,) = club.json("runs", *given)
    assert run["status"] == "incomplete"
    checks = ("runs-interrupted", "members-missing", "records-missing", "records-left-out")
    found = {each["check"]: each for each in club.json("check", *checks, *given)["findings"]}
    assert {each["status"] for each in found.values()} == {"fail"}
    assert found["records-missing"]["count"] == 766
    assert found["members-missing"]["count"] == 10  # as many as its report names


def test_triage_says_what_could_not_be_asked_beside_mere_warnings(recording):
    told = recording("truncated", reports=False).json("triage")
    assert told["recommended"] == "level 0"
    assert "Completeness of imports" in told["why"]
    partial = next(each for each in told["modes"] if each["guide"] == "§1.1")
    assert "Completeness of imports" in partial["evidence"]


def test_a_narrow_terminal_shows_reasons_that_can_be_read(recording, monkeypatch):
    club = recording("truncated")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = club.run("check", "records-left-out").stdout
    assert "no member is mapped to this contact, whose registrations were" in " ".join(shown.split())
    assert TRUNCATED in shown


@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_one_contact_that_fails_is_named_and_the_run_did_not_fail(recording, whole):
    club = recording("incremental", whole=whole)
    run = club.json("run", SECOND)
    assert run["status"] == "completed"
    assert "Member 50070" in run["why"]
    assert "email" in run["why"]
    (problem,) = run["problems"]
    assert (problem["entity"], problem["wa_id"], problem["row"]) == ("Member", "50070", None)
    assert SECOND not in {row["key"] for row in finding(club, "runs-interrupted")["rows"]}
    named, others = left_out(club)
    assert set(named) == {("Member", wa_id) for wa_id in ("50070", "50003", "50009", "50017")}
    assert "email" in named["Member", "50070"]
    assert (
        others == 1 + 8
    )  # a contact that only the importer's log names, and the registrations of those three


def test_what_was_skipped_is_told_apart_by_the_mappings_that_were_refreshed(recording):
    club = recording("incremental", whole=True)
    first, second = run_facts(club, FIRST), run_facts(club, SECOND)
    assert first["records"]["Member"] == {"created": 254, "updated": 0, "existing": 2, "refused": 4}
    assert second["records"]["Member"] == {"created": 20, "updated": 32, "existing": 223, "refused": 4}
    assert second["records"]["Registration"] == {
        "created": 40,
        "updated": 139,
        "existing": 619,
        "unlinked": 8,
    }


def test_where_mappings_are_gone_nothing_is_called_refused_or_existing(recording):
    club = recording("incremental")
    with club.connect() as connection:
        connection.execute("""DELETE FROM "WaIdMapping" WHERE "waId" IN (50000, 50001, 50002)""")
    cells = run_facts(club, SECOND)["records"]["Member"]
    assert cells["skipped"] > 0
    assert "refused" not in cells
    with club.connect() as connection:
        connection.execute("""DELETE FROM "WaIdMapping" WHERE "entityType" = 'Member'""")
        # Nor does the audit log tell of them: the application swallows a failed write of it.
        connection.execute("""DELETE FROM "AuditLog" WHERE "resourceType" = 'Member'""")
    cells = run_facts(club, SECOND)["records"]["Member"]
    assert cells.get("existing", 0) == 0
    assert "refused" not in cells


@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_the_latest_word_on_a_record_counts(recording, whole):
    """The sync could not write 50070 and left three contacts out; the CSV import after it took the one, and says why not the others."""
    club = recording("csv_over_api", whole=whole)
    named, others = left_out(club)
    members = {wa_id: reason for (entity, wa_id), reason in named.items() if entity == "Member"}
    assert members == dict.fromkeys(("50003", "50009", "50017", "50033"), "Missing lastName")
    registrations = {wa_id: reason for (entity, wa_id), reason in named.items() if entity == "Registration"}
    assert len(registrations) == 8
    assert registrations["700118"] == "Member not found: 50017"
    assert others == 0
    run = club.json("run", CSV)
    assert {(each["entity"], each["wa_id"], each["row"]) for each in run["problems"]} >= {
        ("Member", "50033", next(each["row"] for each in run["problems"] if each["wa_id"] == "50033"))
    }
    assert len(run["problems"]) == len(run["left_out"]) == 12
    since = {each["wa_id"]: each["since"] for each in club.json("run", SECOND)["left_out"] if each["wa_id"]}
    assert since["50070"] == CSV


def test_a_contact_that_is_mapped_since_is_left_out_no_more(recording):
    club = recording("rebooked")
    assert ("Member", "50009") in left_out(club)[0]
    with club.connect() as connection:
        connection.execute(
            """INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "syncedAt", "updatedAt")
               SELECT gen_random_uuid(), 'Member', 50009, id, now(), now() FROM "Member" LIMIT 1"""
        )
    assert ("Member", "50009") not in left_out(club)[0]


def test_without_its_report_it_is_not_known_whom_a_run_left_out(recording):
    club = recording("incremental", reports=False)
    found = finding(club, "records-left-out")
    assert found["status"] == "not run"
    assert SECOND in found["reason"]
    assert "50070" in found["reason"]
    rows = club.json("run", SECOND)["left_out"]
    assert [(each["entity"], each["wa_id"]) for each in rows] == [("Member", "50070")]


def test_a_fetch_far_below_what_is_mapped_is_named_with_and_without_its_report(recording, tmp_path):
    """A third full sync that gets 5 contacts, and says nothing of it."""
    club = recording("incremental")
    late = "sync_1796040000000_zzzzzz"
    report = json.loads((club.files / "imports" / "wa_full_sync_report-2.json").read_text())
    none = {"created": 0, "updated": 0, "skipped": 0, "errors": 0}
    with club.connect() as connection:
        taken = connection.execute(
            """UPDATE "WaIdMapping" SET "syncedAt" = '2026-11-30 12:00:05' WHERE "entityType" = 'Member'
               AND "waId" IN (SELECT "waId" FROM "WaIdMapping" WHERE "entityType" = 'Member' ORDER BY 1 LIMIT 5)
               RETURNING "waId", "clubosId" """
        ).fetchall()
        connection.execute(
            """UPDATE "WaIdMapping" SET "syncedAt" = '2026-11-30 12:00:06' WHERE "entityType" = 'Event'"""
        )
        connection.execute(
            """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
               VALUES (gen_random_uuid(), 'UPDATE', 'Member', %s, %s, '2026-11-30 12:00:05')""",
            (
                taken[0][1],
                json.dumps({"mode": "full", "waId": taken[0][0], "source": "wa_import", "syncRunId": late}),
            ),
        )
        moments = ("lastFullSync", "lastContactSync", "lastEventSync", "lastRegSync")
        connection.execute(
            f"""UPDATE "WaSyncState" SET {", ".join(f'"{each}" = %s' for each in moments)}""",
            ["2026-11-30 12:00:09"] * 4,
        )
    for given in (False, True):
        if given:
            path = tmp_path / "late.json"
            path.write_text(
                json.dumps(
                    {
                        **report,
                        "runId": late,
                        "startedAt": "2026-11-30T12:00:00Z",
                        "finishedAt": "2026-11-30T12:00:09Z",
                        "success": True,
                        "fetched": {**report["fetched"], "contacts": 5},
                        "stats": {**report["stats"], "members": {**none, "updated": 1, "skipped": 4}},
                        "errors": [],
                        "totalErrorCount": 0,
                    }
                )
            )
        reports = ["--import-report", str(path)] if given else []
        run = json.loads(club.run("run", late, "--json", *reports).stdout)
        assert run["status"] == "incomplete", run["why"]
        assert " 5 " in run["why"]
        (found,) = json.loads(club.run("check", "members-missing", "--json", *reports).stdout)["findings"]
        assert late in {row["key"] for row in found["rows"]}
        assert "50070" in {each["wa_id"] for each in run["left_out"]}


def test_a_sync_that_found_everything_as_it_was_is_complete_though_it_warns_that_it_wrote_nothing(
    recording, tmp_path
):
    club = recording("rebooked", reports=False)
    report = json.loads((club.files / "imports" / "report.json").read_text())
    seats = report["stats"]["registrations"]
    total = seats["created"] + seats["updated"]
    report["stats"]["registrations"] = {"created": 0, "updated": 0, "skipped": total, "errors": 0}
    report["fetched"]["registrations"] = total
    report["registrationDiagnostics"] |= {"registrationsSkippedMissingMember": 0, "topSkipReasons": []}
    for code, status in (("ZERO_REGISTRATIONS_UPSERTED", "completed"), ("ZERO_CONTACTS", "incomplete")):
        report["warnings"] = [{"code": code, "severity": "high", "message": "Nothing came."}]
        path = tmp_path / "report.json"
        path.write_text(json.dumps(report))
        runs = json.loads(club.run("runs", "--json", "--import-report", str(path)).stdout)
        assert [each["status"] for each in runs] == [status]


def test_a_key_that_nobody_knows_is_shown_by_its_name(recording, tmp_path):
    club = recording("rebooked", reports=False)
    report = json.loads((club.files / "imports" / "report.json").read_text())
    report["registrationDiagnostics"]["registrationsQuarantined"] = 12
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    arguments = ("run", report["runId"], "--import-report", str(path))
    facts = json.loads(club.run(*arguments, "--json").stdout)
    key = "registrationDiagnostics.registrationsQuarantined"
    assert [each["key"] for each in facts["unknown_keys"]] == [key]
    assert key in club.run(*arguments).stdout


def test_a_run_lists_whom_it_left_out(recording):
    text = recording("csv_over_api").run("run", CSV).stdout
    assert all(wa_id in text for wa_id in ("50003", "50033", "700118", "700700"))
    assert "Missing lastName" in text


@pytest.mark.parametrize(
    ("counts", "status", "count"),
    [
        ({"created": 0, "updated": 0, "existing": 5, "errors": 3}, "fail", 3),
        ({"created": 0, "updated": 0, "existing": 5}, "pass", 0),
        ({"created": 0, "updated": 0, "skipped": 5}, "not run", None),
    ],
)
def test_a_run_that_only_logs_its_counts_is_believed_as_far_as_they_go(clubs, at, counts, status, count):
    club = clubs.clone("guide")
    late = "run_20261201_abcdef"
    for action, facts, moment in (
        ("migration:started", {"mode": "live"}, "2026-12-01 10:00"),
        ("migration:completed", {"counts": {"members": counts}}, "2026-12-01 10:05"),
    ):
        club.execute(
            """INSERT INTO "AuditLog" (action, metadata, "createdAt") VALUES (%s, %s, %s)""",
            action,
            json.dumps({"run_id": late, "operator": "dana", **facts}),
            moment,
        )
    (found,) = json.loads(at(club)("check", "records-left-out", "--json").stdout)["findings"]
    assert (found["status"], found["count"]) == (status, count)


def test_a_later_full_sync_has_the_last_word(recording, tmp_path):
    """It left nobody out: whoever an earlier one left out is in, or is in Wild Apricot no more."""
    club = recording("rebooked")
    report = json.loads((club.files / "imports" / "report.json").read_text())
    people, seats = report["fetched"]["contacts"], report["fetched"]["registrations"]
    none = {"created": 0, "updated": 0, "errors": 0}
    lost = {name: 0 for name in report["registrationDiagnostics"] if name.startswith("registrationsSkipped")}
    later = {
        **report,
        "runId": "sync_1796050000000_zzzzzz",
        "startedAt": "2026-11-30T14:46:40Z",
        "finishedAt": "2026-11-30T14:47:40Z",
        "stats": {
            "members": {**none, "skipped": people - 4},
            "events": {**none, "skipped": report["fetched"]["events"]},
            "registrations": {**none, "skipped": seats},
        },
        "fetched": {**report["fetched"], "contacts": people - 4},
        "registrationDiagnostics": {**report["registrationDiagnostics"], **lost, "topSkipReasons": []},
    }
    path = tmp_path / "later.json"
    for missing, status in ((0, "pass"), (2, "fail")):
        later["registrationDiagnostics"]["registrationsSkippedMissingMember"] = missing
        path.write_text(json.dumps(later))
        with club.connect() as connection:
            connection.execute(
                """UPDATE "WaIdMapping" SET "syncedAt" = '2026-11-30 14:47' WHERE "entityType" <> 'EventRegistration'"""
            )
        told = club.run("check", "records-left-out", "--json", "--import-report", str(path)).stdout
        (found,) = json.loads(told)["findings"]
        assert found["status"] == status, found["rows"]
