"""The ways out of a failed migration and what each costs here (guide §3, §4 and its quick reference card).

A figure is measured on this database or missing; an unknown cost is never zero.
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
from workbench.runs.plan import REDO_DRY, RERUN, LevelZero

TITLES = {
    "level 0": "Stop, and change nothing",
    "re-run": "Run the import again",
    "level 1": "Roll one run back",
    "targeted": "Correct what is wrong, record by record",
    "level 2": "Restore the whole database",
}

_LEFT = {
    "kept": "rows are kept, for people's work or because a run did not make them.",
    "conflict": "columns were changed by the run and by somebody after it.",
    "unresolved": "rows need more evidence, such as a snapshot.",
}


class Way(NamedTuple):
    """One way out.

    Attributes
    ----------
    way : str
        Its name, of `TITLES`.
    possible : bool
        Whether it is possible here and now.
    rows_reverted, work_lost : int or None
        Rows that it would put back, remove or correct; rows of people's work that it would lose.
    references_at_risk : int or None
        Rows that it would leave in conflict or unresolved.
    seconds : float or None
        Of the machine, without reading and approving.
    commands, notes : tuple of str
        How to do it; what to know before, or why it is not possible.
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
    """Make a plan for its figures; applying one takes no longer than making it."""
    begun = perf_counter()
    try:
        plan = make()
    except (Refused, SchemaGap, UsageError) as error:
        return Way(way, False, commands=(command,), notes=(str(error),))
    seconds = perf_counter() - begun
    assert isinstance(plan, Plan), "a dry run is not rolled back"
    rows = {name: sum(part.rows for part in plan.sections if part.name == name) for name in _LEFT}
    notes = tuple(f"{count:,} {_LEFT[name]}" for name, count in rows.items() if count)
    return Way(way, True, plan.total, 0, rows["conflict"] + rows["unresolved"], seconds, (command,), notes)


def level_0(run: Run | None) -> Way:
    """Guide §3, level 0: change nothing; right for a dry run, which wrote nothing."""
    if run is None or run.mode != "dry":
        return Way("level 0", True, 0, 0, 0, 0, (), ("What is wrong now stays wrong.",))
    commands = (REDO_DRY[run.importer],) if run.importer in REDO_DRY else ()
    note = "A dry run wrote nothing: correct what it found, then run it again."
    return Way("level 0", True, 0, 0, 0, 0, commands, (note,))


def rerun(runs: Sequence[Run], asked: Run | None, missing: bool, unmapped: bool) -> Way:
    """Guide §4.1, option A: run the import again, which skips existing records.

    Parameters
    ----------
    asked : Run or None
        The run to repeat; by default the last live one that did not complete, or else the last one.
    missing, unmapped : bool
        Whether imported records are missing; whether mappings are, without which a sync makes its records again.
    """
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back and not run.superseded_by]
    unfinished = [run for run in live if run.status != "completed"]
    run = asked or next(reversed(unfinished or live), None)
    why = ""
    if run is None or run.mode == "dry":
        why = "There is no live run to repeat."
    elif unmapped and run.importer != "csv":
        why = "Mappings are missing: a sync would make every event and its registrations again. Rebuild them first."
    elif run.status == "completed" and not missing:
        why = "The run completed and nothing is missing, so another would bring nothing new."
    if run is None or why:
        return Way("re-run", False, notes=(why,))
    note = "It brings what is missing; wrong records stay wrong."
    if run.status != "completed":
        note = f"{run.run} is {run.status}: {run.why}. {note}"
    if run.importer not in RERUN:
        note += " Run it with the same export files."
    completed = [
        other.duration
        for other in runs
        if (other.importer, other.mode, other.status) == (run.importer, "live", "completed")
        and other.sync != "incremental"
        and other.duration
    ]
    commands = (RERUN[run.importer],) if run.importer in RERUN else ()
    return Way("re-run", True, 0, 0, 0, max(completed, default=None), commands, (note,))


def together(ways: Mapping[str, Way]) -> Way:
    """Guide §4.2 to §4.4: the corrections of mappings, tiers, duplicates and policies as one way."""
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


def ways_frame(ways: Sequence[Way], recommended: str | None) -> pd.DataFrame:
    """Return the ways as a table, with whole ``minutes``; an unknown figure is missing."""
    frame = pd.DataFrame(ways, columns=[*Way._fields]).rename(columns={"seconds": "minutes"})
    frame.insert(1, "what", frame["way"].map(TITLES))
    frame["minutes"] = (frame["minutes"].astype(float) / 60).map(math.ceil, na_action="ignore")
    figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
    return frame.astype(dict.fromkeys(figures, "Int64")).assign(
        recommended=frame["way"] == recommended,
        notes=frame["notes"].map(" ".join),
        commands=frame["commands"].map("\n".join),
    )
