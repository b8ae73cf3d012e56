"""Which runs are to blame, and which way to take: one decision, pure, every branch of it with its reason in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.runs.evidence import last_writers
from workbench.triage.modes import Mode
from workbench.triage.ways import Name, Way

WRONG_DATABASE = "environment-wrong"
"""The check that says that a run's data are of another environment."""

CONDEMNING = (WRONG_DATABASE, "config-differs")
"""Checks whose finding makes a run bad, whatever its records look like: all of them are suspect (guide §1.6)."""

LEFT_OUT = "records-left-out"
"""The check whose rows another run leaves out again, until each is put right."""

SPOILED = 0.5
"""From which share of a run's records on the run is called bad, and not merely some of its records."""

# What is wrong in one field (a tier, a capacity) is put right in that field; only records that should not be
# there, or lead to somebody else, speak against the run that made them.
_OF_RECORDS = ("§1.2", "§1.4")


class Suspect(NamedTuple):
    """A live run: how many of the records it wrote last are at fault, of how many, and the checks that name it itself."""

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
        return self.share >= SPOILED or not {*CONDEMNING}.isdisjoint(self.named)


def find_suspects(
    connection: Connection, schema: Schema, runs: Sequence[Run], modes: Sequence[Mode]
) -> list[Suspect]:
    """Tell which live runs wrote the records at fault, or are named themselves; the worst first."""
    named, keys = defaultdict[str, set[str]](set), set[str]()
    for mode in modes:
        for finding in mode.findings:
            for column in {"key", "target"} & {*finding.rows}:
                values = {*finding.rows[column].dropna().astype(str)}
                keys |= values if mode.guide in _OF_RECORDS else set()
                for value in values if column == "key" else ():
                    named[value].add(finding.check)
    blamed = defaultdict[str, set[tuple[str, str]]](set)
    for entity in ENTITIES if keys else ():
        if schema.has(CONCEPT_OF[entity]):
            for key, author in last_writers(connection, schema, runs, entity, keys).items():
                blamed[author.run.run].add((entity, key))
    suspects = [
        Suspect(
            run,
            len(blamed[run.run]),
            sum(cells.get(did, 0) for cells in run.counts.values() for did in ("created", "updated")),
            tuple(sorted(named[run.run])),
        )
        for run in runs
        if run.mode != "dry" and not run.rolled_back and (blamed[run.run] or named[run.run])
    ]
    return sorted(suspects, key=lambda each: (not each.bad, -each.share, -len(each.named), each.run.run))


def in_question(runs: Sequence[Run], suspects: Sequence[Suspect]) -> Run | None:
    """Choose the run to look at where nobody named one.

    It is one whose data are of another environment; else one that is bad as a whole; else one that did not come to
    its end; else any live one. Of several it is the latest, since runs are rolled back the latest first.
    """
    live = [each for each in runs if each.mode != "dry" and not each.rolled_back]
    for chosen in (
        {each.run.run for each in suspects if WRONG_DATABASE in each.named},
        {each.run.run for each in suspects if each.bad},
        {each.run for each in live if each.status != "completed" and not each.superseded_by},
        {each.run for each in live},
    ):
        if those := [each for each in live if each.run in chosen]:
            return those[-1]
    return None


class Advice(NamedTuple):
    """The way to take, and why; `way` is None where nothing that is possible here would help."""

    way: Name | None
    why: str


def recommend(
    modes: Sequence[Mode], ways: Mapping[Name, Way], run: Run | None, suspects: Sequence[Suspect]
) -> Advice:
    """Recommend a way, by the guide's quick reference card and what was found here.

    Parameters
    ----------
    run : Run or None
        The run in question: the one asked about, else the one most to blame.
    suspects : sequence of Suspect
        The runs to blame, the worst first.
    """
    here = [each for each in modes if each.here]
    shown = [finding for mode in here for finding in mode.findings]
    failed = [each for each in shown if each.status == "fail"]
    bad = [each for each in suspects if each.bad]
    names = ", ".join(each.run.run for each in bad[:3]) + (
        f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    )
    silent = [each.title for mode in modes for each in mode.unanswered]
    unasked = ", ".join(silent or [each.mode.lower() for each in modes if each.state == "not known"])
    rest = f" Not everything could be asked: {unasked}." if unasked else ""
    if run is not None and run.mode == "dry":
        return Advice(
            "level 0", f"{run.run} was a dry run, which wrote nothing: nothing is to be taken back."
        )
    if not here:
        return Advice("level 0", f"No failure was found, so there is nothing to recover from.{rest}")
    if any(each.check == WRONG_DATABASE for each in shown):
        why = "The data and the environment disagree: an import may have run against the wrong database."
        return _whole(ways, why)
    if bad and run is not None and run.run not in {each.run.run for each in bad}:
        return Advice(None, f"Run {run.run} is not at fault as a whole, but {names} is: ask about that one.")
    if len(bad) > 1:
        return _whole(ways, f"{len(bad)} runs are bad ({names}), and what they did is entangled.")
    if bad:
        condemned = [each for each in CONDEMNING if each in bad[0].named]
        why = (
            f"Run {names} is bad as a whole, by the check {condemned[0]}."
            if condemned
            else f"{bad[0].share:.0%} of what run {names} wrote is at fault ({bad[0].culprits:,} of {bad[0].written:,} records):"
            " the run is bad, and not some of its records."
        )
        if ways["level 1"].possible:
            return Advice("level 1", f"{why} Rolling it back keeps what people did since.")
        return _whole(ways, f"{why} It cannot be rolled back alone.")
    if not failed:
        titles = ", ".join(each.title for each in shown)
        return Advice("level 0", f"Only warnings: {titles}. Look at each; they alone undo nothing.{rest}")
    if ways["re-run"].possible and {each.check for each in failed} == {LEFT_OUT}:
        rows = failed[0].rows
        left = ", ".join(f"{key} ({why})" for key, why in rows[["key", "reason"]].head(3).to_numpy())
        why = f"What is here is right, but an import left records out: {left}{', ...' if len(rows) > 3 else ''}."
        return Advice("re-run", f"{why} Put each right where it comes from first, or it is left out again.")
    if ways["re-run"].possible and {each.guide for each in here if each.state == "present"} == {"§1.1"}:
        why = "What is here is right, and something is missing: an import skips the records that are there (guide §4.1)."
        if run is not None and run.status == "incomplete":
            why += f" Put right first why {run.run} did not get all of it (credentials, filters): {run.why}."
        return Advice("re-run", why)
    if ways["targeted"].possible:
        wrong = ", ".join(each.mode.lower() for each in here)
        why = f"What is wrong ({wrong}) lies in single records, and no run is bad as a whole:"
        return Advice("targeted", f"{why} correcting them leaves everything else alone.")
    why = "No correction of it could be planned by itself: a person has to decide."
    return Advice(None, f"{why} {failed[0].title}: {failed[0].remedy}")


def _whole(ways: Mapping[Name, Way], why: str) -> Advice:
    if ways["level 2"].possible:
        return Advice("level 2", why)
    if ways["level 1"].possible:
        why += " There is no proved snapshot to go back to, so run by run, the latest first."
        return Advice("level 1", why)
    return Advice(None, f"{why} Neither a restore nor a rollback is possible here: see what each lacks.")
