"""Pairs reviewed by buttons and by keys, merged on a person's word alone, and every refusal in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.conftest import Clubs, Ground, carry_out
from tests.duplicates.conftest import SAME_PERSON
from tests.panels.conftest import choose, field, parts, press, said, settle
from tests.planting import Planter
from workbench.duplicates.pairs import Matches
from workbench.panels.duplicates import DuplicateReview
from workbench.panels.panel import PEOPLE
from workbench.workbench import Workbench

Opened = Callable[..., Workbench]
ADDRESSES = (
    "aurelia.quuxworthy@example.org",
    "aureliaquuxworthy@example.org",
    "aurelia.quuxworthy+a@example.org",
)


@pytest.fixture
def small(clubs: Clubs) -> Ground:
    return clubs.clone("application", 60)


@pytest.fixture
def planter(small: Ground) -> Iterator[Planter]:
    with Planter(small) as planter:
        yield planter


def _twins(planter: Planter, *emails: str) -> list[str]:
    return sorted(planter.member(email=email, **SAME_PERSON) for email in emails)


def _events(planter: Planter, title: str, count: int = 2) -> list[str]:
    """Plant an event several times: comparing events takes no time."""
    start = {planter.schema.resolved["events"].spelling["start"]: "2026-05-01 10:00"}
    return sorted(planter.event(title=title + " " * number, **start) for number in range(count))


def _settled(wb: Workbench, entity: str = "Member") -> DuplicateReview:
    panel = DuplicateReview(wb, [] if entity == "Member" else [Matches("Member")])
    panel.entity.value = entity
    settle(panel)
    return panel


def _gone(panel: DuplicateReview) -> list[str]:
    """Return the records that go by the plan that is reviewed."""
    plan = panel.wb.plans[panel.review.plan]
    gone = [record for merge in plan.parameters["merges"] for record in merge["duplicates"]]
    assert plan.changes["Event"]["delete"] == len(gone)
    return sorted(gone)


def _key(panel: DuplicateReview, key: str, of: str | None = None) -> None:
    """Press a key as the browser tells of it."""
    about = panel.card.keyboard.of if of is None else of
    panel.card.keyboard._handle_custom_msg({"key": key, "about": about}, [])
    settle(panel)


def test_reviewed_merged_and_brought_back(opened: Opened, small: Ground, planter: Planter) -> None:
    left, right = _twins(planter, *ADDRESSES[:2])
    event = planter.event()
    planter.registration(right, event)
    before = small.state()
    panel = _settled(opened(small))
    assert panel.card.pair == f"{left} {right}"
    panel.card.remark.value = "asked robin@example.org"
    press(panel, "Same")
    assert "personal data are not stored" in panel.work.message
    panel.card.remark.value = ""
    assert "0 of 1 reviewed" in said(panel)
    assert "similar e-mail" in said(panel) or "same e-mail but for" in said(panel)
    assert "≠</span> differs" in said(panel)
    assert panel.merging.layout.display == "none", "what nobody reviewed is not offered for merging"
    press(panel, "Same")
    assert f"{left} and {right}: same, says dana." in said(panel)
    assert "1 of 1 reviewed" in said(panel)
    assert panel.wb.duplicates.decisions()["decision"].tolist() == ["same"]
    assert not small.changed(before), "a word is a line in a file"
    assert panel.merging.stays.value == right, "the one with more associations is proposed"
    press(panel, "Plan this merge")
    plan = panel.wb.plans[panel.review.plan]
    assert "called the same by dana" in plan.evidence[0]
    assert not small.changed(before)
    carry_out(panel.wb, plan)
    gone = small.changed(before)
    assert [len(rows) for rows in gone["Member"]] == [1, 0]
    panel.review.go(plan.id)
    settle(panel)
    assert "0 of 0 reviewed" in said(panel), "it looks again by itself"
    assert panel.merging.layout.display == "none"
    carry_out(panel.wb, panel.wb.plans.plan_undo(plan.id))
    assert not small.changed(before)


def test_a_decision_after_a_step_never_counts_for_the_previous_pair(
    opened: Opened, small: Ground, planter: Planter
) -> None:
    _events(planter, "Regatta")
    _events(planter, "Brunch")
    panel = _settled(opened(small), "Event")
    second = panel.order[1]
    seen, gate = panel.card.keyboard.of, threading.Event()
    panel.work.start("Being slow", lambda _: gate.wait(60))
    for key in ("ArrowDown", "s"):
        panel.card.keyboard._handle_custom_msg({"key": key, "about": seen}, [])
    field(panel.card, "Same").click()
    gate.set()
    settle(panel)
    assert panel.card.pair == second
    assert panel.wb.duplicates.decisions().empty
    _key(panel, "d")
    assert panel.wb.duplicates.decisions()[["left", "right"]].to_numpy().tolist() == [second.split(" ")]


def test_keys_decide_and_step_and_never_twice(opened: Opened, small: Ground, planter: Planter) -> None:
    one, two = _events(planter, "Regatta"), _events(planter, "Brunch")
    panel = _settled(opened(small), "Event")
    assert len(panel.order) == 2
    first, second = panel.order
    assert {first, second} == {" ".join(one), " ".join(two)}
    _key(panel, "ArrowDown")
    assert panel.card.pair == second
    _key(panel, "ArrowDown")
    assert panel.card.pair == second, "it ends where it ends"
    _key(panel, "ArrowUp", of=first)  # a step counts, whatever the browser had heard of by then
    assert panel.card.pair == first
    seen = panel.card.keyboard.of
    panel.card.remark.value = "a sister"
    _key(panel, "d")
    assert panel.card.pair == second
    assert panel.card.remark.value == ""
    _key(panel, "s", seen)  # pressed in haste, when the first was still to be seen
    _key(panel, "x")
    assert panel.wb.duplicates.decisions()[["left", "right", "decision", "remark"]].to_numpy().tolist() == [
        [*first.split(" "), "different", "a sister"]
    ]
    _key(panel, "u")
    assert "2 of 2 reviewed, 1 of them unsure" in said(panel)
    assert "Every pair is reviewed" in said(panel)
    choose(panel, "Pairs", first)
    assert panel.card.pair == first


def test_a_decision_leaves_the_choices_about_another_merge(
    opened: Opened, small: Ground, planter: Planter
) -> None:
    one, two, three = _events(planter, "Regatta", 3)
    wb = opened(small)
    wb.duplicates.decide(one, two, "same")
    panel = _settled(wb, "Event")
    choice = panel.merging
    stays = one if choice.stays.value == two else two
    choice.stays.value, choice.keep.value = stays, "row-1"
    assert three in panel.card.pair
    press(panel, "Unsure")
    assert panel.wb.duplicates.decisions()["decision"].tolist() == ["same", "unsure"]
    request = choice.request(False)
    assert request["merges"][0][0] == stays
    assert request["keep"] == ["row-1"]


def test_a_decision_counts_for_the_pair_in_view_when_it_was_made(
    opened: Opened, small: Ground, planter: Planter
) -> None:
    left, right = _events(planter, "Regatta")
    panel = _settled(opened(small), "Event")
    gate = threading.Event()
    panel.work.start("Being slow", lambda _: gate.wait(20))
    panel.entity.value = "Member"
    field(panel.card, "Same").click()
    gate.set()
    settle(panel)
    assert panel.wb.duplicates.decisions()[["left", "right"]].to_numpy().tolist() == [[left, right]]
    assert panel.matches is not None
    assert panel.matches.entity == "Member", "what is listed is what was chosen"
    panel.entity.value = "Event"
    settle(panel)
    assert "1 of 1 reviewed" in said(panel)


def test_unreviewed_records_stay(opened: Opened, small: Ground, planter: Planter) -> None:
    one, two, three = _events(planter, "Regatta", 3)
    wb = opened(small)
    wb.duplicates.decide(one, two, "same")
    panel = _settled(wb, "Event")
    assert "Nobody called these records the same" in said(panel.merging)
    press(panel, "Plan this merge")
    (gone,) = _gone(panel)
    assert gone in (one, two)
    wb.duplicates.decide(two, three, "same", by="robin")
    press(panel, "Look again")
    assert "says dana, robin" in str(panel.merging.cluster.options)
    panel.merging.stays.value = one
    press(panel, "Plan this merge")
    assert sorted(_gone(panel)) == sorted([two, three])
    wb.duplicates.decide(one, three, "unsure")
    press(panel, "Look again")
    assert panel.merging.layout.display == "none"
    assert "somebody was unsure of these two" in said(panel)


def test_fields_are_chosen(opened: Opened, small: Ground, planter: Planter) -> None:
    left, right = _events(planter, "Regatta")
    wb = opened(small)
    wb.duplicates.decide(left, right, "same")
    panel = _settled(wb, "Event")
    choice = panel.merging
    assert "title" in choice.fields
    stays = choice.stays.value
    other = right if stays == left else left
    choice.fields["title"].value = other
    choice.rule.value = "newest"
    merge = (stays, [other], "called the same by dana")
    by_hand = {"title": other}
    assert choice.request(False) == {"merges": [merge], "rules": "newest", "by_hand": by_hand, "keep": []}
    press(panel, "Plan this merge")
    assert wb.plans[panel.review.plan].parameters["by_hand"] == [f"title={other}"]


def test_all_clusters_in_one_plan(opened: Opened, small: Ground, planter: Planter) -> None:
    one, two = _events(planter, "Regatta"), _events(planter, "Brunch")
    wb = opened(small)
    wb.duplicates.decide(*one, "same")
    panel = _settled(wb, "Event")
    assert panel.merging.all.layout.display == "none"
    wb.duplicates.decide(*two, "same")
    press(panel, "Look again")
    press(panel, "Plan all 2 of them")
    assert len(_gone(panel)) == 2
    (reason,) = wb.plans[panel.review.plan].evidence
    assert reason == "reason given: called the same by dana"


def test_refusals_are_shown(opened: Opened, small: Ground, planter: Planter) -> None:
    wb = opened(small)
    left, right = _twins(planter, *ADDRESSES[:2])
    accounts = [planter.row("UserAccount", memberId=member) for member in (left, right)]
    wb.duplicates.decide(left, right, "same")
    panel = _settled(wb)
    press(panel, "Plan this merge")
    assert "each record has a row of its own there" in panel.merging.work.message, (
        "no rule decides which stays"
    )
    assert all(account in panel.merging.work.message for account in accounts)
    small.execute('DELETE FROM "UserAccount"')
    small.execute('DELETE FROM "Member" WHERE id::text = %s', left)
    press(panel, "Plan this merge")
    assert left in panel.merging.work.message
    assert "wb-fail" in panel.merging.work.message
    assert panel.review.plan == ""
    press(panel, "Look again")
    assert panel.card.layout.display == "none"
    assert "0 of 0 reviewed" in said(panel)
    assert panel.static().text == "Pairs: none."


def test_people_are_shown_on_the_screen_and_masked_elsewhere(
    opened: Opened, small: Ground, planter: Planter
) -> None:
    left, right = _twins(planter, *ADDRESSES[:2])
    wb = opened(small)
    wb.duplicates.decide(left, right, "same")
    panel = _settled(wb)

    def screen() -> str:
        choices = [choice.options for choice in panel.merging.fields.values()]
        return f"{said(panel)}{choices}{panel.table._table._dt_args['data_json']}".casefold()

    assert "quuxworthy" in screen()
    assert "quuxworthy" not in panel.static().html.casefold()
    switch = next(part for part in parts(panel) if getattr(part, "description", "") == PEOPLE)
    field = next(iter(panel.merging.fields.values()))
    field.value = chosen = right
    switch.value = False
    settle(panel)
    assert "quuxworthy" not in screen()
    assert "≠</span> differs" in screen(), "what is masked is still compared as it is"
    assert field.value == chosen
    switch.value = True
    settle(panel)
    assert "quuxworthy" in screen()
    wb.session.database = replace(wb.session.database, environment=replace(wb.environment, kind="production"))
    panel = _settled(wb)
    assert "quuxworthy" not in screen(), "at first they are covered on production"


def test_registrations_are_merged_with_their_events(opened: Opened, small: Ground, planter: Planter) -> None:
    member = planter.member()
    for event in _events(planter, "Regatta"):
        planter.registration(member, event)
    panel = _settled(opened(small), "Registration")
    assert "0 of 1 reviewed" in said(panel)
    press(panel, "Same")
    press(panel, "Plan this merge")
    assert "Merge the members, or the events" in panel.merging.work.message
    assert "Event title" in said(panel.card)
    assert "Member first name" in said(panel.card)
