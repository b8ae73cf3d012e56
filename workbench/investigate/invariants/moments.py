"""Invariants of time: every moment can be read, none is in the future, and nothing ends before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from workbench.investigate.invariants.documents import (
    Document,
    Evidence,
    NotTold,
    Violation,
    given_up,
    key_of,
)
from workbench.murmurant.importers import start_in_run_id

CLOCKS_DIFFER = timedelta(minutes=5)
"""So far may the importer's clock be ahead of ours."""

A_DAY = timedelta(days=1)
"""A date without a time, or a time without a zone, may be ahead of UTC by so much."""

_OF_RUN = ("startedAt", "finishedAt", "completedAt", "generatedAt")
_OF_RECORD = ("joinedAt", "startTime", "endTime", "registeredAt", "cancelledAt", "registrationDeadline")
_PAST = ("joinedAt", "registeredAt", "cancelledAt")
"""What cannot have happened after the run that read it."""


def timestamps_valid(evidence: Evidence) -> Iterator[Violation]:
    """Yield moments that cannot be read, that lie in the future, and ends before starts."""
    if not evidence.documents:
        raise NotTold("No report and no id map is here that tells a time.")
    for document in evidence.documents:
        yield from _of_run(document, evidence.as_of)
    for document, name, records in evidence.full_reports():
        ended = _read(document.content.get("completedAt"))[0] or evidence.as_of
        for each in records:
            if not given_up(each):
                for key, says in _of_record(each, min(ended, evidence.as_of)):
                    yield Violation(document.name, f"{key_of(each, name)}, {key}", says)


def _of_run(document: Document, as_of: datetime) -> Iterator[Violation]:
    found: dict[str, datetime] = {}
    for key in _OF_RUN:
        value = document.content.get(key)
        if value is None:
            continue
        moment, exact = _read(value)
        if moment is None:
            yield Violation(document.name, key, f"{_quoted(value)} is no moment in time")
            continue
        found[key] = moment
        if moment > as_of + (CLOCKS_DIFFER if exact else A_DAY):
            yield Violation(
                document.name, key, f"{_quoted(value)} is in the future of {as_of:%Y-%m-%d %H:%M} UTC"
            )
    started, stated = found.get("startedAt"), start_in_run_id(document.run)
    for key in ("finishedAt", "completedAt"):
        if started and key in found and found[key] < started:
            yield Violation(document.name, key, "it is before startedAt")
    if started and stated and abs(started - stated.replace(tzinfo=UTC)) > CLOCKS_DIFFER:
        yield Violation(document.name, "startedAt", f"the run's id says {stated:%Y-%m-%d %H:%M:%S} UTC")
    if document.kind != "id map" and started is None and "startedAt" not in document.content:
        yield Violation(document.name, "startedAt", "it does not say when the run started")


def _of_record(record: dict[str, object], ended: datetime) -> Iterator[tuple[str, str]]:
    found: dict[str, datetime] = {}
    for key in _OF_RECORD:
        value = record.get(key)
        if value is None or value == "":
            continue
        moment, _ = _read(value)
        if moment is None:
            yield key, f"{_quoted(value)} is no moment in time"
            continue
        found[key] = moment
        if key in _PAST and moment > ended + A_DAY:
            yield key, f"{_quoted(value)} is after the run ended"
    if "startTime" in found and "endTime" in found and found["endTime"] < found["startTime"]:
        yield "endTime", "it is before startTime"


def _read(value: object) -> tuple[datetime | None, bool]:
    """Return a moment in UTC, and whether it says so itself."""
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
