"""Runs and their records: the importers' own counts, on their recordings and on made clubs."""

from __future__ import annotations

import json

import pytest

from tests.conftest import DIALECTS, database_at
from tests.recorded import STATES, load
from workbench.errors import UsageError
from workbench.murmurant.reports import read_reports
from workbench.runs.discovery import pick_run
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

DRY, FIRST, SECOND, INTERRUPTED = (
    "sync_1795367838359_u3b25u",
    "sync_1795367840787_f3yhlg",
    "sync_1795367857622_qkvvgm",
    "sync_1795367863930_nuqpcw",
)


@pytest.fixture
def recorded(server, recordings):
    """Open a recorded state, with report files as evidence."""
    opened = []

    def _open(state, *reports):
        template = server.template(state, lambda connection: load(connection, STATES[state]))
        options = EnvironmentSettings(kind="development", url_env="UNUSED")
        database = database_at(server.url(server.create(template)))
        files = read_reports([recordings / name for name in reports])
        opened.append(Workbench(Session(database, options, Settings(operator="dana"), files, one_state=True)))
        return opened[-1]

    yield _open
    for wb in opened:
        wb.close()


def reported(path):
    """Read the counts out of an importer's report, independently of the package."""
    content = json.loads(path.read_text())
    sections = content.get("stats") or content
    counts = {}
    for entity in ("Member", "Event", "Registration"):
        cells = sections[f"{entity.lower()}s"]
        named = {"created": cells["created"], "updated": cells["updated"], "existing": cells["skipped"]}
        counts[entity] = {action: count for action, count in named.items() if count}
    return counts


def shown(counts, mapped_is_existing=True):
    """Our counts without the zeros; importers call skipped whatever they neither created nor updated."""
    plain = {entity: {action: n for action, n in cells.items() if n} for entity, cells in counts.items()}
    for cells in plain.values() if mapped_is_existing else ():
        if skipped := sum(cells.pop(action, 0) for action in ("mapped", "existing", "skipped")):
            cells["existing"] = skipped
    return plain


@pytest.mark.recordings
def test_api_runs_have_their_reports_counts(recorded, recordings):
    wb = recorded("api_second", "api_sync")
    runs = {run.run: run for run in wb.session.find_runs()}
    for run, file, status in (
        (DRY, "dry_run_report.json", "completed"),
        (FIRST, "first_run_report.json", "completed"),
        (SECOND, "second_run_report.json", "completed"),
        (INTERRUPTED, "interrupted_run_report.json", "interrupted"),
    ):
        expected = reported(recordings / "api_sync" / file)
        assert (shown(runs[run].counts), runs[run].status) == (expected, status)
        assert shown(wb.runs.records(run).run.counts) == expected
    second = wb.runs.records(SECOND).records
    mapped = second[second["action"] == "mapped"]  # onto members who were there
    assert sorted(mapped["wa_id"]) == ["60002", "60006"]
    assert set(mapped["strength"]) == {"likely"}
    first = wb.runs.records(FIRST).records
    touched = first[first["touched_since"] != ""]
    assert set(touched["touched_since"]) == {SECOND}
    assert touched["entity"].value_counts()[["Member", "Event"]].tolist() == [20, 5]


@pytest.mark.recordings
def test_csv_runs_have_their_reports_counts(recorded, recordings):
    wb = recorded("csv_run2", "csv_import/run1/reports", "csv_import/run2/reports")
    for path in recordings.glob("csv_import/run[12]/reports/migration-*-full.json"):
        run = json.loads(path.read_text())["runId"]
        detail = wb.runs.records(run)
        # A record that the CSV importer gave up on bears the action "skip"; its summary counts an error.
        assert shown(detail.run.counts) == reported(path)
        assert detail.run.status == "completed"
        assert detail.differences == []
        assert sum(detail.run.errors.values()) == json.loads(path.read_text())["summary"]["errors"]
    assert recorded("csv_run2").runs.frame().empty, "without its reports it is invisible"
    path = next((recordings / "csv_import/run2/reports").glob("id-map-live-*.json"))
    alone = recorded("csv_run2", path.relative_to(recordings))  # names the run, but not what it did
    (run,) = alone.session.find_runs()
    assert run.status == "unknown"
    assert alone.runs.records(run.run).differences


@pytest.mark.recordings
def test_without_report_files_the_database_tells_what_it_can(recorded):
    wb = recorded("api_second")
    first, second = wb.session.find_runs()
    assert (first.status, second.status) == ("unknown", "completed")
    assert "report" in first.why
    assert shown(wb.runs.records(SECOND).run.counts, False) == {
        "Member": {"created": 32, "updated": 20, "mapped": 2, "existing": 100},
        "Event": {"updated": 5, "existing": 35},
        "Registration": {"created": 146, "updated": 233},
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_run_of_a_club_is_found_with_its_counts(clubs, dialect):
    club = clubs.clone(dialect)
    with club.workbench() as wb:
        runs = {run.run: run for run in wb.session.find_runs()}
        assert list(runs) == [run.run for run in club.club.runs]
        for fact in club.club.runs:
            run, detail, live = runs[fact.run], wb.runs.records(fact.run), fact.mode == "live"
            assert (run.importer, run.mode, run.status) == (fact.importer, fact.mode, "completed")
            truth = {entity: {a: n for a, n in cells.items() if n} for entity, cells in fact.counts.items()}
            assert shown(detail.run.counts, not live) == (truth if live else shown(truth)), fact.run
            assert detail.differences == []
            assert detail.records["exists"].all() or not live


def test_what_became_of_a_record_is_said(application):
    run = application.club.last_live_run.run
    created = application.wb.runs.records(run).records.query("action == 'created'")
    gone = created[created["entity"] == "Registration"]["record_id"].iloc[0]
    changed = created.query("entity == 'Member' and touched_since == ''")["record_id"].iloc[0]
    application.execute('DELETE FROM "EventRegistration" WHERE id::text = %s', gone)
    application.execute(
        """UPDATE "Member" SET phone = '1', "updatedAt" = now() WHERE id::text = %s""", changed
    )
    with application.workbench() as wb:
        detail = wb.runs.records(run)
    assert any("no longer exist" in line for line in detail.differences)
    records = detail.records.set_index("record_id")
    assert not records.loc[gone, "exists"]
    assert (records.loc[changed, "exists"], records.loc[changed, "touched_since"]) == (True, "somebody")


def test_a_run_is_named_by_its_id_or_an_unambiguous_beginning(guide):
    with guide.workbench() as wb:
        runs = wb.session.find_runs()
    names = [run.run for run in runs]
    first = names[0]
    unique = next(first[:n] for n in range(1, 40) if sum(name.startswith(first[:n]) for name in names) == 1)
    assert pick_run(runs, unique)[0].run == pick_run(runs, first)[0].run == first
    several = next(
        name[:n]
        for n in range(1, 30)
        for name in names
        if sum(other.startswith(name[:n]) for other in names) > 1
    )
    for wrong in ("sync_123", '\'; DROP TABLE "Member"; --', "", "%", "$1", several):
        with pytest.raises(UsageError):
            pick_run(runs, wrong)


def test_runs_of_hostile_and_of_empty_words(clubs):
    """An id with quotes is found like any other; a run without records never looks like success; metadata may be anything."""
    club = clubs.clone("guide")
    hostile, last = 'run\'; DELETE FROM "Member"; --', club.club.last_live_run
    for table, column in (
        ("WaIdMapping", "syncRunId"),
        ("Member", "importRunId"),
        ("Event", "importRunId"),
        ("Registration", "importRunId"),
    ):
        club.execute(f'UPDATE "{table}" SET "{column}" = %s WHERE "{column}" = %s', hostile, last.run)
    club.execute(
        """INSERT INTO "AuditLog" (action, metadata) VALUES
           ('migration:started', '{"run_id": "run_empty", "mode": "live", "operator": "kim"}'),
           ('migration:completed', '{"run_id": "run_empty", "counts": {}, "duration": 1}'),
           ('migration:completed', '{"run_id": "odd", "counts": {"members": {"created": null, "updated": "n/a"}}}'),
           ('migration:started', '{"run_id": "odd", "environment": {"name": "x"}, "operator": 7}'),
           ('migration:failed', '[1, 2]'), ('migration:started', '"text"'), ('migration:started', NULL)"""
    )
    with club.workbench(import_reports=()) as wb:
        counts = shown(wb.runs.records(hostile).run.counts, False)
        assert counts["Member"]["created"] == last.counts["Member"]["created"]
        assert any("No record of this run" in line for line in wb.runs.records("run_empty").differences)
        assert "odd" in {run.run for run in wb.session.find_runs()}
        assert wb.check().findings


def test_a_killed_sync_is_interrupted(clubs):
    """No report, and a sync state older than its last audit row."""
    club = clubs.clone("application")
    club.execute(
        """UPDATE "WaSyncState" SET "lastFullSync" = NULL, "lastContactSync" = NULL, "lastEventSync" = NULL,
               "lastRegSync" = NULL"""
    )
    with club.workbench(import_reports=()) as wb:
        runs = {run.run: run.status for run in wb.session.find_runs()}
    assert runs[club.club.last_live_run.run] == "interrupted"


def test_all_kinds_of_import_in_one_database(clubs):
    """The application's schema with the guide's run ids added: a report and a run id on the record are one trace."""
    club = clubs.clone("application")
    csv = next(run for run in reversed(club.club.runs) if run.importer == "csv" and run.mode == "live")
    with club.workbench() as wb:
        records = wb.runs.records(csv.run).records.query("entity == 'Member' and action == 'created'")
    club.execute(
        'ALTER TABLE "WaIdMapping" ADD "syncRunId" text; ALTER TABLE "Member" ADD "importRunId" text'
    )
    club.execute(
        """INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "updatedAt", "syncRunId", "syncedAt")
           SELECT gen_random_uuid(), 'Member', 900000, id, now(), 'run_by_hand', '2026-05-30'
           FROM "Member" ORDER BY id LIMIT 1"""
    )
    ids = list(records["record_id"])
    club.execute('UPDATE "Member" SET "importRunId" = %s WHERE id::text = ANY(%s)', csv.run, ids)
    with club.workbench() as wb:
        assert wb.session.dialect == "mixed"
        assert {run.importer for run in wb.session.find_runs()} == {"api", "csv", "guide"}
        assert shown(wb.runs.records("run_by_hand").run.counts, False) == {"Member": {"mapped": 1}}
        detail = wb.runs.records(csv.run)
    assert detail.run.counts["Member"]["created"] == csv.counts["Member"]["created"]
    assert detail.differences == []


def test_one_wa_id_on_two_records_hides_neither(clubs):
    club = clubs.clone("guide")
    run = club.club.last_live_run.run
    club.execute(
        """INSERT INTO "WaIdMapping" (id, "entityType", "waId", "murmurantId", "syncRunId", "syncedAt", "updatedAt")
           SELECT 'twin', "entityType", "waId", (SELECT min(id) FROM "Member"), "syncRunId", "syncedAt", "updatedAt"
           FROM "WaIdMapping" WHERE "syncRunId" = %s AND "entityType" = 'Member' ORDER BY id LIMIT 1""",
        run,
    )
    with club.workbench(import_reports=()) as wb:
        records = wb.runs.records(run).records
    twins = records[records.duplicated(["entity", "wa_id"], keep=False)]
    assert sorted(twins["action"]) == ["created", "mapped"]
