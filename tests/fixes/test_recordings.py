"""On the recordings of the real importers: the second run rolled back is the first state, row for row."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import LOG, Server, Target, carry_out, database_at
from tests.recorded import STATES, load
from tests.states import differences
from workbench.database.embedded import client_tools
from workbench.murmurant.reports import read_reports
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

RUNS = {
    "api": ("api_first", "api_second", "api_sync/second_run_report.json"),
    "csv": ("csv_run1", "csv_run2", "csv_import/run2/reports/migration-live-*-full.json"),
}
EXPECTED = {
    "api": {
        "EventRegistration": {"delete": 146, "update": 232},
        "WaIdMapping": {"delete": 180, "update": 160},
        "Member": {"delete": 32, "update": 20},
        "Event": {"update": 5},
        "WaSyncState": {"update": 1},
    },
    "csv": {"EventRegistration": {"delete": 5, "update": 218}, "Member": {"delete": 11, "update": 60}},
}


@pytest.mark.parametrize("importer", sorted(RUNS))
def test_the_second_run_rolled_back_is_the_first_state(
    server: Server, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importer: str
) -> None:
    first, second, report = RUNS[importer]
    urls = [server.url(server.create()) for _ in range(2)]
    for url, name in zip(urls, (first, second), strict=True):
        with psycopg.connect(url) as connection:
            load(connection, STATES[name])
    before, live = (Target(url, tmp_path) for url in urls)
    states = [each.state(LOG) for each in (before, live)]
    snapshot = before.dump()
    (path,) = recordings.glob(report)
    plain = tmp_path / "first.sql"
    subprocess.run([client_tools() / "pg_dump", f"--file={plain}", urls[0]], check=True)
    monkeypatch.setenv("FIRST_URL", urls[0])
    environments = {"first": EnvironmentSettings(kind="development", url_env="FIRST_URL")}
    wb = Workbench(
        Session(
            database_at(urls[1]),
            EnvironmentSettings(kind="development"),
            Settings(
                operator="dana", home=tmp_path, scratch_url_env="SCRATCH_URL", environments=environments
            ),
            read_reports([path]),
        )
    )
    run = json.loads(path.read_text(encoding="utf-8"))["runId"]
    plan = wb.runs.plan_rollback(run, snapshot=snapshot)
    assert isinstance(plan, Plan)
    assert plan.changes == EXPECTED[importer]
    assert not plan.conflicts
    assert not plan.unresolved
    for same in (wb.runs.plan_rollback(run, snapshot=plain), wb.runs.plan_rollback(run, before="first")):
        assert isinstance(same, Plan)  # all but the header, which says what it rests on
        assert same.path.read_text().split("\n", 1)[1] == plan.path.read_text().split("\n", 1)[1]
    carry_out(wb, plan)
    assert not differences(states[0], live.state(LOG))
    carry_out(wb, wb.plans.plan_undo(plan.id))
    assert not differences(states[1], live.state(LOG))


def test_members_who_were_there_before_are_kept_though_the_run_mapped_them(
    server: Server, recordings: Path, tmp_path: Path
) -> None:
    """The guide's own SQL would delete these two."""
    url = server.url(server.create())
    with psycopg.connect(url) as connection:
        load(connection, STATES["api_second"])
    (path,) = recordings.glob(RUNS["api"][2])
    wb = Workbench(
        Session(
            database_at(url),
            EnvironmentSettings(kind="development"),
            Settings(operator="dana", home=tmp_path),
            read_reports([path]),
        )
    )
    plan = wb.runs.plan_rollback(json.loads(path.read_text(encoding="utf-8"))["runId"])
    assert isinstance(plan, Plan)
    said = " ".join(str(each["reason"]) for each in plan.kept)
    assert "60002" in said
    assert "60006" in said
