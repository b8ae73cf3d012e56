"""``triage``: one look that names what is wrong and lays the ways out side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, open_as
from workbench.cli.output import banner, command, narrow, on, print_json, print_table, say

if TYPE_CHECKING:
    from workbench.triage import Triage

_FEW = 5
FIGURES = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]


def triage(
    run_id: Annotated[
        str | None, typer.Argument(help="The run in question; else the one most to blame.")
    ] = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
) -> None:
    """Name the failures that are here, and lay the ways out side by side, with what each would cost."""
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.triage(run_id)
        if json:
            print_json({"environment": vars(wb.environment), **triage_facts(found)})
        else:
            banner(wb.environment)
            _print(found)
    raise typer.Exit(0 if found.healthy else 1)


def triage_facts(found: Triage) -> dict[str, Any]:
    """Return a triage for machines."""
    return {
        "run": found.run.run if found.run else None,
        "asked": found.asked,
        "modes": found.modes_table(),
        "suspects": found.suspects_table(),
        "ways": found.ways_table(),
        "recommended": found.advice.way,
        "why": workbench.mask_text(found.advice.why),
        "card": found.card(),
    }


def _print(found: Triage) -> None:
    modes = found.modes_table()
    print_table(
        modes[["guide", "mode", "state", "rows"]] if narrow() else modes[[*modes.columns[:5], "evidence"]],
        title="What is wrong",
    )
    suspects = found.suspects_table()
    bad = suspects[(suspects["share"] > 0) | (suspects["named_by"] != "")]
    if len(bad):
        columns = ["run", "status", "at_fault", "written", "named_by"]
        print_table(bad[columns], title="Runs to blame", limit=_FEW)
    if found.run is not None:
        chosen = "as asked" if found.asked else "the most to blame"
        say(
            "",
            f"The run in question, {chosen}: {found.run.run} ({found.run.status}: {workbench.mask_text(found.run.why)}).",
        )
    ways = found.ways_table()
    print_table(ways[["way", "what", "possible", *FIGURES]], title="The ways out")
    for way in found.ways:
        say("", f"{way.name}: {way.title.lower()}" + ("" if way.possible else " (not possible here)"))
        say(*(f"  {workbench.mask_text(note)}" for note in way.notes))
        say(*(f"  $ {each.replace('workbench ', f'{command()} ')}" for each in way.commands))
    say(
        "",
        f"Recommended: {found.advice.way or 'none of them as things stand'}. {workbench.mask_text(found.advice.why)}",
    )
    say("Minutes are the machine's, measured here; what is not known is left empty. Nothing was written.")
    say(
        f"To read and to show: {command()} report triage"
        + (f" -p run_id {found.run.run}" if found.asked and found.run else "")
        + on()
    )
