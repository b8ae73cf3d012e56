"""Is everybody here? Wild Apricot's own exports beside the database: every fault that was planted, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.exported import Exported
from tests.recorded import STATES, load
from tests.recorded import recording as recording
from tests.test_hints import parse


def answered(run, *arguments):
    """Run the command; return its exit code and its JSON, in which every ``next`` is a command that exists."""
    done = run("reconcile", *arguments, "--json")
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode == 0) is told["go"]
    commands = {}
    for table in ("missing", "left_out", "extra", "differs", "unmapped"):
        for row in told[table]:
            assert row["entity"] in ("Member", "Event", "Registration")
            if row["next"]:
                assert row["next"].startswith("workbench ")
                assert row["next"].endswith(" -e club")
                commands[" ".join(row["next"].split()[:4])] = row["next"]
    for line in commands.values():
        parse(line.removeprefix("workbench "))
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


@pytest.mark.parametrize(
    ("dialect", "how"),
    [("guide", {"separator": ";"}), ("application", {"encoding": "utf-16", "separator": "\t"})],
)
def test_a_healthy_club_is_all_here(at, clubs, tmp_path, dialect, how):
    club = clubs.clone(dialect)
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
    shape, target, table = club.club, export.target, export.table
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

    with club.connect() as connection:
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


def test_a_swap_is_two_wrong_people_and_corrected_as_one(at, clubs, tmp_path):
    club = clubs.clone("application")
    export = Exported(club.url)
    folder, shape = export.save(tmp_path / "wa"), club.club
    one, other = (str(shape.wa_id("Member", each)) for each in (40, 90))
    club.execute(
        f"""UPDATE "WaIdMapping" m SET "{export.target}" = o."{export.target}" FROM "WaIdMapping" o
            WHERE m."entityType" = 'Member' AND o."entityType" = 'Member' AND m."waId"::text = ANY(%s)
            AND o."waId"::text = ANY(%s) AND m."waId" <> o."waId" """,
        [one, other],
        [one, other],
    )
    run = at(club)
    told = answered(run, "--export", str(folder))
    people = [row for row in told["differs"] if row["entity"] == "Member"]
    assert {(row["wa_id"], row["field"]) for row in people} == {(one, "person"), (other, "person")}
    assert not of_the_sync(told["extra"])
    assert not told["missing"]
    assert run(*people[0]["next"].split()[1:-2]).returncode == 0


def test_a_time_zone_too_many_is_said_once(at, clubs, tmp_path):
    club = clubs.clone("application")
    folder = Exported(club.url).save(tmp_path / "wa")
    run = at(club)
    club.execute(
        """UPDATE "Event" SET "startTime" = "startTime" + interval '8 hours', "endTime" = "endTime" + interval '8 hours'"""
    )
    told = answered(run, "--export", str(folder))
    assert not told["go"]
    assert len(told["why"]) == 1
    assert not told["differs"]
    (shift,) = told["shifts"]
    assert (shift["entity"], shift["hours"], shift["also"]) == ("Event", 8, None)
    assert shift["rows"] == told["counts"]["Event"]["export"]
    # Eight hours west of a database in UTC nothing is wrong; what is moved by an hour is not summer time.
    first = club.club.wa_id("Event", 3)
    target = Exported(club.url).target
    club.execute(
        f"""UPDATE "Event" SET "startTime" = "startTime" + interval '1 hour' WHERE id::text =
            (SELECT "{target}"::text FROM "WaIdMapping" WHERE "entityType" = 'Event' AND "waId"::text = %s)""",
        str(first),
    )
    for zone in ((), ("--time-zone", "Etc/GMT+8")):
        told = answered(run, "--export", str(folder), *zone)
        assert [(row["wa_id"], row["field"]) for row in told["differs"]] == [(str(first), "start")]
        assert len(told["shifts"]) == (not zone)


def test_a_part_of_the_club_is_no_answer(at, clubs, tmp_path):
    club = clubs.clone("guide")
    export, run = Exported(club.url), at(club)
    folder = export.save(tmp_path / "wa")
    told = answered(run, "--export", str(folder / "Event.csv"))
    assert not told["go"]
    assert told["counts"]["Member"]["export"] is None
    assert {each.split(":")[0] for each in told["not_compared"]} == {"members", "registrations"}
    told = answered(run, "--export", str(folder / "User.csv"), "--export", str(folder / "Registration.csv"))
    assert told["go"]
    assert any(each.startswith("events: ") for each in told["not_compared"])
    assert told["counts"]["Event"]["missing"] is None
    del export["User"][100:]
    folder = export.save(tmp_path / "wa")
    told = answered(run, "--export", str(folder / "User.csv"))
    assert not told["go"]
    assert not told["missing"]
    assert told["counts"]["Member"]["extra"] > 90
    assert answered(run, "--export", str(folder / "User.csv"), "--extra-at-most", "60%")["go"]


def test_which_side_is_newer_is_told_where_it_is_known(at, clubs, tmp_path):
    club = clubs.clone("application")
    export, shape = Exported(club.url), club.club
    members = export["User"]
    for index, moment in ((20, "12/01/2030 10:00"), (30, "12/01/2020 10:00"), (40, "")):
        row = members[number(members, shape.wa_id("Member", index))]
        row[1], row[7] = "Changed", moment
    told = answered(at(club), "--export", str(export.save(tmp_path / "wa")))
    newer = {row["wa_id"]: (row["field"], row["newer"]) for row in told["differs"]}
    expected = {20: "Wild Apricot", 30: "here", 40: None}
    assert newer == {
        str(shape.wa_id("Member", each)): ("first_name", side) for each, side in expected.items()
    }


def test_what_the_api_answers_is_read(at, clubs, tmp_path):
    club = clubs.clone("application")
    export = Exported(club.url)
    (tmp_path / "wa").mkdir()
    for kind, rows in export.items():
        listed = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        if kind == "User":
            found = {
                "Contacts": [
                    {
                        "Id": int(each["User ID"]), "FirstName": each["First name"], "LastName": each["Last name"],
                        "Email": each["e-Mail"], "ProfileLastUpdated": "2025-12-01T10:00:00-08:00", "MemberSince": None,
                        "MembershipLevel": {"Id": 1, "Name": each["Membership level"]} if each["Membership level"] else None,
                        "FieldValues": [
                            {"FieldName": "Phone", "Value": each["Phone"], "SystemCode": "Phone"},
                            {"FieldName": "Archived", "Value": False, "SystemCode": "IsArchived"},
                        ],
                    }
                    for each in listed
                ]
            }  # fmt: skip
        elif kind == "Event":
            found = {
                "Events": [
                    {"Id": int(each["Event ID"]), "Name": each["Event title"], "StartDate": iso(each["Start date"]),
                     "EndDate": iso(each["End date"]), "RegistrationsLimit": int(each["Registration limit"] or 0) or None}
                    for each in listed
                ]
            }  # fmt: skip
        else:
            found = [
                {"Id": int(each["Registration ID"]), "Contact": {"Id": int(each["User ID"]), "Name": "x"},
                 "Event": {"Id": int(each["Event ID"]), "Name": "y"}, "Status": each["Registration status"],
                 "OnWaitlist": each["Registration status"] == "Waitlisted"}
                for each in listed
            ]  # fmt: skip
        (tmp_path / "wa" / f"{kind}.json").write_text(json.dumps(found), encoding="utf-8")
    told = answered(at(club), "--export", str(tmp_path / "wa"))
    assert quiet(told)
    assert told["counts"]["Registration"]["found"] == len(export["Registration"]) - 1


def iso(text):
    """Write a date of the screens as the API does."""
    if not text:
        return None
    day, time = text.split()
    month, day, year = day.split("/")
    return f"{year}-{month}-{day}T{time}:00+00:00"


NO_EXPORTS = {
    "names.csv": "Nom,Prénom\nx,y\n",
    "attendees.csv": "User ID,Email,Event ID,Event title,Start date\n1,a@x.org,2,Golf,01/02/2026\n",
    "report.json": '{"runId": "x", "stats": {}}',
    "empty.json": '{"Contacts": []}',
    "cut.json": '{"Contacts": [{"Id": 1, "Ema',
    "members.xlsx": "PK",
    "short.csv": "Contact ID,Email\n5,a@example.org\n6\n",
    "latin.csv": "Contact ID,Email\n5,M\u00fcller\n".encode("latin-1"),
}


def test_what_is_no_export_is_refused_by_name(at, clubs, tmp_path):
    (tmp_path / "wa").mkdir()
    run = at(clubs.clone("guide"))
    for name, content in NO_EXPORTS.items():
        (tmp_path / "wa" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        for path in (tmp_path / "wa" / name, tmp_path / "wa"):
            done = run("reconcile", "--export", str(path), "--json")
            assert done.returncode == 2
            assert name in done.stderr
            assert not done.stdout
        (tmp_path / "wa" / name).unlink()
    assert run("reconcile", "--export", str(tmp_path / "wa")).returncode == 2
    assert run("reconcile", "--export", str(tmp_path / "nowhere")).returncode == 2


@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_a_truncated_sync_left_people_out(recording, tmp_path, whole):
    folder = Exported(recording("incremental", whole=whole).url)
    cut = recording("truncated", whole=whole)
    here = Exported(cut.url)
    path = folder.save(tmp_path / "wa")
    told = answered(cut.run, "--export", str(path))
    assert not told["go"]
    missing = {row[0] for row in folder["User"][1:]} - {row[0] for row in here["User"][1:]}
    assert missing
    assert ids(told["missing"], "Member") == missing
    whose = {row[0]: row[1] for row in folder["Registration"][1:]}
    lost = ids(told["missing"], "Registration")
    assert {each for each, member in whose.items() if member in missing} <= lost
    if whole:
        return
    done = cut.run("report", "reconcile", "-p", "exports", str(path), "--json")
    assert done.returncode == 1
    verdict = json.loads(Path(json.loads(done.stdout)["json"]).read_text())
    assert verdict["status"] == "fail"
    assert verdict["go"] is False


@pytest.mark.parametrize(
    ("state", "of", "missing", "differs"),
    [("run1", "run1", 0, 0), ("run1", "run2", 17, 23), ("run2", "run2", 1, 2)],
)
@pytest.mark.parametrize("reports", [False, True])
def test_a_csv_import_without_any_trace_of_it(
    server, shell, tmp_path, recordings, state, of, missing, differs, reports
):
    """Neither a mapping nor an audit row; without its reports people are found by what the export says of them."""
    folder = STATES[f"csv_{state}"]
    url = server.url(server.create(server.template(f"csv-{state}", lambda made: load(made, folder))))
    imports = f'import_reports = ["{folder.parent}/reports"]' if reports else ""
    (tmp_path / "workbench.toml").write_text(
        f'[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n{imports}\n'
    )
    export = recordings / "csv_import" / of / "export"
    told = answered(lambda *words: shell(*words, "-e", "club", CLUB_URL=url), "--export", str(export))
    assert told["go"] is (not missing and not differs)
    assert len(told["missing"]) == missing
    assert len({(row["entity"], row["wa_id"]) for row in told["differs"]}) == differs
    assert {row["wa_id"] for row in told["left_out"]} <= {"WA999"}
    assert not told["shifts"]
    assert all(row["record_id"] for row in told["unmapped"])
