"""Against planted truth: duplicates that differ in several ways at once, among people who only look alike."""

from __future__ import annotations

import psycopg
import pytest

from tests.matching.test_match_members import matches
from workbench.demo.duplicates import plant_duplicates
from workbench.investigate.matching import cluster_pairs


def pairs_of(found):
    return set(zip(found["left"], found["right"], strict=True))


@pytest.fixture(scope="module", params=["guide", "application"])
def planted(clubs, request):
    cloned = clubs.clone(request.param, members=2000)
    with psycopg.connect(cloned.url) as connection:
        truth = plant_duplicates(connection, cloned.club)
    return cloned.url, truth, matches(cloned.url)


def test_who_is_one_person_is_found_and_nobody_else(planted):
    _, truth, found = planted
    pairs = pairs_of(found)
    right = pairs & truth.persons
    assert len(right) >= 0.99 * len(pairs), pairs - truth.persons
    assert len(pairs & truth.pairs) >= 0.95 * len(truth.pairs), truth.pairs - pairs


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


def test_planting_is_repeatable(clubs, dialect):
    truths = []
    for _ in range(2):
        cloned = clubs.clone(dialect)
        with psycopg.connect(cloned.url) as connection:
            truths.append(plant_duplicates(connection, cloned.club, share=0.05))
            rows = connection.execute('SELECT md5(string_agg(m::text, chr(10) ORDER BY id)) FROM "Member" m')
            truths.append(rows.fetchone())
    assert truths[:2] == truths[2:]
    assert len(truths[0].pairs) == 10
