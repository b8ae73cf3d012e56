"""Further columns tell members apart, and the model is estimated from enough of them: through the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Shell
from tests.conftest import Ground
from tests.duplicates.conftest import twins
from tests.planting import Planter

FIELDS = '[environments.club.duplicate_fields]\nbadge_no = "identifier"\nlost = "date"\nnickname = "name"\n'


def test_further_columns_count_and_missing_ones_are_reported(
    at: Callable[..., Shell], application: Ground
) -> None:
    with application.connect(autocommit=True) as connection:
        for column in ('"dateOfBirth" date', '"badgeNo" text', "nickname text"):
            connection.execute(f'ALTER TABLE "Member" ADD COLUMN {column}')
    with Planter(application) as planter:
        born = {"dateOfBirth": "1961-02-03"}
        same = twins(planter, "a1@example.org", "b2@example.net", badgeNo="SECRET-77", **born)
        others = twins(
            planter, "c3@example.org", firstName="Zebulon", badgeNo="S-1", dateOfBirth="1930-11-12"
        )
        others += twins(
            planter, "d4@example.net", firstName="Zebulon", badgeNo="X-902", dateOfBirth="1988-07-21"
        )
    run = at(application, FIELDS)
    done = run("duplicates", "--entity", "member", "--json")
    facts = json.loads(done.stdout)["members"]
    pairs = {(pair["left"], pair["right"]): pair for pair in facts["pairs"]}
    assert {"badge no: same number", "date of birth: same day"} <= {
        *pairs[same[0], same[1]]["why"].split("; ")
    }
    assert (min(others), max(others)) not in pairs
    assert any('"lost"' in line for line in facts["said"])
    assert any("nickname" in line and "left out" in line for line in facts["said"])
    assert not [value for value in ("SECRET", "1961") if value in done.stdout]
    application.execute('DELETE FROM "Member" WHERE id::text = ANY (%s)', [*same, *others])
    # What is only noted hides nobody: a club without duplicates stays clean.
    assert run("duplicates", "--entity", "member").returncode == 0
    wrong = at(application, FIELDS.replace('"date"', '"day"'))("duplicates")
    assert wrong.returncode == 2
    assert "duplicate_fields.lost" in wrong.stderr
    assert "'identifier'" in wrong.stderr


@pytest.mark.parametrize("enough", [True, False])
def test_the_model_is_estimated_from_enough_members_and_finds_the_same_pairs(
    at: Callable[..., Shell],
    application: Ground,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    enough: bool,
) -> None:
    for module in ("matching.matching", "answers"):
        monkeypatch.setattr(f"workbench.duplicates.{module}.ENOUGH", 1_200)
    application.execute('ALTER TABLE "Member" ADD COLUMN "birthDate" date')
    _grow(application, 1_200 if enough else 300)
    run, out = at(application), tmp_path / "model.json"
    facts = json.loads(run("duplicates", "train", "--out", str(out), "--json").stdout)
    assert facts["estimated"] == enough
    assert facts["members"] > facts["prior"]["here"] >= facts["prior"]["shipped"]
    assert any(share["m"] != share["m_shipped"] for share in facts["shares"]) == enough
    assert ("further_birth_date" in out.read_text()) == enough
    if enough:
        shipped, trained = (application.wb.duplicates.find(model=model).pairs for model in (None, out))
        assert len(shipped) > 20
        assert shipped.equals(trained)


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
