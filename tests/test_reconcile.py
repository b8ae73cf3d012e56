"""Reconciling with Wild Apricot's exports: every planted fault is found, and no other."""

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
    facts = json.loads(done.stdout)
    assert (done.returncode == 0) is facts["go"]
    commands = {}
    for table in ("missing", "left_out", "extra", "differs"):
        for row in facts[table]:
            assert row["entity"] in ("Member", "Event", "Registration")
            if row["next"]:
                assert row["next"].startswith("workbench ")
                assert row["next"].endswith(" -e club")
                commands[" ".join(row["next"].split()[:4])] = row["next"]
    for line in commands.values():
        parse(line.removeprefix("workbench "))
    return facts


def ids(rows, entity):
    return {row["wa_id"] for row in rows if row["entity"] == entity}


def of_the_sync(rows):
    """Leave out what the demo's CSV import brought, which no mapping leads to, and the export does not list."""
    return [row for row in rows if str(row["wa_id"]).isdigit()]


def quiet(facts):
    if any(facts[table] for table in ("missing", "left_out", "differs")):
        return False
    return not of_the_sync(facts["extra"])


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
    facts = answered(at(club), "--export", str(folder))
    assert facts["go"]
    assert quiet(facts)
    for entity, rows in zip(("Member", "Event", "Registration"), export.values(), strict=True):
        counts = facts["counts"][entity]
        assert counts["export"] == counts["found"] == len(rows) - 1


def test_each_planted_fault_is_found_and_nothing_else(at, clubs, tmp_path):
    """One member deleted, one only there, one only here, one renamed, one mapping and one registration astray."""
    club = clubs.clone("application")
    export, shape = Exported(club.url), club.club
    gone, renamed, mailed, astray, other, moved, extra = (
        str(shape.wa_id("Member", index)) for index in (20, 30, 31, 40, 90, 50, 60)
    )
    members, registrations = export["User"], export["Registration"]
    event = registrations[1][2]
    members += [
        ["99001", "Zoë", '=HYPERLINK("x")', "zoe@example.org", "", "", "", "", "no"],
        ["99002", "<b>No", "Mail</b>", "", "", "", "", "", "no"],
        ["99003", "Ann", "Archive", "ann@example.org", "", "", "", "", "Yes"],
        ["", "No", "Id", "noid@example.org", "", "", "", "", "no"],
    ]
    registrations += [["990001", "99002", event, "Confirmed"], ["990002", "99001", event, "Confirmed"]]
    members[number(members, renamed)][2] = "O'Hara"
    same = members[number(members, mailed)]
    same[3], same[4] = same[3].upper(), f"+1 ({same[4][:3]}) {same[4][3:]}"  # the same address and number
    del members[number(members, extra)]
    registrations[:] = [row for row in registrations if row[1] != extra]
    folder = export.save(tmp_path / "wa")
    record = dict(
        club.ask("""SELECT "waId"::text, "clubosId"::text FROM "WaIdMapping" WHERE "entityType" = 'Member'""")
    )
    club.execute(
        """UPDATE "WaIdMapping" SET "clubosId" = %s WHERE "entityType" = 'Member' AND "waId" = %s""",
        *(record[other], astray),
    )
    # One registration of somebody goes to another event, where they were not.
    ((moved_id, key, event),) = club.ask(
        """SELECT m."waId"::text, r.id, (SELECT e.id FROM "Event" e WHERE NOT EXISTS (SELECT FROM "EventRegistration" o
               WHERE o."eventId" = e.id AND o."memberId" = r."memberId") ORDER BY 1 LIMIT 1)
           FROM "EventRegistration" r JOIN "WaIdMapping" m ON m."clubosId" = r.id WHERE r."memberId" = %s ORDER BY 2 LIMIT 1""",
        record[moved],
    )
    club.execute('UPDATE "EventRegistration" SET "eventId" = %s WHERE id = %s', event, key)
    lost = club.ask(
        """SELECT m."waId"::text FROM "EventRegistration" r JOIN "WaIdMapping" m ON m."clubosId" = r.id
           WHERE r."memberId" = %s""",
        record[gone],
    )
    with club.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute('DELETE FROM "EventRegistration" WHERE "memberId" = %s', [record[gone]])
        connection.execute('DELETE FROM "Member" WHERE id = %s', [record[gone]])
    run = at(club)
    facts = answered(run, "--export", str(folder))
    assert not facts["go"]
    assert ids(facts["missing"], "Member") == {gone, "99001"}
    assert ids(facts["missing"], "Event") == set()
    assert ids(facts["missing"], "Registration") == {*lost, "990002"}
    assert ids(facts["left_out"], "Member") == {"99002", "99003"}
    assert ids(facts["left_out"], "Registration") == {"990001"}
    assert ids(of_the_sync(facts["extra"]), "Member") == {extra}
    assert any("without an id" in note for note in facts["notes"])
    differs = {(row["entity"], row["wa_id"], row["field"]) for row in facts["differs"]}
    through = {row for row in differs if row[0] == "Registration"} - {("Registration", moved_id, "event")}
    assert differs - through == {
        ("Member", renamed, "last_name"), ("Member", astray, "person"), ("Registration", moved_id, "event")
    }  # fmt: skip
    # What is wrong leads to the command that plans its correction, and that plans it.
    (person,) = (row for row in facts["differs"] if row["field"] == "person")
    assert f"plan mapping Member {astray} {record[astray]}" in person["next"]
    assert run(*person["next"].split()[1:-2]).returncode == 0
    # People are masked, unless somebody asks.
    assert "O'Hara" not in json.dumps(facts)
    assert "zoe@" not in json.dumps(facts)
    assert "O'Hara" in json.dumps(answered(run, "--export", str(folder), "--unmask"))
    # What somebody accepts is no obstacle.
    enough = ("--missing-at-most", "50", "--differs-at-most", "20%", "--extra-at-most", "50%")
    assert answered(run, "--export", str(folder), *enough)["go"]


def test_a_swap_is_two_wrong_people_and_corrected_as_one(at, clubs, tmp_path):
    club = clubs.clone("application")
    export = Exported(club.url)
    folder, shape = export.save(tmp_path / "wa"), club.club
    one, other = (str(shape.wa_id("Member", index)) for index in (40, 90))
    club.execute(
        f"""UPDATE "WaIdMapping" m SET "{export.target}" = o."{export.target}" FROM "WaIdMapping" o
            WHERE m."entityType" = 'Member' AND o."entityType" = 'Member' AND m."waId"::text = ANY(%s)
            AND o."waId"::text = ANY(%s) AND m."waId" <> o."waId" """,
        [one, other],
        [one, other],
    )
    run = at(club)
    facts = answered(run, "--export", str(folder))
    people = [row for row in facts["differs"] if row["entity"] == "Member"]
    assert {(row["wa_id"], row["field"]) for row in people} == {(one, "person"), (other, "person")}
    assert not of_the_sync(facts["extra"])
    assert not facts["missing"]
    assert run(*people[0]["next"].split()[1:-2]).returncode == 0


def test_a_time_zone_is_named_as_the_reason(at, clubs, tmp_path):
    club = clubs.clone("application")
    folder = Exported(club.url).save(tmp_path / "wa")
    run = at(club)
    club.execute(
        """UPDATE "Event" SET "startTime" = "startTime" + interval '8 hours', "endTime" = "endTime" + interval '8 hours'"""
    )
    facts = answered(run, "--export", str(folder))
    assert not facts["go"]
    assert sum("8 hours later here" in why and "--time-zone" in why for why in facts["why"]) == 2
    assert facts["counts"]["Event"]["differs"] == facts["counts"]["Event"]["export"]
    # Eight hours west of a database in UTC nothing is wrong but the event that was moved by an hour.
    first = club.club.wa_id("Event", 3)
    target = Exported(club.url).target
    club.execute(
        f"""UPDATE "Event" SET "startTime" = "startTime" + interval '1 hour' WHERE id::text =
            (SELECT "{target}"::text FROM "WaIdMapping" WHERE "entityType" = 'Event' AND "waId"::text = %s)""",
        str(first),
    )
    facts = answered(run, "--export", str(folder), "--time-zone", "Etc/GMT+8")
    assert [(row["wa_id"], row["field"]) for row in facts["differs"]] == [(str(first), "start")]


def test_a_part_of_the_club_is_no_answer(at, clubs, tmp_path):
    club = clubs.clone("guide")
    export, run = Exported(club.url), at(club)
    folder = export.save(tmp_path / "wa")
    facts = answered(run, "--export", str(folder / "Event.csv"))
    assert not facts["go"]
    assert facts["counts"]["Member"]["export"] is None
    assert {line.split(":")[0] for line in facts["not_compared"]} == {"members", "registrations"}
    facts = answered(run, "--export", str(folder / "User.csv"), "--export", str(folder / "Registration.csv"))
    assert facts["go"]
    assert any(line.startswith("events: ") for line in facts["not_compared"])
    assert facts["counts"]["Event"]["missing"] is None
    del export["User"][100:]
    folder = export.save(tmp_path / "wa")
    facts = answered(run, "--export", str(folder / "User.csv"))
    assert not facts["go"]
    assert not facts["missing"]
    assert facts["counts"]["Member"]["extra"] > 90
    assert answered(run, "--export", str(folder / "User.csv"), "--extra-at-most", "60%")["go"]


def test_which_side_is_newer_is_told_where_it_is_known(at, clubs, tmp_path):
    club = clubs.clone("application")
    export, shape = Exported(club.url), club.club
    members = export["User"]
    for index, moment in ((20, "12/01/2030 10:00"), (30, "12/01/2020 10:00"), (40, "")):
        row = members[number(members, shape.wa_id("Member", index))]
        row[1], row[7] = "Changed", moment
    facts = answered(at(club), "--export", str(export.save(tmp_path / "wa")))
    newer = {row["wa_id"]: (row["field"], row["newer"]) for row in facts["differs"]}
    expected = {20: "Wild Apricot", 30: "here", 40: None}
    assert newer == {
        str(shape.wa_id("Member", index)): ("first_name", side) for index, side in expected.items()
    }


def test_what_the_api_answers_is_read(at, clubs, tmp_path):
    club = clubs.clone("application", 50)
    export = Exported(club.url)
    members, events, seats = (
        [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for rows in export.values()
    )
    answers = {
        "contacts": {"Contacts": [
            {"Id": int(row["User ID"]), "FirstName": row["First name"], "LastName": row["Last name"], "Email": row["e-Mail"],
             "MembershipLevel": {"Id": 1, "Name": row["Membership level"]} if row["Membership level"] else None,
             "FieldValues": [{"FieldName": "Phone", "Value": row["Phone"], "SystemCode": "Phone"},
                             {"FieldName": "Archived", "Value": False, "SystemCode": "IsArchived"}]}
            for row in members
        ]},
        "events": {"Events": [
            {"Id": int(row["Event ID"]), "Name": row["Event title"], "StartDate": iso(row["Start date"]),
             "EndDate": iso(row["End date"]), "RegistrationsLimit": int(row["Registration limit"] or 0) or None}
            for row in events
        ]},
        "registrations": [
            {"Id": int(row["Registration ID"]), "Contact": {"Id": int(row["User ID"]), "Name": "x"},
             "Event": {"Id": int(row["Event ID"]), "Name": "y"}, "Status": row["Registration status"],
             "OnWaitlist": row["Registration status"] == "Waitlisted"}
            for row in seats
        ],
    }  # fmt: skip
    (tmp_path / "wa").mkdir()
    for name, content in answers.items():
        (tmp_path / "wa" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    facts = answered(at(club), "--export", str(tmp_path / "wa"))
    assert quiet(facts)
    assert facts["counts"]["Registration"]["found"] == len(seats)


def iso(text):
    """Write a date of the screens as the API does."""
    month, day, rest = text.split("/") if text else ("", "", "")
    return f"{rest[:4]}-{month}-{day}T{rest[5:]}:00+00:00" if text else None


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
    folder, run = tmp_path / "wa", at(clubs.clone("guide", 50))
    folder.mkdir()
    for name, content in NO_EXPORTS.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        done = run("reconcile", "--export", str(folder), "--json")
        assert (done.returncode, name in done.stderr, done.stdout) == (2, True, "")
        (folder / name).unlink()
    for path in (folder, tmp_path / "nowhere"):
        assert run("reconcile", "--export", str(path)).returncode == 2


def test_a_truncated_sync_left_people_out(recording, tmp_path):
    whole, cut = Exported(recording("incremental").url), recording("truncated")
    here, path = Exported(cut.url), whole.save(tmp_path / "wa")
    facts = answered(cut.run, "--export", str(path))
    assert not facts["go"]
    missing = {row[0] for row in whole["User"][1:]} - {row[0] for row in here["User"][1:]}
    assert missing
    assert ids(facts["missing"], "Member") == missing
    theirs = {row[0] for row in whole["Registration"][1:] if row[1] in missing}
    assert theirs <= ids(facts["missing"], "Registration")
    done = cut.run("report", "reconcile", "-p", "exports", str(path), "--json")
    assert done.returncode == 1
    verdict = json.loads(Path(json.loads(done.stdout)["json"]).read_text())
    assert (verdict["status"], verdict["go"]) == ("fail", False)


@pytest.mark.parametrize(
    ("state", "of", "missing", "differs", "reports"),
    [("run1", "run2", 17, 23, False), ("run1", "run2", 17, 23, True), ("run2", "run2", 1, 2, False)],
)
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
    facts = answered(lambda *words: shell(*words, "-e", "club", CLUB_URL=url), "--export", str(export))
    assert (facts["go"], len(facts["missing"])) == (False, missing)
    assert len({(row["entity"], row["wa_id"]) for row in facts["differs"]}) == differs
    assert {row["wa_id"] for row in facts["left_out"]} <= {"WA999"}


COLUMNS = {
    "User": ["First name", "Last name", "e-Mail", "Phone", "Membership level"],
    "Event": ["Event title", "Start date", "End date", "Registration limit"],
    "Registration": ["User ID", "Event ID", "Registration status"],
}


@pytest.mark.parametrize("emptied", ["", "mappings", "members", "everything"])
@pytest.mark.parametrize("rows", [0, 1])
def test_columns_and_tables_without_a_single_value_are_compared_all_the_same(clubs, tmp_path, emptied, rows):
    """An empty column is of another type than one of texts, wherever pandas joins them."""
    club = clubs.clone("application", 50)
    export = Exported(club.url)
    for kind, columns in COLUMNS.items():
        names, *listed = export[kind]
        for row in listed:
            for name in columns if rows == 0 else ():
                row[names.index(name)] = ""
        del export[kind][2:]
    tables = {
        "mappings": ["WaIdMapping"],
        "members": ["Member"],
        "everything": ["Member", "Event", "EventRegistration", "WaIdMapping"],
    }
    with club.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        for table in tables.get(emptied, ()):
            connection.execute(f'DELETE FROM "{table}"')
    answer = club.open().reconcile([export.save(tmp_path / "wa")])
    assert not answer.facts["go"], "a part of the club is no answer"
