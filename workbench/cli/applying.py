"""``show``, ``approve``, ``apply``, ``undo``, ``plans``: from a plan to its way back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.explaining import (
    approval_command,
    explain,
    header_facts,
    next_steps,
    plan_facts,
)
from workbench.cli.options import Acting, AsJson, EnvironmentName, Unmask, Yes, ask, open_as
from workbench.cli.output import banner, command, on, print_json, print_table, progress_bar, say
from workbench.cli.restoring import show_request
from workbench.errors import Drift, Refused, UsageError
from workbench.snapshots.restore.request import is_request

if TYPE_CHECKING:
    from workbench.plans.journal import Entry
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id, or its file's path.")]


def show(
    plan_name: PlanName, environment: EnvironmentName = None, json: AsJson = False, unmask: Unmask = False
) -> None:
    """Explain a plan in words and tables: what changes, what is kept and why, what is unresolved."""
    with open_as(environment, None) as wb:
        if is_request(plan_name):
            show_request(wb, wb.restores.find(plan_name), json)
            return
        found = wb.plan(plan_name)
    if json:
        print_json({**plan_facts(found, unmask), "header": header_facts(found)})
        return
    explain(found, unmask)
    next_steps(found)


def approve(
    plan_name: PlanName,
    digest: Annotated[str, typer.Option(help="The SHA-256 of the plan that was read.")],
    acting: Acting = None,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="ENVIRONMENT", help="On production: the environment's name, typed out."),
    ] = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Record a named person's consent to one digest; it holds once, and for a day."""
    with open_as(environment, acting) as wb:
        found = wb.restores.find(plan_name) if is_request(plan_name) else wb.plan(plan_name)
        target = found.target
        if confirm is None and target.kind == "production" and sys.stdin.isatty():
            confirm = typer.prompt(f"This is production. Type the environment's name ({target.environment})")
        approval = wb.approve(found, digest, confirm=confirm)
    if json:
        print_json({found.noun: found.id, "digest": approval.approves, "approver": approval.approver,
                    "approved_at": approval.approved_at, "expires_at": approval.expires_at})  # fmt: skip
        return
    act = "snapshot restore" if is_request(plan_name) else "apply"
    say(
        f"{approval.approver} approves {found.id}, once, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
        f"To carry it out: {command()} {act} {found.id}{on(target.environment)}",
    )


def apply(
    plan_name: PlanName,
    yes: Yes = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Carry out an approved plan: whole, or not at all."""
    if is_request(plan_name):
        raise UsageError(
            f"{plan_name} is the request to restore a snapshot.",
            f"To carry it out: {command()} snapshot restore {plan_name}{on()}",
        )
    with open_as(environment, acting) as wb:
        found = wb.plan(plan_name)
        banner(wb.environment)
        ask(f"Apply {found.id}, {found.total:,} changes, to {wb.environment}?", yes)
        entry = _apply(wb, found)
    if json:
        print_json(_applied(found, entry))
        return
    say(
        f"Applied: {_counted(found.changes)}. Nothing else was touched.",
        *_to_do(found),
        *([] if entry.row_triggers == "off" else [_TRIGGERS_ON]),
        f"To verify: {command()} report post-recovery{on()}",
        f"To take it back: {command()} undo {found.id}{on()}",
    )


def undo(
    plan_name: PlanName,
    yes: Yes = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Take back what a plan did: plan the reverse, approve it in the operator's name, apply it."""
    with open_as(environment, acting) as wb:
        reverse = wb.plan_undo(plan_name)
        banner(wb.environment)
        if wb.environment.production:
            if json:
                print_json({**plan_facts(reverse), "applied": False})
            else:
                explain(reverse)
                say("On production another person approves the undo:", f"  {approval_command(reverse)}")
            raise typer.Exit(Refused.exit_code)
        ask(f"Take back {plan_name}, {reverse.total:,} changes, on {wb.environment}?", yes)
        wb.approve(reverse, reverse.digest)
        entry = _apply(wb, reverse)
    if json:
        print_json(_applied(reverse, entry))
        return
    say(f"Taken back: {_counted(reverse.changes)}. Every row is as it was before {plan_name}.")


def plans(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """List all plans of an environment, and what became of each."""
    with open_as(environment, None) as wb:
        found = wb.plans()
        if json:
            print_json(found)
        else:
            banner(wb.environment)
            print_table(found, empty="no plans yet")


_TRIGGERS_ON = "The database user may not switch row triggers off, so the database checked each row by itself: slower, no less safe."


def _apply(wb: Workbench, found: Plan) -> Entry:
    try:
        with progress_bar() as advance:
            return wb.apply(found, advance)
    except Drift as error:
        if error.rows:
            import pandas as pd

            print_table(
                pd.DataFrame(error.rows, columns=["table", "key", "what is different"]),
                "Not as the plan saw it",
                as_message=True,
            )
        raise


def _applied(found: Plan, entry: Entry) -> dict[str, Any]:
    return {"plan": str(found.path), "id": found.id, "digest": found.digest, "changes": found.changes,
            "to_do": _to_do(found), "applied": True, "applied_at": entry.applied_at, "journal": entry.id, "row_triggers": entry.row_triggers}  # fmt: skip


def _to_do(found: Plan) -> list[str]:
    """Say what is to be done elsewhere, lest the next sync undoes what was applied."""
    from workbench.duplicates.plan import next_sync

    return list(next_sync(found.parameters)) if found.kind == "merge" else []


def _counted(changes: Mapping[str, Mapping[str, int]]) -> str:
    past = {"delete": "deleted", "update": "updated", "insert": "inserted"}
    return "; ".join(
        f"{count:,} {past[operation]} in {table}"
        for table, cells in changes.items()
        for operation, count in cells.items()
    )
