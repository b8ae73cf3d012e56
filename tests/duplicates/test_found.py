"""Each kind of double is found where it was planted, and nothing in a healthy club."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.conftest import Ground
from tests.duplicates.conftest import kinds
from tests.planting import Planter
from workbench.duplicates.events import plain_title
from workbench.duplicates.pairs import LARGEST_GROUP, within
from workbench.errors import UsageError

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


def test_a_healthy_club_is_clean_and_what_the_demo_plants_is_found(club: Ground) -> None:
    wb = club.open()
    for entity in ENTITIES:
        found = wb.duplicates.find(entity)
        assert found.clean, found.pairs
        assert found.pairs.empty
        assert found.clusters.empty
    truths = club.breaks("duplicate-members", "duplicate-events", "split-registrations")
    by_name = {each.breakage: each for each in truths}
    members, events, registrations = (wb.duplicates.find(each) for each in ENTITIES)
    people = {
        frozenset(pair)
        for name in ("duplicate-members", "split-registrations")
        for pair in by_name[name].detail["pairs"].items()
    }
    assert {frozenset(each) for each in members.clusters["members"]} == people
    assert set(members.pairs["kind"]) == {"exact" if club.club.dialect == "guide" else "normalised"}
    for original, copy in by_name["duplicate-members"].detail["pairs"].items():
        cluster = members.clusters[[original in each for each in members.clusters["members"]]].iloc[0]
        assert cluster["canonical"] == original
        assert cluster["associations"][original] >= cluster["associations"][copy]
    gatherings = {frozenset(pair) for pair in by_name["duplicate-events"].detail["pairs"].items()}
    assert {frozenset(each) for each in events.clusters["members"]} == gatherings
    assert set(events.pairs["kind"]) == {"exact"}
    assert set(registrations.pairs["kind"]) == {"split_member"}
    assert set(registrations.pairs.loc[0, ["left", "right"]]) == by_name["split-registrations"].keys
    assert not any(each.clean for each in (members, events, registrations))


def test_each_kind_of_double_of_a_member(ground: Ground, planter: Planter) -> None:
    guide = ground.club.dialect == "guide"

    def member(first: str, last: str, email: str, **more: str) -> str:
        return planter.member(firstName=first, lastName=last, email=email, **more)

    wanted = {}
    for number, (first, (email, kind)) in enumerate(SPELLINGS.items()):
        if kind == "exact" and not guide:
            continue
        last, same = f"{first[::-1].capitalize()}quux", {"phone": f"+1 555 010 77{number:02}"}
        addresses = (f"{first.lower()}.quux@example.org", email)
        wanted[tuple(sorted(member(first, last, each, **same) for each in addresses))] = kind
    trio = sorted(
        member("Gwendolen", "Trefoil", each, phone="+1 555 010 9999")
        for each in ("gw.trefoil@example.org", "gwtrefoil@example.org", "gw.trefoil+a@example.org")
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
    found = ground.wb.duplicates.find()
    assert found.pairs.to_csv() == ground.wb.duplicates.find().pairs.to_csv()
    told = kinds(found.pairs)
    of_crowd = {pair for pair in told if crowd & {*pair}}
    assert len(of_crowd) == len(crowd) - 1, "each is listed beside the first only"
    assert any("14 members have one e-mail address" in each for each in found.said)
    assert found.uncompared
    assert {pair: kind for pair, kind in told.items() if pair not in of_crowd} == {
        **wanted, family: "normalised", contact: "wa_id",
    }  # fmt: skip
    assert {frozenset(each) for each in found.clusters["members"]} == {
        *map(frozenset, [*(pair for pair in wanted if not {*pair} <= {*trio}), trio])
    }, "neither a family's address nor one contact makes two people one"
    by_pair = {(each["left"], each["right"]): each for each in found.pairs.to_dict("records")}
    for pair in wanted:
        assert 0.8 <= by_pair[pair]["probability"] <= 1
        assert by_pair[pair]["why"]
    assert not by_pair[family]["offered"]
    assert "less than 5%" in by_pair[contact]["against"]
    words = "one Wild Apricot id is mapped to both" if guide else "made from one Wild Apricot contact"
    assert by_pair[contact]["why"] == words
    assert "quux" not in " ".join([*found.pairs["why"], *found.pairs["against"]]).lower()
    (cluster,) = [each for each in found.clusters.to_dict("records") if each["size"] == 3]
    of_trio = [by_pair[pair] for pair in combinations(trio, 2)]
    assert cluster["offered"] == all(each["offered"] for each in of_trio)
    assert cluster["probability"] == min(each["probability"] for each in of_trio)


def test_each_kind_of_double_of_an_event_and_its_registrations(ground: Ground, planter: Planter) -> None:
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
    lone, one, other = (planter.member(firstName=name, lastName=name) for name in ("Una", "Aurelia", "Wim"))
    ground.wb.duplicates.decide(one, other, "same")
    split = {
        tuple(sorted(planter.registration(lone, each) for each in twice)): "split_event",
        tuple(sorted(map(planter.registration, (one, other), twice))): "split_both",
    }
    if ground.club.dialect == "guide":
        alone = event("Alone", day)
        split[tuple(sorted(planter.registration(lone, alone) for _ in "12"))] = "exact"
    found = ground.wb.duplicates.find("Event")
    assert kinds(found.pairs) == wanted
    assert {frozenset(each) for each in found.clusters["members"]} == {*map(frozenset, wanted)}
    assert [kind for kind, sure in zip(found.pairs["kind"], found.pairs["offered"], strict=True) if sure] == [
        "exact"
    ]
    registrations = ground.wb.duplicates.find("Registration")
    assert kinds(registrations.pairs) == split
    assert {*registrations.pairs["event_cluster"]} - {""} == {twice[0]}
    masked = ground.open(unmask=False)
    told = repr(masked.duplicates(found=[masked.duplicates.find("Registration")]))
    assert "Merge the event records first" in told
    assert "Merge the member and event records first" in told


def test_what_cannot_be_asked_is_said_and_never_clean(ground: Ground, tmp_path) -> None:
    wb = ground.wb
    for asked, words in (
        (lambda: wb.duplicates.find("Membr"), "Member"),
        (lambda: wb.duplicates.find(threshold=1.5), "not a probability"),
        (lambda: wb.duplicates.find(threshold=0), "not a probability"),
        (lambda: wb.duplicates.find(model=tmp_path / "none.json"), "cannot be read"),
    ):
        with pytest.raises(UsageError, match=words):
            asked()
    events = wb.session.schema.resolved["events"]
    ground.execute(f'ALTER TABLE "{events.table}" DROP COLUMN "{events.spelling["title"]}" CASCADE')
    ground.execute('ALTER TABLE "Member" DROP COLUMN email CASCADE')
    wb = ground.open()
    found = wb.duplicates.find("Event")
    assert not found.clean
    assert "title" in found.not_run
    assert any('"email"' in each for each in wb.duplicates.find("Member").said)
    assert not wb.duplicates.find("Registration").clean


def test_a_large_group_costs_no_square() -> None:
    group = [str(number) for number in range(LARGEST_GROUP)]
    assert len([*within(group)]) == LARGEST_GROUP * (LARGEST_GROUP - 1) / 2
    many = [f"{n:05}" for n in range(5000)]
    assert list(within(many)) == [("00000", each) for each in many[1:]]
    assert set(within(["c", "a", "b", "a"])) == set(combinations("abc", 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café  Night!", "cafe night"),
        ("Straße", "STRASSE"),
        ("\uff26\uff55\uff4c\uff4c", "full"),
        ("a-b", "a b"),
    ],
)
def test_titles_fold(one: str, other: str) -> None:
    assert plain_title(one) == plain_title(other)
    assert plain_title("!!!") != plain_title("???"), "titles of signs alone stay apart"
