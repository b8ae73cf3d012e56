"""Answers about duplicates: clusters and pairs with what to do about each, and people who are in several clubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from shlex import quote
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Step, Table, many
from workbench.checks.finding import Finding, Status
from workbench.database.connection import raw
from workbench.database.databases import connect
from workbench.duplicates.matching.matching import BETWEEN, Club, match_clubs
from workbench.duplicates.matching.model import SHARES, Model, spoken
from workbench.duplicates.matching.training import ENOUGH
from workbench.duplicates.pairs import PAIR, Matches
from workbench.duplicates.records import describe_records
from workbench.errors import Refused, UsageError
from workbench.hints import aim
from workbench.murmurant.schema import read_schema
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.reporting.charts import match_histogram_chart, match_waterfall_chart
from workbench.reporting.masking import mask
from workbench.session import Session

NOUNS = {MEMBER: "members", EVENT: "events", REGISTRATION: "registrations"}

_LIMIT = 10
_PAIRS = ["kind", *PAIR, "probability", "why", "against", "decision", "decided_by", "remark"]
_BEFORE = {"split_member": "member", "split_event": "event", "split_both": "member and event"}
_DECIDE = "Decide: `workbench duplicates --decide LEFT RIGHT WORD`; WORD is same, different or unsure."
_NEVER = "Members of two clubs are shown but never merged: a plan changes one environment."


def duplicates_answer(
    wb: Session, matches: Sequence[Matches], threshold: float, limit: int | None, engine: str
) -> Answer:
    """Return what exists more than once, and what may be merged.

    Parameters
    ----------
    limit : int, optional
        The number of clusters and pairs of each entity; by default ten, and all in the JSON.
    """
    parts, facts = dict[str, Part](), dict[str, Any]()
    for duplicates in matches:
        parts |= _parts(duplicates, limit or _LIMIT, threshold)
        facts[NOUNS[duplicates.entity]] = _facts(duplicates, limit, wb)
    clean = all(duplicates.clean for duplicates in matches)
    steps = [Step("As a page to read", "report duplicates")]
    if mergeable := next((duplicates for duplicates in matches if len(duplicates.sure)), None):
        sentence = f"All {len(mergeable.sure):,} sure clusters at once"
        steps.insert(0, Step(sentence, f"duplicates --entity {mergeable.entity.lower()} --to FILE"))
    return Answer(
        "Nothing exists more than once." if clean else "",
        parts,
        [probable_finding(duplicates) for duplicates in matches if duplicates.entity == MEMBER],
        next_steps=steps,
        facts={"environment": vars(wb.environment), "dialect": wb.dialect, "engine": engine, **facts},
        sample=0,
        code=int(not clean),
    )


def probable_finding(duplicates: Matches) -> Finding:
    """Return the finding about members who are probably one person: no pass where something was left uncompared."""
    rows = duplicates.open[duplicates.open["kind"] == "probable"]
    reason = duplicates.not_run or "; ".join(duplicates.uncompared)
    status: Status = "warn" if len(rows) else "not run" if reason else "pass"
    keys = rows["left"].astype(str) + " " + rows["right"].astype(str)
    return Finding(
        "members-probably-one",
        "Members who are probably one person, though no address says so",
        status,
        None if status == "not run" else len(rows),
        rows.assign(key=keys)[["key", "probability", "why", "against"]].reset_index(drop=True),
        reason,
        guide="§1.4",
        question="Does no member exist a second time under another name, address or number?",
        remedy="Compare each pair, decide whether it is one person (`workbench duplicates --decide LEFT RIGHT WORD`), and merge those that are (§4.4).",
        severity="warn",
        risk="high",
    )


def pair_to_review(chances: pd.DataFrame, threshold: float) -> pd.Series[Any] | None:
    """Return the pair that most needs review: the least probable of those listed."""
    listed = chances[chances["probability"] >= threshold]
    return listed.iloc[-1] if len(listed) else None


def _parts(duplicates: Matches, limit: int, threshold: float) -> dict[str, Part]:
    nouns, clusters, rest = NOUNS[duplicates.entity], duplicates.clusters, duplicates.unclustered
    cut, cut_pairs = (
        f"{limit} of {count:,} {what} of {nouns}; more: --limit {count}. " if count > limit else ""
        for what, count in (("clusters", len(clusters)), ("pairs", len(rest)))
    )
    pairs = rest.head(limit)[_PAIRS].astype({"probability": "object"})
    pairs["probability"] = [_percent(chance) for chance in pairs["probability"]]
    lines = ["", f"{nouns.capitalize()}: {_counts(duplicates)}", *(f"! {line}" for line in duplicates.notes)]
    reasons = [_judgement(duplicates.entity, cluster) for cluster in clusters.head(limit).to_dict("records")]
    table = duplicates_table(duplicates, clusters.head(limit))
    caption = f"Pairs of {nouns} that have something in common, but not enough to be joined"
    first, note = ("cluster", "stays", "record_id"), f"{cut_pairs}{_DECIDE}" if len(rest) else ""
    parts: dict[str, Part] = {
        f"{nouns}_summary": "\n".join(lines),
        nouns: Table(table, f"{nouns.capitalize()} of the clusters", "", first, note=cut.rstrip(". ")),
        f"{nouns}_why": {f"{place} of {len(clusters):,}": reason for place, reason in enumerate(reasons, 1)},
        f"{nouns}_pairs": Table(pairs, caption, "", (*PAIR, "why"), note=note),
    }
    if duplicates.entity == MEMBER and not duplicates.not_run:
        parts["chances"] = partial(match_histogram_chart, duplicates.chances, threshold)
        parts["why"] = partial(match_waterfall_chart, pair_to_review(duplicates.chances, threshold))
    return parts


def duplicates_table(duplicates: Matches, clusters: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay out the records of each cluster, the canonical one first.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its number), ``stays``, the columns of `describe_records`, ``associations`` and ``record_id``.
    """
    listed = (duplicates.clusters if clusters is None else clusters).to_dict("records")
    rows = [
        (number, "stays" if key == cluster["canonical"] else "", cluster["associations"][key], key)
        for number, cluster in enumerate(listed, 1)
        for key in [cluster["canonical"], *_others(cluster)]
    ]
    table = pd.DataFrame(rows, columns=["cluster", "stays", "associations", "record_id"])
    # A column called status would be shown as a finding's.
    known = duplicates.records.rename(columns={"id": "record_id", "status": "registration_status"})
    columns = ["cluster", "stays", *known.columns.drop("record_id"), "associations", "record_id"]
    return table.merge(known, on="record_id", how="left")[columns]


def _counts(duplicates: Matches) -> str:
    if duplicates.not_run:
        return f"not run. {duplicates.not_run}"
    if duplicates.clean and duplicates.pairs.empty:
        return "none found."
    different = len(duplicates.pairs) - len(duplicates.open)
    left_out = f", {many(different, 'pair')} left out, called different" if different else ""
    doubt = "; not everything was compared" if duplicates.uncompared else ""
    clusters = (
        f"{many(len(duplicates.clusters), 'cluster')}, {len(duplicates.sure):,} of them sure enough to merge"
    )
    return f"{clusters}; {many(len(duplicates.unclustered), 'pair')} in no cluster{left_out}{doubt}."


def _judgement(entity: str, cluster: Mapping[Any, Any]) -> str:
    """Say how sure a cluster is, what supports and contradicts it, and what to do about it."""
    share, by = _percent(cluster["probability"]), cluster["decided_by"]
    judged = "sure enough to merge" if cluster["offered"] else "review it first"
    decided = {"same": f"called the same by {by}", "unsure": f"{by} was not sure"}
    words = ", ".join(filter(None, (share and f"{share} probable", decided.get(cluster["decision"], judged))))
    against = f" Against it: {cluster['against']}." if cluster["against"] else ""
    return f"{words}. For it: {cluster['why']}.{against} {' '.join(_next(entity, cluster))}"


def _next(entity: str, cluster: Mapping[Any, Any]) -> list[str]:
    """Return what to do about a cluster: the command that plans the merge, or what comes before it."""
    if before := sorted(_BEFORE[kind] for kind in cluster["kind"].split(", ") if kind in _BEFORE):
        return [f"Merge the {' and '.join(before)} records first; that plan merges these by rule."]
    ids = " ".join(quote(str(key)) for key in (cluster["canonical"], *_others(cluster)))
    merge = f"`workbench plan merge {ids}{entity_option(entity)}`"
    if cluster["offered"] or cluster["decision"] == "same":
        return [merge]
    left, right = (quote(str(key)) for key in cluster["members"][:2])
    return [f"If they are one: {merge}", f"If not: `workbench duplicates --decide {left} {right} different`"]


def _others(cluster: Mapping[Any, Any]) -> list[str]:
    return sorted(key for key in cluster["members"] if key != cluster["canonical"])


def entity_option(entity: str) -> str:
    """Return the option that names an entity, empty for members."""
    return "" if entity == MEMBER else f" --entity {entity.lower()}"


def _percent(chance: float) -> str:
    """Return a known probability in words; only certainty reads as 100%."""
    return "" if chance != chance else "more than 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"


def _facts(duplicates: Matches, limit: int | None, wb: Session) -> dict[str, Any]:
    counts = {
        "pairs": len(duplicates.open),
        "clusters": len(duplicates.clusters),
        "offered": len(duplicates.sure),
    }
    clusters = duplicates.clusters.head(limit or len(duplicates.clusters)).to_dict("records")
    for cluster in clusters:
        lines = _next(duplicates.entity, cluster)
        cluster["next"] = [aim(line, wb.environment.name).replace("`", "") for line in lines]
    return {
        "status": "not run" if duplicates.not_run else "pass" if duplicates.clean else "fail",
        "reason": duplicates.not_run,
        "said": list(duplicates.notes),
        "counts": {**counts, "different": len(duplicates.pairs) - len(duplicates.open)},
        "clusters": clusters,
        "pairs": mask(duplicates.pairs.head(limit or len(duplicates.pairs)), wb.shows_people),
        "records": mask(duplicates.records, wb.shows_people),
    }


def training_answer(attrs: Mapping[Any, Any], out: str) -> Answer:
    """Return how a model was estimated, from the ``attrs`` of `match_members`."""
    model, members, pairs, notes = (attrs[name] for name in ("model", "members", "pairs", "said"))
    prior = {"shipped": Model().duplicates_each, "here": model.duplicates_each}
    shares = pd.DataFrame(attrs["shares"], columns=SHARES)
    shares["comparison"] = shares["comparison"].map(spoken)
    shares.attrs["harmless"] = SHARES
    shown = shares.assign(**{name: shares[name].map("{:.3g}".format) for name in SHARES[2:]})
    source = "is estimated from them"
    if members < ENOUGH:
        source = f"is as shipped: estimating it takes {ENOUGH:,} members or more"
    lines = [
        f"{members:,} members and {pairs:,} pairs were compared. How one person's records differ (m) {source}; how"
        " often strangers agree (u) is counted.",
        f"Further records of a member, on average: {prior['shipped']} as shipped, {prior['here']} here.",
        *(f"! {line}" for line in notes),
    ]
    facts = {"members": members, "pairs": pairs, "estimated": members >= ENOUGH, "said": notes}
    return Answer(
        "\n".join(lines),
        {"shares": Table(shown, "Shares that are not as shipped", "All shares are as shipped.")},
        facts={**facts, "shares": shares, "prior": prior},
        next_steps=[Step(f"Written to {out}", f"duplicates --model {quote(out)}")] if out else [],
    )


def across_answer(wb: Session, others: Sequence[str], limit: int | None, **options: Any) -> Answer:
    """Compare the members of this environment and others, and return the pairs between two of them.

    Parameters
    ----------
    limit : int, optional
        The number of pairs; by default ten, and all in the JSON.
    **options
        See `workbench.duplicates.matching.match_people`.
    """
    here = wb.environment.name
    names = [here, *others]
    if len({*names}) < len(names):
        raise UsageError(f"{here} is compared with other environments.", "Name each of them once.")
    with ExitStack() as stack:
        clubs = {here: Club(stack.enter_context(wb.reading()), wb.schema, wb.options.duplicate_fields)}
        for name in others:
            database = connect(name, wb.settings)
            connection = stack.enter_context(database.reading())
            schema = read_schema(raw(connection), database.address.schema)
            clubs[name] = Club(connection, schema, wb.settings.environment(name).duplicate_fields)
        matches = match_clubs(clubs, **options)
        for side in PAIR:
            parts = matches[side].str.split(BETWEEN, n=1)
            matches[f"{side}_environment"], matches[side] = parts.str[0], parts.str[1]
        between = matches["left_environment"] != matches["right_environment"]
        columns = ["left_environment", "left", "right_environment", "right", "probability", "why", "against"]
        pairs = matches.loc[between, columns].reset_index(drop=True)
        shown = pairs.head(limit or _LIMIT).rename_axis("pair").reset_index()
        names_of = {side: {f"{side}_environment": "environment", side: "record_id"} for side in PAIR}
        sides = [shown[["pair", *names_of[side]]].rename(columns=names_of[side]) for side in PAIR]
        ids = pd.concat(sides).sort_values("pair", kind="stable").assign(pair=lambda rows: rows["pair"] + 1)
        records = [
            describe_records(
                club.connection, club.schema, MEMBER, ids["record_id"][ids["environment"] == name]
            )
            .rename(columns={"id": "record_id"})
            .assign(environment=name)
            for name, club in clubs.items()
        ]
    listed = ids.merge(pd.concat(records), "left", on=["environment", "record_id"])
    evidence = shown[["pair", "probability", "why", "against"]].assign(pair=shown["pair"] + 1)
    evidence["probability"] = evidence["probability"].map(_percent)
    within = f"{many(int((~between).sum()), 'pair')} within one club: see `duplicates` of each environment."
    count, notes = matches.attrs["members"], matches.attrs["said"]
    compared = f"{count:,} members of {', '.join(names)} were compared by {options['on']}; {within}"
    cut = (
        f"{len(shown)} of {len(pairs):,} pairs; more: --limit {len(pairs)}. "
        if len(shown) < len(pairs)
        else ""
    )
    table = Table(
        listed.merge(evidence, on="pair"),
        "Probably one person in two clubs",
        "",
        ("pair", "environment", "record_id"),
        note=f"{cut}{_NEVER}" if len(pairs) else "",
    )
    return Answer(
        "" if len(pairs) else f"Nobody is a member of two of {', '.join(names)}.",
        {"compared": "\n".join((compared, *(f"! {line}" for line in notes))), "records": table},
        facts={
            "environments": names,
            "engine": options["on"],
            "members": count,
            "said": notes,
            "counts": {"pairs": len(pairs), "within": int((~between).sum())},
            "pairs": pairs.head(limit or len(pairs)).to_dict("records"),
            "records": mask(listed, wb.shows_people),
        },
        sample=0,
        code=int(len(pairs) > 0),
    )


def refuse_across(wb: Session, request: pd.DataFrame) -> None:
    """Refuse to merge records that are named with their club, as ``north/ID``."""
    keys = {key for key in [*request["record"], *request["into"].dropna()] if BETWEEN in key}
    if clubs := sorted({key.partition(BETWEEN)[0] for key in keys} & {*wb.settings.environments}):
        problem = f"Members of {', '.join(clubs)} are named with their club. {_NEVER}"
        raise Refused(problem, "Name ids of one environment, as `duplicates` lists them there.")
