"""The guide's failure modes (§1.1 to §1.6), each with the findings that show it or rule it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from workbench.checks.finding import Finding

State = Literal["present", "suspected", "absent", "not known"]


class _Family(NamedTuple):
    name: str
    risk: str
    sections: tuple[str, ...]


FAMILIES = {
    "§1.1": _Family("Partial import", "medium", ("§1.1", "§2.4")),
    "§1.2": _Family("Wrong mappings", "high", ("§1.2",)),
    "§1.3": _Family("Bad tier mapping", "medium", ("§1.3",)),
    "§1.4": _Family("Duplicates", "high", ("§1.4",)),
    "§1.5": _Family("Wrong policies", "medium", ("§1.5",)),
    "§1.6": _Family("Operator error", "critical", ("§1.6",)),
    "§7.1": _Family("Dangling references", "high", ("§7.1",)),
}
"""Guide §1's modes and risk levels; and, as a seventh, what earlier repairs by hand leave behind (§7.1)."""


@dataclass(frozen=True)
class Mode:
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
    unanswered : tuple of Finding
        Those that could not run.
    unasked : tuple of Finding
        Those that nobody has configured, such as how many members there should be.
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
    def count(self) -> int:
        """How many records are at fault, at least: the most that one finding counts, since several may count the same."""
        return max((each.count or 0 for each in self.findings), default=0)

    @property
    def evidence(self) -> str:
        """What shows it, and what could not be asked, in words."""
        if self.findings or self.unanswered:
            return "; ".join(
                [
                    *(f"{each.title} ({each.count:,})" for each in self.findings),
                    *(f"{each.title}: could not be asked" for each in self.unanswered),
                ]
            )
        rest = "; ".join(f"{each.title}: not configured" for each in self.unasked)
        return f"every other check passed; {rest}" if rest else "every check passed"


def failure_modes(findings: Sequence[Finding]) -> tuple[Mode, ...]:
    """Sort findings into the guide's failure modes, in its order."""
    return tuple(_mode(section, family, findings) for section, family in FAMILIES.items())


def _mode(section: str, family: _Family, findings: Sequence[Finding]) -> Mode:
    own = [each for each in findings if each.guide in family.sections]
    shown = sorted(
        (each for each in own if each.status in {"fail", "warn"}),
        key=lambda each: (each.status != "fail", -(each.count or 0), each.check),
    )
    unanswered = tuple(each for each in own if each.status == "not run" and each.configured)
    unasked = tuple(each for each in own if each.status == "not run" and not each.configured)
    state: State = "absent" if own else "not known"
    if any(each.status == "fail" for each in shown):
        state = "present"
    elif shown:
        state = "suspected"
    elif unanswered or len(unasked) == len(own):
        state = "not known"
    return Mode(section, family.name, family.risk, state, tuple(shown), unanswered, unasked)
