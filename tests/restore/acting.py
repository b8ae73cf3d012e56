"""A restore in a process of its own, to be stopped, watched and killed at any of its steps."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from workbench.checkpoints.restore.request import read_request
from workbench.checkpoints.restore.running import STEPS
from workbench.database.connection import Database
from workbench.errors import WorkbenchError
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])

_CALLED = {step.called for steps in STEPS.values() for step in steps} | {"done"}

Opened = tuple[Database, EnvironmentSettings, Settings]


class Acting:
    """A restore in a process of its own, that stops before each of its steps until it is told to go on."""

    def __init__(self, opened: Opened, request: Path | None) -> None:
        self.pipe, theirs = _PROCESSES.Pipe()
        self.process = _PROCESSES.Process(target=_step_by_step, args=(opened, request, theirs))
        self.process.start()
        theirs.close()
        self._ahead = 0
        self.said = ""
        self.step = self._hear()

    def go_on(self, steps: int = 1) -> str | None:
        """Let it take some steps; return the one it stands before now, None when it has ended."""
        for _ in range(steps):
            if self.step is not None:
                if not self._ahead:
                    self.run_ahead(1)
                self._ahead -= 1
                self.step = self._hear()
        return self.step

    def run_ahead(self, steps: int) -> None:
        for _ in range(steps):
            self.pipe.send(None)
        self._ahead += steps

    def finish(self) -> str:
        """Let it go on to its end; return what it says: ``done``, or the error and its exit code."""
        self.go_on(100)
        self.process.join(30)
        return self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.join(30)

    def close(self) -> None:
        self.kill()
        self.process.close()
        self.pipe.close()

    def _hear(self) -> str | None:
        kind, text = self.pipe.recv()
        if kind == "step":
            return str(text)
        self.said = str(text)
        return None


def _step_by_step(opened: Opened, path: Path | None, pipe: Connection) -> None:
    def progress(what: str, done: int, total: int) -> None:
        if what in _CALLED:
            pipe.send(("step", what))
            pipe.recv()

    try:
        with Workbench(*opened) as wb:
            if path is None:
                wb.resume_restore(progress=progress)
            else:
                wb.restore(read_request(path), progress)
        pipe.send(("end", "done"))
    except WorkbenchError as error:
        pipe.send(("end", f"{type(error).__name__} {error.exit_code}: {error}"))
