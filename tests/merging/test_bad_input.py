"""What cannot be merged is named, all of it at once, and nothing is planned; and the command itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.commands import Shell
from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.merging.conftest import plan_of
from tests.merging.conftest import refused as refused_for
from tests.planting import Planter
from workbench.errors import UsageError

refused = partial(refused_for, error=UsageError)
NOBODY = str(uuid4())


@pytest.fixture
def people(ground: Ground) -> list[str]:
    with Planter(ground) as planter:
        return [planter.member() for _ in range(4)]


def test_contradictory_requests_and_other_kinds_are_refused(ground: Ground, people: list[str]) -> None:
    a, b, c, _ = people
    with Planter(ground) as planter:
        event = planter.event()
        registration = planter.registration(a, event)
    for merges, names in (
        ([(a, [a])], [a]),
        ([(a, [b, b])], [b, "twice"]),
        ([(a, [c]), (b, [c])], [c, "one record only"]),
        ([(a, [b]), (b, [c])], [b, "canonical record"]),
        ([(None, [a]), (None, [b, c])], [a]),
        ([(a, [NOBODY])], [NOBODY]),
        ([(a, ["Robert'; DROP TABLE"])], ["Robert'; DROP TABLE"]),
        ([(a, [event, registration])], [event, registration, "--entity event", "--entity registration"]),
        ([], []),
    ):
        refused(ground, merges, *names)
    refused(ground, [(event, [a])], a, "--entity member", entity="Event")
    options: tuple[tuple[dict[str, Any], str], ...] = (
        ({"entity": "Membr"}, "Membr"),
        ({"rules": "newst"}, "newst"),
        ({"by_hand": {"emial": b}}, "emial"),
        ({"rules": {"email": "newest"}, "by_hand": {"email": b}}, "email"),
        ({"by_hand": {"email": NOBODY}}, NOBODY),
        ({"leave_out": [a]}, a),
        ({"leave_out": [c]}, c),
    )
    for how, name in options:
        refused(ground, [(a, [b])], name, **how)
    assert plan_of(ground, (a, [b, c]), leave_out=[c.upper()]).changes["Member"]["delete"] == 1


def test_a_member_merged_before(ground: Ground, people: list[str]) -> None:
    a, b, c, d = people
    plans = []
    for merge in ((b, a), (c, b)):
        plans.append(plan_of(ground, merge))
        ground.carry_out(plans[-1])
    refused(ground, [(d, [a])], c, plans[0].id)
    for plan in reversed(plans):
        ground.undo(plan.id)
    assert plan_of(ground, (d, a)).total


def test_every_bad_line_of_a_list_is_named(ground: Ground, people: list[str], tmp_path: Path) -> None:
    a, b, c, _ = people

    def written(content: str | bytes) -> Path:
        path = tmp_path / "merges.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    lines = f"{a},{b},seen\n{a},{NOBODY},\n\n{b},{a},a chain\n{a}\n,{b},\n"
    named = ("5 problems", NOBODY, *(f"line {number}" for number in (3, 5, 6, 7)))
    refused(ground, written(f"canonical,duplicate,reason\n{lines}"), *named)
    for content, name in (
        ("", "empty"),
        ("cannonical,duplicate\na,b\n", "'canonical'"),
        ("canonical\na\n", "'duplicate'"),
        ("canonical,duplicate,canonical\na,b,c\n", "'canonical'"),
        ("canonical,duplicate\nMüller,b\n".encode("latin-1"), "0xfc"),
        (f"cluster,member\n7,{a}\n8,{b}\n8,{c}\n", "line 2"),
    ):
        refused(ground, written(content), name)
    refused(ground, tmp_path / "absent.csv", "absent.csv")
    with Planter(ground) as planter:
        planter.mapping(990001, a)
    for content in (
        f"\ufeffcanonical,duplicate\n{a} ,{b.upper()}\n",
        f'canonical;duplicate;reason\r\n{a};{b};"one person; asked"\r\n',
        f"cluster,member\n7,{b}\n7,{a}\n",
    ):
        (merge,) = ground.wb.duplicates.plan_merges(written(content)).parameters["merges"]
        assert (merge["canonical"], merge["duplicates"]) == (a, [b])


def test_from_the_command_line(ground: Ground, at: Callable[..., Shell]) -> None:
    merge = partial(at(ground), "plan", "merge")
    with Planter(ground) as planter:
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
    assert (done.returncode, "UserAccount" in done.stderr) == (3, True)
    for arguments in ((a,), (), (a, b, "--from", "merges.csv"), (a, b, "--set", "email")):
        assert merge(*arguments).returncode == 2, arguments
