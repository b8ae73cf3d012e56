"""Triage: which of the guide's failures are here, the ways out side by side, and which to take (guide §1, §3, §4)."""

from __future__ import annotations

from workbench.triage.answer import triage_answer
from workbench.triage.modes import Mode, failure_modes
from workbench.triage.recommending import recommend
from workbench.triage.ways import Way

__all__ = ["Mode", "Way", "failure_modes", "recommend", "triage_answer"]
