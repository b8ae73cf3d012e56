"""What must hold of an import's own files, whatever the database says (guide §2.3, §2.4): their ids, counts and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from workbench.errors import UsageError
from workbench.murmurant.exports import read_exports
from workbench.murmurant.reports import PARTS, SECTIONS, Written, numbers, read_moment, read_report

INVARIANTS = {
    "readable": "Can every report, id map and export be read whole?",
    "wa-ids-present": "Has every record a Wild Apricot id?",
    "wa-ids-unique": "Is every Wild Apricot id there only once?",
    "murmurant-ids-present": "Has every record of a live run a Murmurant id?",
    "mappings-processed": "Is every mapping one of a record that the run processed?",
    "counts-add-up": "Is every total the sum of its parts?",
    "counts-not-negative": "Is no count below zero?",
    "timestamps-valid": "Is every time readable, and no end before its start?",
}
"""Every invariant by its id, and what it asks."""

_COUNTS = (*PARTS.values(), "errors")
_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_TIMES = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")


class ImportFiles(NamedTuple):
    """An import's files as frames, each row with its ``file``.

    Attributes
    ----------
    read : pandas.DataFrame
        Every file: ``key`` (empty), ``says`` (why it cannot be read; else empty).
    listed : pandas.DataFrame
        Every record that is listed: ``run``, ``live``, ``how`` (``processed``, ``sampled`` by a report that was cut,
        ``given up``, ``mapped``, ``missing`` or ``duplicate`` in an id map, ``exported``), ``entity``, ``key`` (without
        personal data), ``wa_id``, ``own_id`` (empty where there is none).
    sums : pandas.DataFrame
        Every total: ``key``, ``stated``, ``counted``.
    counts : pandas.DataFrame
        Every count: ``key``, ``count``.
    times : pandas.DataFrame
        Every time: ``key``, ``says`` (what is wrong with it; else empty).
    """

    read: pd.DataFrame
    listed: pd.DataFrame
    sums: pd.DataFrame
    counts: pd.DataFrame
    times: pd.DataFrame


def read_files(reports: Iterable[Path], exports: Iterable[Path]) -> ImportFiles:
    """Read an import's files; what cannot be read is noted, not raised."""
    exports, rows_of = sorted(exports), Counter[tuple[str, str]]()
    read, listed, sums, counts, times = (list[tuple[object, ...]]() for _ in range(5))
    for path in [*exports, *sorted(reports)]:
        file, problem = path.name, ""
        try:
            if path in exports:
                records = read_exports([path])
                rows_of.update((file, record.entity) for record in records)
                rows = enumerate(records, 2)
                listed += [
                    (file, "", False, "exported", r.entity, f"row {n}", r.wa_id or "", "") for n, r in rows
                ]
            elif (report := read_report(path).written) is not None:  # a log has none
                listed += [(file, report.run_id, not report.dry_run, *entry) for entry in _listed(report)]
                sums += [(file, *total) for total in _sums(report, rows_of)]
                content = report.model_dump(by_alias=True, exclude_defaults=True, exclude={"config"})
                counts += [(file, *number) for number in numbers(content)]
                times += [(file, *moment) for moment in _times(report)]
        except UsageError as error:
            problem = error.what.replace(str(path), file)
        read.append((file, "", problem))
    columns = ["file", "run", "live", "how", "entity", "place", "wa_id", "own_id"]
    table = pd.DataFrame(listed, columns=columns).astype({"live": bool})
    name = table["wa_id"].where(table["wa_id"] != "", table["place"])
    return ImportFiles(
        pd.DataFrame(read, columns=["file", "key", "says"]),
        table.assign(key=table["entity"] + " " + name),
        pd.DataFrame(sums, columns=["file", "key", "stated", "counted"]).dropna(),
        pd.DataFrame(counts, columns=["file", "key", "count"]),
        pd.DataFrame(times, columns=["file", "key", "says"]),
    )


def check_invariants(files: ImportFiles) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask every invariant of an import's files.

    Returns
    -------
    pandas.DataFrame
        ``invariant``, ``question``, ``status``, ``count``, ``why``. What could not be judged is ``not run``, never a
        pass.
    pandas.DataFrame
        What violates them: ``invariant``, ``file``, ``key``, ``says``.
    """
    read, listed, sums, counts, times = files
    how = listed["how"]
    records = listed[how.isin(["processed", "mapped", "exported"])]
    live = listed[listed["live"] & how.isin(["processed", "mapped"])]
    repeated = records[(records["wa_id"] != "") & records.duplicated(["file", "key", "how"])]
    given_up = listed.loc[how == "given up", ["run", "key"]].drop_duplicates()
    unpaired = listed[listed["live"] & (how == "missing")].merge(given_up, "left", indicator="side")
    # An id map's pairs are judged where the run's report lists all that was processed.
    processed = listed[how == "processed"]
    mapped = listed[(how == "mapped") & (listed["wa_id"] != "")]
    known = mapped.merge(processed[["run", "entity"]].drop_duplicates())
    pairs = known.merge(processed[["run", "key", "own_id"]], "left", ["run", "key"], suffixes=("", "_there"))
    judged = {
        "readable": read,
        "wa-ids-present": records,
        "wa-ids-unique": records,
        "murmurant-ids-present": live,
        "mappings-processed": known if len(known) == len(mapped) else known.head(0),
        "counts-add-up": sums,
        "counts-not-negative": counts,
        "timestamps-valid": times,
    }
    made_up = live[live["own_id"].str.startswith("dry-")]
    unpaired = unpaired[unpaired["side"] == "left_only"]
    wrong = [
        ("readable", read[read["says"] != ""], ""),
        ("wa-ids-present", records[records["wa_id"] == ""], "it has no Wild Apricot id"),
        ("wa-ids-unique", repeated, "its Wild Apricot id is there more than once"),
        ("wa-ids-unique", listed[how == "duplicate"], "the id map calls it a duplicate"),
        ("murmurant-ids-present", live[live["own_id"] == ""], "it has no Murmurant id"),
        ("murmurant-ids-present", made_up, "its Murmurant id is a dry run's"),
        ("murmurant-ids-present", unpaired, "it has no Murmurant id, and no report says why"),
        (
            "mappings-processed",
            pairs[pairs["own_id"] != pairs["own_id_there"]],
            "its run's report has no such pair",
        ),
        (
            "counts-add-up",
            sums[sums["stated"] != sums["counted"]],
            "it is {stated:,.0f}, its parts come to {counted:,.0f}",
        ),
        ("counts-not-negative", counts[counts["count"] < 0], "it is {count:,}"),
        ("timestamps-valid", times[times["says"] != ""], ""),
    ]
    rows = [
        (invariant, row["file"], row["key"], says.format_map(row) or row["says"])
        for invariant, frame, says in wrong
        for row in frame.to_dict("records")
    ]
    columns = ["invariant", "file", "key", "says"]
    violations = pd.DataFrame(rows, columns=columns).drop_duplicates(ignore_index=True)
    broken = Counter(violations["invariant"])
    outcomes = [
        (name, question, "fail" if broken[name] else "pass" if len(judged[name]) else "not run", broken[name])
        for name, question in INVARIANTS.items()
    ]
    table = pd.DataFrame(outcomes, columns=["invariant", "question", "status", "count"])
    lacking = "These files do not list all that is needed to judge it."
    return table.assign(why=table["status"].map({"not run": lacking}).fillna("")), violations


def _listed(report: Written) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield how something is listed, its entity, its place for want of an id, and its two ids."""
    for problem in (notice.problem() for notice in report.errors):
        yield "given up", problem.entity, "", problem.wa_id or "", ""
    for name, section in report.sections.items():
        yield from (("missing", SECTIONS[name], "", wa_id, "") for wa_id in section.missing_wa_ids)
        yield from (("duplicate", SECTIONS[name], "", wa_id, "") for wa_id in section.duplicate_wa_ids)
        for record in section.listed:
            how = "given up" if record.errors else "sampled" if section.truncated else "processed"
            yield how, SECTIONS[name], f"row {record.source_row}", record.wa_id, record.murmurant_id
    for name, pairs in report.pairs.items():
        for number, pair in enumerate(pairs, 1):
            yield "mapped", SECTIONS[name], f"mapping {number}", pair.wa_id, pair.murmurant_id


def _sums(report: Written, rows_of: Counter[tuple[str, str]]) -> Iterator[tuple[str, int | None, int]]:
    """Yield each total: where it stands, what it is, and what its parts come to."""
    sections, summary, lost = report.of_each, report.summary, report.registration_diagnostics.lost
    for name, section in sections.items():
        export, listed = PureWindowsPath(section.file or "").name, section.records
        if report.form == "csv":
            yield f"{name}.totalRows", section.total_rows, section.total
        if report.form == "api":
            fetched, parts = getattr(report.fetched, _FETCHED[name]), section.total
            # Registrations that were lost need not be among those that were skipped.
            may_be_lost = name == "registrations" and fetched != parts
            yield f"fetched.{_FETCHED[name]}", fetched, parts + sum(lost or ()) * may_be_lost
        if rows := rows_of[export, SECTIONS[name]]:
            yield f"{name}.totalRows", section.total_rows, rows
        if isinstance(listed, list) and not section.truncated:
            done = Counter("errors" if record.errors else PARTS[record.action] for record in listed)
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


def _times(report: Written) -> Iterator[tuple[str, str]]:
    """Yield the times of a report and its records: where each stands, and what is wrong with it."""
    ends_early = report.started_at and report.ended_at and report.ended_at < report.started_at
    yield "end", "it is before startedAt" if ends_early else ""
    for name, section in report.sections.items():
        for record in section.listed:
            times, key = {}, f"{SECTIONS[name]} {record.wa_id}"
            for field in filter(record.fields.get, () if record.errors else _TIMES):
                try:
                    times[field] = read_moment(record.fields[field])
                except (ValueError, OverflowError):
                    yield f"{key}, {field}", "it is no moment in time"
            if times.keys() >= {"startTime", "endTime"} and times["endTime"] < times["startTime"]:
                yield f"{key}, endTime", "it is before startTime"
