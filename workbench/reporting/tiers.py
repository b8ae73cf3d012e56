"""The tiers' report in words: what was compared with what, and what is wrong."""

from __future__ import annotations

import pandas as pd

from workbench.reporting.summaries import listed
from workbench.reporting.tables import Shown
from workbench.tiers.queries import CORRECTABLE
from workbench.tiers.review import TierReview


def tier_configuration(review: TierReview) -> Shown:
    """Tell which configuration the tiers were compared with, and what it comes to."""
    mapping = review.mapping
    if mapping is None:
        return listed({"Compared with": f"nothing: {review.not_compared}"})
    facts = {
        "Compared with": f"{mapping.name} ({mapping.kind}), SHA-256 {mapping.sha256}",
        "Every other level": f"becomes {mapping.default}"
        if mapping.default
        else "is an error: there is no default",
        "Members": f"{review.members:,}, of whom {review.correctable:,} have another {review.kind} than their level's",
    }
    if review.kind == "status" and not review.beside:
        facts["Statuses"] = "No tier was ever made here, so statuses stand in"
    if mapping.ignored:
        facts["Ignored levels"] = ", ".join(mapping.ignored)
    if review.as_in_wa:
        facts["Mind"] = f"{review.as_in_wa:,} of them have the status that Wild Apricot gave their contact"
    return listed(facts | {f"Mind {number}": each for number, each in enumerate(mapping.remarks, 1)})


def tier_levels(review: TierReview) -> pd.DataFrame:
    """List what is not right of the matrix, level by level, the most members first."""
    found = review.matrix[review.matrix["finding"] != "right"]
    return found.sort_values(["members", "level"], ascending=[False, True], kind="stable").reset_index(
        drop=True
    )


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
