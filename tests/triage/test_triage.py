"""A triage on real clubs: what is planted is named, the way is right, the figures are the plan's own."""

from __future__ import annotations

import json
from datetime import UTC, timedelta

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.imports import IMPORTERS, import_run
from workbench.errors import UsageError
from workbench.snapshots.manifest import Verification

# Each in one dialect: what differs between them is proved check by check elsewhere.
PLANTED = [
    ("application", "members-missing", "§1.1", "re-run"),
    ("application", "all-prospect", "§1.3", "targeted"),
    ("application", "duplicate-members", "§1.4", "level 1"),
    ("guide", "over-capacity-limit", "§1.5", None),
    ("application", "wrong-environment", "§1.6", "level 1"),
]


@pytest.mark.parametrize(("dialect", "breakage", "section", "way"), PLANTED)
def test_what_is_planted_is_named_and_answered(clubs, dialect, breakage, section, way) -> None:
    club = clubs.clone(dialect)
    club.breaks(breakage)
    with club.workbench() as wb:
        answer = wb.triage()
    states = {mode["guide"]: mode["state"] for mode in answer.facts["modes"]}
    shown = {guide: state for guide, state in states.items() if state in ("present", "suspected")}
    assert shown == {section: "present"}
    assert (answer.facts["recommended"], answer.code) == (way, 1)
    assert [row["way"] for row in answer.facts["ways"] if row["recommended"]] == [way] * bool(way)


def test_a_healthy_club_needs_nothing_and_nothing_is_written(club) -> None:
    before, steps = club.state(), list[tuple[int, int]]()
    with club.workbench() as wb:
        answer = wb.triage(advance=lambda _, done, total: steps.append((done, total)))
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4)], "whoever waits sees how far it is"
    assert (answer.facts["recommended"], answer.code) == ("level 0", 0)
    assert set(answer.tables.modes["state"]) == {"absent"}
    assert club.state() == before
    assert not (club.folder / "home").exists()


def test_the_run_asked_about_is_the_one_that_is_measured(application) -> None:
    with application.workbench() as wb:
        runs = wb.session.find_runs()
        live = [run for run in runs if run.mode == "live"][-1]
        dry = next(run for run in runs if run.mode == "dry")
        asked, rehearsed = wb.triage(live.run), wb.triage(dry.run)
        plan = wb.runs.plan_rollback(live.run)
        with pytest.raises(UsageError, match="no run"):
            wb.triage("sync_0")
    level_1 = asked.tables.ways.set_index("way").loc["level 1"]
    assert (asked.facts["asked"], asked.facts["run"]) == (True, live.run)
    assert (level_1["rows_reverted"], level_1["work_lost"]) == (plan.total, 0)
    assert rehearsed.facts["recommended"] == "level 0"
    assert not rehearsed.tables.ways.set_index("way").loc["level 1", "possible"]


def test_the_command_says_it(guide, at) -> None:
    guide.breaks("swapped-mappings")
    run = at(guide)
    done = run("triage")
    assert done.returncode == 1
    assert "Recommended: targeted" in done.stdout
    assert "workbench plan mapping --from corrections.csv --move-records -e club" in done.stdout
    facts = json.loads(run("triage", "--json").stdout)
    assert facts["recommended"] == "targeted"
    assert {way["way"] for way in facts["ways"]} == {"level 0", "re-run", "level 1", "targeted", "level 2"}
    assert {mode["guide"] for mode in facts["modes"] if mode["state"] != "absent"} == {"§1.2"}


def test_a_proved_snapshot_from_before_the_run_is_measured(application) -> None:
    club = application

    def level_2(run: str):
        with club.workbench() as wb:
            return next(way for way in wb.triage(run).facts["ways"] if way["way"] == "level 2")

    with club.workbench() as wb:
        taken = wb.snapshots.create()
        earlier = [run for run in wb.session.find_runs() if run.mode == "live"][-1]
    with club.connect() as connection:
        imported = import_run(connection, club.club, IMPORTERS[club.club.dialect][0], seed=3, updates=2)
    with club.workbench() as wb:
        started = next(run.started for run in wb.session.find_runs() if run.run == imported.run)
    # The demo's runs lie in a past of their own.
    before = (started - timedelta(hours=1)).replace(tzinfo=UTC)
    aged = taken.model_copy(update={"created_at": before}).write(taken.path)
    untouched = """SELECT id FROM "Member" WHERE id::text <> ALL (%s) ORDER BY id LIMIT 3"""
    touched = [key for _, key in imported.updated] + [
        key for keys in imported.created.values() for key in keys
    ]
    club.execute(f"""UPDATE "Member" SET "firstName" = 'Ann' WHERE id IN ({untouched})""", touched)
    unproved = level_2(imported.run)
    proof = Verification(
        at=before, by="dana", outcome="pass", detail="all equal", seconds=90.0, where="scratch"
    )
    aged.with_verification(proof).write(aged.path)
    proved = level_2(imported.run)
    assert not level_2(earlier.run)["possible"]  # it holds what that run did
    assert not unproved["possible"]
    assert f"snapshot verify {taken.snapshot}" in unproved["notes"]
    assert proved["possible"]
    assert (proved["work_lost"], proved["minutes"]) == (3, 2), proved["notes"]
    assert proved["rows_reverted"] >= sum(map(len, imported.created.values()))
    assert proved["commands"] == f"workbench snapshot restore {taken.snapshot}"
