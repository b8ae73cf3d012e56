"""Each kind of double is found where it was planted, and nothing in a healthy club."""

from __future__ import annotations

from itertools import combinations

import psycopg
import pytest

from tests.conftest import Ground
from tests.duplicates.conftest import kinds, twins
from tests.planting import Planter
from workbench.duplicates.events import plain_title
from workbench.duplicates.pairs import LARGEST_GROUP, within
from workbench.errors import UsageError

ENTITIES = ("Member", "Event", "Registration")


def test_a_healthy_club_is_clean(club):
    wb = club.workbench()
    for entity in ENTITIES:
        found = wb.duplicates.find(entity)
        assert found.clean, found.pairs
        assert found.pairs.empty
        assert found.clusters.empty
        assert not found.uncompared


def test_what_the_demo_plants_is_found(club):
    truths = club.breaks("duplicate-members", "duplicate-events", "split-registrations")
    by_name = {each.breakage: each for each in truths}
    wb = club.workbench()
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


def test_the_same_data_give_the_same_bytes(ground: Ground, planter: Planter):
    twins(planter, "aurelia.quuxworthy@example.org", "aureliaquuxworthy+club@example.org", "aq@example.net")
    one, other = ground.wb.duplicates.find().pairs, ground.wb.duplicates.find().pairs
    assert len(one)
    assert one.to_csv() == other.to_csv()


@pytest.mark.parametrize(
    ("email", "kind"),
    [
        ("Aurelia.Quuxworthy@Example.org", "normalised"),
        ("aureliaquuxworthy@example.org", "normalised"),
        ("aurelia.quuxworthy+club@example.org", "normalised"),
        ("\uff41urelia.quuxworthy@example.org", "normalised"),  # a full-width letter
        ("aurelia.quuxworthy@elsewhere.example", "probable"),
        ("aurelia.quuxworthy@example.org", "exact"),
    ],
)
def test_each_kind_of_address(ground: Ground, planter: Planter, email: str, kind: str):
    if kind == "exact" and ground.club.dialect == "application":
        with pytest.raises(psycopg.errors.UniqueViolation):
            twins(planter, "aurelia.quuxworthy@example.org", email)
        return
    pair = tuple(twins(planter, "aurelia.quuxworthy@example.org", email))
    found = ground.wb.duplicates.find()
    assert kinds(found.pairs) == {pair: kind}
    assert found.clusters.iloc[0]["members"] == list(pair)
    row = found.pairs.iloc[0]
    assert 0.8 <= row["probability"] <= 1
    assert row["why"]
    assert "urelia" not in row["why"] + row["against"]


def test_a_family_with_one_address_is_not_one_person(ground: Ground, planter: Planter):
    one = planter.member(firstName="Aurelia", lastName="Quuxworthy", email="quuxworthy@example.org")
    other = planter.member(firstName="Bartholomew", lastName="Quuxworthy", email="quuxworthy+b@example.org")
    found = ground.wb.duplicates.find()
    assert set(kinds(found.pairs)) == {tuple(sorted((one, other)))}
    assert found.clusters.empty
    assert len(found.loose) == 1
    assert not found.pairs["offered"].any()
    assert not found.clean


def test_one_contact_on_two_members(ground: Ground, planter: Planter, dialect: str):
    if dialect == "application":
        raw = '{"waContactId": "990011"}'
        one = planter.member(firstName="Una", lastName="Vale", email="una@example.org", waRawData=raw)
        other = planter.member(firstName="Wim", lastName="Xander", email="wim@example.org", waRawData=raw)
        words = "made from one Wild Apricot contact"
    else:
        one = planter.member(firstName="Una", lastName="Vale", email="una@example.org")
        other = planter.member(firstName="Wim", lastName="Xander", email="wim@example.org")
        for key in (one, other):
            planter.mapping(990011, key)
        words = "one Wild Apricot id is mapped to both"
    found = ground.wb.duplicates.find()
    pair = tuple(sorted((one, other)))
    assert kinds(found.pairs) == {pair: "wa_id"}
    row = found.pairs.iloc[0]
    assert row["why"] == words
    assert "less than 5%" in row["against"]
    assert found.clusters.empty  # two names: rather a wrong mapping than one person


def test_clusters_are_of_three_and_only_all_together_sure(ground: Ground, planter: Planter):
    keys = twins(
        planter,
        "aurelia.quuxworthy@example.org",
        "aureliaquuxworthy@example.org",
        "aurelia.quuxworthy+a@example.org",
    )
    found = ground.wb.duplicates.find()
    (cluster,) = found.clusters.to_dict("records")
    assert cluster["members"] == keys
    assert cluster["size"] == 3
    assert cluster["offered"] == found.pairs["offered"].all()
    assert cluster["probability"] == found.pairs["probability"].min()


@pytest.mark.parametrize(
    ("title", "start", "kind"),
    [
        ("CAFÉ Night ", "2031-05-05 19:00", "exact"),
        ("Café  night", "2031-05-05 19:00", "normalised"),
        ("Cafe night!", "2031-05-05 19:00", "normalised"),
        ("Café night", "2031-05-05 21:30", "same_day"),
        ("Café night", "2031-05-06 19:00", None),
        ("Other night", "2031-05-05 19:00", None),
    ],
)
def test_each_kind_of_event(ground: Ground, planter: Planter, title: str, start: str, kind: str | None):
    schema = ground.wb.session.schema
    spelled = schema.resolved["events"].spelling
    if kind == "exact" and title.startswith("CAFÉ"):
        title = "CAFé Night "  # letters beyond ASCII have a case only where the database's locale says so
    pair = tuple(
        sorted(
            planter.event(**{spelled["title"]: name, spelled["start"]: when})
            for name, when in (("Café night", "2031-05-05 19:00"), (title, start))
        )
    )
    found = ground.wb.duplicates.find("Event")
    assert kinds(found.pairs) == ({pair: kind} if kind else {})
    assert len(found.clusters) == (kind in {"exact", "normalised"})
    assert found.pairs["offered"].any() == (kind == "exact")
    if kind == "same_day":
        assert found.pairs.iloc[0]["against"] == "starts 2 h 30 min apart: perhaps two sittings"


def test_registrations_on_two_records_of_one_event(ground: Ground, planter: Planter):
    spelled = ground.wb.session.schema.resolved["events"].spelling
    events = sorted(
        planter.event(**{spelled["title"]: "Café night", spelled["start"]: "2031-05-05 19:00"})
        for _ in range(2)
    )
    lone = planter.member(firstName="Una", lastName="Vale", email="una@example.org")
    pair = twins(planter, "aurelia.quuxworthy@example.org", "aureliaquuxworthy@example.org")
    split_event = tuple(sorted(planter.registration(lone, event) for event in events))
    split_both = tuple(
        sorted(planter.registration(member, event) for member, event in zip(pair, events, strict=True))
    )
    found = ground.wb.duplicates.find("Registration")
    assert kinds(found.pairs) == {split_event: "split_event", split_both: "split_both"}
    assert set(found.pairs["event_cluster"]) == {events[0]}


def test_one_member_twice_at_one_event(ground: Ground, planter: Planter, dialect: str):
    event = planter.event()
    member = planter.member(firstName="Una", lastName="Vale", email="una@example.org")
    one = planter.registration(member, event)
    if dialect == "application":
        with pytest.raises(psycopg.errors.UniqueViolation):
            planter.registration(member, event)
        return
    pair = tuple(sorted((one, planter.registration(member, event))))
    assert kinds(ground.wb.duplicates.find("Registration").pairs) == {pair: "exact"}


def test_a_large_group_costs_no_square():
    assert (
        len(list(within([str(n) for n in range(LARGEST_GROUP)]))) == LARGEST_GROUP * (LARGEST_GROUP - 1) / 2
    )
    many = [f"{n:05}" for n in range(5000)]
    assert list(within(many)) == [("00000", each) for each in many[1:]]
    assert set(within(["c", "a", "b", "a"])) == set(combinations("abc", 2))


def test_one_address_for_everybody_is_said_and_joins_nobody(ground: Ground, planter: Planter):
    names = ("Una", "Wim", "Xaver", "Yolanda", "Zacharias", "Ottilie", "Cosmo", "Drusilla", "Emeric", "Fenella",
             "Gideon", "Hester", "Ignatius", "Jocasta")  # fmt: skip
    for number, name in enumerate(names):
        planter.member(firstName=name, lastName=f"{name}son", email=f"none+{number}@example.org")
    found = ground.wb.duplicates.find()
    assert len(found.pairs) == len(names) - 1
    assert found.clusters.empty
    assert any("14 members have one e-mail address" in each for each in found.said)
    assert found.uncompared


def test_a_missing_column_is_said_and_never_clean(ground: Ground):
    events = ground.wb.session.schema.resolved["events"]
    ground.execute(f'ALTER TABLE "{events.table}" DROP COLUMN "{events.spelling["title"]}" CASCADE')
    ground.execute('ALTER TABLE "Member" DROP COLUMN email CASCADE')
    wb = ground.open()
    found = wb.duplicates.find("Event")
    assert not found.clean
    assert "title" in found.not_run
    assert any('"email"' in each for each in wb.duplicates.find("Member").said)
    assert not wb.duplicates.find("Registration").clean


def test_wrong_questions_are_refused(ground: Ground, tmp_path):
    wb = ground.wb
    with pytest.raises(UsageError, match="Member"):
        wb.duplicates.find("Membr")
    for threshold in (0, -1, 1.5):
        with pytest.raises(UsageError, match="not a probability"):
            wb.duplicates.find("Member", threshold)
    with pytest.raises(UsageError, match="cannot be read"):
        wb.duplicates.find("Member", model=tmp_path / "none.json")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café  Night!", "cafe night"),
        ("Straße", "STRASSE"),
        ("\uff26\uff55\uff4c\uff4c", "full"),
        ("a-b", "a b"),
    ],
)
def test_titles_fold(one: str, other: str):
    assert plain_title(one) == plain_title(other)


def test_titles_of_signs_stay_apart():
    assert plain_title("!!!") != plain_title("???")
    assert plain_title("") == ""
