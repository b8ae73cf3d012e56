"""Findings in words, tables and JSON, whatever command asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import workbench
from workbench.cli.output import command, plain, print_table, say

if TYPE_CHECKING:
    import pandas as pd

    from workbench.checks import Finding
    from workbench.workbench import Workbench

_FEW = 3


def findings_facts(wb: Workbench, found: list[Finding], unmask: bool) -> dict[str, Any]:
    """Return what was found, for machines."""
    return {
        "environment": plain(vars(wb.environment)),
        "dialect": wb.dialect,
        "findings": [_facts(each, unmask) for each in found],
    }


def print_findings(found: list[Finding], asked_by: str, unmask: bool, in_full: bool) -> None:
    """Print what was found: one line each, then the rows of what is at fault, then the count.

    Parameters
    ----------
    asked_by : str
        The command that asks one of them again, for more rows.
    in_full : bool
        Whether to print all the rows of each sample, or a few.
    """
    print_table(_digest(found))
    for each in (one for one in found if one.bad and one.status != "not run"):
        say("", f"{each.check.guide} {each.check.title} ({each.check.id}): {each.status}, {each.count:,}")
        say(f"  {each.check.question}", f"  {each.check.remedy}")
        rows = each.rows if in_full else each.rows.head(_FEW)
        print_table(workbench.mask(rows, unmask=unmask))
        if (each.count or 0) > len(rows):
            more = f"{command()} {asked_by} {each.check.id} --limit {each.count}"
            say(f"  {len(rows)} of {each.count:,}; more: {more}")
    counts = {
        status: sum(each.status == status for each in found)
        for status in ("fail", "warn", "not run", "waived", "pass")
    }
    say("", ", ".join(f"{count} {status}" for status, count in counts.items() if count))


def _facts(found: Finding, unmask: bool) -> dict[str, Any]:
    return {
        "check": found.check.id,
        "title": found.check.title,
        "guide": found.check.guide,
        "status": found.status,
        "count": found.count,
        "reason": found.reason,
        "configured": found.configured,
        "question": found.check.question,
        "remedy": found.check.remedy,
        "rows": workbench.mask(found.rows, unmask=unmask),
        "query": found.query,
    }


def _digest(found: list[Finding]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (each.check.guide, each.status, each.check.id, each.count, each.reason or each.check.title)
        for each in found
    ]
    table = pd.DataFrame(rows, columns=["guide", "status", "check", "count", "finding"])
    return table.astype({"count": "Int64"})
