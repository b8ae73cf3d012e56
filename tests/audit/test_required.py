"""Guide §5.1: which entries and which metadata are missing, and for which run; both ways, in both dialects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.audit.conftest import log
from tests.conftest import Ground
from workbench.checks import Finding, look
from workbench.plans.plan import Plan

REQUIRED_METADATA = {  # the table of guide §5.1, and what the workbench writes besides
    "migration:started": ("run_id", "mode", "operator"),
    "migration:completed": ("run_id", "counts", "duration"),
    "migration:failed": ("run_id", "error", "last_batch"),
    "migration:rollback:level1": ("run_id", "records_affected"),
    "migration:rollback:level2": ("backup_file", "restore_time"),
    "migration:mapping:corrected": ("waId", "oldMurmurantId", "newMurmurantId"),
    "migration:policy:corrected": ("rule", "records_affected", "rules_sha256"),
    "migration:bundle:sealed": ("run_id", "bundle", "bundle_sha256", "operator"),
    "migration:dry-run:reviewed": ("run_id", "dry_run", "content_sha256", "operator"),
}

Clock = Callable[[datetime], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Set the check's clock; at first soon after the club's imports."""

    def turn(now: datetime) -> None:
        monkeypatch.setattr(look, "_now", lambda: now.replace(tzinfo=None))

    turn(datetime(2026, 12, 1, tzinfo=UTC))
    return turn


def finding_of(ground: Ground, name: str, sample: int = 20) -> Finding:
    (finding,) = ground.wb.check([name], sample=sample).findings
    return finding


def test_every_required_key_is_missed(ground: Ground) -> None:
    assert finding_of(ground, "audit-metadata").status == "pass"
    lacking = {}
    for action, keys in REQUIRED_METADATA.items():
        whole = {key: f"{key} of it" for key in keys}
        log(ground, action, **whole)
        for number, key in enumerate(keys):  # empty, or not there
            facts = {**whole, key: ""} if number else {name: whole[name] for name in keys if name != key}
            lacking[log(ground, action, **facts)] = (action, key)
        lacking[log(ground, action)] = (action, ", ".join(keys))
    finding = finding_of(ground, "audit-metadata", 1000)
    assert finding.status == "fail"
    assert {row.key: (row.action, row.lacks) for row in finding.rows.itertuples()} == lacking
    runs = {row.run for row in finding.rows.itertuples() if row.lacks == "counts"}
    assert runs == {"run_id of it"}


def test_a_run_that_logged_nothing_is_named(ground: Ground, clock: Clock) -> None:
    """As the API sync does when its audit writes fail and are swallowed, and the guide's importer never should."""
    assert finding_of(ground, "audit-entries").status == "pass"
    with_entries = [
        run for run in ground.wb.session.find_runs() if run.mode == "live" and run.importer != "csv"
    ]
    run = with_entries[-1].run
    ground.execute(
        """DELETE FROM "AuditLog" WHERE coalesce(metadata ->> 'run_id', metadata ->> 'syncRunId') = %s""", run
    )
    finding = finding_of(ground, "audit-entries")
    assert finding.status == "fail"
    assert {row.key for row in finding.rows.itertuples()} == {run}
    expected = {"guide": ["migration:completed", "migration:started"], "application": ["CREATE, UPDATE"]}
    assert list(finding.rows["action"]) == expected[ground.club.dialect]
    clock(datetime(2031, 7, 1, tzinfo=UTC))
    assert finding_of(ground, "audit-entries").status == "pass", (
        "the guide keeps entries for two years (§5.3)"
    )


@pytest.mark.parametrize("dialect", ["guide"])
def test_the_one_entry_that_is_missing_is_named(ground: Ground, clock: Clock) -> None:
    first, second = [run.run for run in ground.wb.session.find_runs() if run.mode == "live"][-2:]
    lost = [(first, "migration:started"), (second, "migration:completed")]
    for run, action in lost:
        ground.execute(
            """DELETE FROM "AuditLog" WHERE metadata ->> 'run_id' = %s AND action = %s""", run, action
        )
    finding = finding_of(ground, "audit-entries")
    assert sorted((row.key, row.action) for row in finding.rows.itertuples()) == sorted(lost)


def test_a_plan_that_was_applied_and_is_not_logged_is_named(ground: Ground) -> None:
    run = [run for run in ground.wb.session.find_runs() if run.mode == "live"][-1].run
    plan = ground.wb.runs.plan_rollback(run, min_evidence="weak")
    assert isinstance(plan, Plan)
    ground.carry_out(plan)
    for name in ("audit-entries", "audit-metadata"):
        assert finding_of(ground, name).status == "pass", name
    ground.execute("""DELETE FROM "AuditLog" WHERE metadata ->> 'digest' = %s""", plan.digest)
    finding = finding_of(ground, "audit-entries")
    assert [(row.key, row.action) for row in finding.rows.itertuples()] == [
        (plan.id, "migration:rollback:level1")
    ]
    assert "dana applied it" in finding.rows["why"][0]
