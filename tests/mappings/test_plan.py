"""Plans of corrections: applied the checks fall silent, undone everything is as before."""

from __future__ import annotations

import json

import pytest

from tests.mappings.conftest import CHECKS
from workbench.errors import Refused, UsageError
from workbench.mappings.plan import refuse_taken


def failing(wb):
    return {finding.check for finding in wb.check(CHECKS).findings if finding.status != "pass"}


def test_a_part_of_a_cycle_is_refused_and_completed(application):
    club = application
    for truth in club.breaks("swapped-mappings", "cycle-of-three"):
        right = truth.detail["right"]
        key, record = sorted(right.items())[0]
        with club.open() as wb:
            before = len(wb.plans.states())
            with pytest.raises(Refused, match="--whole-cycle"):
                wb.mappings.plan(("Member", key.split("/")[1], record))
            assert len(wb.plans.states()) == before
            asked = ("member", key.split("/")[1], record, "asked them")
            plan = wb.mappings.plan(asked, whole_cycle=True)
            assert plan.changes == {"WaIdMapping": {"update": len(right)}}
            club.carry_out(plan)
    with club.open() as wb:
        assert failing(wb) == set()


def test_both_spellings_of_the_target_say_the_same_afterwards(application):
    club = application
    (truth,) = club.breaks("wrong-person")
    club.execute('ALTER TABLE "WaIdMapping" ADD COLUMN "murmurantId" uuid')
    club.execute('UPDATE "WaIdMapping" SET "murmurantId" = "clubosId"')
    ((key, record),) = truth.detail["right"].items()
    with club.open() as wb:
        club.carry_out(wb.mappings.plan(("Member", key.split("/")[1], record)))
        assert failing(wb) == set()
    targets = """SELECT "murmurantId"::text, "clubosId"::text FROM "WaIdMapping"
        WHERE "waId" = %s AND "entityType" = 'Member'"""
    assert club.ask(targets, key.split("/")[1]) == [(record, record)]


def import_through(club, taken):
    """Let a run take a wrong record for each id and bring a registration for it, all for one event that none of them has."""
    brought = [f"f0000000-0000-4000-a000-{number:012}" for number in range(len(taken))]
    moment = "2026-05-25 10:00:00"
    (event,) = club.ask(
        """SELECT e.id::text FROM "Event" e WHERE NOT EXISTS (SELECT FROM "EventRegistration" r
           WHERE r."eventId" = e.id AND r."memberId"::text = ANY(%s)) ORDER BY 1 LIMIT 1""",
        [*taken.values()],
    )
    for number, (key, (wa_id, wrong)) in enumerate(zip(brought, taken.items(), strict=True)):
        club.execute(
            """INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
               VALUES (%s, %s, %s, 'CONFIRMED', %s, %s, %s)""",
            *(key, event, wrong, moment, moment, moment),
        )
        for action, kind, record, number_there in (
            ("UPDATE", "Member", wrong, wa_id),
            ("CREATE", "EventRegistration", key, 999000 + number),
        ):
            facts = {
                "waId": int(number_there),
                "source": "wa_import",
                "syncRunId": "sync_1779703140000_aaaaaa",
            }
            club.execute(
                """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
                   VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)""",
                *(action, kind, record, json.dumps(facts), moment),
            )
    return brought


def members_of(club, registrations):
    table = "Registration" if club.club.dialect == "guide" else "EventRegistration"
    with club.connect() as connection:
        return dict(
            connection.execute(
                f'SELECT id::text, "memberId"::text FROM "{table}" WHERE id::text = ANY(%s)', (registrations,)
            ).fetchall()
        )


def test_what_a_run_brought_through_a_swap_moves_with_it(broken):
    club, truths = broken("swapped-mappings", "imported-through-swap")
    truth = truths["imported-through-swap"].detail
    (key, record), (_, other) = sorted(truth["right"].items())
    right = truth["registrations"]
    assert set(right.values()) == {record, other}
    assert members_of(club, list(right)) == {
        registration: other if member == record else record for registration, member in right.items()
    }
    before = club.state()
    with club.open() as wb:
        found = wb.mappings.findings().registrations
        assert dict(zip(found["registration"], found["right"], strict=True)) == right
        assert set(found["through"]) == set(truth["right"])
        assert found["moves"].all()
        stays = wb.mappings.plan(("Member", key.split("/")[1], record), whole_cycle=True)
        assert stays.changes == {"WaIdMapping": {"update": 2}}
        assert "--move-records" in " ".join(stays.notes)
        plan = wb.mappings.plan(wb.mappings.sure(), move_records=True)
        assert plan.changes == {
            "WaIdMapping": {"update": 4},
            wb.session.schema.table_of("Registration"): {"update": 2},
        }
        club.carry_out(plan)
        assert failing(wb) == set()
        assert members_of(club, list(right)) == right
        assert not len(wb.mappings.findings().registrations)
        club.undo(plan)
    assert club.changed(before) == {}


@pytest.mark.parametrize(("name", "forbidden"), [("cycle-of-three", True), ("swapped-mappings", False)])
def test_registrations_for_one_event_change_places(application, name, forbidden):
    club = application
    (truth,) = club.breaks(name)
    if not forbidden:
        club.execute('DROP INDEX "EventRegistration_eventId_memberId_key"')
    right = truth.detail["right"]
    leads = [*list(right.values())[1:], next(iter(right.values()))]
    taken = {key.split("/")[1]: wrong for key, wrong in zip(right, leads, strict=True)}
    brought = import_through(club, taken)
    assert list(members_of(club, brought).values()) == leads
    before = club.state()
    with club.open() as wb:
        assert wb.session.schema.forbids_twins("registrations", "event_id", "member_id") is forbidden
        plan = wb.mappings.plan(wb.mappings.sure(), move_records=True)
        assert not plan.conflicts
        assert plan.changes["EventRegistration"] == {"update": len(right)}
        club.carry_out(plan)
        assert failing(wb) == set()
        assert list(members_of(club, brought).values()) == list(right.values())
        club.undo(plan)
    assert club.changed(before) == {}


def test_what_somebody_moved_by_hand_stays(application):
    club = application  # the guide's audit log cannot say what a person changed
    (truth,) = club.breaks("registrations-on-wrong-event")
    moved = sorted(truth.keys)
    club.execute(
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", before, "createdAt")
           VALUES (gen_random_uuid(), 'UPDATE', 'EventRegistration', %s, '{"eventId": "x"}', now())""",
        moved[0],
    )
    with club.open() as wb:
        plan = wb.mappings.plan(wb.mappings.sure(), move_records=True)
    assert [row["key"] for row in plan.kept] == [moved[0]]
    assert plan.changes["EventRegistration"] == {"update": 1}


def test_moves_to_places_that_stay_taken_are_refused():
    now = {"a": ("e", "1"), "b": ("e", "2"), "c": ("e", "3"), "d": ("f", "1")}
    chain = {"a": ("e", "2"), "b": ("e", "4")}
    assert refuse_taken(now, chain) == {}
    swap = {"a": ("e", "2"), "b": ("e", "1")}
    assert refuse_taken(now, swap) == {}
    assert refuse_taken(now, {"a": ("e", "3"), "d": ("e", "1")}) == {"a": "c", "d": "a"}
    assert refuse_taken(now, {"a": ("g", "1"), "b": ("g", "1")}) == {"a": "b", "b": "a"}


def test_nothing_is_planned_until_every_line_is_right(application, tmp_path):
    club = application
    (truth,) = club.breaks("wrong-person")
    ((key, record),) = truth.detail["right"].items()
    wa_id, shape = key.split("/")[1], club.club
    path = tmp_path / "table.csv"
    with club.open() as wb:
        for arguments, said in (
            (("Membr", wa_id, record), "no entity"),
            (("Member", "50", record), "not mapped"),
            (("Member", wa_id, shape.id("Event", 3)), "another entity"),
            (("Member", wa_id, "nobody"), "there is no Member"),
        ):
            with pytest.raises(UsageError, match=said):
                wb.mappings.plan(arguments)
        with pytest.raises(Refused, match="nothing to do"):
            wb.mappings.plan(("Member", str(shape.wa_id("Member", 40)), shape.id("Member", 40)))
        for content, said in (
            (b"", "is empty"),
            (b"entity,waid,new_id,reason\nMember,1,2,x\n", "no column 'wa_id'"),
            ("entity,wa_id,new_id,reason\nMember,1,2,M\xfcller\n".encode("latin-1"), "not in UTF-8: line 2 "),
            ("entity,wa_id,new_id\n".encode("utf-16"), "UTF-8"),
            (b"entity;wa_id;new_id\nMember;1;2\n", "line 2: WA id '1' is not mapped"),
            (b"entity,wa_id,new_id,reason\nMember,1\n", "line 2: it has 2 columns where the header has 4"),
            (b"entity,wa_id,new_id,resaon\nMember,1,2,x\n", "unknown column 'resaon'"),
        ):
            path.write_bytes(content)
            with pytest.raises(UsageError, match=said) as caught:
                wb.mappings.plan(path)
            assert caught.value.exit_code == 2
        # Everything that is wrong is told at once.
        lines = [
            "Entity, wa_id ,new_id,reason", f"Member,{wa_id},{record},=1+1", f"Member,{wa_id},{shape.id('Member', 0)},",
            f"Person,{wa_id},{record},", f"Member,77,{record},", f"Member,{shape.wa_id('Member', 18)},{shape.id('Event', 1)},",
            "Member,1",
        ]  # fmt: skip
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
        with pytest.raises(UsageError) as caught:
            wb.mappings.plan(path)
        said = caught.value.what
        assert all(f"line {number}:" in said for number in (3, 4, 5, 6, 7))
        assert "line 2:" not in said
        assert not len(wb.plans.states())
        path.write_text("\ufeff" + "\r\n".join(lines[:2]), encoding="utf-8")
        assert wb.mappings.plan(path).parameters["corrections"][0]["reason"] == "=1+1"


def test_values_are_data_in_tables(tmp_path):
    from workbench.murmurant.listings import read_csv, write_csv

    values = ["=1+1", "'=1", "+1", "a,b", 'say "x"', "'plain", "\u202edx", "-2", "@x"]
    path = tmp_path / "t.csv"
    write_csv(path, ["entity", "wa_id"], [{"entity": value, "wa_id": "1"} for value in values])
    assert not any(
        line.startswith(("=", "+", "-", "@")) for line in path.read_text(encoding="utf-8").splitlines()
    )
    listing = read_csv(path)
    assert [line.cells["entity"] for line in listing.lines(listing.header)] == values
