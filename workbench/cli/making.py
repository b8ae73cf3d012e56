"""``demo`` and ``report``: a club made and broken, and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

import workbench
from workbench.answer import plain
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, Unmask, Waivers, waivers
from workbench.cli.output import banner, command, paths_below, print_json, progress_bar, say
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.reporting.runner import ReportResult


def demo(
    members: Annotated[int, typer.Option(min=50, max=1_000_000, help="Size of the club.")] = 2000,
    dialect: Annotated[
        Literal["guide", "application"], typer.Option(help="Whose tables it has.")
    ] = "application",
    seed: Annotated[int, typer.Option(help="The same seed makes the same club.")] = 1,
    healthy: Annotated[bool, typer.Option("--healthy", help="Leave it as it should be.")] = False,
    json: AsJson = False,
) -> None:
    """Make a broken club on the embedded server, investigate it and leave a verification report."""
    from workbench.demo.breakages import BREAKAGES
    from workbench.demo.making import make_demo
    from workbench.reporting.runner import run_report
    from workbench.settings import DEMO, load_settings

    settings = load_settings()
    with progress_bar() as advance:
        advance("making the club", 0, 3)
        made = make_demo(
            settings,
            dialect=dialect,
            members=members,
            seed=seed,
            breakages=() if healthy else tuple(BREAKAGES),
        )
        advance("investigating it", 1, 3)
        with workbench.open_workbench(DEMO, settings=settings, one_state=True) as wb:
            runs = wb.session.find_runs()
            findings = wb.checks()
        advance("writing the report", 2, 3)
        result = run_report("post-recovery", {}, environment=DEMO, settings=settings)
        advance("done", 3, 3)
    bad = [each for each in findings if each.status in {"fail", "warn"}]
    if json:
        print_json({"members": members, "dialect": dialect, "planted": sorted(each.breakage for each in made.truths),
                    "runs": len(runs), "findings": len(bad), **_report_facts(result)})  # fmt: skip
        return
    html, *_ = paths_below([result.html])
    telling = next((each for each in runs if each.status != "completed"), runs[-1])
    say(
        f"A club of {members:,} members ({dialect} dialect), {len(runs)} import runs, {len(made.truths)} faults planted.",
        f"{len(findings)} checks: {len(bad)} found something.",
        f"{result.verdict['headline']}",
        f"Verification report: {html}",
        "",
        "Try next:",
        f"  {command()} runs",
        f"  {command()} check",
        f"  {command()} report run -p run_id {telling.run}",
    )


def report(
    name: Annotated[
        str, typer.Argument(help="post-recovery, run, plan, or a notebook of your own in notebooks/")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="KEY VALUE",
            help="A parameter of the report, repeatable.",
            hidden=False,
        ),
    ] = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    waive: Waivers = None,
    unmask: Unmask = False,
) -> None:
    """Run a report notebook: an executed notebook, a self-contained HTML file and a JSON verdict."""
    from workbench.reporting.runner import run_report
    from workbench.settings import load_settings

    settings = load_settings()
    with workbench.open_workbench(
        environment, settings=settings
    ) as wb:  # holds the embedded server; the guard speaks here
        if not json:
            banner(wb.environment)
        parameters = _parameters(parameter or [])
        if given := waivers(waive):
            parameters["waive"] = plain([f"{check}={reason}" for check, reason in given.items()])
        with progress_bar() as advance:
            result = run_report(
                name,
                parameters,
                environment=wb.environment.name,
                settings=settings,
                unmask=unmask,
                import_reports=import_report or (),
                progress=advance,
            )
    if json:
        print_json(_report_facts(result))
    else:
        say(f"{name}: {result.verdict['status']}", *paths_below([result.html, result.notebook, result.json]))
    raise typer.Exit(1 if any(each["open"] for each in result.verdict["findings"]) else 0)


def _parameters(given: list[str]) -> dict[str, object]:
    """Pair ``-p KEY VALUE``, which reaches us as ``KEY=VALUE``."""
    found: dict[str, object] = {}
    for each in given:
        key, sign, value = each.partition("=")
        if not sign:
            raise UsageError(f"The parameter {each!r} has no value.", "Write it as -p KEY VALUE.")
        found[key] = value
    return found


def _report_facts(result: ReportResult) -> dict[str, object]:
    return {
        "report": str(result.html),
        "notebook": str(result.notebook),
        "json": str(result.json),
        "status": result.verdict["status"],
        "headline": result.verdict["headline"],
        "counts": result.verdict.get("counts", {}),
    }
