"""Members who are probably one person: as a finding among the others, and the pair that most needs a look."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.checks.finding import Finding, Status
from workbench.duplicates.pairs import Found


def probable_finding(found: Found) -> Finding:
    """Return the answer to whether members are probably one person, as one finding among the others.

    What was left uncompared may hide another pair: then nothing found is no pass.
    """
    rows = found.open[found.open["kind"] == "probable"].copy() if not found.not_run else pd.DataFrame()
    if len(rows):
        rows.insert(0, "key", rows["left"] + " " + rows["right"])
    reason = found.not_run or "; ".join(found.uncompared)
    status: Status = "warn" if len(rows) else "not run" if reason else "pass"
    shown = rows[["key", "probability", "why", "against"]] if len(rows) else rows
    return Finding(
        "members-probably-one",
        "Members who are probably one person, though no address says so",
        status,
        None if status == "not run" else len(rows),
        shown.reset_index(drop=True),
        reason,
        guide="§1.4",
        question="Is there nobody who appears twice, under another name, address or number?",
        remedy="Look at each pair, say whether it is one person (`workbench duplicates --decide LEFT RIGHT WORD`), and merge what is (§4.4).",
        severity="warn",
        risk="high",
    )


def pair_to_look_at(chances: pd.DataFrame, threshold: float) -> pd.Series[Any] | None:
    """Return the pair that most needs a person's eye: the least probable of those that are listed."""
    listed_ones = chances[chances["probability"] >= threshold]
    return listed_ones.iloc[-1] if len(listed_ones) else None
