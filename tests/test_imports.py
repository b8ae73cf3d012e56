"""The simulator of later runs: what it says it did is what the workbench finds, and nothing else moved."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.edits import EDITS, later_edit
from tests.imports import IMPORTERS, import_run
from tests.states import differences, state

CASES = [(dialect, importer) for dialect, importers in IMPORTERS.items() for importer in importers]
RECORDS = ("Member", "Event", "Registration", "EventRegistration")
ONLY_APPLICATION = {"account", "payment", "tickets", "note", "authored-note", "chair"}


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request, clubs):
    dialect, importer = request.param
    return clubs.clone(dialect, 50), importer


@pytest.fixture
def connection(case):
    with psycopg.connect(case[0].url) as connection:
        yield connection


def played(club, importer, **how):
    with club.connect() as connection:
        return import_run(connection, club.club, importer, **how)


def asked(connection, statement, *values):
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def naive(moment):
    return moment.replace(tzinfo=None)


def only_mapped_before(club):
    """Members of whom the log knows nothing: once their mapping is refreshed, no trace tells by which run."""
    if club.club.dialect == "guide":
        return set()
    with club.connect() as connection:
        rows = connection.execute(
            """SELECT "clubosId"::text FROM "WaIdMapping" WHERE "entityType" = 'Member' AND "clubosId" NOT IN
               (SELECT "resourceId" FROM "AuditLog" WHERE metadata->>'source' = 'wa_import')"""
        )
        return {row[0] for row in rows}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_workbench_finds_what_the_run_did(case, seed):
    club, importer = case
    puzzling = only_mapped_before(club)
    done = played(club, importer, seed=seed, mapped=2)
    created = {entity: set(done.created[table]) for entity, table in done.table.items()}
    updated = {entity: set(done.updates(table)) for entity, table in done.table.items()}
    mapped = {*done.mapped, *(str(target) for _, target in done.repointed.values())}
    with club.workbench() as wb:
        runs = wb.session.find_runs()
        found = wb.runs.records(done.run)
    last = runs[-1]
    assert (last.run, last.importer, last.mode, last.status) == (done.run, importer, "live", "completed")
    assert (last.started, last.finished) == (naive(done.started), naive(done.finished))
    for entity in done.table:
        for counts in (last.counts[entity], found.run.counts[entity]):
            assert counts.get("created", 0) == len(created[entity])
            assert counts.get("updated", 0) == len(updated[entity])
    records = found.records.groupby(["entity", "action"])["record_id"].apply(set).to_dict()
    for entity in done.table:
        assert records.get((entity, "created"), set()) == created[entity]
        assert records.get((entity, "updated"), set()) == updated[entity]
    assert records.get(("Member", "mapped"), set()) - (puzzling - mapped) == mapped
    assert not {("Event", "mapped"), ("Registration", "mapped")} & records.keys()
    assert found.differences == []
    assert set(found.records["touched_since"]) == {""}


def test_it_did_what_it_was_asked_and_nothing_else(case, connection):
    club, importer = case
    before = state(connection)
    done = played(club, importer, seed=4, updates=7)
    connection.rollback()
    moved = differences(before, state(connection))
    log = moved.pop("AuditLog", ([], []))
    assert log[0] == []
    rows = Counter(table for table, _ in done.updated)
    assert {table: (len(gone), len(new)) for table, (gone, new) in moved.items()} == {
        table: (rows[table], rows[table] + len(done.created.get(table, ())))
        for table in {*rows, *(table for table, ids in done.created.items() if ids)}
    }
    registrations = done.table["Registration"]
    assert [len(done.created[table]) for table in done.table.values()] == [4, 2, 10]
    assert len(done.created["WaIdMapping"]) == (0 if importer == "csv" else 17)
    assert len(done.mapped) == (0 if importer == "csv" else 1)
    assert len(done.repointed) == (1 if importer == "guide" else 0)
    assert len(done.reports) == {"csv": 3, "api": 1, "guide": 0}[importer]
    assert len(log[1]) == {"csv": 0, "api": 16 + 7, "guide": 2}[importer]
    changed = [key for key, columns in done.updated.items() if columns.keys() - {"updatedAt"}]
    assert sum(table in RECORDS for table, _ in changed) == 7
    assert {"phone", "firstName", "membershipTierId"} <= {
        name for columns in done.updates("Member").values() for name in columns
    }
    assert done.updates(registrations, "status")
    assert len(done.updates("Event")) == (0 if importer == "csv" else 1)
    for columns in done.updated.values():
        assert naive(done.started) <= columns["updatedAt"][1] <= naive(done.finished)
    for row in asked(connection, f'SELECT * FROM "{registrations}" WHERE "createdAt" >= %s', done.started):
        assert naive(done.started) <= row["createdAt"] == row["updatedAt"] <= naive(done.finished)
        assert str(row["id"]) in done.created[registrations]


def test_new_and_old_meet_in_its_registrations(case, connection):
    club, importer = case
    done = played(club, importer)
    table = done.table["Registration"]
    rows = asked(connection, f'SELECT * FROM "{table}" WHERE id::text = ANY(%s)', list(done.created[table]))
    kinds = {
        (str(row["memberId"]) in done.created["Member"], str(row["eventId"]) in done.created["Event"])
        for row in rows
    }
    assert len(kinds) == 4


def test_the_same_seed_plays_the_same_run(clubs):
    for dialect, importer in CASES:
        results = []
        for _ in range(2):
            club = clubs.clone(dialect, 50)
            done = played(club, importer, seed=3)
            with club.connect() as connection:
                results.append((state(connection), [(each.name, each.read_text()) for each in done.reports]))
        assert differences(results[0][0], results[1][0]) == {}
        assert results[0] == results[1]


def test_runs_follow_one_another(clubs):
    club = clubs.clone("application", 50)
    runs = [played(club, importer, seed=seed) for seed, importer in enumerate(("api", "csv", "api"), 1)]
    with club.workbench() as wb:
        assert [each.run for each in wb.session.find_runs()][-3:] == [each.run for each in runs]


def test_every_edit_changes_exactly_what_it_says(case, connection):
    club, importer = case
    done = played(club, importer, seed=2, members=6, updates=8)
    applied = set()
    after = state(connection)
    for seed, kind in enumerate(EDITS):
        before = after
        tables = {
            name: {str(row["id"]): row for row in asked(connection, f'SELECT * FROM "{name}"')}
            for name in ("Member", "Event", done.table["Registration"])
        }
        edit = later_edit(connection, club.club, done, kind, seed)
        after = state(connection)
        moved = differences(before, after)
        if edit is None:
            assert moved == {}
            continue
        applied.add(kind)
        assert (edit.kind, edit.documented) == (kind, kind.startswith("documented-"))
        assert set(moved) == {edit.table, *(["AuditLog"] if edit.documented else [])}
        gone, new = moved[edit.table]
        assert (len(gone), len(new)) == (1 if edit.columns else 0, 1)
        (row,) = asked(connection, f'SELECT * FROM "{edit.table}" WHERE id::text = %s', edit.key)
        assert row["updatedAt"] > naive(done.finished)
        if edit.columns:
            was = tables[edit.table][edit.key]
            assert {name for name in row if row[name] != was[name]} == {*edit.columns, "updatedAt"}
        else:
            assert row.get("importRunId") is None
        if edit.documented:
            assert [len(each) for each in moved["AuditLog"]] == [0, 1]
            (entry,) = asked(
                connection,
                """SELECT * FROM "AuditLog" WHERE "resourceId"::text = %s AND metadata IS NULL
                   ORDER BY "createdAt" DESC LIMIT 1""",
                edit.key,
            )
            assert (entry["action"], entry["resourceType"]) == (
                "UPDATE" if edit.columns else "CREATE",
                edit.table,
            )
            assert entry["memberId"] is not None
            assert str(entry["memberId"]) not in done.created["Member"]
            assert entry["createdAt"] == row["updatedAt"]
            if edit.columns:
                assert tuple(entry["before"]) == tuple(entry["after"]) == edit.columns
                assert all(entry["after"][name] == str(row[name]) for name in edit.columns)
                assert entry["before"] != entry["after"]
    expected = set(EDITS)
    if importer == "csv":
        expected = {kind for kind in EDITS if not kind.endswith("mapped-member")}
    if importer == "guide":
        expected = {kind for kind in EDITS if not kind.startswith("documented-")} - ONLY_APPLICATION
    assert applied == expected
