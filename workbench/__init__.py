"""The Murmurant workbench: see what an import did, find what is wrong, plan the way back.

>>> from workbench import open_workbench
>>> wb = open_workbench()  # the embedded demo; nothing can be written through it
>>> wb.runs()  # doctest: +SKIP

Names are loaded when they are first used, so that a command that needs few starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.errors import WorkbenchError
    from workbench.reporting import (
        conclude,
        show,
        show_figure,
    )
    from workbench.workbench import Workbench, open_workbench

_HOME = {
    "WorkbenchError": "workbench.errors",
    "Workbench": "workbench.workbench",
    "open_workbench": "workbench.workbench",
}

__version__ = "0.1.0"

__all__ = ["Workbench", "WorkbenchError", "conclude", "open_workbench", "show", "show_figure"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "workbench.reporting")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
