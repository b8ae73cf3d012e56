"""Write a plan file: under a temporary name, hashed as it goes, then renamed to its id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType

from workbench.errors import WorkbenchError
from workbench.plans.plan import (
    END,
    SUFFIX,
    Header,
    Plan,
    Row,
    Section,
    as_json,
    format_row,
    header_line,
    plan_id,
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
        with self._room():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = mkstemp(prefix=".plan-", suffix=".part", dir=folder)
        self._part = Path(name)
        self._file = os.fdopen(handle, "wb")
        try:
            self._put(header_line(header))
        except WorkbenchError:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> PlanWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk refuses the last block once more when it is closed
            self._file.close()
        self._part.unlink(missing_ok=True)

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
        path = self.folder / f"{plan_id(self.header.kind, digest)}{SUFFIX}"
        with self._room():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(path)
        return Plan(path, digest, self.header, tuple(self.sections))

    def _put(self, data: bytes) -> None:
        with self._room():
            self._file.write(data)
        self._digest.update(data)
        self._at += len(data)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkbenchError(
                f"The plan could not be written to {self.folder}: {error.strerror}.",
                "Make room, or name another folder as home in workbench.toml. Nothing was changed.",
            ) from None
