"""Approval: no plan is applied but the one that a named person read, once, and while the consent holds."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.plans.conftest import Ground
from workbench.errors import Refused, WorkbenchError
from workbench.plans.plan import Plan

PRODUCTION: dict[str, Any] = {"kind": "production", "name": "live"}


def beside(plan: Plan) -> Path:
    return plan.path.with_name(f"{plan.path.name}.approval.json")


def refused(ground: Ground, plan: Plan, said: str, **where: Any) -> Refused:
    """Return the refusal to apply a plan; nothing may have been changed."""
    before = ground.everything()
    with pytest.raises(Refused, match=said) as caught:
        ground.apply(plan, **where)
    assert caught.value.exit_code == 3
    assert caught.value.next_step
    assert ground.everything() == before
    return caught.value


def test_what_nobody_approved_is_not_applied(guide: Ground) -> None:
    plan = guide.planned()
    said = refused(guide, plan, "Nobody has approved")
    assert f"approve {plan.id} --digest {plan.digest}" in said.next_step
    assert guide.becomes(plan) == "planned"


def test_an_approval_holds_once(guide: Ground) -> None:
    plan = guide.approved()
    assert guide.becomes(plan) == "approved"
    entry = guide.apply(plan)
    assert (entry.applied_by, entry.approved_by) == ("dana", "erin")
    assert guide.becomes(plan) == "applied"
    said = refused(guide, plan, "was applied by dana")
    assert "applied twice" in said.next_step
    with guide.open() as wb:  # nor does it help to approve it again
        wb.plans.approve(plan, plan.digest, approver="frank")
    refused(guide, plan, "was applied by dana")


def test_a_plan_that_was_taken_back_needs_another_approval(guide: Ground) -> None:
    plan = guide.approved()
    guide.apply(plan)
    applied = guide.state()
    undo = guide.undo(plan.id)
    guide.apply(undo)
    assert (guide.becomes(plan), guide.becomes(undo)) == ("undone", "applied")
    refused(guide, plan, "approval of plan .* was used before")
    refused(guide, undo, "was applied by dana")
    with guide.open() as wb:
        wb.plans.approve(plan, plan.digest, approver="frank")
    assert guide.apply(plan).approved_by == "frank"
    assert guide.state() == applied
    assert guide.becomes(plan) == "applied"
    refused(guide, undo, "was applied by dana")  # it took the first one back
    guide.apply(guide.undo(plan.id))
    assert guide.becomes(plan) == "undone"


def test_of_two_undos_of_one_plan_only_the_first_is_applied(guide: Ground) -> None:
    """Also when the database is again as the second one expects it, because the first one was undone."""
    plan = guide.approved()
    guide.apply(plan)
    undos = []
    for operator in ("dana", "robin"):
        with guide.open(operator=operator) as wb:
            undos.append(wb.plans.plan_undo(plan.id))
            wb.plans.approve(undos[-1], undos[-1].digest, approver="erin")
    first, second = undos
    assert first.digest != second.digest
    guide.apply(first)
    refused(guide, second, "is not applied any more")
    guide.apply(guide.undo(first.id))
    refused(guide, second, "is not applied any more")


def test_an_approval_is_not_another_plans(application: Ground) -> None:
    one = application.approved()
    other = application.planned(snapshot=True)
    shutil.copy(beside(one), beside(other))
    refused(application, other, "erin's approval is not for this plan")
    assert application.becomes(other) == "planned"
    number = json.loads(beside(one).read_text())["number"]
    application.apply(one)
    # Not even with the digest changed: the number was used.
    forged = {**json.loads(beside(one).read_text()), "approves": other.digest}
    beside(other).write_text(json.dumps(forged))
    assert application.ask("SELECT approval::text FROM workbench.applied") == [number]
    refused(application, other, "approval of plan .* was used before")


def test_consent_does_not_hold_for_ever(application: Ground) -> None:
    plan = application.planned()
    with application.open(hours=1e-9) as wb:
        wb.plans.approve(plan, plan.digest, approver="erin")
        assert wb.plans.states()["state"].tolist() == ["expired"]
    said = refused(application, plan, "erin's approval of plan .* expired at")
    assert "approve" in said.next_step
    with application.open() as wb:
        wb.plans.approve(plan, plan.digest, approver="erin")
        wb.plans.apply(plan)


def test_a_damaged_approval_is_none(application: Ground) -> None:
    plan = application.approved()
    beside(plan).write_text(beside(plan).read_text()[:60])
    refused(application, plan, "approval.json is no approval")
    other = application.planned(snapshot=True)
    assert {application.becomes(one) for one in (plan, other)} == {"planned"}


def test_on_production_a_second_person_approves_and_types_its_name(guide: Ground) -> None:
    plan = guide.planned(**PRODUCTION)
    with guide.open(**PRODUCTION) as wb:
        with pytest.raises(Refused, match="cannot approve it for production"):
            wb.plans.approve(plan, plan.digest, confirm="live")
        with pytest.raises(Refused, match="name: live"):
            wb.plans.approve(plan, plan.digest, approver="erin")
        assert not beside(plan).exists()
    refused(guide, plan, "Nobody has approved", **PRODUCTION)
    with guide.open(**PRODUCTION) as wb:
        wb.plans.approve(plan, plan.digest, approver="erin", confirm="live")
        entry = wb.plans.apply(plan)
    assert (entry.planned_by, entry.approved_by, entry.environment) == ("dana", "erin", "live")


def test_on_production_an_undo_waits_for_a_second_person_too(application: Ground) -> None:
    plan = application.planned(**PRODUCTION)
    with application.open(**PRODUCTION, operator="erin") as wb:
        wb.plans.approve(plan, plan.digest, confirm="live")
    application.apply(plan, **PRODUCTION)
    with application.open(**PRODUCTION) as wb:
        undo = wb.plans.plan_undo(plan.id)
        with pytest.raises(Refused, match="cannot approve it for production"):
            wb.plans.approve(undo, undo.digest, confirm="live")
    refused(application, undo, "Nobody has approved", **PRODUCTION)


def test_an_approval_says_who_and_when_and_holds_no_secret(application: Ground) -> None:
    plan = application.approved()
    facts = json.loads(beside(plan).read_text())
    names = "number", "approves", "approver", "approved_at", "expires_at"
    assert facts.keys() == {"workbench_approval", *names}
    assert (facts["approver"], facts["approves"]) == ("erin", plan.digest)
    assert datetime.fromisoformat(facts["approved_at"]).utcoffset() == timedelta(0)
    assert {path.name for path in application.plans.iterdir()} == {plan.path.name, beside(plan).name}


def test_an_approval_that_cannot_be_written_is_said_plainly(application: Ground) -> None:
    plan = application.planned()
    (beside(plan) / "in the way").mkdir(parents=True)
    with application.open() as wb, pytest.raises(WorkbenchError, match="could not be written") as caught:
        wb.plans.approve(plan, plan.digest, approver="erin")
    assert caught.value.exit_code == 4
    refused(application, plan, "approval .* cannot be read")
    assert not [path for path in application.plans.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize(
    "change", ["RENAME facts TO entry", "ALTER facts TYPE jsonb USING facts || '{\"version\": 99}'"]
)
def test_a_journal_of_another_version_is_named(guide: Ground, change: str) -> None:
    plan = guide.approved()
    guide.apply(plan)
    guide.execute(f"ALTER TABLE workbench.applied {change}")
    with pytest.raises(WorkbenchError, match="another version"):
        guide.becomes(plan)
