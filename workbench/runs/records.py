"""What one run did, record by record: action, evidence and its strength, and what became of it since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Connection, String, func, select, text, true
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.database.connection import frame
from workbench.errors import WorkbenchError
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import ACTIONS, Counts, Run, Strength, Trace
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.standing import merges_of, standing
from workbench.runs.attribution import about, merge_traces, with_fate
from workbench.runs.left_out import left_out_frame, left_out_since, not_explained
from workbench.runs.traces import record_traces

_TALLY = ["entity", "action", "evidence", "strength", "exists", "touched", "fate"]
_RECORDS = [
    *("entity", "action", "record_id", "wa_id", "other_wa_ids", "evidence"),
    *("strength", "exists", "touched_since", "fate"),
]


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
        ``fate`` (the plan of the workbench that took it away or back, in words; empty where none did).
    tally : pandas.DataFrame
        Every record counted by ``entity``, ``action``, ``evidence``, ``strength``, ``exists``,
        ``touched``, ``fate`` and ``records``.
    differences : list of str
        Where what was found and what the importer reported disagree.
    left_out : pandas.DataFrame
        What it left out, see `workbench.runs.left_out.left_out_frame`; of a full sync without a report, or of
        one that fetched too little, also what it did not refresh.
    """

    run: Run
    records: pd.DataFrame
    tally: pd.DataFrame
    differences: list[str]
    left_out: pd.DataFrame

    @property
    def problems(self) -> pd.DataFrame:
        """Every record that its reports say it gave up on: ``entity``, ``wa_id``, ``row``, ``reason``."""
        rows = [(each.entity, each.wa_id, each.row, each.reason) for each in self.run.problems]
        table = pd.DataFrame(rows, columns=["entity", "wa_id", "row", "reason"], dtype=object)
        return table.astype({"row": "Int64"})


def run_records(
    connection: Connection, schema: Schema, run: Run, others: Sequence[Run] = (), limit: int | None = None
) -> RunRecords:
    """Tell record by record what a run did, and what became of it.

    Parameters
    ----------
    run : Run
        From `pick_run`.
    others : sequence of Run
        The other runs of the same database; a time window shared with one of them is weak evidence.
    limit : int, optional
        The most records to list; the tally always counts all.
    """
    traces = record_traces(schema, run, others)
    unread: list[str] = []
    if traces:
        try:
            plans = standing(connection)
        except WorkbenchError as error:
            plans, unread = [], [f"Whether a plan took away what is gone is not known: {error.what}"]
        merged = with_fate(schema, run, merge_traces(traces, run), others, plans)
        by = [merged.c[name] for name in _TALLY]
        counts = (func.sum(merged.c[name]).label(name) for name in ACTIONS)
        query = select(*by, func.count().label("records"), *counts).group_by(*by).order_by(*by)
        tally = frame(connection, query)
        columns = (merged.c[name] for name in _RECORDS)
        # What is gone or was touched since comes first: it is what somebody looks for.
        first = (merged.c["exists"], merged.c.touched.desc())
        order = (merged.c[name] for name in ("entity", "action", "wa_id", "record_id"))
        listing = frame(connection, select(*columns).order_by(*first, *order).limit(limit))
        into = {key: canonical for plan in plans for key, canonical in merges_of(plan).items()}
        listing["fate"] = [
            fate.replace("into another", f"into {into[key]}") if key in into else fate
            for key, fate in zip(listing["record_id"], listing["fate"], strict=True)
        ]
    else:
        tally = pd.DataFrame(columns=[*_TALLY, "records", *ACTIONS])
        listing = pd.DataFrame(columns=_RECORDS)
    listing["other_wa_ids"] = _other_wa_ids(connection, schema, listing)
    for table in (tally, listing):
        table["strength"] = [Strength(value).name for value in table["strength"]]
    run = replace(run, traced=_counts(tally))
    tally = tally.drop(columns=list(ACTIONS))
    later = [each for each in others if run.started and each.started and each.started > run.started]
    left_out = left_out_since(connection, schema, run, later) + not_explained(connection, schema, run)
    return RunRecords(run, listing, tally, _differences(run, tally) + unread, left_out_frame(left_out))


def _other_wa_ids(connection: Connection, schema: Schema, listing: pd.DataFrame) -> list[str]:
    """Add the WA ids that other runs mapped onto the records to those that this one met them by."""
    mapped: dict[tuple[str, str], set[str]] = {}
    records = listing["record_id"].dropna()
    for row in mapping_rows(connection, schema, records=records) if schema.has(*NEEDS) else ():
        mapped.setdefault((row.entity, row.target), set()).add(row.wa_id)
    names = ("entity", "record_id", "wa_id", "other_wa_ids")
    return [
        ", ".join(sorted({*filter(None, others.split(", ")), *mapped.get((entity, key), ())} - {wa_id}))
        for entity, key, wa_id, others in zip(*(listing[name] for name in names), strict=True)
    ]


class Fates(NamedTuple):
    """Records that a run dealt with alike, and that fared alike; the words are those of `RunRecords.records`.

    Attributes
    ----------
    record_ids, wa_ids : list of str or None
        Side by side, sorted byte by byte. Of a record several WA ids: those the run mapped, or knows it by.
    """

    entity: str
    action: str
    strength: Strength
    exists: bool
    touched_since: str
    record_ids: list[str | None]
    wa_ids: list[str | None]


def record_fates(
    connection: Connection,
    schema: Schema,
    run: Run,
    others: Sequence[Run] = (),
    only: Sequence[str] | None = None,
) -> list[Fates]:
    """Return every record that a live run dealt with: a million of them in a few groups.

    Parameters
    ----------
    only : sequence of str, optional
        The records that matter, by id, to ask whose they are: their own time alone names nobody. Else all.
    """
    traces = record_traces(schema, run, others)
    if only is not None:
        traces = [about(each, only) for each in traces]
    if not traces:
        return []
    merged = with_fate(schema, run, merge_traces(traces, run), others)
    alike = [merged.c[name] for name in ("entity", "action", "strength", "exists", "touched_since")]
    # A million ids are compared byte by byte in half a second here; by the database's collation it takes three.
    connection.execute(text("SET LOCAL work_mem = '64MB'"))
    # The planner expects as many groups as records and would sort them all; there are a handful.
    connection.execute(text("SET LOCAL enable_sort = off"))
    named = merged.c.evidence != str(Trace.TIME) if only is not None else true()
    rows = connection.execute(
        select(
            *alike,
            func.array_agg(merged.c.record_id, type_=ARRAY(String())).label("record_ids"),
            func.array_agg(merged.c.own_wa_ids, type_=ARRAY(String())).label("wa_ids"),
        )
        .where(named)
        .group_by(*alike)
    )
    connection.execute(text("SET LOCAL enable_sort = on"))
    found = [
        Fates(
            row.entity,
            row.action,
            Strength(row.strength),
            bool(row.exists),
            row.touched_since or "",
            *_sorted(row.record_ids, row.wa_ids),
        )
        for row in rows
    ]
    return sorted(found, key=itemgetter(slice(0, 5)))


def _sorted(
    record_ids: list[str | None], wa_ids: list[str | None]
) -> tuple[list[str | None], list[str | None]]:
    if not any(wa_ids) and None not in record_ids:
        return sorted(record_ids), wa_ids  # type: ignore[type-var]  # no None among them
    together = sorted(zip(record_ids, wa_ids, strict=True), key=lambda pair: tuple(map(_absent_last, pair)))
    return [key for key, _ in together], [wa_id for _, wa_id in together]


def _absent_last(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def _counts(tally: pd.DataFrame) -> Counts:
    """Count as importers do: a record by each WA id that leads to it."""
    sums = tally.groupby("entity")[list(ACTIONS)].sum().astype(int).to_dict("index")
    return {
        entity: {action: sums[entity][action] for action in ACTIONS if sums[entity][action]}
        for entity in ENTITIES
        if entity in sums
    }


def _differences(run: Run, tally: pd.DataFrame) -> list[str]:
    found = []
    paired = max((len(each.identities) for each in run.reports), default=0)
    if not run.traced and not run.reported and paired:
        found.append(
            f"Only an id map names this run: {paired:,} ids paired, and not a word of what was done with them."
        )
    elif not run.traced and not any(sum(cells.values()) for cells in run.reported.values()):
        found.append(
            "No record of this run was found, neither in the database nor in a report: nothing shows that it did anything."
        )
    for entity, cells in run.reported.items():
        for action in ("created", "updated"):
            said, seen = cells.get(action, 0), run.traced.get(entity, {}).get(action, 0)
            if said and not run.traced and run.mode == "live":
                found.append(
                    f"{entity}: {said:,} {action} by its report alone; no row of the database or full report names them."
                )
            elif run.traced and said != seen:
                found.append(f"{entity}: {said:,} {action} by its report, {seen:,} found.")
    gone = tally[
        tally["exists"].eq(False) & tally["action"].isin(["created", "updated"]) & tally["fate"].eq("")
    ]
    for name, rows in gone.groupby("entity")["records"].sum().items():
        found.append(f"{name}: {rows:,} that it created or updated no longer exist.")
    return found


class Wrote(NamedTuple):
    """What a run did to one record, and who wrote to it since: ``a person``, ``somebody``, another run's id, or empty."""

    run: Run
    action: str
    strength: Strength
    touched_since: str

    @property
    def by_people(self) -> bool:
        """Whether the record bears people's work since."""
        return self.touched_since in {"a person", "somebody"}


def writers(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    known: Sequence[Run],
    entity: str,
    keys: Collection[str],
) -> dict[str, list[Wrote]]:
    """Tell who wrote some records, run by run; one that none of the runs dealt with is left out.

    Parameters
    ----------
    runs : sequence of Run
        The runs that are asked about, by start.
    known : sequence of Run
        Every run: what happened while two of them ran is weak evidence.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    """
    found: dict[str, list[Wrote]] = {}
    wanted = set(keys)
    for run in runs if wanted else ():
        others = [each for each in known if each is not run]
        for fates in record_fates(connection, schema, run, others, sorted(wanted)):
            if fates.entity == entity:
                wrote = Wrote(run, fates.action, fates.strength, fates.touched_since)
                for key in wanted.intersection(each for each in fates.record_ids if each is not None):
                    found.setdefault(key, []).append(wrote)
    return found


def last_writers(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, keys: Collection[str]
) -> dict[str, Wrote]:
    """Tell which import created or updated some records last, on at least likely evidence."""
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back]
    found = {}
    for key, wrote in writers(connection, schema, live, runs, entity, keys).items():
        for each in wrote:
            if each.action in ("created", "updated") and each.strength >= Strength.likely:
                found[key] = each
    return found
