"""``reconcile``: Wild Apricot's own exports beside the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import answers

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

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


@answers("import_report", "unmask")
def reconcile(
    wb: Workbench,
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
) -> Answer:
    """Tell whether everybody is here: Wild Apricot's exports beside the database; go or no-go.

    Exit code 0 means go.
    """
    return wb.reconcile(
        export,
        limit,
        missing_at_most=missing_at_most,
        differs_at_most=differs_at_most,
        extra_at_most=extra_at_most,
        time_zone=time_zone,
    )
