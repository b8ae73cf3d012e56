"""The distribution, the matrix, unknown levels and codes, and their checks: each proved both ways."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.conftest import Clubs, Ground
from tests.tiers.conftest import (
    RIGHT,
    Written,
    give,
    give_status,
    mapping_of,
    rename,
    some,
    statuses_of_tiers,
    tier,
)
from workbench.errors import SchemaGap, UsageError


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    """Return a frame's rows, gaps as None whatever its columns are made of."""
    return [[None if pd.isna(value) else value for value in row] for row in frame.itertuples(index=False)]


def status(club: Ground, check: str, **options: Any) -> str:
    return str(club.open(**options).check([check]).findings[0].status)


def test_the_matrix_of_a_healthy_club_and_of_a_broken_one(ground: Ground) -> None:
    club, tiers = ground, ground.wb.tiers
    review = tiers.review()["tier"]
    assert list(review.matrix.columns) == ["level", "expected", "actual", "members", "finding"]
    assert set(review.matrix["finding"]) == {"right"}
    assert all(row.expected == row.actual == RIGHT[row.level] for row in review.matrix.itertuples())
    assert review.matrix["members"].sum() == review.members == review.distribution["members"].sum() == 60
    assert (review.none, review.everybody, review.findings) == (0, None, [])
    assert tiers.wrong().empty

    wrong, none = some(club, "Alumni", 3), some(club, "Third Year", 2)
    give(club, wrong, "PROSPECT")
    give(club, none, None)
    review = tiers.review()["tier"]
    assert plain(review.matrix.query("finding != 'right'")) == [
        ["Alumni", "ALUMNI", "PROSPECT", 3, "wrong"],
        ["Third Year", "EXTENDED", None, 2, "none"],
    ]
    assert (review.correctable, review.none, len(review.findings)) == (5, 2, 2)
    listed = tiers.wrong()
    assert list(listed["key"]) == sorted([*wrong, *none])
    assert not listed["by_a_person"].any()
    assert list(tiers.wrong(limit=2)["key"]) == sorted([*wrong, *none])[:2]

    club.execute(f'UPDATE "Member" SET "membershipTierId" = {tier("PROSPECT")}')
    assert tiers.review()["tier"].everybody == ("PROSPECT", 60, 60)
    if club.club.dialect == "guide":  # whose tables have no foreign key
        club.execute("""UPDATE "Member" SET "membershipTierId" = 'nowhere' WHERE id = %s""", wrong[0])
        assert set(tiers.wrong()["finding"]) == {"wrong", "not there"}
        assert tiers.review()["tier"].none == 1


def test_unknown_levels_match_nothing(guide: Ground, written: Written) -> None:
    names = {"Alumni": "ALUMNI ", "Third Year": "3rd Year", "Lapsed": "Gold <b>Circle</b>"}
    for level, name in names.items():
        rename(guide, level, name)
    review = guide.wb.tiers.review()["tier"]
    assert {*review.unknown_levels["level"]} == {*names.values()}
    near = dict(review.unknown_levels[["level", "nearest"]].itertuples(index=False))
    assert (near["ALUMNI "], near["3rd Year"]) == ("Alumni", "Third Year")
    assert len(review.findings) == 3
    assert set(review.matrix.loc[review.matrix["expected"].isna(), "finding"]) == {"unknown level"}
    assert guide.wb.tiers.wrong().empty
    (check,) = guide.wb.check(["tiers-unmapped-level"]).findings
    assert {*check.rows["key"]} == {*names.values()}

    path = written("m.yaml", "membership.tiers.defaultCode: PROSPECT\n" + mapping_of(RIGHT))
    covered = guide.wb.tiers.review(path)["tier"]
    assert covered.unknown_levels.empty
    assert covered.correctable == sum(len(some(guide, name)) for name in names.values())
    assert status(guide, "tiers-unmapped-level", tier_mapping=path) == "pass"


def test_members_without_a_level_are_not_judged(guide: Ground) -> None:
    keys = some(guide, "Lapsed")
    rename(guide, "Lapsed", " ")
    guide.execute('UPDATE "Member" SET "waMembershipLevelRaw" = NULL WHERE id = %s', keys[0])
    review = guide.wb.tiers.review()["tier"]
    assert set(review.matrix["finding"]) == {"right", "no level"}
    assert (review.count("no level"), review.findings) == (len(keys), [])
    assert status(guide, "tiers-unmapped-level") == "pass"
    guide.execute('ALTER TABLE "Member" DROP COLUMN "waMembershipLevelRaw"')
    with pytest.raises(SchemaGap, match="waMembershipLevelRaw"):
        guide.open().tiers.review()
    assert status(guide, "tiers-wrong") == "not run"
    assert status(guide, "tiers-missing") == "pass"


def test_codes_that_are_no_tier_are_named(guide: Ground, written: Written) -> None:
    path = written("m.yaml", mapping_of({**RIGHT, "Alumni": "ALUMNUS", "Lapsed": "ZZZ"}))
    unknown = guide.wb.tiers.review(path)["tier"].unknown_codes
    assert plain(unknown) == [["ALUMNUS", "Alumni"], ["ZZZ", "Lapsed"]]
    (check,) = guide.open(tier_mapping=path).check(["tiers-not-seeded"]).findings
    assert (check.status, list(check.rows["key"])) == ("fail", ["ALUMNUS", "ZZZ"])
    assert status(guide, "tiers-not-seeded") == "pass"


def test_a_configuration_that_is_wrong_or_not_there(guide: Ground, written: Written) -> None:
    wb = guide.open(tier_mapping=written("m.yaml", ""))
    wrong, missing = wb.check(["tiers-wrong", "tiers-missing"]).findings
    if wrong.check == "tiers-missing":
        wrong, missing = missing, wrong
    assert (wrong.status, missing.status, "m.yaml" in wrong.reason) == ("not run", "pass", True)
    wb = guide.open(tier_mapping=None)
    review = wb.tiers.review()["tier"]
    assert (review.mapping, review.matrix.empty, review.members) == (None, True, 60)
    for ask in (wb.tiers.wrong, wb.tiers.plan):
        with pytest.raises(UsageError, match="No tier mapping is configured"):
            ask()


def test_where_no_tier_was_made_the_statuses_are_judged(application: Ground, written: Written) -> None:
    club = application
    statuses_of_tiers(club)
    path = written("m.yaml", mapping_of(RIGHT, "membership_status_mapping"))
    # As the CSV importer fills them: from the level, beside what a sync has set by other rules.
    for level, code in {**RIGHT, "Lapsed": "ALUMNI", "Newcomer": "active"}.items():
        give_status(club, level, code)
    wb = club.open(tier_mapping=path)
    review = wb.tiers.review()["status"]
    assert [*wb.tiers.review()] == ["status"]
    assert review.correctable == len(some(club, "Lapsed"))
    assert review.count("of its own") == len(some(club, "Newcomer"))
    (check,) = wb.check(["tiers-wrong"]).findings
    assert (check.count, set(check.rows["kind"])) == (review.correctable, {"status"})
    plan = wb.tiers.plan()
    assert plan.changes == {"Member": {"update": review.correctable}}
    assert plan.operations[0].changed == ("membershipStatusId",)
    club.proved(plan)
    give_status(club, "Lapsed", "LAPSED")
    assert status(club, "tiers-wrong", tier_mapping=path) == "pass"
    # None of its codes is a status: nothing was compared, so nothing is right.
    general = written("g.yaml", mapping_of({"Newcomer": "GENERAL"}, "membership_status_mapping"))
    assert status(club, "tiers-wrong", tier_mapping=general) == "not run"


def test_the_importer_s_configuration_gives_tiers_where_there_are_no_statuses(
    clubs: Clubs, written: Written
) -> None:
    path = written("m.yaml", mapping_of(RIGHT, "membership_status_mapping"))
    for dialect, kind in (("guide", "tier"), ("application", "status")):
        reviews = clubs.clone(dialect, 60).open(tier_mapping=path).tiers.review()
        assert [review.kind for review in reviews.values() if review.mapping] == [kind]
