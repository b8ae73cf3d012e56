"""One column, three ways: as the snapshot had it, as the run left it, as it is now (DESIGN §3, promise 6)."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any


class Unknown(Enum):
    """What stands for a value that nobody wrote down; None is a value, the database's NULL."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN
Known = str | None
Value = Known | Unknown


class Outcome(Enum):
    """What becomes of a column."""

    SAME = "as before"
    RESTORE = "goes back"
    KEPT = "a later change, kept"
    CONFLICT = "changed by the run and after it"


def decide(
    before: Known, run: Value, now: Known, *, touched: bool, run_wrote_all_it_says: bool = False
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
    if isinstance(run, Unknown):
        if run_wrote_all_it_says:  # then somebody else did, before the run or after it
            return Outcome.KEPT
        return Outcome.CONFLICT if touched else Outcome.RESTORE
    if now == run:
        return Outcome.RESTORE
    return Outcome.KEPT if run == before else Outcome.CONFLICT


_ISO = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)?$")


def as_stored(value: Any, column_type: str) -> Value:
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
