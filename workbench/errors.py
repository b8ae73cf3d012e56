"""The error tree, with the exit code of each class.

::

    WorkbenchError                 4  something failed
    ├── UsageError                 2  wrong usage: unknown run, check, parameter, setting
    │   └── DocumentError          2  a file is not the document, snapshot or import report it should be
    ├── Refused                    3  understood and possible, but not allowed
    │   ├── WrongEnvironment       3  name, kind and address of the target disagree
    │   ├── NotApproved            3  no approval, or it has expired or been used
    │   └── Drift                  3  the database has changed since the plan was made
    ├── DatabaseUnreachable        4  no connection, or it was lost
    ├── NotLogged                  4  done, but missing in the audit log
    ├── NotMurmurant               4  connected, but not to Murmurant's database
    │   └── SchemaGap              4  a table or column is missing
    └── NotebookFailed             4  a cell of a report notebook failed

A message says what happened and to which object; ``next_step`` says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Base class of all errors.

    Parameters
    ----------
    what : str
        What happened, and to which object: one sentence.
    next_step : str, optional
        What the user can do now.
    """

    exit_code = 4

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what = what
        self.next_step = next_step


class UsageError(WorkbenchError):
    """Wrong usage: an unknown name, a wrong option or setting."""

    exit_code = 2


class DocumentError(UsageError):
    """A file is not the document, snapshot or import report it should be, or is damaged or of another version."""


class Refused(WorkbenchError):
    """Understood and possible, but not allowed."""

    exit_code = 3


class WrongEnvironment(Refused):
    """The environment's name, its kind and the database's address disagree."""


class NotApproved(Refused):
    """There is no approval, or it has expired or been used."""


class Drift(Refused):
    """The database has changed since the plan was made; nothing was written.

    Attributes
    ----------
    rows : tuple of (table, key, reason)
        The first rows that differ.
    """

    def __init__(self, what: str, next_step: str = "", rows: tuple[tuple[str, str, str], ...] = ()) -> None:
        super().__init__(what, next_step)
        self.rows = rows


class DatabaseUnreachable(WorkbenchError):
    """There is no connection to the database, or it was lost."""


class NotLogged(WorkbenchError):
    """The action was done, but its audit log entry could not be written."""


class NotMurmurant(WorkbenchError):
    """The database does not have Murmurant's tables."""


class SchemaGap(NotMurmurant):
    """A table or column that a query needs is missing."""


class NotebookFailed(WorkbenchError):
    """A cell of a report notebook failed; the executed notebook was kept."""


def nearest(wanted: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the names closest to an unknown one.

    Parameters
    ----------
    wanted : str
        The name as typed.
    known : iterable of str
        The existing names.
    count : int
        How many to return at most.

    Returns
    -------
    list of str
        Closest first; empty when nothing is near.
    """
    return get_close_matches(wanted, sorted(set(known)), n=count, cutoff=0.4)


def unknown(kind: str, wanted: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the nearest known ones."""
    names = sorted(set(known))
    close = nearest(wanted, names) or names[:5]
    offer = f"Nearest: {', '.join(close)}." if close else f"There is no {kind} yet."
    return UsageError(f"There is no {kind} {wanted!r}.", offer)
