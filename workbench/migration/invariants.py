"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4): their ids, counts and times.

Each invariant looks at the reports, id maps and exports as they were written, and at nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from workbench.errors import DocumentError, UsageError
from workbench.murmurant.exports import read_exports
from workbench.murmurant.importers import start_in_run_id
from workbench.murmurant.reports import (
    PARTS,
    SECTIONS,
    ApiReport,
    CsvReport,
    IdMap,
    IdMapSection,
    ReportRecord,
    Section,
    Written,
    read_moment,
    read_report,
)

CLOCKS_DIFFER, A_DAY = timedelta(minutes=5), timedelta(days=1)
"""So far may the importer's clock be ahead of ours; and a date without a time, or without a zone."""

_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_TIMES = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")
_PAST = {"joinedAt", "registeredAt", "cancelledAt"}  # what cannot have happened after the run that read it


class Violation(NamedTuple):
    """One thing that does not hold: in which file, of which record or field (no personal data), and what in words."""

    file: str
    key: str
    says: str


class Entry(NamedTuple):
    """One thing that a file lists: of which run, whether a live one, its entity and id, how, and its ids.

    `how` is ``processed``, ``mapped`` or ``exported``; an id that is not there is empty.
    """

    file: str
    run: str
    live: bool
    key: str
    how: str
    wa_id: str
    own_id: str


class CannotJudge(Exception):
    """Raised where nothing is there to judge by; its text says what would be."""


@dataclass(frozen=True)
class ImportFiles:
    """An import's files, by their names.

    Attributes
    ----------
    reports : dict of str to ApiReport, CsvReport or IdMap
        As they were written.
    exports : dict of str to tuple of ReportRecord
        What Wild Apricot's exports list.
    unreadable : tuple of Violation
        What is named like a report, or given as one, and cannot be read.
    as_of : datetime
        No moment in them may be later (UTC, without zone).
    """

    reports: Mapping[str, Written]
    exports: Mapping[str, tuple[ReportRecord, ...]]
    unreadable: tuple[Violation, ...]
    as_of: datetime

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Everything that is listed by its id; of a report only where it lists all of its records."""
        entries = []
        for file, report in self.reports.items():
            about = file, report.run_id, not report.dry_run
            for name, section in _sections(report).items():
                for each in () if section.truncated else section.listed:
                    if not each.errors:
                        key = f"{SECTIONS[name]} {each.wa_id or f'of row {each.source_row}'}"
                        entries.append(Entry(*about, key, "processed", each.wa_id, each.murmurant_id))
            for name, pairs in report.pairs.items():
                for number, pair in enumerate(pairs, 1):
                    key = f"{SECTIONS[name]} {pair.wa_id or f'mapping {number}'}"
                    entries.append(Entry(*about, key, "mapped", pair.wa_id, pair.murmurant_id))
        for file, lines in self.exports.items():
            for number, line in enumerate(lines, 2):
                key = f"{line.entity} {line.wa_id or f'of row {number}'}"
                entries.append(Entry(file, "", False, key, "exported", line.wa_id or "", ""))
        return tuple(entries)


def read_files(reports: Iterable[Path], exports: Iterable[Path], as_of: datetime) -> ImportFiles:
    """Read an import's files; what cannot be read is noted, not raised.

    Parameters
    ----------
    as_of : datetime
        When they were sealed, or now; with its zone.
    """
    written, lines, unreadable = {}, {}, []
    for path in sorted(reports):
        try:
            if (report := read_report(path).written) is not None:  # a log is none
                written[path.name] = report
        except DocumentError as error:
            unreadable.append(Violation(path.name, "", error.what.replace(str(path), path.name)))
    for path in sorted(exports):
        try:
            lines[path.name] = read_exports([path])
        except UsageError as error:
            unreadable.append(Violation(path.name, "", error.what.replace(str(path), path.name)))
    return ImportFiles(written, lines, tuple(unreadable), as_of.astimezone(UTC).replace(tzinfo=None))


def check_invariants(files: ImportFiles) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask every invariant of an import's files.

    Returns
    -------
    pandas.DataFrame
        ``invariant``, ``question``, ``status``, ``count``, ``why``. What could not be judged is ``not run`` and never a
        pass, and ``why`` says what is missing; what was found all the same makes it a ``fail``.
    pandas.DataFrame
        What violates them: ``invariant``, ``file``, ``key``, ``says``.
    """
    outcomes: list[tuple[str, str, str, int, str]] = []
    violations: list[tuple[str, str, str, str]] = []
    for name, (question, ask) in INVARIANTS.items():
        count, why = len(violations), ""
        try:
            for violation in ask(files):
                violations.append((name, *violation))
        except CannotJudge as reason:
            why = str(reason)
        count = len(violations) - count
        outcomes.append((name, question, "fail" if count else "not run" if why else "pass", count, why))
    return (
        pd.DataFrame(outcomes, columns=["invariant", "question", "status", "count", "why"]),
        pd.DataFrame(violations, columns=["invariant", "file", "key", "says"]),
    )


def _readable(files: ImportFiles) -> Iterator[Violation]:
    if not (files.reports or files.exports or files.unreadable):
        raise CannotJudge("There is no report, id map or export here.")
    yield from files.unreadable


def _listed(files: ImportFiles) -> tuple[Entry, ...]:
    if not files.entries:
        raise CannotJudge(
            "No file here lists records: the API sync's report only counts. Seal the full report, id map or exports."
        )
    return files.entries


def _wa_ids_present(files: ImportFiles) -> Iterator[Violation]:
    for entry in _listed(files):
        if not entry.wa_id:
            yield Violation(entry.file, entry.key, f"it is {entry.how} without a Wild Apricot id")


def _wa_ids_unique(files: ImportFiles) -> Iterator[Violation]:
    counts = Counter((entry.file, entry.key, entry.how) for entry in _listed(files) if entry.wa_id)
    for (file, key, how), count in sorted(counts.items()):
        if count > 1:
            yield Violation(file, key, f"it is {how} {count} times")
    for file, name, section in _id_maps(files):
        for wa_id in section.duplicate_wa_ids:
            yield Violation(file, f"{SECTIONS[name]} {wa_id}", "the id map calls it a duplicate")


def _murmurant_ids_present(files: ImportFiles) -> Iterator[Violation]:
    """Yield what a live run processed or mapped without a Murmurant id, or with a dry run's made-up one."""
    reports = {file: each for file, each in files.reports.items() if not isinstance(each, ApiReport)}
    if all(each.dry_run for each in reports.values()):
        raise CannotJudge(
            "Only a live run's full report or id map names Murmurant's ids, and there is none here."
        )
    for entry in files.entries:
        if entry.live and (not entry.own_id or entry.own_id.startswith("dry-")):
            problem = "with the made-up id of a dry run" if entry.own_id else "without a Murmurant id"
            yield Violation(entry.file, entry.key, f"it is {entry.how} {problem}")
    given_up: set[tuple[str, str, str]] = set()
    for report in reports.values():
        given_up |= {(report.run_id, f"{each.entity.lower()}s", each.wa_id) for each in report.errors}
        for name, section in _sections(report).items():
            given_up |= {(report.run_id, name, each.wa_id) for each in section.listed if each.errors}
    for file, name, ids in _id_maps(files):
        for wa_id in () if reports[file].dry_run else ids.missing_wa_ids:
            if (reports[file].run_id, name, wa_id) not in given_up:
                says = "the id map has no Murmurant id for it, and no report says that it was given up on"
                yield Violation(file, f"{SECTIONS[name]} {wa_id}", says)


def _mappings_processed(files: ImportFiles) -> Iterator[Violation]:
    """Yield the mappings of records that the run's report does not list as processed, or lists with another id."""
    mapped = [entry for entry in files.entries if entry.how == "mapped"]
    if not mapped:
        raise CannotJudge("No id map is here, and no report has one in it.")
    listed = {
        (report.run_id, SECTIONS[name])
        for report in files.reports.values()
        for name, section in _sections(report).items()
        if isinstance(section.records, list) and not section.truncated
    }
    processed: dict[tuple[str, str], set[str]] = {}
    for entry in files.entries:
        if entry.how == "processed":
            processed.setdefault((entry.run, entry.key), set()).add(entry.own_id)
    unjudged = set()
    for entry in mapped:
        ids = processed.get((entry.run, entry.key), set())
        if (entry.run, entry.key.partition(" ")[0]) not in listed:
            unjudged.add(entry.file)
        elif entry.wa_id and entry.own_id not in ids:
            says = "it is mapped, but the run's report does not say that it was processed"
            if ids:
                says = f"it is mapped to {entry.own_id or 'nothing'}, the run's report says {', '.join(sorted(ids))}"
            yield Violation(entry.file, entry.key, says)
    if unjudged:
        raise CannotJudge(
            f"The full report of the run that {', '.join(sorted(unjudged)[:3])} is of is not here,"
            " or does not list all records."
        )


def _counted(files: ImportFiles) -> Mapping[str, Written]:
    if not files.reports:
        raise CannotJudge("No report and no id map is here to count in, or to tell a time.")
    return files.reports


def _counts_not_negative(files: ImportFiles) -> Iterator[Violation]:
    for file, report in _counted(files).items():
        for where, number in report.numbers():
            if number < 0:
                yield Violation(file, where, f"it is {number:,}")


Sum = tuple[str, int | None, int | None, str]
"""A total: where it stands, what it is, what it should be, and by what."""


def _counts_add_up(files: ImportFiles) -> Iterator[Violation]:
    """Yield every total that is not the sum of its parts, within a file, between files, and with the exports."""
    for file, report in _counted(files).items():
        if isinstance(report, ApiReport):
            sums = _sums_of_api(report)
        else:
            full = [
                each
                for each in files.reports.values()
                if isinstance(each, CsvReport) and each.run_id == report.run_id
            ]
            sums = (
                _sums_of_csv(report, full[0], files)
                if isinstance(report, CsvReport)
                else _sums_of_map(report, full)
            )
        for where, stated, counted, by in sums:
            if stated is not None and counted is not None and stated != counted:
                yield Violation(file, where, f"it is {stated:,}, {by} {counted:,}")


def _sums_of_api(report: ApiReport) -> Iterator[Sum]:
    told, stats = report.registration_diagnostics, report.stats.sections
    for name, source in _FETCHED.items():
        fetched, parts = getattr(report.fetched, source), stats[name].total if name in stats else None
        if parts is not None and name == "registrations" and told.lost and fetched == parts + sum(told.lost):
            parts = fetched
        yield f"fetched.{source}", fetched, parts, "those accounted for are"
    if (seats := report.stats.registrations) and not report.dry_run:
        where, made = "registrationDiagnostics.registrationsUpserted", seats.created + seats.updated
        yield where, told.registrations_upserted, made, "created and updated are"
    errors = sum(each.errors for each in stats.values())
    least = max(errors, len(report.errors), report.total_error_count or 0)
    yield "totalErrorCount", report.total_error_count, least, "but there are"


def _sums_of_csv(report: CsvReport, full: CsvReport, files: ImportFiles) -> Iterator[Sum]:
    sections = report.sections
    for name, section in sections.items():
        rows = section.total_rows
        yield f"{name}.totalRows", rows, section.total, "its parts come to"
        export = PurePosixPath((section.file or "").replace("\\", "/")).name
        if export in files.exports:
            lines = sum(line.entity == SECTIONS[name] for line in files.exports[export])
            yield f"{name}.totalRows", rows, lines, f"the rows of {export} are"
        if isinstance(section.records, list) and not section.truncated:
            done = Counter("errors" if each.errors else PARTS[each.action] for each in section.records)
            for part in (*PARTS.values(), "errors"):
                yield f"{name}.{part}", getattr(section, part), done[part], "such records listed are"
        elif isinstance(section.records, str) and not section.truncated:
            listed = re.fullmatch(r"\[(\d{1,9})\]", section.records)
            yield f"{name}.records", int(listed[1]) if listed else -1, rows, "the rows are"
        theirs = dict(full.sections[name].numbers()) if name in full.sections else {}
        for part, number in section.numbers():
            yield f"{name}.{part}", number, theirs.get(part), "another report of the run says"
    for part in (*PARTS.values(), "errors"):
        stated, parts = getattr(report.summary, part), sum(getattr(each, part) for each in sections.values())
        yield f"summary.{part}", stated, parts, "its parts come to"
    whole = sum(each.total_rows for each in sections.values())
    yield "summary.totalRecords", report.summary.total_records, whole, "its parts come to"


def _sums_of_map(report: IdMap, full: list[CsvReport]) -> Iterator[Sum]:
    for name, section in report.sections.items():
        where, counts = f"{name}.counts", section.counts
        if counts.mapped is not None and counts.missing is not None:
            yield f"{where}.total", counts.total, counts.mapped + counts.missing, "mapped and missing come to"
        yield f"{where}.mapped", counts.mapped, len(section.mappings), "the mappings listed are"
        yield f"{where}.missing", counts.missing, len(section.missing_wa_ids), "the ids listed are"
        for other in full[:1]:
            if (rows := other.sections.get(name)) and not rows.truncated:
                yield f"{where}.total", counts.total, rows.total_rows, "the rows of the run's report are"


def _timestamps_valid(files: ImportFiles) -> Iterator[Violation]:
    """Yield moments that cannot be read, that lie in the future, and ends before starts."""
    for file, report in _counted(files).items():
        started, ended, stated = report.started_at, report.ended_at, start_in_run_id(report.run_id)
        for key, moment in (("startedAt", started), ("end", ended)):
            if moment and moment > files.as_of + CLOCKS_DIFFER:
                yield Violation(file, key, f"{moment} is in the future of {files.as_of:%Y-%m-%d %H:%M} UTC")
        if started and ended and ended < started:
            yield Violation(file, "end", "it is before startedAt")
        if started and stated and abs(started - stated) > CLOCKS_DIFFER:
            yield Violation(file, "startedAt", f"the run's id says {stated:%Y-%m-%d %H:%M:%S} UTC")
        for name, section in _sections(report).items():
            for each in section.listed:
                latest = min(ended or files.as_of, files.as_of) + A_DAY
                for key, says in () if each.errors else _times_of(each.fields, latest):
                    yield Violation(file, f"{SECTIONS[name]} {each.wa_id}, {key}", says)


def _times_of(fields: Mapping[str, object], latest: datetime) -> Iterator[tuple[str, str]]:
    moments = {}
    for key in _TIMES:
        if fields.get(key) not in (None, ""):
            try:
                moments[key] = read_moment(fields[key])
            except (ValueError, OverflowError):
                yield key, f"{str(fields[key])[:40]!r} is no moment in time"
    for key in sorted(_PAST & moments.keys()):
        if moments[key] > latest:
            yield key, f"{moments[key]} is after the run ended"
    if moments.keys() >= {"startTime", "endTime"} and moments["endTime"] < moments["startTime"]:
        yield "endTime", "it is before startTime"


def _id_maps(files: ImportFiles) -> Iterator[tuple[str, str, IdMapSection]]:
    for file, report in files.reports.items():
        for name, section in report.sections.items() if isinstance(report, IdMap) else ():
            yield file, name, section


def _sections(report: Written) -> dict[str, Section]:
    return report.sections if isinstance(report, CsvReport) else {}


INVARIANTS: dict[str, tuple[str, Callable[[ImportFiles], Iterator[Violation]]]] = {
    "readable": ("Can every report, id map and export be read whole?", _readable),
    "wa-ids-present": ("Has everything that was processed a Wild Apricot id?", _wa_ids_present),
    "wa-ids-unique": ("Does no Wild Apricot id occur twice?", _wa_ids_unique),
    "murmurant-ids-present": (
        "Has everything that a live run processed a Murmurant id?",
        _murmurant_ids_present,
    ),
    "counts-add-up": ("Is every total the sum of its parts?", _counts_add_up),
    "counts-not-negative": ("Is no count below zero?", _counts_not_negative),
    "mappings-processed": (
        "Is only mapped what the run's report says was processed?",
        _mappings_processed,
    ),
    "timestamps-valid": ("Is every time readable, in order, and not in the future?", _timestamps_valid),
}
"""Every invariant by its id, in the order in which they are asked."""
