"""What is there more than once, told for every surface: clusters with their records, pairs in none, and what to do (guide §1.4, §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Step, Table, many
from workbench.duplicates.pairs import Found
from workbench.hints import aim
from workbench.murmurant.listings import write_csv
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.reporting.masking import mask

NOUNS = {MEMBER: "members", EVENT: "events", REGISTRATION: "registrations"}
_OWN = {"status": "registration_status"}  # a column called status would be shown as a finding's
_PAIRS = ("kind", "left", "right", "probability", "why", "against", "decision", "decided_by", "remark")
_BEFORE = {"split_member": "member", "split_event": "event", "split_both": "member and event"}


def duplicates_answer(
    found: Sequence[Found],
    *,
    facts: Mapping[str, Any],
    unmask: bool,
    limit: int | None = None,
    listing: Path | None = None,
) -> Answer:
    """Answer with what is there more than once, and with the command that merges each cluster.

    Parameters
    ----------
    facts : mapping
        What stands beside the findings for machines.
    limit : int, optional
        How many clusters and pairs of each entity are told; else ten, and all for machines.
    listing : path, optional
        Where to write the sure clusters of the first entity, as the table that `plan_merges` takes.
    """
    environment = facts["environment"]["name"]
    if listing is not None:
        _write_listing(listing, found[0])
    parts: dict[str, Part] = {}
    for one in found:
        parts |= _parts(one, limit or 10)
    clean, sure = all(one.clean for one in found), next((one for one in found if len(one.sure)), None)
    steps = []
    if listing is not None:
        steps = [
            Step("All that are sure at once", f"plan merge --from {quote(str(listing))}{_kind(found[0])}")
        ]
    elif sure is not None:
        words = f"All {len(sure.sure):,} sure ones at once"
        steps = [Step(words, f"duplicates --entity {sure.entity.lower()} --to FILE")]
    return Answer(
        "Nothing is there more than once." if clean else "",
        parts,
        next_steps=[*steps, Step("As a page to read", "report duplicates")],
        facts={**facts, **{NOUNS[one.entity]: _facts(one, limit, unmask, environment) for one in found}},
        code=int(not clean),
    )


def _parts(found: Found, limit: int) -> dict[str, Part]:
    nouns, clusters, loose = NOUNS[found.entity], found.clusters, found.loose
    shown = clusters.head(limit)
    of_all = f"{limit} of {len(clusters):,} clusters of {nouns}; more: --limit {len(clusters)}"
    more = (
        f"{limit} of {len(loose):,} pairs of {nouns}; more: --limit {len(loose)}. "
        if len(loose) > limit
        else ""
    )
    title = f"Pairs of {nouns} that something brings together, and not enough joins: one, or two?"
    pairs = loose.head(limit)[list(_PAIRS)]
    pairs["probability"] = [
        "" if chance != chance else _percent(chance) for chance in pairs["probability"].tolist()
    ]
    say = f"{more}Say which: `workbench duplicates --decide LEFT RIGHT WORD`, where WORD is same, different or unsure."
    return {
        f"{nouns}_summary": "\n".join(("", f"{nouns.capitalize()}: {_counted(found)}", *(f"! {line}" for line in found.said))),
        nouns: Table(
            duplicates_table(found, shown), f"{nouns.capitalize()} of the clusters", "",
            ("cluster", "stays", "record_id"), note=of_all if len(clusters) > limit else "",
        ),
        f"{nouns}_why": {
            f"{place} of {len(clusters):,}": _told(found, cluster)
            for place, cluster in enumerate(shown.to_dict("records"), 1)
        },
        f"{nouns}_pairs": Table(pairs, title, "", ("left", "right", "why"), note=say if len(loose) else ""),
    }  # fmt: skip


def duplicates_table(found: Found, clusters: pd.DataFrame | None = None) -> pd.DataFrame:
    """Lay the records of each cluster side by side, the one that stays first.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its number), ``stays``, the entity's own columns, ``associations`` and ``record_id``.
    """
    known = {row["id"]: row for row in found.records.to_dict("records")}
    own = {name: _OWN.get(str(name), str(name)) for name in found.records.columns if name != "id"}
    rows = [
        {
            "cluster": number,
            "stays": "stays" if key == cluster["canonical"] else "",
            **{shown: known.get(key, {}).get(name) for name, shown in own.items()},
            "associations": cluster["associations"].get(key),
            "record_id": key,
        }
        for number, cluster in enumerate(
            (found.clusters if clusters is None else clusters).to_dict("records"), 1
        )
        for key in sorted(cluster["members"], key=lambda key: (key != cluster["canonical"], key))
    ]
    return pd.DataFrame(rows, columns=["cluster", "stays", *own.values(), "associations", "record_id"])


def _counted(found: Found) -> str:
    if found.not_run:
        return f"not run. {found.not_run}"
    rest = len(found.clusters) - len(found.sure)
    told = [
        f"{many(len(found.sure), 'cluster')} sure enough to merge" if len(found.sure) else "",
        f"{many(rest, 'cluster')} to look at first" if rest else "",
        f"{many(len(found.loose), 'pair')} in no cluster" if len(found.loose) else "",
        f"{many(found.different, 'pair')} left out, called different" if found.different else "",
    ]
    if found.open.empty:
        told = ["none found" if found.clean else "none found, and not everything was compared", *told]
    return ", ".join(filter(None, told)) + "."


def _told(found: Found, cluster: Mapping[Any, Any]) -> str:
    """Say how sure a cluster is, what speaks for and against it, and what to do about it."""
    chance = cluster["probability"]
    words = [f"{_percent(chance)} probable"] if chance is not None and chance == chance else []
    mine = found.pairs["cluster"].eq(cluster["cluster"]) & found.pairs["decision"].ne("")
    by = ", ".join(sorted({who for who in found.pairs.loc[mine, "decided_by"] if who}))
    judged = "sure enough to merge" if cluster["offered"] else "look at it first"
    said = {"same": f"called the same by {by}", "unsure": f"{by} was not sure"}.get(
        cluster["decision"], judged
    )
    against = f" Against it: {cluster['against']}." if cluster["against"] else ""
    return (
        f"{', '.join([*words, said])}. For it: {cluster['why']}.{against} {' '.join(_next(found, cluster))}"
    )


def _next(found: Found, cluster: Mapping[Any, Any]) -> list[str]:
    """Return what to do about a cluster: the command that plans the merge, or what comes before it."""
    if found.entity == REGISTRATION:
        kinds = found.pairs.loc[found.pairs["cluster"] == cluster["cluster"], "kind"]
        if before := sorted({_BEFORE[kind] for kind in kinds if kind in _BEFORE}):
            return [f"Merge the {' and '.join(before)} records first; that plan settles these by rule."]
    gone = [key for key in cluster["members"] if key != cluster["canonical"]]
    ids = " ".join(quote(str(key)) for key in (cluster["canonical"], *gone))
    merge = f"`workbench plan merge {ids}{_kind(found)}`"
    if cluster["offered"] or cluster["decision"] == "same":
        return [merge]
    left, right = (quote(str(key)) for key in cluster["members"][:2])
    return [f"If they are one: {merge}", f"If not: `workbench duplicates --decide {left} {right} different`"]


def _kind(found: Found) -> str:
    return "" if found.entity == MEMBER else f" --entity {found.entity.lower()}"


def _percent(chance: float) -> str:
    """Say a probability; what is not certain never reads as if it were."""
    return "more than 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"


def _write_listing(path: Path, found: Found) -> None:
    """Write the sure clusters in the form that ``plan merge --from`` reads: ids, and why."""
    rows = (
        {"cluster": cluster["cluster"], "member": key, "reason": cluster["why"]}
        for cluster in found.sure.to_dict("records")
        for key in cluster["members"]
    )
    write_csv(path, ["cluster", "member", "reason"], rows)


def _facts(found: Found, limit: int | None, unmask: bool, environment: str) -> dict[str, Any]:
    clusters = found.clusters.head(limit) if limit else found.clusters
    return {
        "status": "not run" if found.not_run else "pass" if found.clean else "fail",
        "reason": found.not_run,
        "said": list(found.said),
        "counts": {
            "pairs": len(found.open),
            "clusters": len(found.clusters),
            "offered": len(found.sure),
            "different": found.different,
        },
        "clusters": [
            {**row, "next": [aim(line, environment).replace("`", "") for line in _next(found, row)]}
            for row in clusters.to_dict("records")
        ],
        "pairs": mask(found.pairs.head(limit) if limit else found.pairs, unmask),
        "records": mask(found.records, unmask),
    }
