"""Each kind of double is found where it was planted, and nothing in a healthy club."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Ground
from tests.duplicates.conftest import kinds
from tests.planting import Planter
from workbench.duplicates.answers import duplicates_table, pair_to_review, probable_finding
from workbench.duplicates.events import plain_title
from workbench.duplicates.pairs import LARGEST_GROUP, Matches, pairs_in_groups
from workbench.errors import UsageError
from workbench.reporting.charts import match_histogram_chart, match_waterfall_chart, show_figure

ENTITIES = ("Member", "Event", "Registration")

SPELLINGS = {
    "Aurelia": ("Aurelia.Quux@Example.org", "normalised"),
    "Bartholomew": ("bartholomewquux@example.org", "normalised"),
    "Clementine": ("clementine.quux+club@example.org", "normalised"),
    "Dagobert": ("\uff44agobert.quux@example.org", "normalised"),  # a full-width letter
    "Euphemia": ("euphemia.quux@elsewhere.example", "probable"),
    "Florimond": ("florimond.quux@example.org", "exact"),  # which the application's schema forbids
}
CROWD = ("Una", "Wim", "Xaver", "Yolanda", "Zacharias", "Ottilie", "Cosmo", "Drusilla", "Emeric", "Fenella", "Gideon",
         "Hester", "Ignatius", "Jocasta")  # fmt: skip


def clusters_of(duplicates: Matches) -> set[frozenset[str]]:
    return {*map(frozenset, duplicates.clusters["members"])}


def test_a_healthy_club_is_clean_and_what_the_demo_plants_is_found(club: Ground) -> None:
    with club.workbench() as wb:
        for duplicates in map(wb.duplicates.find, ENTITIES):
            assert duplicates.clean, duplicates.pairs
            assert duplicates.pairs.empty
            assert duplicates.clusters.empty
    truths = club.breaks("duplicate-members", "duplicate-events", "split-registrations")
    by_name = {truth.breakage: truth for truth in truths}
    with club.workbench() as wb:
        members, events, registrations = map(wb.duplicates.find, ENTITIES)
    people, split, twice = (
        by_name[f"{name}"].detail["pairs"].items()
        for name in ("duplicate-members", "split-registrations", "duplicate-events")
    )
    assert clusters_of(members) == {*map(frozenset, [*people, *split])}
    assert {*members.pairs["kind"]} == {"exact" if club.club.dialect == "guide" else "normalised"}
    for original, copy in people:
        (cluster,) = [row for row in members.clusters.to_dict("records") if original in row["members"]]
        assert cluster["canonical"] == original
        assert cluster["associations"][original] >= cluster["associations"][copy]
    assert clusters_of(events) == {*map(frozenset, twice)}
    assert {*events.pairs["kind"]} == {"exact"}
    assert {*registrations.pairs["kind"]} == {"split_member"}
    assert {*registrations.pairs.loc[0, ["left", "right"]]} == by_name["split-registrations"].keys
    assert not any(duplicates.clean for duplicates in (members, events, registrations))


def test_each_kind_of_duplicate_member(ground: Ground, planter: Planter) -> None:
    guide = ground.club.dialect == "guide"

    def member(first: str, last: str, email: str, **more: str) -> str:
        return planter.member(firstName=first, lastName=last, email=email, **more)

    wanted = {}
    for number, (first, (email, kind)) in enumerate(SPELLINGS.items()):
        if kind == "exact" and not guide:
            continue
        last, same = f"{first[::-1].capitalize()}quux", {"phone": f"+1 555 010 77{number:02}"}
        addresses = (f"{first.lower()}.quux@example.org", email)
        wanted[tuple(sorted(member(first, last, address, **same) for address in addresses))] = kind
    trio = sorted(
        member("Gwendolen", "Trefoil", f"{local}@example.org", phone="+1 555 010 9999")
        for local in ("gw.trefoil", "gwtrefoil", "gw.trefoil+a")
    )
    wanted |= dict.fromkeys(combinations(trio, 2), "normalised")
    family = tuple(
        sorted(
            member(first, "Vandervelde", f"vandervelde{tag}@example.org")
            for first, tag in (("Hilda", ""), ("Rupert", "+r"))
        )
    )
    raw = {} if guide else {"waRawData": '{"waContactId": "990011"}'}
    contact = tuple(
        sorted(member(first, f"{first}vale", f"{first}@example.net", **raw) for first in ("Ivo", "Kurt"))
    )
    for key in contact if guide else ():
        planter.mapping(990011, key)
    crowd = {member(name, f"{name}son", f"none+{number}@example.org") for number, name in enumerate(CROWD)}
    duplicates = ground.wb.duplicates.find()
    listed = kinds(duplicates.pairs)
    of_crowd = {pair for pair in listed if crowd & {*pair}}
    assert len(of_crowd) == len(crowd) - 1, "each is listed beside the first only"
    assert any("14 members" in line for line in duplicates.notes)
    assert duplicates.uncompared
    assert {pair: kind for pair, kind in listed.items() if pair not in of_crowd} == {
        **wanted, family: "normalised", contact: "wa_id",
    }  # fmt: skip
    assert clusters_of(duplicates) == {
        *map(frozenset, [*(pair for pair in wanted if not {*pair} <= {*trio}), trio])
    }, "neither a family's address nor one contact makes two people one"
    by_pair = {(row["left"], row["right"]): row for row in duplicates.pairs.to_dict("records")}
    for pair in wanted:
        assert 0.8 <= by_pair[pair]["probability"] <= 1
        assert by_pair[pair]["why"]
    assert not by_pair[family]["offered"]
    assert "less than 5%" in by_pair[contact]["against"]
    words = "one Wild Apricot id is mapped to both" if guide else "made from one Wild Apricot contact"
    assert by_pair[contact]["why"] == words
    assert "quux" not in " ".join([*duplicates.pairs["why"], *duplicates.pairs["against"]]).lower()
    (cluster,) = [row for row in duplicates.clusters.to_dict("records") if row["size"] == 3]
    of_trio = [by_pair[pair] for pair in combinations(trio, 2)]
    assert cluster["offered"] == all(row["offered"] for row in of_trio)
    assert cluster["probability"] == min(row["probability"] for row in of_trio)


def test_each_kind_of_duplicate_event_and_its_registrations(ground: Ground, planter: Planter) -> None:
    spelled = ground.wb.session.schema.resolved["events"].spelling

    def event(title: str, start: str) -> str:
        return planter.event(**{spelled["title"]: title, spelled["start"]: start})

    wanted, day = {}, "2031-05-05 19:00"
    for title, other, kind in (
        ("Café night", "CAFé Night ", "exact"),  # letters beyond ASCII have a case where the locale says so
        ("Crème brûlée", "Crème  brûlée", "normalised"),
        ("Soirée fixe", "Soiree fixe!", "normalised"),
    ):
        wanted[tuple(sorted((event(title, day), event(other, day))))] = kind
        event(title, "2031-05-06 19:00")
    event("Other night", day)
    (twice, *_) = wanted
    lone, first, second = (
        planter.member(firstName=name, lastName=name) for name in ("Una", "Aurelia", "Wim")
    )
    ground.wb.duplicates.decide(first, second, "same")
    split = {
        tuple(sorted(planter.registration(lone, key) for key in twice)): "split_event",
        tuple(sorted(map(planter.registration, (first, second), twice))): "split_both",
    }
    if ground.club.dialect == "guide":
        alone = event("Alone", day)
        split[tuple(sorted(planter.registration(lone, alone) for _ in "12"))] = "exact"
    duplicates = ground.wb.duplicates.find("Event")
    assert kinds(duplicates.pairs) == wanted
    assert clusters_of(duplicates) == {*map(frozenset, wanted)}
    assert duplicates.pairs["kind"][duplicates.pairs["offered"]].tolist() == ["exact"]
    registrations = ground.wb.duplicates.find("Registration")
    assert kinds(registrations.pairs) == split
    shown = repr(ground.open(unmask=False).duplicates(matches=[registrations]))
    assert "Merge the event records first" in shown
    assert "Merge the member and event records first" in shown


def test_what_cannot_be_compared_is_reported_and_never_clean(ground: Ground, tmp_path: Path) -> None:
    wb = ground.wb
    for options, name in (
        ({"entity": "Membr"}, "Membr"),
        ({"threshold": 1.5}, "1.5"),
        ({"threshold": 0}, "0"),
        ({"model": tmp_path / "none.json"}, "none.json"),
    ):
        with pytest.raises(UsageError, match=name):
            wb.duplicates.find(**options)  # type: ignore[arg-type]
    events = wb.session.schema.resolved["events"]
    ground.execute(f'ALTER TABLE "{events.table}" DROP COLUMN "{events.spelling["title"]}" CASCADE')
    ground.execute('ALTER TABLE "Member" DROP COLUMN email CASCADE')
    with ground.workbench() as wb:
        duplicates = wb.duplicates.find("Event")
        assert not duplicates.clean
        assert "title" in duplicates.not_run
        assert any('"email"' in line for line in wb.duplicates.find("Member").notes)
        assert not wb.duplicates.find("Registration").clean


def test_the_charts_and_the_finding_show_what_there_is(application: Ground) -> None:
    truths = application.breaks("duplicate-members")
    duplicates = application.wb.duplicates.find()
    finding = probable_finding(replace(duplicates, pairs=duplicates.pairs.assign(kind="probable")))
    assert (finding.status, finding.count) == ("warn", len(duplicates.pairs))
    nothing = replace(duplicates, pairs=duplicates.pairs[:0], uncompared=())
    assert probable_finding(nothing).status == "pass"
    assert probable_finding(replace(nothing, uncompared=("a block was too large",))).status == "not run"
    assert probable_finding(Matches("Member", not_run="no names")).status == "not run"
    chances = duplicates.chances
    pair = pair_to_review(chances, 0.7)
    assert pair is not None
    assert pair["probability"] == chances["probability"][chances["probability"] >= 0.7].min()
    weights = sum(value for name, value in pair.items() if str(name).startswith("weight_"))
    for figure, words in (
        (match_histogram_chart(chances, 0.7), f"{len(chances):,} pairs of members"),
        (match_waterfall_chart(pair), f"all together {weights:+.1f}"),
    ):
        assert words in figure.get_label()
        assert show_figure(figure).text == figure.get_label()
    table = duplicates_table(duplicates)
    assert (table["stays"] == "stays").groupby(table["cluster"]).sum().eq(1).all()
    assert {key for pair in truths[0].detail["pairs"].items() for key in pair} <= {*table["record_id"]}
    empty = pd.DataFrame({"probability": [], "size": [], "offered": []})
    for figure in (match_histogram_chart(empty, 0.7), match_waterfall_chart(None)):
        assert "Nothing" in show_figure(figure).text
    assert pair_to_review(empty, 0.7) is None


def test_the_pairs_of_a_group_grow_linearly() -> None:
    def within(keys: Iterable[str]) -> list[tuple[str, str]]:
        rows = pd.DataFrame([("x", key) for key in keys], columns=["name", "key"])
        pairs = pairs_in_groups(rows, ["name"], "keys")
        assert len(pairs.attrs["notes"]) == (rows["key"].nunique() > LARGEST_GROUP)
        return [*zip(pairs["left"], pairs["right"], strict=True)]

    group = [str(number) for number in range(LARGEST_GROUP)]
    assert len(within(group)) == LARGEST_GROUP * (LARGEST_GROUP - 1) / 2
    many = [f"{number:05}" for number in range(5000)]
    assert within(many) == [("00000", key) for key in many[1:]]
    assert {*within(["c", "a", "b", "a"])} == {*combinations("abc", 2)}


@pytest.mark.parametrize(
    ("title", "same"),
    [
        ("Café  Night!", "cafe night"),
        ("Straße", "STRASSE"),
        ("\uff26\uff55\uff4c\uff4c", "full"),
        ("a-b", "a b"),
    ],
)
def test_titles_are_normalised(title: str, same: str) -> None:
    assert plain_title(title) == plain_title(same)
    assert plain_title("!!!") != plain_title("???"), "titles of signs alone stay apart"
