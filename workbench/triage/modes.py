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
    section, name, risk : str
        As the guide has them.
    state : {"present", "suspected", "absent", "not known"}
        ``present`` when a check of it failed, ``suspected`` when one warns, ``absent`` only when every one that
        is configured here ran, and passed or was waived, else ``not known``.
    findings : tuple of Finding
        Those that show it, the gravest first.
    unanswered, unasked : tuple of Finding
        Those that could not run; those that nobody has configured, such as how many members there should be.
    """

    section: str
    name: str
    risk: str
    state: State
    findings: tuple[Finding, ...] = ()
    unanswered: tuple[Finding, ...] = ()
    unasked: tuple[Finding, ...] = ()

    @property
    def here(self) -> bool:
        """Whether it is present or suspected."""
        return self.state in {"present", "suspected"}

    @property
    def rows(self) -> int | None:
        """How many records are at fault, at least: the most that one finding counts, since several may count the same."""
        return max(each.count or 0 for each in self.findings) if self.findings else None

    @property
    def evidence(self) -> str:
        """What shows it, and what could not be asked, in words."""
        told = [f"{each.title} ({each.count:,})" for each in self.findings]
        told += [f"{each.title}: could not be asked" for each in self.unanswered]
        if told:
            return "; ".join(told)
        rest = "; ".join(f"{each.title}: not configured" for each in self.unasked)
        return f"every other check passed; {rest}" if rest else "every check passed"


def failure_modes(findings: Sequence[Finding]) -> tuple[Mode, ...]:
    """Sort findings into the guide's failure modes, in its order."""
    modes = []
    for section, (name, risk) in MODES.items():
        own = [each for each in findings if _ALSO.get(each.guide, each.guide) == section]
        shown = [each for each in own if each.status in {"fail", "warn"}]
        shown.sort(key=lambda each: (each.status != "fail", -(each.count or 0), each.check))
        silent = [each for each in own if each.status == "not run"]
        unanswered = tuple(each for each in silent if each.configured)
        unasked = tuple(each for each in silent if not each.configured)
        state: State = "not known" if unanswered or len(unasked) == len(own) else "absent"
        if shown:
            state = "present" if shown[0].status == "fail" else "suspected"
        modes.append(Mode(section, name, risk, state, tuple(shown), unanswered, unasked))
    return tuple(modes)
