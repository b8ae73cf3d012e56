"""Whole records side by side, and what people called the same: nothing else is gathered."""

from __future__ import annotations

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.duplicates.conftest import HOSTILE, twins
from tests.planting import Planter
from workbench.errors import UsageError
from workbench.reporting.beside import not_reviewed, pair_evidence, pairs_to_review, records_side_by_side

ADDRESSES = [
    f"{local}@example.org" for local in ("aurelia.quuxworthy", "aureliaquuxworthy", "aurelia.quuxworthy+a")
]


def test_records_show_their_fields_and_what_refers_to_them(ground: Ground, planter: Planter) -> None:
    left, right = twins(planter, *ADDRESSES[:2])
    planter.registration(right, planter.event())
    wb = ground.wb
    beside = wb.duplicates.side_by_side([right, left])
    assert beside.ids == [right, left]
    assert beside.canonical == right
    assert beside.associations == {right: 1, left: 0}
    assert beside.referring["rows"].tolist() == [1]
    assert "email" in beside.differing
    assert not {"firstName", "id"} & {*beside.differing}
    shown = records_side_by_side(beside, unmask=True)
    assert "Email | ≠ differs" in shown.text
    assert "stays" in shown.html
    masked = records_side_by_side(beside)
    assert "Email | ≠ differs" in masked.text, "what is masked is compared as it is"
    assert "uuxworthy" not in masked.html + masked.text
    gone = "00000000-0000-0000-0000-00000000dead"
    for ids, entity, name in (
        ([left, gone], "Member", gone),
        ([left, "no id"], "Member", "no id"),
        ([left, left], "Member", "two records"),
        ([left, gone], "Membr", "Membr"),
    ):
        with pytest.raises(UsageError, match=name):
            wb.duplicates.side_by_side(ids, entity)
    long = "x" * 10_000
    both = [
        planter.member(email=f"long{tag}@example.org", firstName=long + tag, lastName=HOSTILE[0])
        for tag in "ab"
    ]
    shown = records_side_by_side(wb.duplicates.side_by_side(both), unmask=True)
    assert "<script" not in shown.html
    assert len(shown.html) < 100_000, "long texts are cut where they differ"


def test_only_records_called_the_same_are_clustered(ground: Ground, planter: Planter) -> None:
    first, second, third = twins(planter, *ADDRESSES)
    wb = ground.wb.duplicates
    duplicates = wb.find()
    assert wb.called_same().empty
    assert "decided" not in pair_evidence(duplicates, first, second).text
    wb.decide(first, second, "same", remark="asked her")
    (cluster,) = wb.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([first, second], "dana")
    assert not_reviewed(duplicates, [first, second]) == [third]
    now = wb.decided(duplicates)
    assert set(duplicates.pairs["decision"]) == {""}, "what was found is not changed"
    assert "same, by dana" in pair_evidence(now, first, second).text
    (row,) = [row for row in pairs_to_review(now).to_dict("records") if row["decision"]]
    assert (row["pair_ids"], row["decision"], row["remark"]) == (f"{first} {second}", "same", "asked her")
    assert now.chance(first, second) is not None
    assert now.chance(second, first) is None
    wb.decide(second, third, "same", by="robin")
    (cluster,) = wb.called_same().to_dict("records")
    assert (cluster["members"], cluster["decided_by"]) == ([first, second, third], "dana, robin")
    wb.decide(first, third, "unsure")
    doubtful = wb.called_same()
    assert doubtful.empty
    assert first in doubtful.attrs["notes"][0]
    wb.decide(first, third, "different")
    torn = wb.called_same()
    assert torn.attrs["notes"]
    assert all({first, third} - set(members) for members in torn["members"])
    assert wb.called_same("Event").empty
