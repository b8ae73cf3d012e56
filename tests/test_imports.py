"""The simulator of later runs: what it says it did is what the workbench finds, and nothing else moved."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.imports import IMPORTERS, import_run
from tests.states import differences, state

CASES = [(dialect, importer) for dialect, importers in IMPORTERS.items() for importer in importers]
RECORDS = ("Member", "Event", "Registration", "EventRegistration")


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


def test_the_workbench_finds_what_the_run_did(case):
    club, importer = case
    puzzling = only_mapped_before(club)
    done = played(club, importer, seed=1, mapped=2)
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
