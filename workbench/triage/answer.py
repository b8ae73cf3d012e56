"""The answer of a triage: what is wrong, the ways out side by side, and which to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.answer import Answer, Step, Table
from workbench.checks.finding import Finding
from workbench.database.environment import Environment
from workbench.hints import on_environment
from workbench.murmurant.importers import Run
from workbench.reporting.charts import ways_chart
from workbench.reporting.masking import mask_text
from workbench.triage.modes import Mode
from workbench.triage.recommending import Advice
from workbench.triage.suspects import Suspect
from workbench.triage.ways import Trial, Way

_CARD = {
    "Dry run issues": ("level 0", ()),
    "Partial import": ("re-run", ("§1.1",)),
    "Single bad run": ("level 1", ("§1.2", "§1.4")),
    "Multiple bad runs": ("level 2", ("§1.6",)),
    "Wrong mappings": ("mappings", ("§1.2",)),
    "Bad tiers": ("tiers", ("§1.3",)),
    "Duplicates": ("duplicates of members", ("§1.4",)),
    "Wrong policies": ("policies", ("§1.5",)),
}
"""The guide's quick reference card: failure, way out, and the modes that it answers."""


def triage_answer(
    run: Run | None,
    asked: bool,
    modes: Sequence[Mode],
    suspects: Sequence[Suspect],
    ways: Sequence[Way],
    trials: Mapping[str, Trial],
    advice: Advice,
    findings: Sequence[Finding],
    environment: Environment,
) -> Answer:
    """Put together what is wrong, the ways out and which to take.

    Parameters
    ----------
    run : Run or None
        The run in question: the one asked about, else the one most to blame.
    asked : bool
        Whether somebody asked about that run.
    """
    on = on_environment(environment.name)
    chosen = next((way for way in ways if way.name == advice.way), None)
    head = (
        f"{chosen.name}, {chosen.title[0].lower()}{chosen.title[1:]}"
        if chosen
        else "none of the ways out as things stand"
    )
    tables = {"modes": _modes(modes), "suspects": _suspects(suspects), "ways": _ways(ways, advice)}
    card = _card(run, modes, suspects, {way.name: way for way in ways}, trials, advice)
    blamed = tables["suspects"][(tables["suspects"]["share"] > 0) | (tables["suspects"]["named_by"] != "")]
    page = f"report triage{f' -p run_id {run.run}' if asked and run else ''}"
    steps = [
        Step("", command.removeprefix("workbench ").removesuffix(on))
        for line in (chosen.commands if chosen else ())
        for command in line.split("; ")
    ]
    return Answer(
        f"Recommended: {head}. {advice.why}",
        {
            "summary": _summary(run, asked, modes, suspects),
            "modes": Table(tables["modes"], "What is wrong", first=("guide", "mode", "state", "rows")),
            "suspects": Table(
                blamed, "Runs to blame", empty="", first=("run", "status", "at_fault"), limit=5
            ),
            "drawn": lambda: ways_chart(tables["ways"]),
            "ways": Table(
                tables["ways"].drop(columns=["recommended", "notes", "commands"]),
                "The ways out",
                first=("way", "possible", "rows_reverted", "work_lost", "minutes"),
                note="Minutes are the machine's, measured here; what is not known is left empty. Nothing was written.",
            ),
            "notes": {
                f"{way.name}{'' if way.possible else ' (not possible here)'}": " ".join(way.notes)
                for way in ways
            },
            "card": Table(card, "Quick reference", first=("failure", "here", "way", "minutes")),
        },
        findings=findings,
        sample=0,
        next_steps=[*steps, Step("To read and to show", page)],
        facts={
            "environment": vars(environment),
            "run": run.run if run else None,
            "asked": asked,
            **{name: table.to_dict("records") for name, table in tables.items()},
            "recommended": advice.way,
            "why": mask_text(advice.why),
            "card": card,
        },
        code=int(any(mode.state != "absent" for mode in modes)),
    )


def _summary(
    run: Run | None, asked: bool, modes: Sequence[Mode], suspects: Sequence[Suspect]
) -> dict[str, str]:
    """Name the run in question, the runs to blame and the failures."""
    bad = ", ".join(each.run.run for each in suspects if each.bad)
    here = ", ".join(f"{mode.name.lower()} ({mode.section}, {mode.risk} risk)" for mode in modes if mode.here)
    unknown = ", ".join(mode.name.lower() for mode in modes if mode.state == "not known")
    which = "as asked" if asked else "the most to blame"
    in_question = {"The run in question": f"{run.run}, {which}: {run.status}, {run.why}"} if run else {}
    return {
        **in_question,
        "Runs that are bad as a whole": bad or "none",
        "Failures that are here": here or "none",
        **({"Could not be told": unknown} if unknown else {}),
    }


def _modes(modes: Sequence[Mode]) -> pd.DataFrame:
    rows = [
        (mode.section, mode.name, mode.risk, mode.state, mode.count if mode.here else None, mode.evidence)
        for mode in modes
    ]
    columns = ["guide", "mode", "risk", "state", "rows", "evidence"]
    return pd.DataFrame(rows, columns=columns).astype({"rows": "Int64"})


def _ways(ways: Sequence[Way], advice: Advice) -> pd.DataFrame:
    """Lay out the ways; a figure that is not known is missing, never zero."""
    rows = [
        (
            *(way.name, way.title, way.possible, way.reverts, way.loses, way.at_risk, way.minutes),
            *(way.name == advice.way, " ".join(way.notes), "\n".join(way.commands)),
        )
        for way in ways
    ]
    figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
    columns = ["way", "what", "possible", *figures, "recommended", "notes", "commands"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(figures, "Int64"))


def _suspects(suspects: Sequence[Suspect]) -> pd.DataFrame:
    rows = [
        (
            *(each.run.run, each.run.importer, each.run.status, each.culprits, each.written),
            *(round(each.share, 3), ", ".join(each.named)),
        )
        for each in suspects
    ]
    columns = ["run", "importer", "status", "at_fault", "written", "share", "named_by"]
    return pd.DataFrame(rows, columns=columns)


def _card(
    run: Run | None,
    modes: Sequence[Mode],
    suspects: Sequence[Suspect],
    ways: Mapping[str, Way],
    trials: Mapping[str, Trial],
    advice: Advice,
) -> pd.DataFrame:
    """Answer the guide's quick reference card: ``failure``, ``here``, ``way``, ``minutes``, ``command``."""
    states: dict[str, str] = {mode.section: mode.state for mode in modes}
    bad, rows = sum(each.bad for each in suspects), []
    for failure, (way, sections) in _CARD.items():
        if failure == "Dry run issues":
            here = "present" if run is not None and run.mode == "dry" else "absent"
        elif failure in _BAD_RUNS:
            here = "present" if bad in _BAD_RUNS[failure] else "absent"
        else:
            here = max((states.get(each, "not known") for each in sections), key=_GRAVITY.index)
        if failure in _BAD_RUNS and here == "present":
            # Where a restore is not possible it is run by run: the card never says other than the advice.
            way = advice.way or "none"
        if way in trials:
            minutes, command = trials[way].minutes, trials[way].command
        else:
            minutes = ways[way].minutes if way in ways else None
            command = "\n".join(ways[way].commands) if way in ways else ""
        level = way if way in ways or way == "none" else "targeted"
        rows.append((failure, here, level, minutes, command))
    columns = ["failure", "here", "way", "minutes", "command"]
    return pd.DataFrame(rows, columns=columns).astype({"minutes": "Int64"})


_BAD_RUNS = {"Single bad run": range(1, 2), "Multiple bad runs": range(2, 1_000_000)}
_GRAVITY = ["absent", "not known", "suspected", "present"]
