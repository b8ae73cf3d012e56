"""What can go wrong, as one tree; every leaf knows the exit code the command line gives it.

::

    WorkbenchError                 4  something failed
    ├── UsageError                 2  the question was wrong: unknown run, check, parameter, setting
    │   └── DocumentError          2  a file cannot be read as the document, snapshot or import report it should be
    ├── Refused                    3  understood, possible, and not done: the guard says no
    │   ├── WrongEnvironment       3  name, kind and address of the target disagree
    │   ├── NotApproved            3  nobody's consent to this plan, or it has expired or been used
    │   └── Drift                  3  the database is no longer as the plan saw it
    ├── DatabaseUnreachable        4  no connection, or it was lost
    ├── NotLogged                  4  what was done stands, and the audit log does not say so
    ├── NotMurmurant               4  connected, but this is not Murmurant's database
    │   └── SchemaGap              4  one table or column that is needed is missing
    └── NotebookFailed             4  a cell of a report notebook failed

A message says what happened, to which object, and (``next_step``) what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Say what happened, to which object, and what to do next.

    Parameters
    ----------
    what : str
        What happened and to which object, one sentence.
    next_step : str, optional
        What the person in front of it can do now.
    """

    exit_code = 4

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what = what
        self.next_step = next_step


class UsageError(WorkbenchError):
    """The question itself was wrong; nothing was looked at."""

    exit_code = 2


class DocumentError(UsageError):
    """A file is not the document, snapshot or import report it should be, is cut short or damaged, of another version, or lacks something."""


class Refused(WorkbenchError):
    """Understood, possible, and deliberately not done."""

    exit_code = 3


class WrongEnvironment(Refused):
    """The environment's name, its kind and the database's address disagree."""


class NotApproved(Refused):
    """Nobody has consented to this plan, or the consent has expired or been used."""


class Drift(Refused):
    """The database is no longer as the plan saw it; nothing was changed.

    Attributes
    ----------
    rows : tuple of (table, key, reason)
        The rows that differ, the first of them.
    """

    def __init__(self, what: str, next_step: str = "", rows: tuple[tuple[str, str, str], ...] = ()) -> None:
        super().__init__(what, next_step)
        self.rows = rows


class DatabaseUnreachable(WorkbenchError):
    """There is no connection to the database, or it was lost."""


class NotLogged(WorkbenchError):
    """An entry could not be written to the audit log; what it speaks of was done."""


class NotMurmurant(WorkbenchError):
    """The database was reached, but it does not hold Murmurant's tables."""


class SchemaGap(NotMurmurant):
    """One table or column that a question needs is not there."""


class NotebookFailed(WorkbenchError):
    """A cell of a report notebook failed; the executed notebook was kept."""


def nearest(wanted: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the names closest to the one that was not found.

    Parameters
    ----------
    wanted : str
        The name as it was typed.
    known : iterable of str
        The names that exist.
    count : int
        How many to offer at most.

    Returns
    -------
    list of str
        Closest first; empty when nothing is near.
    """
    return get_close_matches(wanted, sorted(set(known)), n=count, cutoff=0.4)


def unknown(kind: str, wanted: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that does not exist, with the nearest that do."""
    names = sorted(set(known))
    close = nearest(wanted, names) or names[:5]
    offer = f"Nearest: {', '.join(close)}." if close else f"There is no {kind} here at all."
    return UsageError(f"There is no {kind} {wanted!r}.", offer)
