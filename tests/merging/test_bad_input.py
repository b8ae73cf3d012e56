"""What cannot be merged is named, all of it at once, and nothing is planned; and the command itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.commands import Shell, at, shell  # noqa: F401
from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.errors import Refused, UsageError


@pytest.fixture
def people(ground: Ground) -> list[str]:
    with Planter(ground) as planter:
        return [planter.member() for _ in range(4)]


def refused(ground: Ground, merges: Any, *said: str, **options: Any) -> str:
    with pytest.raises(UsageError) as found:
        ground.wb.duplicates.plan_merges(merges, **options)
    assert found.value.exit_code == 2
    assert not list(ground.plans.glob("*"))
    assert all(each in str(found.value) for each in said), found.value
    return str(found.value)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "merges.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_what_contradicts_itself_or_is_something_else(ground: Ground, people: list[str]) -> None:
    a, b, c, _ = people
    with Planter(ground) as planter:
        event = planter.event()
        registration = planter.registration(a, event)
    nobody = str(uuid4())
    for merges, said in (
        ([(a, [a])], f"{a} is listed as a duplicate of itself"),
        ([(a, [b, b])], f"{b} is listed twice"),
        ([(a, [c]), (b, [c])], "in two clusters"),
        ([(a, [b]), (b, [c])], "a chain"),
        ([(None, [a]), (None, [b, c])], f"{a} has no other member"),
        ([(a, [nobody])], f"There is no member '{nobody}'"),
        ([(a, ["Robert'; DROP TABLE"])], "Robert'; DROP TABLE"),
        ([], "nothing to merge"),
    ):
        refused(ground, merges, said)
    refused(
        ground, [(a, [event, registration])], f"{event} is an event, not a member",
        f"{registration} is a registration, not a member",
    )  # fmt: skip
    refused(ground, [(event, [a])], "is a member, not an event", entity="Event")
    one = [(a, [b])]
    refused(ground, one, "Membr", entity="Membr")
    refused(ground, one, "newst", rules="newst")
    refused(ground, one, "emial", "email", by_hand={"emial": b})
    refused(ground, one, "a rule and a record", rules={"email": "newest"}, by_hand={"email": b})
    refused(ground, one, "not among the records to merge", by_hand={"email": nobody})
    refused(ground, one, f"{a}' is to be left out, but others are to go into it", leave_out=[a])
    refused(ground, one, f"{c}' is to be left out, but it is not among", leave_out=[c])
    plan = ground.wb.duplicates.plan_merges([(a, [b, c])], leave_out=[c.upper()])
    assert plan.changes["Member"]["delete"] == 1


def test_a_member_who_was_merged_already(ground: Ground, people: list[str]) -> None:
    a, b, c, d = people
    first = ground.wb.duplicates.plan_merges([(b, [a])])
    ground.carry_out(first)
    second = ground.wb.duplicates.plan_merges([(c, [b])])
    ground.carry_out(second)
    for plan in ground.plans.glob("*"):
        plan.unlink()
    refused(ground, [(d, [a])], f"merged into {c}", first.id)
    ground.execute("ALTER SCHEMA workbench RENAME TO elsewhere")  # the journal is gone, the audit log is not
    refused(ground, [(d, [a])], f"merged into {c} (audit entry")
    ground.execute("ALTER SCHEMA elsewhere RENAME TO workbench")
    for plan in (second, first):
        ground.undo(plan.id)
    assert ground.wb.duplicates.plan_merges([(d, [a])]).total


def test_every_bad_line_of_a_list_is_named(ground: Ground, people: list[str]) -> None:
    a, b, c, _ = people
    nobody = str(uuid4())
    content = f"canonical,duplicate,reason\n{a},{b},seen\n{a},{nobody},\n\n{b},{a},a chain\n{a}\n,{b},\n"
    refused(
        ground, written(ground.folder, content), f"line 3: There is no member '{nobody}'", "line 5", "chain",
        "line 6: it has 1 columns where the header has 3", "line 7: it names no canonical", "Nothing was planned",
    )  # fmt: skip
    for content, said in (
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("cannonical,duplicate\na,b\n", "no column 'canonical'; it has 'cannonical'"),
        ("canonical\na\n", "has no column 'duplicate'"),
        ("canonical,duplicate,canonical\na,b,c\n", "'canonical' twice"),
        ("canonical,duplicate\nMüller,b\n".encode("latin-1"), "is not in UTF-8: line 2 has the byte 0xfc"),
        ("canonical,duplicate\na,b\n".encode("utf-16"), "is in UTF-16"),
        (b"canonical,duplicate\na,\0\n", "zero byte"),
        (f"cluster,member\n7,{a}\n8,{b}\n8,{c}\n", "line 2"),
    ):
        refused(ground, written(ground.folder, content), said)
    refused(ground, ground.folder / "absent.csv", "cannot be read: No such file")
    with Planter(ground) as planter:
        planter.mapping(990001, a)
    for content in (
        f"canonical,duplicate\n{a} , {b}\n",
        f"\ufeffcanonical,duplicate\n{a},{b.upper()}\n",
        f'canonical;duplicate;reason\r\n{a};{b};"one person; asked"\r\n',
        f"cluster,member\n7,{b}\n7,{a}\n",
    ):
        plan = ground.wb.duplicates.plan_merges(written(ground.folder, content))
        (merge,) = plan.parameters["merges"]
        assert (merge["canonical"], merge["duplicates"]) == (a, [b])


def test_an_edit_between_plan_and_apply_is_refused(application: Ground) -> None:
    with Planter(application) as planter:
        one, other = planter.member(), planter.member()
        plan = application.wb.duplicates.plan_merges([(one, [other])])
        planter.registration(other, planter.event())
    before = application.state()
    with pytest.raises(Refused, match="EventRegistration"):
        application.carry_out(plan)
    assert application.state() == before


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
    assert facts["changes"]["Member"]["delete"] == 1
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
