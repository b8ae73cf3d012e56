"""What cannot be merged: a clear error that names every line, the right exit code, and nothing planned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.merging.conftest import Ground, Opening
from workbench.errors import UsageError


@pytest.fixture
def people(ground: Ground) -> list[str]:
    with ground.planting() as planter:
        return [planter.member() for _ in range(6)]


def refused(ground: Ground, merges: object, **options: object) -> str:
    with pytest.raises(UsageError) as found:
        ground.workbench.plan_merges(merges, **options)  # type: ignore[arg-type]
    assert found.value.exit_code == 2
    assert not list((ground.home / "plans").glob("*"))
    return str(found.value)


def listed(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "merges.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_its_own_canonical(ground: Ground, people: list[str]) -> None:
    assert "duplicate of itself" in refused(ground, [(people[0], [people[0]])])


def test_a_record_in_two_clusters(ground: Ground, people: list[str]) -> None:
    a, b, c, *_ = people
    assert "in two clusters" in refused(ground, [(a, [c]), (b, [c])])


def test_a_record_listed_twice(ground: Ground, people: list[str]) -> None:
    assert "listed twice" in refused(ground, [(people[0], [people[1], people[1]])])


def test_a_chain(ground: Ground, people: list[str]) -> None:
    a, b, c, *_ = people
    assert "a chain" in refused(ground, [(a, [b]), (b, [c])])


def test_an_event_among_members(ground: Ground, people: list[str]) -> None:
    with ground.planting() as planter:
        event = planter.event()
        tier = planter.row("MembershipTier")
    assert "is an event, not a member" in refused(ground, [(people[0], [event])])
    assert "is a row of MembershipTier" in refused(ground, [(people[0], [tier])])
    assert "is a member, not an event" in refused(ground, [(event, [people[0]])], entity="Event")


def test_an_unknown_id_and_a_word(ground: Ground, people: list[str]) -> None:
    assert "There is no member" in refused(ground, [(people[0], [str(uuid4())])])
    said = refused(ground, [(people[0], ["Alice"])])
    assert "no id" in said if ground.workbench.dialect == "application" else "There is no member" in said


def test_a_member_who_was_merged_already(ground: Ground, people: list[str]) -> None:
    a, b, c, d, *_ = people
    first = ground.workbench.plan_merge(b, [a])
    ground.apply(first)
    ground.apply(ground.workbench.plan_merge(c, [b]))
    for plan in (ground.home / "plans").glob("*"):
        plan.unlink()
    said = refused(ground, [(d, [a])])
    assert f"merged into {c}" in said
    assert first.id in said
    with ground.planting() as planter:  # the journal is gone, the audit log is not
        planter.connection.execute("DROP SCHEMA workbench CASCADE")
    said = refused(ground, [(d, [a])])
    assert f"merged into {c} (audit entry" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rules": "newset"}, "newest"),
        ({"rules": {"phoen": "newest"}}, "phone"),
        ({"by_hand": {"phone": "somebody"}}, "not among the records"),
        ({"leave_out": ["00000000-0000-0000-0000-000000000001"]}, "not among the records"),
        ({"entity": "Memeber"}, "Member"),
    ],
)
def test_wishes_that_mean_nothing(ground: Ground, people: list[str], options: dict, said: str) -> None:
    assert said in refused(ground, [(people[0], [people[1]])], **options)


def test_every_bad_line_is_named_at_once(ground: Ground, people: list[str], tmp_path: Path) -> None:
    a, b, c, d, e, _ = people
    stranger = str(uuid4())
    said = refused(
        ground,
        listed(
            tmp_path, "canonical,duplicate,reason",
            f"{a},{b},right", f"{c},{c},itself", f"{c},{stranger},", f"{d},", "", f"{e},{b},again", f"{a}",
        ),
    )  # fmt: skip
    assert "merges.csv has 5 problems" in said
    numbers = [line.strip().partition(":")[0] for line in said.splitlines()[1:]]
    assert numbers[:5] == ["line 3", "line 4", "line 5", "line 7", "line 8"]
    assert "line 2" in said.splitlines()[4]  # where it was named before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n  \n", "is empty"),
        (b"canonical,duplicate\n", "no lines below"),
        (b"canonical,duplicat\na,b\n", "Did you mean 'duplicate'"),
        (b"canonical\na\n", "no column duplicate"),
        (b"canonical,member\na,b\n", "no column duplicate"),
        (b"canonical,duplicate,member\na,b,c\n", "mixes two forms"),
        (b"reason\na\n", "names no records"),
        (b"canonical,canonical\na,b\n", "twice"),
        ("canonical,duplicate,reason\na,b,Zoë\n".encode("latin-1"), "not in UTF-8: line 2"),
        ("canonical,duplicate\na,b\n".encode("utf-16"), "UTF-16"),
        (b"canonical,duplicate\na\0,b\n", "zero byte"),
    ],
)
def test_a_file_that_is_none(opened: Opening, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "merges.csv"
    path.write_bytes(content)
    assert said in refused(opened("guide"), path)


def test_a_file_that_is_not_there(opened: Opening, tmp_path: Path) -> None:
    assert "cannot be read" in refused(opened("guide"), tmp_path / "nowhere.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_in_either_form(
    ground: Ground, people: list[str], tmp_path: Path, separator: str, encoding: str
) -> None:
    a, b, c, d, e, f = people
    pairs = [("Canonical", "duplicate", "reason"), (a, b, "Zoë's"), (a, c, ""), (d, e, "")]
    plan = ground.workbench.plan_merges(
        listed(tmp_path, *map(separator.join, pairs), encoding=encoding), leave_out=[c]
    )
    merges = plan.header.parameters["merges"]
    assert {each["canonical"]: each["duplicates"] for each in merges} == {a: [b], d: [e]}
    assert "Zoë's" in str([each["reason"] for each in merges])
    with ground.planting() as planter:
        planter.registration(f, planter.event())
    clusters = [("cluster", "member"), ("1", e), ("1", f), ("2", a), ("2", b), ("2", c)]
    plan = ground.workbench.plan_merges(
        listed(tmp_path, *map(separator.join, clusters), encoding=encoding), leave_out=[c]
    )
    merges = plan.header.parameters["merges"]
    assert {each["canonical"] for each in merges} == {f, a}  # who has the registration; who is the older
    assert "merges.csv, SHA-256" in plan.header.evidence[0]


def test_a_cluster_of_one(ground: Ground, people: list[str], tmp_path: Path) -> None:
    said = refused(ground, listed(tmp_path, "cluster,member", f"1,{people[0]}"))
    assert "line 2: the cluster '1' has no other member" in said


def workbench(ground: Ground, *arguments: str) -> subprocess.CompletedProcess[str]:
    (ground.home / "workbench.toml").write_text(
        'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n'
    )
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")}
    return subprocess.run(
        [sys.executable, "-m", "workbench", "plan", "merge", *arguments, "-e", "club"],
        cwd=ground.home, env={**surroundings, "CLUB_URL": ground.club.url}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_from_the_command_line(opened: Opening) -> None:
    ground = opened("application")
    with ground.planting() as planter:
        a, b, c, d = (planter.member() for _ in range(4))
        planter.registration(b, planter.event())
        for who in (c, d):
            planter.row("UserAccount", memberId=who)
    done = workbench(ground, a, b, c, "--choose", "--except", c, "--field", "email=newest", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["changes"] == {"Member": {"delete": 1, "update": 1}} or "Member" in facts["changes"]
    assert facts["conservation"]
    assert {"plan", "digest", "kept", "conflicts", "unresolved"} <= facts.keys()
    done = workbench(ground, c, d)
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
        assert workbench(ground, *arguments).returncode == 2, arguments
