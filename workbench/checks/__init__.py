"""The checks: each a file with a header and a SELECT, or the name of a function here; found, read and run."""

from workbench.checks.finding import Finding
from workbench.checks.look import Look
from workbench.checks.registry import REGISTRY, Check
from workbench.checks.rules import choose, run_checks

__all__ = ["REGISTRY", "Check", "Finding", "Look", "choose", "run_checks"]
