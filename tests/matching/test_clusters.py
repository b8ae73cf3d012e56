from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.duplicates.matching import cluster_pairs


def pairs(*links):
    return pd.DataFrame(links, columns=["left", "right", "probability"])


def sets(clusters):
    return {frozenset(each) for each in clusters.groupby("cluster")["member"].agg(list)}


def test_pairs_that_hang_together_are_one_cluster():
    found = cluster_pairs(pairs(("b", "c", 0.9), ("a", "b", 0.8), ("x", "y", 1.0)))
    assert found.to_numpy().tolist() == [
        ["a", "a", 3],
        ["a", "b", 3],
        ["a", "c", 3],
        ["x", "x", 2],
        ["x", "y", 2],
    ]


def test_the_weakest_link_between_two_who_are_apart_is_cut():
    links = pairs(("a", "b", 0.9), ("b", "c", 0.99), ("c", "d", 0.95))
    assert sets(cluster_pairs(links, apart=[("a", "c")])) == {frozenset("bcd")}
    assert sets(cluster_pairs(links, apart=[("d", "a")])) == {frozenset("bcd")}
    assert sets(cluster_pairs(links, apart=[("b", "c")])) == {frozenset("ab"), frozenset("cd")}


def test_nothing_makes_no_cluster():
    assert cluster_pairs(pairs()).empty
    assert list(cluster_pairs(pairs()).columns) == ["cluster", "member", "size"]
    assert cluster_pairs(pairs(("a", "b", 0.9)), apart=[("b", "a")]).empty


NAMES = st.sampled_from("abcdefgh")
LINKS = st.lists(st.tuples(NAMES, NAMES, st.floats(0, 1)).filter(lambda link: link[0] < link[1]), max_size=15)


@settings(max_examples=100, deadline=None)
@given(LINKS, st.lists(st.tuples(NAMES, NAMES), max_size=5), st.randoms(use_true_random=False))
def test_who_is_apart_stays_apart_whatever_the_order(links, apart, chance):
    found = cluster_pairs(pairs(*links), apart)
    home = dict(zip(found["member"], found["cluster"], strict=True))
    assert not [one for one, other in apart if one != other and home.get(one, 1) == home.get(other, 2)]
    for cluster, members in found.groupby("cluster"):
        assert cluster == members["member"].min()
        assert (members["size"] == len(members)).all()
    chance.shuffle(links)
    assert cluster_pairs(pairs(*links), apart).equals(found)
