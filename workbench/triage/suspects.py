"""Which runs are to blame: whose records the culprits are, and how much of a run they make up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.runs.records import last_writers
from workbench.triage.modes import Mode

WRONG_DATABASE = "environment-wrong"
"""The check that says that a run's data are of another environment."""

SPOILED = 0.5
"""From which share of a run's records on the run is called bad, and not merely some of its records."""

CONDEMNING = (WRONG_DATABASE, "config-differs")
"""Checks whose finding makes a run bad, whatever its records look like: all of them are suspect (guide §1.6)."""

_OF_RECORDS = ("§1.2", "§1.4")
# What is wrong in one field (a tier, a capacity) is put right in that field; only records that should not be
# there, or lead to somebody else, speak against the run that made them.

_NAMES_A_RECORD = ("key", "target")


@dataclass(frozen=True)
class Suspect:
    """A live run, and how many of the records it wrote last are at fault.

    Attributes
    ----------
    run : Run
        The run.
    culprits, written : int
        Its records at fault; all that it created or updated.
    named : tuple of str
        The checks that name the run itself, such as an interrupted one.
    """

    run: Run
    culprits: int
    written: int
    named: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Which part of what it wrote is at fault."""
        return min(self.culprits / self.written, 1.0) if self.written else 0.0

    @property
    def bad(self) -> bool:
        """Whether the run itself is at fault, and not merely some of its records."""
        return self.share >= SPOILED or bool(set(CONDEMNING).intersection(self.named))


def find_suspects(
    connection: Connection, schema: Schema, runs: Sequence[Run], modes: Sequence[Mode]
) -> tuple[Suspect, ...]:
    """Tell which live runs wrote the records at fault, or are named themselves; the worst first."""
    keys, named = _culprits(modes), _named(runs, modes)
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for entity in ENTITIES if keys else ():
        if schema.has(CONCEPT_OF[entity]):
            for key, author in last_writers(connection, schema, runs, entity, keys).items():
                found[author.run.run].add((entity, key))
    suspects = [
        Suspect(each, len(found.get(each.run, ())), _written(each), named.get(each.run, ()))
        for each in runs
        if each.mode != "dry" and not each.rolled_back and (each.run in found or each.run in named)
    ]
    return tuple(
        sorted(suspects, key=lambda each: (not each.bad, -each.share, -len(each.named), each.run.run))
    )


def in_question(runs: Sequence[Run], suspects: Sequence[Suspect]) -> Run | None:
    """Choose the run to look at where nobody named one.

    It is one whose data are of another environment; else one that is bad as a whole; else one that did not come to
    its end; else any live one. Of several it is the latest, since runs are rolled back the latest first.
    """
    stray = {each.run.run for each in suspects if WRONG_DATABASE in each.named}
    bad = {each.run.run for each in suspects if each.bad}
    live = [each for each in runs if each.mode != "dry" and not each.rolled_back]
    stopped = {each.run for each in live if each.status != "completed" and not each.superseded_by}
    for chosen in (stray, bad, stopped):
        if found := [each for each in live if each.run in chosen]:
            return found[-1]
    return live[-1] if live else None


def _culprits(modes: Sequence[Mode]) -> set[str]:
    return {
        value
        for mode in modes
        if mode.section in _OF_RECORDS
        for finding in mode.findings
        for column in _NAMES_A_RECORD
        if column in finding.rows
        for value in finding.rows[column].dropna().astype(str)
    }


def _named(runs: Sequence[Run], modes: Sequence[Mode]) -> dict[str, tuple[str, ...]]:
    ids = {each.run for each in runs}
    found: dict[str, list[str]] = defaultdict(list)
    for mode in modes:
        for finding in mode.findings:
            if "key" in finding.rows:
                for key in ids.intersection(finding.rows["key"].dropna().astype(str)):
                    found[key].append(finding.check)
    return {run: tuple(sorted(checks)) for run, checks in found.items()}


def _written(run: Run) -> int:
    return sum(cells.get(action, 0) for cells in run.counts.values() for action in ("created", "updated"))
