"""An act in a process of its own, to be stopped, watched and killed at any of its steps."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from workbench.errors import WorkbenchError

Progress = Callable[[str, int, int], None]

# Processes are forked from one that has imported all this already: a twentieth of a second each.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "tests.plans.applying", "tests.restore.acting"])


class Stepping:
    """An act in a process of its own, that stops before each of its steps until it is told to go on.

    Parameters
    ----------
    act : callable
        A module's function: takes what is told of each step, and the arguments; returns what it says in the end.
    """

    def __init__(self, act: Callable[..., str], *arguments: Any) -> None:
        self.pipe, theirs = _PROCESSES.Pipe()
        self.process = _PROCESSES.Process(target=_step_by_step, args=(act, arguments, theirs))
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
        """Let it take some steps without waiting for it."""
        for _ in range(steps):
            self.pipe.send(None)
        self._ahead += steps

    def finish(self) -> str:
        """Let it go on to its end; return what it says, or the error and its exit code."""
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


def _step_by_step(act: Callable[..., str], arguments: tuple[Any, ...], pipe: Connection) -> None:
    def progress(what: str, done: int, total: int) -> None:
        pipe.send(("step", what))
        pipe.recv()

    try:
        said = act(progress, *arguments)
    except WorkbenchError as error:
        said = f"{type(error).__name__} {error.exit_code}: {error}"
    pipe.send(("end", said))
