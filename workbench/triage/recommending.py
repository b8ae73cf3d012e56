"""Which runs are to blame, and which way to take: one decision, pure, every branch of it with its reason in words."""

from __future__ import annotations

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
        return self.share >= SPOILED or not {*CONDEMNING}.isdisjoint(self.named)


def find_suspects(
    connection: Connection, schema: Schema, runs: Sequence[Run], modes: Sequence[Mode]
) -> list[Suspect]:
    """Tell which live runs wrote the records at fault, or are named themselves; the worst first."""
    findings = [(mode.section, finding) for mode in modes for finding in mode.findings]
    keys = {
        value
        for section, finding in findings
        for column in ("key", "target")
        if section in _OF_RECORDS and column in finding.rows
        for value in finding.rows[column].dropna().astype(str)
    }
    blamed: dict[str, set[tuple[str, str]]] = {}
    for entity in ENTITIES if keys else ():
        if schema.has(CONCEPT_OF[entity]):
            for key, author in last_writers(connection, schema, runs, entity, keys).items():
                blamed.setdefault(author.run.run, set()).add((entity, key))
    named = {
        run.run: tuple(
            sorted(
                finding.check
                for _, finding in findings
                if "key" in finding.rows and run.run in set(finding.rows["key"].astype(str))
            )
        )
        for run in runs
    }
    suspects = [
        Suspect(
            run,
            len(blamed.get(run.run, ())),
            sum(cells.get(did, 0) for cells in run.counts.values() for did in ("created", "updated")),
            named[run.run],
        )
        for run in runs
        if run.mode != "dry" and not run.rolled_back and (run.run in blamed or named[run.run])
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
    if run is not None and run.mode == "dry":
        return Advice(
            "level 0", f"{run.run} was a dry run: nothing was written, so nothing is to be taken back."
        )
    if not here:
        unknown = ", ".join(each.name.lower() for each in modes if each.state == "not known")
        rest = f" Not everything could be asked: {unknown}." if unknown else ""
        return Advice("level 0", f"No failure was found, so there is nothing to recover from.{rest}")
    if any(each.check == WRONG_DATABASE for each in shown):
        return _whole(
            ways, "The data and the environment disagree: an import may have run against the wrong database."
        )
    if bad and run is not None and run.run not in {each.run.run for each in bad}:
        why = f"Run {run.run} is not at fault as a whole, but {_names(bad)} is: ask about that one."
        return Advice(None, why)
    if len(bad) > 1:
        return _whole(ways, f"{len(bad)} runs are bad ({_names(bad)}), and what they did is entangled.")
    if bad:
        return _one_run(ways, bad[0])
    if not failed:
        unasked = ", ".join(each.title for mode in modes for each in mode.unanswered)
        rest = f" Not everything could be asked: {unasked}." if unasked else ""
        return Advice(
            "level 0",
            f"Only warnings: {', '.join(each.title for each in shown)}. Look at each of them first; nothing has to be taken"
            f" back for them alone.{rest}",
        )
    if {each.check for each in failed} == {LEFT_OUT} and ways["re-run"].possible:
        rows = failed[0].rows
        names = ", ".join(f"{key} ({why})" for key, why in rows[["key", "reason"]].head(3).to_numpy())
        return Advice(
            "re-run",
            f"What is here is right, but an import left records out: {names}{', ...' if len(rows) > 3 else ''}."
            " Put each right first, where it comes from: as it is, another run leaves the same ones out.",
        )
    if {each.section for each in here if each.state == "present"} == {"§1.1"} and ways["re-run"].possible:
        if run is not None and run.status == "incomplete":
            return Advice(
                "re-run",
                f"What is there is right, but {run.run} did not get all of it: {run.why}. Put right first why"
                " (credentials, filters), then import again: the records that are there are skipped (guide §4.1).",
            )
        return Advice(
            "re-run",
            "Something is missing, and what is there is right: an import skips the records that are there (guide §4.1).",
        )
    if ways["targeted"].possible:
        names = ", ".join(each.name.lower() for each in here)
        return Advice(
            "targeted",
            f"What is wrong ({names}) lies in single records, and no run is bad as a whole:"
            " correcting them leaves everything else alone.",
        )
    return Advice(
        None,
        f"No correction of it could be planned by itself: a person has to decide. {failed[0].title}: {failed[0].remedy}",
    )


def _names(suspects: Sequence[Suspect]) -> str:
    names = ", ".join(each.run.run for each in suspects[:3])
    return f"{names} and {len(suspects) - 3} more" if len(suspects) > 3 else names


def _one_run(ways: Mapping[Name, Way], bad: Suspect) -> Advice:
    condemned = [each for each in CONDEMNING if each in bad.named]
    why = (
        f"Run {bad.run.run} is bad as a whole, by the check {condemned[0]}."
        if condemned
        else f"{bad.share:.0%} of what run {bad.run.run} wrote is at fault ({bad.culprits:,} of {bad.written:,} records):"
        " the run is bad, and not some of its records."
    )
    if ways["level 1"].possible:
        return Advice("level 1", f"{why} Rolling it back keeps what people did since.")
    return _whole(ways, f"{why} It cannot be rolled back alone.")


def _whole(ways: Mapping[Name, Way], why: str) -> Advice:
    if ways["level 2"].possible:
        return Advice("level 2", why)
    if ways["level 1"].possible:
        return Advice(
            "level 1", f"{why} There is no proved snapshot to go back to, so run by run, the latest first."
        )
    return Advice(
        None, f"{why} Neither a restore nor a rollback is possible here: see what each of them lacks."
    )
