"""The simulator of later runs: what it says it did is what the workbench finds."""

from __future__ import annotations

import pytest

from tests.imports import IMPORTERS, import_run

CASES = [(dialect, importer) for dialect, importers in IMPORTERS.items() for importer in importers]


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request, clubs):
    dialect, importer = request.param
    return clubs.clone(dialect, 50), importer


def played(club, importer, **how):
    with club.connect() as connection:
        return import_run(connection, club.club, importer, **how)


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
