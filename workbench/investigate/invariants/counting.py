"""Invariants of counts: totals are the sums of their parts, none is below zero, and success is deserved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.investigate.invariants.documents import (
    SECTIONS,
    Content,
    Document,
    Evidence,
    NotTold,
    Violation,
    file_name,
    given_up,
)
from workbench.murmurant.importers import is_fetch_trouble

PARTS = ("created", "updated", "skipped", "errors")
_ACTIONS = {"create": "created", "update": "updated", "skip": "skipped"}
_FETCHED = {"members": "contacts", "events": "events", "registrations": "registrations"}
_LOST = (
    "registrationsSkippedMissingEvent",
    "registrationsSkippedMissingMember",
    "registrationsSkippedTransformError",
)


def counts_add_up(evidence: Evidence) -> Iterator[Violation]:
    """Yield every total that is not the sum of its parts, within a file, between files, and with the exports."""
    _some_counts(evidence)
    for document in evidence.documents:
        if document.kind == "api":
            yield from _of_api(document)
        elif document.kind == "csv":
            yield from _of_csv(document)
            yield from _with_exports(document, evidence)
        else:
            yield from _of_id_map(document, evidence)
    yield from _between_files(evidence)


def counts_not_negative(evidence: Evidence) -> Iterator[Violation]:
    """Yield every count below zero, and every one that is no whole number."""
    _some_counts(evidence)
    for document in evidence.documents:
        for where, value in _counts(document):
            if type(value) is not int:
                yield Violation(document.name, where, f"it is {str(value)[:40]!r}, no whole number")
            elif value < 0:
                yield Violation(document.name, where, f"it is {value:,}")


def success_deserved(evidence: Evidence) -> Iterator[Violation]:
    """Yield the reports that say success where their own diagnostics say otherwise (DESIGN §1, trap 5)."""
    reports = [each for each in evidence.documents if each.kind == "api"]
    if not reports:
        raise NotTold("Only the API sync's report claims success, and none is here.")
    for document in reports:
        if document.content.get("success") is not True:
            continue
        reasons = document.section("registrationDiagnostics").get("topSkipReasons")
        told = [
            str(each.get("reason", ""))
            for each in (reasons if isinstance(reasons, list) else [])
            if isinstance(each, dict)
        ]
        trouble = [each for each in told if is_fetch_trouble(each)]
        if trouble:
            says = f"it says success, but the source could not be reached: {len(trouble)} reasons like {trouble[0]!r}"
            yield Violation(document.name, "success", says)
        if not document.content.get("finishedAt"):
            yield Violation(document.name, "success", "it says success, but not when it ended")


def _some_counts(evidence: Evidence) -> None:
    if not evidence.documents:
        raise NotTold("No report and no id map is here to count in.")


def _counts(document: Document) -> Iterator[tuple[str, Any]]:
    """Yield every field that is a count, by its path."""
    content = document.content
    if document.kind == "api":
        groups = {name: content.get(name) for name in ("fetched", "registrationDiagnostics")}
        stats = document.section("stats")
        groups |= {f"stats.{name}": stats.get(name) for name in SECTIONS}
        groups[""] = {name: content[name] for name in ("durationMs", "totalErrorCount") if name in content}
    elif document.kind == "csv":
        groups = {name: document.section(name) for name in ("summary", *SECTIONS)}
    else:
        groups = {f"{name}.counts": document.section(name).get("counts") for name in SECTIONS}
    for name, group in groups.items():
        if not isinstance(group, dict):
            continue
        for key, value in group.items():
            if key not in ("records", "file", "truncated", "topSkipReasons"):
                yield f"{name}.{key}".strip("."), value


def _of_api(document: Document) -> Iterator[Violation]:
    stats, fetched = document.section("stats"), document.section("fetched")
    diagnostics = document.section("registrationDiagnostics")
    lost = sum(_number(diagnostics, each) or 0 for each in _LOST)
    for name, source in _FETCHED.items():
        cells = stats.get(name)
        total, parts = _number(fetched, source), _sum(cells)
        allowed = {parts, parts + lost} if parts is not None and name == "registrations" else {parts}
        if total is not None and parts is not None and total not in allowed:
            says = f"{total:,} were fetched, {parts:,} are accounted for"
            yield Violation(document.name, f"fetched.{source}", says)
    seats = stats.get("registrations")
    written = _number(diagnostics, "registrationsUpserted")
    if not document.dry and written is not None and isinstance(seats, dict):
        made = (_number(seats, "created") or 0) + (_number(seats, "updated") or 0)
        if written != made:
            says = f"{written:,} were written, {made:,} were created or updated"
            yield Violation(document.name, "registrationDiagnostics.registrationsUpserted", says)
    counted, listed = _number(document.content, "totalErrorCount"), document.content.get("errors")
    errors = sum(_number(each, "errors") or 0 for each in stats.values() if isinstance(each, dict))
    least = max(errors, len(listed) if isinstance(listed, list) else 0)
    if counted is not None and counted < least:
        yield Violation(document.name, "totalErrorCount", f"it is {counted:,}, but there are {least:,}")


def _of_csv(document: Document) -> Iterator[Violation]:
    sections = {name: document.section(name) for name in SECTIONS if document.section(name)}
    summary = document.section("summary")
    for name, section in sections.items():
        total, parts = _number(section, "totalRows"), _sum(section)
        if total is not None and parts is not None and total != parts:
            yield Violation(
                document.name, f"{name}.totalRows", f"it is {total:,}, its parts come to {parts:,}"
            )
        yield from _of_records(document, name, section)
    for part in (*PARTS, "totalRecords"):
        own = "totalRows" if part == "totalRecords" else part
        numbers = [_number(each, own) for each in sections.values()]
        total = _number(summary, part)
        if total is not None and None not in numbers and total != (parts := sum(map(int, numbers))):  # type: ignore[arg-type]
            yield Violation(document.name, f"summary.{part}", f"it is {total:,}, its parts come to {parts:,}")


def _of_records(document: Document, name: str, section: Content) -> Iterator[Violation]:
    records = document.records(name)
    if records is None:
        stated = section.get("records")
        if (
            isinstance(stated, str)
            and not document.truncated(name)
            and stated != f"[{section.get('totalRows')}]"
        ):
            says = f"it says {stated[:20]!r} of {section.get('totalRows')} rows"
            yield Violation(document.name, f"{name}.records", says)
        return
    found = dict.fromkeys(PARTS, 0)
    for each in records:
        part = "errors" if given_up(each) else _ACTIONS.get(str(each.get("_action")))
        if part is None:
            yield Violation(document.name, f"{name}.records", f"an action {str(each.get('_action'))[:20]!r}")
        else:
            found[part] += 1
    for part, count in found.items():
        stated = _number(section, part)
        if stated is not None and stated != count:
            says = f"it is {stated:,}, but {count:,} such records are listed"
            yield Violation(document.name, f"{name}.{part}", says)


def _of_id_map(document: Document, evidence: Evidence) -> Iterator[Violation]:
    for name in SECTIONS:
        section = document.section(name)
        counts = section.get("counts")
        if not isinstance(counts, dict):
            continue
        total, mapped, missing = (_number(counts, each) for each in ("total", "mapped", "missing"))
        listed = len(document.mappings(name))
        if None not in (total, mapped, missing) and total != mapped + missing:  # type: ignore[operator]
            says = f"it is {total:,}, mapped and missing come to {mapped + missing:,}"  # type: ignore[operator]
            yield Violation(document.name, f"{name}.counts.total", says)
        if mapped is not None and mapped != listed:
            yield Violation(
                document.name,
                f"{name}.counts.mapped",
                f"it is {mapped:,}, but {listed:,} mappings are listed",
            )
        ids = section.get("missingWaIds")
        if missing is not None and isinstance(ids, list) and missing != len(ids):
            yield Violation(
                document.name, f"{name}.counts.missing", f"it is {missing:,}, but {len(ids):,} ids are listed"
            )
        rows = {
            _number(each.section(name), "totalRows")
            for each in evidence.of_run(document.run)
            if each.kind == "csv" and not each.truncated(name)
        } - {None}
        if total is not None and rows and total not in rows:
            says = f"it is {total:,}, the run's report has {rows.pop():,} rows"
            yield Violation(document.name, f"{name}.counts.total", says)


def _between_files(evidence: Evidence) -> Iterator[Violation]:
    """Compare what two files say of one run: its full report and its summary."""
    first: dict[str, Document] = {}
    for document in evidence.documents:
        if document.kind != "csv":
            continue
        other = first.setdefault(document.run, document)
        for name in SECTIONS:
            for part in ("totalRows", *PARTS):
                one, two = _number(other.section(name), part), _number(document.section(name), part)
                if one != two:
                    says = f"it is {two}, {other.name} of the same run says {one}"
                    yield Violation(document.name, f"{name}.{part}", says)


def _with_exports(document: Document, evidence: Evidence) -> Iterator[Violation]:
    for name, entity in SECTIONS.items():
        section = document.section(name)
        total = _number(section, "totalRows")
        lines = evidence.exports.get(file_name(section.get("file")))
        if total is None or lines is None:
            continue
        rows = sum(1 for each in lines if each.entity == entity)
        if rows != total:
            says = f"it is {total:,}, {file_name(section.get('file'))} has {rows:,} rows"
            yield Violation(document.name, f"{name}.totalRows", says)


def _number(cells: object, name: str) -> int | None:
    value = cells.get(name) if isinstance(cells, dict) else None
    return value if type(value) is int else None


def _sum(cells: object) -> int | None:
    """Return the sum of the parts; None where one of them is missing or no number."""
    found = [_number(cells, each) for each in PARTS]
    return None if None in found else sum(each for each in found if each is not None)
