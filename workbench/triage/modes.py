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

    @property
    def here(self) -> bool:
        """Whether it is present or suspected."""
        return self.state in {"present", "suspected"}


def failure_modes(findings: Sequence[Finding]) -> list[Mode]:
    """Sort findings into the guide's failure modes, in its order."""
    modes = []
    for section, (name, risk) in MODES.items():
        own = [each for each in findings if _ALSO.get(each.guide, each.guide) == section]
        shown = [each for each in own if each.status in {"fail", "warn"}]
        shown.sort(key=lambda each: (each.status != "fail", -(each.count or 0), each.check))
        unanswered = [each for each in own if each.status == "not run" and each.configured]
        unasked = [each for each in own if each.status == "not run" and not each.configured]
        state: State = "not known" if unanswered or len(unasked) == len(own) else "absent"
        if shown:
            state = "present" if shown[0].status == "fail" else "suspected"
        told = [f"{each.title} ({each.count:,})" for each in shown]
        told += [f"{each.title}: could not be asked" for each in unanswered]
        if not told:
            told = ["every other check passed" if unasked else "every check passed"]
            told += [f"{each.title}: not configured" for each in unasked]
        rows = max(each.count or 0 for each in shown) if shown else None
        modes.append(Mode(section, name, risk, state, rows, "; ".join(told), (*shown,), (*unanswered,)))
    return modes
