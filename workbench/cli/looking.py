"""``runs``, ``run``, ``check``, ``doctor``: what is here, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import Waivers, answers, waivers

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench


@answers("import_report", one_state=False)
def runs(wb: Workbench) -> Answer:
    """List every import run: when, by whom, what it did, how it ended and how we know."""
    return wb.runs()


@answers("import_report")
def run(
    wb: Workbench,
    run_id: Annotated[str, typer.Argument(help="As `workbench runs` shows it, or its beginning.")],
    limit: Annotated[int, typer.Option(min=1, help="How many records to list; the counts are of all.")] = 50,
) -> Answer:
    """Tell record by record what one run did, by which evidence, and what became of it since."""
    return wb.runs.run(run_id, limit)


def _known(checks: list[str] | None, **_: Any) -> None:
    """Refuse a misspelt check before any database is opened."""
    if checks:
        from workbench.checks import choose

        choose(checks)


@answers("import_report", "unmask", first=_known)
def check(
    wb: Workbench,
    checks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CHECK]...", help="All when none is named."),
    ] = None,
    waive: Waivers = None,
    limit: Annotated[
        int, typer.Option(min=1, help="How many rows a finding shows; its count is of all.")
    ] = 20,
) -> Answer:
    """Ask what the guide says to check, and show each finding with its section of the guide."""
    return wb.check(checks or (), waivers(waive), sample=limit)


@answers("import_report")
def doctor(wb: Workbench) -> Answer:
    """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
    return wb.doctor()


@answers("import_report")
def triage(
    wb: Workbench,
    run_id: Annotated[
        str | None, typer.Argument(help="The run in question; else the one most to blame.")
    ] = None,
) -> Answer:
    """Name the failures that are here, and lay the ways out side by side, with what each would cost."""
    return wb.triage(run_id)
