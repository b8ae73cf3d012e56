"""Failure modes from findings (guide §1), the runs to blame, and the way to recommend."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.checks.finding import Finding
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.runs.evidence import last_writers
from workbench.triage.ways import Way

State = Literal["present", "suspected", "absent", "not known"]

MODES = {
    "§1.1": ("Partial import", "medium"),
    "§1.2": ("Wrong mappings", "high"),
    "§1.3": ("Bad tier mapping", "medium"),
    "§1.4": ("Duplicates", "high"),
    "§1.5": ("Wrong policies", "medium"),
    "§1.6": ("Operator error", "critical"),
    "§7.1": ("Dangling references", "high"),
}
"""Guide §1's modes with their risk levels; the seventh is what manual repairs leave behind (§7.1)."""

_SHOWS = {"§2.4": "§1.1"}
"""Sections whose checks show the mode of another section."""

WRONG_DATABASE, LEFT_OUT = "environment-wrong", "records-left-out"
CONDEMNING = (WRONG_DATABASE, "config-differs")
"""Checks whose finding makes a whole run bad (guide §1.6)."""

SPOILED = 0.5
"""A run is bad as a whole from this share of its records on."""

SUSPECTS = ["run", "importer", "status", "at_fault", "written", "share", "named_by", "bad"]

# A wrong field (a tier, a capacity) is corrected in that field. Only records that should not exist, or lead to somebody
# else, speak against the run that made them.
_OF_RECORDS = ("§1.2", "§1.4")


class Mode(NamedTuple):
    """One failure mode.

    Attributes
    ----------
    guide, mode, risk : str
        Its section, name and risk in the guide.
    state : {"present", "suspected", "absent", "not known"}
        ``present`` when a check of it failed, ``suspected`` when one warns, ``absent`` only when every configured one
        ran and passed or was waived.
    rows : int or None
        The most records that one finding counts; several may count the same.
    evidence : str
        The findings in words.
    findings, unanswered : tuple of Finding
        Those that show it, the gravest first; those that could not run.
    """

    guide: str
    mode: str
    risk: str
    state: State
    rows: int | None
    evidence: str
    findings: tuple[Finding, ...] = ()
    unanswered: tuple[Finding, ...] = ()


def failure_modes(findings: Sequence[Finding]) -> list[Mode]:
    """Sort findings into the guide's failure modes, in its order."""
    modes = []
    for section, (name, risk) in MODES.items():
        own = [finding for finding in findings if _SHOWS.get(finding.guide, finding.guide) == section]
        bad = [finding for finding in own if finding.status in {"fail", "warn"}]
        bad.sort(key=lambda finding: (finding.status != "fail", -(finding.count or 0), finding.check))
        unanswered = [finding for finding in own if finding.status == "not run" and finding.configured]
        unasked = [finding for finding in own if finding.status == "not run" and not finding.configured]
        state: State = "not known" if unanswered or len(unasked) == len(own) else "absent"
        if bad:
            state = "present" if bad[0].status == "fail" else "suspected"
        words = [f"{finding.title} ({finding.count:,})" for finding in bad]
        words += [f"{finding.title}: could not run" for finding in unanswered]
        if not words:
            words = ["every other check passed" if unasked else "every check passed"]
            words += [f"{finding.title}: not configured" for finding in unasked]
        rows = max((finding.count or 0 for finding in bad), default=None)
        modes.append(Mode(section, name, risk, state, rows, "; ".join(words), (*bad,), (*unanswered,)))
    return modes


def find_suspects(
    connection: Connection, schema: Schema, runs: Sequence[Run], modes: Sequence[Mode]
) -> pd.DataFrame:
    """List the live runs that wrote the records at fault, or that a check names; the worst first.

    Returns
    -------
    pandas.DataFrame
        `SUSPECTS`: how many of the run's ``written`` records are ``at_fault``, and their ``share``; the checks that it is
        ``named_by``; whether it is ``bad`` as a whole.
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
    frame = pd.DataFrame(rows, columns=SUSPECTS).astype({"bad": bool})
    return frame.sort_values(["bad", "share"], ascending=False, kind="stable", ignore_index=True)


def run_in_question(runs: Sequence[Run], suspects: pd.DataFrame) -> Run | None:
    """Choose the run to look at: of another environment, else bad as a whole, else not completed, else any live one.

    Of several it is the latest, since runs are rolled back the latest first.
    """
    live = [run for run in runs if run.mode != "dry" and not run.rolled_back]
    elsewhere = suspects["named_by"].str.contains(WRONG_DATABASE, regex=False).astype(bool)
    for names in (
        {*suspects.loc[elsewhere, "run"]},
        {*suspects.loc[suspects["bad"], "run"]},
        {run.run for run in live if run.status != "completed" and not run.superseded_by},
        {run.run for run in live},
    ):
        if chosen := [run for run in live if run.run in names]:
            return chosen[-1]
    return None


def recommend(
    modes: Sequence[Mode], ways: Mapping[str, Way], run: Run | None, suspects: pd.DataFrame
) -> tuple[str | None, str]:
    """Recommend a way, by the guide's quick reference card.

    Parameters
    ----------
    run : Run or None
        The run in question.
    suspects : pandas.DataFrame
        See `find_suspects`.

    Returns
    -------
    tuple of (str or None, str)
        The way, None where nothing that is possible here would help; and the reason.
    """
    shown = [mode for mode in modes if mode.state in {"present", "suspected"}]
    findings = [finding for mode in shown for finding in mode.findings]
    failed = [finding for finding in findings if finding.status == "fail"]
    bad = suspects[suspects["bad"].astype(bool)]
    names = ", ".join(bad["run"][:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    unanswered = [finding.title for mode in modes for finding in mode.unanswered]
    open_questions = unanswered or [mode.mode.lower() for mode in modes if mode.state == "not known"]
    rest = f" Not everything could be checked: {', '.join(open_questions)}." if open_questions else ""
    if run is not None and run.mode == "dry":
        return "level 0", f"{run.run} was a dry run, which wrote nothing."
    if not shown:
        return "level 0", f"No failure was found, so there is nothing to recover from.{rest}"
    if any(finding.check == WRONG_DATABASE for finding in findings):
        return _whole(
            ways, "The data and the environment disagree: an import may have used the wrong database."
        )
    if len(bad) and run is not None and run.run not in {*bad["run"]}:
        return None, f"Run {run.run} is not at fault as a whole, but {names} is: ask about that one."
    if len(bad) > 1:
        return _whole(ways, f"{len(bad)} runs are bad ({names}), and their changes overlap.")
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
        why = (
            "What is here is right, but something is missing; an import skips existing records (guide §4.1)."
        )
        if run is not None and run.status == "incomplete":
            why += f" First correct why {run.run} did not get all of it (credentials, filters): {run.why}."
        for finding in failed:
            if finding.check == LEFT_OUT:
                why += f" First correct the records that it left out ({', '.join(finding.rows['key'].head(3))}, ...)."
        return "re-run", why
    if ways["targeted"].possible:
        wrong = ", ".join(mode.mode.lower() for mode in shown)
        return "targeted", f"Single records are wrong ({wrong}), and no run is bad as a whole."
    why = "No correction can be planned automatically: a person has to decide."
    return None, f"{why} {failed[0].title}: {failed[0].remedy}"


def _whole(ways: Mapping[str, Way], why: str) -> tuple[str | None, str]:
    if ways["level 2"].possible:
        return "level 2", why
    if ways["level 1"].possible:
        return (
            "level 1",
            f"{why} There is no verified snapshot to restore, so roll back run by run, the latest first.",
        )
    return None, f"{why} Neither a restore nor a rollback is possible here; the ways out say why."
