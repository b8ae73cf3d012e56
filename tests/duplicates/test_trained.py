"""Further columns tell members apart, and the model is estimated from enough of them: through the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Shell
from tests.conftest import Clubs, Ground
from tests.duplicates.conftest import twins
from tests.planting import Planter
from workbench.duplicates.matching.training import ENOUGH

FIELDS = '[environments.club.duplicate_fields]\nbadge_no = "identifier"\nlost = "date"\nnickname = "name"\n'


def test_further_columns_are_weighed_and_what_is_not_there_is_said(
    at: Callable[..., Shell], clubs: Clubs
) -> None:
    ground = clubs.clone("application")
    with ground.connect(autocommit=True) as connection:
        for column in ('"dateOfBirth" date', '"badgeNo" text', "nickname text"):
            connection.execute(f'ALTER TABLE "Member" ADD COLUMN {column}')
    with Planter(ground) as planter:
        born = {"dateOfBirth": "1961-02-03"}
        one = twins(planter, "a1@example.org", "b2@example.net", badgeNo="SECRET-77", **born)
        two = twins(planter, "c3@example.org", firstName="Zebulon", badgeNo="S-1", dateOfBirth="1930-11-12")
        two += twins(
            planter, "d4@example.net", firstName="Zebulon", badgeNo="X-902", dateOfBirth="1988-07-21"
        )
    run = at(ground, FIELDS)
    done = run("duplicates", "--entity", "member", "--json")
    facts = json.loads(done.stdout)["members"]
    pairs = {(each["left"], each["right"]): each for each in facts["pairs"]}
    assert {"badge no: same number", "date of birth: same day"} <= {*pairs[one[0], one[1]]["why"].split("; ")}
    assert (min(two), max(two)) not in pairs
    assert any('"lost"' in each for each in facts["said"])
    assert any("nickname" in each and "left out" in each for each in facts["said"])
    assert not [value for value in ("SECRET", "1961") if value in done.stdout]
    with ground.connect(autocommit=True) as connection:
        connection.execute('DELETE FROM "Member" WHERE id::text = ANY (%s)', [[*one, *two]])
    # What is only noted hides nobody: a club without duplicates stays clean.
    assert run("duplicates", "--entity", "member").returncode == 0
    wrong = at(ground, FIELDS.replace('"date"', '"day"'))("duplicates")
    assert wrong.returncode == 2
    assert "duplicate_fields.lost" in wrong.stderr
    assert "'identifier'" in wrong.stderr


@pytest.mark.parametrize("enough", [True, False])
def test_the_model_is_estimated_from_enough_members_and_finds_the_same_pairs(
    at: Callable[..., Shell], clubs: Clubs, tmp_path: Path, enough: bool
) -> None:
    ground = clubs.clone("application")
    with ground.connect(autocommit=True) as connection:
        connection.execute('ALTER TABLE "Member" ADD COLUMN "birthDate" date')
        _grow(ground, ENOUGH if enough else 300)
    run, out = at(ground), tmp_path / "model.json"
    told = json.loads(run("duplicates", "train", "--json").stdout)
    assert (told["estimated"], out.exists()) == (enough, False)
    assert told["members"] > told["prior"]["here"] >= told["prior"]["shipped"]
    assert any(each["m"] != each["m_shipped"] for each in told["shares"]) == enough
    done = run("duplicates", "train", "--out", str(out))
    assert done.returncode == 0
    assert ("it takes 5,000 members or more" in done.stdout) == (not enough)
    assert ("further_birth_date" in out.read_text()) == enough
    found = [
        json.loads(run("duplicates", "--entity", "member", "--json", *more).stdout)["members"]
        for more in ((), ("--model", str(out)))
    ]
    assert len(found[0]["pairs"]) > 20
    assert found[0]["pairs"] == found[1]["pairs"]


def _grow(ground: Ground, members: int) -> None:
    """Add members of all kinds of names, and every tenth a second time under another address."""
    with ground.connect(autocommit=True) as connection:
        connection.execute(
            """WITH made AS (
                SELECT at, again, initcap(substr(translate(md5('g' || at % 400), '0123456789', 'oaeiuoaeiu'), 1, 6)) AS given,
                    initcap(substr(translate(md5('f' || at % 900), '0123456789', 'oaeiuoaeiu'), 1, 8)) AS family
                FROM generate_series(1, %(members)s) AS at, generate_series(0, 1) AS again WHERE again = 0 OR at %% 10 = 0)
            INSERT INTO "Member" (id, "firstName", "lastName", email, phone, "joinedAt", "membershipStatusId", "updatedAt", "birthDate")
            SELECT gen_random_uuid(), given, family, at || md5((at + again)::text) || '@example.org',
                '805' || lpad(((at * 7919 + again * (at % 3) * 31) % 10000000)::text, 7, '0'), timestamp '2020-01-01' + at %% 900 * interval '1 day',
                (SELECT min(id::text)::uuid FROM "MembershipStatus"), now(),
                date '1940-01-01' + (at * 7) % 20000 + again * (at %% 40 / 30) FROM made""".replace(
                " % ", " %% "
            ),
            {"members": members},
        )
