"""``doctor``: is everything here that the workbench needs."""

from __future__ import annotations

import typer

from workbench.cli.options import AsJson, EnvironmentName, ImportReports, open_as
from workbench.cli.output import banner, print_json, print_table


def doctor(
    environment: EnvironmentName = None, json: AsJson = False, import_report: ImportReports = None
) -> None:
    """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.readiness()
    if json:
        print_json(found)
    else:
        banner(wb.environment)
        print_table(found)
    raise typer.Exit(1 if (found["state"] == "missing").any() else 0)
