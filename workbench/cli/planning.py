"""``plan``: corrections, each as a file to read, approve and apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import workbench
from workbench.cli.options import Before, answers

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

plan = typer.Typer(
    no_args_is_help=True, help="Plan a correction: a file to read, approve and apply. Writes nothing else."
)


@plan.command("rollback")
@answers("import_report", "acting", "unmask", one_state=False)
def rollback(
    wb: Workbench,
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
) -> Answer:
    """Plan to roll one run back, without losing what anybody did since."""
    plan = wb.runs.plan_rollback(
        run_id,
        snapshot=snapshot,
        before=before,
        on_conflict=on_conflict,
        min_evidence=min_evidence,
        sync_state=sync_state,
    )
    if not isinstance(plan, workbench.LevelZero):
        return wb.explain(plan)
    from workbench.answer import Answer

    none: dict[str, Any] = {"plan": None, "digest": None, "level": 0, "run": plan.run, "fix": plan.fix}
    return Answer(
        str(plan),
        {"fix": "\n".join(("To fix before it is run again:", *(f"  {line}" for line in plan.fix)))},
        facts={**none, "changes": {}, "kept": [], "conflicts": [], "unresolved": []},
    )
