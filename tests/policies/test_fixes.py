"""Corrections by rule: planned, applied, silent, undone; and what is left alone, with the reason."""

from __future__ import annotations

import json

import pytest

from tests.policies.conftest import keys, rule, starter
from workbench.errors import Refused, UsageError

SEATS = "(SELECT count(*) AS taken FROM registrations WHERE event_id = events.id AND status = 'CONFIRMED') AS seats"


def clamp(limit=100, where="true"):
    """Return a rule of a limit, with its correction."""
    return rule(
        f"SELECT id AS key, title, capacity FROM events, here WHERE capacity > {limit} AND {where}",
        f"""SELECT 'events' AS "table", id AS key, 'capacity' AS "column", {limit} AS value,
                   CASE WHEN taken > {limit} THEN taken || ' do not fit ' || {limit} END AS doubt
            FROM events, here, LATERAL {SEATS} WHERE capacity > {limit} AND {where}""",
        title="Too large",
    )


CLAMP, SWAP, HIDE = clamp(), starter("events-invalid-dates"), starter("members-visibility")
BREAKAGES = ("over-capacity-limit", "ends-before-start", "private-visible")


def changed(before, club):
    return set(club.changed(before))


def breaks(club):
    return {truth.breakage: truth.keys for truth in club.breaks(*BREAKAGES)}


def test_plan_apply_silent_undo(club, write):
    truth = breaks(club)
    path = write(large=CLAMP, backwards=SWAP, seen=HIDE)
    before = club.state()
    wb = club.open()
    plan = wb.policies.plan(rules=path)
    again = wb.policies.plan(rules=path)
    assert (plan.digest, plan.kept, plan.unresolved) == (again.digest, [], [])
    photos = "FileObject" if club.club.dialect == "application" else "Member"
    harmed = len(truth["over-capacity-limit"]) + len(truth["ends-before-start"])
    assert plan.changes == {"Event": {"update": harmed}, photos: {"update": len(truth["private-visible"])}}
    assert changed(before, club) == set()
    club.carry_out(plan)
    assert {finding.check: finding.status for finding in wb.policies(path).findings} == dict.fromkeys(
        ("large", "backwards", "seen"), "pass"
    )
    assert changed(before, club) == {"Event", photos}
    # The day that the breakage put before the start is a start now, and the start the end.
    entries = wb.audit.entries(action="migration:policy:corrected")
    assert list(entries["action"]) == ["migration:policy:corrected"] * 3
    facts = {entry["rule"]: entry for entry in entries["metadata"]}
    assert set(facts["large"]["records"]) == truth["over-capacity-limit"]
    assert facts["large"]["records_affected"] == len(truth["over-capacity-limit"])
    assert facts["large"]["rules_sha256"] == wb.policies.rules(path).sha256
    assert {finding.check: finding.status for finding in wb.check(["audit-metadata"]).findings} == {
        "audit-metadata": "pass"
    }
    with pytest.raises(Refused, match="nothing to correct"):
        wb.policies.plan(rules=path)
    club.undo(plan)
    assert changed(before, club) == set()
    assert (
        set(map(str, keys({e.check: e for e in wb.policies(path).findings}["large"])))
        == truth["over-capacity-limit"]
    )


def test_what_people_changed_since_is_kept_and_listed(clubs, write):
    club = clubs.clone("guide")
    truth = breaks(club)
    mine = sorted(truth["over-capacity-limit"])[0]
    club.execute(
        """UPDATE "Event" SET location = 'The barn', "updatedAt" = '2026-05-31 12:00:00' WHERE id::text = %s""",
        mine,
    )
    plan = club.open().policies.plan(["large"], rules=write(large=CLAMP, backwards=SWAP))
    assert plan.changes == {"Event": {"update": len(truth["over-capacity-limit"]) - 1}}
    assert [row["key"] for row in plan.kept] == [mine]
    assert "changed it after run" in str(plan.kept[0]["reason"])


def test_photos_written_after_the_last_import_are_kept(clubs, write):
    club = clubs.clone("application")
    club.breaks("private-visible")
    club.execute("""UPDATE "FileObject" SET "updatedAt" = '2026-05-31 12:00:00' WHERE "isPublic" """)
    with pytest.raises(Refused, match=r"nothing to correct.*somebody changed it after the last import"):
        club.open().policies.plan(rules=write(seen=HIDE))


def test_what_no_import_wrote_is_left_unresolved(clubs, write):
    club = clubs.clone("guide")
    truth = breaks(club)
    mine = sorted(truth["over-capacity-limit"])[0]
    copied = 'INSERT INTO "Event" SELECT (jsonb_populate_record(e, %s)).* FROM "Event" e WHERE id::text = %s'
    facts = {"id": "00000000-0000-4000-8000-000000000001", "title": "People's own", "importRunId": None}
    club.execute(copied, json.dumps(facts), mine)
    plan = club.open().policies.plan(rules=write(large=CLAMP))
    assert [(row["key"], row["reason"]) for row in plan.unresolved] == [
        (facts["id"], "it is not known whether an import wrote it last; it may be people's own")
    ]
    assert plan.total == len(truth["over-capacity-limit"])


def test_a_capacity_is_not_lowered_below_the_guests(clubs, write):
    club = clubs.clone("guide")
    truth = breaks(club)
    reg = '"Registration"'
    with club.connect() as connection:
        guests = dict(
            connection.execute(
                f"""SELECT "eventId"::text, count(*) FROM {reg} WHERE status::text = 'CONFIRMED' GROUP BY 1"""
            ).fetchall()
        )
    most = sorted(guests.get(key, 0) for key in truth["over-capacity-limit"])[-1]
    plan = club.open().policies.plan(rules=write(low=clamp(most - 1, "NOT start > now")))
    left = {str(row["key"]): str(row["reason"]) for row in plan.unresolved}
    assert {key for key in left if "do not fit" in left[key]} == {
        key for key, count in guests.items() if count > most - 1 and key in left
    }
    assert any(f"{most} do not fit {most - 1}" in reason for reason in left.values())


def test_events_that_a_swap_would_not_mend_are_unresolved(clubs, write):
    club = clubs.clone("guide")
    truth = breaks(club)
    one, two = sorted(truth["ends-before-start"])
    three = min(truth["over-capacity-limit"])
    reg = '"Registration"'
    club.execute(
        """UPDATE "Event" SET "endTime" = "startTime" - interval '40 days' WHERE id::text = %s""", one
    )
    club.execute(
        f"""UPDATE {reg} r SET "registeredAt" = e."startTime" + interval '1 hour', "eventId" = e.id FROM "Event" e
            WHERE e.id::text = %s AND r.id = (SELECT id FROM {reg} ORDER BY id LIMIT 1)""",
        two,
    )
    club.execute(
        """UPDATE "Event" SET "endTime" = "startTime" - interval '2 hours' WHERE id::text = %s""", three
    )
    path = write(
        backwards=SWAP,
        long=starter("events-too-long"),
        late=starter("registrations-after-the-end"),
        named=starter("events-titled"),
    )
    plan = club.open().policies.plan(["backwards"], rules=path)
    assert plan.changes == {"Event": {"update": 1}}
    left = {str(row["key"]): str(row["reason"]) for row in plan.unresolved}
    assert set(left) == {one, two}
    assert "(long)" in left[one]
    assert "(late)" in left[two]
    assert [row[0] for row in plan.rows(plan.operations[0])] == [three]


def test_two_rules_about_one_event_make_one_change(clubs, write):
    club = clubs.clone("guide")
    club.execute(
        """UPDATE "Event" SET capacity = 500, "endTime" = "startTime" - interval '2 hours' WHERE id =
           (SELECT id FROM "Event" WHERE id NOT IN (SELECT "eventId" FROM "Registration") AND "importRunId" IS NOT NULL ORDER BY id LIMIT 1)"""
    )
    before = club.state()
    wb = club.open()
    path = write(large=CLAMP, backwards=SWAP, twice=SWAP)
    plan = wb.policies.plan(rules=path)
    assert plan.changes == {"Event": {"update": 1}}
    assert plan.operations[0].changed == ("capacity", "endTime", "startTime")
    ((_, _, *values),) = plan.rows(plan.operations[0])
    assert values[0::3] == ["500", "100"]
    club.carry_out(plan)
    assert {finding.status for finding in wb.policies(path).findings} == {"pass"}
    club.undo(plan)
    assert changed(before, club) == set()


def test_what_two_rules_want_differently_is_left_alone(clubs, write):
    club = clubs.clone("guide")
    truth = breaks(club)
    with pytest.raises(Refused, match="nothing to correct"):
        club.open().policies.plan(rules=write(large=CLAMP, larger=clamp(300)))
    plan = club.open().policies.plan(rules=write(backwards=SWAP))
    assert {str(row["key"]) for row in plan.unresolved} == truth["over-capacity-limit"]


def test_a_hostile_title_is_text_and_stays(clubs, write):
    club = clubs.clone("application")
    title = '\'; DROP TABLE "Event"; --\t\\.\n=HYPERLINK(1) <script>'
    (truth,) = club.breaks("over-capacity-limit")
    club.execute('UPDATE "Event" SET title = %s WHERE capacity = 500', title)
    before = club.state()
    wb = club.open()
    hostile = CLAMP.replace("'Too large'", "'''<script>alert(1)</script> '; DROP TABLE x'''")
    plan = wb.policies.plan(rules=write(large=hostile))
    club.carry_out(plan)
    with club.connect() as connection:
        rows = connection.execute(
            'SELECT title, capacity FROM "Event" WHERE id::text = ANY(%s)', [list(truth.keys)]
        )
        assert set(rows.fetchall()) == {(title, 100)}
    club.undo(plan)
    assert changed(before, club) == set()


def test_nothing_is_planned_without_a_word_of_how(guide, write):
    club, wb = guide, guide.open()
    alone = rule("SELECT id AS key FROM events WHERE capacity > 100")
    odd = """SELECT 'events' AS "table", id AS key, 'colour' AS "column", 'red' AS value FROM events"""
    less = """SELECT 'events' AS "table", id AS key FROM events"""
    for ids, file, words in (
        ((), None, "no fix"),
        (["large"], write("a", large=alone, backwards=SWAP), "no fix: large"),
        (["larg"], write("b", large=CLAMP), "large"),
        ((), write("c", own=rule("SELECT 1 AS key", odd)), "events.colour"),
        ((), write("d", own=rule("SELECT 1 AS key", less)), "column, value"),
    ):
        with pytest.raises(UsageError, match=words):
            wb.policies.plan(ids, rules=file)
    with pytest.raises(Refused, match="nothing to correct"):
        wb.policies.plan(rules=write(large=CLAMP))
    club.execute('ALTER TABLE "Event" DROP COLUMN capacity')
    with pytest.raises(Refused, match="could not be checked"):
        club.open().policies.plan(rules=write(large=CLAMP))
    assert not list(club.plans.glob("*"))
