"""``snapshot diff``: what changed since a snapshot, or between two, and who did it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.explaining import on_environment
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, Unmask
from workbench.cli.output import banner, command, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    import pandas as pd

    from workbench.differing import Differences

_FEW = 5

SnapshotName = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="A snapshot's name, its file, or `latest`.")
]


def diff(
    snapshot: SnapshotName,
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="A later snapshot; else the database as it is.")
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; repeatable.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="How many rows of each table and change are shown; all are counted.")
    ] = _FEW,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every row, whatever the transaction numbers say.")
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    unmask: Unmask = False,
) -> None:
    """Compare a snapshot with the database, or with a later one: rows, columns, and who did it.

    Exit code 1 where anything differs.
    """
    with workbench.open_workbench(environment, import_reports=import_report or (), one_state=True) as wb:
        with progress_bar() as advance:
            found = wb.differences(
                snapshot, other, tables=table or (), limit=limit, in_full=full, progress=advance
            )
        if json:
            print_json(diff_facts(found, unmask))
        else:
            banner(wb.environment)
            _tell(found, unmask)
            if len(found.tables) and not other:
                on = on_environment(wb.environment.name)
                say(
                    f"What a restore would lose: {command()} snapshot losses {found.snapshot} --run RUN_ID{on}"
                )
    raise typer.Exit(1 if len(found.tables) else 0)


def diff_facts(found: Differences, unmask: bool) -> dict[str, Any]:
    """Return what differs as JSON has it."""
    return {
        "snapshot": found.snapshot,
        "other": found.other or None,
        "compared_in_full_because": found.why_in_full or None,
        "tables": found.tables,
        "authors": found.authors,
        "rows": workbench.mask(found.rows, unmask),
        "same": found.same,
    }


def shown(rows: pd.DataFrame, unmask: bool) -> pd.DataFrame:
    """Lay rows out for reading: values in one column, personal data masked."""
    masked = workbench.mask(rows, unmask)
    pairs = zip(masked["was"], masked["now"], strict=True)
    return masked.drop(columns=["was", "now"]).assign(values=[_values(was, now) for was, now in pairs])


def _tell(found: Differences, unmask: bool) -> None:
    since = f"between {found.snapshot} and {found.other}" if found.other else f"since {found.snapshot}"
    if found.why_in_full:
        say(f"Every row was compared: {found.why_in_full}.")
    if not len(found.tables):
        say(f"Nothing changed {since}: {len(found.same)} tables are as they were.")
        return
    print_table(found.tables, f"What changed {since} ({len(found.same)} other tables are as they were)")
    print_table(found.authors, "Who did it, by the evidence")
    if len(found.rows):
        print_table(shown(found.rows, unmask), "Rows")


def _values(was: Any, now: Any) -> str:
    if was is None or now is None:
        row = now if was is None else was
        return "; ".join(f"{name}: {value}" for name, value in (row or {}).items() if value is not None)
    return "; ".join(f"{name}: {_null(value)} -> {_null(now.get(name))}" for name, value in was.items())


def _null(value: Any) -> str:
    return "(empty)" if value is None else str(value)
