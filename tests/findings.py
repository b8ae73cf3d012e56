"""Findings of the real checks, without a database."""

from __future__ import annotations

from typing import Any

from workbench.checks import REGISTRY, Finding
from workbench.checks.registry import _RISK_OF


def finding_of(check_id: str, status: Any, count: int | None = None, **more: Any) -> Finding:
    """Return a finding of a check, as if the check had this result."""
    check = REGISTRY[check_id]
    words = {name: getattr(check, name) for name in ("guide", "question", "remedy", "severity")}
    risk = check.risk or _RISK_OF.get(check.guide, "medium")
    return Finding(check.id, check.title, status, count, risk=risk, **words, **more)
