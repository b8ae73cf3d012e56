"""What an import left out, and what it fetched too little of, by its reports and the mappings that it refreshed (guide §1.1).

An API sync writes ``syncedAt`` of the mapping of every contact and event that it takes, changed or not. So it refused what
it fetched and did not refresh. Without its report only that a mapping was not refreshed is known, not why.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.database.address import redact
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import ReportWarning, Run, is_fetch_trouble
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.runs.evidence import TOLERANCE, ask

_REFRESHED = (MEMBER, EVENT)
"""Entities whose mappings a sync refreshes whether they changed or not; a registration's mapping is written only when it is new."""

_NEEDS = ("mappings.synced_at", *NEEDS)

_NO_MEMBER = re.compile(r"^(?:Member not mapped: WA contact|Member not found:) (\S+)$")
_NO_EVENT = re.compile(r"^(?:Event (\S+) not mapped|Event not found: (\S+))$")
_OWNER = re.compile(r"\b((?:WA contact|event) \S+)")
_OF_EVENT = re.compile(r"for event (\S+)$")
_NAMED_BY = {"CONTACT": MEMBER, "MEMBER": MEMBER, "EVENT": EVENT, "REGISTRATION": REGISTRATION}


class Omission(NamedTuple):
    """Records that a run left out.

    Attributes
    ----------
    wa_id : str or None
        None where nothing names the record.
    row : int or None
        The line of the export file.
    reason : str
        Why, as far as it is known.
    records : int or None
        How many; None where that is not known.
    since : str
        What imported it later: a run's id, or that it is mapped now; empty while it is left out.
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
        """What to call it: by its WA id, its line, or its owner."""
        if self.wa_id or self.row is not None:
            return f"{self.entity} {self.wa_id or f'of row {self.row}'}"
        owner = _OWNER.search(self.reason)
        return f"{self.entity} of {owner[1]}" if owner else f"{self.entity}, not named"

    @property
    def key(self) -> tuple[str, str | None, int | None, str]:
        """What identifies the record across runs."""
        return (self.entity, self.wa_id, *((None, "") if self.wa_id else (self.row, self.reason)))


def far_below(count: int, expected: int) -> bool:
    """Whether so many are missing that it is no daily change: a fifth, and at least five."""
    return count < 0.8 * expected and expected - count >= 5


# ----------------------------------------------------------------------------------------- what the reports say


def reported_omissions(run: Run) -> list[Omission]:
    """List what a run's own reports say that it left out, or in a dry run would leave out."""
    rows = [
        Omission(run.run, problem.entity, problem.wa_id, problem.row, redact(problem.reason), 1)
        for problem in run.problems
        if problem.wa_id or problem.row is not None
    ]
    named = {(row.entity, row.wa_id) for row in rows}
    problems = [problem.entity for problem in run.problems]

    def leave(entity: str, wa_id: str | None, why: str, count: int | None = 1) -> None:
        rows.append(Omission(run.run, entity, wa_id, None, why, count))

    counted = dict.fromkeys(ENTITIES, 0)  # refused records that a reason names
    unlinked = 0
    reasons = {reason: count for report in run.reports for reason, count in report.skip_reasons.items()}
    for reason, count in reasons.items():
        if member := _NO_MEMBER.match(reason):
            unlinked += count
            leave(REGISTRATION, None, f"no member for WA contact {member[1]}", count)
            if (MEMBER, member[1]) not in named:
                leave(
                    MEMBER, member[1], "no member is mapped to this contact, whose registrations were fetched"
                )
                counted[MEMBER] += 1
        elif event := _NO_EVENT.match(reason):
            if run.mode == "live":  # a dry run has no mapping of the events that it did not create
                why = "no event is mapped to it, so its registrations were not fetched"
                leave(EVENT, event[1] or event[2], why)
                counted[EVENT] += 1
        elif is_fetch_trouble(reason):
            of = _OF_EVENT.search(reason)
            why = f"the registrations of event {of[1]} could not be fetched" if of else redact(reason)
            leave(REGISTRATION, None, why, None)
        elif not reason.startswith("Error: "):  # those are among the problems, with their ids
            counted[REGISTRATION] += count
            leave(REGISTRATION, None, redact(reason), count)
    for entity in ENTITIES:
        cells = run.reported.get(entity, {})
        not_named = {
            "no member or event for it; the report does not name it": cells.get("unlinked", 0) - unlinked,
            "the importer could not take it; only its log names it": cells.get("refused", 0)
            - counted[entity],
            "the importer gave up on it; the report does not list it": run.errors.get(entity, 0)
            - problems.count(entity),
        }
        for why, count in not_named.items():
            if count > 0:
                leave(entity, None, why, count)
    return rows


# ------------------------------------------------------------------------------------ what the mappings say


class _Refreshed:
    """When the mappings of contacts and events were last refreshed, counted from the start of each sync."""

    def __init__(self, connection: Connection, schema: Schema, runs: Sequence[Run]) -> None:
        self._starts = sorted({_begun(run) for run in runs if run.importer == "api" and run.started})
        query = """SELECT entity_type, coalesce(width_bucket(synced_at, %(starts)s::timestamp[]), 0), count(*)
                   FROM mappings WHERE entity_type IN ('Member', 'Event') GROUP BY 1, 2"""
        self._counts = ask(connection, schema, query, {"starts": self._starts}).fetchall()
        self.lost = cache(lambda entity: _has_lost(connection, schema, entity))

    def since(self, entity: str, run: Run | None = None) -> int:
        """Return how many were refreshed since a run began; without a run, how many there are."""
        place = bisect_left(self._starts, _begun(run)) if run else -1
        return sum(count for kind, bucket, count in self._counts if kind == entity and bucket > place)


def _has_lost(connection: Connection, schema: Schema, entity: str) -> bool:
    """Whether some record that a sync logged has no mapping now; then one that was not refreshed may have lost it."""
    query = """SELECT metadata ->> 'waId' FROM audit
               WHERE run_id IS NOT NULL AND action IN ('CREATE', 'UPDATE') AND resource_type = %(entity)s
                 AND metadata ->> 'waId' IS NOT NULL
               EXCEPT SELECT wa_id FROM mappings WHERE entity_type = %(entity)s LIMIT 1"""
    logged = schema.has("audit.metadata", "audit.resource_type", "audit.action")
    return not logged or ask(connection, schema, query, {"entity": entity}).fetchone() is not None


def _begun(run: Run) -> datetime:
    assert run.started is not None
    return run.started - TOLERANCE


def assess_completeness(connection: Connection, schema: Schema, runs: Sequence[Run]) -> None:
    """Tell unchanged records from refused ones, note what a run fetched too little of, and doubt its end if need be."""
    refreshed = _Refreshed(connection, schema, runs) if schema.has(*_NEEDS) else None
    for position, run in enumerate(runs):
        later = [other for other in runs[position + 1 :] if _stands(other)]
        marks = refreshed if run.importer == "api" and run.started else None
        for entity in _REFRESHED if marks and _stands(run) else ():
            assert marks is not None
            _tell_refused(run, entity, later, marks)
        run.short = _short(run, runs[:position], later, marks)
        _doubt(run)


def _stands(run: Run) -> bool:
    return run.mode == "live" and not run.rolled_back


def _created(entity: str, *runs: Run) -> int:
    return sum(run.traced.get(entity, {}).get("created", 0) for run in runs)


def _tell_refused(run: Run, entity: str, later: Sequence[Run], refreshed: _Refreshed) -> None:
    """Split what was skipped into unchanged and refused records, where all of the run's own rows are known."""
    cells = run.reported.get(entity, {})
    if not (skipped := cells.get("skipped", 0)):
        return
    written = cells.get("created", 0) + cells.get("updated", 0)
    traced = _created(entity, run) + run.traced.get(entity, {}).get("updated", 0)
    taken = refreshed.since(entity, run) - _created(entity, *later)
    existing = min(max(taken - written, 0), skipped)
    known = traced == written and taken >= written and taken > 0
    rest = "refused" if known and existing < skipped and not refreshed.lost(entity) else "skipped"
    others = {action: count for action, count in cells.items() if action not in ("existing", "skipped")}
    apart = {action: count for action, count in (("existing", existing), (rest, skipped - existing)) if count}
    run.reported = {**run.reported, entity: {**others, **apart}}


def _short(
    run: Run, earlier: Sequence[Run], later: Sequence[Run], refreshed: _Refreshed | None
) -> dict[str, str]:
    """Say, by entity, what a run fetched far less of than the run before it, or than is mapped."""
    if run.rolled_back or run.sync == "incremental":
        return {}
    before = next((other for other in reversed(earlier) if _is_comparable(other, run)), None)
    short = {}
    for entity in ENTITIES:
        fetched = run.fetched.get(entity)
        things = "contacts" if entity == MEMBER and run.importer == "api" else CONCEPT_OF[entity]
        if fetched is not None and before and far_below(fetched, had := before.fetched.get(entity, 0)):
            # A dry run does not fetch the registrations of events that it did not create.
            if entity != REGISTRATION or run.mode == "live":
                short[entity] = f"it fetched {fetched:,} {things}, {before.run} before it {had:,}"
        elif refreshed and entity in _REFRESHED:
            # What this run and later ones created was not there before it.
            created = _created(entity, run, *later)
            mapped, taken = refreshed.since(entity) - created, refreshed.since(entity, run) - created
            if fetched is not None and far_below(fetched, mapped):
                short[entity] = f"it fetched {fetched:,} {things}, and {mapped:,} were mapped before it"
            elif fetched is None and run.sync == "full" and not run.reported and far_below(taken, mapped):
                short[entity] = f"it refreshed {max(taken, 0):,} of {mapped:,} {things} that are mapped"
    return short


def _is_comparable(earlier: Run, run: Run) -> bool:
    """Whether another run should have fetched about as much: a complete one, of the same files."""
    files = any(run.files.get(entity, name) != name for entity, name in earlier.files.items())
    complete = _stands(earlier) and earlier.sync != "incremental" and not earlier.short
    return earlier.importer == run.importer and complete and not files and any(earlier.fetched.values())


def _grave_warnings(run: Run) -> list[ReportWarning]:
    """Return the grave warnings, except that no registration was written where all were as before."""
    actions = {action for action, count in run.reported.get(REGISTRATION, {}).items() if count}
    explained = {"ZERO_REGISTRATIONS_UPSERTED"} if actions == {"existing"} else set()
    return [warning for warning in run.warnings if warning.high and warning.code not in explained]


def lost_of(run: Run, entity: str) -> int:
    """Count what a run fetched and left out, where that is no daily change; else 0."""
    cells, fetched = run.reported.get(entity, {}), run.fetched.get(entity, 0)
    lost = cells.get("unlinked", 0) + cells.get("refused", 0)
    return lost if far_below(fetched - lost, fetched) else 0


def _doubt(run: Run) -> None:
    """Call a run that reached its end incomplete where it lost too much; say what it left out."""
    warned = " ".join(redact(warning.message) for warning in _grave_warnings(run)).rstrip(".")
    reasons = [f"its report warns: {warned}"] if warned else []
    reasons += run.short.values()
    if run.status == "completed":
        amounts = [
            f"{count:,} {CONCEPT_OF[entity]} ({why})"
            for entity in ENTITIES
            for action, why in (("unlinked", "no member or event for them"), ("refused", "not taken"))
            if (count := run.reported.get(entity, {}).get(action))
        ]
        if amounts:
            left = "it left out" if run.mode == "live" else "it would leave out"
            reasons.append(f"{left} {', '.join(amounts)}")
        lost = any(2 * lost_of(run, entity) > run.fetched.get(entity, 0) for entity in ENTITIES)
        short = run.short and run.importer != "csv"  # an export of a few rows may be intended
        if warned or short or (lost and run.mode == "live"):
            run.status, run.why = "incomplete", f"it reached its end, but {'; '.join(reasons)}"
            return
    run.why = "; ".join([run.why, *reasons])


def warned_of(run: Run, entity: str) -> str:
    """Return the grave warnings whose code names an entity; empty where there are none."""
    messages = []
    for warning in _grave_warnings(run):
        named = [kind for word, kind in _NAMED_BY.items() if word in warning.code.upper()]
        if named[:1] == [entity]:
            messages.append(redact(warning.message))
    return " ".join(messages)


# ---------------------------------------------------------------------------------------------- what came since


def omissions_of(connection: Connection, schema: Schema, run: Run, later: Iterable[Run]) -> list[Omission]:
    """List what a run left out, and what imported each record since; `later` are the runs after it, by start."""
    return _by_run(connection, schema, [run, *later])[0]


def open_omissions(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[Omission]:
    """List everything that live runs left out and none imported since; the latest run that names a record counts."""
    latest: dict[Any, Omission] = {}
    for rows in _by_run(connection, schema, [run for run in runs if _stands(run)]):
        for row in rows:
            latest.pop(row.key, None)
            if not row.since:
                latest[row.key] = row
    return sorted(latest.values(), key=_by_entity)


def _by_run(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[list[Omission]]:
    """List for each run what it left out, and what imported it since: a later one of these runs, or its mapping."""
    omissions = [reported_omissions(run) for run in runs]
    wa_ids = {row.wa_id for rows in omissions for row in rows if row.wa_id}
    mapped: dict[tuple[str, str], datetime] = {}
    for mapping in mapping_rows(connection, schema, wa_ids=wa_ids) if wa_ids and schema.has(*_NEEDS) else ():
        if mapping.synced is not None:
            pair = mapping.entity, mapping.wa_id
            mapped[pair] = max(mapping.synced, mapped.get(pair, mapping.synced))
    later: list[tuple[Run, set[tuple[str, str]], list[Omission]]] = []
    by_run = []
    for run, rows in zip(reversed(runs), reversed(omissions), strict=True):
        live = run.mode == "live"
        judged = [row._replace(since=_since(run, row, later, mapped)) for row in rows] if live else rows
        by_run.append(sorted(judged, key=_by_entity))
        if _stands(run):
            later.insert(0, (run, _handled(run), rows))
    return by_run[::-1]


def _since(
    run: Run,
    row: Omission,
    later: Sequence[tuple[Run, set[tuple[str, str]], list[Omission]]],
    mapped: dict[tuple[str, str], datetime],
) -> str:
    """Say what imported a record after its run; empty where nothing did."""
    pair = (row.entity, row.wa_id or "")
    fetched = run.fetched.get(row.entity, 0)
    for other, handled, omissions in later:
        if pair in handled:
            return other.run
        too_few = far_below(other.fetched.get(row.entity, 0), fetched)
        if not other.reported or other.sync == "incremental" or too_few:
            continue
        # It fetched everything again, and its own report lists what is left out now, if it names all of it.
        same_importer = other.importer == run.importer
        settled = not row.wa_id and (same_importer or fetched)
        if same_importer and all(omission.wa_id for omission in omissions):
            settled = settled or row.key not in {omission.key for omission in omissions}
        if settled:
            return f"{other.run} reported since"
    if (moment := mapped.get(pair)) is None:
        return ""
    # A failed update leaves the mapping as it was; a mapping that did not exist is new by itself.
    end = run.finished or run.last_trace or run.started
    failed = any((problem.entity, problem.wa_id) == pair for problem in run.problems)
    return "mapped since" if not failed or (end and moment > end) else ""


def _by_entity(row: Omission) -> tuple[int, int]:
    return ENTITIES.index(row.entity) if row.entity in ENTITIES else len(ENTITIES), -(row.records or 0)


def _handled(run: Run) -> set[tuple[str, str]]:
    """Return what a run's reports say that it took, by entity and WA id."""
    pairs = {(entity, wa_id) for report in run.reports for entity, wa_id, _ in report.identities}
    records = [record for report in run.reports for record in report.records]
    pairs |= {(record.entity, record.wa_id) for record in records if record.wa_id and record.record_id}
    return pairs - {(problem.entity, problem.wa_id) for problem in run.problems}


def not_refreshed(connection: Connection, schema: Schema, run: Run) -> list[Omission]:
    """List the mapped contacts or events that a full sync did not refresh, where it fetched too little or has no report."""
    if run.importer != "api" or run.mode != "live" or run.sync == "incremental" or not run.started:
        return []
    entities = [entity for entity in _REFRESHED if run.short.get(entity) or not run.reported]
    if not entities or not schema.has(*_NEEDS):
        return []
    query = """SELECT entity_type, wa_id FROM mappings WHERE entity_type = ANY(%(entities)s) AND synced_at < %(begun)s
               ORDER BY array_position(%(entities)s, entity_type), length(wa_id), wa_id"""
    named = {(problem.entity, problem.wa_id) for problem in run.problems}
    why = "not known: the sync did not refresh it, so Wild Apricot did not return it, or the importer gave up on it"
    stale = ask(connection, schema, query, {"entities": entities, "begun": _begun(run)})
    return [
        Omission(run.run, entity, wa_id, None, why, 1)
        for entity, wa_id in stale
        if (entity, wa_id) not in named
    ]


def omissions_frame(rows: Sequence[Omission]) -> pd.DataFrame:
    """Lay out what was left out.

    Returns
    -------
    pandas.DataFrame
        ``key`` (such as ``Member 50070``), ``entity``, ``wa_id`` (missing where unknown), ``row`` of the export,
        ``reason``, ``records`` (how many; missing where unknown), ``since`` (what imported it later), ``run``.
    """
    frame = pd.DataFrame(rows, columns=list(Omission._fields), dtype=object)
    frame.insert(0, "key", [row.name for row in rows])
    frame["run"] = frame.pop("run")
    return frame.astype({"row": "Int64", "records": "Int64"})
