"""Two records, or more, side by side: what differs, why they match, and what speaks against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from workbench.duplicates.matching import evidence
from workbench.duplicates.pairs import Found
from workbench.duplicates.records import Beside
from workbench.reporting.masking import DOTS, mask
from workbench.reporting.tables import DASH, LONGEST, Shown, heading, listed, shorten, table, text_of

_BEFORE = 24  # characters shown before the first difference of long texts
_WORTH_TELLING = 0.05  # bits
_EMPTY = "empty"
_MARKS = {"differs": "≠", "in part": "◐", "same": "="}


def pairs_to_review(found: Found) -> pd.DataFrame:
    """Lay every pair out as one row, for people to choose from.

    Returns
    -------
    pandas.DataFrame
        ``decision`` (a dash before there is one), ``probability`` in percent, what people know the left and the
        right one by, ``why``, ``against``, ``decided_by``, ``remark``, and ``pair_ids`` (both ids, the row's key).
    """
    known = found.records.set_index("id")
    columns: dict[str, Any] = {
        "decision": list(found.pairs["decision"]),
        "percent_sure": [
            None if share != share else round(share * 100, 1) for share in found.pairs["probability"]
        ],
    }
    for side in ("left", "right"):
        of_side = known.reindex(found.pairs[side])
        if {"first_name", "last_name"} & set(known.columns):
            parts = [of_side[each].fillna("") for each in ("first_name", "last_name") if each in of_side]
            columns[f"{side}_name"] = [
                " ".join(filter(None, map(str, each))) for each in zip(*parts, strict=True)
            ]
        for name in known.columns:
            if name in _TOLD:
                columns[f"{side}_{name}"] = list(of_side[name])
    for name in ("why", "against", "decided_by", "remark"):
        columns[name] = list(found.pairs[name])
    columns["pair_ids"] = list(found.pairs["left"] + " " + found.pairs["right"])
    return pd.DataFrame(columns)


_TOLD = ("email", "title", "start", "event_id", "member_id", "status")


def records_side_by_side(beside: Beside, unmask: bool = False) -> Shown:
    """Lay records side by side, field by field, what differs marked by a sign, a word and its letters.

    What is masked is still compared as it is: two addresses that look alike behind their dots say that they differ.
    Fields that are empty in all of them are named below.
    """
    rows: list[tuple[str, str, list[Markup]]] = []
    empty, counts = list[str](), Counter[str]()
    for frame in (beside.told, beside.records):
        shown = mask(frame, unmask)
        for name in [each for each in frame.columns if each != "id"]:
            verdict = _verdict(frame[name].tolist())
            counts[verdict] += 1
            if verdict == _EMPTY:
                empty.append(heading(name))
            else:
                texts = [text_of(value, name) for value in shown[name]]
                rows.append((heading(name), verdict, _cells(texts, verdict == "differs")))
    referring = {"Rows that refer to it": beside.associations}
    counted = beside.referring[["child", "column", "id", "rows"]].sort_values(["child", "column"])
    for child, column, key, count in counted.itertuples(index=False):
        referring.setdefault(f"in {child}.{column}", {})[key] = int(count)
    rows += [
        (what, "", [Markup(f"{of.get(each, 0):,}") for each in beside.ids]) for what, of in referring.items()
    ]
    caption = f"Side by side: {counts['differs']} fields differ, {counts['in part']} are filled in part"
    stays = {beside.canonical: " (would stay)"}
    title = Markup('Record {}{}<br><span class="wb-id">{}</span>')
    titles = [title.format(number, stays.get(each, ""), each) for number, each in enumerate(beside.ids, 1)]
    sign = Markup('<span class="wb-row-{}"><span aria-hidden="true">{}</span> {}</span>')
    cells = [
        (name, verdict and sign.format(verdict.replace(" ", "-"), _MARKS[verdict], verdict), *values)
        for name, verdict, values in rows
    ]
    note = Markup('<p class="wb-note">Empty in all of them: {}</p>').format(", ".join(empty))
    return Shown(table(caption, ["Field", "", *titles], cells, note if empty else "", kind=" wb-beside"))


def pair_evidence(found: Found, left: str, right: str) -> Shown:
    """Say why two records match, what speaks against it, and what was said of them before."""
    of_it = found.pairs[(found.pairs["left"] == left) & (found.pairs["right"] == right)]
    if of_it.empty:
        return listed({"why they match": "Nothing brought these two together."})
    each = of_it.iloc[0]
    share = each["probability"]
    facts = {
        "how sure": f"{share:.1%}" if share == share else "not told as a probability",
        "why they match": each["why"] or DASH,
        "what speaks against it": each["against"] or "nothing that was compared",
    }
    if (chance := found.chance(left, right)) is not None:
        bits = evidence(chance).items()
        told = [f"{words} {worth:+.1f}" for words, worth in bits if abs(worth) >= _WORTH_TELLING]
        facts["in bits of evidence"] = "; ".join(told)
    if each["decision"]:
        facts["said of them"] = f"{each['decision']}, by {each['decided_by']}"
    return listed(facts)


def not_reviewed(found: Found, members: Sequence[str]) -> list[str]:
    """Return the records that are in a cluster with some others, and were not called the same as they."""
    near = {each for cluster in found.clusters["members"] if set(cluster) & set(members) for each in cluster}
    return sorted(near - set(members))


def _verdict(values: Sequence[Any]) -> str:
    """Tell whether values differ; a value beside nothing is no contradiction, and so no difference of that kind."""
    said = {str(each) for each in values if text_of(each).strip() not in ("", DASH)}
    if not said:
        return _EMPTY
    if len(said) > 1:
        return "differs"
    return "in part" if any(str(each) not in said for each in values) else "same"


def _cells(texts: list[str], differ: bool) -> list[Markup]:
    """Mark what lies between the letters that differing texts begin and end with; what is long is cut so that it is seen."""
    if not differ or DOTS in "".join(texts):
        return [Markup('<span title="{}">{}</span>').format(text[:1000], shorten(text)) for text in texts]
    start = _agreeing(texts)
    end = _agreeing([text[start:][::-1] for text in texts])
    skipped = max(start - _BEFORE, 0) if max(map(len, texts)) > LONGEST else 0
    cell = Markup('<span>{}<mark class="wb-differs">{}</mark>{}</span>')
    cells = []
    for text in texts:
        before = "…" * bool(skipped) + text[skipped:start]
        stop = len(text) - end
        cells.append(cell.format(before, shorten(text[start:stop]), shorten(text[stop:], _BEFORE)))
    return cells


def _agreeing(texts: list[str]) -> int:
    """Return how many letters all texts begin with."""
    letters = enumerate(zip(*texts, strict=False))
    return next((at for at, each in letters if len(set(each)) > 1), min(map(len, texts)))
