"""Guide §2.4, §7.1 and §7.3: what must hold after every run and every recovery."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, column, exists, func, select, text

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, Rows
from workbench.murmurant.references import literal, quoted
from workbench.murmurant.row_digest import odd_value
from workbench.murmurant.schema import as_text, same_id
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, SYNC_MOMENTS

AHEAD = timedelta(hours=1)
"""How far the sync state may lie after the last thing that is known to have been written."""


A_YEAR = timedelta(days=365)
"""So far back at least an incremental sync looks at events; the application's own default is two years."""


def values_odd(look: Look) -> Select[*tuple[Any, ...]] | Rows:
    catalogue = look.schema.catalogue
    asked = []
    for name in sorted({found.table for found in look.schema.resolved.values()}):
        table = catalogue.tables[name]
        odd = {
            each.name: told
            for each in table.columns.values()
            if each.readable and (told := odd_value(each.type, f"t.{quoted(each.name)}"))
        }
        key = " || '/' || ".join(f"t.{quoted(each)}::text" for each in table.primary_key) or "t.ctid::text"
        values = ", ".join(
            f"({literal(column)}, CASE WHEN {told} THEN t.{quoted(column)}::text END)"
            for column, told in odd.items()
        )
        if odd:
            asked.append(
                f"SELECT {key} AS key, {literal(name)} AS table, v.* FROM {quoted(catalogue.schema)}.{quoted(name)} t,"
                f' LATERAL (VALUES {values}) v("column", value) WHERE v.value IS NOT NULL AND ({" OR ".join(odd.values())})'
            )
    found = (
        text(" UNION ALL ".join(asked))
        .columns(*map(column, ("key", "table", "column", "value")))
        .subquery("odd")
    )
    return select(found).order_by(found.c.table, found.c.column, found.c.key) if asked else []


def counts_as_expected(look: Look) -> Rows:
    expected = look.settings.expected
    if not expected:
        raise NotConfiguredError(
            "Nobody said how many there should be. Set expected (members, events, registrations) for this environment,"
            " or give the report expected_members and so on."
        )
    found = table_counts(look)
    return [
        {"key": name, "expected": wanted, "found": found[name], "difference": found[name] - wanted}
        for name, wanted in sorted(expected.items())
        if found[name] != wanted
    ]


def sync_state(look: Look) -> Rows:
    known = [look.as_of] if look.as_of else []
    if look.schema.has("mappings.synced_at"):
        newest = look.connection.execute(select(func.max(look.schema.mappings.c.synced_at))).scalar_one()
        known += [newest] if newest else []
    if not known:
        raise NotRunError("There is no run and no mapping to compare the sync state with.")
    state, names = look.schema.sync_state, _moments(look)
    rows = look.connection.execute(
        select(as_text(state.c.id).label("key"), *(state.c[each].label(each) for each in names)).order_by(
            "key"
        )
    )
    leaves_traces = _leaves_traces(look, max(known))
    return [found for row in rows for found in _ahead(look, dict(row._mapping), max(known), leaves_traces)]


def _leaves_traces(look: Look, newest: datetime) -> bool:
    """Whether even an incremental sync on a quiet day writes something: it refreshes the mappings of recent events."""
    needs = ("sync_state.last_event_sync", "mappings.synced_at", "mappings.entity_type", "events.start")
    if not look.schema.has(*needs):
        return False
    mappings, events = look.schema.mappings, look.schema.events
    recent = exists().where(
        mappings.c.entity_type == EVENT,
        same_id(mappings.c.target, events.c.id),
        events.c.start > newest - A_YEAR,
    )
    return bool(look.connection.execute(select(recent)).scalar_one())


def _moments(look: Look) -> list[str]:
    return [each for each in SYNC_MOMENTS if look.schema.has(f"sync_state.{each}")]


def _ahead(look: Look, row: dict[str, Any], newest: datetime, leaves_traces: bool) -> Rows:
    """Compare one row of the sync state with the data, with itself, and with what was rolled back."""
    real = look.schema.resolved["sync_state"].spelling
    ends = [row[each] for each in ("last_full_sync", "last_incremental_sync") if row.get(each)]
    marks = {each: row[each] for each in _moments(look) if row[each]}
    found: Rows = []

    def tell(*columns: str, why: str) -> None:
        found.append(
            {
                "key": row["key"],
                "moment": ", ".join(real[each] for each in columns),
                "says": max(row[each] for each in columns),
                "newest_data": newest,
                "why": why,
            }
        )

    ahead = [
        each for each in marks if marks[each] > newest + AHEAD and (leaves_traces or each == "last_full_sync")
    ]
    if ahead:
        tell(*ahead, why="nothing was written by a sync at that time")
    parts = [
        each
        for each in ("last_contact_sync", "last_event_sync", "last_registration_sync")
        if each in marks and (not ends or marks[each] > max(ends) + AHEAD)
    ]
    if parts and not ahead:
        tell(*parts, why="no end of a sync goes with it: the state was emptied only in part")
    # What an incremental sync goes by; where it is not kept, by the last end of all.
    watermark = (
        "last_contact_sync"
        if "last_contact_sync" in _moments(look)
        else max(marks, key=marks.__getitem__, default="")
    )
    for run in look.runs if watermark in marks and not found else ():
        if run.rolled_back and run.importer != "csv" and run.started and marks[watermark] > run.started:
            again = any(
                each.status == "completed"
                and each.mode == "live"
                and each.importer != "csv"
                and each.sync != "incremental"
                and each.started
                and each.started > (run.rolled_back_at or run.started)
                for each in look.runs
            )
            if not again:
                tell(
                    watermark,
                    why=f"{run.run} was rolled back, and no full sync has fetched its records again",
                )
    return found


def table_counts(look: Look) -> dict[str, int]:
    """Count members, events, registrations and mappings: the first question of guide §2.4."""
    concepts = [name for name in (*CONCEPT_OF.values(), "mappings") if look.schema.has(name)]
    counts = [
        select(func.count()).select_from(look.schema.source(name)).scalar_subquery().label(name)
        for name in concepts
    ]
    row = look.connection.execute(select(*counts)).one()
    return dict(row._mapping)
