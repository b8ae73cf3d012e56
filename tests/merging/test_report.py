"""The report of a plan reads as well for a merge: what moves, whose values stay, the proof, and nothing of a rollback."""

from __future__ import annotations

from tests.conftest import Ground
from tests.planting import Planter
from workbench.reporting.plans import plan_sentence


def test_it_tells_the_merge_and_its_proof(application: Ground) -> None:
    with Planter(application) as planter:
        canonical = planter.member(email="ann.lee@example.org", updatedAt="2026-01-01")
        duplicate = planter.member(email="annlee@example.org", updatedAt="2026-02-01")
        event = planter.event()
        for who in (canonical, duplicate):
            planter.registration(who, event)
        planter.row("PaymentMethod", memberId=duplicate)
    wb = application.open(unmask=False)
    plan = wb.duplicates.plan_merges([(canonical, [duplicate], "the same person")], rules={"email": "newest"})
    review = wb.report.review(plan.id)
    assert all(each.status == "pass" for each in review.findings)
    sentence = plan_sentence(plan)
    assert sentence.startswith("Merges 1 duplicate member")
    assert "the same person" in sentence
    assert "1 registration" in sentence
    summary = repr(review.answer.only("plan"))
    assert "fields email=newest" in summary
    assert "{" not in summary  # nothing of a data structure
    proof = repr(review.answer.only("conservation"))
    assert "EventRegistration" in proof
    assert "further along" in proof
    values = repr(review.answer.only("rows"))
    assert "annlee@" not in values
    assert "email" in values
    assert canonical in proof or duplicate not in proof
