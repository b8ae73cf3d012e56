"""Against planted truth: duplicates that differ in several ways at once, among people who only look alike."""

from __future__ import annotations

from itertools import combinations

import pytest

from benchmarks.another_club import another_club
from benchmarks.planting import plant_duplicates
from tests.matching.test_match_members import matches
from workbench.duplicates.matching import cluster_pairs
from workbench.duplicates.matching.matching import match_people


def pairs_of(found):
    return set(zip(found["left"], found["right"], strict=True))


def together(found):
    """Every pair of members whom the clusters make one person."""
    clusters = cluster_pairs(found).groupby("cluster")["member"].agg(sorted)
    return {pair for cluster in clusters for pair in combinations(cluster, 2)}


@pytest.fixture(scope="module")
def planted(clubs):
    cloned = clubs.clone("application", members=2000)
    with cloned.connect() as connection:
        truth = plant_duplicates(connection, cloned.club)
    return cloned.url, truth, matches(cloned.url)


def test_who_is_one_person_is_found_and_nobody_else(planted):
    _, truth, found = planted
    pairs = together(found)
    right = pairs & truth.persons
    assert len(right) >= 0.99 * len(pairs), pairs - truth.persons
    assert len(right) >= 0.95 * len(truth.persons), truth.persons - pairs


@pytest.mark.parametrize(("country", "precision"), [("us", 0.98), ("cl", 0.97)])
def test_a_club_made_by_other_rules(country, precision):
    """Four clubs together: at some twenty pairs each, one that nobody could know is a twentieth of a club.

    The census that ships is of the United States: of a Chilean name it cannot tell that it is one.
    """
    found = right = wanted = 0
    for seed in (1, 2):
        for unique_email in (False, True):
            club = another_club(2000, seed, country=country, unique_email=unique_email)
            matched = match_people(club.rows)
            pairs = together(matched)
            assert pairs_of(matched[matched["offered"]]) <= club.persons
            found, right = found + len(pairs), right + len(pairs & club.persons)
            wanted += len(club.persons)
    assert right >= precision * found
    assert right >= 0.95 * wanted


def test_what_is_offered_has_no_false_pair(planted):
    _, truth, found = planted
    offered = pairs_of(found[found["offered"]])
    assert offered <= truth.persons
    assert len(offered) >= len(truth.pairs) // 2


def test_people_who_only_look_alike_stay_apart(planted):
    _, truth, found = planted
    assert {way for *_, way in truth.lookalikes} == {"stranger", "father", "twin", "spouse", "child"}
    alike = {(min(pair), max(pair)) for *pair, _ in truth.lookalikes}
    assert not alike & pairs_of(found)


def test_clusters_are_people(planted):
    _, truth, found = planted
    clusters = cluster_pairs(found).groupby("cluster")["member"].agg(frozenset)
    people = {frozenset(cluster) for cluster in truth.clusters}
    assert sum(cluster in people for cluster in clusters) >= 0.9 * len(people)


def test_the_same_data_give_the_same_bytes(planted):
    url, _, found = planted
    again = matches(url)
    assert again.to_csv().encode() == found.to_csv().encode()
    assert again.attrs == found.attrs


def test_planting_is_repeatable(clubs):
    truths = []
    for _ in range(2):
        cloned = clubs.clone("guide")
        with cloned.connect() as connection:
            truths.append(plant_duplicates(connection, cloned.club, share=0.05))
            rows = connection.execute('SELECT md5(string_agg(m::text, chr(10) ORDER BY id)) FROM "Member" m')
            truths.append(rows.fetchone())
    assert truths[:2] == truths[2:]
    assert len(truths[0].pairs) == 10
