"""Duplicates for people: records side by side, what is to be looked at first, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.checks.finding import Finding, Status
from workbench.duplicates.pairs import Found
from workbench.hints import on_environment
from workbench.reporting.summaries import in_steps, listed
from workbench.reporting.tables import Shown
from workbench.reporting.verdict import Looked

DUPLICATE_CHECKS = (
    "members-duplicate-email",
    "events-duplicate",
    "registrations-split",
    "registrations-duplicate",
)
"""The checks that the report of the duplicates rests on, besides the probable ones."""


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


def duplicates_summary(found: Sequence[Found]) -> Shown:
    """Count clusters and pairs of each entity; and say what was not compared."""
    facts: dict[str, str] = {}
    for each in found:
        name = f"{each.entity}s".lower()
        if each.not_run:
            facts[name] = f"not run: {each.not_run}"
            continue
        look = len(each.clusters) - len(each.sure)
        words = [f"{len(each.sure):,} clusters sure enough to merge", f"{look:,} to look at first"]
        words += [f"{len(each.loose):,} pairs that are perhaps two"] if len(each.loose) else []
        words += [f"{each.different:,} called different"] if each.different else []
        facts[name] = ", ".join(words) if len(each.open) else "none found"
        if each.said:
            facts[f"{name}, besides"] = " ".join(each.said)
    return listed(facts)


def duplicates_table(found: Found) -> pd.DataFrame:
    """Lay the records of each cluster side by side, the one that stays first.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its number), ``stays``, ``why`` (told once for a cluster), the entity's own columns, and
        ``record_id``.
    """
    known = {row["id"]: row for row in found.records.to_dict("records")}
    own = {name: _OWN.get(name, name) for name in found.records.columns if name != "id"}
    rows = []
    for number, each in enumerate(found.clusters.to_dict("records"), 1):
        for key in sorted(each["members"], key=lambda key: (key != each["canonical"], key)):
            first = key == each["canonical"]
            rows.append(
                {
                    "cluster": number,
                    "stays": "stays" if first else "",
                    "why": _why(each) if first else "",
                    **{shown: known.get(key, {}).get(name) for name, shown in own.items()},
                    "record_id": key,
                }
            )
    return pd.DataFrame(rows, columns=["cluster", "stays", "why", *own.values(), "record_id"])


def pair_to_look_at(chances: pd.DataFrame, threshold: float) -> pd.Series[Any] | None:
    """Return the pair that most needs a person's eye: the least probable of those that are listed."""
    listed_ones = chances[chances["probability"] >= threshold]
    return listed_ones.iloc[-1] if len(listed_ones) else None


def duplicate_steps(looked: Looked, found: Sequence[Found]) -> Shown:
    """Say what to do next, as commands."""
    on = on_environment(looked.environment.name)
    steps = []
    for each in found:
        kind = each.entity.lower()
        entity = "" if kind == "member" else f" --entity {kind}"
        if len(each.sure):
            first = each.sure.iloc[0]
            others = " ".join(key for key in sorted(first["members"]) if key != first["canonical"])
            steps.append(
                f"{len(each.sure):,} clusters of {kind}s are sure. The first:"
                f" `workbench plan merge {first['canonical']} {others}{entity}{on}`; the others are listed, each with its"
                f" command, by `workbench duplicates --entity {kind}{on}`."
            )
        doubtful = each.open[~each.open["offered"].astype(bool) & (each.open["decision"] == "")]
        if len(doubtful):
            first = doubtful.iloc[0]
            steps.append(
                f"{len(doubtful):,} pairs of {kind}s need a look. Say what you find, and it is kept:"
                f" `workbench duplicates --decide {first['left']} {first['right']} same`, or `different`, or `unsure`."
            )
    steps = steps or ["Nothing appears twice, as far as could be compared."]
    return in_steps(steps)


_OWN = {"status": "registration_status"}  # a column called status would be shown as a finding's


def _why(cluster: dict[Any, Any]) -> str:
    share = cluster["probability"]
    sure = "" if share is None or share != share else f"{share:.1%}: "
    against = f". Against it: {cluster['against']}" if cluster["against"] else ""
    return f"{sure}{cluster['why']}{against}"
