"""Wrong mappings for a panel: the corrections the traces tell, and the swaps and cycles that a choice is part of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd
from markupsafe import Markup

from workbench.mappings.problems import cycles_of, sure_corrections
from workbench.reporting.tables import Shown, table, visible

MAPPING_CHECKS = (
    "members-wrong-person",
    "events-wrong-record",
    "registrations-wrong-event",
    "mappings-missing",
    "mappings-duplicate",
    "mappings-shared-target",
    "mappings-orphaned",
    "records-imported-twice",
)
"""The checks that the report of the mappings rests on."""


def mapping_corrections(problems: pd.DataFrame, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return where the traces say that some mappings should lead: what `Mappings.plan` takes.

    Parameters
    ----------
    problems : pandas.DataFrame
        See `MappingFindings.problems`.
    keys : collection of str, optional
        Of mappings (``Member/50012``); else those that need no more asking, a cycle as a whole or not at all.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``new_id``, ``reason``; of an id of which nothing tells, no row.
    """
    if keys is None:
        return sure_corrections(problems)
    named = (problems["entity"] + "/" + problems["wa_id"]).isin(keys)
    told = problems[named & (problems["should_be"] != "")]
    # Of several problems of one id the surest says where it should lead.
    told = told.sort_values("sure", ascending=False, kind="stable").drop_duplicates(["entity", "wa_id"])
    rows = told[["entity", "wa_id", "should_be", "evidence"]].reset_index(drop=True)
    return rows.set_axis(["entity", "wa_id", "new_id", "reason"], axis=1)


def mapping_circles(problems: pd.DataFrame, keys: Collection[str], unmask: bool = False) -> Shown:
    """Show the swaps and cycles that some mappings are part of, whole, and say which part is missing.

    Parameters
    ----------
    keys : collection of str
        Of mappings (``Member/50012``).
    """
    from workbench.mappings.questions import mapping_table

    told, places = [], []
    for circle in cycles_of(problems):
        named = [key for key in circle if key in keys]
        if named:
            told.append(_circle_in_words(circle, named))
            places += circle
    if not told:
        return Shown("", "")
    rows = problems[(problems["entity"] + "/" + problems["wa_id"]).isin(places) & (problems["cycle"] != "")]
    shown = mapping_table(rows).drop(columns=["problem", "title"])
    laid = table(shown, "The whole of it: each id leads to the record of the next", unmask, limit=40)
    said = Markup("").join(Markup("<p>{}</p>").format(visible(each)) for each in told)
    return Shown(said + Markup(laid.html), "\n".join((*told, laid.text)))


def _circle_in_words(circle: Sequence[str], named: Sequence[str]) -> str:
    kind = "a swap" if len(circle) == 2 else f"a cycle of {len(circle)}"
    drawn = " → ".join((*circle, circle[0]))
    others = [key for key in circle if key not in named]
    if not others:
        return f"{drawn} is {kind}, and all of it is chosen: it is corrected as one."
    if len(circle) == 2:
        return (
            f"{named[0]} is one half of a swap; the other half is {others[0]}. Each leads to the other's record:"
            " corrected alone, the other half would stay wrong, and two ids would lead to one record."
        )
    return (
        f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} part of {kind}: {drawn}. Without"
        f" {' and '.join(others)} the rest would stay wrong, and two ids would lead to one record."
    )
