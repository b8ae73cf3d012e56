"""Statements of people in an append-only file, one line of JSON each.

A damaged file is an error, never an empty file. Concurrent sessions do not lose lines, and a line is flushed to the disk
before its writer hears of success.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import ClassVar, Generic, TypeVar
from urllib.parse import quote

import fasteners
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import DocumentError, UsageError, WorkbenchError

LONGEST = 500
"""The longest comment, in characters."""

_THREADS = Lock()  # between threads; the lock file works between processes
_MEND = "Nothing was read from it. Correct or remove that line, or use a copy from before the damage."


class Statement(BaseModel):
    """A statement by one person; subclasses add what it is about.

    Attributes
    ----------
    by : str
        Who made it.
    at : datetime
        When, with time zone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: ClassVar[str]
    """What a file of them contains, in the plural."""
    stem: ClassVar[str]
    """The beginning of the file name."""

    by: str = Field(pattern=r"\S")
    at: AwareDatetime


def signed(by: str, words: str) -> tuple[str, datetime, str]:
    """Return name, time and comment as they are stored.

    Raises
    ------
    UsageError
        For an empty name, and a comment that is too long or contains an e-mail address.
    """
    if not by.strip():
        raise UsageError("A name is needed.", "Give it with --as NAME.")
    if len(words) > LONGEST:
        raise UsageError(
            f"The comment has {len(words):,} characters; at most {LONGEST} are stored.", "Shorten it."
        )
    if re.search(r"\S@\S", words):
        raise UsageError(
            "The comment contains an e-mail address; personal data are not stored.", "Leave it out."
        )
    return by.strip(), datetime.now(UTC).replace(microsecond=0), words.strip()


S = TypeVar("S", bound=Statement)


class Statements(Generic[S]):
    """The statements of one kind about an environment, in a file of a folder."""

    def __init__(self, kind: type[S], folder: Path, environment: str) -> None:
        self.kind = kind
        self.path = folder / f"{kind.stem}-{quote(environment, safe='')}.jsonl"

    def read(self) -> list[S]:
        """Read every statement, in the order they were made; none when there is no file yet.

        Raises
        ------
        DocumentError
            When the file cannot be read, or a line is broken; it names the line.
        """
        name = f"The {self.kind.noun} {self.path}"
        try:
            text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"{name} cannot be read: {error}.", _MEND) from None
        lines = text.split("\n")
        if lines.pop():
            raise DocumentError(f"{name} break off in line {len(lines) + 1}: it is not whole.", _MEND)
        statements = []
        for number, line in enumerate(lines, 1):
            try:
                statements.append(self.kind.model_validate_json(line))
            except ValidationError:
                raise DocumentError(
                    f"{name} are broken in line {number}: it is not one of them.", _MEND
                ) from None
        return statements

    def add(self, statement: S) -> S:
        """Add a statement to the file.

        Raises
        ------
        DocumentError
            When the file is broken: nothing is added to it then.
        WorkbenchError
            When it cannot be written.
        """
        line = statement.model_dump_json() + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _THREADS, fasteners.InterProcessLock(self.path.with_name(f".{self.path.name}.lock")):
                self.read()
                file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                try:
                    os.write(file, line.encode())
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            raise WorkbenchError(
                f"The {self.kind.noun} could not be written to {self.path}: {error.strerror}.",
                "It was not kept.",
            ) from None
        return statement
