"""A restore in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.stepping import Progress, Stepping
from workbench.database.connection import Database
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.snapshots.restore.request import Request
from workbench.snapshots.restore.steps import STEPS
from workbench.workbench import Workbench

_CALLED = {step.called for steps in STEPS.values() for step in steps} | {"done"}

Opened = tuple[Database, EnvironmentSettings, Settings]


class Acting(Stepping):
    """A restore that stops before each of its steps; it says ``done`` in the end. Without a request it resumes."""

    def __init__(self, opened: Opened, request: Path | None) -> None:
        super().__init__(_restore, opened, request)


def _restore(progress: Progress, opened: Opened, path: Path | None) -> str:
    def called(what: str, done: int, total: int) -> None:
        if what in _CALLED:  # not what is told within a step
            progress(what, done, total)

    with Workbench(Session(*opened)) as wb:
        if path is None:
            wb.restores.resume(progress=called)
        else:
            wb.restores.carry_out(Request.read(path), called)
    return "done"
