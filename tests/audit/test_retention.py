"""Pruning the audit log (guide §5.3): exported first, by a plan, undone whole, and the chain still verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.audit.ground import Ground
from tests.states import differences, state
from workbench import auditing
from workbench.audit import record, verdict_facts
from workbench.cli.output import plain
from workbench.errors import Drift, Refused, UsageError, WorkbenchError
from workbench.plans.plan import Plan

YEARS_LATER = datetime(2031, 7, 1, 9, tzinfo=UTC).replace(tzinfo=None)
"""When everything that these clubs hold, and what a test logs today, is old."""


@pytest.fixture(autouse=True)
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "_now", lambda: YEARS_LATER)


def log(ground: Ground, action: str = "migration:test", **metadata: Any) -> str:
    return record(ground.database, ground.schema, action, metadata, about=str(uuid4()))


def everything(ground: Ground) -> dict[str, list[str]]:
    with ground.connect() as connection:
        return state(connection)


def rows(ground: Ground) -> dict[str, Any]:
    """Return the log by id, each entry as JSON."""
    with ground.connect() as connection:
        return dict(connection.execute('SELECT id::text, row_to_json(t) FROM "AuditLog" t').fetchall())


def last_run(ground: Ground) -> str:
    """Return the last run that left entries in the log."""
    with ground.connect() as connection:
        row = connection.execute(
            """SELECT coalesce(metadata ->> 'run_id', metadata ->> 'syncRunId') AS run FROM "AuditLog"
            WHERE metadata ?| '{run_id,syncRunId}' ORDER BY "createdAt" DESC LIMIT 1"""
        ).fetchone()
    assert row is not None
    return str(row[0])


def of_migrations(ground: Ground) -> set[str]:
    """Return the entries that are of a migration, asked apart from the planner."""
    with ground.connect() as connection:
        found = connection.execute(
            """SELECT id::text FROM "AuditLog" WHERE action::text LIKE 'migration:%'
            OR metadata ->> 'source' IN ('wa_import', 'workbench') OR metadata ?| '{run_id,syncRunId}'"""
        )
        return {entry for (entry,) in found}


def undo(ground: Ground, plan: Plan) -> Plan:
    made = ground.workbench.plan_undo(plan.id)
    ground.carry_out(made)
    return made


def test_what_is_old_is_exported_and_goes_and_comes_back(ground: Ground) -> None:
    chained = [log(ground, n=number) for number in range(3)]
    before, log_before, ours = everything(ground), rows(ground), of_migrations(ground)
    plan = ground.workbench.plan_audit_retention()
    assert everything(ground) == before

    named = plan.header.parameters["export_file"]
    export = ground.workbench.settings.backups / named
    exported = [json.loads(line) for line in export.read_text(encoding="utf-8").splitlines()]
    digest = hashlib.sha256(export.read_bytes()).hexdigest()
    assert digest == plan.header.parameters["export_sha256"]
    assert export.with_name(f"{named}.sha256").read_text() == f"{digest}  {named}\n"
    assert export.stat().st_mode & 0o077 == 0

    ground.carry_out(plan)
    log_after = rows(ground)
    assert set(differences(before, everything(ground))) == {"AuditLog"}
    gone = {entry: told for entry, told in log_before.items() if entry not in log_after}
    assert {each["id"]: each for each in exported} == gone
    assert gone.keys() == ours - {chained[2]}
    assert log_before.keys() - ours <= log_after.keys()
    assert [each["createdAt"] for each in exported] == sorted(each["createdAt"] for each in exported)
    assert set(chained[:2]) <= set(gone)
    assert chained[2] in log_after, "the chain's last entry stays"
    verdict = ground.workbench.audit_verify()
    assert (verdict.status, verdict.breaks, verdict.entries) == ("pass", (), 2)
    assert verdict.pruned is not None
    assert (verdict.pruned.facts["through"], verdict.pruned.facts["export_file"]) == ("2", named)
    (entry,) = ground.workbench.audit(action="migration:audit:pruned")["metadata"]
    assert entry["records_affected"] == len(exported) == plan.changes["AuditLog"]["delete"]

    undone = undo(ground, plan)
    now = rows(ground)
    assert {entry: now[entry] for entry in log_before} == log_before
    assert set(differences(before, everything(ground))) == {"AuditLog"}
    assert sorted(differences(before, everything(ground))["AuditLog"][0]) == []
    verdict = ground.workbench.audit_verify()
    assert (verdict.status, verdict.pruned, verdict.entries) == ("pass", None, 5)

    undo(ground, undone)
    verdict = ground.workbench.audit_verify()
    assert (verdict.status, verdict.entries) == ("pass", 4)
    assert verdict.pruned is not None


def test_an_undone_pruning_does_not_cover_up_a_later_deletion(ground: Ground) -> None:
    chained = [log(ground, n=number) for number in range(3)]
    plan = ground.workbench.plan_audit_retention()
    ground.carry_out(plan)
    undo(ground, plan)
    ground.club.execute("""DELETE FROM "AuditLog" WHERE id::text = ANY(%s)""", chained[:2])
    assert [(each.kind, each.number) for each in ground.workbench.audit_verify().breaks] == [("missing", 1)]


def test_more_is_named_missing_than_was_pruned(ground: Ground) -> None:
    chained = [log(ground, n=number) for number in range(3)]
    ground.carry_out(ground.workbench.plan_audit_retention())
    ground.club.execute("""DELETE FROM "AuditLog" WHERE id::text = %s""", chained[2])
    assert [(each.kind, each.number) for each in ground.workbench.audit_verify().breaks] == [("missing", 1)]


def test_pruned_again_and_again(ground: Ground) -> None:
    for through in ("2", "4"):
        for number in range(2 if through == "4" else 3):
            log(ground, n=number)
        ground.carry_out(ground.workbench.plan_audit_retention())
        verdict = ground.workbench.audit_verify()
        assert verdict.status == "pass"
        assert verdict.pruned is not None
        assert int(verdict.pruned.facts["through"]) >= int(through)
    assert all(
        each.status in {"pass", "not run"}
        for each in ground.workbench.checks(["audit-chain", "audit-entries"])
    )


def test_a_noted_end_outlives_a_pruning_as_long_as_it_can(ground: Ground, tmp_path: Any) -> None:
    for number in range(3):
        log(ground, n=number)
    noted = tmp_path / "noted.json"
    noted.write_text(json.dumps(plain(verdict_facts(ground.workbench.audit_verify()))))
    ground.carry_out(ground.workbench.plan_audit_retention())
    assert ground.workbench.audit_verify(noted).status == "pass"
    for number in range(3):
        log(ground, n=number)
    ground.carry_out(ground.workbench.plan_audit_retention())
    verdict = ground.workbench.audit_verify(noted)
    assert (verdict.status, verdict.breaks) == ("not run", ())
    assert "was pruned" in verdict.open[0]


def test_a_story_goes_whole_or_not_at_all(ground: Ground) -> None:
    """A run of which somebody logged something lately keeps its entries; people's own entries are not ours."""
    run = last_run(ground)
    of_the_run = {entry for entry, told in rows(ground).items() if run in str(told["metadata"])}
    with ground.connect() as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(
            """UPDATE "AuditLog" SET "createdAt" = '2030-05-01' WHERE id::text = %s""",
            [sorted(of_the_run)[0]],
        )
    plan = ground.workbench.plan_audit_retention()
    kept = {each["key"]: each["reason"] for each in plan.kept}
    assert set(kept) == of_the_run - {sorted(of_the_run)[0]}
    assert set(kept.values()) == {f"run {run} was logged about until 2030-05-01"}
    ground.carry_out(plan)
    assert of_the_run <= rows(ground).keys()


def test_a_story_that_the_chain_holds_stays_whole(ground: Ground) -> None:
    run = last_run(ground)
    rollback = log(ground, "migration:rollback:level1", run_id=run, records_affected=0)
    plan = ground.workbench.plan_audit_retention()
    reasons = {each["key"]: each["reason"] for each in plan.kept}
    assert reasons.pop(rollback) == "entry 1 stands in the chain behind one that stays"
    assert set(reasons.values()) == {f"another entry of run {run} stays in the chain"}
    assert len(reasons) == sum(run in str(told["metadata"]) for told in rows(ground).values()) - 1


def test_same_input_same_bytes(ground: Ground) -> None:
    log(ground)
    log(ground)
    assert (
        ground.workbench.plan_audit_retention().digest
        == ground.workbench.plan_audit_retention("2 years").digest
    )


def test_an_entry_that_changed_since_is_named(ground: Ground) -> None:
    plan = ground.workbench.plan_audit_retention()
    ground.club.execute(
        """UPDATE "AuditLog" SET metadata = metadata || '{"more": 1}' WHERE metadata ?| '{run_id,syncRunId}'"""
    )
    before = everything(ground)
    with pytest.raises(Drift):
        ground.carry_out(plan)
    assert everything(ground) == before


@pytest.mark.parametrize("what", ["gone", "altered"])
def test_without_its_export_nothing_is_pruned(ground: Ground, what: str) -> None:
    plan = ground.workbench.plan_audit_retention()
    export = ground.workbench.settings.backups / plan.header.parameters["export_file"]
    if what == "gone":
        export.unlink()
    else:
        export.write_bytes(export.read_bytes()[:-2] + b" \n")
    before = everything(ground)
    with pytest.raises(Refused, match="is not") as caught:
        ground.carry_out(plan)
    assert caught.value.exit_code == 3
    assert everything(ground) == before
    ground.workbench.plan_audit_retention()
    ground.workbench.apply(plan)


def broken(ground: Ground) -> None:
    log(ground)
    entry = log(ground)
    log(ground)
    ground.club.execute("""DELETE FROM "AuditLog" WHERE id::text = %s""", entry)


@pytest.mark.parametrize(
    ("older_than", "damage", "said", "error"),
    [
        ("23 months", None, "too young to be pruned", Refused),
        ("2029-07-02", None, "too young to be pruned", Refused),
        ("today", None, "too young to be pruned", Refused),
        ("yore", None, "is no moment", UsageError),
        ("1990-01-01", None, "No migration entry from before 1990-01-01", Refused),
        ("2 years", broken, "The audit chain does not hold", Refused),
    ],
)
def test_what_may_not_be_pruned_is_refused(
    ground: Ground,
    older_than: str,
    damage: Callable[[Ground], None] | None,
    said: str,
    error: type[WorkbenchError],
) -> None:
    if damage:
        damage(ground)
    with pytest.raises(error, match=said) as caught:
        ground.workbench.plan_audit_retention(older_than)
    assert caught.value.next_step
    assert not list(ground.workbench.settings.home.rglob("*.plan"))
    assert not list(ground.workbench.settings.backups.rglob("*"))


def test_a_folder_that_may_not_be_written_is_said(ground: Ground) -> None:
    ground.workbench.settings.backups.parent.mkdir(parents=True, exist_ok=True)
    ground.workbench.settings.backups.write_text("a file in its way")
    with pytest.raises(WorkbenchError, match="could not be written"):
        ground.workbench.plan_audit_retention()


def test_two_years_to_the_day_is_old_enough(ground: Ground) -> None:
    assert (
        ground.workbench.plan_audit_retention("2029-07-01").header.parameters["cutoff"]
        == "2029-07-01T00:00:00"
    )


def test_an_entry_written_while_pruning_waits_for_its_place(ground: Ground) -> None:
    """The apply has the table, the other the chain: whoever comes second waits, and neither for the other."""
    log(ground)
    log(ground)
    plan = ground.workbench.plan_audit_retention()
    ground.workbench.approve(plan, plan.digest, approver="robin")
    with ThreadPoolExecutor(2) as pool:
        entry = None

        def meanwhile(what: str, done: int, total: int) -> None:
            nonlocal entry
            if what.startswith("delete"):
                entry = pool.submit(log, ground)
                ground.wait_for_a_lock()

        ground.workbench.apply(plan, meanwhile)
        assert entry is not None
        written = entry.result(10)
    verdict = ground.workbench.audit_verify()
    assert verdict.last is not None
    assert (verdict.status, verdict.last.entry, verdict.last.number) == ("pass", written, 4)
    with psycopg.connect(ground.url) as connection:
        assert connection.execute("SELECT number FROM workbench.audit_head").fetchone() == (4,)
