"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4): their ids, counts and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path, PureWindowsPath

import pandas as pd

from workbench.errors import UsageError
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
    Written,
    read_moment,
    read_report,
)

CLOCKS_DIFFER, A_DAY = timedelta(minutes=5), timedelta(days=1)
"""So far may the importer's clock be ahead of ours; and a date without a time, or without a zone."""

_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_TIMES = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")
_PAST = {"joinedAt", "registeredAt", "cancelledAt"}  # what cannot have happened after the run that read it
_COUNTED = (*PARTS.values(), "errors")


class CannotJudge(Exception):
    """Raised where nothing is there to judge by; its text says what would be."""


Violation = tuple[str, str, str]
"""One thing that does not hold: in which file, of which record or field (no personal data), and what in words."""


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
    def listed(self) -> pd.DataFrame:
        """Everything that is listed by its id.

        ``file``, ``run``, ``live``, ``how`` (``processed``, or ``sampled`` by a report that was cut, ``given up``, ``mapped``, ``missing`` or ``duplicate`` in an id
        map, ``exported``), ``key`` (the entity and its id, or its place), ``wa_id`` and ``own_id``, empty where there is none.
        """
        rows = [
            (file, report.run_id, not report.dry_run, *entry)
            for file, report in self.reports.items()
            for entry in _entries(report)
        ]
        rows += [
            (file, "", False, "exported", each.entity, f"of row {number}", each.wa_id or "", "")
            for file, lines in self.exports.items()
            for number, each in enumerate(lines, 2)
        ]
        columns = ["file", "run", "live", "how", "entity", "place", "wa_id", "own_id"]
        table = pd.DataFrame(rows, columns=columns).astype({"live": bool})
        return table.assign(
            key=table["entity"] + " " + table["wa_id"].where(table["wa_id"] != "", table["place"])
        )

    def of(self, *how: str) -> pd.DataFrame:
        """Return what is listed in one of some ways."""
        return self.listed[self.listed["how"].isin(how)]


def read_files(reports: Iterable[Path], exports: Iterable[Path], as_of: datetime) -> ImportFiles:
    """Read an import's files; what cannot be read is noted, not raised.

    Parameters
    ----------
    as_of : datetime
        When they were sealed, or now; with its zone.
    """
    written, lines, unreadable = {}, {}, []
    exports = sorted(exports)
    for path in [*sorted(reports), *exports]:
        try:
            if path in exports:
                lines[path.name] = read_exports([path])
            elif (report := read_report(path).written) is not None:  # a log is none
                written[path.name] = report
        except UsageError as error:
            unreadable.append((path.name, "", error.what.replace(str(path), path.name)))
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
    for name, (question, find) in INVARIANTS.items():
        before, why = len(violations), ""
        try:
            for violation in find(files):
                violations.append((name, *violation))
        except CannotJudge as reason:
            why = str(reason)
        count = len(violations) - before
        status = "fail" if count else "not run" if why else "pass"
        outcomes.append((name, question, status, count, why))
    return (
        pd.DataFrame(outcomes, columns=["invariant", "question", "status", "count", "why"]),
        pd.DataFrame(violations, columns=["invariant", "file", "key", "says"]),
    )


def _told(rows: pd.DataFrame, says: str) -> Iterator[Violation]:
    """Word what is wrong with some of what is listed; the words may name its columns."""
    yield from ((row["file"], row["key"], says.format_map(row)) for row in rows.to_dict("records"))


def _entries(report: Written) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield how something is listed, its entity, its place for want of an id, and its two ids."""
    for problem in (each.problem() for each in report.errors):
        yield "given up", problem.entity, "", problem.wa_id or "", ""
    for name, section in {} if isinstance(report, ApiReport) else report.sections.items():
        if isinstance(section, IdMapSection):
            yield from (("missing", SECTIONS[name], "", each, "") for each in section.missing_wa_ids)
            yield from (("duplicate", SECTIONS[name], "", each, "") for each in section.duplicate_wa_ids)
        else:
            for each in section.listed:
                how = "given up" if each.errors else "sampled" if section.truncated else "processed"
                yield how, SECTIONS[name], f"of row {each.source_row}", each.wa_id, each.murmurant_id
    for name, pairs in report.pairs.items():
        for number, pair in enumerate(pairs, 1):
            yield "mapped", SECTIONS[name], f"mapping {number}", pair.wa_id, pair.murmurant_id


def _need(something: object, otherwise: str) -> None:
    if not something:
        raise CannotJudge(otherwise)


def _readable(files: ImportFiles) -> Iterator[Violation]:
    _need(files.reports or files.exports or files.unreadable, "There is no report, id map or export here.")
    yield from files.unreadable


def _ids(files: ImportFiles) -> pd.DataFrame:
    rows = files.of("processed", "mapped", "exported")
    only_counts = "No file here lists records: the API sync's report only counts."
    _need(len(rows), f"{only_counts} Seal the full report, id map or exports.")
    return rows


def _wa_ids_present(files: ImportFiles) -> Iterator[Violation]:
    rows = _ids(files)
    yield from _told(rows[rows["wa_id"] == ""], "it is {how} without a Wild Apricot id")


def _wa_ids_unique(files: ImportFiles) -> Iterator[Violation]:
    rows = _ids(files)
    times = rows[rows["wa_id"] != ""].groupby(["file", "key", "how"]).size().rename("times").reset_index()
    yield from _told(times[times["times"] > 1], "it is {how} {times} times")
    yield from _told(files.of("duplicate"), "the id map calls it a duplicate")


def _murmurant_ids_present(files: ImportFiles) -> Iterator[Violation]:
    live = [each for each in files.reports.values() if not (isinstance(each, ApiReport) or each.dry_run)]
    _need(live, "Only a live run's full report or id map names Murmurant's ids, and there is none here.")
    rows = files.listed[files.listed["live"]]
    done = rows[rows["how"].isin(["processed", "mapped"])]
    yield from _told(done[done["own_id"] == ""], "it is {how} without a Murmurant id")
    made_up = done[done["own_id"].str.startswith("dry-")]
    yield from _told(made_up, "it is {how} with the made-up id of a dry run")
    given_up = files.of("given up")[["run", "key"]].drop_duplicates()
    unpaired = rows[rows["how"] == "missing"].merge(given_up, "left", indicator="told")
    says = "the id map has no Murmurant id for it, and no report says that it was given up on"
    yield from _told(unpaired[unpaired["told"] == "left_only"], says)


def _mappings_processed(files: ImportFiles) -> Iterator[Violation]:
    processed = files.of("processed")
    whole = processed[["run", "entity"]].drop_duplicates()
    mapped = files.of("mapped").merge(whole, "left", indicator="judged")
    _need(len(mapped), "No id map is here, and no report has one in it.")
    judged = mapped[(mapped["judged"] == "both") & (mapped["wa_id"] != "")]
    both = judged.merge(processed, "left", ["run", "key"], suffixes=("", "_listed"))
    wrong = both[both["own_id"] != both["own_id_listed"]].fillna({"own_id_listed": "nothing"})
    yield from _told(wrong, "it is mapped to {own_id!r}, by the run's report it became {own_id_listed}")
    names = sorted(set(mapped.loc[mapped["judged"] == "left_only", "file"]))
    lacks = f"The full report of the run that {', '.join(names[:3])} is of is not here, or does not list all records."
    _need(not names, lacks)


def _counted(files: ImportFiles) -> Mapping[str, Written]:
    _need(files.reports, "No report and no id map is here to count in, or to tell a time.")
    return files.reports


def _counts_not_negative(files: ImportFiles) -> Iterator[Violation]:
    for file, report in _counted(files).items():
        yield from ((file, where, f"it is {number:,}") for where, number in report.numbers() if number < 0)


Sum = tuple[str, int | None, int | None, str]
"""A total: where it stands, what it is, what it should be, and by what."""


def _counts_add_up(files: ImportFiles) -> Iterator[Violation]:
    for file, report in _counted(files).items():
        of_run = [each for each in files.reports.values() if each.run_id == report.run_id]
        full = next((each for each in of_run if isinstance(each, CsvReport)), None)
        sums = _sums_of_map(report, full) if isinstance(report, IdMap) else ()
        sums = _sums_of_api(report) if isinstance(report, ApiReport) else sums
        sums = _sums_of_csv(report, full or report, files) if isinstance(report, CsvReport) else sums
        for where, stated, counted, by in sums:
            if stated is not None and counted is not None and stated != counted:
                yield file, where, f"it is {stated:,}, {by} {counted:,}"


def _sums_of_api(report: ApiReport) -> Iterator[Sum]:
    stats, lost = report.stats.sections, sum(report.registration_diagnostics.lost or ())
    for name, source in _FETCHED.items():
        fetched, parts = getattr(report.fetched, source), stats[name].total if name in stats else None
        if name == "registrations" and parts is not None and fetched == parts + lost:
            parts = fetched  # what was lost need not be among those that were skipped
        yield f"fetched.{source}", fetched, parts, "those accounted for are"
    least = max(
        sum(each.errors for each in stats.values()), len(report.errors), report.total_error_count or 0
    )
    yield "totalErrorCount", report.total_error_count, least, "but there are"


def _sums_of_csv(report: CsvReport, full: CsvReport, files: ImportFiles) -> Iterator[Sum]:
    for name, section in report.sections.items():
        rows, export = f"{name}.totalRows", PureWindowsPath(section.file or "").name
        yield rows, section.total_rows, section.total, "its parts come to"
        if export in files.exports:
            lines = sum(line.entity == SECTIONS[name] for line in files.exports[export])
            yield rows, section.total_rows, lines, f"the rows of {export} are"
        if isinstance(section.records, list) and not section.truncated:
            done = Counter("errors" if each.errors else PARTS[each.action] for each in section.records)
            for part in _COUNTED:
                yield f"{name}.{part}", getattr(section, part), done[part], "such records listed are"
        theirs = dict(full.sections[name].numbers()) if name in full.sections else {}
        for part, number in section.numbers():
            yield f"{name}.{part}", number, theirs.get(part), "another report of the run says"
    for part in _COUNTED:
        parts = sum(getattr(each, part) for each in report.sections.values())
        yield f"summary.{part}", getattr(report.summary, part), parts, "its parts come to"
    whole = sum(each.total_rows for each in report.sections.values())
    yield "summary.totalRecords", report.summary.total_records, whole, "its parts come to"


def _sums_of_map(report: IdMap, full: CsvReport | None) -> Iterator[Sum]:
    for name, section in report.sections.items():
        where, counts = f"{name}.counts", section.counts
        listed = len(section.mappings) + len(section.missing_wa_ids)
        yield f"{where}.mapped", counts.mapped, len(section.mappings), "the mappings listed are"
        yield f"{where}.missing", counts.missing, len(section.missing_wa_ids), "the ids listed are"
        yield f"{where}.total", counts.total, listed, "mapped and missing come to"
        if full is not None and name in full.sections and not full.sections[name].truncated:
            yield f"{where}.total", counts.total, full.sections[name].total_rows, "the run's report has"


def _timestamps_valid(files: ImportFiles) -> Iterator[Violation]:
    for file, report in _counted(files).items():
        started, ended, stated = report.started_at, report.ended_at, start_in_run_id(report.run_id)
        for key, moment in (("startedAt", started), ("end", ended)):
            if moment and moment > files.as_of + CLOCKS_DIFFER:
                yield file, key, f"{moment} is in the future of {files.as_of:%Y-%m-%d %H:%M} UTC"
        if started and ended and ended < started:
            yield file, "end", "it is before startedAt"
        if started and stated and abs(started - stated) > CLOCKS_DIFFER:
            yield file, "startedAt", f"the run's id says {stated:%Y-%m-%d %H:%M:%S} UTC"
        latest = min(ended or files.as_of, files.as_of) + A_DAY
        for name, section in report.sections.items() if isinstance(report, CsvReport) else ():
            for each in section.listed:
                for key, says in () if each.errors else _wrong_times_of(each.fields, latest):
                    yield file, f"{SECTIONS[name]} {each.wa_id}, {key}", says


def _wrong_times_of(fields: Mapping[str, object], latest: datetime) -> Iterator[tuple[str, str]]:
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
    "mappings-processed": ("Is only mapped what the run's report says was processed?", _mappings_processed),
    "timestamps-valid": ("Is every time readable, in order, and not in the future?", _timestamps_valid),
}
"""Every invariant by its id, in the order in which they are asked."""
