"""``show``, ``approve``, ``apply``, ``undo``, ``plans``: from a plan to its way back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import AsJson, EnvironmentName, Unmask, Yes, answers, ask, is_request, open_as
from workbench.cli.output import command, on, print_answer, print_json, print_table, progress_bar
from workbench.errors import Drift, Refused, UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.plans.journal import Entry
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id, or its file's path.")]


def show(
    plan_name: PlanName, environment: EnvironmentName = None, json: AsJson = False, unmask: Unmask = False
) -> None:
    """Explain a plan in words and tables: what changes, what is kept and why, what is unresolved."""
    from workbench.cli.restoring import request_answer

    with open_as(environment, None) as wb:
        if is_request(plan_name):
            answer = request_answer(wb, wb.restores.find(plan_name))
            answer = replace(answer, environment=wb.environment.name, unmask=unmask)
        else:
            wb.session.people = unmask
            plan = wb.plan(plan_name)
            answer = wb.explain(plan, header=plan.model_dump(mode="json"))
    if json:
        print_json(answer.as_json())
    else:
        print_answer(answer)


@answers("acting", one_state=False)
def approve(
    wb: Workbench,
    plan_name: PlanName,
    digest: Annotated[str, typer.Option(help="The SHA-256 of the plan that was read.")],
    confirm: Annotated[
        str | None,
        typer.Option(metavar="ENVIRONMENT", help="On production: the environment's name, typed out."),
    ] = None,
) -> Answer:
    """Record a named person's consent to one digest; it holds once, and for a day."""
    from workbench.answer import Answer, Step

    request = is_request(plan_name)
    document = wb.restores.find(plan_name) if request else wb.plan(plan_name)
    target = document.target
    if confirm is None and target.kind == "production" and sys.stdin.isatty():
        confirm = typer.prompt(f"This is production. Type the environment's name ({target.environment})")
    approval = wb.approve(document, digest, confirm=confirm)
    return Answer(
        f"{approval.approver} approves {document.id}, once, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
        next_steps=[Step("To carry it out", f"{'snapshot restore' if request else 'apply'} {document.id}")],
        facts={
            document.noun: document.id,
            "digest": approval.approves,
            "approver": approval.approver,
            "approved_at": approval.approved_at,
            "expires_at": approval.expires_at,
        },
        environment=target.environment,
    )


@answers("acting", one_state=False)
def apply(wb: Workbench, plan_name: PlanName, yes: Yes = False) -> Answer:
    """Carry out an approved plan: whole, or not at all."""
    from workbench.answer import Answer, Step, many
    from workbench.documents import valid_approval

    if is_request(plan_name):
        raise UsageError(
            f"{plan_name} is the request to restore a snapshot.",
            f"To carry it out: {command()} snapshot restore {plan_name}{on()}",
        )
    plan = wb.plan(plan_name)
    valid_approval(plan)  # without one nobody needs to be asked
    ask(f"Apply {plan.id}, {many(plan.total, 'change')}, to {wb.environment}?", yes)
    entry = _apply(wb, plan)
    triggers = "" if entry.row_triggers == "off" else f"\n{_TRIGGERS_ON}"
    return Answer(
        f"Applied: {_counted(plan.changes)}. Nothing else was touched.{triggers}",
        next_steps=[
            *(Step(line) for line in _to_do(plan)),
            Step("To verify", "report post-recovery"),
            Step("To take it back", f"undo {plan.id}"),
        ],
        facts=_applied(plan, entry),
    )


@answers("acting", one_state=False)
def undo(wb: Workbench, plan_name: PlanName, yes: Yes = False) -> Answer:
    """Take back what a plan did: plan the reverse, approve it in the operator's name, apply it."""
    from workbench.answer import Answer, Step, many
    from workbench.explaining import approval_command

    reverse = wb.plan_undo(plan_name)
    if wb.environment.production:
        explained = wb.explain(reverse, applied=False)
        steps = [Step("On production another person approves the undo", approval_command(reverse))]
        return replace(explained, next_steps=steps, code=Refused.exit_code)
    ask(f"Take back {plan_name}, {many(reverse.total, 'change')}, on {wb.environment}?", yes)
    wb.approve(reverse, reverse.digest)
    entry = _apply(wb, reverse)
    return Answer(
        f"Taken back: {_counted(reverse.changes)}. Every row is as it was before {plan_name}.",
        facts=_applied(reverse, entry),
    )


@answers(one_state=False)
def plans(wb: Workbench) -> Answer:
    """List all plans of an environment, and what became of each."""
    from workbench.answer import Answer, Table

    frame = wb.plans()
    table = Table(frame, empty="no plans yet", first=("plan", "state", "kind", "detail"))
    return Answer(parts={"plans": table}, facts=frame.to_dict("records"))


_TRIGGERS_ON = "The database user may not switch row triggers off, so the database checked each row by itself: slower, no less safe."


def _apply(wb: Workbench, plan: Plan) -> Entry:
    try:
        with progress_bar() as advance:
            return wb.apply(plan, advance)
    except Drift as error:
        if error.rows:
            import pandas as pd

            print_table(
                pd.DataFrame(error.rows, columns=["table", "key", "what is different"]),
                "Not as the plan saw it",
                as_message=True,
            )
        raise


def _applied(plan: Plan, entry: Entry) -> dict[str, Any]:
    facts = {"plan": str(plan.path), "id": plan.id, "digest": plan.digest, "changes": plan.changes}
    done = {"applied": True, "applied_at": entry.applied_at, "journal": entry.id}
    return {**facts, "to_do": _to_do(plan), **done, "row_triggers": entry.row_triggers}


def _to_do(plan: Plan) -> list[str]:
    """Say what is to be done elsewhere, lest the next sync undoes what was applied."""
    from workbench.duplicates.plan import next_sync

    return list(next_sync(plan.parameters)) if plan.kind == "merge" else []


def _counted(changes: Mapping[str, Mapping[str, int]]) -> str:
    past = {"delete": "deleted", "update": "updated", "insert": "inserted"}
    return "; ".join(
        f"{count:,} {past[operation]} in {table}"
        for table, cells in changes.items()
        for operation, count in cells.items()
    )
