"""Wild Apricot's own exports as evidence: where nothing else tells who a contact is, and whose a registration."""

from __future__ import annotations

import csv
import json

import pytest

from tests.commands import at, shell  # noqa: F401
from tests.exported import Exported
from tests.mappings.test_plan import members_of
from workbench.errors import UsageError


@pytest.fixture
def club(application):
    return application


def export(club, folder, entity):
    """Write what Wild Apricot exports, as the club's mappings have it now, before anything is broken."""
    path = folder / f"wa-{entity}-export.csv"
    return saved(path, Exported(club.url)[{"members": "User", "registrations": "Registration"}[entity]])


def without_traces(club):
    """Take away what else would tell who a contact is."""
    club.execute('DELETE FROM "AuditLog"')
    if club.club.dialect == "application":
        club.execute('UPDATE "Member" SET "waRawData" = NULL')


def swap(club, one, other, back=False):
    """Let two members' ids lead to each other's record, or to their own again; return the right records by id."""
    shape = club.club
    right = {str(shape.wa_id("Member", n)): shape.id("Member", n) for n in (one, other)}
    target = "murmurantId" if club.club.dialect == "guide" else "clubosId"
    kind = "text" if club.club.dialect == "guide" else "uuid"
    for wa_id, wrong in zip(right, right.values() if back else reversed(right.values()), strict=True):
        club.execute(
            f"""UPDATE "WaIdMapping" SET "{target}" = %s::{kind} WHERE "entityType" = 'Member' AND "waId"::text = %s""",
            wrong,
            wa_id,
        )
    return right


def test_an_export_tells_who_the_contacts_are(club, tmp_path):
    without_traces(club)
    path = export(club, tmp_path, "members")
    with club.open(import_reports=()) as wb:
        healthy = wb.mappings.findings([path])
        assert not len(healthy.problems)
        assert not any("which member" in reason for reason in healthy.not_known)
        right = swap(club, 20, 30)
        blind = wb.mappings.findings()
        assert not len(blind.problems)
        assert any("which member" in reason for reason in blind.not_known)
        found = wb.mappings.findings([path]).problems
        assert dict(zip(found["wa_id"], found["should_be"], strict=True)) == right
        assert found["sure"].all()
        assert set(found["cycle_size"]) == {2}
        before = club.state()
        plan = wb.mappings.plan(wb.mappings.sure([path]), exports=[path])
        club.carry_out(plan)
        assert not len(wb.mappings.findings([path]).problems)
        club.undo(plan)
        assert club.changed(before) == {}
        # Two of one household, who share a family name and a phone, are found, but not for sure.
        swap(club, 20, 30, back=True)
        right = swap(club, 20, 21)
        found = wb.mappings.findings([path]).problems
    assert dict(zip(found["wa_id"], found["should_be"], strict=True)) == right
    assert found["score"].between(0.5, 0.95).all()
    assert not found["sure"].any()


def misplace(club, right):
    """Put a mapped registration of each on the other, and return them with whose each is."""
    guide = club.club.dialect == "guide"
    table, target = ("Registration", "murmurantId") if guide else ("EventRegistration", "clubosId")
    one, other = right.values()
    found = {}
    with club.connect() as connection:
        for member, wrong in ((one, other), (other, one)):
            (key,) = connection.execute(
                f"""SELECT t.id::text FROM "{table}" t JOIN "WaIdMapping" m ON m."{target}" = t.id
                    WHERE t."memberId"::text = %s AND NOT EXISTS (SELECT FROM "{table}" o
                        WHERE o."eventId" = t."eventId" AND o."memberId"::text = %s)
                    ORDER BY t.id LIMIT 1""",
                (member, wrong),
            ).fetchone()
            found[key] = member
        for key, member in found.items():
            connection.execute(
                f"""UPDATE "{table}" SET "memberId" = (SELECT id FROM "Member" WHERE id::text = %s)
                    WHERE id::text = %s""",
                (other if member == one else one, key),
            )
    assert len(found) == 2
    return found


def test_registrations_move_as_the_export_says(club, tmp_path):
    path = export(club, tmp_path, "registrations")
    with club.open(import_reports=()) as wb:
        right = swap(club, 20, 50)
        moved = misplace(club, right)
        asked = [("Member", wa_id, record) for wa_id, record in right.items()]
        blind = wb.mappings.plan(asked, move_records=True)
        assert blind.changes == {"WaIdMapping": {"update": 2}}
        before = club.state()
        plan = wb.mappings.plan(asked, move_records=True, exports=[tmp_path])
        # What is on the right member already, and what the export does not list, stays.
        assert plan.changes == {
            "WaIdMapping": {"update": 2},
            wb.session.schema.table_of("Registration"): {"update": 2},
        }
        club.carry_out(plan)
        assert members_of(club, list(moved)) == moved
        again = wb.mappings.findings([path])
        assert not len(again.registrations)
        club.undo(plan)
    assert club.changed(before) == {}


def spelled(path, names=None):
    """Read an export of members anew, its columns under other names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    rows[0] = [(names or {}).get(name, name) for name in rows[0]]
    return rows


def saved(path, rows, encoding="utf-8-sig", separator=","):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


def test_an_export_is_known_by_whatever_names_its_columns_have(club, tmp_path):
    """As the importer's configuration calls them; other forms of an export are read where it is reconciled."""
    without_traces(club)
    path = export(club, tmp_path, "members")
    right = swap(club, 20, 30)

    def found(**options):
        with club.open(import_reports=()) as wb:
            wb.session.options = wb.session.options.model_copy(update=options)
            rows = wb.mappings.findings([path]).problems
            return dict(zip(rows["wa_id"], rows["should_be"], strict=True))

    saved(path, spelled(path, {"User ID": "Kontakt-Nr.", "e-Mail": "Post"}))
    with pytest.raises(UsageError, match=r"Kontakt-Nr\."):
        found()
    configuration = tmp_path / "migration-config.yaml"
    configuration.write_text('member_fields:\n  _wa_contact_id: "Kontakt-Nr."\n  email: "Post"\n')
    assert found(tier_mapping=configuration) == right


def cross(club, same_member=False):
    """Let the ids of two registrations lead to each other's; return the right ones by id."""
    guide = club.club.dialect == "guide"
    table, target = ("Registration", "murmurantId") if guide else ("EventRegistration", "clubosId")
    alike, apart = ("memberId", "eventId") if same_member else ("status", "memberId")
    with club.connect() as connection:
        rows = connection.execute(
            f"""SELECT m."waId"::text, t.id::text, o."waId"::text, u.id::text
                FROM "{table}" t JOIN "WaIdMapping" m ON m."{target}" = t.id AND m."entityType" = '{table}'
                JOIN "{table}" u ON u."{alike}" = t."{alike}" AND u."{apart}" <> t."{apart}" AND u."eventId" <> t."eventId"
                JOIN "WaIdMapping" o ON o."{target}" = u.id AND o."entityType" = '{table}'
                ORDER BY 1, 3 LIMIT 1"""
        ).fetchone()
        one, first, other, second = rows
        for wa_id, record in ((one, second), (other, first)):
            connection.execute(
                f"""UPDATE "WaIdMapping" SET "{target}" = (SELECT id FROM "{table}" WHERE id::text = %s)
                    WHERE "entityType" = '{table}' AND "waId"::text = %s""",
                (record, wa_id),
            )
    return {one: first, other: second}


def test_registrations_that_the_import_made_for_each_other_are_told(club):
    right = cross(club)
    before = club.state()
    with club.open() as wb:
        found = wb.mappings.findings().problems
        assert set(found["problem"]) == {"wrong-registration"}
        assert dict(zip(found["wa_id"], found["should_be"], strict=True)) == right
        assert found["sure"].all()
        assert set(found["cycle_size"]) == {2}
        plan = wb.mappings.plan(wb.mappings.sure(), move_records=True)
        assert plan.changes == {"WaIdMapping": {"update": 2}}
        club.carry_out(plan)
        assert not len(wb.mappings.findings().problems)
        club.undo(plan)
    assert club.changed(before) == {}


@pytest.mark.parametrize(("dialect", "same_member"), [("guide", False), ("application", True)])
def test_an_export_tells_whose_a_registration_is(clubs, tmp_path, dialect, same_member):
    club = clubs.clone(dialect, 60)
    without_traces(club)
    path = export(club, tmp_path, "registrations")
    with club.open(import_reports=()) as wb:
        healthy = wb.mappings.findings([path])
        assert not len(healthy.problems)
        assert not any("which registration" in reason for reason in healthy.not_known)
        right = cross(club, same_member)
        blind = wb.mappings.findings()
        assert not len(blind.problems)
        assert any("which registration" in reason for reason in blind.not_known)
        found = wb.mappings.findings([path]).problems
        assert set(found["problem"]) == {"wrong-registration"}
        assert dict(zip(found["wa_id"], found["should_be"], strict=True)) == right
        # Of one member's two, one may have been moved to another event on purpose.
        assert set(found["sure"]) == {not same_member}


def test_a_wrong_member_accuses_none_of_her_registrations(club, tmp_path):
    paths = [export(club, tmp_path, entity) for entity in ("members", "registrations")]
    without_traces(club)
    right = swap(club, 20, 30)
    with club.open(import_reports=()) as wb:
        found = wb.mappings.findings(paths).problems
    assert set(zip(found["problem"], found["wa_id"], strict=True)) == {
        ("wrong-person", wa_id) for wa_id in right
    }


def test_exports_are_given_on_the_command_line(club, at, tmp_path):  # noqa: F811
    without_traces(club)
    for report in club.club.imports.glob("*.json"):
        report.unlink()
    folder = tmp_path / "exports"
    folder.mkdir()
    members, registrations = (str(export(club, folder, entity)) for entity in ("members", "registrations"))
    right = swap(club, 20, 50)
    moved = misplace(club, right)
    run = at(club)
    blind = json.loads(run("mappings", "--json").stdout)
    assert not blind["problems"]
    assert any("which member" in reason for reason in blind["not_known"])
    done = run("mappings", "--export", members, "--csv", "sure.csv", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["sure"]) == (1, 2)
    assert {row["wa_id"]: row["should_be"] for row in facts["problems"]} == right
    assert not facts["registrations"]
    facts = json.loads(run("mappings", "--export", members, "--export", registrations, "--json").stdout)
    assert {row["registration"] for row in facts["registrations"]} == set(moved)
    plan = ("plan", "mapping", "--from", "sure.csv", "--move-records", "--json")
    assert json.loads(run(*plan).stdout)["changes"] == {"WaIdMapping": {"update": 2}}
    planned = json.loads(run(*plan, "--export", str(folder)).stdout)
    assert planned["changes"] == {"WaIdMapping": {"update": 2}, "EventRegistration": {"update": 2}}
    for asked in (("mappings",), plan):
        done = run(*asked, "--export", "nowhere.csv")
        assert (done.returncode, done.stdout) == (2, "")
        assert "nowhere.csv" in done.stderr
