"""Write a plan file: under a temporary name, hashed as it goes, then renamed to its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from workbench.documents import keep, open_whole, writing_errors
from workbench.plans.plan import (
    END,
    Header,
    Plan,
    Row,
    Section,
    as_json,
    format_row,
)


class PlanWriter:
    """Writes one plan, section by section; what is not finished leaves no file behind.

    Parameters
    ----------
    folder : Path
        Where plans lie; made when absent, readable by its owner only: a plan may hold old values.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        self.header = header
        self.folder = folder
        self.sections: list[Section] = []
        self._digest = hashlib.sha256()
        self._at = 0
        self._rows = 0
        self._opened = ExitStack()
        with writing_errors(Plan.noun, folder):
            self._file = self._opened.enter_context(open_whole(folder))
        with self._opened.pop_all() as opened:  # closed again unless the header finds room
            self._put(header.content())
            self._opened = opened.pop_all()

    def __enter__(self) -> PlanWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @contextmanager
    def section(self, section: Section) -> Iterator[PlanWriter]:
        """Begin a section; its rows follow by `block` or `row`. One without rows is not written."""
        self._pending: Section | None = section
        self._rows = 0
        yield self
        if self._pending is None:
            self.sections[-1] = replace(self.sections[-1], rows=self._rows, stop=self._at)
            self._put(END)

    def block(self, rows: bytes) -> None:
        """Write whole rows in COPY's text format."""
        if not rows:
            return
        if self._pending is not None:
            self._put((as_json(self._pending.as_line()) + "\n").encode())
            self.sections.append(replace(self._pending, start=self._at))
            self._pending = None
        self._rows += rows.count(b"\n")
        self._put(rows)

    def row(self, values: Row | list[str | None]) -> None:
        """Write one row."""
        self.block(format_row(values))

    def notes(self, name: str, rows: Iterable[Row]) -> None:
        """Write what was kept, in conflict or unresolved."""
        with self.section(Section(name)):
            for each in rows:
                self.row(each)

    def finish(self) -> Plan:
        """Give the file its name, the plan's id, and return the plan."""
        self._put(
            (
                as_json({"end": "workbench_plan", "rows": [each.rows for each in self.sections]}) + "\n"
            ).encode()
        )
        digest = self._digest.hexdigest()
        plan = Plan(self.folder, digest, self.header, tuple(self.sections))
        path = self.folder / f"{plan.id}{Plan.suffix}"
        with writing_errors(Plan.noun, path):
            keep(self._file, path)
        return replace(plan, path=path)

    def _put(self, data: bytes) -> None:
        with writing_errors(Plan.noun, self.folder):
            self._file.write(data)
        self._digest.update(data)
        self._at += len(data)
