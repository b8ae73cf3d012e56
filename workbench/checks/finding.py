"""A finding: the result of a check, with its title, section, question and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal

import pandas as pd

Status = Literal["pass", "fail", "warn", "not run", "waived"]
Severity = Literal["fail", "warn"]

SAMPLE = 20
"""The default number of rows in a finding."""

RISKS = ("critical", "high", "medium")
"""How urgent a finding is, by the guide's rating of its section (§1)."""


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes
    ----------
    check, title : str
        Its id, for commands and waivers; and its name for people.
    status : {"pass", "fail", "warn", "not run", "waived"}
        Never ``pass`` if it could not run.
    count : int or None
        The number of records at fault, by `culprits`; None if it did not run.
    rows : pandas.DataFrame
        A sample of them, with ``key`` as the first column.
    reason : str
        Why it did not run, or who waived it and why.
    guide : str
        Section of the guide, such as ``§1.2``.
    question, remedy : str
        What was asked, and what to do when the answer is bad.
    severity : {"fail", "warn"}
        The status if there are rows.
    risk : {"critical", "high", "medium"}
        How urgent it is.
    query : str
        The SQL; empty if there is none.
    seconds : float
        Duration.
    configured : bool
        False if it did not run because a setting is missing.
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
        """Whether it is neither a pass nor waived."""
        return self.status in {"fail", "warn", "not run"}

    @property
    def open(self) -> bool:
        """Whether it needs attention: bad, and not merely not configured."""
        return self.bad and self.configured


def culprits(rows: pd.DataFrame) -> int:
    """Count the records in rows: by the column ``records`` or ``missing`` where there is one, else one per row."""
    counted = next((rows[name] for name in ("records", "missing") if name in rows), None)
    return len(rows) if counted is None else int(counted.fillna(1).sum())


def about_run(findings: Sequence[Finding], run_id: str) -> list[Finding]:
    """Restrict findings about runs to one run, if one is named.

    A finding whose sample may have left out rows of the run stays unchanged.
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
    """Return the sort key of a section such as ``§1.2``."""
    return tuple(int(part) for part in guide.strip("§").split(".") if part)
