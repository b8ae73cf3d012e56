"""A finding: what a question came to, with its own title, section, question and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal

import pandas as pd

Status = Literal["pass", "fail", "warn", "not run", "waived"]
Severity = Literal["fail", "warn"]

SAMPLE = 20
"""How many of the rows found a finding carries, unless asked for more."""

RISKS = ("critical", "high", "medium")
"""How urgent a finding is, as the guide rates its section (§1)."""


@dataclass(frozen=True)
class Finding:
    """The answer of one check, or of whatever else comes to a pass or a fail.

    Attributes
    ----------
    check, title : str
        Its id, for commands and waivers; and for people.
    status : {"pass", "fail", "warn", "not run", "waived"}
        Never ``pass`` when it could not run.
    count : int or None
        How many of what its title names are at fault, by `culprits`; None when it did not run.
    rows : pandas.DataFrame
        A sample of them, with their ``key`` first.
    reason : str
        Why it did not run, or who waived it and why.
    guide : str
        Section of the guide, such as ``§1.2``.
    question, remedy : str
        In plain words: what was asked, and what to do when the answer is bad.
    severity : {"fail", "warn"}
        What rows at fault make of it.
    risk : {"critical", "high", "medium"}
        How urgent it is.
    query : str
        The SQL that was asked; empty where the answer came from elsewhere.
    seconds : float
        How long it took.
    configured : bool
        False when it did not run because nobody configured what it needs.
    """

    check: str
    title: str
    status: Status
    count: int | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    reason: str = ""
    _: KW_ONLY
    guide: str = ""
    question: str = ""
    remedy: str = ""
    severity: Severity = "fail"
    risk: str = "medium"
    query: str = ""
    seconds: float = 0.0
    configured: bool = True

    @property
    def bad(self) -> bool:
        """Whether it is anything but a pass or a waiver."""
        return self.status in {"fail", "warn", "not run"}

    @property
    def open(self) -> bool:
        """Whether somebody has to look at it: bad, and not merely never configured."""
        return self.bad and self.configured


def culprits(rows: pd.DataFrame) -> int:
    """Count what rows stand for: one each, or as many ``records`` (``missing`` ones) as a row says, one where it does not."""
    counted = next((rows[name] for name in ("records", "missing") if name in rows), None)
    return len(rows) if counted is None else int(counted.fillna(1).sum())


def about_run(findings: Sequence[Finding], run_id: str) -> list[Finding]:
    """Narrow findings about runs down to one run, if one is named: what they say of others is not its fault.

    A finding whose sample is too short to tell stays as it is.
    """
    narrowed = []
    for finding in findings:
        if run_id and finding.bad and "key" in finding.rows:
            by = "run" if "run" in finding.rows else "key"
            mine = finding.rows[finding.rows[by].astype(str) == run_id]
            if len(mine):
                finding = replace(finding, rows=mine, count=culprits(mine))
            elif finding.count == culprits(finding.rows):
                finding = replace(finding, status="pass", rows=finding.rows.head(0), count=0)
        narrowed.append(finding)
    return narrowed


def section(guide: str) -> tuple[int, ...]:
    """Return where a section such as ``§1.2`` stands in the guide."""
    return tuple(int(part) for part in guide.strip("§").split(".") if part)
