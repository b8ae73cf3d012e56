"""What a reviewer is shown: counts, samples, warnings, the dry run before, and what really happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bundles.conftest import DRY, LIVE, api_report, csv_report, member, put
from tests.conftest import database_at
from tests.dry_runs.conftest import API_DRY, api_dry
from workbench.database.connection import raw
from workbench.migration.review import DIFFERENT, INNOCENT, SAME, review_dry_run
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import read_reports
from workbench.murmurant.schema import read_schema
from workbench.runs.discovery import find_runs


@pytest.fixture
def runs_of(clubs: Any) -> Any:
    """Judge the runs of some report files, on a club that knows none of them."""
    club = clubs.clone("guide", 60)

    def find(*paths: Path) -> list[Run]:
        with club.workbench(import_reports=()) as wb, wb.session.reading() as connection:
            return [
                run for run in find_runs(connection, wb.session.schema, read_reports(paths)) if run.reports
            ]

    return find


def reviewed(runs: Sequence[Run], run_id: str) -> Any:
    run = next(run for run in runs if run.run == run_id)
    return SimpleNamespace(**review_dry_run(run, runs).facts)


def verdicts(review: Any) -> dict[tuple[str, str], str]:
    return {(row.entity, row.action): row.verdict for row in review.happened.itertuples()}


def csv_pair(folder: Path, live: dict[str, Any]) -> list[Path]:
    """Write a dry run's report and that of the live run after it."""
    dry = csv_report(DRY, dry=True)
    dry |= {"startedAt": "2026-11-22T17:18:35.961Z", "completedAt": "2026-11-22T17:18:36.213Z"}
    return [
        put(folder / "migration-dry-run-full.json", dry), put(folder / "migration-live-full.json", live),
    ]  # fmt: skip


def test_counts_samples_and_no_warning(tmp_path: Path, runs_of: Any) -> None:
    review = reviewed(runs_of(*csv_pair(tmp_path, csv_report())), DRY)
    would = review.would.set_index("entity")
    assert would.loc["Member"].to_dict() == {
        "would_create": 3, "would_update": 0, "would_skip": 0, "errors": 0, "fetched": 3,
    }  # fmt: skip
    assert list(review.samples["wa_id"]) == ["WA001", "WA002", "WA003", "EVT001", "REG0001"]
    assert review.samples["record"][0]["email"] == "hiro1@example.com"
    assert (review.open, review.different, review.before) == (0, 0, None)
    assert review.live == LIVE
    assert set(verdicts(review).values()) == {SAME}


def live_run(what: str) -> dict[str, Any]:
    """Return the report of a live run that differs from its dry run."""
    if what == "a registration was there":
        live = csv_report()
        live["registrations"]["records"][0]["_action"] = "update"
        live["registrations"] |= {"created": 0, "updated": 1}
        live["summary"] |= {"created": 4, "updated": 1}
    elif what == "a registration failed":
        live = csv_report()
        live["registrations"] |= {"created": 0, "errors": 1}
        live["summary"] |= {"created": 4, "errors": 1}
        failed = {"_action": "skip", "_murmurantId": None, "_errors": ["Member not found"]}
        live["registrations"]["records"][0] |= failed
    elif what == "a member was there":
        live = csv_report(members=[member(1, "update"), member(2), member(3)])
    else:
        live = csv_report(members=[member(1), member(2)])
    return live


@pytest.mark.parametrize(
    ("what", "verdict", "differing"),
    [
        ("a registration was there", INNOCENT, {("Registration", "created"), ("Registration", "updated")}),
        ("a registration failed", DIFFERENT, {("Registration", "created"), ("Registration", "errors")}),
        ("a member was there", DIFFERENT, {("Member", "created"), ("Member", "updated")}),
        ("a member was missing", DIFFERENT, {("Member", "created")}),
    ],
)
def test_what_really_happened_differs(
    what: str, verdict: str, differing: set[tuple[str, str]], tmp_path: Path, runs_of: Any
) -> None:
    review = reviewed(runs_of(*csv_pair(tmp_path, live_run(what))), DRY)
    assert {key for key, kind in verdicts(review).items() if kind != SAME} == differing
    assert {verdicts(review)[key] for key in differing} == {verdict}
    assert review.different == (0 if verdict == INNOCENT else len(differing))


def test_registrations_that_a_sync_does_not_fetch_are_innocent(tmp_path: Path, runs_of: Any) -> None:
    paths = [put(tmp_path / "dry.json", api_dry()), put(tmp_path / "live.json", api_report())]
    review = reviewed(runs_of(*paths), API_DRY)
    assert verdicts(review)["Registration", "created"] == INNOCENT
    assert review.different == 0
    # That it fetched 3 contacts where 60 are mapped is no innocent thing; events that only the live run makes are.
    assert dict(zip(review.warnings["what"], review.warnings["innocent"], strict=True)) == {
        "ending": False,
        "skipped": True,
    }
    mapped = api_dry()
    mapped["registrationDiagnostics"]["topSkipReasons"] = []
    paths = [put(tmp_path / "dry.json", mapped), paths[1]]
    assert verdicts(reviewed(runs_of(*paths), API_DRY))["Registration", "created"] == DIFFERENT


def test_warnings(tmp_path: Path, runs_of: Any) -> None:
    people = [member(1), member(2, "skip", _murmurantId=None, _errors=["Missing firstName"])]
    dry = csv_report(DRY, dry=False, members=people) | {"dryRun": True}
    dry["events"]["records"][0]["endTime"] = "2025-01-09T18:00:00.000Z"
    review = reviewed(runs_of(put(tmp_path / "dry.json", dry)), DRY)
    said = [(row.what, row.says.removeprefix("dry.json: ")) for row in review.warnings.itertuples()]
    assert said == [
        ("errors", "members that could not be read"),
        ("errors", "member WA002: Missing firstName"),
        ("timestamps-valid", "Event EVT001, endTime: it is before startTime"),
    ]
    assert review.open == 3
    assert review.live is None
    assert review.happened.empty


def test_what_is_not_as_expected_is_open(tmp_path: Path, runs_of: Any) -> None:
    runs = runs_of(*csv_pair(tmp_path, csv_report()))
    run = next(run for run in runs if run.run == DRY)
    for members, count in ((3, 0), (2000, 1)):
        facts = review_dry_run(run, runs, expected={"members": members, "events": 1}).facts
        assert (list(facts["warnings"]["what"]), facts["open"]) == (["expected"] * count, count)


def test_the_dry_run_before(tmp_path: Path, runs_of: Any) -> None:
    early = "0b51d323-25d1-42c6-bcaa-bf662acb9aa0"
    before = csv_report(early, dry=True, members=[member(1)])
    before |= {"startedAt": "2026-11-20T17:18:35.961Z", "completedAt": "2026-11-20T17:18:36.213Z"}
    paths = [put(tmp_path / "early.json", before), *csv_pair(tmp_path, csv_report())]
    runs = runs_of(*paths)
    review = reviewed(runs, DRY)
    assert review.before == early
    rows = {
        (row.entity, row.action): (row.before, row.now, row.difference) for row in review.since.itertuples()
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
    review = reviewed(api, "sync_1795367838359_u3b25u")
    assert review.live == "sync_1795367840787_f3yhlg"
    assert verdicts(review) == {
        ("Member", "created"): SAME, ("Event", "created"): SAME, ("Registration", "created"): INNOCENT,
    }  # fmt: skip
    assert (review.open, review.different) == (0, 0)
    for name, differing in (
        ("run1", set()),
        ("run2", {("Registration", "created"), ("Registration", "updated")}),
    ):
        csv = runs("csv_run2", recordings / "csv_import" / name / "reports")
        review = reviewed(csv, next(run.run for run in csv if run.mode == "dry"))
        assert {key for key, verdict in verdicts(review).items() if verdict == INNOCENT} == differing
        assert (review.different, review.live is None) == (0, False)
    said = " ".join(review.warnings["says"])
    assert "member WA999: Missing firstName" in said
    assert "registration REG0224: Member not found: WA777" in said
    assert "Event EVT001, endTime: it is before startTime" in said
