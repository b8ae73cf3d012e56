"""Whom an import left out, and what it fetched too little of: by its reports and by the mappings it refreshed (guide §1.1).

An API sync writes ``syncedAt`` of the mapping of every contact and event that it takes, changed or not. So what it
fetched and did not refresh, it refused; without its report only that a mapping was not refreshed is known, not why.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.database.address import redact
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import ReportWarning, Run, is_fetch_trouble
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.runs.evidence import ask

_REFRESHED = (MEMBER, EVENT)
"""Whose mappings a sync refreshes whether they changed or not; a registration's only when it is new."""

_NEEDS = ("mappings.synced_at", *NEEDS)
_CLOCKS = timedelta(seconds=1)  # how far an application server's clock and its database's may differ

_NO_MEMBER = re.compile(r"^(?:Member not mapped: WA contact|Member not found:) (\S+)$")
_NO_EVENT = re.compile(r"^(?:Event (\S+) not mapped|Event not found: (\S+))$")
_WHOSE = re.compile(r"\b((?:WA contact|event) \S+)")
_OF_EVENT = re.compile(r"for event (\S+)$")
_NAMED_BY = {"CONTACT": MEMBER, "MEMBER": MEMBER, "EVENT": EVENT, "REGISTRATION": REGISTRATION}


class LeftOut(NamedTuple):
    """Records that a run left out.

    Attributes
    ----------
    run, entity : str
        Which run, and what kind of record.
    wa_id : str or None
        Wild Apricot's id; None where nothing names it.
    row : int or None
        The line of the export file.
    reason : str
        Why, as far as it is known.
    records : int or None
        How many; None where that is not known.
    since : str
        What brought it in later: a run's id, or that it is mapped now; empty while it is left out.
    """

    run: str
    entity: str
    wa_id: str | None
    row: int | None
    reason: str
    records: int | None
    since: str = ""

    @property
    def name(self) -> str:
        """What to call it: by its WA id, else by its line, else by whose it is."""
        if self.wa_id or self.row is not None:
            return f"{self.entity} {self.wa_id or f'of row {self.row}'}"
        whose = _WHOSE.search(self.reason)
        return f"{self.entity} of {whose[1]}" if whose else f"{self.entity}, not named"

    @property
    def key(self) -> tuple[str, str | None, int | None, str]:
        """What makes two runs' words about one record the same record's."""
        return (self.entity, self.wa_id, *((None, "") if self.wa_id else (self.row, self.reason)))


def far_below(count: int, expected: int) -> bool:
    """Whether so many are missing that it is no change of a day: a fifth, and five at least."""
    return count < 0.8 * expected and expected - count >= 5


# ------------------------------------------------------------------------------------------ what the reports say


def left_out_by(run: Run) -> list[LeftOut]:
    """List what a run's own reports say that it left out, or in a dry run would leave out."""
    rows = [
        LeftOut(run.run, each.entity, each.wa_id, each.row, redact(each.reason), 1)
        for each in run.problems
        if each.wa_id or each.row is not None
    ]
    named = {(each.entity, each.wa_id) for each in rows}

    def leave(entity: str, wa_id: str | None, why: str, count: int | None = 1) -> None:
        rows.append(LeftOut(run.run, entity, wa_id, None, why, count))

    unlinked = refused = 0
    for reason, count in {
        reason: n for each in run.reports for reason, n in each.skip_reasons.items()
    }.items():
        if member := _NO_MEMBER.match(reason):
            unlinked += count
            leave(REGISTRATION, None, f"no member for WA contact {member[1]}", count)
            if (MEMBER, member[1]) not in named:
                why = "no member is mapped to this contact, whose registrations were fetched"
                leave(MEMBER, member[1], why)
        elif event := _NO_EVENT.match(reason):
            if run.mode == "live":  # a dry run has no mapping of the events that it did not make
                leave(
                    EVENT,
                    event[1] or event[2],
                    "no event is mapped to it, so its registrations were not fetched",
                )
        elif is_fetch_trouble(reason):
            of = _OF_EVENT.search(reason)
            why = f"the registrations of event {of[1]} could not be fetched" if of else redact(reason)
            leave(REGISTRATION, None, why, None)
        elif not reason.startswith("Error: "):  # those are among the problems, with their ids
            refused += count
            leave(REGISTRATION, None, redact(reason), count)
    # What the reports count and do not name.
    for entity in ENTITIES:
        cells, problems = run.reported.get(entity, {}), sum(each.entity == entity for each in run.problems)
        contacts = sum(each.entity == entity and each.wa_id is not None for each in rows) - problems
        told = refused if entity == REGISTRATION else contacts
        for why, count in (
            ("no member or event for it; the report does not name it", cells.get("unlinked", 0) - unlinked),
            ("the importer could not take it; only its log names it", cells.get("refused", 0) - told),
            ("the importer gave up on it; the report does not list it", run.errors.get(entity, 0) - problems),
        ):
            if count > 0:
                leave(entity, None, why, count)
    return rows


# ---------------------------------------------------------------------------------- what the mappings say besides


class Refreshed:
    """When the mappings of contacts and events were last refreshed, counted at the starts of the syncs."""

    def __init__(self, connection: Connection, schema: Schema, runs: Sequence[Run]) -> None:
        self._connection, self._schema = connection, schema
        self._moments = sorted({_begun(run) for run in runs if run.importer == "api" and run.started})
        query = """SELECT entity_type, coalesce(width_bucket(synced_at, %(moments)s::timestamp[]), 0), count(*)
                   FROM mappings WHERE entity_type IN ('Member', 'Event') GROUP BY 1, 2"""
        self._counts = list(ask(connection, schema, query, {"moments": self._moments}))
        self._lost: dict[str, bool] = {}

    def held(self, entity: str) -> int:
        """Return how many there are."""
        return sum(count for each, _, count in self._counts if each == entity)

    def since(self, entity: str, run: Run) -> int:
        """Return how many were refreshed since a run began."""
        place = bisect_left(self._moments, _begun(run))
        return sum(count for each, bucket, count in self._counts if each == entity and bucket > place)

    def lost(self, entity: str) -> bool:
        """Whether some record that a sync logged has no mapping now: then what was not refreshed may have lost its own."""
        if entity not in self._lost:
            query = """SELECT metadata ->> 'waId' FROM audit
                       WHERE run_id IS NOT NULL AND action IN ('CREATE', 'UPDATE') AND resource_type = %(entity)s
                         AND metadata ->> 'waId' IS NOT NULL
                       EXCEPT SELECT wa_id FROM mappings WHERE entity_type = %(entity)s LIMIT 1"""
            known = self._schema.has("audit.metadata", "audit.resource_type", "audit.action")
            lost = ask(self._connection, self._schema, query, {"entity": entity}).fetchone() if known else ()
            self._lost[entity] = lost is not None
        return self._lost[entity]


def _begun(run: Run) -> datetime:
    assert run.started is not None
    return run.started - _CLOCKS


def weigh(connection: Connection, schema: Schema, runs: Sequence[Run]) -> None:
    """Tell apart what each run skipped, note what it fetched too little of, and doubt an end that this belies."""
    refreshed = Refreshed(connection, schema, runs) if schema.has(*_NEEDS) else None
    for position, run in enumerate(runs):
        later = [each for each in runs[position + 1 :] if each.mode == "live" and not each.rolled_back]
        if refreshed and run.importer == "api" and run.started and run.mode == "live" and not run.rolled_back:
            for entity in _REFRESHED:
                _tell_apart(run, entity, later, refreshed)
        run.short = _short(run, runs[:position], later, refreshed)
        _doubt(run)


def _created(run: Run, entity: str) -> int:
    return run.traced.get(entity, {}).get("created", 0)


def _tell_apart(run: Run, entity: str, later: Sequence[Run], refreshed: Refreshed) -> None:
    """Tell what was skipped because nothing had changed from what was refused: the rest, where the run's own rows are here."""
    cells = run.reported.get(entity, {})
    if not cells.get("skipped"):
        return
    written = cells.get("created", 0) + cells.get("updated", 0)
    seen = _created(run, entity) + run.traced.get(entity, {}).get("updated", 0)
    taken = refreshed.since(entity, run) - sum(_created(each, entity) for each in later)
    existing = min(max(taken - written, 0), cells["skipped"])
    known = seen == written and taken >= written and taken > 0
    rest = "refused" if known and existing < cells["skipped"] and not refreshed.lost(entity) else "skipped"
    kept = {action: count for action, count in cells.items() if action not in ("existing", "skipped")}
    told = {"existing": existing, rest: cells["skipped"] - existing}
    run.reported = {**run.reported, entity: {**kept, **{action: n for action, n in told.items() if n}}}


def _short(
    run: Run, earlier: Sequence[Run], later: Sequence[Run], refreshed: Refreshed | None
) -> dict[str, str]:
    """Say, by entity, what a run fetched far less of than the run before it had, or than the database holds."""
    if run.rolled_back or run.sync == "incremental":
        return {}
    before = next((each for each in reversed(earlier) if _alike(each, run)), None)
    short = {}
    for entity in ENTITIES:
        fetched = run.fetched.get(entity)
        concept = "contacts" if entity == MEMBER and run.importer == "api" else CONCEPT_OF[entity]
        if fetched is not None and before and far_below(fetched, had := before.fetched.get(entity, 0)):
            # A dry run does not fetch the registrations of events that it did not make.
            if entity != REGISTRATION or run.mode == "live":
                short[entity] = f"it fetched {fetched:,} {concept}, {before.run} before it {had:,}"
        elif refreshed and run.importer == "api" and run.started and entity in _REFRESHED:
            # What this run and later ones brought was not there before it.
            brought = sum(_created(each, entity) for each in (run, *later))
            held, taken = refreshed.held(entity) - brought, refreshed.since(entity, run) - brought
            if fetched is not None and far_below(fetched, held):
                short[entity] = f"it fetched {fetched:,} {concept}, and {held:,} were mapped before it"
            elif fetched is None and run.sync == "full" and not run.reported and far_below(taken, held):
                short[entity] = f"it refreshed {max(taken, 0):,} of {held:,} {concept} that are mapped"
    return short


def _alike(one: Run, other: Run) -> bool:
    """Whether the one run's fetch says what the other's should be."""
    files = [name for entity, name in other.files.items() if one.files.get(entity, name) != name]
    return (
        one.importer == other.importer
        and one.mode == "live"
        and not one.rolled_back
        and one.sync != "incremental"
        and not one.short
        and not files
        and any(one.fetched.values())
    )


def doubts(run: Run) -> list[ReportWarning]:
    """Return the warnings that belie a run's end: the grave ones, but one that its own counts explain.

    A sync that finds every registration as it was warns that it wrote none of them.
    """
    unchanged = {action for action, count in run.reported.get(REGISTRATION, {}).items() if count} == {
        "existing"
    }
    explained = {"ZERO_REGISTRATIONS_UPSERTED"} if unchanged else set()
    return [each for each in run.warnings if each.high and each.code not in explained]


def lost_of(run: Run, entity: str) -> int:
    """Count what a run fetched and left out, where that is so much that it is no change of a day; else 0."""
    cells, fetched = run.reported.get(entity, {}), run.fetched.get(entity, 0)
    lost = cells.get("unlinked", 0) + cells.get("refused", 0)
    return lost if far_below(fetched - lost, fetched) else 0


def _doubt(run: Run) -> None:
    warned = " ".join(redact(each.message) for each in doubts(run)).rstrip(".")
    said = [*([f"its report warns: {warned}"] if warned else []), *run.short.values()]
    if run.status == "completed":
        amounts = [
            f"{count:,} {CONCEPT_OF[entity]} ({reason})"
            for entity in ENTITIES
            for action, reason in (("unlinked", "no member or event for them"), ("refused", "not taken"))
            if (count := run.reported.get(entity, {}).get(action))
        ]
        if amounts:
            said.append(
                f"{'it left out' if run.mode == 'live' else 'it would leave out'} {', '.join(amounts)}"
            )
        lost = run.mode == "live" and any(
            2 * lost_of(run, each) > run.fetched.get(each, 0) for each in ENTITIES
        )
        if warned or lost or (run.short and run.importer != "csv"):  # an export of a few rows may be meant
            run.status, run.why = "incomplete", "it reached its end, but " + "; ".join(said)
            return
    if said:
        run.why += "; " + "; ".join(said)


def warned_of(run: Run, entity: str) -> str:
    """Return what a run's grave warnings say of one entity, by their codes; empty where nothing."""
    told = [
        redact(each.message)
        for each in doubts(run)
        if next((named for word, named in _NAMED_BY.items() if word in each.code.upper()), None) == entity
    ]
    return " ".join(told)


# ------------------------------------------------------------------------------------------- what came of it since


def left_out_since(connection: Connection, schema: Schema, run: Run, later: Iterable[Run]) -> list[LeftOut]:
    """List what a run left out, and what brought each of it in since.

    Parameters
    ----------
    later : iterable of Run
        Those after it, by start.
    """
    return _since(connection, schema, [run, *later])[0]


def still_left_out(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[LeftOut]:
    """List everything that live runs left out and none brought in since; the latest word on each counts."""
    latest: dict[Any, LeftOut] = {}
    live = [each for each in runs if each.mode == "live" and not each.rolled_back]
    for each in (row for rows in _since(connection, schema, live) for row in rows):
        latest.pop(each.key, None)
        if not each.since:
            latest[each.key] = each
    return sorted(latest.values(), key=_by_entity)


def _since(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[list[LeftOut]]:
    """List run by run what each left out, and what brought it in since: a later run of these, or its mapping."""
    rows = [left_out_by(each) for each in runs]
    mapped = _mapped(connection, schema, {str(each.wa_id) for some in rows for each in some if each.wa_id})
    # Backwards: the runs after each one are known by then.
    later: list[tuple[Run, set[tuple[str, str]], list[LeftOut]]] = []
    by_run = []
    for run, left_out in zip(reversed(runs), reversed(rows), strict=True):
        fated = [row._replace(since=_fate(run, row, later, mapped)) for row in left_out]
        by_run.append(sorted(fated, key=_by_entity))
        if run.mode == "live" and not run.rolled_back:
            later.insert(0, (run, _handled(run), left_out))
    return by_run[::-1]


def _fate(
    run: Run,
    row: LeftOut,
    later: Sequence[tuple[Run, set[tuple[str, str]], list[LeftOut]]],
    mapped: dict[tuple[str, str], datetime],
) -> str:
    """Say what brought a row in after its run; empty where nothing did."""
    if run.mode != "live":
        return ""
    pair = (row.entity, row.wa_id or "")
    for each, handled, left_out in later:
        if pair in handled:
            return each.run
        if (
            each.reported
            and each.sync != "incremental"
            and not far_below(each.fetched.get(row.entity, 0), run.fetched.get(row.entity, 0))
        ):
            # It fetched everything anew, and its own list says what is left out now, if it names all of it.
            alike = each.importer == run.importer
            whole = alike and all(one.wa_id for one in left_out)
            if (not row.wa_id and (alike or run.fetched.get(row.entity))) or (
                whole and row.key not in {one.key for one in left_out}
            ):
                return f"{each.run} tells anew"
    if moment := mapped.get(pair):
        # An update that failed leaves the mapping as it was; one that was not there at all is news by itself.
        end = run.finished or run.last_trace or run.started
        failed = any((each.entity, each.wa_id) == pair for each in run.problems)
        return "mapped since" if not failed or (end and moment > end) else ""
    return ""


def _by_entity(row: LeftOut) -> tuple[int, int]:
    return ENTITIES.index(row.entity) if row.entity in ENTITIES else len(ENTITIES), -(row.records or 0)


def _handled(run: Run) -> set[tuple[str, str]]:
    """Return what a run's reports say that it took, by entity and WA id."""
    pairs = {(entity, wa_id) for report in run.reports for entity, wa_id, _ in report.identities}
    pairs |= {
        (each.entity, each.wa_id)
        for report in run.reports
        for each in report.records
        if each.wa_id and each.record_id
    }
    return pairs - {(each.entity, each.wa_id) for each in run.problems if each.wa_id}


def _mapped(connection: Connection, schema: Schema, wa_ids: set[str]) -> dict[tuple[str, str], datetime]:
    """Return when the mappings of some WA ids were last refreshed."""
    if not wa_ids or not schema.has(*_NEEDS):
        return {}
    moments: dict[tuple[str, str], datetime] = {}
    for row in mapping_rows(connection, schema, wa_ids=wa_ids):
        if row.synced is not None:
            moments[row.entity, row.wa_id] = max(row.synced, moments.get((row.entity, row.wa_id), row.synced))
    return moments


def not_explained(connection: Connection, schema: Schema, run: Run) -> list[LeftOut]:
    """List the mapped contacts or events that a full sync did not refresh, where it fetched too little or left no report."""
    if run.importer != "api" or run.mode != "live" or run.sync == "incremental":
        return []
    entities = [entity for entity in _REFRESHED if run.short.get(entity) or not run.reported]
    if not run.started or not entities or not schema.has(*_NEEDS):
        return []
    query = """SELECT entity_type, wa_id FROM mappings WHERE entity_type = ANY(%(entities)s) AND synced_at < %(begun)s
               ORDER BY array_position(%(entities)s, entity_type), length(wa_id), wa_id"""
    named = {(each.entity, each.wa_id) for each in run.problems}
    why = "not known: the sync did not refresh it, so Wild Apricot did not return it, or the importer gave up on it"
    rows = ask(connection, schema, query, {"entities": entities, "begun": _begun(run)})
    return [
        LeftOut(run.run, entity, wa_id, None, why, 1)
        for entity, wa_id in rows
        if (entity, wa_id) not in named
    ]


def left_out_frame(rows: Sequence[LeftOut]) -> pd.DataFrame:
    """Lay out what was left out.

    Returns
    -------
    pandas.DataFrame
        ``key`` (such as ``Member 50070``), ``entity``, ``wa_id`` (missing where nothing names it), ``row`` of the
        export, ``reason``, ``records`` (how many; missing where that is not known), ``since`` (what brought it in
        later), ``run``.
    """
    frame = pd.DataFrame(rows, columns=list(LeftOut._fields), dtype=object)
    frame.insert(0, "key", [each.name for each in rows])
    return frame[[*(name for name in frame if name != "run"), "run"]].astype(
        {"row": "Int64", "records": "Int64"}
    )
