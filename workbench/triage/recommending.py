"""Which runs are to blame, and which way to take: one decision, pure, every branch of it with its reason in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd
from sqlalchemy import Connection

from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.runs.evidence import last_writers
from workbench.triage.modes import Mode
from workbench.triage.ways import Way

WRONG_DATABASE = "environment-wrong"
"""The check that says that a run's data are of another environment."""

CONDEMNING = (WRONG_DATABASE, "config-differs")
"""Checks whose finding makes a run bad, whatever its records look like: all of them are suspect (guide §1.6)."""

LEFT_OUT = "records-left-out"
"""The check whose rows another run leaves out again, until each is put right."""

SPOILED = 0.5
"""From which share of a run's records on the run is called bad, and not merely some of its records."""

SUSPECTS = ["run", "importer", "status", "at_fault", "written", "share", "named_by", "bad"]

# What is wrong in one field (a tier, a capacity) is put right in that field; only records that should not be
# there, or lead to somebody else, speak against the run that made them.
_OF_RECORDS = ("§1.2", "§1.4")


def find_suspects(
    connection: Connection, schema: Schema, runs: Sequence[Run], modes: Sequence[Mode]
) -> pd.DataFrame:
    """Tell which live runs wrote the records at fault, or are named themselves; the worst first.

    Returns
    -------
    pandas.DataFrame
        `SUSPECTS`: of how many records that the run has ``written`` it wrote last how many are ``at_fault``, and which
        ``share`` that is; the checks by which it is ``named_by``; whether it is ``bad`` as a whole.
    """
    checks, keys = defaultdict[str, set[str]](set), set[str]()
    for mode in modes:
        for finding in mode.findings:
            columns = {
                name: [*finding.rows[name].dropna().astype(str)]
                for name in {"key", "target"} & {*finding.rows}
            }
            for key in columns.get("key", ()):
                checks[key].add(finding.check)
            if mode.guide in _OF_RECORDS:
                keys.update(*columns.values())
    at_fault = Counter[str]()
    for entity in ENTITIES if keys else ():
        if schema.has(CONCEPT_OF[entity]):
            authors = last_writers(connection, schema, runs, entity, keys)
            at_fault.update(author.run.run for author in authors.values())
    rows = []
    for run in runs:
        name, count = run.run, at_fault[run.run]
        if run.mode == "dry" or run.rolled_back or not (count or checks[name]):
            continue
        written = sum(
            cells.get(action, 0) for cells in run.counts.values() for action in ("created", "updated")
        )
        share = min(count / written, 1.0) if written else 0.0
        bad = share >= SPOILED or not checks[name].isdisjoint(CONDEMNING)
        named_by = ", ".join(sorted(checks[name]))
        rows.append((name, run.importer, run.status, count, written, round(share, 3), named_by, bad))
    frame = pd.DataFrame(rows, columns=SUSPECTS)
    return frame.sort_values(["bad", "share"], ascending=False, kind="stable", ignore_index=True)


def run_in_question(runs: Sequence[Run], suspects: pd.DataFrame) -> Run | None:
    """Choose the run to look at where nobody named one.

    It is one whose data are of another environment; else one that is bad as a whole; else one that did not come to
    its end; else any live one. Of several it is the latest, since runs are rolled back the latest first.
    """
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back]
    unfinished = [run.run for run in live if run.status != "completed" and not run.superseded_by]
    elsewhere = suspects["named_by"].str.contains(WRONG_DATABASE, regex=False)
    for names in (
        suspects.loc[elsewhere.astype(bool), "run"],
        suspects.loc[suspects["bad"].astype(bool), "run"],
        unfinished,
        [run.run for run in live],
    ):
        if chosen := [run for run in live if run.run in {*names}]:
            return chosen[-1]
    return None


def recommend(
    modes: Sequence[Mode], ways: Mapping[str, Way], run: Run | None, suspects: pd.DataFrame
) -> tuple[str | None, str]:
    """Recommend a way, by the guide's quick reference card and what was found here.

    Parameters
    ----------
    run : Run or None
        The run in question: the one asked about, else the one most to blame.
    suspects : pandas.DataFrame
        The runs to blame: see `find_suspects`.

    Returns
    -------
    tuple of (str or None, str)
        The way to take, None where nothing that is possible here would help; and why.
    """
    shown = [mode for mode in modes if mode.state in {"present", "suspected"}]
    findings = [finding for mode in shown for finding in mode.findings]
    failed = [finding for finding in findings if finding.status == "fail"]
    bad = suspects[suspects["bad"].astype(bool)]
    names = ", ".join(bad["run"][:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    unanswered = [finding.title for mode in modes for finding in mode.unanswered]
    unknown = ", ".join(unanswered or [mode.mode.lower() for mode in modes if mode.state == "not known"])
    rest = f" Not everything could be asked: {unknown}." if unknown else ""
    if run is not None and run.mode == "dry":
        return "level 0", f"{run.run} was a dry run, which wrote nothing: nothing is to be taken back."
    if not shown:
        return "level 0", f"No failure was found, so there is nothing to recover from.{rest}"
    if any(finding.check == WRONG_DATABASE for finding in findings):
        why = "The data and the environment disagree: an import may have run against the wrong database."
        return _whole(ways, why)
    if len(bad) and run is not None and run.run not in {*bad["run"]}:
        return None, f"Run {run.run} is not at fault as a whole, but {names} is: ask about that one."
    if len(bad) > 1:
        return _whole(ways, f"{len(bad)} runs are bad ({names}), and what they did is entangled.")
    if len(bad):
        worst = bad.iloc[0]
        condemned = [check for check in CONDEMNING if check in worst["named_by"].split(", ")]
        why = f"{worst['share']:.0%} of what run {names} wrote is at fault ({worst['at_fault']:,} of {worst['written']:,} records)."
        if condemned:
            why = f"Run {names} is bad as a whole, by the check {condemned[0]}."
        if ways["level 1"].possible:
            return "level 1", f"{why} Rolling it back keeps what people did since."
        return _whole(ways, f"{why} It cannot be rolled back alone.")
    if not failed:
        titles = ", ".join(finding.title for finding in findings)
        return "level 0", f"Only warnings: {titles}. Look at each; they alone undo nothing.{rest}"
    if ways["re-run"].possible and {mode.guide for mode in shown if mode.state == "present"} == {"§1.1"}:
        why = "What is here is right, and something is missing: an import skips the records that are there (guide §4.1)."
        if run is not None and run.status == "incomplete":
            why += f" Put right first why {run.run} did not get all of it (credentials, filters): {run.why}."
        for finding in failed:
            if finding.check == LEFT_OUT:
                names = ", ".join(finding.rows["key"].head(3))
                why += f" Put right first what it left out ({names}, ...), or it is left out again."
        return "re-run", why
    if ways["targeted"].possible:
        wrong = ", ".join(mode.mode.lower() for mode in shown)
        why = f"What is wrong ({wrong}) lies in single records, and no run is bad as a whole:"
        return "targeted", f"{why} correcting them leaves everything else alone."
    why = "No correction of it could be planned by itself: a person has to decide."
    return None, f"{why} {failed[0].title}: {failed[0].remedy}"


def _whole(ways: Mapping[str, Way], why: str) -> tuple[str | None, str]:
    if ways["level 2"].possible:
        return "level 2", why
    if ways["level 1"].possible:
        return "level 1", f"{why} There is no proved snapshot to go back to, so run by run, the latest first."
    return None, f"{why} Neither a restore nor a rollback is possible here: see what each lacks."
