"""Guide §1.2: Wild Apricot ids that lead to the wrong record."""

from __future__ import annotations

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
from workbench.mappings.places import brought_elsewhere
from workbench.mappings.problems import contradicted
from workbench.mappings.traces import Traces, traces_of
from workbench.murmurant.spellings import EVENT, MEMBER

_NO_EVIDENCE = (
    "Nothing here says {what}: no audit rows of creations, no raw Wild Apricot"
    " data, no report that lists records. Give the importer's full report with --import-report."
)


def members_wrong_person(look: Look) -> Rows:
    return _contradicted(look, MEMBER)


def events_wrong_record(look: Look) -> Rows:
    return _contradicted(look, EVENT)


def registrations_wrong_event(look: Look) -> Rows:
    asked = brought_elsewhere(_traces(look))
    if asked is None:
        raise NotRunError(_NO_EVIDENCE.format(what="which event a registration was imported for"))
    return asked


def mappings_shared_target(look: Look) -> Rows:
    return _traces(look).shared_targets


def mappings_missing(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    bare, others = _traces(look).without_mapping
    found = [
        {
            "key": f"{each.entity} {each.record}",
            "wa_id": each.wa_id or None,
            "run": each.run or None,
            "evidence": each.words,
        }
        for each in bare
        if each.importer != "csv"
    ]
    untold = [
        run.run
        for run in look.runs
        if run.mode == "live"
        and not run.rolled_back
        and run.importer != "csv"
        and not run.traced
        and any(cells.get("created") for cells in run.reported.values())
    ]
    if not found and others and untold:
        raise NotRunError(
            f"No mapping leads to {others:,} records, and nothing says which of them {', '.join(untold[:3])} made: the"
            " audit rows of it are gone. An earlier snapshot has the mappings: `workbench plan mapping --rebuild --snapshot FILE`."
        )
    return found


def records_imported_twice(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    return [
        {
            "key": each.record,
            "entity": each.entity,
            "wa_id": each.wa_id,
            "first": each.first,
            "run": each.run or None,
            "leads_to": each.leads_to or None,
            "evidence": each.words,
        }
        for each in _traces(look).imported_twice
    ]


def _contradicted(look: Look, entity: str) -> Rows:
    rows = contradicted(_traces(look), entity)
    if rows is None:
        raise NotRunError(
            _NO_EVIDENCE.format(what=f"which {entity.lower()} a Wild Apricot id was imported as")
        )
    return [{name: cell for name, cell in row._asdict().items() if cell is not None} for row in rows]


def _traces(look: Look) -> Traces:
    return traces_of(look.connection, look.schema, look.runs)
