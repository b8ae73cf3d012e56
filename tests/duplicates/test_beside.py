"""Whole records side by side, and what people called the same: nothing else is gathered."""

from __future__ import annotations

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.duplicates.conftest import HOSTILE, twins
from tests.planting import Planter
from workbench.errors import UsageError
from workbench.reporting.beside import not_reviewed, pair_evidence, pairs_to_review, records_side_by_side

ADDRESSES = (
    "aurelia.quuxworthy@example.org",
    "aureliaquuxworthy@example.org",
    "aurelia.quuxworthy+a@example.org",
)


def test_records_say_what_they_say_and_who_refers_to_them(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    planter.registration(right, planter.event())
    beside = ground.wb.duplicates.beside([right, left])
    assert beside.ids == [right, left]
    assert beside.canonical == right
    assert beside.associations == {right: 1, left: 0}
    assert beside.referring["rows"].tolist() == [1]
    assert "email" in beside.differing
    assert "firstName" not in beside.differing
    assert "id" not in beside.differing
    shown = records_side_by_side(beside, unmask=True)
    assert "Email: differs" in shown.text
    assert '<mark class="wb-differs">' in shown.html
    assert "would stay" in shown.html
    masked = records_side_by_side(beside)
    assert "Email: differs" in masked.text, "what is masked is compared as it is"
    assert "uuxworthy" not in masked.html + masked.text


def test_a_record_that_is_not_there_is_an_error(ground: Ground, planter: Planter):
    left, _ = twins(planter, *ADDRESSES[:2])
    gone = "00000000-0000-0000-0000-00000000dead"
    wb = ground.wb
    with pytest.raises(UsageError, match=f"There is no Member '{gone}'"):
        wb.duplicates.beside([left, gone])
    with pytest.raises(UsageError, match="two records"):
        wb.duplicates.beside([left, left])
    for asked in (wb.duplicates.called_same, lambda each: wb.duplicates.beside([left, gone], each)):
        with pytest.raises(UsageError, match="Member"):
            asked("Membr")


def test_long_texts_are_cut_where_they_differ(ground: Ground, planter: Planter):
    long = "x" * 10_000
    left, right = (
        planter.member(email=f"long{each}@example.org", firstName=long + each, lastName=HOSTILE[0])
        for each in "ab"
    )
    shown = records_side_by_side(ground.wb.duplicates.beside([left, right]), unmask=True)
    assert "xa" in shown.text
    assert "xb" in shown.text
    assert "<script" not in shown.html
    assert len(shown.html) < 100_000


def test_only_what_was_called_the_same_is_gathered(ground: Ground, planter: Planter):
    one, two, three = twins(planter, *ADDRESSES)
    wb = ground.wb
    assert wb.duplicates.called_same().empty
    wb.duplicates.decide(one, two, "same")
    (cluster,) = wb.duplicates.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([one, two], "dana")
    found = wb.duplicates.find()
    assert not_reviewed(found, [one, two]) == [three]
    wb.duplicates.decide(two, three, "same", by="robin")
    (cluster,) = wb.duplicates.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([one, two, three], "dana, robin")
    wb.duplicates.decide(one, three, "unsure")
    doubtful = wb.duplicates.called_same()
    assert doubtful.empty
    assert "unsure of the two" in doubtful.attrs["said"][0]
    wb.duplicates.decide(one, three, "different")
    torn = wb.duplicates.called_same()
    assert torn.attrs["said"]
    assert all({one, three} - set(each) for each in torn["members"])
    assert wb.duplicates.called_same("Event").empty


def test_what_was_found_before_hears_what_is_said_now(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    wb = ground.wb
    found = wb.duplicates.find()
    assert "said of them" not in pair_evidence(found, left, right).text
    wb.duplicates.decide(left, right, "different", remark="twins")
    assert found.pairs["decision"].tolist() == [""]
    now = wb.duplicates.decided(found)
    assert now.pairs[["decision", "decided_by", "remark", "offered"]].to_numpy().tolist() == [
        ["different", "dana", "twins", False]
    ]
    assert found.pairs["decision"].tolist() == [""], "what was found is not changed"
    told = pair_evidence(now, left, right).text
    assert "different, by dana" in told
    assert "e-mail addresses +" in told
    (row,) = pairs_to_review(now).to_dict("records")
    assert (row["pair_ids"], row["decision"]) == (f"{left} {right}", "different")
    assert now.chance(left, right) is not None
    assert now.chance(right, left) is None
