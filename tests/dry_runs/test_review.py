"""What a reviewer is shown: counts, samples, warnings, the dry run before, and what really happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from tests.bundles.conftest import DRY, LIVE, api_report, csv_report, member, put
from tests.conftest import database_at
from tests.dry_runs.conftest import API_DRY, api_dry
from workbench.database.connection import raw
from workbench.migration.invariants import read_files
from workbench.migration.review import DIFFERENT, INNOCENT, SAME, review_dry_run
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import read_reports
from workbench.murmurant.schema import read_schema
from workbench.runs.discovery import find_runs


@pytest.fixture
def runs_of(clubs: Any) -> Any:
    """Judge the runs of some report files, on a club that knows none of them."""
    club = clubs.clone("guide", 60)

    def found(paths: Sequence[Path]) -> list[Run]:
        with club.workbench(import_reports=()) as wb, wb.session.reading() as connection:
            return [
                each for each in find_runs(connection, wb.session.schema, read_reports(paths)) if each.reports
            ]

    return found


def reviewed(runs: Sequence[Run], run_id: str) -> Any:
    run = next(each for each in runs if each.run == run_id)
    files = read_files([each.path for each in run.reports], [])
    return SimpleNamespace(**review_dry_run(run, runs, files).facts)


def verdicts(found: Any) -> dict[tuple[str, str], str]:
    return {(row.entity, row.action): row.verdict for row in found.happened.itertuples()}


def csv_pair(folder: Path, live: dict[str, Any]) -> list[Path]:
    """Write a dry run's report and that of the live run after it."""
    dry = csv_report(DRY, dry=True)
    dry |= {"startedAt": "2026-11-22T17:18:35.961Z", "completedAt": "2026-11-22T17:18:36.213Z"}
    return [
        put(folder / "migration-dry-run-full.json", dry), put(folder / "migration-live-full.json", live),
    ]  # fmt: skip


def test_counts_samples_and_no_warning(tmp_path: Path, runs_of: Any) -> None:
    found = reviewed(runs_of(csv_pair(tmp_path, csv_report())), DRY)
    would = found.would.set_index("entity")
    assert would.loc["Member"].to_dict() == {
        "would_create": 3, "would_update": 0, "would_skip": 0, "errors": 0, "fetched": 3,
    }  # fmt: skip
    assert list(found.samples["wa_id"]) == ["WA001", "WA002", "WA003", "EVT001", "REG0001"]
    assert found.samples["record"][0]["email"] == "hiro1@example.com"
    assert (found.open, found.different, found.before) == (0, 0, None)
    assert found.live is not None
    assert found.live == LIVE
    assert set(verdicts(found).values()) == {SAME}


def test_a_registration_that_was_there_is_an_innocent_difference(tmp_path: Path, runs_of: Any) -> None:
    live = csv_report()
    live["registrations"]["records"][0]["_action"] = "update"
    live["registrations"] |= {"created": 0, "updated": 1}
    live["summary"] |= {"created": 4, "updated": 1}
    found = reviewed(runs_of(csv_pair(tmp_path, live)), DRY)
    assert (
        verdicts(found)["Registration", "created"] == verdicts(found)["Registration", "updated"] == INNOCENT
    )
    assert found.different == 0
    assert "does not look up" in " ".join(found.happened["why"])


def test_another_number_of_members_is_not_innocent(tmp_path: Path, runs_of: Any) -> None:
    found = reviewed(runs_of(csv_pair(tmp_path, csv_report(members=[member(1), member(2)]))), DRY)
    assert verdicts(found)["Member", "created"] == DIFFERENT
    assert found.different == 1
    assert "the source had 3 members then, and 2 in the live run" in " ".join(found.happened["why"])


def test_a_member_that_was_there_is_not_innocent(tmp_path: Path, runs_of: Any) -> None:
    live = csv_report(members=[member(1, "update"), member(2), member(3)])
    found = reviewed(runs_of(csv_pair(tmp_path, live)), DRY)
    assert verdicts(found)["Member", "created"] == verdicts(found)["Member", "updated"] == DIFFERENT


def test_fewer_registrations_are_not_innocent(tmp_path: Path, runs_of: Any) -> None:
    live = csv_report()
    live["registrations"] |= {"created": 0, "errors": 1}
    live["summary"] |= {"created": 4, "errors": 1}
    live["registrations"]["records"][0] |= {
        "_action": "skip",
        "_murmurantId": None,
        "_errors": ["Member not found"],
    }
    found = reviewed(runs_of(csv_pair(tmp_path, live)), DRY)
    assert verdicts(found) == {
        ("Member", "created"): SAME, ("Event", "created"): SAME, ("Registration", "created"): DIFFERENT,
        ("Registration", "errors"): DIFFERENT,
    }  # fmt: skip


def test_registrations_that_a_sync_does_not_fetch_are_innocent(tmp_path: Path, runs_of: Any) -> None:
    paths = [put(tmp_path / "dry.json", api_dry()), put(tmp_path / "live.json", api_report())]
    found = reviewed(runs_of(paths), API_DRY)
    assert verdicts(found)["Registration", "created"] == INNOCENT
    assert found.different == 0
    # That it fetched 3 contacts where 60 are mapped is no innocent thing; events that only the live run makes are.
    assert dict(zip(found.warnings["what"], found.warnings["innocent"], strict=True)) == {
        "ending": False,
        "skipped": True,
    }
    mapped = api_dry()
    mapped["registrationDiagnostics"]["topSkipReasons"] = []
    paths = [put(tmp_path / "dry.json", mapped), paths[1]]
    assert verdicts(reviewed(runs_of(paths), API_DRY))["Registration", "created"] == DIFFERENT


def test_warnings(tmp_path: Path, runs_of: Any) -> None:
    people = [member(1), member(2, "skip", _murmurantId=None, _errors=["Missing firstName"])]
    dry = csv_report(DRY, dry=False, members=people) | {"dryRun": True}
    dry["events"]["records"][0]["endTime"] = "2025-01-09T18:00:00.000Z"
    found = reviewed(runs_of([put(tmp_path / "dry.json", dry)]), DRY)
    said = [(row.what, row.says.removeprefix("dry.json: ")) for row in found.warnings.itertuples()]
    assert said == [
        ("errors", "members that could not be read"),
        ("errors", "member WA002: Missing firstName"),
        ("timestamps-valid", "Event EVT001, endTime: it is before startTime"),
    ]
    assert found.open == 3
    assert found.live is None
    assert found.happened.empty


def test_what_is_not_as_expected_is_open(tmp_path: Path, runs_of: Any) -> None:
    runs = runs_of(csv_pair(tmp_path, csv_report()))
    run = next(each for each in runs if each.run == DRY)
    files = read_files([each.path for each in run.reports], [])
    assert review_dry_run(run, runs, files, expected={"members": 3, "events": 1}).facts["open"] == 0
    found = SimpleNamespace(**review_dry_run(run, runs, files, expected={"members": 2000, "events": 1}).facts)
    assert [(row.what, "2,000 members" in row.says) for row in found.warnings.itertuples()] == [
        ("expected", True)
    ]
    assert found.open == 1


def test_the_dry_run_before(tmp_path: Path, runs_of: Any) -> None:
    early = "0b51d323-25d1-42c6-bcaa-bf662acb9aa0"
    before = csv_report(early, dry=True, members=[member(1)])
    before |= {"startedAt": "2026-11-20T17:18:35.961Z", "completedAt": "2026-11-20T17:18:36.213Z"}
    paths = [put(tmp_path / "early.json", before), *csv_pair(tmp_path, csv_report())]
    runs = runs_of(paths)
    found = reviewed(runs, DRY)
    assert found.before is not None
    assert found.before == early
    rows = {
        (row.entity, row.action): (row.before, row.now, row.difference) for row in found.since.itertuples()
    }
    assert rows["Member", "created"] == (1, 3, 2)
    assert reviewed(runs, early).live is None  # another dry run came between it and the live run


@pytest.mark.recordings
def test_the_recordings(recordings: Path, server: Any) -> None:
    from tests.recorded import STATES, load

    def runs(state: str, *folders: Path) -> list[Run]:
        template = server.template(f"recorded-{state}", lambda connection: load(connection, STATES[state]))
        with database_at(server.url(server.create(template))).reading() as connection:
            return find_runs(connection, read_schema(raw(connection), "public"), read_reports(folders))

    api = runs("api_second", recordings / "api_sync")
    found = reviewed(api, "sync_1795367838359_u3b25u")
    assert found.live is not None
    assert found.live == "sync_1795367840787_f3yhlg"
    assert verdicts(found) == {
        ("Member", "created"): SAME, ("Event", "created"): SAME, ("Registration", "created"): INNOCENT,
    }  # fmt: skip
    assert (found.open, found.different) == (0, 0)
    for name, dry, differs in (
        ("run1", "0b51d323-25d1-42c6-bcaa-bf662acb9aa9", set()),
        ("run2", None, {("Registration", "created"), ("Registration", "updated")}),
    ):
        found_runs = runs("csv_run2", recordings / "csv_import" / name / "reports")
        run_id = dry or next(each.run for each in found_runs if each.mode == "dry")
        found = reviewed(found_runs, run_id)
        assert {key for key, verdict in verdicts(found).items() if verdict == INNOCENT} == differs
        assert found.different == 0
        assert found.live is not None
    said = " ".join(found.warnings["says"])
    assert "member WA999: Missing firstName" in said
    assert "registration REG0224: Member not found: WA777" in said
    assert "Event EVT001, endTime: it is before startTime" in said


def test_what_was_written_meanwhile_is_counted(club: Any) -> None:
    from workbench.migration.running import transaction_mark, written_since

    database = database_at(club.url)
    with database.reading() as connection:
        schema, since = read_schema(raw(connection), "public"), transaction_mark(connection)
    with database.reading() as connection:
        assert written_since(connection, schema, since) == {}
    with psycopg.connect(club.url) as connection:
        connection.execute(
            """UPDATE "Member" SET "firstName" = 'x' WHERE id IN (SELECT id FROM "Member" LIMIT 3)"""
        )  # type: ignore[unused-ignore]
        connection.execute("""DELETE FROM "WaIdMapping" WHERE false""")
    with database.reading() as connection:
        assert written_since(connection, schema, since) == {"Member": 3}
