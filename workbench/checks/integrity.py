"""Guide §2.4, §7.1 and §7.3: what must hold after every run and every recovery."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from workbench.checks.registry import Asked, Look, NotConfiguredError, NotRunError, Rows
from workbench.murmurant.canonical import ask
from workbench.murmurant.importers import Run
from workbench.murmurant.references import literal, quoted
from workbench.murmurant.row_digest import odd_value
from workbench.murmurant.spellings import CONCEPT_OF, SYNC_MOMENTS

AHEAD = timedelta(hours=1)
"""How far the sync state may lie after the last thing that is known to have been written."""


A_YEAR = timedelta(days=365)
"""So far back at least an incremental sync looks at events; the application's own default is two years."""

_ENDS = ("last_full_sync", "last_incremental_sync")
_PARTS = ("last_contact_sync", "last_event_sync", "last_registration_sync")


def values_odd(look: Look) -> Asked | Rows:
    catalogue, asked = look.schema.catalogue, []
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
    if not asked:
        return []
    query = f"""SELECT *, count(*) OVER () AS of_all FROM ({" UNION ALL ".join(asked)}) AS odd
        ORDER BY "table", "column", key"""
    _, rows, query = ask(look.connection, look.canonical, query, limit=look.sample)
    return int(rows["of_all"].max()) if len(rows) else 0, rows.drop(columns="of_all"), query


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
    ((newest,),) = look.rows("SELECT max(synced_at) FROM mappings")
    known = [each for each in (look.as_of, newest) if each]
    if not known:
        raise NotRunError("There is no run and no mapping to compare the sync state with.")
    names = [each for each in SYNC_MOMENTS if look.schema.has(f"sync_state.{each}")]
    query = f"SELECT id::text AS key, {', '.join(SYNC_MOMENTS)} FROM sync_state ORDER BY id::text"
    states = [dict(zip(("key", *SYNC_MOMENTS), row, strict=True)) for row in look.rows(query)]
    real = look.schema.resolved["sync_state"].spelling
    return [
        {
            "key": row["key"],
            "moment": ", ".join(real[each] for each in columns),
            "says": max(row[each] for each in columns),
            "newest_data": max(known),
            "why": why,
        }
        for row in states
        for columns, why in _ahead(look, {each: row[each] for each in names if row[each]}, max(known), names)
    ]


def _ahead(
    look: Look, marks: dict[str, datetime], newest: datetime, names: list[str]
) -> Iterator[tuple[list[str], str]]:
    """Compare one row of the sync state with the data, with itself, and with what was rolled back."""
    traces = _leaves_traces(look, newest)
    late = [each for each in marks if marks[each] > newest + AHEAD and (traces or each == "last_full_sync")]
    end = max((marks[each] for each in _ENDS if each in marks), default=None)
    parts = [each for each in _PARTS if each in marks and (end is None or marks[each] > end + AHEAD)]
    # What an incremental sync goes by; where it is not kept, by the last end of all.
    last = max(marks, key=marks.__getitem__, default="")
    watermark = "last_contact_sync" if "last_contact_sync" in names else last
    if late:
        yield late, "nothing was written by a sync at that time"
    elif parts:
        yield parts, "no end of a sync goes with it: the state was emptied only in part"
    elif watermark in marks:
        for run in look.runs:
            undone = run.rolled_back and run.importer != "csv" and run.started
            if undone and marks[watermark] > undone and not _fetched_again(look, run):
                yield (
                    [watermark],
                    f"{run.run} was rolled back, and no full sync has fetched its records again",
                )


def _fetched_again(look: Look, run: Run) -> bool:
    since = run.rolled_back_at or run.started
    return any(
        (each.status, each.mode) == ("completed", "live")
        and each.importer != "csv"
        and each.sync != "incremental"
        and each.started
        and since
        and each.started > since
        for each in look.runs
    )


def _leaves_traces(look: Look, newest: datetime) -> bool:
    """Whether even an incremental sync on a quiet day writes something: it refreshes the mappings of recent events."""
    recent = "SELECT EXISTS (SELECT FROM mappings JOIN events ON events.id = target WHERE spelled = 'Event' AND start > %(since)s)"
    ((kept,),) = look.rows(recent, since=newest - A_YEAR)
    return bool(kept) and look.schema.has("sync_state.last_event_sync")


def table_counts(look: Look) -> dict[str, int]:
    """Count members, events, registrations and mappings: the first question of guide §2.4."""
    names = [name for name in (*CONCEPT_OF.values(), "mappings") if look.schema.has(name)]
    look.schema.refuse_unreadable(*names)
    (counts,) = look.rows(f"SELECT {', '.join(f'(SELECT count(*) FROM {name})' for name in names)}")
    return dict(zip(names, counts, strict=True))
