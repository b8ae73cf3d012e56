"""The report of a plan reads as well for a merge: what moves, whose values stay, the proof, and nothing of a rollback."""

from __future__ import annotations

from dataclasses import replace

from tests.conftest import Ground
from tests.planting import Planter
from workbench.reporting.plan_rows import plan_conservation, plan_values
from workbench.reporting.plans import plan_sentence, plan_summary
from workbench.reporting.reviewing import review_plan


def test_it_tells_the_merge_and_its_proof(application: Ground) -> None:
    with Planter(application) as planter:
        canonical = planter.member(email="ann.lee@example.org", updatedAt="2026-01-01")
        duplicate = planter.member(email="annlee@example.org", updatedAt="2026-02-01")
        event = planter.event()
        for who in (canonical, duplicate):
            planter.registration(who, event)
        planter.row("PaymentMethod", memberId=duplicate)
    wb = replace(application.wb, unmask=False)
    plan = wb.duplicates.plan_merges([(canonical, [duplicate], "the same person")], rules={"email": "newest"})
    review = review_plan(wb, plan.id)
    assert all(each.status == "pass" for each in review.findings)
    sentence = plan_sentence(plan)
    assert sentence.startswith("Merges 1 duplicate member")
    assert "the same person" in sentence
    assert "1 registration" in sentence
    summary = plan_summary(review).text
    assert "fields email=newest" in summary
    assert "{" not in summary  # nothing of a data structure
    proof = plan_conservation(review).text
    assert "EventRegistration" in proof
    assert "further along" in proof
    values = plan_values(review).text
    assert "annlee@" not in values
    assert "email" in values
    assert canonical in proof or duplicate not in proof


def test_of_another_kind_it_says_that_nothing_moves(guide: Ground) -> None:
    with Planter(guide) as planter:
        canonical, duplicate = planter.member(), planter.member()
    wb = guide.wb
    guide.carry_out(plan := wb.duplicates.plan_merges([(canonical, [duplicate])]))
    undo = wb.plan_undo(plan.id)
    assert "moves nothing" in plan_conservation(review_plan(wb, undo.id)).text
