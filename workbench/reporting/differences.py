"""What came after a snapshot, for people: what differs, whose doing it is, and what a restore would lose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from workbench.checks.finding import Finding
from workbench.hints import on_environment
from workbench.history.authors import UNKNOWN
from workbench.history.ledger import CameAfter
from workbench.reporting.masking import mask
from workbench.reporting.summaries import in_steps, listed
from workbench.reporting.tables import Shown, table
from workbench.reporting.verdict import Looked
from workbench.reporting.whose import masked_value

_MANY = 60


_LOSES = partial(
    Finding,
    "restore-loses",
    "Work that a restore would lose",
    guide="§3",
    question="Could the snapshot be restored without losing anybody's work?",
    remedy="Before a restore, plan what is put back after it: `workbench plan replay --snapshot SNAPSHOT --run BAD_RUN`.",
    severity="warn",
    risk="critical",
)
_UNEXPLAINED = partial(
    Finding,
    "changes-unexplained",
    "Changes that nothing explains",
    guide="§5.2",
    question="Does something tell of every change who made it?",
    remedy="Ask who works on the database itself; give the importers' report files (`--import-report`), which may tell.",
    severity="warn",
)


def aftermath_findings(found: CameAfter) -> list[Finding]:
    """Return what a restore would lose, and what nobody is known to have done, as findings."""
    if found.differences is None or found.losses is None:
        return [made("not run", reason=found.missing) for made in (_LOSES, _UNEXPLAINED)]
    lost, unknown = found.losses, _by_nobody(found.differences.authors)
    rows = lost.tables.rename(columns={"table": "key"})
    return [
        _LOSES("warn" if lost.total else "pass", lost.total, rows),
        _UNEXPLAINED("warn" if len(unknown) else "pass", int(unknown["rows"].sum()), unknown),
    ]


def aftermath_summary(found: CameAfter) -> Shown:
    """Say with which snapshot the database was compared, how much differs, and what a restore would lose."""
    if found.differences is None or found.losses is None:
        return listed({"Compared": f"nothing. {found.missing}"})
    differing, lost = found.differences, found.losses
    counts = differing.tables[["added", "removed", "changed"]].sum()
    told = f"{int(counts.sum()):,} rows: " + ", ".join(f"{int(n):,} {what}" for what, n in counts.items())
    facts = {
        "Snapshot": f"{found.snapshot}: {found.about}",
        "Since then": f"{told}, in {len(differing.tables)} tables; {len(differing.same)} are as they were",
        "The bad runs": ", ".join(lost.runs) or "none was named: everything since then counts as work",
        "A restore would lose": f"{lost.total:,} rows"
        + (" that are not the bad runs' doing" if lost.runs else ""),
        "Cannot be put back after it": f"{len(lost.conflicts):,} conflicts, {len(lost.unresolved):,} undecided",
    }
    if differing.why_in_full:
        facts["Every row was compared"] = differing.why_in_full
    return listed(facts)


def aftermath_table(found: CameAfter) -> Shown:
    """Show what differs, table by table."""
    rows = None if found.differences is None else found.differences.tables
    return _shown(found, rows, "Tables that differ", False)


def aftermath_rows(found: CameAfter, unmask: bool = False) -> Shown:
    """Show some of the rows that differ, as they were and as they are."""
    rows = None if found.differences is None else differing_rows(found.differences.rows, unmask)
    return _shown(found, rows, "Rows that differ, some of each table", unmask)


def losses_table(found: CameAfter) -> Shown:
    """Show what a restore would lose, table by table."""
    return _shown(found, None if found.losses is None else found.losses.tables, "Lost by a restore", False)


def losses_rows(found: CameAfter, unmask: bool = False) -> Shown:
    """Show some of the rows that a restore would lose."""
    rows = None if found.losses is None else differing_rows(found.losses.rows, unmask)
    return _shown(found, rows, "Rows that would be lost, some of each table", unmask)


def losses_conflicts(found: CameAfter, unmask: bool = False) -> Shown:
    """Show what could not be put back after a restore, each with its reason."""
    rows = None
    if found.losses is not None:
        rows = found.losses.conflicts.copy()
        for name in ("before", "run", "now"):
            rows[name] = [
                masked_value(str(column), None if pd.isna(value) else str(value), unmask)
                for column, value in zip(rows["column"], rows[name], strict=True)
            ]
    return _shown(found, rows, "Could not be put back", unmask)


def aftermath_steps(looked: Looked, found: CameAfter) -> Shown:
    """Say what to do next, as commands."""
    on = on_environment(looked.environment.name)
    if found.losses is None:
        return in_steps([f"Take a snapshot: `workbench snapshot create --reason TEXT{on}`."])
    if not found.losses.total:
        return in_steps(["Nothing would be lost by a restore to it."])
    runs = found.losses.runs
    named = " ".join(f"--run {each}" for each in runs) or "--run BAD_RUN"
    return in_steps(
        [
            *([] if runs else ["Name the bad runs, so that their doing is not counted as work."]),
            f"Perhaps no restore is needed: `workbench triage{on}` compares the ways out.",
            f"Before a restore, plan what is put back after it: `workbench plan replay {found.given} {named}{on}`.",
            f"Then ask for the restore: `workbench snapshot restore {found.snapshot} {named}{on}`.",
        ]
    )


def aftermath_facts(found: CameAfter) -> dict[str, Any]:
    """Return what the verdict carries besides: the snapshot, and the counts."""
    if found.differences is None or found.losses is None:
        return {"snapshot": None}
    counts = found.differences.tables[["table", "added", "removed", "changed"]]
    return {
        "snapshot": found.snapshot,
        "runs": list(found.losses.runs),
        "differs": counts.set_index("table").to_dict("index"),
        "lost": found.losses.total,
    }


def differing_rows(rows: pd.DataFrame, unmask: bool = False) -> pd.DataFrame:
    """Lay rows that differ out for reading: what they were and are in one column, personal data masked."""
    masked = mask(rows, unmask)
    told = [
        _values(was, now, key)
        for was, now, key in zip(masked["was"], masked["now"], masked["key"], strict=True)
    ]
    return masked.drop(columns=["was", "now"]).assign(values=told)


def _by_nobody(authors: pd.DataFrame) -> pd.DataFrame:
    unknown = authors[authors["who"] == UNKNOWN]
    return unknown[["table", "change", "rows"]].rename(columns={"table": "key"}).reset_index(drop=True)


def _shown(found: CameAfter, rows: pd.DataFrame | None, caption: str, unmask: bool) -> Shown:
    if rows is None:
        return listed({caption: f"not run. {found.missing}"})
    return table(rows, caption, unmask, limit=_MANY)


def _values(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, key: str) -> str:
    if was is None or now is None:
        row = now if was is None else was
        told = ((name, value) for name, value in (row or {}).items() if value not in (None, key))
        return "; ".join(f"{name}: {value}" for name, value in told)
    return "; ".join(f"{name}: {_null(value)} -> {_null(now.get(name))}" for name, value in was.items())


def _null(value: Any) -> str:
    return "(empty)" if value is None else str(value)
