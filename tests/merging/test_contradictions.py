"""Merges that contradict one another, what a merge of merges left, and the command itself with its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from tests.commands import Shell, at, shell  # noqa: F401
from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.errors import UsageError


@pytest.fixture
def people(ground: Ground) -> list[str]:
    with Planter(ground) as planter:
        return [planter.member() for _ in range(4)]


def refused(ground: Ground, merges: object, **options: object) -> str:
    with pytest.raises(UsageError) as found:
        ground.wb.duplicates.plan_merges(merges, **options)  # type: ignore[arg-type]
    assert found.value.exit_code == 2
    assert not list((ground.plans).glob("*"))
    return str(found.value)


def test_a_record_in_two_clusters(ground: Ground, people: list[str]) -> None:
    a, b, c, *_ = people
    assert "in two clusters" in refused(ground, [(a, [c]), (b, [c])])


def test_a_chain(ground: Ground, people: list[str]) -> None:
    a, b, c, *_ = people
    assert "a chain" in refused(ground, [(a, [b]), (b, [c])])


def test_an_event_among_members(ground: Ground, people: list[str]) -> None:
    with Planter(ground) as planter:
        event = planter.event()
    assert "is an event, not a member" in refused(ground, [(people[0], [event])])
    assert "is a member, not an event" in refused(ground, [(event, [people[0]])], entity="Event")


def test_a_member_who_was_merged_already(ground: Ground, people: list[str]) -> None:
    a, b, c, d, *_ = people
    first = ground.wb.duplicates.plan_merges([(b, [a])])
    ground.carry_out(first)
    ground.carry_out(ground.wb.duplicates.plan_merges([(c, [b])]))
    for plan in (ground.plans).glob("*"):
        plan.unlink()
    said = refused(ground, [(d, [a])])
    assert f"merged into {c}" in said
    assert first.id in said
    with Planter(ground) as planter:  # the journal is gone, the audit log is not
        planter.connection.execute("DROP SCHEMA workbench CASCADE")
    said = refused(ground, [(d, [a])])
    assert f"merged into {c} (audit entry" in said


def test_from_the_command_line(application: Ground, at: Callable[..., Shell]) -> None:  # noqa: F811
    merge = partial(at(application), "plan", "merge")
    with Planter(application) as planter:
        a, b, c, d = (planter.member() for _ in range(4))
        planter.registration(b, planter.event())
        for who in (c, d):
            planter.row("UserAccount", memberId=who)
    done = merge(a, b, c, "--choose", "--except", c, "--field", "email=newest", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["changes"] == {"Member": {"delete": 1, "update": 1}} or "Member" in facts["changes"]
    assert facts["conservation"]
    assert {"plan", "digest", "kept", "conflicts", "unresolved"} <= facts.keys()
    done = merge(c, d)
    assert done.returncode == 3
    assert "UserAccount" in done.stderr
    for arguments in (
        (a,),
        (),
        (a, a),
        (a, b, "--from", "merges.csv"),
        (a, b, "--set", "email"),
        (a, b, "--rule", "x"),
    ):
        assert merge(*arguments).returncode == 2, arguments
