"""``app``: the application stopped, started, and asked how it is (guide §3 level 2, §7.2); ``plan sync-state`` (§7.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.explaining import present
from workbench.cli.options import Acting, AsJson, EnvironmentName, Unmask, answers, open_as
from workbench.cli.output import banner, print_json, say, stderr

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

app = typer.Typer(
    no_args_is_help=True,
    help="Stop or start the application by the environment's own commands, or ask how it is.",
)


@app.command("stop")
def stop(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """Stop the application: runs the environment's app_stop, shows what it says, waits for its end."""
    _run("stop", environment, json)


@app.command("start")
def start(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """Start the application: runs the environment's app_start, shows what it says, waits for its end."""
    _run("start", environment, json)


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
    facts = {"environment": vars(wb.environment), "dialect": wb.dialect}
    # Its own health check was asked for by name: nobody having configured it is no pass.
    well = not any(each.open for each in findings) and findings[0].status == "pass"
    return replace(findings_answer(findings, facts=facts, by_name=True), next_steps=(), code=0 if well else 1)


def plan_sync_state(
    environment: EnvironmentName = None, json: AsJson = False, acting: Acting = None, unmask: Unmask = False
) -> None:
    """Plan to empty the sync state (guide §7.3); a full sync has to follow, for only that fetches everything."""
    with open_as(environment, acting) as wb:
        present(wb.environment, wb.plan_sync_state(), json, unmask)


def _run(act: Literal["stop", "start"], environment: str | None, json: bool) -> None:
    with open_as(environment, None) as wb:
        if not json:
            banner(wb.environment)
        console = stderr()
        run = wb.app.stop if act == "stop" else wb.app.start
        done = run(lambda line: console.print(f"  {line}"))
    if json:
        print_json({"act": act, "command": done.command, "exit_code": done.exit_code,
                    "seconds": round(done.seconds, 3), "output": done.output})  # fmt: skip
        return
    past = {"stop": "Stopped", "start": "Started"}[act]
    say(f"{past}: the command ended with exit code 0 after {done.seconds:.1f} s.")
