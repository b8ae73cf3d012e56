"""What people said, in a file: one line of JSON to a statement, only ever added to.

Such a file is read whole or not at all: one that is broken is an error, never an empty file. Two sessions at once
do not lose a line, and a line is on the disk before anybody is told that it is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import fasteners

from workbench.errors import WorkbenchError

Said = TypeVar("Said")
_HERE = Lock()  # between threads; the lock file is between processes

_MEND = (
    "Nothing was read from it. Mend that line or take it out; a copy from before the damage will do as well."
)


def read_statements(
    path: Path, what: str, parse: Callable[[Any], Said], error: type[WorkbenchError]
) -> list[Said]:
    """Read every statement, in the order they were made; none when there is no file yet.

    Parameters
    ----------
    what : str
        What the file holds, in the plural, such as ``review decisions``.
    parse : callable
        Takes a line's JSON value; raises `ValueError`, `KeyError` or `TypeError` for what is no such statement.
    error : type
        What is raised when the file cannot be read, or a line is broken; it names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"The {what} {path} cannot be read: {problem}.", _MEND) from None
    lines = text.split("\n")
    if lines.pop():
        raise error(f"The {what} {path} break off in line {len(lines) + 1}: it is not whole.", _MEND)
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise error(
                f"The {what} {path} are broken in line {number}: it is not one of them.", _MEND
            ) from None
    return found


def add_statement(path: Path, what: str, facts: Mapping[str, Any], check: Callable[[], object]) -> None:
    """Add a statement to the file.

    Parameters
    ----------
    what : str
        What the file holds, in the plural.
    facts : mapping
        The statement; times are written as ISO 8601.
    check : callable
        Reads the file as it is, and raises where it is broken: nothing is added to it then.

    Raises
    ------
    WorkbenchError
        When it cannot be written.
    """
    line = json.dumps(facts, default=lambda value: value.isoformat(), ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _HERE, fasteners.InterProcessLock(path.with_name(f".{path.name}.lock")):
            check()
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, line.encode("utf-8"))
                os.fsync(file)
            finally:
                os.close(file)
    except OSError as problem:
        raise WorkbenchError(
            f"The {what} could not be written to {path}: {problem.strerror}.", "It was not kept."
        ) from None
