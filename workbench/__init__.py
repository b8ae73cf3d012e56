"""The Murmurant workbench: see what an import did, find what is wrong, plan the way back.

>>> from workbench import open_workbench
>>> wb = open_workbench()  # doctest: +SKIP
>>> wb.runs()  # doctest: +SKIP

Everything a notebook needs is a name of this module, loaded when it is first used, so that a
command that needs little starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.checks.tiers import TIER_CHECKS
    from workbench.duplicates.pairs import Found
    from workbench.duplicates.records import Beside
    from workbench.duplicates.request import MERGE_RULES
    from workbench.errors import WorkbenchError
    from workbench.mappings.problems import MappingFindings
    from workbench.migration.preflight import Preflight
    from workbench.plans.plan import Plan
    from workbench.reporting import *
    from workbench.reporting.runner import ReportResult
    from workbench.runs.telling import LevelZero
    from workbench.tiers.review import TierReview
    from workbench.workbench import Workbench, open_workbench

__version__ = "0.1.0"

_HOME = {
    "Beside": "workbench.duplicates.records",
    "Found": "workbench.duplicates.pairs",
    "MERGE_RULES": "workbench.duplicates.request",
    "LevelZero": "workbench.runs.telling",
    "MappingFindings": "workbench.mappings.problems",
    "Plan": "workbench.plans.plan",
    "Preflight": "workbench.migration.preflight",
    "ReportResult": "workbench.reporting.runner",
    "TIER_CHECKS": "workbench.checks.tiers",
    "TierReview": "workbench.tiers.review",
    "WorkbenchError": "workbench.errors",
    "Workbench": "workbench.workbench",
    "open_workbench": "workbench.workbench",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name, "workbench.reporting")
    if name.startswith("_") or not hasattr(module := import_module(home), name):
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return [*_HOME, *(name for name in vars(import_module("workbench.reporting")) if name[0] != "_")]
