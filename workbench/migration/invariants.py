"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4).

Each invariant looks at the reports, id maps and exports as they were written, and at nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from workbench.migration.importer_files import (
    SECTIONS,
    Content,
    Entry,
    ImporterFile,
    ImportFiles,
    Violation,
    file_name,
    given_up,
    mapping,
    sequence,
)
from workbench.murmurant.importers import is_fetch_trouble, start_in_run_id

PARTS = ("created", "updated", "skipped", "errors")
_PART_OF = {"create": "created", "update": "updated", "skip": "skipped"}
_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_LOST = (
    "registrationsSkippedMissingEvent",
    "registrationsSkippedMissingMember",
    "registrationsSkippedTransformError",
)

CLOCKS_DIFFER = timedelta(minutes=5)
"""So far may the importer's clock be ahead of ours."""

A_DAY = timedelta(days=1)
"""A date without a time, or a time without a zone, may be ahead of UTC by so much."""

_OF_RUN = ("startedAt", "finishedAt", "completedAt", "generatedAt")
_OF_RECORD = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")
_PAST = ("joinedAt", "registeredAt", "cancelledAt")
"""What cannot have happened after the run that read it."""

Sum = tuple[str, int | None, int | None, str]
"""A total: where it stands, what it is, what it should be, and by what."""


class CannotJudge(Exception):
    """Raised where nothing is there to judge by; its text says what would be."""


class Invariant(NamedTuple):
    """Something that must hold of an import's files; `ask` yields what violates it, or raises `CannotJudge`."""

    id: str
    question: str
    ask: Callable[[ImportFiles], Iterator[Violation]]


class Outcome(NamedTuple):
    """What became of one invariant.

    Attributes
    ----------
    status : {"pass", "fail", "not run"}
        What could not be judged is never a pass; what was found all the same makes it a failure.
    why : str
        Why it was not run, or not of everything.
    violations : tuple of Violation
        All of them.
    """

    invariant: Invariant
    status: str
    why: str
    violations: tuple[Violation, ...]


def check_invariants(files: ImportFiles) -> list[Outcome]:
    """Ask every invariant of an import's files."""
    outcomes = []
    for invariant in INVARIANTS:
        violations, why = [], ""
        try:
            for violation in invariant.ask(files):
                violations.append(violation)
        except CannotJudge as reason:
            why = str(reason)
        status = "fail" if violations else "not run" if why else "pass"
        outcomes.append(Outcome(invariant, status, why, tuple(violations)))
    return outcomes


def outcomes_frame(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Lay outcomes out as a table: ``invariant``, ``question``, ``status``, ``count``, ``why``."""
    rows = [
        (each.invariant.id, each.invariant.question, each.status, len(each.violations), each.why)
        for each in outcomes
    ]
    return pd.DataFrame(rows, columns=["invariant", "question", "status", "count", "why"])


def violations_frame(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Lay out what violates them: ``invariant``, ``file``, ``key``, ``says``."""
    rows = [(each.invariant.id, *violation) for each in outcomes for violation in each.violations]
    return pd.DataFrame(rows, columns=["invariant", "file", "key", "says"])


def _readable(files: ImportFiles) -> Iterator[Violation]:
    if not (files.documents or files.exports or files.unreadable):
        raise CannotJudge("There is no report, id map or export here.")
    yield from files.unreadable


def _entries(files: ImportFiles) -> list[Entry]:
    if entries := list(files.entries()):
        return entries
    raise CannotJudge(
        "No file here lists records: the API sync's report only counts. Seal the full report, id map or exports."
    )


def _documents(files: ImportFiles, why: str) -> Sequence[ImporterFile]:
    if files.documents:
        return files.documents
    raise CannotJudge(why)


def _wa_ids_present(files: ImportFiles) -> Iterator[Violation]:
    for entry in _entries(files):
        if not entry.wa_id:
            yield Violation(entry.file, entry.key, f"it is {entry.how} without a Wild Apricot id")


def _wa_ids_unique(files: ImportFiles) -> Iterator[Violation]:
    counted = Counter(
        (each.file, each.entity, each.wa_id, each.how) for each in _entries(files) if each.wa_id
    )
    for (file, entity, wa_id, how), count in sorted(counted.items()):
        if count > 1:
            yield Violation(file, f"{entity} {wa_id}", f"it is {how} {count} times")
    for document in files.documents:
        for name, entity in SECTIONS.items():
            for wa_id in sequence(document.section(name).get("duplicateWaIds")):
                yield Violation(document.name, f"{entity} {wa_id}", "the id map calls it a duplicate")


def _murmurant_ids_present(files: ImportFiles) -> Iterator[Violation]:
    """Yield what a live run processed or mapped without a Murmurant id, or with a dry run's made-up one."""
    live = [each for each in files.documents if not each.dry and each.kind != "api"]
    if not live:
        raise CannotJudge(
            "Only a live run's full report or id map names Murmurant's ids, and there is none here."
        )
    for document in live:
        for entry in document.entries():
            if not entry.own_id or entry.own_id.startswith("dry-"):
                problem = "with the made-up id of a dry run" if entry.own_id else "without a Murmurant id"
                yield Violation(entry.file, entry.key, f"it is {entry.how} {problem}")
        for name, entity in SECTIONS.items():
            missing = document.section(name).get("missingWaIds") if document.kind == "id map" else ()
            explained = _given_up_on(files, document.run, name)
            for wa_id in sequence(missing):
                if str(wa_id) not in explained:
                    says = "the id map has no Murmurant id for it, and no report says that it was given up on"
                    yield Violation(document.name, f"{entity} {wa_id}", says)


def _given_up_on(files: ImportFiles, run: str, name: str) -> set[str]:
    ids = set()
    for document in files.of_run(run):
        ids |= {str(each.get("_waId")) for each in document.records(name) or () if given_up(each)}
        for error in map(mapping, sequence(document.content.get("errors"))):
            if f"{error.get('entity')}s".lower() == name:
                ids.add(str(error.get("waId")))
    return ids


def _mappings_processed(files: ImportFiles) -> Iterator[Violation]:
    """Yield the mappings of records that the run's report does not list as processed, or lists with another id."""
    mapped = [each for each in files.entries() if each.how == "mapped" and each.document is not None]
    if not mapped:
        raise CannotJudge("No id map is here, and no report has one in it.")
    processed: dict[tuple[str, str], dict[str, set[str]]] = {}
    for document in files.documents:
        for name, entity in SECTIONS.items():
            if document.records(name) is not None:
                processed.setdefault((document.run, entity), {})
        for entry in document.entries():
            if entry.how == "processed":
                ids = processed[document.run, entry.entity].setdefault(entry.wa_id, set())
                ids.add(entry.own_id)
    unjudged = set()
    for entry in mapped:
        assert entry.document is not None
        known = processed.get((entry.document.run, entry.entity))
        if known is None:
            unjudged.add(entry.file)
        elif entry.wa_id and entry.wa_id not in known:
            says = "it is mapped, but the run's report does not say that it was processed"
            yield Violation(entry.file, entry.key, says)
        elif entry.wa_id and entry.own_id not in known[entry.wa_id]:
            others = ", ".join(sorted(known[entry.wa_id]))
            says = f"it is mapped to {entry.own_id or 'nothing'}, the run's report says {others}"
            yield Violation(entry.file, entry.key, says)
    if unjudged:
        raise CannotJudge(
            f"The full report of the run that {', '.join(sorted(unjudged)[:3])} is of is not here,"
            " or does not list all records."
        )


def _counts_not_negative(files: ImportFiles) -> Iterator[Violation]:
    for document in _documents(files, "No report and no id map is here to count in."):
        for where, value in _counts(document):
            if type(value) is not int:
                yield Violation(document.name, where, f"it is {str(value)[:40]!r}, no whole number")
            elif value < 0:
                yield Violation(document.name, where, f"it is {value:,}")


def _counts(document: ImporterFile) -> Iterator[tuple[str, Any]]:
    """Yield every field that is a count, by its path."""
    content = document.content
    if document.kind == "api":
        groups = {name: content.get(name) for name in ("fetched", "registrationDiagnostics")}
        groups |= {f"stats.{name}": document.section("stats").get(name) for name in SECTIONS}
        groups[""] = {name: content[name] for name in ("durationMs", "totalErrorCount") if name in content}
    elif document.kind == "csv":
        groups = {name: content.get(name) for name in ("summary", *SECTIONS)}
    else:
        groups = {f"{name}.counts": document.section(name).get("counts") for name in SECTIONS}
    for name, group in groups.items():
        for key, value in mapping(group).items():
            if key not in ("records", "file", "truncated", "topSkipReasons"):
                yield f"{name}.{key}".strip("."), value


def _counts_add_up(files: ImportFiles) -> Iterator[Violation]:
    """Yield every total that is not the sum of its parts, within a file, between files, and with the exports."""
    sums = {"api": _sums_of_api, "csv": _sums_of_csv, "id map": _sums_of_id_map}
    for document in _documents(files, "No report and no id map is here to count in."):
        for where, stated, counted, by in sums[document.kind](document, files):
            if stated is not None and counted is not None and stated != counted:
                yield Violation(document.name, where, f"it is {stated:,}, {by} {counted:,}")


def _sums_of_api(document: ImporterFile, files: ImportFiles) -> Iterator[Sum]:
    stats, diagnostics = document.section("stats"), document.section("registrationDiagnostics")
    lost = sum(_number(diagnostics, name) or 0 for name in _LOST)
    for name, source in _FETCHED.items():
        fetched, parts = _number(document.section("fetched"), source), _sum(stats.get(name))
        if parts is not None and name == "registrations" and fetched == parts + lost:
            parts = fetched
        yield f"fetched.{source}", fetched, parts, "those accounted for are"
    seats = mapping(stats.get("registrations"))
    if not document.dry and seats:
        made = (_number(seats, "created") or 0) + (_number(seats, "updated") or 0)
        written = _number(diagnostics, "registrationsUpserted")
        yield "registrationDiagnostics.registrationsUpserted", written, made, "created and updated are"
    errors = sum(_number(each, "errors") or 0 for each in stats.values())
    counted = _number(document.content, "totalErrorCount")
    least = max(errors, len(sequence(document.content.get("errors"))), counted or 0)
    yield "totalErrorCount", counted, least, "but there are"


def _sums_of_csv(document: ImporterFile, files: ImportFiles) -> Iterator[Sum]:
    sections = {name: document.section(name) for name in SECTIONS if document.section(name)}
    first = next(each for each in files.of_run(document.run) if each.kind == "csv")
    for name, section in sections.items():
        total = _number(section, "totalRows")
        yield f"{name}.totalRows", total, _sum(section), "its parts come to"
        export = file_name(section.get("file"))
        if export in files.exports:
            rows = sum(line.entity == SECTIONS[name] for line in files.exports[export])
            yield f"{name}.totalRows", total, rows, f"the rows of {export} are"
        yield from _sums_of_records(document, name, section)
    for name in SECTIONS:
        for part in ("totalRows", *PARTS):
            one, other = (_number(each.section(name), part) for each in (document, first))
            stated, counted = (-1 if number is None else number for number in (one, other))
            yield f"{name}.{part}", stated, counted, f"{first.name} of the same run says"
    for part in (*PARTS, "totalRecords"):
        numbers = [
            _number(each, "totalRows" if part == "totalRecords" else part) for each in sections.values()
        ]
        parts = None if None in numbers else sum(number or 0 for number in numbers)
        yield f"summary.{part}", _number(document.section("summary"), part), parts, "its parts come to"


def _sums_of_records(document: ImporterFile, name: str, section: Content) -> Iterator[Sum]:
    records, listed = document.records(name), section.get("records")
    if records is not None:
        done = Counter(
            "errors" if given_up(each) else _PART_OF.get(str(each.get("_action"))) for each in records
        )
        for part in PARTS:
            yield f"{name}.{part}", _number(section, part), done[part], "such records listed are"
        yield f"{name}.records", len(records) - done[None], len(records), "with those of an unknown action"
    elif isinstance(listed, str) and not document.truncated(name):
        number = int(listed[1:-1]) if re.fullmatch(r"\[\d{1,9}\]", listed) else -1
        rows = _number(section, "totalRows")
        yield f"{name}.records", number, -2 if rows is None else rows, "the rows are"


def _sums_of_id_map(document: ImporterFile, files: ImportFiles) -> Iterator[Sum]:
    for name in SECTIONS:
        section = document.section(name)
        counts = section.get("counts")
        total, mapped, missing = (_number(counts, part) for part in ("total", "mapped", "missing"))
        if mapped is not None and missing is not None:
            yield f"{name}.counts.total", total, mapped + missing, "mapped and missing come to"
        yield f"{name}.counts.mapped", mapped, len(document.mappings(name)), "the mappings listed are"
        if isinstance(ids := section.get("missingWaIds"), list):
            yield f"{name}.counts.missing", missing, len(ids), "the ids listed are"
        rows = {
            _number(each.section(name), "totalRows")
            for each in files.of_run(document.run)
            if each.kind == "csv" and not each.truncated(name)
        } - {None}
        if rows:
            yield (
                f"{name}.counts.total",
                total,
                total if total in rows else rows.pop(),
                "the rows of the run's report are",
            )


def _number(cells: object, name: str) -> int | None:
    value = mapping(cells).get(name)
    return value if type(value) is int else None


def _sum(cells: object) -> int | None:
    """Return the sum of the parts; None where one of them is missing or no number."""
    numbers = [_number(cells, part) for part in PARTS]
    return None if None in numbers else sum(number or 0 for number in numbers)


def _success_deserved(files: ImportFiles) -> Iterator[Violation]:
    """Yield the reports that say success where their own diagnostics say otherwise."""
    reports = [each for each in files.documents if each.kind == "api"]
    if not reports:
        raise CannotJudge("Only the API sync's report claims success, and none is here.")
    for document in reports:
        if document.content.get("success") is not True:
            continue
        reasons = sequence(document.section("registrationDiagnostics").get("topSkipReasons"))
        trouble = [why for each in reasons if is_fetch_trouble(why := str(mapping(each).get("reason", "")))]
        if trouble:
            says = f"it says success, but the source could not be reached: {len(trouble)} reasons like {trouble[0]!r}"
            yield Violation(document.name, "success", says)
        if not document.content.get("finishedAt"):
            yield Violation(document.name, "success", "it says success, but not when it ended")


def _timestamps_valid(files: ImportFiles) -> Iterator[Violation]:
    """Yield moments that cannot be read, that lie in the future, and ends before starts."""
    for document in _documents(files, "No report and no id map is here that tells a time."):
        for key, says in _times_of_run(document, files.as_of):
            yield Violation(document.name, key, says)
        ended = min(_moment(document.content.get("completedAt"))[0] or files.as_of, files.as_of)
        for entry in document.entries():
            given = {key: value for key, value in entry.fields.items() if value != ""}
            moments, problems = _moments(given, _OF_RECORD)
            problems += [
                (key, f"{_quoted(entry.fields[key])} is after the run ended")
                for key in _PAST
                if key in moments and moments[key][0] > ended + A_DAY
            ]
            if moments.keys() >= {"startTime", "endTime"} and moments["endTime"][0] < moments["startTime"][0]:
                problems.append(("endTime", "it is before startTime"))
            for key, says in problems:
                yield Violation(document.name, f"{entry.key}, {key}", says)


def _times_of_run(document: ImporterFile, as_of: datetime) -> Iterator[tuple[str, str]]:
    moments, problems = _moments(document.content, _OF_RUN)
    yield from problems
    for key, (moment, exact) in moments.items():
        if moment > as_of + (CLOCKS_DIFFER if exact else A_DAY):
            says = f"{_quoted(document.content[key])} is in the future of {as_of:%Y-%m-%d %H:%M} UTC"
            yield key, says
    started, stated = moments.get("startedAt"), start_in_run_id(document.run)
    for key in ("finishedAt", "completedAt"):
        if started and key in moments and moments[key][0] < started[0]:
            yield key, "it is before startedAt"
    if started and stated and abs(started[0] - stated.replace(tzinfo=UTC)) > CLOCKS_DIFFER:
        yield "startedAt", f"the run's id says {stated:%Y-%m-%d %H:%M:%S} UTC"
    if document.kind != "id map" and "startedAt" not in document.content:
        yield "startedAt", "it does not say when the run started"


def _moments(
    content: Content, keys: Sequence[str]
) -> tuple[dict[str, tuple[datetime, bool]], list[tuple[str, str]]]:
    """Return the moments under some keys, each in UTC and whether it says so itself; and what is none."""
    moments, problems = {}, []
    for key in keys:
        if (value := content.get(key)) is not None:
            moment, exact = _moment(value)
            if moment is None:
                problems.append((key, f"{_quoted(value)} is no moment in time"))
            else:
                moments[key] = moment, exact
    return moments, problems


def _moment(value: object) -> tuple[datetime | None, bool]:
    if not isinstance(value, str):
        return None, False
    try:
        moment = datetime.fromisoformat(value)
        return (moment.astimezone(UTC), True) if moment.tzinfo else (moment.replace(tzinfo=UTC), False)
    except (ValueError, OverflowError):
        return None, False


def _quoted(value: object) -> str:
    text = repr(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 40 else text[:39] + "…"


INVARIANTS = (
    Invariant("readable", "Can every report, id map and export be read whole?", _readable),
    Invariant("wa-ids-present", "Has everything that was processed a Wild Apricot id?", _wa_ids_present),
    Invariant("wa-ids-unique", "Does no Wild Apricot id occur twice?", _wa_ids_unique),
    Invariant(
        "murmurant-ids-present",
        "Has everything that a live run processed a Murmurant id?",
        _murmurant_ids_present,
    ),
    Invariant("counts-add-up", "Is every total the sum of its parts?", _counts_add_up),
    Invariant(
        "counts-not-negative", "Is every count a whole number, and none below zero?", _counts_not_negative
    ),
    Invariant(
        "mappings-processed", "Is only mapped what the run's report says was processed?", _mappings_processed
    ),
    Invariant(
        "timestamps-valid", "Is every time readable, in order, and not in the future?", _timestamps_valid
    ),
    Invariant("success-deserved", "Do the runs that say success deserve it?", _success_deserved),
)
"""Every invariant, in the order in which they are asked."""
