"""Records that break the organisation's rules (guide, §1.5)."""

from __future__ import annotations

from workbench.demo.breakages.ground import events_of, run
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.doings import restricted
from workbench.demo.shape import CAPACITY_LIMIT


def _events(club: Club, breakage: str) -> list[str]:
    return [club.shape.id("Event", number) for number in events_of(club, breakage)]


@breakage("§1.5", "Events exceed capacity limits", "events-over-capacity-limit")
def over_capacity_limit(connection: Connection, club: Club) -> Harm:
    """Give some events five times the capacity the organisation allows."""
    name = "over-capacity-limit"
    events = _events(club, name)
    run(connection, club, 'UPDATE "Event" SET capacity = 500 WHERE id = ANY(%s::{ids})', events)
    return events, {"limit": CAPACITY_LIMIT}


@breakage("§1.5", "Events exceed capacity limits", "events-overbooked")
def overbooked(connection: Connection, club: Club) -> Harm:
    """Lower some events' capacity beneath the number of their confirmed guests."""
    name = "overbooked"
    events = _events(club, name)
    run(
        connection,
        club,
        """
        UPDATE "Event" e SET capacity = c.confirmed - 2
        FROM (
            SELECT "eventId", count(*) AS confirmed FROM {registrations}
            WHERE status::text = 'CONFIRMED' GROUP BY 1
        ) c
        WHERE c."eventId" = e.id AND e.id = ANY(%s::{ids})
        """,
        events,
    )
    return events, {}


@breakage("§1.5", "Members in wrong visibility groups", "members-visibility")
def private_visible(connection: Connection, club: Club) -> Harm:
    """Show private members to everybody; in the application, photos that only some may see."""
    shape = club.shape
    if club.dialect == "guide":
        found = run(
            connection,
            club,
            """
            UPDATE "Member" SET visibility = 'PUBLIC' WHERE id IN (
                SELECT id FROM "Member" WHERE "isPrivate" AND "importRunId" = %s ORDER BY id LIMIT 3
            ) RETURNING id
            """,
            next(each.run for each in club.runs if each.mode == "live"),
        )
        keys = frozenset(row[0] for row in found)
    else:
        members = [shape.id("Member", n) for n in range(5, min(shape.first_members, 75), 10) if restricted(n)]
        run(
            connection,
            club,
            """
            UPDATE "FileObject" SET "isPublic" = true
            WHERE id IN (SELECT "profilePhotoId" FROM "Member" WHERE id = ANY(%s::{ids}))
            """,
            members,
        )
        keys = frozenset(members)
    return keys, {}


@breakage("§1.5", "Invalid date ranges", "events-invalid-dates")
def ends_before_start(connection: Connection, club: Club) -> Harm:
    """Let some events end the day before they begin."""
    name = "ends-before-start"
    events = _events(club, name)
    run(
        connection,
        club,
        """UPDATE "Event" SET "endTime" = "startTime" - interval '1 day' WHERE id = ANY(%s::{ids})""",
        events,
    )
    return events, {}
