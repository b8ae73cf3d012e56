"""A row three ways, column by column: as a snapshot had it, as a run left it, and as it is now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

from workbench.errors import unknown
from workbench.runs.evidence import TOLERANCE

OnConflict = Literal["keep", "restore"]
"""What becomes of a column that both a run and somebody after it changed."""


UNKNOWN: Any = object()
"""What stands for a value that nobody wrote down; None is a value, the database's NULL."""


class Outcome(Enum):
    """What becomes of a column when the run is undone."""

    SAME = "as before"
    RESTORE = "goes back"
    KEPT = "a later change, kept"
    CONFLICT = "changed by the run and after it"


@dataclass
class Testimony:
    """What is known of one row's values.

    Attributes
    ----------
    written : dict of str to value
        Column to what the run wrote into it.
    complete : bool
        Whether the run listed every column that it changed.
    before_edits : dict of str to value
        Column that a person changed after the run to what it held before that.
    documented_until : datetime or None
        When the last change by a person was logged.
    told_in_full : bool
        Whether each such entry says what it changed.
    """

    written: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    before_edits: dict[str, Any] = field(default_factory=dict)
    documented_until: Any = None
    told_in_full: bool = True

    def explains(self, updated_at: datetime | None) -> bool:
        """Whether the log tells of the last change to the row: nobody wrote to it after the last logged one."""
        return (
            self.told_in_full
            and self.documented_until is not None
            and updated_at is not None
            and bool(updated_at <= self.documented_until + TOLERANCE)
        )

    def left_by_run(self, column: str, now: str | None, *, explained: bool) -> Any:
        """Return a column's value as the run left it, or `UNKNOWN`."""
        told = self.before_edits.get(column, now if explained else UNKNOWN)
        written = self.written.get(column, UNKNOWN)
        return told if written is UNKNOWN else written


class Verdict(NamedTuple):
    """What becomes of one column of one row, and what the run had left in it."""

    column: str
    outcome: Outcome
    left: Any

    def conflict(self, by: str) -> tuple[str | None, str]:
        """Return the run's value as a plan lists it, and why it is in conflict with what somebody wrote."""
        if self.left is UNKNOWN:
            return "not known", f"the run or {by}: nothing tells which of them changed it"
        return self.left, f"{by or 'somebody'} changed it after the run"


def judge(
    before: Mapping[str, str | None],
    now: Mapping[str, str | None],
    known: Sequence[Testimony],
    by: str,
    bookkeeping: str | None,
) -> Iterator[Verdict]:
    """Yield, in order of their names, the columns in which a row differs, and what becomes of each.

    Parameters
    ----------
    before, now : mapping of str to str or None
        The row's columns as text; those that both have are compared.
    known : sequence of Testimony
        What each of the runs in question says of the row, in the order of the runs.
    by : str
        Who wrote to the row after the run; empty for nobody.
    bookkeeping : str or None
        The column that says when the row was last written, which is not compared.
    """
    changed_at = now.get(bookkeeping or "")
    moment = datetime.fromisoformat(changed_at) if changed_at else None
    told = [(each, each.explains(moment)) for each in known or [Testimony()]]
    for column in sorted(before.keys() & now.keys() - {bookkeeping}):
        if before[column] == now[column]:
            continue
        left = [(each.left_by_run(column, now[column], explained=how), each) for each, how in told]
        # Of several runs, the one that wrote what is there, or else the last that is known.
        run, testimony = next(
            (pair for pair in left if pair[0] == now[column]),
            next((pair for pair in reversed(left) if pair[0] is not UNKNOWN), left[-1]),
        )
        outcome = decide(
            before[column], run, now[column], touched=bool(by), run_wrote_all_it_says=testimony.complete
        )
        yield Verdict(column, outcome, run)


def decide(
    before: str | None, run: Any, now: str | None, *, touched: bool, run_wrote_all_it_says: bool = False
) -> Outcome:
    """Decide what becomes of one column of a row that a run updated.

    Parameters
    ----------
    before, run, now : str or None
        The column's text as the snapshot had it, as the run left it (`UNKNOWN` where no evidence
        says so) and as it is.
    touched : bool
        Whether the row itself says that somebody wrote to it after the run. A value that the run is
        known to have left otherwise says so too.
    run_wrote_all_it_says : bool
        Whether the run listed every column that it changed, so that one it does not list is not its.
    """
    if now == before:
        return Outcome.SAME
    if run is UNKNOWN:
        if run_wrote_all_it_says:  # then somebody else did, before the run or after it
            return Outcome.KEPT
        return Outcome.CONFLICT if touched else Outcome.RESTORE
    if now == run:
        return Outcome.RESTORE
    return Outcome.KEPT if run == before else Outcome.CONFLICT


def way_with_conflicts(word: str) -> OnConflict:
    """Take what was asked for; `UsageError` for a word that means nothing here."""
    ways: dict[str, OnConflict] = {"keep": "keep", "restore": "restore"}
    if word not in ways:
        raise unknown("way with conflicts", word, ways)
    return ways[word]


_ISO = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)?$")


def as_stored(value: Any, column_type: str) -> Any:
    """Return a value from an importer's or the application's JSON as the database writes it.

    Parameters
    ----------
    column_type : str
        As PostgreSQL spells it. What cannot be compared safely is `UNKNOWN`.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or column_type.startswith(("json", "numeric", "double", "real")):
        return UNKNOWN
    if column_type.startswith("timestamp"):
        match = _ISO.match(value)
        if match is None:
            return UNKNOWN
        fraction = (match[3] or "").rstrip("0")
        return f"{match[1]} {match[2]}" + (f".{fraction}" if fraction else "")
    return value
