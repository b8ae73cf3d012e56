"""Operator errors (guide §1.6) that no breakage of the demo can plant: each both ways."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from tests.conftest import database_at
from workbench.checks import run_checks
from workbench.database.embedded import client_tools
from workbench.murmurant.importers import Run
from workbench.runs.discovery import rehearsals, rehearsals_frame
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench


def ask(club, check, kind="demo", settings=None, **options):
    """Ask one check as if the club were an environment of another kind."""
    wb = club.workbench(**options)
    database = database_at(club.url, kind=kind, name=kind)
    wb = Workbench(replace(wb.session, database=database, settings=settings or wb.settings))
    with wb, wb.session.reading() as connection:
        (found,) = run_checks(wb.session.look(connection), [check])
    return found


def test_the_demos_mark_in_another_place(guide, server):
    url = server.url(server.create())
    subprocess.run([client_tools() / "pg_restore", "-d", url, guide.dump()], check=True)
    copy = replace(guide, url=url)  # the mark goes with a dump
    # No address tells it any more.
    copy.execute("""UPDATE "Member" SET email = replace(email, '@example.', '@post-')""")
    for kind, fires in (("production", True), ("staging", True), ("development", False)):
        rows = ask(copy, "environment-wrong", kind).rows.to_dict("records")
        assert [each["key"] for each in rows if each["says"] == "demo data"] == ["Member"] * fires
    copy.execute('COMMENT ON TABLE "Member" IS NULL')
    assert "demo data" not in set(ask(copy, "environment-wrong", "production").rows.get("says", ()))


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
    told = ask(club, "real-people-in-demo", "development", known).rows["evidence"][0]
    assert "the club itself has 250" in told
    larger = live.model_copy(update={"expected": {"members": 5000}})
    known = Settings(operator="dana", environments={"club": larger})
    assert ask(club, "real-people-in-demo", "development", known).status == "pass"


def edited(club, pattern, change):
    """Change what the reports of the last live run that lists its records say."""
    paths = sorted(club.club.imports.glob(pattern))
    contents = {path: json.loads(path.read_text()) for path in paths}
    _, last = max((each["startedAt"], each["runId"]) for each in contents.values())
    for path, content in contents.items():
        if content["runId"] == last:
            change(content)
            path.write_text(json.dumps(content))
    return last


def test_another_configuration_than_the_dry_runs_is_named(guide, application):
    def other(content):
        content["members"]["file"] = "exports/old/wa-members-export.csv"

    def grown(content):
        if not content["dryRun"]:
            content["fetched"]["contacts"] += 30

    run = edited(guide, "migration-live-*.json", other)
    (row,) = ask(guide, "config-differs").rows.to_dict("records")
    assert (row["key"], row["differs"]) == (run, "members file")
    assert "exports/old" in row["live"]
    assert "exports/wa-members" in row["dry"]
    run = edited(application, "wa_full_sync_report-*.json", grown)
    (row,) = ask(application, "config-differs").rows.to_dict("records")
    assert (row["key"], row["differs"]) == (run, "members in the source")
    assert ask(application, "config-differs", import_reports=()).status == "not run"


def test_a_configuration_of_another_kind_of_environment(guide):
    guide.execute(
        """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{config,file}', '"/etc/club/staging.yaml"') WHERE metadata ? 'config'"""
    )
    found = ask(guide, "config-differs", "production")
    live = {each.run for each in guide.club.runs if each.mode == "live"}
    assert set(found.rows["key"]) == live  # the dry run had it too, and it is wrong all the same
    assert set(found.rows["differs"]) == {"file, from this production environment"}
    assert ask(guide, "config-differs", "staging").status == "pass"


def test_a_dry_run_that_is_stale_is_listed_so(guide):
    (broken,) = guide.breaks("stale-dry-run")
    rehearsed = guide.wb.runs.rehearsals().tables.rehearsals
    assert set(rehearsed.loc[rehearsed["rehearsed"] == "stale", "run"]) == set(broken.keys)


def test_dry_runs_that_are_none(guide):
    assert ask(guide, "live-run-without-dry-run").status == "pass"
    found = ask(guide, "live-run-without-dry-run", dry_run_hours=2.0)
    assert set(found.rows["key"]) == {each.run for each in guide.club.runs if each.mode == "live"}
    assert set(found.rows["why"]) == {"more than 2 h before it"}
    dry = next(each.run for each in reversed(guide.club.runs) if each.mode == "dry")
    guide.execute(
        """UPDATE "AuditLog" SET action = 'migration:failed', metadata = '{"run_id": "%s", "error": "x", "last_batch": 2}'
           WHERE action = 'migration:completed' AND metadata->>'run_id' = '%s'""".replace("%s", dry)
    )
    found = ask(guide, "live-run-without-dry-run")
    assert list(found.rows["why"]) == ["the dry run did not complete, or fetched too little"]
    runs = [Run("a", "csv"), Run("d", "csv", mode="dry"), Run("b", "csv")]
    assert list(rehearsals_frame(rehearsals(runs, 24))["rehearsed"]) == ["none", "unknown"]
    assert rehearsals_frame([]).empty


@pytest.mark.recordings
def test_the_recorded_importers_rehearsed_their_runs(recordings):
    from workbench.murmurant.reports import read_reports

    reports = read_reports([recordings / "csv_import" / name / "reports" for name in ("run1", "run2")])
    assert {name for each in reports for name in each.files.values()} >= {
        "exports/run1/members/wa-members-export.csv",
        "exports/run2/members/wa-members-export.csv",
    }
