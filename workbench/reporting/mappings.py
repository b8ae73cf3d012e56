"""Wrong mappings for people: the table, worst first, and what to do next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from workbench.hints import on_environment
from workbench.mappings.problems import PROBLEMS, MappingFindings, cycles_of, sure_corrections
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.reporting.summaries import in_steps, listed
from workbench.reporting.tables import Shown, table, visible
from workbench.reporting.verdict import Looked

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


def mapping_summary(found: MappingFindings) -> Shown:
    """Count the problems by kind, in words; and say what could not be found out."""
    counts = found.problems["problem"].value_counts()
    facts = {name: f"{counts[name]:,}: {words}" for name, words in PROBLEMS.items() if name in counts}
    circles = cycles_of(found.problems)
    if circles:
        facts["swaps and cycles"] = "; ".join(" → ".join((*each, each[0])) for each in circles[:8])
    if len(circles) > 8:
        facts["swaps and cycles"] += f"; and {len(circles) - 8:,} more"
    if found.without_mapping:
        facts["made by a CSV import"] = csv_remark(found)
    facts |= {f"not known ({number})": each for number, each in enumerate(found.not_known, 1)}
    return listed(facts or {"mappings": "no problem found"})


def mapping_table(problems: pd.DataFrame) -> pd.DataFrame:
    """Put problems into the words of a table that is read late at night.

    Returns
    -------
    pandas.DataFrame
        ``problem``, ``mapping_key``, ``how_surely``, ``why``, ``contact``, ``person``, ``title``,
        ``leads_to_id`` and ``should_be_id``.
    """
    rows = problems.to_dict("records")
    return pd.DataFrame(
        {
            "problem": problems["problem"],
            "mapping_key": problems["entity"] + "/" + problems["wa_id"],
            "how_surely": [_surely(row["score"]) for row in rows],
            "why": [_why(row) for row in rows],
            "contact": problems["contact"],
            "person": problems["person"],
            "title": problems["title"],
            "leads_to_id": problems["target"],
            "should_be_id": problems["should_be"],
        }
    )


def mapping_steps(looked: Looked, found: MappingFindings) -> Shown:
    """Say what to do next, as commands."""
    on = on_environment(looked.environment.name)
    corrections = sure_corrections(found.problems)
    moves = " --move-records" if found.registrations["moves"].any() else ""
    unsure = found.problems[~found.problems["sure"] & found.problems["problem"].str.startswith("wrong-")]
    steps = []
    if len(corrections):
        steps += [
            f"{len(corrections):,} corrections are sure. `workbench mappings --csv corrections.csv{on}` writes them as a"
            " table; read it, and leave out what you know better.",
            f"`workbench plan mapping --from corrections.csv{moves}{on}` plans them as one; nothing is written yet.",
        ]
    if len(unsure):
        first = unsure.iloc[0]
        steps.append(
            f"{len(unsure):,} are not sure: find out who each one is, then"
            f" `workbench plan mapping {first['entity']} {first['wa_id']} NEW_ID{on}`."
        )
    if (found.problems["problem"] == "shared-target").any():
        steps.append(
            f"Two ids on one record are mostly one contact who was twice in Wild Apricot. `workbench duplicates{on}` and"
            " Wild Apricot itself tell; never delete the member for it."
        )
    steps += [f"{said}: `workbench {command}{on}`." for said, command in other_steps(found.problems)]
    steps = steps or ["Nothing is wrong, as far as the traces tell."]
    return in_steps(steps)


def other_steps(problems: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what to do about ids that are lost or became two records: in words, and the command."""
    counts = problems["problem"].value_counts()
    found = []
    if "no-mapping" in counts:
        found.append((f"{counts['no-mapping']:,} mappings are gone; put them back", "plan mapping --rebuild"))
    if "two-records" in counts:
        entities = set(problems[problems["problem"] == "two-records"]["entity"])
        for entity in (EVENT, MEMBER, REGISTRATION):
            if entity in entities and (entity != REGISTRATION or EVENT not in entities):
                said = f"{entity}s of which an import made, or took, another record: look at both"
                command = "duplicates" if entity != MEMBER else "check records-imported-twice"
                found.append((said, command + ("" if entity == MEMBER else f" --entity {entity.lower()}")))
    return found


def csv_remark(found: MappingFindings) -> str:
    """Say what a CSV import made without mappings, and what the next API sync makes of that."""
    made = ", ".join(
        f"{count:,} {entity.lower()}s" for entity, count in sorted(found.without_mapping.items())
    )
    return (
        f"{made} were made by a CSV import, which leaves no mapping. That is no fault; but the next API sync finds members"
        " by their e-mail alone, and makes these events, with all of their registrations, once more."
        " Where the export has Wild Apricot's own ids, `workbench plan mapping --rebuild --csv-records` maps them first."
    )


def _surely(score: Any) -> str:
    if score is None or score != score:
        return "not known"
    return "a fact" if score >= 1 else f"{score:.1%}"


def _why(row: dict[Any, Any]) -> str:
    came = int(row["registrations"])
    parts = (
        str(row["evidence"]),
        f"different: {row['differs']}" if row["differs"] else "",
        f"the same: {row['agrees']}" if row["agrees"] else "",
        f"{came} registration{'s' if came > 1 else ''} came through it" if came else "",
    )
    return "; ".join(filter(None, parts))


def mapping_corrections(problems: pd.DataFrame, keys: Collection[str] | None = None) -> pd.DataFrame:
    """Return where the traces say that some mappings should lead: what `Workbench.plan_mappings` takes.

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
