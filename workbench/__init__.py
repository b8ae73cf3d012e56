"""The Murmurant workbench: see what an import did, find what is wrong, plan the way back.

>>> from workbench import open_workbench
>>> wb = open_workbench()  # doctest: +SKIP
>>> wb.runs()  # doctest: +SKIP

`open_workbench` is all that a notebook needs. The names here are loaded when they are first used, so that a command that
needs little starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.errors import WorkbenchError
    from workbench.plans.plan import Plan
    from workbench.runs.plan import LevelZero
    from workbench.workbench import Workbench, open_workbench

__version__ = "0.1.0"
__all__ = ["Answer", "LevelZero", "Plan", "Workbench", "WorkbenchError", "open_workbench"]

_HOME = {
    "Answer": "workbench.answer",
    "LevelZero": "workbench.runs.plan",
    "Plan": "workbench.plans.plan",
    "Workbench": "workbench.workbench",
    "WorkbenchError": "workbench.errors",
    "open_workbench": "workbench.workbench",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
