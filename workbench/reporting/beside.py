"""Records side by side: what differs, why they match, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.duplicates.matching import evidence
from workbench.duplicates.pairs import Matches
from workbench.duplicates.records import SideBySide
from workbench.reporting.masking import mask
from workbench.reporting.tables import DASH, Shown, heading, listed, show, text_of

_SMALLEST_WEIGHT = 0.05  # bits
_DESCRIBING = ("email", "title", "start", "event_id", "member_id", "status")


def pairs_to_review(matches: Matches) -> pd.DataFrame:
    """Return a row for each pair, for people to choose from.

    Returns
    -------
    pandas.DataFrame
        ``decision`` (a dash before there is one), ``percent_sure``, columns that describe the left and the right
        record, ``why``, ``against``, ``decided_by``, ``remark``, and ``pair_ids`` (both ids, the row's key).
    """
    pairs, records = matches.pairs, matches.records.set_index("id")
    columns: dict[str, Any] = {
        "decision": pairs["decision"],
        "percent_sure": (pairs["probability"].astype(float) * 100).round(1),
    }
    names = records.reindex(columns=["first_name", "last_name"], fill_value="").fillna("").astype(str)
    for side in ("left", "right"):
        if {"first_name", "last_name"} & {*records}:
            full = (names["first_name"] + " " + names["last_name"]).str.strip()
            columns[f"{side}_name"] = full.reindex(pairs[side]).to_list()
        for name in (name for name in records if name in _DESCRIBING):
            columns[f"{side}_{name}"] = records[name].reindex(pairs[side]).to_list()
    columns |= {name: pairs[name] for name in ("why", "against", "decided_by", "remark")}
    return pd.DataFrame({**columns, "pair_ids": pairs["left"] + " " + pairs["right"]})


def records_side_by_side(beside: SideBySide, unmask: bool = False) -> Shown:
    """Show records field by field, with what differs marked; fields that are empty in all of them are left out.

    The original values are compared, also where they are masked.
    """
    rows: list[tuple[Any, ...]] = [("Record", "", *beside.ids)]
    for frame in (beside.linked.drop(columns="id"), beside.records.drop(columns="id")):
        shown = mask(frame, unmask)
        for name in frame:
            texts = [text_of(value, name) for value in shown[name]]
            rows.append((heading(name), _compare(frame[name].tolist()), *texts))
    rows.append(("Rows that refer to it", "", *(beside.associations.get(key, 0) for key in beside.ids)))
    counts = beside.referring.pivot_table("rows", ["child", "column"], "id", "sum", fill_value=0)
    for column, *numbers in counts.reindex(columns=beside.ids, fill_value=0).itertuples():
        rows.append((f"in {'.'.join(column)}", "", *numbers))
    titles = [
        f"record {number}{', stays' * (key == beside.canonical)}" for number, key in enumerate(beside.ids, 1)
    ]
    table = pd.DataFrame(rows, columns=["field", "status", *titles], dtype=object)
    table = table[table["status"] != "empty"]
    counted = table["status"].value_counts()
    differ, partly = counted.get("differs", 0), counted.get("in part", 0)
    caption = f"Side by side: {differ} fields differ, {partly} are partly empty"
    return show(table, caption, unmask=True, limit=len(table), kind="wb-beside")


def pair_evidence(matches: Matches, left: str, right: str) -> Shown:
    """Show why two records match, what speaks against it, and the decision about them."""
    pairs = matches.pairs[(matches.pairs["left"] == left) & (matches.pairs["right"] == right)]
    if pairs.empty:
        return listed({"why they match": "These two were not compared."})
    pair = pairs.iloc[0]
    probability = "unknown" if pd.isna(pair["probability"]) else f"{pair['probability']:.1%}"
    facts = {
        "probability": probability,
        "why they match": pair["why"] or DASH,
        "what speaks against it": pair["against"] or "nothing that was compared",
    }
    if (chance := matches.chance(left, right)) is not None:
        bits = evidence(chance).items()
        weights = [f"{words} {weight:+.1f}" for words, weight in bits if abs(weight) >= _SMALLEST_WEIGHT]
        facts["bits of evidence"] = "; ".join(weights)
    if pair["decision"]:
        facts["decision"] = f"{pair['decision']}, by {pair['decided_by']}"
    return listed(facts)


def not_reviewed(matches: Matches, members: Sequence[str]) -> list[str]:
    """Return the other records in the clusters of some records."""
    clusters = [cluster for cluster in matches.clusters["members"] if {*cluster} & {*members}]
    return sorted({key for cluster in clusters for key in cluster} - {*members})


def _compare(values: Sequence[Any]) -> str:
    """Return ``differs``, ``same``, ``in part`` (some are empty) or ``empty``."""
    filled = [str(value) for value in values if text_of(value).strip() not in ("", DASH)]
    if len({*filled}) > 1:
        return "differs"
    return "empty" if not filled else "same" if len(filled) == len(values) else "in part"
