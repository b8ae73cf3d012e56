"""Is everybody here? Wild Apricot's own exports beside the database: every fault that was planted, and no other."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.recorded import recording as recording

MEMBERS = (
    "User ID,First name,Last name,e-Mail,Phone,Member since,Membership level,Profile last updated,Archived"
)
EVENTS = "Event ID,Event title,Start date,End date,Registration limit"
REGISTRATIONS = "Registration ID,User ID,Event ID,Registration status"


class Exported(dict[str, list[list[str]]]):
    """What Wild Apricot exports of the club in a database: a header and rows for each kind."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            column = "SELECT column_name FROM information_schema.columns WHERE table_name = "
            names = {name for (name,) in connection.execute(f"{column}'WaIdMapping'")}
            tables = {
                name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables")
            }
            of_members = {name for (name,) in connection.execute(f"{column}'Member'")}
            self.target = "murmurantId" if "murmurantId" in names else "clubosId"
            self.table = "Registration" if "Registration" in tables else "EventRegistration"
            level = next(each for each in ("waMembershipLevelRaw", "membershipLevel") if each in of_members)
            who = f"""SELECT DISTINCT ON ("{self.target}") "waId"::text AS wa_id, "{self.target}"::text AS id FROM "WaIdMapping" WHERE "entityType" = """
            once = f"""ORDER BY "{self.target}", "waId" """
            form = "MM/DD/YYYY HH24:MI"
            asked = {
                MEMBERS: f"""SELECT w.wa_id, "firstName", "lastName", email, phone, to_char("joinedAt", 'MM/DD/YYYY'), "{level}",
                    '12/01/2025 10:00', 'no' FROM "Member" p JOIN ({who} 'Member' {once}) w ON w.id = p.id::text ORDER BY 1""",
                EVENTS: f"""SELECT w.wa_id, title, to_char("startTime", '{form}'), to_char("endTime", '{form}'), capacity
                    FROM "Event" e JOIN ({who} 'Event' {once}) w ON w.id = e.id::text ORDER BY 1""",
                REGISTRATIONS: f"""SELECT r.wa_id, w.wa_id, e.wa_id, initcap(replace(t.status::text, '_', ' ')) FROM "{self.table}" t
                    JOIN ({who} '{self.table}' {once}) r ON r.id = t.id::text
                    JOIN ({who} 'Member' {once}) w ON w.id = t."memberId"::text
                    JOIN ({who} 'Event' {once}) e ON e.id = t."eventId"::text ORDER BY 1""",
            }
            for header, statement in asked.items():
                rows = [
                    ["" if cell is None else str(cell) for cell in row]
                    for row in connection.execute(statement)
                ]
                self[header.split(",")[0].split()[0]] = [header.split(","), *rows]

    def save(self, folder: Path, **how: str) -> Path:
        folder.mkdir(exist_ok=True)
        for kind, rows in self.items():
            path = folder / f"{kind}.csv"
            with path.open("w", newline="", encoding=how.get("encoding", "utf-8-sig")) as file:
                csv.writer(file, delimiter=how.get("separator", ",")).writerows(rows)
        return folder


def answered(run, *arguments):
    """Run the command; return its exit code and its JSON, in which every ``next`` is a command that exists."""
    done = run("reconcile", *arguments, "--json")
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode == 0) is told["go"]
    for table in ("missing", "left_out", "extra", "differs", "unmapped"):
        for row in told[table]:
            assert row["entity"] in ("Member", "Event", "Registration")
            if row["next"]:
                assert row["next"].startswith("workbench ")
                assert row["next"].endswith(" -e club")
    return told


def ids(rows, entity):
    return {row["wa_id"] for row in rows if row["entity"] == entity}


def of_the_sync(rows):
    """Leave out what the demo's CSV import brought, which no mapping leads to, and the export does not list."""
    return [row for row in rows if str(row["wa_id"]).isdigit()]


def quiet(told):
    if any(told[table] for table in ("missing", "left_out", "differs", "shifts")):
        return False
    return not of_the_sync(told["extra"])


def number(rows, wa_id):
    return next(at for at, row in enumerate(rows) if row[0] == str(wa_id))


@pytest.mark.parametrize("how", [{}, {"encoding": "utf-16", "separator": "\t"}, {"separator": ";"}])
def test_a_healthy_club_is_all_here(at, club, tmp_path, how):
    export = Exported(club.url)
    folder = export.save(tmp_path / "wa", **how)
    told = answered(at(club), "--export", str(folder))
    assert told["go"]
    assert quiet(told)
    for entity, rows in zip(("Member", "Event", "Registration"), export.values(), strict=True):
        counts = told["counts"][entity]
        assert counts["export"] == counts["found"] == len(rows) - 1


def test_each_planted_fault_is_found_and_nothing_else(at, club, tmp_path):
    """One member deleted, one only there, one only here, one renamed, one mapping and one registration astray."""
    export = Exported(club.url)
    shape, target, table = club.club.shape, export.target, export.table
    gone, renamed, mailed, astray, other, moved = (
        str(shape.wa_id("Member", each)) for each in (20, 30, 31, 40, 90, 50)
    )
    members, registrations = export["User"], export["Registration"]
    members.append(["99001", "Zoë", '=HYPERLINK("x")', "zoe@example.org", "", "", "", "", "no"])
    members.append(["99002", "<b>No", "Mail</b>", "", "", "", "", "", "no"])
    members.append(["99003", "Ann", "Archive", "ann@example.org", "", "", "", "", "Yes"])
    members.append(["", "No", "Id", "noid@example.org", "", "", "", "", "no"])
    registrations.append(["990001", "99002", registrations[1][2], "Confirmed"])
    registrations.append(["990002", "99001", registrations[1][2], "Confirmed"])
    members[number(members, renamed)][2] = "O'Hara"
    members[number(members, mailed)][3] = members[number(members, mailed)][3].upper()  # the same address
    members[number(members, mailed)][4] = (
        "+1 (" + members[number(members, mailed)][4][:3] + ") " + members[number(members, mailed)][4][3:]
    )
    extra = shape.wa_id("Member", 60)
    del members[number(members, extra)]
    registrations[:] = [row for row in registrations if row[1] != str(extra)]
    folder = export.save(tmp_path / "wa")

    with psycopg.connect(club.url) as connection:
        record = dict(
            connection.execute(
                f"""SELECT "waId"::text, "{target}"::text FROM "WaIdMapping" WHERE "entityType" = 'Member'"""
            ).fetchall()
        )
        cast = "uuid" if target == "clubosId" else "text"
        connection.execute(
            f"""UPDATE "WaIdMapping" SET "{target}" = %s::{cast} WHERE "entityType" = 'Member' AND "waId"::text = %s""",
            (record[other], astray),
        )
        # One registration of somebody goes to another event, where they were not.
        key, _was, now = connection.execute(
            f"""SELECT t.id::text, t."eventId"::text, (SELECT min(e.id::text) FROM "Event" e WHERE NOT EXISTS (SELECT FROM "{table}" o
                WHERE o."eventId" = e.id AND o."memberId" = t."memberId")) FROM "{table}" t
                JOIN "WaIdMapping" m ON m."{target}" = t.id WHERE t."memberId"::text = %s ORDER BY 1 LIMIT 1""",
            (record[moved],),
        ).fetchone()
        connection.execute(
            f"""UPDATE "{table}" SET "eventId" = (SELECT id FROM "Event" WHERE id::text = %s) WHERE id::text = %s""",
            (now, key),
        )
        (moved_id,) = connection.execute(
            f"""SELECT "waId"::text FROM "WaIdMapping" WHERE "{target}"::text = %s""", (key,)
        ).fetchone()
        connection.execute("SET session_replication_role = replica")
        lost = {
            wa_id
            for (wa_id,) in connection.execute(
                f"""SELECT m."waId"::text FROM "{table}" t JOIN "WaIdMapping" m ON m."{target}" = t.id WHERE t."memberId"::text = %s""",
                (record[gone],),
            )
        }
        connection.execute(f"""DELETE FROM "{table}" WHERE "memberId"::text = %s""", (record[gone],))
        connection.execute("""DELETE FROM "Member" WHERE id::text = %s""", (record[gone],))

    run = at(club)
    told = answered(run, "--export", str(folder))
    assert not told["go"]
    assert ids(told["missing"], "Member") == {gone, "99001"}
    assert ids(told["missing"], "Event") == set()
    assert ids(told["missing"], "Registration") == {*lost, "990002"}
    assert ids(told["left_out"], "Member") == {"99002", "99003"}
    assert ids(told["left_out"], "Registration") == {"990001"}
    assert ids(of_the_sync(told["extra"]), "Member") == {str(extra)}
    assert any("without an id" in each for each in told["notes"])
    differs = {(row["entity"], row["wa_id"], row["field"]) for row in told["differs"]}
    through = {each for each in differs if each[0] == "Registration"} - {("Registration", moved_id, "event")}
    assert differs - through == {
        ("Member", renamed, "last_name"), ("Member", astray, "person"), ("Registration", moved_id, "event")
    }  # fmt: skip
    # What is wrong leads to the command that plans its correction, and that plans it.
    (person,) = (row for row in told["differs"] if row["field"] == "person")
    assert f"plan mapping Member {astray} {record[astray]}" in person["next"]
    assert run(*person["next"].split()[1:-2]).returncode == 0
    assert run("plan", "show").returncode == 2
    # People are masked, unless somebody asks.
    (row,) = (row for row in told["differs"] if row["wa_id"] == renamed)
    assert "O'Hara" not in json.dumps(told)
    assert "zoe@" not in json.dumps(told)
    assert answered(run, "--export", str(folder), "--unmask")["differs"] != told["differs"]
    assert row["next"]
    # What somebody accepts is no obstacle.
    enough = ("--missing-at-most", "50", "--differs-at-most", "20%", "--extra-at-most", "50%")
    assert answered(run, "--export", str(folder), *enough)["go"]
