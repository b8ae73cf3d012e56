"""The tiers' report in words: what was compared with what, what changed since, and what is kept for the next one."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd
from markupsafe import Markup
from sqlalchemy import Connection

from workbench.investigate.tiers.drift import TierDrift, tiers_kept
from workbench.investigate.tiers.reviewing import TierReview
from workbench.investigate.tiers.statements import CORRECTABLE
from workbench.murmurant.schema import Schema
from workbench.reporting.charts import tier_drift_chart
from workbench.reporting.drawing import show_figure
from workbench.reporting.summaries import listed
from workbench.reporting.tables import Shown, show


class Opened(Protocol):
    """What `tier_facts` needs of an opened workbench."""

    @property
    def schema(self) -> Schema:
        """Murmurant's tables."""

    def reading(self) -> Any:
        """Give a connection in a read-only transaction."""


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


def tier_changes(drift: TierDrift | None) -> Shown:
    """Draw what changed since an earlier report; say so when none was named."""
    if drift is None:
        told = "No earlier report was named (-p since FILE), so nothing is known of what changed."
        return Shown(Markup('<p class="wb-note">{}</p>').format(told), told)
    figure = show_figure(tier_drift_chart(drift.tiers))
    when = f" of {drift.earlier.made_at}" if drift.earlier.made_at else ""
    facts = {"Compared with": f"{drift.earlier.name}{when}"}
    words = listed(facts | {f"Mind {number}": each for number, each in enumerate(drift.notes, 1)})
    return Shown(words.html + figure.html, f"{words.text}\n{figure.text}")


def tier_moves(drift: TierDrift | None, unmask: bool = False) -> Shown:
    """List who moved since, as far as the earlier report kept it."""
    if drift is None or drift.moved is None:
        told = "Who moved is not known."
        return Shown(Markup('<p class="wb-note">{}</p>').format(told), told)
    return show(drift.moved, "Who moved", unmask, limit=60)


def tier_facts(opened: Opened) -> dict[str, Any]:
    """Return what the verdict keeps of the tiers, so that a later report can tell what changed."""
    connection: Connection
    with opened.reading() as connection:
        return {"tiers": tiers_kept(connection, opened.schema)}
