"""The frame that `match_members` gives: its columns, its order, its bytes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import database_at
from workbench.database.connection import raw
from workbench.duplicates.matching import OFFER_THRESHOLD, cluster_pairs, match_members
from workbench.murmurant.schema import read_schema


def matches(url, **options):
    with database_at(url).reading() as connection:
        return match_members(connection, read_schema(raw(connection)), **options)


def test_a_healthy_club_has_no_probable_duplicates(club):
    assert matches(club.url).empty


def test_the_demos_duplicates_are_found_and_told(club):
    (truth,) = club.breaks("duplicate-members")
    found = matches(club.url)
    planted = {tuple(sorted(pair)) for pair in truth.detail["pairs"].items()}
    assert set(zip(found["left"], found["right"], strict=True)) == planted
    assert (found["left"] < found["right"]).all()
    assert found["why"].str.contains("same first name").all()
    assert set(cluster_pairs(found)["member"]) == set(truth.keys)


def test_weights_add_up_and_pairs_are_in_order(club):
    found = matches(club.url, threshold=0.0)
    assert len(found) > 1
    odds = found.filter(like="weight_").sum(axis=1)
    assert np.allclose(1 / (1 + 2.0**-odds), found["probability"], atol=1e-6)
    assert [*found.columns[:6]] == ["left", "right", "probability", "offered", "why", "against"]
    key = list(zip(-found["probability"], found["left"], found["right"], strict=True))
    assert key == sorted(key)
    assert not found.loc[found["probability"] < OFFER_THRESHOLD, "offered"].any()


def test_a_threshold_is_a_probability(club):
    with pytest.raises(ValueError, match="between 0 and 1"):
        matches(club.url, threshold=1.5)
