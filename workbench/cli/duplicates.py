"""``duplicates``: who and what is there more than once, and what people decide about it (guide §1.4, §4.4)."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import workbench
from workbench.answer import plain
from workbench.cli.options import Acting, AsJson, EnvironmentName, Unmask, open_as
from workbench.cli.output import banner, command, on, paths_below, print_json, print_table, say, stderr
from workbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.duplicates.pairs import Found
    from workbench.workbench import Workbench

_NOUNS = {"Member": "members", "Event": "events", "Registration": "registrations"}
_FEW = 10


def duplicates(
    entity: Annotated[
        Literal["member", "event", "registration"] | None, typer.Option(help="Of what; else of all three.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="The least probability of a pair. [default: 0.7]")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained parameters as JSON; else those shipped.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"How many clusters and pairs of each to list. [default: {_FEW}; JSON: all]"
        ),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Write the sure clusters as a list for `plan merge --from`."
        ),
    ] = None,
    decide: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            "--decide",
            metavar="LEFT RIGHT WORD",
            help="Say of two records that they are: same, different, unsure.",
        ),
    ] = None,
    remark: Annotated[str, typer.Option(help="Why it was decided so, without personal data.")] = "",
    decisions: Annotated[
        bool, typer.Option("--decisions", help="List what was decided, and by whom.")
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    acting: Acting = None,
    unmask: Unmask = False,
) -> None:
    """Find members, events and registrations that are there more than once, and say which may be merged.

    Decisions (--decide) are kept beside the reports and respected the next time.
    """
    from workbench.murmurant.spellings import ENTITIES

    _one_question(decide, decisions, listing, remark, entity)
    with open_as(environment, acting, one_state=True) as wb:
        if not json:
            banner(wb.environment)
        if decide is not None:
            _decide(wb, decide, remark, entity, json)
            return
        if decisions:
            made = workbench.mask(wb.decisions(), unmask)
            print_json(made) if json else print_table(made, empty="Nothing was decided yet.")
            return
        chosen = [entity.capitalize()] if entity else list(ENTITIES)
        options: dict[str, Any] = {"model": model, **({"threshold": threshold} if threshold else {})}
        found = [wb.find_duplicates(each, **options) for each in chosen]
        if listing is not None:
            _write_listing(listing, found[0])
        if json:
            facts = {_NOUNS[each.entity]: _facts(each, limit, unmask) for each in found}
            print_json({"environment": plain(vars(wb.environment)), "dialect": wb.dialect, **facts})
        else:
            for each in found:
                _tell(each, limit or _FEW, unmask)
            _go_on(found, listing)
    raise typer.Exit(0 if all(each.clean for each in found) else 1)


def _one_question(
    decide: object, decisions: bool, listing: Path | None, remark: str, entity: str | None
) -> None:
    if remark and decide is None:
        raise UsageError("A remark belongs to a decision.", "Give it with --decide LEFT RIGHT WORD.")
    if sum((decide is not None, decisions, listing is not None)) > 1:
        raise UsageError("--decide, --decisions and --to are three questions.", "Ask one at a time.")
    if listing is not None and entity is None:
        raise UsageError("A list of merges is of one entity.", "Name it with --entity.")


def _decide(wb: Workbench, decide: tuple[str, str, str], remark: str, entity: str | None, json: bool) -> None:
    left, right, word = decide
    made = wb.decide(left, right, word, remark=remark, entity=entity.capitalize() if entity else None)
    if json:
        print_json(vars(made))
        return
    said = {"same": "one and the same", "different": "different", "unsure": "not decided yet"}[made.decision]
    say(f"{made.entity} {made.left} and {made.right}: {said}, by {made.by}.")
    say(f"Kept beside the reports; {command()} duplicates --decisions{on()} lists all.")


def _tell(found: Found, limit: int, unmask: bool) -> None:
    """Print one entity's clusters, each with its records and the next command, then the pairs in none."""
    nouns = _NOUNS[found.entity]
    say("", f"{nouns.capitalize()}: {_counted(found)}")
    for said in found.said:
        say(f"! {said}")
    for place, (_, cluster) in enumerate(found.clusters.head(limit).iterrows(), 1):
        say("", f"{place} of {len(found.clusters):,}: {cluster['size']} {nouns}, {_judged(found, cluster)}")
        print_table(_records(found, cluster, unmask))
        say(
            f"  For it: {cluster['why']}",
            *([f"  Against: {cluster['against']}"] if cluster["against"] else []),
        )
        say(*(f"  {line}" for line in _steps(found, cluster)))
    loose = found.loose
    if len(loose):
        title = f"Pairs of {nouns} that something brings together, and not enough joins: one, or two?"
        shown = loose.head(limit)
        print_table(_pairs(found, shown, unmask), title)
        say(f"  Say which: {command()} duplicates --decide LEFT RIGHT same|different|unsure{on()}")
    for what, count in (("clusters", len(found.clusters)), ("pairs", len(loose))):
        if count > limit:
            say(f"  {limit} of {count:,} {what} of {nouns}; more: --limit {count}")


def _counted(found: Found) -> str:
    if found.not_run:
        return f"not run. {found.not_run}"
    sure, loose = len(found.sure), len(found.loose)
    rest = len(found.clusters) - sure
    told = [
        f"{_many(sure, 'cluster')} sure enough to merge" if sure else "",
        f"{_many(rest, 'cluster')} to look at first" if rest else "",
        f"{_many(loose, 'pair')} in no cluster" if loose else "",
        f"{_many(found.different, 'pair')} left out, called different" if found.different else "",
    ]
    if found.open.empty:
        told = ["none found" if found.clean else "none found, and not everything was compared", *told]
    return ", ".join(filter(None, told)) + "."


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _judged(found: Found, cluster: pd.Series[Any]) -> str:
    """Say how sure a cluster is, and who said what of it."""
    chance = cluster["probability"]
    words = [f"{_percent(chance)} probable"] if chance == chance else []
    by = ", ".join(sorted({each for each in _decided(found, cluster)["decided_by"] if each}))
    if cluster["decision"] == "same":
        return ", ".join([*words, f"called the same by {by}"])
    if cluster["decision"] == "unsure":
        return ", ".join([*words, f"{by} was not sure"])
    return ", ".join([*words, "sure enough to merge" if cluster["offered"] else "look at it first"])


def _percent(chance: float) -> str:
    """Say a probability; what is not certain never reads as if it were."""
    return "more than 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"


def _decided(found: Found, cluster: pd.Series[Any]) -> pd.DataFrame:
    return found.pairs.loc[found.pairs["cluster"].eq(cluster["cluster"]) & found.pairs["decision"].ne("")]


def _records(found: Found, cluster: pd.Series[Any], unmask: bool) -> pd.DataFrame:
    """Return a cluster's records, the one that would stay first."""
    members = found.records[found.records["id"].isin(cluster["members"])].copy()
    members.insert(1, "stays", members["id"] == cluster["canonical"])
    members.insert(2, "associations", members["id"].map(cluster["associations"]))
    members = members.sort_values(["stays", "id"], ascending=[False, True])
    return workbench.mask(members, unmask)


def _pairs(found: Found, pairs: pd.DataFrame, unmask: bool) -> pd.DataFrame:
    columns = ["kind", "left", "right", "probability", "why", "against", "decision", "decided_by", "remark"]
    shown = pairs[columns].copy()
    told = ["" if each != each else _percent(each) for each in shown["probability"].tolist()]
    shown["probability"] = told
    return workbench.mask(shown, unmask)


def _steps(found: Found, cluster: pd.Series[Any]) -> list[str]:
    """Return what to do about a cluster: the command that plans the merge, or what comes before it."""
    first = {"split_member": "member", "split_event": "event", "split_both": "member and event"}
    if found.entity == "Registration":
        kinds = found.pairs.loc[found.pairs["cluster"] == cluster["cluster"], "kind"]
        before = sorted({first[kind] for kind in kinds if kind in first})
        if before:
            return [f"Merge the {' and '.join(before)} records first; that plan settles these by rule."]
    steps = [_merge(found, cluster)]
    if cluster["offered"] or cluster["decision"] == "same":
        return steps
    left, right = (quote(str(each)) for each in cluster["members"][:2])
    return [
        f"If they are one: {steps[0]}",
        f"If not: {command()} duplicates --decide {left} {right} different{on()}",
    ]


def _merge(found: Found, cluster: pd.Series[Any]) -> str:
    gone = [each for each in cluster["members"] if each != cluster["canonical"]]
    ids = " ".join(quote(str(each)) for each in (cluster["canonical"], *gone))
    kind = "" if found.entity == "Member" else f" --entity {found.entity.lower()}"
    return f"{command()} plan merge {ids}{kind}{on()}"


def _go_on(found: list[Found], listing: Path | None) -> None:
    sure = next((each for each in found if len(each.sure)), None)
    say("")
    if all(each.clean for each in found):
        say("Nothing is there more than once.")
    elif listing is not None:
        kind = "" if found[0].entity == "Member" else f" --entity {found[0].entity.lower()}"
        say(f"All that are sure at once: {command()} plan merge --from {quote(str(listing))}{kind}{on()}")
    elif sure is not None:
        say(
            f"All {len(sure.sure):,} sure ones at once: {command()} duplicates --entity {sure.entity.lower()} --to FILE{on()}"
        )
    say(f"As a page to read: {command()} report duplicates{on()}")


def _write_listing(path: Path, found: Found) -> None:
    """Write the sure clusters in the form that ``plan merge --from`` reads: ids, and why."""
    from workbench.murmurant.listings import write_csv

    rows = (
        {"cluster": cluster["cluster"], "member": each, "reason": cluster["why"]}
        for _, cluster in found.sure.iterrows()
        for each in cluster["members"]
    )
    write_csv(path, ["cluster", "member", "reason"], rows)
    stderr().print(f"{len(found.sure):,} clusters in {paths_below([path])[0]}")


def _facts(found: Found, limit: int | None, unmask: bool) -> dict[str, Any]:
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
            {**row, "next": _steps(found, row)}  # type: ignore[arg-type]
            for row in clusters.to_dict("records")
        ],
        "pairs": workbench.mask(found.pairs.head(limit) if limit else found.pairs, unmask),
        "records": workbench.mask(found.records, unmask),
    }
