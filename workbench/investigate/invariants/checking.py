"""The invariants by name, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.investigate.invariants import counting, identities, moments
from workbench.investigate.invariants.documents import Evidence, NotTold, Violation


@dataclass(frozen=True)
class Invariant:
    """Something that must hold of an import's files.

    Attributes
    ----------
    id, question : str
        For commands and for people.
    ask : callable
        Yields what violates it; raises `NotTold` where nothing is there to judge by.
    """

    id: str
    question: str
    ask: Callable[[Evidence], Iterator[Violation]]


@dataclass(frozen=True)
class Outcome:
    """What became of one invariant.

    Attributes
    ----------
    status : {"pass", "fail", "not run"}
        What could not be judged is never a pass; what was found all the same makes it a failure.
    why : str
        Why it was not run, or not of everything.
    violations : tuple of Violation
        All of them.
    """

    invariant: Invariant
    status: str
    why: str
    violations: tuple[Violation, ...]


def _readable(evidence: Evidence) -> Iterator[Violation]:
    if not (evidence.documents or evidence.exports or evidence.unreadable):
        raise NotTold("There is no report, id map or export here.")
    yield from evidence.unreadable


INVARIANTS = (
    Invariant("readable", "Can every report, id map and export be read whole?", _readable),
    Invariant(
        "wa-ids-present", "Has everything that was processed a Wild Apricot id?", identities.wa_ids_present
    ),
    Invariant("wa-ids-unique", "Does no Wild Apricot id occur twice?", identities.wa_ids_unique),
    Invariant(
        "murmurant-ids-present",
        "Has everything that a live run processed a Murmurant id?",
        identities.murmurant_ids_present,
    ),
    Invariant("counts-add-up", "Is every total the sum of its parts?", counting.counts_add_up),
    Invariant(
        "counts-not-negative",
        "Is every count a whole number, and none below zero?",
        counting.counts_not_negative,
    ),
    Invariant(
        "mappings-processed",
        "Is only mapped what the run's report says was processed?",
        identities.mappings_processed,
    ),
    Invariant(
        "timestamps-valid",
        "Is every time readable, in order, and not in the future?",
        moments.timestamps_valid,
    ),
    Invariant("success-deserved", "Do the runs that say success deserve it?", counting.success_deserved),
)
"""Every invariant, in the order in which they are asked."""


def check_invariants(evidence: Evidence) -> list[Outcome]:
    """Ask every invariant of an import's files."""
    found = []
    for invariant in INVARIANTS:
        violations: list[Violation] = []
        why = ""
        try:
            for each in invariant.ask(evidence):
                violations.append(each)
        except NotTold as reason:
            why = str(reason)
        status = "fail" if violations else "not run" if why else "pass"
        found.append(Outcome(invariant, status, why, tuple(violations)))
    return found


def outcomes_frame(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Lay outcomes out as a table: ``invariant``, ``question``, ``status``, ``count``, ``why``."""
    rows = [
        (each.invariant.id, each.invariant.question, each.status, len(each.violations), each.why)
        for each in outcomes
    ]
    return pd.DataFrame(rows, columns=["invariant", "question", "status", "count", "why"])


def violations_frame(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Lay out what violates them: ``invariant``, ``file``, ``key``, ``says``."""
    rows = [(each.invariant.id, *one) for each in outcomes for one in each.violations]
    return pd.DataFrame(rows, columns=["invariant", "file", "key", "says"])
