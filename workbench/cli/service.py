"""``app``: the application stopped, started, and asked how it is (guide §3 level 2, §7.2); ``plan sync-state`` (§7.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import answers
from workbench.cli.output import stderr

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

app = typer.Typer(
    no_args_is_help=True,
    help="Stop or start the application by the environment's own commands, or ask how it is.",
)


@app.command("stop")
@answers(one_state=False)
def stop(wb: Workbench) -> Answer:
    """Stop the application: runs the environment's app_stop, shows what it says, waits for its end."""
    return _run(wb, "stop", "Stopped")


@app.command("start")
@answers(one_state=False)
def start(wb: Workbench) -> Answer:
    """Start the application: runs the environment's app_start, shows what it says, waits for its end."""
    return _run(wb, "start", "Started")


@app.command("health")
@answers("unmask", one_state=False)
def health(
    wb: Workbench,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="How long to go on asking; 0 asks once. [app_health_limit]"
        ),
    ] = None,
) -> Answer:
    """Ask the application until it is well: its health check, key pages, sign-in (guide §7.2)."""
    from workbench.answer import findings_answer

    findings = wb.app.health(wait)
    facts = {"environment": vars(wb.environment), "dialect": wb.session.dialect}
    # Its own health check was asked for by name: nobody having configured it is no pass.
    well = not any(each.open for each in findings) and findings[0].status == "pass"
    return replace(findings_answer(findings, facts=facts, by_name=True), next_steps=(), code=0 if well else 1)


@answers("acting", "unmask", one_state=False)
def plan_sync_state(wb: Workbench) -> Answer:
    """Plan to empty the sync state (guide §7.3); a full sync has to follow, for only that fetches everything."""
    return wb.explain(wb.runs.plan_sync_state())


def _run(wb: Workbench, act: Literal["stop", "start"], past: str) -> Answer:
    from workbench.answer import Answer

    console = stderr()
    run = wb.app.stop if act == "stop" else wb.app.start
    done = run(lambda line: console.print(f"  {line}"))
    facts = {
        "act": act,
        "command": done.command,
        "exit_code": done.exit_code,
        "seconds": round(done.seconds, 3),
    }
    said = f"{past}: the command ended with exit code 0 after {done.seconds:.1f} s."
    return Answer(said, facts={**facts, "output": done.output})
