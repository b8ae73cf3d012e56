"""Which way to take: one decision, pure, every branch of it with its reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workbench.murmurant.importers import Run
from workbench.triage.modes import Mode
from workbench.triage.suspects import CONDEMNING, WRONG_DATABASE, Suspect
from workbench.triage.ways import Name, Way

LEFT_OUT = "records-left-out"
"""The check whose rows another run leaves out again, until each is put right."""


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
    if run is not None and run.mode == "dry":
        return Advice(
            "level 0", f"{run.run} was a dry run: nothing was written, so nothing is to be taken back."
        )
    if not here:
        unknown = [each.name for each in modes if each.state == "not known"]
        open_ = f" Not everything could be asked: {', '.join(unknown).lower()}." if unknown else ""
        return Advice("level 0", f"No failure was found, so there is nothing to recover from.{open_}")
    if any(each.check == WRONG_DATABASE for mode in here for each in mode.findings):
        return _whole(
            ways, "The data and the environment disagree: an import may have run against the wrong database."
        )
    bad = [each for each in suspects if each.bad]
    if bad and run is not None and run.run not in {each.run.run for each in bad}:
        return Advice(
            None, f"Run {run.run} is not at fault as a whole, but {names_of(bad)} is: ask about that one."
        )
    if len(bad) > 1:
        return _whole(ways, f"{len(bad)} runs are bad ({names_of(bad)}), and what they did is entangled.")
    if bad:
        return _one_run(ways, bad[0])
    present = [each for each in here if each.state == "present"]
    if not present:
        names = ", ".join(each.title for mode in here for each in mode.findings)
        unasked = ", ".join(each.title for mode in modes for each in mode.unanswered)
        rest = f" Not everything could be asked: {unasked}." if unasked else ""
        return Advice(
            "level 0",
            f"Only warnings: {names}. Look at each of them first; nothing has to be taken back for them alone.{rest}",
        )
    failed = [each for mode in present for each in mode.findings if each.status == "fail"]
    if {each.check for each in failed} == {LEFT_OUT} and ways["re-run"].possible:
        rows = failed[0].rows.head(3)
        names = ", ".join(f"{key} ({why})" for key, why in zip(rows["key"], rows["reason"], strict=True))
        return Advice(
            "re-run",
            f"What is here is right, but an import left records out: {names}{', ...' if len(failed[0].rows) > 3 else ''}."
            " Put each right first, where it comes from: as it is, another run leaves the same ones out.",
        )
    if {each.section for each in present} == {"§1.1"} and ways["re-run"].possible:
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
    worst = present[0].findings[0]
    return Advice(
        None,
        f"No correction of it could be planned by itself: a person has to decide. {worst.title}: {worst.remedy}",
    )


def names_of(suspects: Sequence[Suspect], most: int = 3) -> str:
    """Name runs, and how many more there are."""
    names = ", ".join(each.run.run for each in suspects[:most])
    return f"{names} and {len(suspects) - most} more" if len(suspects) > most else names


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
