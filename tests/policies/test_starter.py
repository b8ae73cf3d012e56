"""Each rule of the starter set both ways: silent on the healthy club, and naming exactly what breaks it."""

from __future__ import annotations

import pytest

from tests.conftest import DIALECTS
from tests.policies.conftest import keys, rule
from workbench.checks.registry import STARTER, read_rules

NAMED_BY_THE_GUIDE = sorted(path.stem for path in STARTER[0].glob("*.sql"))

UNASKED = {"guide": {"registrations-past-the-deadline"}, "application": set()}

# Rule to statement that breaks it for one record, which the statement returns.
BREAK = {
    "events-over-capacity-limit": 'UPDATE "Event" SET capacity = 101 WHERE id = {event}',
    "events-overbooked": 'UPDATE "Event" SET capacity = 1 WHERE id = {full}',
    "events-invalid-dates": """UPDATE "Event" SET "endTime" = "startTime" - interval '1 hour' WHERE id = {quiet}""",
    "events-too-long": """UPDATE "Event" SET "endTime" = "startTime" + interval '32 days' WHERE id = {event}""",
    "events-start-in-range": """UPDATE "Event" SET "startTime" = '1926-01-01', "endTime" = NULL WHERE id = {quiet}""",
    "events-have-seats": 'UPDATE "Event" SET capacity = 0 WHERE id = {quiet}',
    "events-titled": """UPDATE "Event" SET title = E' \\u00a0\\t' WHERE id = {event}""",
    "members-joined-in-range": """UPDATE "Member" SET "joinedAt" = '2206-05-01' WHERE id = {member}""",
    "members-named": """UPDATE "Member" SET "lastName" = '' WHERE id = {member}""",
    "members-email-syntax": """UPDATE "Member" SET email = 'no,body@example.org' WHERE id = {member}""",
    "registrations-after-the-end": """UPDATE {reg} SET "registeredAt" = (SELECT "endTime" + interval '1 minute'
        FROM "Event" e WHERE e.id = "eventId") WHERE id = {seat}""",
    "registrations-past-the-deadline": """UPDATE "Event" SET "registrationDeadline" = '1999-01-01' WHERE id = {full}""",
}


def asked(club, **options):
    with club.workbench(**options) as wb:
        return {finding.check: finding for finding in wb.policies(sample=10_000).findings}


def test_the_healthy_club_keeps_every_rule(club):
    found = asked(club)
    assert list(found) == [*read_rules(None).checks]
    unanswered = {name for name, finding in found.items() if finding.status == "not run"}
    assert unanswered == UNASKED[club.club.dialect]
    assert {finding.status for name, finding in found.items() if name not in unanswered} == {"pass"}
    assert not any(finding.open for finding in found.values())
    for name in unanswered:
        assert "would supply" in found[name].reason


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_rule_names_what_breaks_it(clubs, dialect):
    club = clubs.clone(dialect)
    reg = '"Registration"' if dialect == "guide" else '"EventRegistration"'
    guests = (
        f"""SELECT "eventId" FROM {reg} WHERE status::text = 'CONFIRMED' GROUP BY 1 HAVING count(*) > 3"""
    )
    words = {
        "event": 'SELECT id FROM "Event" ORDER BY id LIMIT 1',
        "quiet": f'SELECT id FROM "Event" WHERE id NOT IN (SELECT "eventId" FROM {reg}) ORDER BY id LIMIT 1',
        "full": f"{guests} ORDER BY 1 LIMIT 1",
        "member": 'SELECT id FROM "Member" ORDER BY id LIMIT 1',
        "seat": f"SELECT id FROM {reg} ORDER BY id LIMIT 1",
    }
    words = {name: f"({text})" for name, text in words.items()} | {"reg": reg}
    for name in sorted(BREAK.keys() - UNASKED[dialect]):
        broken = clubs.copy(club)
        with broken.connect() as connection:
            (key,) = connection.execute(f"{BREAK[name].format(**words)} RETURNING id::text").fetchone()
        found = asked(broken)
        fired = found[name]
        assert fired.status == fired.severity
        if name == "registrations-past-the-deadline":
            assert set(fired.rows["event_id"].astype(str)) == {key}
        else:
            assert (keys(fired), fired.count) == ({key}, 1)
        assert {other for other, finding in found.items() if finding.status in {"fail", "warn"}} == {name}


def test_a_check_and_its_rule_are_one_question(club):
    *_, truth = club.breaks("over-capacity-limit", "overbooked", "ends-before-start", "private-visible")
    found = asked(club)["members-visibility"]
    assert (found.status, keys(found), found.risk) == ("fail", set(truth.keys), "critical")
    with club.workbench() as wb:
        checks, rules = wb.check(NAMED_BY_THE_GUIDE).findings, wb.policies(ids=NAMED_BY_THE_GUIDE).findings
    assert [check.check for check in checks] == [rule.check for rule in rules]
    for check, same in zip(checks, rules, strict=True):
        assert (check.status, check.count, check.query, check.title) == (
            same.status, same.count, same.query, same.title,
        )  # fmt: skip
        assert check.rows.equals(same.rows)


def test_the_check_follows_the_environments_own_rules(guide, write):
    club = guide
    club.execute('UPDATE "Event" SET capacity = 90 WHERE id = (SELECT id FROM "Event" ORDER BY id LIMIT 1)')
    mine = write(
        events_over_capacity_limit=rule(
            "SELECT id AS key FROM events WHERE capacity > 89", title="Too large", severity="warn"
        )
    )
    with club.workbench(policies=mine) as wb:
        found = {finding.check: finding for finding in wb.check(NAMED_BY_THE_GUIDE).findings}
    over = found["events-over-capacity-limit"]
    assert (over.status, over.title) == ("warn", "Too large")
    assert over.count
    assert found["events-overbooked"].status == "not run"
    assert not found["events-overbooked"].configured
    write(events_overbooked="SELECT 1")
    with club.workbench(policies=mine) as wb:
        (wrong,) = wb.check(["events-overbooked"]).findings
    assert (wrong.status, wrong.open) == ("not run", True)
    assert "events-overbooked" in wrong.reason


def test_the_limit_comes_from_the_settings_or_nothing_is_asked(guide):
    club = guide
    assert asked(club)["events-over-capacity-limit"].status == "pass"
    assert asked(club, event_capacity_limit=10)["events-over-capacity-limit"].status == "fail"
    unasked = asked(club, event_capacity_limit=None)["events-over-capacity-limit"]
    assert (unasked.status, unasked.configured) == ("not run", False)
