"""What cannot be merged is named, all of it at once, and nothing is planned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.errors import Refused, UsageError, WorkbenchError


@pytest.fixture
def pair(ground: Ground) -> Iterator[tuple[Ground, str, str]]:
    """Two members who are one; whatever the test does, no plan may be left."""
    with Planter(ground) as planter:
        found = planter.member(), planter.member()
    yield ground, *found
    assert not list(ground.folder.rglob("*.plan"))


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "merges.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_duplicate_of_itself(pair: tuple[Ground, str, str]) -> None:
    ground, one, _ = pair
    with pytest.raises(UsageError, match=rf"{one} is listed as a duplicate of itself"):
        ground.wb.duplicates.plan_merges([(one, [one])])


def test_a_duplicate_that_is_listed_twice(pair: tuple[Ground, str, str]) -> None:
    ground, one, other = pair
    with pytest.raises(UsageError, match=rf"{other} is listed twice"):
        ground.wb.duplicates.plan_merges([(one, [other, other])])


def test_ids_of_different_entities(pair: tuple[Ground, str, str]) -> None:
    ground, one, _ = pair
    with Planter(ground) as planter:
        planter.numbers = itertools.count(1000)  # ids that the members of this club do not have
        event = planter.event()
        registration = planter.registration(one, event)
    with pytest.raises(UsageError, match=rf"{event} is an event, not a member") as caught:
        ground.wb.duplicates.plan_merges([(one, [event, registration])])
    assert f"{registration} is a registration, not a member" in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_id_that_nobody_has(pair: tuple[Ground, str, str]) -> None:
    ground, one, _ = pair
    nobody = str(uuid4())
    with pytest.raises(UsageError, match=rf"There is no member '{nobody}'"):
        ground.wb.duplicates.plan_merges([(one, [nobody])])
    with pytest.raises(UsageError, match="Robert'; DROP TABLE"):
        ground.wb.duplicates.plan_merges([(one, ["Robert'; DROP TABLE"])])


def test_unknown_rules_and_fields(pair: tuple[Ground, str, str]) -> None:
    ground, one, other = pair
    with pytest.raises(UsageError, match=r"rule 'newst'.*|newest"):
        ground.wb.duplicates.plan_merges([(one, [other])], rules="newst")
    with pytest.raises(UsageError, match="emial") as caught:
        ground.wb.duplicates.plan_merges([(one, [other])], by_hand={"emial": other})
    assert "email" in str(caught.value)
    with pytest.raises(WorkbenchError, match="not among the records to merge"):
        ground.wb.duplicates.plan_merges([(other, [one])], by_hand={"email": str(uuid4())})


def test_a_member_that_was_merged_already(ground: Ground) -> None:
    with Planter(ground) as planter:
        one, other, third = planter.member(), planter.member(), planter.member()
    done = ground.wb.duplicates.plan_merges([(one, [other])])
    ground.carry_out(done)
    with pytest.raises(UsageError, match=rf"{other} is gone: it was merged into {one} .*Name {one} instead"):
        ground.wb.duplicates.plan_merges([(third, [other])])
    again = ground.wb.duplicates.plan_merges([(third, [one])])
    ground.carry_out(again)
    with pytest.raises(UsageError, match=rf"{other} is gone: it was merged into {third}"):
        ground.wb.duplicates.plan_merges([(third, [other])])
    for plan in (again, done):
        ground.undo(plan)
    assert ground.wb.duplicates.plan_merges([(third, [other])]).total


def test_every_bad_line_of_a_list_is_named(pair: tuple[Ground, str, str]) -> None:
    ground, one, other = pair
    nobody = str(uuid4())
    path = written(
        ground.folder,
        f"canonical,duplicate,reason\n{one},{other},seen\n{one},{nobody},\n\n{other},{one},a chain\n{one}\n,{other},\n",
    )
    before = ground.state()
    with pytest.raises(UsageError) as caught:
        ground.wb.duplicates.plan_merges(path)
    said = str(caught.value)
    assert f"line 3: There is no member '{nobody}'" in said
    assert "line 5" in said
    assert "chain" in said
    assert "line 6: it has 1 columns where the header has 3" in said
    assert "line 7: it names no canonical" in said
    assert "Nothing was planned" in said
    assert ground.state() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("cannonical,duplicate\na,b\n", "no column 'canonical'; it has 'cannonical'"),
        ("canonical\na\n", "has no column 'duplicate'"),
        ("canonical,duplicate,canonical\na,b,c\n", "'canonical' twice"),
        ("canonical,duplicate\nMüller,b\n".encode("latin-1"), "is not in UTF-8: line 2 has the byte 0xfc"),
        ("canonical,duplicate\na,b\n".encode("utf-16"), "is in UTF-16"),
        (b"canonical,duplicate\na,\0\n", "zero byte"),
    ],
)
def test_a_file_that_is_no_list(pair: tuple[Ground, str, str], content: str | bytes, said: str) -> None:
    ground, *_ = pair
    with pytest.raises(UsageError, match=f"(?s){said}") as caught:
        ground.wb.duplicates.plan_merges(written(ground.folder, content))
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there(pair: tuple[Ground, str, str]) -> None:
    ground, *_ = pair
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        ground.wb.duplicates.plan_merges(ground.folder / "absent.csv")


@pytest.mark.parametrize("form", ["{one},{other}", "\ufeff", "semicolons", "clusters"])
def test_a_list_is_read_as_people_save_it(ground: Ground, form: str) -> None:
    with Planter(ground) as planter:
        one, other = planter.member(), planter.member()
        planter.mapping(990001, one)
    content = {
        "semicolons": f'canonical;duplicate;reason\r\n{one};{other};"one person; asked"\r\n',
        "clusters": f"cluster,member\n7,{other}\n7,{one}\n",
    }.get(form, f"{form if form == chr(0xFEFF) else ''}canonical,duplicate\n{one} , {other}\n")
    plan = ground.wb.duplicates.plan_merges(written(ground.folder, content))
    (merge,) = plan.parameters["merges"]
    assert (merge["canonical"], merge["duplicates"]) == (one, [other])


def test_the_rule_chooses_the_one_with_more_associations_then_the_older(ground: Ground) -> None:
    with Planter(ground) as planter:
        young = planter.member(createdAt="2026-02-01")
        old = planter.member(createdAt="2020-02-01")
        assert (
            ground.wb.duplicates.plan_merges([(None, [young, old])]).parameters["merges"][0]["canonical"]
            == old
        )
        planter.mapping(990002, young)
    assert (
        ground.wb.duplicates.plan_merges([(None, [old, young])]).parameters["merges"][0]["canonical"] == young
    )
    kept = ground.wb.duplicates.plan_merges([(old, [young])]).parameters["merges"][0]
    assert kept["canonical"] == old  # named, so not chosen


def test_one_of_a_cluster_can_be_left_out(ground: Ground) -> None:
    with Planter(ground) as planter:
        one, other, third = (planter.member() for _ in range(3))
    plan = ground.wb.duplicates.plan_merges([(one, [other, third])], leave_out=[third])
    assert plan.changes == {"Member": {"delete": 1}}
    with pytest.raises(UsageError, match=rf"{one}' is to be left out, but others are to go into it"):
        ground.wb.duplicates.plan_merges([(one, [other])], leave_out=[one])


def test_an_edit_between_plan_and_apply_is_refused(application: Ground) -> None:
    with Planter(application) as planter:
        one, other = planter.member(), planter.member()
        plan = application.wb.duplicates.plan_merges([(one, [other])])
        planter.registration(other, planter.event())
    before = application.state()
    with pytest.raises(Refused, match="EventRegistration"):
        application.carry_out(plan)
    assert application.state() == before
