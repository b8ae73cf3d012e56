"""The checks: each a file with a header and a SELECT, or with a header that names a function of this package."""

from workbench.checks.finding import Finding
from workbench.checks.look import Look
from workbench.checks.registry import REGISTRY, Check, choose, run_checks

__all__ = ["REGISTRY", "Check", "Finding", "Look", "choose", "run_checks"]
