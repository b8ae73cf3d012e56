"""The report of a plan reads as well for a merge: what moves, whose values stay, the proof, and nothing of a rollback."""

from __future__ import annotations

from tests.conftest import Ground
from tests.planting import Planter
from workbench.reporting.plans import plan_sentence


def test_it_shows_the_merge_and_its_proof(application: Ground) -> None:
    with Planter(application) as planter:
        canonical = planter.member(email="ann.lee@example.org", updatedAt="2026-01-01")
        duplicate = planter.member(email="annlee@example.org", updatedAt="2026-02-01")
        event = planter.event()
        for who in (canonical, duplicate):
            planter.registration(who, event)
    wb = application.open(unmask=False)
    plan = wb.duplicates.plan_merges([(canonical, [duplicate], "the same person")], rules={"email": "newest"})
    review = wb.report.review(plan.id)
    assert all(finding.status == "pass" for finding in review.findings)
    sentence = plan_sentence(plan)
    assert [words for words in ("the same person", "1 registration") if words not in sentence] == []
    summary, proof, rows = (repr(review.answer.only(part)) for part in ("plan", "conservation", "rows"))
    assert "fields email=newest" in summary
    assert "{" not in summary  # nothing of a data structure
    assert "EventRegistration" in proof
    assert "further along" in proof
    assert "email" in rows
    assert "annlee" not in rows
