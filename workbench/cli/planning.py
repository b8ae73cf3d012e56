"""``plan``: corrections, each as a file to read, approve and apply."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import workbench
from workbench.cli.explaining import present
from workbench.cli.options import Acting, AsJson, Before, EnvironmentName, ImportReports, Unmask, open_as
from workbench.cli.output import banner, print_json, say

plan = typer.Typer(
    no_args_is_help=True, help="Plan a correction: a file to read, approve and apply. Writes nothing else."
)


@plan.command("rollback")
def rollback(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    snapshot: Annotated[
        str | None,
        typer.Option(
            metavar="SNAPSHOT",
            help="From before the run: a snapshot's name, its file, `latest`, or any dump of pg_dump.",
        ),
    ] = None,
    before: Before = None,
    on_conflict: Annotated[
        Literal["keep", "restore"], typer.Option(help="What both the run and somebody after it changed.")
    ] = "keep",
    min_evidence: Annotated[
        Literal["certain", "strong", "likely", "weak"],
        typer.Option(help="Leave alone what is tied to the run more weakly."),
    ] = "likely",
    sync_state: Annotated[
        bool, typer.Option("--sync-state", help="Reset the sync state as well (guide §7.3).")
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    acting: Acting = None,
    unmask: Unmask = False,
) -> None:
    """Plan to roll one run back, without losing what anybody did since."""
    with open_as(environment, acting, import_reports=import_report or ()) as wb:
        made = wb.plan_rollback(
            run_id,
            snapshot=snapshot,
            before=before,
            on_conflict=on_conflict,
            min_evidence=min_evidence,
            sync_state=sync_state,
        )
        if isinstance(made, workbench.LevelZero):
            if json:
                print_json({"plan": None, "digest": None, "level": 0, "run": made.run, "fix": made.fix,
                            "changes": {}, "kept": [], "conflicts": [], "unresolved": []})  # fmt: skip
                return
            banner(wb.environment)
            say(str(made))
            say("To fix before it is run again:", *(f"  {each}" for each in made.fix))
            return
        present(wb.environment, made, json, unmask)
