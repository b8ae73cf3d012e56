"""The ways out of a failed migration, each with what it costs here: guide §3, §4 and its quick reference card.

A figure is measured on this database, or it is not there: an unknown cost is never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    way: Name
    possible: bool
    rows_reverted: int | None = None
    work_lost: int | None = None
    references_at_risk: int | None = None
    seconds: float | None = None
    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def attempt(way: Name, command: str, make: Callable[[], Plan | LevelZero]) -> Way:
    """Make a plan for its figures alone; applying one takes no longer than making it."""
    begun = perf_counter()
    try:
        plan = make()
    except (Refused, SchemaGap, UsageError) as error:
        return Way(way, False, commands=(command,), notes=(str(error),))
    seconds = perf_counter() - begun
    if isinstance(plan, LevelZero):
        return Way(way, False, commands=(command,), notes=(str(plan),))
    words = {
        "kept": "rows are kept, for people's work or because a run did not make them.",
        "conflict": "columns were changed by the run and by somebody after it.",
        "unresolved": "rows cannot be told without more evidence, such as a snapshot.",
    }
    rows = {name: sum(each.rows for each in plan.sections if each.name == name) for name in words}
    notes = tuple(f"{count:,} {words[name]}" for name, count in rows.items() if count)
    left = rows["conflict"] + rows["unresolved"]
    return Way(way, True, plan.total, 0, left, seconds, (command,), notes)


def level_0(run: Run | None) -> Way:
    """Change nothing: right for a dry run, which wrote nothing; after a live one all stays as it is."""
    if run is None or run.mode != "dry":
        note = "What is wrong now stays wrong, and people go on working with it."
        return Way("level 0", True, 0, 0, 0, 0, notes=(note,))
    commands = (REDO_DRY[run.importer],) if run.importer in REDO_DRY else ()
    note = "A dry run wrote nothing: put right what it found, then run it again."
    return Way("level 0", True, 0, 0, 0, 0, commands, (note,))


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
    live = [each for each in runs if each.mode != "dry" and not each.rolled_back and not each.superseded_by]
    run = asked or next(reversed([each for each in live if each.status != "completed"] or live), None)
    if run is None or run.mode == "dry":
        return Way("re-run", False, notes=("There is no live run to take up again.",))
    if unmapped and run.importer != "csv":
        why = "Mappings are missing: a sync would make every event, and all of its registrations, once more."
        return Way("re-run", False, notes=(f"{why} Put the mappings back first.",))
    stopped = run.status != "completed"
    if not stopped and not missing:
        why = "The run came to its end and nothing is missing: another would bring nothing that this one did not."
        return Way("re-run", False, notes=(why,))
    notes = [f"{run.run} is {run.status}: {run.why}." if stopped else "It brings again what is missing."]
    if run.status == "incomplete":
        notes.append("Put right first what its report warns of, or it ends the same way.")
    notes.append("What is there and wrong is not put right by it.")
    whole = (run.importer, "live", "completed")
    took = [
        each.duration
        for each in runs
        if (each.importer, each.mode, each.status) == whole and each.sync != "incremental" and each.duration
    ]
    if not took:
        notes.append("No complete run of this importer is known here, so its time is not.")
    if run.importer not in RERUN:
        notes.append("Run the CSV import once more, with the same export files.")
    commands = (RERUN[run.importer],) if run.importer in RERUN else ()
    return Way("re-run", True, 0, 0, 0, max(took, default=None), commands, tuple(notes))


def together(ways: Mapping[str, Way]) -> Way:
    """Guide §4.2 to §4.4: mappings, tiers, duplicates and policies, each by its own plan, as one way."""
    made = {name: each for name, each in ways.items() if each.possible}
    notes = [
        f"{name}: {each.rows_reverted:,} rows to change. {' '.join(each.notes)}".strip()
        if each.possible
        else f"{name}: {each.notes[0]}"
        for name, each in ways.items()
    ]
    if not made:
        return Way("targeted", False, notes=tuple(notes) or ("There is nothing to correct.",))
    rows, left, seconds = (
        sum(getattr(each, name) for each in made.values())
        for name in ("rows_reverted", "references_at_risk", "seconds")
    )
    commands = tuple(command for each in made.values() for command in each.commands)
    return Way("targeted", True, rows, 0, left, seconds, commands, tuple(notes))
