"""What one run did, record by record: action, evidence and its strength, and what became of it since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import psycopg
from sqlalchemy import Connection

from workbench.errors import WorkbenchError
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import ACTIONS, Counts, Run, Strength
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.journal import applied_plans
from workbench.runs.evidence import ask_of_records, words_of
from workbench.runs.omissions import not_refreshed, omissions_frame, omissions_of


@dataclass(frozen=True)
class RunRecords:
    """What one run did.

    Attributes
    ----------
    run : Run
        The run, its counts completed by the records found.
    records : pandas.DataFrame
        One row per record, up to the limit asked for: ``entity``, ``action``, ``record_id``,
        ``wa_id``, ``other_wa_ids`` (further ones that lead to it), ``evidence``, ``strength``,
        ``exists`` (None for a dry run), ``touched_since`` (a run's id, ``a person``, ``somebody``, or empty),
        ``fate`` (the plan that deleted or restored it, in words, or empty).
    tally : pandas.DataFrame
        Every record counted by ``entity``, ``action``, ``evidence``, ``strength``, ``exists``,
        ``touched``, ``fate`` and ``records``.
    differences : list of str
        Where what was found and what the importer reported disagree.
    left_out : pandas.DataFrame
        What it left out, see `workbench.runs.omissions.omissions_frame`; of a full sync without a report, or of
        one that fetched too little, also what it did not refresh.
    """

    run: Run
    records: pd.DataFrame
    tally: pd.DataFrame
    differences: list[str]
    left_out: pd.DataFrame


def run_records(
    connection: Connection, schema: Schema, run: Run, others: Sequence[Run] = (), limit: int | None = None
) -> RunRecords:
    """Return what a run did record by record, and what became of it.

    Parameters
    ----------
    others : sequence of Run
        The other runs of the same database; a time window shared with one of them is weak evidence.
    limit : int, optional
        The most records to list; the tally always counts all.
    """
    unread: list[str] = []
    try:
        plans = applied_plans(connection)
    except WorkbenchError as error:
        plans, unread = [], [f"Whether a plan deleted missing records is not known: {error.what}"]
    by = 'entity, action, traces, strength, "exists", touched, fate'
    sums = ", ".join(f"sum({action})::bigint AS {action}" for action in ACTIONS)
    counting = f"SELECT {by}, count(*) AS records, {sums} FROM fates GROUP BY {by} ORDER BY {by}"
    # What no longer exists or was changed since comes first.
    listing = """SELECT entity, action, record_id, wa_id, wa_ids, traces, strength, "exists", touched_since, fate FROM fates
                 ORDER BY "exists", touched DESC, entity, action, wa_id, record_id LIMIT %(limit)s"""
    tally, records = (
        _in_words(ask_of_records(connection, schema, query, run, others, plans=plans, limit=limit))
        for query in (counting, listing)
    )
    records["other_wa_ids"] = _other_wa_ids(connection, schema, records)
    sums_by_entity = tally.groupby("entity")[list(ACTIONS)].sum().astype(int).to_dict("index")
    traced: Counts = {
        entity: {
            action: sums_by_entity[entity][action] for action in ACTIONS if sums_by_entity[entity][action]
        }
        for entity in ENTITIES
        if entity in sums_by_entity
    }
    run, tally = replace(run, traced=traced), tally.drop(columns=list(ACTIONS))
    later = [other for other in others if run.started and other.started and other.started > run.started]
    left_out = omissions_of(connection, schema, run, later) + not_refreshed(connection, schema, run)
    return RunRecords(run, records, tally, _differences(run, tally) + unread, omissions_frame(left_out))


def _in_words(cursor: psycopg.Cursor[Any]) -> pd.DataFrame:
    """Lay rows out as a table, evidence and its strength in words."""
    names = [column.name for column in cursor.description or ()]
    table = pd.DataFrame.from_records(cursor.fetchall(), columns=names)
    table["traces"] = [words_of(traces) for traces in table["traces"]]
    table["strength"] = [Strength(strength).name for strength in table["strength"]]
    return table.rename(columns={"traces": "evidence", "wa_ids": "other_wa_ids"})


def _other_wa_ids(connection: Connection, schema: Schema, listing: pd.DataFrame) -> list[str]:
    """Add the WA ids that other runs mapped onto the records to those by which this run knows them."""
    mapped: dict[tuple[str, str], set[str]] = {}
    records = listing["record_id"].dropna()
    for row in mapping_rows(connection, schema, records=records) if schema.has(*NEEDS) else ():
        mapped.setdefault((row.entity, row.target), set()).add(row.wa_id)
    names = ("entity", "record_id", "wa_id", "other_wa_ids")
    return [
        ", ".join(sorted({*filter(None, others.split(", ")), *mapped.get((entity, key), ())} - {wa_id}))
        for entity, key, wa_id, others in zip(*(listing[name] for name in names), strict=True)
    ]


def _differences(run: Run, tally: pd.DataFrame) -> list[str]:
    """Say where what was found and what the importer reported disagree."""
    lines = []
    if not run.traced and not any(sum(cells.values()) for cells in run.reported.values()):
        lines.append(
            "No record of this run was found, neither in the database nor in a report: nothing shows what it did."
        )
    for entity, cells in run.reported.items():
        for action in ("created", "updated"):
            reported, traced = cells.get(action, 0), run.traced.get(entity, {}).get(action, 0)
            if reported and not run.traced and run.mode == "live":
                why = "by its report alone; no row of the database or full report names them"
                lines.append(f"{entity}: {reported:,} {action} {why}.")
            elif run.traced and reported != traced:
                lines.append(f"{entity}: {reported:,} {action} by its report, {traced:,} found.")
    written = tally["action"].isin(["created", "updated"]) & tally["fate"].eq("")
    gone = tally[written & tally["exists"].eq(False)].groupby("entity")["records"].sum()
    lines += [
        f"{entity}: {count:,} that it created or updated no longer exist." for entity, count in gone.items()
    ]
    return lines
