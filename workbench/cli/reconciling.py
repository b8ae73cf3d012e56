"""``reconcile``: Wild Apricot's own exports beside the database."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, Unmask, open_as
from workbench.cli.output import banner, command, narrow, paths_below, print_json, print_table, say
from workbench.hints import on_environment

_WIDE = ["record_id", "title", "newer"]

Export = Annotated[
    list[Path],
    typer.Option(
        "--export",
        metavar="FILE|FOLDER",
        help="Wild Apricot's export of contacts, events or registrations, CSV or JSON, or a folder. Repeatable.",
    ),
]


def _limit(what: str) -> object:
    return typer.Option(metavar="N|N%", help=f"How many of each kind may {what}; else as it is configured.")


def reconcile(
    export: Export,
    missing_at_most: Annotated[str | None, _limit("be missing here [0]")] = None,
    differs_at_most: Annotated[str | None, _limit("differ [0]")] = None,
    extra_at_most: Annotated[str | None, _limit("be here and not in the export [20%]")] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of the export's times: America/Los_Angeles.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="How many rows of each kind to list; all are counted.")
    ] = 20,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    unmask: Unmask = False,
) -> None:
    """Tell whether everybody is here: Wild Apricot's exports beside the database; go or no-go.

    Exit code 0 means go.
    """
    given = {
        "missing_at_most": missing_at_most,
        "differs_at_most": differs_at_most,
        "extra_at_most": extra_at_most,
        "time_zone": time_zone,
    }
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.reconcile(export, **{name: each for name, each in given.items() if each is not None})
    tables = workbench.reconcile_tables(found, unmask)
    if json:
        facts = {"environment": wb.environment.name, "dialect": wb.dialect, "go": found.go, "why": found.why}
        counts = {row.pop("entity"): row for row in found.counts.to_dict("records")}
        told = {"shifts": [each._asdict() for each in found.shifts], "not_compared": found.not_compared}
        print_json({**facts, "counts": counts, **tables, **told, "notes": found.notes})
        raise typer.Exit(0 if found.go else 1)
    banner(wb.environment)
    counted = workbench.reconcile_counts(found)
    print_table(counted.drop(columns=["found", "unmapped"] if narrow() else []), "Export and database")
    hidden = [*(["next"] if sys.stdout.isatty() else []), *(_WIDE if narrow() else [])]
    for name, title in workbench.RECONCILE_TITLES.items():
        table, most = tables[name], 3 if name == "unmapped" else limit
        if len(table):
            print_table(table.head(most).drop(columns=hidden, errors="ignore"), f"{title} ({len(table):,})")
            if sys.stdout.isatty():  # a command that a table folds cannot be pasted
                say(*(f"  next: {each}" for each in table["next"].head(most).dropna().unique()))
            if len(table) > most:
                say(f"  {most:,} of {len(table):,}; all of them: --json")
    say(*(f"? {each}" for each in (*found.not_compared, *found.notes)))
    say("", "Go: nothing stands against it." if found.go else "No go:", *(f"  {each}" for each in found.why))
    if not found.go:
        paths = quote(",".join(paths_below(export)))
        say(
            f"The same as a page to read: {command()} report reconcile -p exports {paths}{on_environment(wb.environment.name)}"
        )
    raise typer.Exit(0 if found.go else 1)
