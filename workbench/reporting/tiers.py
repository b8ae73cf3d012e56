"""Which levels' members are to be corrected, for a panel."""

from __future__ import annotations

import pandas as pd

from workbench.tiers.review import CORRECTABLE, TierReview


def tier_corrections(review: TierReview) -> pd.DataFrame:
    """List the levels whose members have another tier than it gives, or none, the most members first.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``expected``, ``members`` (how many have another), ``found`` (which, and how many each).
    """
    wrong = review.matrix[review.matrix["finding"].isin(CORRECTABLE)]
    rows = [
        (
            level,
            part["expected"].iloc[0],
            int(part["members"].sum()),
            ", ".join(
                f"{'none' if actual is None or actual != actual else actual}: {members:,}"
                for actual, members in zip(part["actual"], part["members"], strict=True)
            ),
        )
        for level, part in wrong.groupby("level", sort=True)
    ]
    found = pd.DataFrame(rows, columns=["level", "expected", "members", "found"])
    return found.sort_values(["members", "level"], ascending=[False, True], kind="stable").reset_index(
        drop=True
    )
