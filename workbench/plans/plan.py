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
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr

from workbench.audit.digest import Noted
from workbench.documents import Approvable, keep, open_whole, reading_errors
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

Row = tuple[str | None, ...]


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
        if self.name in NOTES:
            return NOTES[self.name]
        if self.name == "insert":
            return self.changed
        images = (f"{moment} {name}" for moment in ("old", "new") for name in self.changed)
        return (*self.key, "digest", *images)

    def line(self) -> bytes:
        """Return what stands in the file above the rows."""
        names = ("columns",) if self.name in NOTES else ("table", "key", "changed", "seen")
        facts = {name: value for name in names if (value := getattr(self, name))}
        return json_line({"section": self.name, **facts})

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Section:
        """Read a section from what stands in the file above its rows."""
        name = facts["section"]
        if name not in (*OPERATIONS, *NOTES):
            raise ValueError(f"section {name!r}")
        key, changed, seen = (tuple(map(str, facts.get(part, ()))) for part in ("key", "changed", "seen"))
        return cls(name, "" if name in NOTES else str(facts["table"]), key, changed, seen)


class Plan(Approvable):
    """A plan: its fields are the file's first line, its rows stay in the file; never changed.

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
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    audit: tuple[dict[str, Any], ...] = ()
    log: Noted | None = None

    _sections: tuple[Section, ...] = PrivateAttr(())

    @property
    def prefix(self) -> str:
        """What its id begins with."""
        return self.kind

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a plan file: its first line, and where its sections lie, never its rows.

        Raises
        ------
        DocumentError
            When it cannot be read, is something else, cut short, or of another version.
        """
        with reading_errors(cls.noun, path, cls.remedy), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            plan = cls.parse(file.readline(), path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                content.readline()
                return plan.at(path, digest, _sections(path, content))

    def at(self, path: Path, digest: str, sections: tuple[Section, ...] = ()) -> Self:
        """Return it as the plan that lies in a file, with these sections."""
        plan = super().at(path, digest)
        plan._sections = sections
        return plan

    @property
    def sections(self) -> tuple[Section, ...]:
        """What the file holds behind its first line, in order."""
        return self._sections

    @property
    def operations(self) -> tuple[Section, ...]:
        """The sections that change something, in the order they are applied."""
        return tuple(section for section in self.sections if section.name in OPERATIONS)

    @property
    def changes(self) -> dict[str, dict[str, int]]:
        """Table to operation to the number of rows."""
        changes: dict[str, dict[str, int]] = {section.table: {} for section in self.operations}
        for section in self.operations:
            counts = changes[section.table]
            counts[section.name] = counts.get(section.name, 0) + section.rows
        return changes

    @property
    def total(self) -> int:
        """How many rows it changes."""
        return sum(section.rows for section in self.operations)

    @property
    def undoes(self) -> int | None:
        """The journal's entry that it takes back, if it does."""
        return self.parameters.get("undoes")

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
    def because(self) -> list[dict[str, str | None]]:
        """What single changes rest on, where that is not one thing for all: ``table``, ``key``, ``reason``."""
        return self._noted("reason")

    def rows(self, section: Section) -> Iterator[Row]:
        """Yield a section's rows one by one, NULL as None."""
        for block in self.blocks(section):
            yield from map(parse_row, block.split(b"\n")[:-1])

    def blocks(self, section: Section, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a section's rows as they are in the file, for COPY: whole lines, many at a time."""
        with self.path.open("rb") as file:
            file.seek(section.start)
            while (left := section.stop - file.tell()) > 0:
                yield file.read(min(size, left)) + (file.readline() if left > size else b"")

    def _noted(self, name: str) -> list[dict[str, str | None]]:
        try:
            return [
                dict(zip(section.columns, row, strict=True))
                for section in self.sections
                if section.name == name
                for row in self.rows(section)
            ]
        except ValueError:  # also of bytes that are no UTF-8
            raise DocumentError(
                f"The plan {self.path} is damaged: its rows of {name!r} cannot be read.", self.remedy
            ) from None


def write_plan(folder: Path, plan: Plan, sections: Iterable[tuple[Section, Iterable[bytes]]]) -> Plan:
    """Write a plan under its id, readable by its owner only, for it may hold old values; whole, or no file is left.

    Parameters
    ----------
    folder : Path
        Where plans lie; made when absent.
    sections : iterable of (Section, iterable of bytes)
        Each with its rows as `format_row` writes them, many at a time; one without rows is not written.
    """
    digest = hashlib.sha256()
    written: list[Section] = []
    with open_whole(folder, plan.noun) as file:

        def put(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        put(plan.content())
        for section, blocks in sections:
            start = rows = 0
            for block in filter(None, blocks):
                if not rows:
                    put(section.line())
                    start = file.tell()
                rows += block.count(b"\n")
                put(block)
            if rows:
                written.append(replace(section, rows=rows, start=start, stop=file.tell()))
                put(END)
        put(json_line({"end": "workbench_plan", "rows": [section.rows for section in written]}))
        path = folder / f"{plan.kind}-{digest.hexdigest()[:12]}{plan.suffix}"
        keep(file, path)
    return plan.at(path, digest.hexdigest(), tuple(written))


def _sections(path: Path, content: mmap.mmap) -> tuple[Section, ...]:
    try:
        sections = []
        while isinstance(line := json.loads(content.readline()), dict) and "section" in line:
            start = content.tell()
            stop = start if content[start : start + len(END)] == END else content.find(b"\n" + END, start) + 1
            if stop <= 0:
                raise ValueError(f"section {line['section']!r} without an end")
            content.seek(stop + len(END))
            sections.append(replace(Section.of(line), start=start, stop=stop))
        if line["end"] != "workbench_plan" or content.tell() != len(content):
            raise ValueError("something behind its end")
        return tuple(
            replace(section, rows=int(rows)) for section, rows in zip(sections, line["rows"], strict=True)
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DocumentError(
            f"The plan {path} is damaged, cut short or was edited: {type(error).__name__} at {error}.",
            Plan.remedy,
        ) from None


def json_line(value: Any) -> bytes:
    """Return the one spelling of a value as a line of JSON."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n").encode()


_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED = str.maketrans({letter: f"\\{name}" for name, letter in _ESCAPES.items()} | {"\\": "\\\\"})


def format_row(values: Sequence[str | None]) -> bytes:
    """Write a row in COPY's text format."""
    cells = ("\\N" if value is None else value.translate(_ESCAPED) for value in values)
    return ("\t".join(cells) + "\n").encode()


def parse_row(line: bytes) -> Row:
    """Read a row in COPY's text format."""
    cells = line.decode().removesuffix("\n").split("\t")
    return tuple(
        None if cell == "\\N" else re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), cell)
        for cell in cells
    )
