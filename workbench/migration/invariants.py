"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4): their ids, counts and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath

import pandas as pd

from workbench.errors import UsageError
from workbench.murmurant.exports import read_exports
from workbench.murmurant.reports import (
    PARTS,
    SECTIONS,
    ReportRecord,
    Section,
    Written,
    numbers,
    read_moment,
    read_report,
)

INVARIANTS = {
    "readable": "Can every report, id map and export be read whole?",
    "wa-ids-present": "Has everything that was processed a Wild Apricot id?",
    "wa-ids-unique": "Does no Wild Apricot id occur twice?",
    "murmurant-ids-present": "Has everything that a live run processed a Murmurant id?",
    "mappings-processed": "Is only mapped what the run processed, and as it says?",
    "counts-add-up": "Is every total the sum of its parts?",
    "counts-not-negative": "Is no count below zero?",
    "timestamps-valid": "Is every time readable, and no end before its start?",
}
"""Every invariant by its id, and what it asks."""

_TIMES = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")
_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
Violation = tuple[str, str, str, str]
"""Which invariant does not hold, in which file, of which record or field (no personal data), and what in words."""


@dataclass(frozen=True)
class ImportFiles:
    """An import's files, by their names.

    Attributes
    ----------
    reports : dict of str to Written
        As they were written.
    exports : dict of str to tuple of ReportRecord
        What Wild Apricot's exports list.
    unreadable : tuple of (file, why)
        What is named like a report, or given as one, and cannot be read.
    """

    reports: Mapping[str, Written]
    exports: Mapping[str, tuple[ReportRecord, ...]]
    unreadable: tuple[tuple[str, str], ...]

    @cached_property
    def listed(self) -> pd.DataFrame:
        """Everything that is listed by its id.

        ``file``, ``run``, ``live``, ``how`` (``processed``, or ``sampled`` by a report that was cut, ``given up``,
        ``mapped``, ``missing`` or ``duplicate`` in an id map, ``exported``), ``key`` (the entity and its id, or its
        place), ``wa_id`` and ``own_id``, empty where there is none.
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
        name = table["wa_id"].where(table["wa_id"] != "", table["place"])
        return table.assign(key=table["entity"] + " " + name)

    def of(self, *how: str) -> pd.DataFrame:
        """Return what is listed in one of some ways."""
        return self.listed[self.listed["how"].isin(how)]


def read_files(reports: Iterable[Path], exports: Iterable[Path]) -> ImportFiles:
    """Read an import's files; what cannot be read is noted, not raised."""
    written, lines, unreadable = {}, {}, []
    exports = sorted(exports)
    for path in [*sorted(reports), *exports]:
        try:
            if path in exports:
                lines[path.name] = read_exports([path])
            elif (report := read_report(path).written) is not None:  # a log is none
                written[path.name] = report
        except UsageError as error:
            unreadable.append((path.name, error.what.replace(str(path), path.name)))
    return ImportFiles(written, lines, tuple(unreadable))


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
    violations = [
        *(("readable", file, "", says) for file, says in files.unreadable),
        *_wrong_ids(files),
        *(each for file, report in files.reports.items() for each in _wrong_counts(file, report, files)),
        *(each for file, report in files.reports.items() for each in _wrong_times(file, report)),
    ]
    counts, unjudged = Counter(name for name, *_ in violations), _unjudged(files)
    outcomes = [
        (
            name,
            question,
            "fail" if counts[name] else "not run" if unjudged[name] else "pass",
            counts[name],
            unjudged[name],
        )
        for name, question in INVARIANTS.items()
    ]
    order = [*INVARIANTS]
    return (
        pd.DataFrame(outcomes, columns=["invariant", "question", "status", "count", "why"]),
        pd.DataFrame(
            sorted(violations, key=lambda each: order.index(str(each[0]))),
            columns=["invariant", "file", "key", "says"],
        ),
    )


def _unjudged(files: ImportFiles) -> dict[str, str]:
    """Say what cannot be judged by these files, or not all of it, and what is missing."""
    live = [each for each in files.reports.values() if each.form != "api" and not each.dry_run]
    mapped = files.of("mapped").merge(_whole(files), "left", indicator="judged")
    lacking = sorted(set(mapped.loc[mapped["judged"] == "left_only", "file"]))
    lacks = f"The full report of the run that {', '.join(lacking[:3])} is of is not here, or does not list all records."
    lists = len(files.of("processed", "mapped", "exported"))
    only_counts = "No file here lists records: the API sync's report only counts. Seal the full report, id map or exports."
    nothing = "No report and no id map is here to count in, or to tell a time."
    any_file = files.reports or files.exports or files.unreadable
    return {
        "readable": "" if any_file else "There is no report, id map or export here.",
        "wa-ids-present": "" if lists else only_counts,
        "wa-ids-unique": "" if lists else only_counts,
        "murmurant-ids-present": ""
        if live
        else "Only a live run's full report or id map names Murmurant's ids.",
        "mappings-processed": (lacks if lacking else "")
        if len(mapped)
        else "No id map is here, and no report has one in it.",
        "counts-add-up": "" if files.reports else nothing,
        "counts-not-negative": "" if files.reports else nothing,
        "timestamps-valid": "" if files.reports else nothing,
    }


def _whole(files: ImportFiles) -> pd.DataFrame:
    """Return the runs and entities of which a report lists all that was processed."""
    return files.of("processed")[["run", "entity"]].drop_duplicates()


def _entries(report: Written) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield how something is listed, its entity, its place for want of an id, and its two ids."""
    for problem in (each.problem() for each in report.errors):
        yield "given up", problem.entity, "", problem.wa_id or "", ""
    for name, section in report.sections.items():
        yield from (("missing", SECTIONS[name], "", each, "") for each in section.missing_wa_ids)
        yield from (("duplicate", SECTIONS[name], "", each, "") for each in section.duplicate_wa_ids)
        for each in section.listed:
            how = "given up" if each.errors else "sampled" if section.truncated else "processed"
            yield how, SECTIONS[name], f"of row {each.source_row}", each.wa_id, each.murmurant_id
    for name, pairs in report.pairs.items():
        for number, pair in enumerate(pairs, 1):
            yield "mapped", SECTIONS[name], f"mapping {number}", pair.wa_id, pair.murmurant_id


def _wrong_ids(files: ImportFiles) -> Iterator[Violation]:
    def wrong(invariant: str, rows: pd.DataFrame, says: str) -> Iterator[Violation]:
        yield from (
            (invariant, row["file"], row["key"], says.format_map(row)) for row in rows.to_dict("records")
        )

    rows = files.of("processed", "mapped", "exported")
    yield from wrong("wa-ids-present", rows[rows["wa_id"] == ""], "it is {how} without a Wild Apricot id")
    times = rows[rows["wa_id"] != ""].groupby(["file", "key", "how"]).size().rename("times").reset_index()
    yield from wrong("wa-ids-unique", times[times["times"] > 1], "it is {how} {times} times")
    yield from wrong("wa-ids-unique", files.of("duplicate"), "the id map calls it a duplicate")
    done = files.of("processed", "mapped").query("live")
    yield from wrong(
        "murmurant-ids-present", done[done["own_id"] == ""], "it is {how} without a Murmurant id"
    )
    made_up = done[done["own_id"].str.startswith("dry-")]
    yield from wrong("murmurant-ids-present", made_up, "it is {how} with the made-up id of a dry run")
    mapped = files.of("mapped").query("wa_id != ''").merge(_whole(files))
    listed = files.of("processed")[["run", "key", "own_id"]]
    pairs = mapped.merge(listed, "left", ["run", "key"], suffixes=("", "_listed")).fillna(
        {"own_id_listed": "nothing"}
    )
    says = "it is mapped to {own_id!r}, by the run's report it became {own_id_listed}"
    yield from wrong("mappings-processed", pairs[pairs["own_id"] != pairs["own_id_listed"]], says)
    given_up = files.of("given up")[["run", "key"]].drop_duplicates()
    unpaired = files.of("missing").query("live").merge(given_up, "left", indicator="told")
    says = "the id map has no Murmurant id for it, and no report says that it was given up on"
    yield from wrong("murmurant-ids-present", unpaired[unpaired["told"] == "left_only"], says)


def _wrong_counts(file: str, report: Written, files: ImportFiles) -> Iterator[Violation]:
    for where, number in numbers(report.model_dump(by_alias=True, exclude_defaults=True, exclude={"config"})):
        if number < 0:
            yield "counts-not-negative", file, where, f"it is {number:,}"
    for where, stated, counted, by in _sums(report, files):
        if stated is not None and stated != counted:
            yield "counts-add-up", file, where, f"it is {stated:,}, {by} {counted:,}"


def _sums(report: Written, files: ImportFiles) -> Iterator[tuple[str, int | None, int, str]]:
    """Yield each total: where it stands, what it is, what it should be, and by what."""
    of_each, totals = report.of_each, report.summary
    if report.form == "api":
        lost = sum(report.registration_diagnostics.lost or ())
        for name, source in _FETCHED.items():
            fetched, parts = getattr(report.fetched, source), of_each.get(name, Section()).total
            # What was lost need not be among those that were skipped.
            whole = fetched if name == "registrations" and fetched == parts + lost else parts
            if name in of_each:
                yield f"fetched.{source}", fetched, whole, "those accounted for are"
        counted = sum(each.errors for each in of_each.values())
        least = max(counted, len(report.errors), report.total_error_count or 0)
        yield "totalErrorCount", report.total_error_count, least, "but there are"
    for name, section in report.sections.items():
        export = PureWindowsPath(section.file or "").name
        if report.form == "csv":
            yield f"{name}.totalRows", section.total_rows, section.total, "its parts come to"
        if export in files.exports:
            lines = sum(line.entity == SECTIONS[name] for line in files.exports[export])
            yield f"{name}.totalRows", section.total_rows, lines, f"the rows of {export} are"
        if isinstance(section.records, list) and not section.truncated:
            done = Counter("errors" if each.errors else PARTS[each.action] for each in section.records)
            for part in (*PARTS.values(), "errors"):
                yield f"{name}.{part}", getattr(section, part), done[part], "such records listed are"
        where, mapped, missing = f"{name}.counts", len(section.mappings), len(section.missing_wa_ids)
        yield f"{where}.mapped", section.counts.mapped, mapped, "the mappings listed are"
        yield f"{where}.missing", section.counts.missing, missing, "the ids listed are"
        yield f"{where}.total", section.counts.total, mapped + missing, "mapped and missing come to"
    if totals is not None:
        for part in (*PARTS.values(), "errors"):
            parts = sum(getattr(each, part) for each in of_each.values())
            yield f"summary.{part}", getattr(totals, part), parts, "its parts come to"
        rows = sum(each.total_rows or 0 for each in of_each.values())
        yield "summary.totalRecords", totals.total_records, rows, "its parts come to"


def _wrong_times(file: str, report: Written) -> Iterator[Violation]:
    if report.started_at and report.ended_at and report.ended_at < report.started_at:
        yield "timestamps-valid", file, "end", "it is before startedAt"
    for name, section in report.sections.items():
        for record in section.listed:
            times, key = {}, f"{SECTIONS[name]} {record.wa_id}"
            for field in filter(record.fields.get, () if record.errors else _TIMES):
                try:
                    times[field] = read_moment(record.fields[field])
                except (ValueError, OverflowError):
                    says = f"{str(record.fields[field])[:40]!r} is no moment in time"
                    yield "timestamps-valid", file, f"{key}, {field}", says
            if times.keys() >= {"startTime", "endTime"} and times["endTime"] < times["startTime"]:
                yield "timestamps-valid", file, f"{key}, endTime", "it is before startTime"
