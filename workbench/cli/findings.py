"""Findings in words, tables and JSON, whatever command asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

import workbench
from workbench.cli.output import banner, command, on, plain, print_json, print_table, say

if TYPE_CHECKING:
    import pandas as pd

    from workbench.checks import Finding
    from workbench.workbench import Workbench

_FEW = 3


class Asked(NamedTuple):
    """What was asked: by which command, for which report to show it, and whether some were named."""

    command: str
    report: str
    by_name: bool


def answer_findings(
    wb: Workbench, found: list[Finding], asked: Asked, *, json: bool, unmask: bool, **more: str
) -> NoReturn:
    """Answer with what was found, in words or for machines, and exit: 1 where something needs to be looked at.

    What nobody configured is shown as not run, and asked for by name it counts.

    Parameters
    ----------
    more : str
        What else the answer says: a word for people and what it stands for.
    """
    concern = [each for each in found if each.open or (each.bad and asked.by_name)]
    show_findings(wb, found, asked, json=json, unmask=unmask, **more)
    if concern and not json:
        say(f"The same as a page to read: {command()} report {asked.report}{on()}")
    raise typer.Exit(1 if concern else 0)


def show_findings(
    wb: Workbench, found: list[Finding], asked: Asked, *, json: bool, unmask: bool, **more: str
) -> None:
    """Print what was found, in words or for machines; `more` as for `answer_findings`."""
    if json:
        facts = [_facts(each, unmask) for each in found]
        print_json(
            {**more, "environment": plain(vars(wb.environment)), "dialect": wb.dialect, "findings": facts}
        )
        return
    banner(wb.environment)
    say(*(f"{name.capitalize()}: {what}." for name, what in more.items()))
    _print(found, asked, unmask)


def _print(found: list[Finding], asked: Asked, unmask: bool) -> None:
    """Print one line each, then the rows of what is at fault, all of the sample where asked by name, then the count."""
    from workbench.checks.finding import culprits

    print_table(_digest(found))
    for each in (one for one in found if one.bad and one.status != "not run"):
        count = f"{each.count:,}"
        if each.count != len(each.rows) and each.count == culprits(each.rows):
            count += f", in {len(each.rows):,} row{'s' * (len(each.rows) != 1)}"
        say("", f"{each.guide} {each.title} ({each.check}): {each.status}, {count}")
        say(f"  {each.question}", f"  {each.remedy}")
        rows = each.rows if asked.by_name else each.rows.head(_FEW)
        print_table(workbench.mask(rows, unmask=unmask))
        shown = culprits(rows)
        if (each.count or 0) > shown:
            more = f"{command()} {asked.command} {each.check} --limit {each.count}{on()}"
            say(f"  {shown:,} of {each.count:,}; more: {more}")
    counts = {
        status: sum(each.status == status for each in found)
        for status in ("fail", "warn", "not run", "waived", "pass")
    }
    say("", ", ".join(f"{count} {status}" for status, count in counts.items() if count))


def _facts(found: Finding, unmask: bool) -> dict[str, Any]:
    return {
        "check": found.check,
        "title": found.title,
        "guide": found.guide,
        "status": found.status,
        "count": found.count,
        "reason": found.reason,
        "configured": found.configured,
        "question": found.question,
        "remedy": found.remedy,
        "rows": workbench.mask(found.rows, unmask=unmask),
        "query": found.query,
    }


def _digest(found: list[Finding]) -> pd.DataFrame:
    import pandas as pd

    rows = [(each.guide, each.status, each.check, each.count, each.reason or each.title) for each in found]
    table = pd.DataFrame(rows, columns=["guide", "status", "check", "count", "finding"])
    return table.astype({"count": "Int64"})
