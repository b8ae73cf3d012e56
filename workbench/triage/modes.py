"""The guide's failure modes (§1.1 to §1.6), each with the findings that show it or rule it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from workbench.checks.finding import Finding

State = Literal["present", "suspected", "absent", "not known"]

MODES = {
    "§1.1": ("Partial import", "medium"),
    "§1.2": ("Wrong mappings", "high"),
    "§1.3": ("Bad tier mapping", "medium"),
    "§1.4": ("Duplicates", "high"),
    "§1.5": ("Wrong policies", "medium"),
    "§1.6": ("Operator error", "critical"),
    "§7.1": ("Dangling references", "high"),
}
"""Guide §1's modes and risk levels; and, as a seventh, what earlier repairs by hand leave behind (§7.1)."""

_ALSO = {"§2.4": "§1.1"}
"""Sections whose checks show a mode of another."""


class Mode(NamedTuple):
    """One failure mode, and what is known of it here.

    Attributes
    ----------
    guide, mode, risk : str
        Its section, name and risk, as the guide has them.
    state : {"present", "suspected", "absent", "not known"}
        ``present`` when a check of it failed, ``suspected`` when one warns, ``absent`` only when every one that
        is configured here ran, and passed or was waived, else ``not known``.
    rows : int or None
        How many records are at fault, at least: the most that one finding counts, since several may count the same.
    evidence : str
        What shows it, and what could not be asked, in words.
    findings, unanswered : tuple of Finding
        Those that show it, the gravest first; those that could not run.
    """

    guide: str
    mode: str
    risk: str
    state: State
    rows: int | None
    evidence: str
    findings: tuple[Finding, ...] = ()
    unanswered: tuple[Finding, ...] = ()


def failure_modes(findings: Sequence[Finding]) -> list[Mode]:
    """Sort findings into the guide's failure modes, in its order."""
    modes = []
    for section, (name, risk) in MODES.items():
        own = [finding for finding in findings if _ALSO.get(finding.guide, finding.guide) == section]
        bad = [finding for finding in own if finding.status in {"fail", "warn"}]
        bad.sort(key=lambda finding: (finding.status != "fail", -(finding.count or 0), finding.check))
        unanswered = [finding for finding in own if finding.status == "not run" and finding.configured]
        unasked = [finding for finding in own if finding.status == "not run" and not finding.configured]
        if bad:
            state: State = "present" if bad[0].status == "fail" else "suspected"
        else:
            state = "not known" if unanswered or len(unasked) == len(own) else "absent"
        words = [f"{finding.title} ({finding.count:,})" for finding in bad]
        words += [f"{finding.title}: could not be asked" for finding in unanswered]
        if not words:
            words = ["every other check passed" if unasked else "every check passed"]
            words += [f"{finding.title}: not configured" for finding in unasked]
        rows = max((finding.count or 0 for finding in bad), default=None)
        modes.append(Mode(section, name, risk, state, rows, "; ".join(words), (*bad,), (*unanswered,)))
    return modes
