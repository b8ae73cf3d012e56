"""Checks of mappings and records: ids that lead to the wrong record (guide §1.2), records that exist twice (§1.4), unreadable values (§7.1)."""

from __future__ import annotations

import pandas as pd
from psycopg.sql import Identifier, Literal

from workbench.checks.look import Look, NotRunError
from workbench.checks.registry import Asked, Rows
from workbench.duplicates.events import shifted_events
from workbench.duplicates.next_sync import written_since
from workbench.errors import WorkbenchError
from workbench.mappings.problems import contradicted
from workbench.mappings.queries import unlinked
from workbench.mappings.registrations import registrations_elsewhere
from workbench.mappings.traces import Traces, traces_of
from workbench.murmurant.canonical import ask
from workbench.murmurant.row_digest import odd_value
from workbench.murmurant.spellings import EVENT, MEMBER
from workbench.plans.journal import applied_plans

_NO_EVIDENCE = (
    "It is not known {what}: there are no audit rows of creations, no raw Wild Apricot data and no report that lists"
    " records. Give the importer's full report with --import-report."
)


def members_wrong_person(look: Look) -> Rows:
    return _contradicted(look, MEMBER)


def events_wrong_record(look: Look) -> Rows:
    return _contradicted(look, EVENT)


def registrations_wrong_event(look: Look) -> Rows:
    rows = registrations_elsewhere(_traces(look))
    if rows is None:
        raise NotRunError(_NO_EVIDENCE.format(what="which event a registration was imported for"))
    return rows


def mappings_shared_target(look: Look) -> Rows:
    return traces_of(look.connection, look.schema).shared_targets  # without runs, which may not be readable


def mappings_orphaned(look: Look) -> Rows:
    orphans = [row for row in unlinked(look.connection, look.schema) if not row.record]
    orphans.sort(key=lambda row: (row.key, row.target or ""))
    return [{"key": row.key, "target": row.target, "why": row.why} for row in orphans]


def mappings_missing(look: Look) -> Rows:
    look.require_runs()
    lost, others = _traces(look).without_mapping
    rows = [
        {
            "key": f"{record.entity} {record.record}",
            "wa_id": record.wa_id or None,
            "run": record.run or None,
            "evidence": record.words,
        }
        for record in lost
        if record.importer != "csv"
    ]
    untraced = [
        run.run
        for run in look.live
        if run.importer != "csv"
        and not run.rolled_back
        and not run.traced
        and any(cells.get("created") for cells in run.reported.values())
    ]
    if not rows and others and untraced:
        raise NotRunError(
            f"No mapping leads to {others:,} records, and nothing says which of them {', '.join(untraced[:3])} made: the"
            " audit rows of it are gone. An earlier snapshot has the mappings: `workbench plan mapping --rebuild --snapshot FILE`."
        )
    return rows


def records_imported_twice(look: Look) -> Rows:
    look.require_runs()
    return _traces(look).imported_twice


def events_shifted(look: Look) -> pd.DataFrame:
    pairs = shifted_events(look.connection, look.schema, look.runs)
    pairs = pairs[pairs["by_the_clock"]].rename(columns={"second": "key", "first": "other"})
    return pairs[["key", "other", "title", "start", "why"]]


def merges_written_over(look: Look) -> Rows:
    try:
        merges = [entry for entry in applied_plans(look.connection) if entry.kind == "merge"]
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    rows = written_since(look.connection, look.schema, look.runs, merges)
    if rows is None:
        raise NotRunError(
            "Records were merged here, and it is not known what was written into them since: there are no audit rows of updates,"
            " no times on mappings and no report that lists records. Give the importer's full report with --import-report."
        )
    return rows


def values_odd(look: Look) -> Asked | Rows:
    catalogue, selects = look.schema.catalogue, []
    for name in sorted({concept.table for concept in look.schema.resolved.values()}):
        table = catalogue.tables[name]
        odd = {
            column.name: condition
            for column in table.columns.values()
            if column.readable and (condition := odd_value(column.type, _cell(column.name)))
        }
        if not odd:
            continue
        key = " || '/' || ".join(f"{_cell(part)}::text" for part in table.primary_key) or "t.ctid::text"
        cells = ", ".join(
            f"({_text(column)}, CASE WHEN {condition} THEN {_cell(column)}::text END)"
            for column, condition in odd.items()
        )
        selects.append(
            f"SELECT {key} AS key, {_text(name)} AS table, cell.*"
            f' FROM {Identifier(catalogue.schema, name).as_string()} t, LATERAL (VALUES {cells}) AS cell("column", value)'
            f" WHERE cell.value IS NOT NULL AND ({' OR '.join(odd.values())})"
        )
    if not selects:
        return []
    query = f"""SELECT *, count(*) OVER () AS of_all FROM ({" UNION ALL ".join(selects)}) AS odd
        ORDER BY "table", "column", key"""
    _, rows, query = ask(look.connection, look.canonical, query, limit=look.sample)
    return int(rows["of_all"].max()) if len(rows) else 0, rows.drop(columns="of_all"), query


def _contradicted(look: Look, entity: str) -> Rows:
    rows = contradicted(_traces(look), entity)
    if rows is None:
        raise NotRunError(
            _NO_EVIDENCE.format(what=f"which {entity.lower()} a Wild Apricot id was imported as")
        )
    return [{name: cell for name, cell in row._asdict().items() if cell is not None} for row in rows]


def _traces(look: Look) -> Traces:
    return traces_of(look.connection, look.schema, look.runs)


def _cell(column: str) -> str:
    return Identifier("t", column).as_string()


def _text(value: str) -> str:
    return f"{Literal(value).as_string()}::text"
