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


def test_records_say_what_they_say_and_who_refers_to_them(ground: Ground, planter: Planter) -> None:
    left, right = twins(planter, *ADDRESSES[:2])
    planter.registration(right, planter.event())
    wb = ground.wb
    beside = wb.duplicates.beside([right, left])
    assert beside.ids == [right, left]
    assert beside.canonical == right
    assert beside.associations == {right: 1, left: 0}
    assert beside.referring["rows"].tolist() == [1]
    assert "email" in beside.differing
    assert not {"firstName", "id"} & {*beside.differing}
    shown = records_side_by_side(beside, unmask=True)
    assert "Email | ≠ differs" in shown.text
    assert "would stay" in shown.html
    masked = records_side_by_side(beside)
    assert "Email | ≠ differs" in masked.text, "what is masked is compared as it is"
    assert "uuxworthy" not in masked.html + masked.text
    gone = "00000000-0000-0000-0000-00000000dead"
    for asked, words in (
        (lambda: wb.duplicates.beside([left, gone]), f"There is no Member '{gone}'"),
        (lambda: wb.duplicates.beside([left, left]), "two records"),
        (lambda: wb.duplicates.beside([left, gone], "Membr"), "Member"),
        (lambda: wb.duplicates.called_same("Membr"), "Member"),
    ):
        with pytest.raises(UsageError, match=words):
            asked()
    long = "x" * 10_000
    both = [
        planter.member(email=f"long{each}@example.org", firstName=long + each, lastName=HOSTILE[0])
        for each in "ab"
    ]
    shown = records_side_by_side(wb.duplicates.beside(both), unmask=True)
    assert "<script" not in shown.html
    assert len(shown.html) < 100_000, "long texts are cut"


def test_only_what_was_called_the_same_is_gathered(ground: Ground, planter: Planter) -> None:
    one, two, three = twins(planter, *ADDRESSES)
    wb = ground.wb.duplicates
    found = wb.find()
    assert wb.called_same().empty
    assert "decided" not in pair_evidence(found, one, two).text
    wb.decide(one, two, "same", remark="asked her")
    (cluster,) = wb.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([one, two], "dana")
    assert not_reviewed(found, [one, two]) == [three]
    now = wb.decided(found)
    assert set(found.pairs["decision"]) == {""}, "what was found is not changed"
    assert "same, by dana" in pair_evidence(now, one, two).text
    (row,) = [each for each in pairs_to_review(now).to_dict("records") if each["decision"]]
    assert (row["pair_ids"], row["decision"], row["remark"]) == (f"{one} {two}", "same", "asked her")
    assert now.chance(one, two) is not None
    assert now.chance(two, one) is None
    assert now.about("AURELIA quux").all()
    assert not now.about("somebody else").any()
    wb.decide(two, three, "same", by="robin")
    (cluster,) = wb.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([one, two, three], "dana, robin")
    wb.decide(one, three, "unsure")
    doubtful = wb.called_same()
    assert doubtful.empty
    assert "unsure of the two" in doubtful.attrs["said"][0]
    wb.decide(one, three, "different")
    torn = wb.called_same()
    assert torn.attrs["said"]
    assert all({one, three} - set(each) for each in torn["members"])
    assert wb.called_same("Event").empty
