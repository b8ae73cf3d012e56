"""Invariants of an import's own files, whatever the database says: ids, counts and times (guide §2.3, §2.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath

import pandas as pd

from workbench.errors import UsageError
from workbench.murmurant.exports import read_exports
from workbench.murmurant.importers import read_moment
from workbench.murmurant.reports import PARTS, SECTIONS, Section, Written, numbers, read_report

INVARIANTS = {
    "readable": "Can every report, id map and export be read?",
    "wa-ids-present": "Does every record have a Wild Apricot id?",
    "wa-ids-unique": "Is every Wild Apricot id listed only once?",
    "murmurant-ids-present": "Does every record of a live run have a Murmurant id?",
    "mappings-processed": "Does every mapping belong to a record that the run processed?",
    "counts-add-up": "Is every total the sum of its parts?",
    "counts-not-negative": "Is no count negative?",
    "timestamps-valid": "Can every time be read, and does nothing end before it starts?",
}
"""Each invariant and its question."""

_COUNTS = (*PARTS.values(), "errors")
_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_TIMES = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")

Judged = Iterator[tuple[str, str, str]]
"""What was judged: the invariant, the key of a record or count, and what is wrong with it; empty where nothing is."""


def check_files(reports: Iterable[Path], exports: Iterable[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check every invariant of an import's files.

    Returns
    -------
    pandas.DataFrame
        ``invariant``, ``question``, ``status``, ``count``, ``why``; ``not run`` where the files do not list what is needed.
    pandas.DataFrame
        The violations: ``invariant``, ``file``, ``key``, ``says``.
    """
    rows, written, exported = list[tuple[str, ...]](), dict[Path, Written](), Counter[tuple[str, str]]()
    for path in sorted(exports):
        problem = ""
        try:
            records = read_exports([path])
        except UsageError as error:
            records, problem = (), error.what.replace(str(path), path.name)
        exported.update((path.name, record.entity) for record in records)
        listed = [(record.entity, record.wa_id or "", f"row {n}") for n, record in enumerate(records, 2)]
        rows += [("readable", path.name, "", problem), *_in_file(path, _ids(listed))]
    for path in sorted(reports):
        problem = ""
        try:
            if report := read_report(path).written:  # None for a log
                written[path] = report
        except UsageError as error:
            problem = error.what.replace(str(path), path.name)
        rows.append(("readable", path.name, "", problem))
    processed, given_up = _processed(written.values())
    unjudged = set[str]()
    for path, report in written.items():
        rows += _in_file(path, _records(report, processed, given_up, unjudged))
        for key, stated, counted in _sums(report, exported):
            if stated is not None:
                says = "" if stated == counted else f"it is {stated:,}, its parts add up to {counted:,}"
                rows.append(("counts-add-up", path.name, key, says))
        content = report.model_dump(by_alias=True, exclude_defaults=True, exclude={"config"})
        for key, number in numbers(content):
            rows.append(("counts-not-negative", path.name, key, "" if number >= 0 else f"it is {number:,}"))
        rows += _in_file(path, _times(report))
    table = pd.DataFrame(rows, columns=["invariant", "file", "key", "says"])
    violations = table[table["says"] != ""].drop_duplicates(ignore_index=True)
    broken, judged = Counter(violations["invariant"]), {*table["invariant"]} - unjudged
    lacking = "These files do not list everything needed to check it."
    outcomes = []
    for name, question in INVARIANTS.items():
        status = "fail" if broken[name] else "pass" if name in judged else "not run"
        outcomes.append((name, question, status, broken[name], lacking if status == "not run" else ""))
    return pd.DataFrame(outcomes, columns=["invariant", "question", "status", "count", "why"]), violations


def _in_file(path: Path, judged: Judged) -> Iterator[tuple[str, ...]]:
    return ((invariant, path.name, key, says) for invariant, key, says in judged)


def _processed(
    reports: Iterable[Written],
) -> tuple[dict[tuple[str, str], dict[str, str]], set[tuple[str, str, str]]]:
    """Return the ids of every record that a run processed, by run and entity; and the records that it gave up on."""
    processed, given_up = dict[tuple[str, str], dict[str, str]](), set[tuple[str, str, str]]()
    for report in reports:
        problems = (notice.problem() for notice in report.errors)
        given_up.update((report.run_id, problem.entity, problem.wa_id or "") for problem in problems)
        for name, section in report.sections.items():
            given_up.update((report.run_id, SECTIONS[name], r.wa_id) for r in section.listed if r.errors)
            if section.listed and not section.truncated:
                ids = {record.wa_id: record.murmurant_id for record in section.listed if not record.errors}
                processed.setdefault((report.run_id, SECTIONS[name]), {}).update(ids)
    return processed, given_up


def _ids(listed: list[tuple[str, str, str]]) -> Judged:
    """Check the Wild Apricot ids of records: entity, id, and what names a record without one."""
    repeats = Counter((entity, wa_id) for entity, wa_id, _ in listed)
    for entity, wa_id, place in listed:
        yield "wa-ids-present", f"{entity} {wa_id or place}", "" if wa_id else "it has no Wild Apricot id"
        if wa_id:
            says = "" if repeats[entity, wa_id] == 1 else "its Wild Apricot id is listed more than once"
            yield "wa-ids-unique", f"{entity} {wa_id}", says


def _records(
    report: Written,
    processed: Mapping[tuple[str, str], Mapping[str, str]],
    given_up: set[tuple[str, str, str]],
    unjudged: set[str],
) -> Judged:
    """Check the ids of a report's records and mappings."""
    run, live = report.run_id, not report.dry_run
    for name, entity in SECTIONS.items():
        section, pairs = report.sections.get(name, Section()), report.pairs[name]
        records = [] if section.truncated else [record for record in section.listed if not record.errors]
        yield from _ids([(entity, record.wa_id, f"row {record.source_row}") for record in records])
        yield from _ids([(entity, pair.wa_id, f"mapping {n}") for n, pair in enumerate(pairs, 1)])
        for wa_id in section.duplicate_wa_ids:
            yield "wa-ids-unique", f"{entity} {wa_id}", "the id map calls it a duplicate"
        ids = [(record.wa_id, record.murmurant_id) for record in records]
        ids += [(pair.wa_id, pair.murmurant_id) for pair in pairs]
        for wa_id, own in ids if live else ():
            missing = "" if own else "it has no Murmurant id"
            made_up = "its Murmurant id is a dry run's" if own.startswith("dry-") else ""
            yield "murmurant-ids-present", f"{entity} {wa_id}", missing or made_up
        for wa_id in section.missing_wa_ids if live else ():
            if (run, entity, wa_id) not in given_up:
                says = "it has no Murmurant id, and no report says why"
                yield "murmurant-ids-present", f"{entity} {wa_id}", says
        if pairs and (run, entity) not in processed:
            unjudged.add("mappings-processed")
        for pair in pairs if (run, entity) in processed else ():
            is_known = processed[run, entity].get(pair.wa_id) == pair.murmurant_id
            says = "" if is_known else "its run's report has no such pair"
            if pair.wa_id:
                yield "mappings-processed", f"{entity} {pair.wa_id}", says


def _sums(report: Written, exported: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, int | None, int]]:
    """Yield each total: its name, its value, and the sum of its parts."""
    sections, summary = report.of_each, report.summary
    for name, section in sections.items():
        if report.form == "csv":
            yield f"{name}.totalRows", section.total_rows, section.total
        if report.form == "api":
            fetched, parts = getattr(report.fetched, _FETCHED[name]), section.total
            # Registrations that were lost need not be among those that were skipped.
            may_be_lost = name == "registrations" and fetched != parts
            lost = sum(report.registration_diagnostics.lost or ()) if may_be_lost else 0
            yield f"fetched.{_FETCHED[name]}", fetched, parts + lost
        if rows := exported.get((PureWindowsPath(section.file or "").name, SECTIONS[name])):
            yield f"{name}.totalRows", section.total_rows, rows
        if isinstance(section.records, list) and not section.truncated:
            done = Counter("errors" if record.errors else PARTS[record.action] for record in section.records)
            yield from ((f"{name}.{part}", getattr(section, part), done[part]) for part in _COUNTS)
        mapped, missing = len(section.mappings), len(section.missing_wa_ids)
        yield f"{name}.counts.mapped", section.counts.mapped, mapped
        yield f"{name}.counts.missing", section.counts.missing, missing
        yield f"{name}.counts.total", section.counts.total, mapped + missing
    if report.form == "api":
        least = max(sum(section.errors for section in sections.values()), len(report.errors))
        yield "totalErrorCount", report.total_error_count, max(least, report.total_error_count or 0)
    if summary is not None:
        for part in _COUNTS:
            parts = sum(getattr(section, part) or 0 for section in sections.values())
            yield f"summary.{part}", getattr(summary, part), parts
        rows = sum(section.total_rows or 0 for section in sections.values())
        yield "summary.totalRecords", summary.total_records, rows


def _times(report: Written) -> Judged:
    """Check the times of a report and of its records."""
    ends_early = report.started_at and report.ended_at and report.ended_at < report.started_at
    yield "timestamps-valid", "end", "it is before startedAt" if ends_early else ""
    for name, section in report.sections.items():
        for record in section.listed:
            times, key = {}, f"{SECTIONS[name]} {record.wa_id}"
            for field in filter(record.fields.get, () if record.errors else _TIMES):
                try:
                    times[field] = read_moment(record.fields[field])
                except (ValueError, OverflowError):
                    yield "timestamps-valid", f"{key}, {field}", "it is not a valid time"
            if times.keys() >= {"startTime", "endTime"} and times["endTime"] < times["startTime"]:
                yield "timestamps-valid", f"{key}, endTime", "it is before startTime"
