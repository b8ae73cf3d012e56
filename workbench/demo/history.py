"""A club's past: its import runs and their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Dialect = Literal["guide", "application"]
Importer = Literal["guide", "api", "csv"]
Mode = Literal["live", "dry"]
Counts = Mapping[str, Mapping[str, int]]

ANCHOR = datetime(2026, 6, 1, tzinfo=UTC)
"""The club's present; nothing depends on the system clock."""

STARTS = {
    "first": datetime(2026, 4, 21, 9, 30, tzinfo=UTC),
    "csv": datetime(2026, 5, 6, 13, 15, tzinfo=UTC),
    "second": datetime(2026, 5, 20, 9, 30, tzinfo=UTC),
}
"""When each of the club's imports started; only the application's dialect has the CSV import."""


@dataclass(frozen=True)
class Run:
    """One execution of an importer, as the importer reports it.

    Attributes
    ----------
    counts : mapping of str to mapping of str to int
        Entity (``Member``, ``Event``, ``Registration``) to action (``created``, ``updated``,
        ``mapped``, ``existing``) to count. For a dry run, what it predicts.
    """

    run: str
    importer: Importer
    mode: Mode
    started: datetime
    finished: datetime
    counts: Counts
