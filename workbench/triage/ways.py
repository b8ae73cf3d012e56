"""The ways out of a failed migration, each with what it costs here: guide §3, §4 and its quick reference card.

A figure is measured on this database, or it is not there: an unknown cost is never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, NamedTuple

from workbench.errors import Refused, SchemaGap, UsageError
from workbench.murmurant.importers import Run
from workbench.plans.plan import Plan
from workbench.runs.telling import REDO_DRY, RERUN, LevelZero

Name = Literal["level 0", "re-run", "level 1", "targeted", "level 2"]

TITLES: dict[Name, str] = {
    "level 0": "Stop, and change nothing",
    "re-run": "Run the import again",
    "level 1": "Roll one run back",
    "targeted": "Correct what is wrong, record by record",
    "level 2": "Restore the whole database",
}


@dataclass(frozen=True)
class Way:
    """One way out.

    Attributes
    ----------
    way : str
        ``level 0``, ``re-run``, ``level 1``, ``targeted`` or ``level 2``.
    possible : bool
        Whether it can be gone here and now.
    rows_reverted : int or None
        Rows that it would put back, take away or correct.
    work_lost : int or None
        Rows of people's work that it would lose.
    references_at_risk : int or None
        Rows that stay wrong or unsettled because something else refers to them.
    minutes : int or None
        Of the machine, rounded up; reading, asking and approving come on top.
    commands : tuple of str
        How to go it.
    notes : tuple of str
        What to know before; where it is not possible, why, and what would make it so.
    """

    way: Name
    possible: bool
    rows_reverted: int | None = None
    work_lost: int | None = None
    references_at_risk: int | None = None
    minutes: int | None = None
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Trial(NamedTuple):
    """A plan made for its figures alone, and thrown away.

    Attributes
    ----------
    command : str
        What makes this plan in earnest.
    seconds : float
        How long planning took; applying takes no longer (`benchmarks/rollback.py` measures both).
    refused : str
        Why there is none; empty where there is one.
    rows, kept, conflict, unresolved : int
        How many rows it would change, how many are kept, and what is left for a person to decide.
    """

    command: str
    seconds: float
    refused: str = ""
    rows: int = 0
    kept: int = 0
    conflict: int = 0
    unresolved: int = 0


def attempt(command: str, make: Callable[[], Plan | LevelZero]) -> Trial:
    """Make a plan for its figures."""
    begun = perf_counter()
    try:
        plan = make()
    except (Refused, SchemaGap, UsageError) as error:
        return Trial(command, perf_counter() - begun, str(error))
    seconds = perf_counter() - begun
    if isinstance(plan, LevelZero):
        return Trial(command, seconds, "It was a dry run, which wrote nothing.")
    noted = {
        name: sum(each.rows for each in plan.sections if each.name == name)
        for name in ("kept", "conflict", "unresolved")
    }
    return Trial(command, seconds, "", plan.total, **noted)


def level_0(run: Run | None, dangling: int | None) -> Way:
    """Change nothing: right for a dry run, which wrote nothing; after a live one all stays as it is."""
    if run is None or run.mode != "dry":
        note = "What is wrong now stays wrong, and people go on working with it."
        return Way("level 0", True, 0, 0, dangling, 0, notes=(note,))
    commands = tuple(filter(None, [REDO_DRY.get(run.importer)]))
    note = "A dry run wrote nothing: put right what it found, then run it again."
    return Way("level 0", True, 0, 0, dangling, 0, commands, (note,))


def rerun(
    run: Run | None, runs: Sequence[Run], dangling: int | None, missing: bool, unmapped: bool = False
) -> Way:
    """Guide §4.1, option A: an importer skips the records that are there.

    Parameters
    ----------
    run : Run or None
        The live run to take up again.
    missing : bool
        Whether something that an import brought, or should have brought, is missing.
    unmapped : bool
        Whether mappings are missing, so that a sync would not know what is there.
    """
    why = ""
    if unmapped and run is not None and run.importer != "csv":
        why = "Mappings are missing: a sync would make every event, and all of its registrations, once more. Put the mappings back first."
    elif run is None or run.mode == "dry":
        why = "There is no live run to take up again."
    elif run.status == "completed" and not missing:
        why = "The run came to its end and nothing is missing: another would bring nothing that this one did not."
    if why or run is None:
        return Way("re-run", False, notes=(why,))
    stopped = run.status != "completed"
    notes = [f"{run.run} is {run.status}: {run.why}." if stopped else "It brings again what is missing."]
    if run.status == "incomplete":
        notes.append("Put right first what its report warns of, or it ends the same way.")
    notes.append("What is there and wrong is not put right by it.")
    whole = [
        each.duration
        for each in runs
        if (each.importer, each.mode, each.status) == (run.importer, "live", "completed")
        and each.sync != "incremental"
        and each.duration is not None
    ]
    if not whole:
        notes.append("No complete run of this importer is known here, so its time is not.")
    if run.importer not in RERUN:
        notes.append("Run the CSV import once more, with the same export files.")
    commands = tuple(filter(None, [RERUN.get(run.importer)]))
    return Way("re-run", True, 0, 0, dangling, minutes(max(whole, default=None)), commands, tuple(notes))


def level_1(trial: Trial | None, dangling: int | None) -> Way:
    """Guide §3, level 1: everything one run did, and nothing that people did."""
    if trial is None:
        return Way("level 1", False, notes=("There is no live run to roll back.",))
    if trial.refused:
        return Way("level 1", False, commands=(trial.command,), notes=(trial.refused,))
    notes = [f"{trial.kept:,} rows are kept, for people's work or because the run did not make them."]
    if trial.conflict:
        notes.append(f"{trial.conflict:,} columns were changed by the run and by somebody after it.")
    if trial.unresolved:
        notes.append(f"{trial.unresolved:,} rows cannot be told without more evidence, such as a snapshot.")
    # Whether those that dangle now are this run's own is not known: they count as staying.
    unsettled = None if dangling is None else dangling + trial.conflict + trial.unresolved
    return Way(
        "level 1", True, trial.rows, 0, unsettled, minutes(trial.seconds), (trial.command,), tuple(notes)
    )


def targeted(trials: Mapping[str, Trial], dangling: int | None) -> Way:
    """Guide §4.2 to §4.4: mappings, tiers, duplicates and policies, each by its own plan."""
    made = {name: each for name, each in trials.items() if not each.refused}
    left = {name: each.conflict + each.unresolved for name, each in made.items()}
    notes = [
        f"{name}: {each.rows:,} rows to change{f', {left[name]:,} left for a person to decide' if left[name] else ''}."
        for name, each in made.items()
    ]
    notes += [f"{name}: {each.refused}" for name, each in trials.items() if each.refused]
    if not made:
        return Way("targeted", False, notes=tuple(notes) or ("There is nothing to correct.",))
    return Way(
        "targeted",
        True,
        sum(each.rows for each in made.values()),
        0,
        None if dangling is None else dangling + sum(left.values()),
        minutes(sum(each.seconds for each in made.values())),
        tuple(each.command for each in made.values()),
        tuple(notes),
    )


def minutes(seconds: float | None) -> int | None:
    """Round a measured time up to minutes; None stays None."""
    return None if seconds is None else max(1, math.ceil(seconds / 60))
