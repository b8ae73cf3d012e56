"""Operator errors (guide §1.6) that no breakage of the demo can plant: each both ways, in both dialects."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conftest import database_at
from workbench.checks import Look, run_checks
from workbench.murmurant.importers import Run
from workbench.runs.rehearsals import rehearsals, rehearsals_frame
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench


def ask(club, check, kind="demo", settings=None, **options):
    """Ask one check as if the club were an environment of another kind."""
    wb = club.workbench(**options)
    database = database_at(club.url, kind=kind, name=kind)
    wb = Workbench(replace(wb.session, database=database, settings=settings or wb.settings))
    with wb, wb.session.reading() as connection:
        look: Look = wb.session.look(connection)
        (found,) = run_checks(look, [check])
    return found


@pytest.mark.parametrize(("kind", "fires"), [("production", True), ("staging", True), ("development", False)])
def test_the_demos_mark_in_another_place(club, kind, fires):
    # No address tells it any more: only the mark, which a dump carries along.
    club.execute("""UPDATE "Member" SET email = replace(email, '@example.', '@post-')""")
    found = ask(club, "environment-wrong", kind)
    marked = [each for each in found.rows.to_dict("records") if each["says"] == "demo data"]
    assert [each["key"] for each in marked] == (["Member"] if fires else [])
    club.execute('COMMENT ON TABLE "Member" IS NULL')
    found = ask(club, "environment-wrong", kind)
    assert "demo data" not in set(found.rows.get("says", ()))


def test_the_mark_goes_with_a_dump(club, server):
    import subprocess

    from workbench.database.embedded import client_tools

    url = server.url(server.create())
    subprocess.run([client_tools() / "pg_restore", "-d", url, club.dump()], check=True)
    found = ask(replace(club, url=url), "environment-wrong", "production")
    assert "demo data" in set(found.rows["says"])


def test_real_people_are_many_or_few(club):
    club.breaks("real-people")
    found = ask(club, "real-people-in-demo")
    assert (found.status, found.rows.to_dict("records")[0]["members"]) == ("warn", 3)
    assert ask(club, "real-people-in-demo", "development").status == "pass"  # a developer or two
    assert ask(club, "real-people-in-demo", "production").status == "pass"
    club.execute("""UPDATE "Member" SET email = replace(email, '@example.', '@post-')""")
    found = ask(club, "real-people-in-demo", "development")
    assert found.status == "warn"
    assert {"post-com", "post-org", "post.zzclub"} == set(found.rows["key"])
    live = EnvironmentSettings(kind="production", url_env="CLUB", expected={"members": 250})
    known = Settings(operator="dana", environments={"club": live})
    assert (
        "the club itself has 250"
        in ask(club, "real-people-in-demo", "development", known).rows["evidence"][0]
    )
    larger = live.model_copy(update={"expected": {"members": 5000}})
    known = Settings(operator="dana", environments={"club": larger})
    assert ask(club, "real-people-in-demo", "development", known).status == "pass"


def edited(club, pattern, change):
    """Change what the reports of the last live run that lists its records say."""
    paths = sorted(club.club.imports.glob(pattern))
    last = max(
        (json.loads(path.read_text())["startedAt"], json.loads(path.read_text())["runId"]) for path in paths
    )[1]
    for path in paths:
        content = json.loads(path.read_text())
        if content["runId"] == last:
            change(content)
            path.write_text(json.dumps(content))
    return last


def test_another_export_file_than_the_dry_runs_is_named(club):
    def other(content):
        content["members"]["file"] = "exports/old/wa-members-export.csv"

    run = edited(club, "migration-live-*.json", other)
    found = ask(club, "config-differs")
    assert [(row["key"], row["differs"]) for row in found.rows.to_dict("records")] == [(run, "members file")]
    assert "exports/old" in found.rows["live"][0]
    assert "exports/wa-members" in found.rows["dry"][0]


def test_another_source_than_the_dry_runs_is_named(clubs, dialect):
    club = clubs.clone(dialect)
    pattern = "migration-live-*.json" if dialect == "guide" else "wa_full_sync_report-*.json"

    def grown(content):
        if "fetched" in content:
            content["fetched"]["contacts"] += 30
        else:
            content["members"]["totalRows"] += 30

    if dialect == "application":
        run = edited(club, pattern, lambda content: content["dryRun"] or grown(content))
    else:
        run = edited(club, pattern, grown)
    (row,) = ask(club, "config-differs").rows.to_dict("records")
    assert (row["key"], row["differs"]) == (run, "members in the source")


def test_a_configuration_of_another_kind_of_environment(clubs):
    club = clubs.clone("guide")
    club.execute(
        """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{config,file}', '"/etc/club/staging.yaml"') WHERE metadata ? 'config'"""
    )
    found = ask(club, "config-differs", "production")
    live = {each.run for each in club.club.runs if each.mode == "live"}
    assert set(found.rows["key"]) == live  # the dry run had it too, and it is wrong all the same
    assert set(found.rows["differs"]) == {"file, from this production environment"}
    assert ask(club, "config-differs", "staging").status == "pass"


def test_without_reports_nothing_is_said_of_configurations(clubs):
    assert ask(clubs.clone("application"), "config-differs", import_reports=()).status == "not run"


def test_how_long_a_dry_run_is_fresh_is_configured(club):
    assert ask(club, "live-run-without-dry-run").status == "pass"
    found = ask(club, "live-run-without-dry-run", dry_run_hours=2.0)
    assert set(found.rows["key"]) == {each.run for each in club.club.runs if each.mode == "live"}
    assert set(found.rows["why"]) == {"more than 2 h before it"}


def test_a_dry_run_that_failed_is_none(clubs):
    club = clubs.clone("guide")
    dry = next(each.run for each in reversed(club.club.runs) if each.mode == "dry")
    club.execute(
        """UPDATE "AuditLog" SET action = 'migration:failed', metadata = '{"run_id": "%s", "error": "x", "last_batch": 2}'
           WHERE action = 'migration:completed' AND metadata->>'run_id' = '%s'""".replace("%s", dry)
    )
    found = ask(club, "live-run-without-dry-run")
    assert list(found.rows["why"]) == ["the dry run did not come to its end, or fetched too little"]


def test_rehearsals_without_a_start_or_a_dry_run():
    runs = [Run("a", "csv"), Run("d", "csv", mode="dry"), Run("b", "csv")]
    table = rehearsals_frame(rehearsals(runs, 24))
    assert list(table["rehearsed"]) == ["none", "unknown"]
    assert rehearsals_frame([]).empty


@pytest.mark.recordings
def test_the_recorded_importers_rehearsed_their_runs(recordings):
    from workbench.murmurant.reports import read_reports

    folders = [recordings / "csv_import" / name / "reports" for name in ("run1", "run2")]
    reports = read_reports(folders)
    assert {name for each in reports for name in each.files.values()} >= {
        "exports/run1/members/wa-members-export.csv",
        "exports/run2/members/wa-members-export.csv",
    }
