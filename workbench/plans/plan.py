r"""A plan as a value and as a file: what to change, in which order, and what is left alone and why.

One file per plan, text in UTF-8, made to be read, diffed and checked with ``sha256sum``::

    {"workbench_plan": 1, "kind": "rollback", ...}                       the header
    {"section": "delete", "table": "Event", "key": ["id"], ...}          what its rows hold
    7c1d...    -4611686018427387904                                      rows
    \.                                                                   its end
    {"section": "kept", "columns": ["table", "key", "reason"]}
    ...
    {"end": "workbench_plan", "rows": [1, ...]}                          rows per section

Rows are in PostgreSQL's COPY text format: a plan of a million changes is written by the database and
read by it again, without passing through Python's memory. Nothing in a plan depends on a clock, so
the same database and parameters give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from workbench.audit import Noted
from workbench.documents import Document, Target, reading_errors
from workbench.errors import DocumentError

END = b"\\.\n"

OPERATIONS = ("delete", "update", "insert")
NOTES = {
    "kept": ("table", "key", "reason"),
    "conflict": ("table", "key", "column", "before", "run", "now", "reason"),
    "unresolved": ("table", "key", "reason", "resolved_by"),
    "reason": ("table", "key", "reason"),
}
"""What a plan says besides its changes, and in which columns."""

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LETTERS = {value: f"\\{name}" for name, value in _ESCAPES.items()} | {"\\": "\\\\"}

Row = tuple[str | None, ...]


class Header(Document):
    """What a plan is for.

    Attributes
    ----------
    kind : str
        ``rollback``, ``undo``, ...
    parameters : dict
        What was asked for.
    reasons, evidence, notes : tuple of str
        Why, resting on what, and what whoever approves it should know besides.
    target : Target
        The database.
    planned_by : str
        The operator who asked for it.
    audit : tuple of dict
        The audit entries its application will write: ``action`` and ``metadata`` (guide §5.1).
    log : Noted or None
        The digest of the workbench's own audit entries as they were; None where there were none.
    """

    noun = "plan"
    suffix = ".plan"
    remedy = "Plan again."
    indent = None

    kind: str
    parameters: dict[str, Any]
    reasons: tuple[str, ...]
    target: Target
    planned_by: str
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    audit: tuple[dict[str, Any], ...] = ()
    log: Noted | None = None


@dataclass(frozen=True)
class Section:
    """Changes of one kind to one table, or notes of one kind.

    Attributes
    ----------
    name : str
        An operation (``delete``, ``update``, ``insert``) or a kind of note.
    table : str
        Real name; empty for notes.
    key : tuple of str
        The columns that name a row.
    changed : tuple of str
        For an update, the columns it sets; for an insert, every column.
    seen : tuple of str
        The columns that a row's digest covers.
    rows : int
        How many rows it has.
    start, stop : int
        Where they lie in the file, in bytes.
    """

    name: str
    table: str = ""
    key: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    rows: int = 0
    start: int = 0
    stop: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """What each row of the section holds, in order."""
        if self.name == "delete":
            return (*self.key, "digest")
        if self.name == "update":
            return (
                *self.key,
                "digest",
                *(f"old {each}" for each in self.changed),
                *(f"new {each}" for each in self.changed),
            )
        return self.changed if self.name == "insert" else NOTES[self.name]

    def as_line(self) -> dict[str, Any]:
        """Return what stands in the file above the rows."""
        if self.name in NOTES:
            return {"section": self.name, "columns": self.columns}
        line: dict[str, Any] = {"section": self.name, "table": self.table, "key": self.key}
        if self.changed:
            line["changed"] = self.changed
        if self.seen:
            line["seen"] = self.seen
        return line


@dataclass(frozen=True)
class Plan:
    """A plan file, read but for its rows; never changed.

    Attributes
    ----------
    path : Path
        The file.
    digest : str
        SHA-256 of its bytes, in hexadecimal.
    """

    noun: ClassVar[str] = Header.noun
    suffix: ClassVar[str] = Header.suffix
    remedy: ClassVar[str] = Header.remedy
    sealed: ClassVar[bool] = True

    path: Path
    digest: str
    header: Header
    sections: tuple[Section, ...] = field(repr=False)

    @property
    def id(self) -> str:
        """Its short name: the kind and the first digits of the digest."""
        return f"{self.header.kind}-{self.digest[:12]}"

    @property
    def target(self) -> Target:
        """The database it is for."""
        return self.header.target

    @property
    def planned_by(self) -> str:
        """The operator who asked for it."""
        return self.header.planned_by

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan file: its header, and where its sections lie, never its rows.

        Raises
        ------
        DocumentError
            When it cannot be read, is something else, cut short, or of another version.
        """
        with reading_errors(cls.noun, path, cls.remedy), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            header = Header.parse(file.readline(), path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                content.readline()
                return cls(path, digest, header, _sections(path, content))

    @property
    def operations(self) -> tuple[Section, ...]:
        """The sections that change something, in the order they are applied."""
        return tuple(each for each in self.sections if each.name in OPERATIONS)

    @property
    def changes(self) -> dict[str, dict[str, int]]:
        """Table to operation to the number of rows."""
        found: dict[str, dict[str, int]] = {}
        for each in self.operations:
            cells = found.setdefault(each.table, {})
            cells[each.name] = cells.get(each.name, 0) + each.rows
        return found

    @property
    def total(self) -> int:
        """How many rows it changes."""
        return sum(each.rows for each in self.operations)

    @cached_property
    def kept(self) -> list[dict[str, str | None]]:
        """Rows left alone: ``table``, ``key``, ``reason``."""
        return self._noted("kept")

    @cached_property
    def conflicts(self) -> list[dict[str, str | None]]:
        """Columns that both the run and somebody after it wrote."""
        return self._noted("conflict")

    @cached_property
    def unresolved(self) -> list[dict[str, str | None]]:
        """What could not be decided for want of evidence, and what would decide it."""
        return self._noted("unresolved")

    @cached_property
    def reasons(self) -> list[dict[str, str | None]]:
        """What single changes rest on, where that is not one thing for all: ``table``, ``key``, ``reason``."""
        return self._noted("reason")

    def rows(self, section: Section) -> Iterator[Row]:
        """Yield a section's rows one by one, NULL as None."""
        with self.path.open("rb") as file:
            file.seek(section.start)
            while file.tell() < section.stop:
                yield parse_row(file.readline())

    def blocks(self, section: Section, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a section's rows as they are in the file, for COPY."""
        with self.path.open("rb") as file:
            file.seek(section.start)
            left = section.stop - section.start
            while left > 0 and (block := file.read(min(size, left))):
                left -= len(block)
                yield block

    def lines(self, section: Section) -> Iterator[list[bytes]]:
        """Yield a section's rows as they are in the file, many at a time."""
        rest = b""
        for block in self.blocks(section):
            *whole, rest = (rest + block).split(b"\n")
            yield whole

    def _noted(self, name: str) -> list[dict[str, str | None]]:
        try:
            return [
                dict(zip(each.columns, row, strict=True))
                for each in self.sections
                if each.name == name
                for row in self.rows(each)
            ]
        except ValueError:  # also of bytes that are no UTF-8
            raise DocumentError(
                f"The plan {self.path} is damaged: its rows of {name!r} cannot be read.", "Plan again."
            ) from None


def _sections(path: Path, content: mmap.mmap) -> tuple[Section, ...]:
    try:
        sections = []
        while isinstance(line := json.loads(content.readline()), dict) and "section" in line:
            start = content.tell()
            stop = start if content[start : start + len(END)] == END else content.find(b"\n" + END, start) + 1
            if stop <= 0:
                raise ValueError(f"section {line['section']} without an end")
            content.seek(stop + len(END))
            sections.append(_section(line, start, stop))
        if line["end"] != "workbench_plan" or content.tell() != len(content):
            raise ValueError("something behind its end")
        return tuple(
            replace(section, rows=int(rows)) for section, rows in zip(sections, line["rows"], strict=True)
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DocumentError(
            f"The plan {path} is damaged, cut short or was edited: {type(error).__name__} at {error}.",
            Header.remedy,
        ) from None


def _section(line: dict[str, Any], start: int, stop: int) -> Section:
    name = line["section"]
    if name in NOTES:
        return Section(name, start=start, stop=stop)
    if name not in OPERATIONS:
        raise ValueError(f"section {name!r}")
    key, changed, seen = (tuple(map(str, line.get(part, ()))) for part in ("key", "changed", "seen"))
    return Section(name, str(line["table"]), key, changed, seen, start=start, stop=stop)


def as_json(value: Any) -> str:
    """Return the one spelling of a value as JSON."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def format_row(values: Sequence[str | None]) -> bytes:
    """Write a row in COPY's text format."""
    cells = (
        "\\N" if value is None else "".join(_LETTERS.get(letter, letter) for letter in value)
        for value in values
    )
    return ("\t".join(cells) + "\n").encode()


def format_pairs(keys: Sequence[str], digests: Sequence[int]) -> bytes:
    """Write rows of a key and a digest; in a twentieth of the time, where no key needs escaping."""
    text = "".join([f"{key}\t{digest}\n" for key, digest in zip(keys, digests, strict=True)])
    own = {"\t": len(keys), "\n": len(keys)}
    if all(text.count(letter) == own.get(letter, 0) for letter in _LETTERS):
        return text.encode()
    return b"".join(format_row((key, str(digest))) for key, digest in zip(keys, digests, strict=True))


def parse_row(line: bytes) -> Row:
    """Read a row in COPY's text format."""
    return tuple(_unescaped(cell) for cell in line.decode().removesuffix("\n").split("\t"))


def _unescaped(cell: str) -> str | None:
    if cell == "\\N":
        return None
    if "\\" not in cell:
        return cell
    found, rest = [], iter(cell)
    for letter in rest:
        if letter == "\\":
            following = next(rest, "\\")
            found.append(_ESCAPES.get(following, following))
        else:
            found.append(letter)
    return "".join(found)
