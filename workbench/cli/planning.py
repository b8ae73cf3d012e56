"""``plan``, ``show``, ``approve``, ``apply``, ``undo``, ``plans``: from a plan to its way back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, Unmask
from workbench.cli.output import banner, command, paths_below, print_json, print_table, progress_bar, say
from workbench.errors import Drift, Refused

if TYPE_CHECKING:
    from workbench.plans.journal import Entry
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

SHOWN = 20

plan = typer.Typer(
    no_args_is_help=True, help="Plan a correction: a file to read, approve and apply. Writes nothing else."
)

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id, or its file's path.")]
Acting = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who is acting; else the operator.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer the questions a terminal would be asked.")]


@plan.command("rollback")
def rollback(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    snapshot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A pg_dump archive from before the run.")
    ] = None,
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
    with _open(environment, acting, import_reports=import_report or ()) as wb:
        made = wb.plan_rollback(
            run_id,
            snapshot=snapshot,
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
            say(f"{made.run} was a dry run (level 0): nothing was written, so there is nothing to roll back.")
            say("To fix before it is run again:", *(f"  {each}" for each in made.fix))
            return
        if json:
            print_json(_facts(made, unmask))
            return
        banner(wb.environment)
        _explain(made, unmask)
        _next_steps(made)


def show(
    plan_name: PlanName, environment: EnvironmentName = None, json: AsJson = False, unmask: Unmask = False
) -> None:
    """Explain a plan in words and tables: what changes, what is kept and why, what is unresolved."""
    with _open(environment, None) as wb:
        found = wb.plan(plan_name)
    if json:
        print_json({**_facts(found, unmask), "header": _header(found)})
        return
    _explain(found, unmask)
    _next_steps(found)


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
    with _open(environment, acting) as wb:
        found = wb.plan(plan_name)
        target = found.header.target
        if confirm is None and target.kind == "production" and sys.stdin.isatty():
            confirm = typer.prompt(f"This is production. Type the environment's name ({target.environment})")
        approval = wb.approve(found, digest, confirm=confirm)
    if json:
        print_json({"plan": found.id, "digest": approval.digest, "approver": approval.approver,
                    "approved_at": approval.approved_at, "expires_at": approval.expires_at})  # fmt: skip
        return
    say(
        f"{approval.approver} approves {found.id}, once, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
        f"To apply it: {command()} apply {found.id}{_on(target.environment)}",
    )


def apply(
    plan_name: PlanName,
    yes: Yes = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Carry out an approved plan: whole, or not at all."""
    with _open(environment, acting) as wb:
        found = wb.plan(plan_name)
        banner(wb.environment)
        _ask(f"Apply {found.id}, {found.total:,} changes, to {wb.environment}?", yes)
        entry = _apply(wb, found)
    if json:
        print_json(_applied(found, entry))
        return
    say(
        f"Applied: {_counted(found.changes)}. Nothing else was touched.",
        *([] if entry.row_triggers == "off" else [_TRIGGERS_ON]),
        f"To verify: {command()} report post-recovery{_on(wb.environment.name)}",
        f"To take it back: {command()} undo {found.id}{_on(wb.environment.name)}",
    )


def undo(
    plan_name: PlanName,
    yes: Yes = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Take back what a plan did: plan the reverse, approve it in the operator's name, apply it."""
    with _open(environment, acting) as wb:
        reverse = wb.plan_undo(plan_name)
        banner(wb.environment)
        if wb.environment.production:
            if json:
                print_json({**_facts(reverse), "applied": False})
            else:
                _explain(reverse)
                say("On production another person approves the undo:", f"  {_approval(reverse)}")
            raise typer.Exit(Refused.exit_code)
        _ask(f"Take back {plan_name}, {reverse.total:,} changes, on {wb.environment}?", yes)
        wb.approve(reverse, reverse.digest)
        entry = _apply(wb, reverse)
    if json:
        print_json(_applied(reverse, entry))
        return
    say(f"Taken back: {_counted(reverse.changes)}. Every row is as it was before {plan_name}.")


def plans(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """List all plans of an environment, and what became of each."""
    with _open(environment, None) as wb:
        found = wb.plans()
        if json:
            print_json(found)
        else:
            banner(wb.environment)
            print_table(found, empty="no plans yet")


_TRIGGERS_ON = "The database user may not switch row triggers off, so the database checked each row by itself: slower, no less safe."


def _open(environment: str | None, acting: str | None, **options: Any) -> Workbench:
    from workbench.settings import load_settings

    settings = load_settings()
    if acting:
        settings = settings.model_copy(update={"operator": acting})
    return workbench.open_workbench(environment, settings=settings, **options)


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


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("Nobody is here to be asked.", "Add --yes to go on without a question.")
    if not typer.confirm(question, err=True):
        raise Refused("Not applied: the answer was no.", "Nothing was changed.")


def _facts(found: Plan, unmask: bool = False) -> dict[str, Any]:
    return {
        "plan": str(found.path),
        "id": found.id,
        "digest": found.digest,
        "changes": found.changes,
        "kept": found.kept,
        "conflicts": _masked(found.conflicts, unmask),
        "unresolved": found.unresolved,
        "notes": found.header.notes,
    }


def _header(found: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found.header)


def _applied(found: Plan, entry: Entry) -> dict[str, Any]:
    return {"plan": str(found.path), "id": found.id, "digest": found.digest, "changes": found.changes,
            "applied": True, "applied_at": entry.applied_at, "journal": entry.id, "row_triggers": entry.row_triggers}  # fmt: skip


def _explain(found: Plan, unmask: bool = False) -> None:
    import pandas as pd

    header = found.header
    say(
        *header.reasons,
        f"Planned by {header.planned_by} for {header.target.environment} ({header.target.kind}).",
    )
    say("It rests on: " + "; ".join(header.evidence) + "." if header.evidence else "", *header.notes)
    rows = [
        (table, operation, count)
        for table, cells in found.changes.items()
        for operation, count in cells.items()
    ]
    print_table(pd.DataFrame(rows, columns=["table", "operation", "rows"]), "What changes", empty="nothing")
    for title, notes in (
        ("Kept", found.kept),
        ("Conflicts", _masked(found.conflicts, unmask)),
        ("Unresolved", found.unresolved),
    ):
        if not notes:
            continue
        table = pd.DataFrame(notes)
        if len(table) > SHOWN:
            alike = [name for name in table.columns if name != "key"]
            table = table.groupby(alike, sort=False, dropna=False)["key"].agg(["size", "first"]).reset_index()
            table = table.rename(columns={"size": "rows", "first": "first_key"})
        more = f"; {SHOWN} of {len(table):,} kinds" if len(table) > SHOWN else ""
        print_table(table[:SHOWN], f"{title} ({len(notes):,}{more})")


def _masked(conflicts: list[dict[str, str | None]], unmask: bool) -> list[dict[str, str | None]]:
    """Mask what is personal by the column it stood in; on request nothing."""
    import pandas as pd

    values = ("before", "run", "now")
    found = []
    for each in conflicts:
        row = pd.DataFrame([[each[name] for name in values]], columns=[str(each["column"])] * len(values))
        found.append({**each, **dict(zip(values, workbench.mask(row, unmask).iloc[0], strict=True))})
    return found


def _next_steps(found: Plan) -> None:
    on = _on(found.header.target.environment)
    say(
        "",
        f"Plan    {paths_below([found.path])[0]}",
        f"Digest  {found.digest}",
        "Next:",
        f"  {command()} report plan -p plan {found.id}{on}",
        f"  {_approval(found)}",
        f"  {command()} apply {found.id}{on}",
    )


def _approval(found: Plan) -> str:
    target = found.header.target
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    return f"{command()} approve {found.id} --digest {found.digest}{confirm}{_on(target.environment)}"


def _on(environment: str) -> str:
    return "" if environment == "demo" else f" -e {environment}"


def _counted(changes: Mapping[str, Mapping[str, int]]) -> str:
    past = {"delete": "deleted", "update": "updated", "insert": "inserted"}
    return "; ".join(
        f"{count:,} {past[operation]} in {table}"
        for table, cells in changes.items()
        for operation, count in cells.items()
    )
