"""Write a plan file: under a temporary name, hashed as it goes, then renamed to its id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from workbench.documents import keep, open_whole, writing_errors
from workbench.plans.plan import END, Plan, Row, Section, format_row, json_line


class PlanWriter:
    """Writes one plan, section by section; what is not finished leaves no file behind.

    Parameters
    ----------
    folder : Path
        Where plans lie; made when absent, readable by its owner only: a plan may hold old values.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan, self.folder = plan, folder
        self.sections: list[Section] = []
        self._digest = hashlib.sha256()
        self._at = 0
        self._rows = 0
        self._opened = ExitStack()

    def __enter__(self) -> PlanWriter:
        with ExitStack() as opened:  # closed again unless the first line finds room
            with writing_errors(Plan.noun, self.folder):
                self._file = opened.enter_context(open_whole(self.folder))
            self._put(self.plan.content())
            self._opened = opened.pop_all()
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
            self._put(self._pending.line())
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
        self._put(json_line({"end": "workbench_plan", "rows": [section.rows for section in self.sections]}))
        digest = self._digest.hexdigest()
        path = self.folder / f"{self.plan.kind}-{digest[:12]}{Plan.suffix}"
        with writing_errors(Plan.noun, path):
            keep(self._file, path)
        return self.plan.at(path, digest, tuple(self.sections))

    def _put(self, data: bytes) -> None:
        with writing_errors(Plan.noun, self.folder):
            self._file.write(data)
        self._digest.update(data)
        self._at += len(data)
