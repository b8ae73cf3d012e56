"""The ways out of a failed migration, each with what it costs here: guide §3, §4 and its quick reference card.

A figure is measured on this database, or it is not there: an unknown cost is never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

import pandas as pd

from workbench.errors import Refused, SchemaGap, UsageError
from workbench.murmurant.importers import Run
from workbench.plans.plan import Plan
from workbench.runs.telling import REDO_DRY, RERUN, LevelZero

TITLES = {
    "level 0": "Stop, and change nothing",
    "re-run": "Run the import again",
    "level 1": "Roll one run back",
    "targeted": "Correct what is wrong, record by record",
    "level 2": "Restore the whole database",
}


class Way(NamedTuple):
    """One way out.

    Attributes
    ----------
    way : str
        Its name, of `TITLES`.
    possible : bool
        Whether it can be gone here and now.
    rows_reverted, work_lost : int or None
        Rows that it would put back, take away or correct; rows of people's work that it would lose.
    references_at_risk : int or None
        Rows that stay wrong or unsettled because something else refers to them.
    seconds : float or None
        Of the machine; reading, asking and approving come on top.
    commands, notes : tuple of str
        How to go it; what to know before, or why it is not possible, and what would make it so.
    """

    way: str
    possible: bool
    rows_reverted: int | None = None
    work_lost: int | None = None
    references_at_risk: int | None = None
    seconds: float | None = None
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def attempt(way: str, command: str, make: Callable[[], Plan | LevelZero]) -> Way:
    """Make a plan for its figures alone; applying one takes no longer than making it."""
    begun = perf_counter()
    try:
        plan = make()
    except (Refused, SchemaGap, UsageError) as error:
        return Way(way, False, commands=(command,), notes=(str(error),))
    seconds = perf_counter() - begun
    assert isinstance(plan, Plan), "a dry run is not rolled back"
    words = {
        "kept": "rows are kept, for people's work or because a run did not make them.",
        "conflict": "columns were changed by the run and by somebody after it.",
        "unresolved": "rows cannot be told without more evidence, such as a snapshot.",
    }
    rows = {name: sum(part.rows for part in plan.sections if part.name == name) for name in words}
    notes = tuple(f"{count:,} {words[name]}" for name, count in rows.items() if count)
    return Way(way, True, plan.total, 0, rows["conflict"] + rows["unresolved"], seconds, (command,), notes)


def level_0(run: Run | None) -> Way:
    """Change nothing: right for a dry run, which wrote nothing; after a live one all stays as it is."""
    note, commands = "What is wrong now stays wrong, and people go on working with it.", list[str]()
    if run is not None and run.mode == "dry":
        note = "A dry run wrote nothing: put right what it found, then run it again."
        commands = [REDO_DRY[run.importer]] if run.importer in REDO_DRY else []
    return Way("level 0", True, 0, 0, 0, 0, (*commands,), (note,))


def rerun(runs: Sequence[Run], asked: Run | None, missing: bool, unmapped: bool) -> Way:
    """Guide §4.1, option A: an importer skips the records that are there.

    Parameters
    ----------
    asked : Run or None
        The run to take up again; else the last live one that did not come to its end, or the last one.
    missing, unmapped : bool
        Whether something that an import should have brought is missing; whether mappings are, so that a sync would not
        know what is there.
    """
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back and not run.superseded_by]
    unfinished = [run for run in live if run.status != "completed"]
    run = asked or next(reversed(unfinished or live), None)
    why = ""
    if run is None or run.mode == "dry":
        return Way("re-run", False, notes=("There is no live run to take up again.",))
    if unmapped and run.importer != "csv":
        why = "Mappings are missing: a sync would make every event, and its registrations, once more. Put them back first."
    elif run.status == "completed" and not missing:
        why = "The run came to its end and nothing is missing: another would bring nothing that this one did not."
    if why:
        return Way("re-run", False, notes=(why,))
    note = "It brings again what is missing. What is there and wrong is not put right by it."
    if run.status != "completed":
        note = f"{run.run} is {run.status}: {run.why}. What is there and wrong is not put right by running it again."
    if run.importer not in RERUN:
        note += " Run it with the same export files."
    kind = run.importer, "live", "completed"
    seconds = [
        other.duration
        for other in runs
        if (other.importer, other.mode, other.status) == kind
        and other.sync != "incremental"
        and other.duration
    ]
    commands = (RERUN[run.importer],) if run.importer in RERUN else ()
    return Way("re-run", True, 0, 0, 0, max(seconds, default=None), commands, (note,))


def together(ways: Mapping[str, Way]) -> Way:
    """Guide §4.2 to §4.4: mappings, tiers, duplicates and policies, each by its own plan, as one way."""
    possible = [way for way in ways.values() if way.possible]
    notes = [
        f"{name}: {way.rows_reverted:,} rows to change. {' '.join(way.notes)}".strip()
        if way.possible
        else f"{name}: {way.notes[0]}"
        for name, way in ways.items()
    ]
    if not possible:
        return Way("targeted", False, notes=tuple(notes) or ("There is nothing to correct.",))
    rows = sum(way.rows_reverted or 0 for way in possible)
    left = sum(way.references_at_risk or 0 for way in possible)
    seconds = sum(way.seconds or 0 for way in possible)
    commands = tuple(command for way in possible for command in way.commands)
    return Way("targeted", True, rows, 0, left, seconds, commands, tuple(notes))


def ways_frame(ways: Sequence[Way], recommended: str | None, dangling: int | None) -> pd.DataFrame:
    """Lay out the ways; a figure that is not known is missing, never zero.

    Whether the references that dangle now are a run's own is not known: they count as staying, whatever is done.
    """
    frame = pd.DataFrame(ways, columns=[*Way._fields]).rename(columns={"seconds": "minutes"})
    frame.insert(1, "what", frame["way"].map(TITLES))
    frame["minutes"] = (frame["minutes"].astype(float) / 60).map(math.ceil, na_action="ignore")
    figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
    frame = frame.astype(dict.fromkeys(figures, "Int64"))
    return frame.assign(
        references_at_risk=frame["references_at_risk"] + (pd.NA if dangling is None else dangling),
        recommended=frame["way"] == recommended,
        notes=frame["notes"].map(" ".join),
        commands=frame["commands"].map("\n".join),
    )
