"""``policies`` and ``plan policies``: the organisation's own rules, asked and corrected (guide §1.5)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import (
    Waivers,
    answers,
    waivers,
)

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

RulesFolder = Annotated[
    Path | None,
    typer.Option("--rules", metavar="FOLDER", help="A folder of rules; else policies, else the starter set."),
]


def _starter(starter: Path | None, **_: Any) -> Answer | None:
    """Copy the starter set; it needs no database."""
    if starter is None:
        return None
    from workbench.answer import Answer
    from workbench.checks.rules import copy_starter

    return Answer(f"{len(copy_starter(starter))} rules are in {starter}; each is a file to read and edit.")


@answers("import_report", "unmask", first=_starter)
def policies(
    wb: Workbench,
    rules_asked: Annotated[
        list[str] | None, typer.Argument(metavar="[RULE]...", help="All when none is named.")
    ] = None,
    rules: RulesFolder = None,
    starter: Annotated[
        Path | None,
        typer.Option(
            "--starter",
            metavar="FOLDER",
            help="Copy the starter set into a new folder, to be edited.",
        ),
    ] = None,
    waive: Waivers = None,
    limit: Annotated[
        int, typer.Option(min=1, help="How many rows a finding shows; its count is of all.")
    ] = 20,
) -> Answer:
    """Ask the organisation's own rules, of the folder policies or the starter set, and show who breaks them."""
    return wb.policies(rules, rules_asked or [], waivers(waive), sample=limit)


@answers("import_report", "acting", "unmask", one_state=False)
def plan_policies(
    wb: Workbench,
    rules_meant: Annotated[
        list[str] | None, typer.Argument(metavar="[RULE]...", help="All that say how when none is named.")
    ] = None,
    rules: RulesFolder = None,
) -> Answer:
    """Plan what the organisation's rules say how to correct: capacity to the limit, start and end swapped."""
    return wb.explain(wb.policies.plan(rules_meant or [], rules=rules))
