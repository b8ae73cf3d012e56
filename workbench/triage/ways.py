"""The ways out of a failed migration, each with what it costs here: guide §3, §4 and its quick reference card.

A figure is measured on this database, or it is not there: an unknown cost is never a zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench.murmurant.importers import Run
from workbench.plans.plan import Plan
from workbench.runs.telling import REDO_DRY, RERUN

Name = Literal["level 0", "re-run", "level 1", "targeted", "level 2"]

TITLES: dict[Name, str] = {
    "level 0": "Stop, and change nothing",
    "re-run": "Run the import again",
    "level 1": "Roll one run back",
    "targeted": "Correct what is wrong, record by record",
    "level 2": "Restore the whole database",
}
HAS_STOPPED = ("incomplete", "interrupted", "failed", "unknown")


@dataclass(frozen=True)
class Trial:
    """A plan made for its figures alone, and thrown away.

    Attributes
    ----------
    plan : Plan or None
        None where there is nothing to plan, or it was refused.
    seconds : float
        How long planning took; applying takes no longer (`benchmarks/rollback.py` measures both).
    command : str
        What makes this plan in earnest.
    refused : str
        Why there is none.
    """

    command: str
    plan: Plan | None = None
    seconds: float = 0.0
    refused: str = ""
    kept: int = 0
    conflicts: int = 0
    unresolved: int = 0

    @property
    def rows(self) -> int:
        """How many rows it would change."""
        return self.plan.total if self.plan else 0

    @property
    def minutes(self) -> int | None:
        """How long applying takes, at most; None where there is nothing to apply."""
        return minutes(self.seconds) if self.plan else None


@dataclass(frozen=True)
class Checkpoint:
    """A snapshot that a restore could go back to, and what a restore to it would lose.

    Attributes
    ----------
    name, taken : str
        The snapshot's name, and when it was taken.
    verified : bool
        Whether its last verification passed.
    seconds : float or None
        How long restoring it took when it was verified.
    reverts : int or None
        Rows that differ from it today and are a run's doing.
    loses : int or None
        Rows that people, or good runs, wrote since.
    """

    name: str
    taken: str
    verified: bool
    seconds: float | None = None
    reverts: int | None = None
    loses: int | None = None


@dataclass(frozen=True)
class Way:
    """One way out.

    Attributes
    ----------
    name : str
        ``level 0``, ``re-run``, ``level 1``, ``targeted`` or ``level 2``.
    possible : bool
        Whether it can be gone here and now.
    reverts : int or None
        Rows that it would put back, take away or correct.
    loses : int or None
        Rows of people's work that it would lose.
    at_risk : int or None
        References at risk: rows that stay wrong or unsettled because something else refers to them.
    minutes : int or None
        Of the machine, rounded up; reading, asking and approving come on top.
    commands : tuple of str
        How to go it.
    notes : tuple of str
        What to know before; where it is not possible, why, and what would make it so.
    """

    name: Name
    possible: bool
    reverts: int | None = None
    loses: int | None = None
    at_risk: int | None = None
    minutes: int | None = None
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def title(self) -> str:
        """What it is, in words."""
        return TITLES[self.name]


def level_0(run: Run | None, dangling: int | None) -> Way:
    """Change nothing: right for a dry run, which wrote nothing; after a live one all stays as it is."""
    dry = run is not None and run.mode == "dry"
    command = REDO_DRY.get(run.importer) if run is not None and dry else None
    note = (
        "A dry run wrote nothing: put right what it found, then run it again."
        if dry
        else "What is wrong now stays wrong, and people go on working with it."
    )
    return Way("level 0", True, 0, 0, dangling, 0, (command,) if command else (), (note,))


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
    if unmapped and run is not None and run.importer != "csv":
        why = "Mappings are missing: a sync would make every event, and all of its registrations, once more."
        return Way("re-run", False, notes=(f"{why} Put the mappings back first.",))
    if run is None or run.mode == "dry":
        return Way("re-run", False, notes=("There is no live run to take up again.",))
    stopped = run.status in HAS_STOPPED
    if not stopped and not missing:
        why = "The run came to its end and nothing is missing: another would bring nothing that this one did not."
        return Way("re-run", False, notes=(why,))
    whole = [
        each
        for each in runs
        if each.importer == run.importer
        and each.mode == "live"
        and each.status == "completed"
        and each.sync != "incremental"
    ]
    seconds = max((each.duration for each in whole if each.duration is not None), default=None)
    notes = [
        f"{run.run} is {run.status}: {run.why}." if stopped else "It brings again what is missing.",
        *(
            ["Put right first what its report warns of, or it ends the same way."]
            if run.status == "incomplete"
            else []
        ),
        "What is there and wrong is not put right by it.",
    ]
    if seconds is None:
        notes.append("No complete run of this importer is known here, so its time is not.")
    command = RERUN.get(run.importer)
    if command is None:
        notes.append("Run the CSV import once more, with the same export files.")
    commands = (command,) if command else ()
    return Way("re-run", True, 0, 0, dangling, minutes(seconds), commands, tuple(notes))


def level_1(run: Run | None, trial: Trial | None, dangling: int | None) -> Way:
    """Guide §3, level 1: everything one run did, and nothing that people did."""
    if run is None or trial is None:
        return Way("level 1", False, notes=("There is no live run to roll back.",))
    if trial.plan is None:
        return Way("level 1", False, commands=(trial.command,), notes=(trial.refused,))
    notes = [f"{trial.kept:,} rows are kept, for people's work or because the run did not make them."]
    if trial.conflicts:
        notes.append(f"{trial.conflicts:,} columns were changed by the run and by somebody after it.")
    if trial.unresolved:
        notes.append(f"{trial.unresolved:,} rows cannot be told without more evidence, such as a snapshot.")
    # Whether those that dangle now are this run's own is not known: they count as staying.
    unsettled = None if dangling is None else dangling + trial.conflicts + trial.unresolved
    return Way(
        "level 1", True, trial.rows, 0, unsettled, minutes(trial.seconds), (trial.command,), tuple(notes)
    )


def targeted(trials: Mapping[str, Trial], dangling: int | None) -> Way:
    """Guide §4.2 to §4.4: mappings, tiers, duplicates and policies, each by its own plan."""
    made = {name: each for name, each in trials.items() if each.plan is not None}
    notes = []
    for name, each in made.items():
        left = each.unresolved + each.conflicts
        open_ = f", {left:,} left for a person to decide" if left else ""
        notes.append(f"{name}: {each.rows:,} rows to change{open_}.")
    notes += [f"{name}: {each.refused}" for name, each in trials.items() if each.plan is None]
    if not made:
        return Way("targeted", False, notes=tuple(notes) or ("There is nothing to correct.",))
    return Way(
        "targeted",
        True,
        sum(each.rows for each in made.values()),
        0,
        None
        if dangling is None
        else dangling + sum(each.unresolved + each.conflicts for each in made.values()),
        minutes(sum(each.seconds for each in made.values())),
        tuple(each.command for each in made.values()),
        tuple(notes),
    )


def level_2(checkpoint: Checkpoint | None, why: str, on: str = "") -> Way:
    """Guide §3, level 2: the whole database as it was, and everything since is gone.

    Which references dangle in the snapshot itself is known only once it is restored and checked.
    """
    if checkpoint is None:
        return Way("level 2", False, commands=(f"workbench snapshot list{on}",), notes=(why,))
    notes = [f"{checkpoint.name}, taken {checkpoint.taken}."]
    if not checkpoint.verified:
        notes.append(f"Nobody has proved it by restoring: `workbench snapshot verify {checkpoint.name}{on}`.")
    if checkpoint.loses is None:
        notes.append(
            f"What a restore would lose could not be counted: {why}"
            if why
            else "What a restore would lose was not counted."
        )
    elif checkpoint.loses:
        notes.append(
            f"What it loses can be planned now and put back after it: `workbench plan replay --snapshot {checkpoint.name} --run RUN_ID{on}`."
        )
    return Way(
        "level 2",
        checkpoint.verified,
        checkpoint.reverts,
        checkpoint.loses,
        None,
        minutes(checkpoint.seconds),
        (f"workbench snapshot restore {checkpoint.name}{on}",),
        tuple(notes),
    )


def minutes(seconds: float | None) -> int | None:
    """Round a measured time up to minutes; None stays None."""
    return None if seconds is None else max(1, math.ceil(seconds / 60))
