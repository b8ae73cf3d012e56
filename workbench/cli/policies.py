"""``policies`` and ``plan policies``: the organisation's own rules, asked and corrected (guide §1.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.explaining import present
from workbench.cli.findings import Asked, answer_findings
from workbench.cli.options import (
    Acting,
    AsJson,
    EnvironmentName,
    ImportReports,
    Unmask,
    Waivers,
    open_as,
    waivers,
)
from workbench.cli.output import write

RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules", metavar="FILE", help="A file of rules; else policies.toml, else the starter set."
    ),
]


def policies(
    rules_asked: Annotated[
        list[str] | None, typer.Argument(metavar="[RULE]...", help="All when none is named.")
    ] = None,
    rules: RulesFile = None,
    starter: Annotated[
        bool,
        typer.Option("--starter", help="Print the starter set, to be saved as policies.toml and edited."),
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    waive: Waivers = None,
    unmask: Unmask = False,
    limit: Annotated[
        int, typer.Option(min=1, help="How many rows a finding shows; its count is of all.")
    ] = 20,
) -> None:
    """Ask the organisation's own rules, of policies.toml or the starter set, and show who breaks them."""
    from workbench.investigate.policies import STARTER, read_rulebook

    if starter:
        write(STARTER.read_text(encoding="utf-8"))
        return
    chosen = rules_asked or []
    if rules is not None:  # what is wrong with the file should not need a database to be told
        read_rulebook(rules).choose(chosen)
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.policies(rules, chosen, waivers(waive), sample=limit)
        at = wb.rulebook(rules).name
    asked = Asked("policies", "policies", bool(chosen))
    answer_findings(wb, found, asked, json=json, unmask=unmask, rules=at)


def plan_policies(
    rules_meant: Annotated[
        list[str] | None, typer.Argument(metavar="[RULE]...", help="All that say how when none is named.")
    ] = None,
    rules: RulesFile = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    acting: Acting = None,
    unmask: Unmask = False,
) -> None:
    """Plan what the organisation's rules say how to correct: capacity to the limit, start and end swapped."""
    from workbench.investigate.policies import read_rulebook

    chosen = rules_meant or []
    if rules is not None:
        read_rulebook(rules).choose(chosen)
    with open_as(environment, acting, import_reports=import_report or ()) as wb:
        made = wb.plan_policies(chosen, file=rules)
        present(wb.environment, made, json, unmask)
