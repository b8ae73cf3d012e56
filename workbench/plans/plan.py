r"""A plan as a value and as a file: what to change, in which order, and what stays and why.

A plan is one file of UTF-8 text, which people can read, diff and check with ``sha256sum``::

    {"workbench_plan": 2, "kind": "rollback", ...}                       the header
    {"section": "delete", "table": "Event", "columns": ["id", "digest"]} what the rows below contain
    7c1d...    -4611686018427387904                                      rows
    \.                                                                   end of the rows
    {"section": "kept", "table": "", "columns": ["table", "key", "reason"]}
    ...
    {"end": "workbench_plan", "sections": [{"name": "delete", "rows": 1, "start": 312, ...}, ...]}

Rows are in PostgreSQL's COPY text format, so that the database writes and reads a plan of a million changes without
loading it into Python's memory. A plan contains no time of day: the same database and parameters give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, TypeAdapter

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
"""The kinds of notes in a plan, with their columns."""

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
        The columns of its primary key.
    changed : tuple of str
        The columns that an update sets; all columns of an insert.
    seen : tuple of str
        The columns that a row's digest covers.
    rows : int
        The number of rows.
    start, stop : int
        Their place in the file, in bytes behind the header.
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
        """The columns of its rows in the file."""
        if self.name in NOTES:
            return NOTES[self.name]
        if self.name == "insert":
            return self.changed
        images = (f"{moment} {name}" for moment in ("old", "new") for name in self.changed)
        return (*self.key, "digest", *images)


_SECTIONS = TypeAdapter(tuple[Section, ...])


class Plan(Approvable):
    """An immutable plan: its fields are the file's first line, its rows stay in the file.

    Attributes
    ----------
    kind : str
        ``rollback``, ``undo``, ...
    parameters : dict
        What was asked for.
    reasons, evidence, notes : tuple of str
        Why, on what grounds, and what the person who approves it should know.
    target : Target
        The database.
    planned_by : str
        The operator.
    audit : tuple of dict
        The audit entries that an apply will write: ``action`` and ``metadata`` (guide §5.1).
    log : Noted or None
        The digest of the workbench's own audit entries at the time; None if there were none.
    """

    noun = "plan"
    suffix = ".plan"
    version = 2
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
        """Read a plan file without its rows; `DocumentError` if it is no plan, cut short or of another version."""
        with reading_errors(cls.noun, path, cls.remedy), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            plan = cls.parse(file.readline(), path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                last = content[content.rfind(b"\n", 0, len(content) - 1) + 1 :]
        try:
            sections = json.loads(last)["sections"]
            return plan.at(path, digest, _SECTIONS.validate_python(sections))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise DocumentError(
                f"The plan {path} is damaged or cut short: its end is missing.", cls.remedy
            ) from None

    def at(self, path: Path, digest: str, sections: tuple[Section, ...] = ()) -> Self:
        """Return it as the plan in a file, with these sections."""
        plan = super().at(path, digest)
        plan._sections = sections
        return plan

    @property
    def sections(self) -> tuple[Section, ...]:
        """The file's sections, in order."""
        return self._sections

    @property
    def operations(self) -> tuple[Section, ...]:
        """The sections that change something, in the order they are applied."""
        return tuple(section for section in self.sections if section.name in OPERATIONS)

    @property
    def changes(self) -> dict[str, dict[str, int]]:
        """Table to operation to the number of rows."""
        changes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for section in self.operations:
            changes[section.table][section.name] += section.rows
        return {table: dict(counts) for table, counts in changes.items()}

    @property
    def total(self) -> int:
        """The number of rows it changes."""
        return sum(section.rows for section in self.operations)

    @property
    def undoes(self) -> int | None:
        """The journal entry that it undoes, if any."""
        return self.parameters.get("undoes")

    @cached_property
    def kept(self) -> list[dict[str, str | None]]:
        """Rows that stay as they are: ``table``, ``key``, ``reason``."""
        return self._noted("kept")

    @cached_property
    def conflicts(self) -> list[dict[str, str | None]]:
        """Columns that both the run and somebody after it changed."""
        return self._noted("conflict")

    @cached_property
    def unresolved(self) -> list[dict[str, str | None]]:
        """What could not be decided for lack of evidence, and what would decide it."""
        return self._noted("unresolved")

    @cached_property
    def because(self) -> list[dict[str, str | None]]:
        """The reasons for single changes: ``table``, ``key``, ``reason``."""
        return self._noted("reason")

    def rows(self, section: Section) -> Iterator[Row]:
        """Yield a section's rows one by one, NULL as None."""
        for block in self.blocks(section):
            yield from map(parse_row, block.split(b"\n")[:-1])

    def blocks(self, section: Section, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield a section's lines as they are in the file, many at a time."""
        with self.path.open("rb") as file:
            header = len(file.readline())
            file.seek(header + section.start)
            while (left := header + section.stop - file.tell()) > 0:
                yield file.read(min(size, left)) + (file.readline() if left > size else b"")

    def _noted(self, name: str) -> list[dict[str, str | None]]:
        listed = chain.from_iterable(self.rows(section) for section in self.sections if section.name == name)
        try:
            return [dict(zip(NOTES[name], row, strict=True)) for row in listed]
        except ValueError:  # including bytes that are not UTF-8
            raise DocumentError(
                f"The plan {self.path} is damaged: its rows of {name!r} cannot be read.", self.remedy
            ) from None


def write_plan(folder: Path, plan: Plan, sections: Iterable[tuple[Section, Iterable[bytes]]]) -> Plan:
    """Write a plan under its id, completely or not at all; only its owner may read it, as it may have personal data.

    Parameters
    ----------
    folder : Path
        The folder of plans; created if missing.
    sections : iterable of (Section, iterable of bytes)
        Each with its rows as `format_row` writes them, many at a time; sections without rows are skipped.
    """
    digest = hashlib.sha256()
    written: list[Section] = []
    with open_whole(folder, plan.noun) as file:

        def put(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        put(header := plan.content())
        for section, blocks in sections:
            start = rows = 0
            for block in filter(None, blocks):
                if not rows:
                    facts = {"section": section.name, "table": section.table, "columns": section.columns}
                    put(json_line(facts))
                    start = file.tell() - len(header)
                rows += block.count(b"\n")
                put(block)
            if rows:
                written.append(replace(section, rows=rows, start=start, stop=file.tell() - len(header)))
                put(END)
        put(json_line({"end": "workbench_plan", "sections": [asdict(section) for section in written]}))
        path = folder / f"{plan.kind}-{digest.hexdigest()[:12]}{plan.suffix}"
        keep(file, path)
    return plan.at(path, digest.hexdigest(), tuple(written))


def json_line(value: Any) -> bytes:
    """Return a value as a line of canonical JSON."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n").encode()


_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED = str.maketrans({letter: f"\\{name}" for name, letter in _ESCAPES.items()} | {"\\": "\\\\"})


def format_row(values: Sequence[str | None]) -> bytes:
    """Return a row in COPY's text format."""
    cells = ("\\N" if value is None else value.translate(_ESCAPED) for value in values)
    return ("\t".join(cells) + "\n").encode()


def parse_row(line: bytes) -> Row:
    """Parse a row in COPY's text format."""
    cells = line.decode().removesuffix("\n").split("\t")
    return tuple(
        None if cell == "\\N" else re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), cell)
        for cell in cells
    )
