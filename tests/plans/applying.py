"""An apply in a process of its own, to be stopped, watched and killed at any of its steps."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from workbench.database.connection import Database
from workbench.errors import WorkbenchError
from workbench.plans.apply import apply_plan
from workbench.plans.plan import Plan
from workbench.plans.reading import read_plan

# Processes are forked from one that has imported all this already: a twentieth of a second each.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


class Applying:
    """An apply in a process of its own, that stops before each of its steps until it is told to go on."""

    def __init__(self, database: Database, plan: Plan) -> None:
        self.pipe, theirs = _PROCESSES.Pipe()
        self.process = _PROCESSES.Process(target=_apply_step_by_step, args=(database, plan.path, theirs))
        self.process.start()
        theirs.close()
        self._ahead = 0
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
        """Let it take some steps without waiting for it."""
        for _ in range(steps):
            self.pipe.send(None)
        self._ahead += steps

    def finish(self) -> str:
        """Let it go on to its end; return what it says: ``applied``, or the error and its exit code."""
        self.go_on(1000)
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


def _apply_step_by_step(database: Database, path: Path, pipe: Connection) -> None:
    def progress(what: str, done: int, total: int) -> None:
        pipe.send(("step", what))
        pipe.recv()

    try:
        apply_plan(database, read_plan(path), operator="dana", progress=progress)
        pipe.send(("end", "applied"))
    except WorkbenchError as error:
        pipe.send(("end", f"{type(error).__name__} {error.exit_code}: {error}"))
