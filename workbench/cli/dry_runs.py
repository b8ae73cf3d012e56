"""``dry-run``: an importer run dry, its dry run reviewed and approved (guide §2.2)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.cli.options import Acting, AsJson, EnvironmentName, answers, open_as
from workbench.cli.output import (
    banner,
    command,
    on,
    paths_below,
    print_json,
    say,
    write,
)
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.migration.dry_runs import DryRun
    from workbench.workbench import Workbench

_RUN = "run"


class CommandAfterDashes(TyperGroup):
    """Takes ``dry-run [OPTIONS] -- COMMAND...`` for ``dry-run run [OPTIONS] -- COMMAND...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command there, where a command line of its own follows."""
        if "--" in args and args[0] not in self.commands:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


dry_run = typer.Typer(
    cls=CommandAfterDashes,
    no_args_is_help=True,
    subcommand_metavar="-- COMMAND... | review | list",
    help="Run an importer with DRY_RUN=1 and keep what it says: workbench dry-run -- npx tsx ... Then review it.",
)


@dry_run.command(_RUN)
def run(
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The importer, as in a shell.")],
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Where it leaves its reports, besides import_reports."),
    ] = None,
    vouch: Annotated[
        bool, typer.Option("--vouch", help="Say, in your name, that sudo, ssh, docker ... pass DRY_RUN=1 on.")
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    acting: Acting = None,
) -> None:
    """Run an importer with DRY_RUN=1; keep its log, its reports and what is known of it."""
    with open_as(environment, acting) as wb:
        banner(wb.environment)
        stream = sys.stderr if json else sys.stdout
        kept = wb.migration.dry_run(
            words, show=lambda piece: write(piece, stream), vouched=vouch, reports=report or ()
        )
    if json:
        print_json(dry_run_facts(kept))
    else:
        _tell(kept)
    _end(kept)


@dry_run.command("review")
@answers("import_report", "acting", "unmask", one_state=False)
def review(
    wb: Workbench,
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A dry run's name or run id; else the latest.")
    ] = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Record that you read it and approve of it, in your name.")
    ] = False,
    remark: Annotated[str, typer.Option(help="With --approve: what should be known besides.")] = "",
    sample: Annotated[int, typer.Option(min=0, help="How many records to show of each kind.")] = 3,
) -> Answer:
    """Show what a dry run would do, beside the one before it and the live run after it."""
    return wb.migration.review(name, sample, approve=approve, remark=remark)


@dry_run.command("list")
@answers(one_state=False)
def list_(wb: Workbench) -> Answer:
    """List the dry runs of an environment that are kept, the latest first."""
    from workbench.answer import Answer, Table

    runs = wb.migration.dry_runs()
    shown = runs[["dry_run", "seconds", "operator", "state", "runs", "reviewed_by", "fresh"]]
    empty = "no dry run is kept: `workbench dry-run -- COMMAND...` makes one"
    return Answer(parts={"runs": Table(shown, empty=empty)}, facts=runs)


def dry_run_facts(kept: DryRun) -> dict[str, Any]:
    """Tell of a dry run what another program needs."""
    named = "exit_code signal seconds operator environment command told_by runs configuration_sha256 written_meanwhile"
    return {
        "dry_run": kept.name,
        "path": str(kept.folder),
        "outcome": kept.state,
        **{name: getattr(kept, name) for name in named.split()},
        **kept.model_dump(include={"log", "reports", "overwritten"}),
    }


def _tell(kept: DryRun) -> None:
    place, *copies = paths_below([kept.folder, *(kept.folder / each.file for each in kept.overwritten)])
    say("", f"Dry run {kept.name}: {kept.state}, {kept.seconds or 0:,.1f} s. It is kept in {place}.")
    say(*(f"  report {Path(each.file).name}, run {each.run or 'unknown'}" for each in kept.reports))
    say(*(f"  It wrote over a live run's report; a copy is kept: {each}." for each in copies))
    if kept.outcome == "completed" and not kept.evidence:
        say(
            "! It left no report file where import_reports, --report or its log say, so it cannot be reviewed."
        )
    if kept.written_meanwhile is None:
        say("! Whether anything was written meanwhile was not looked at: the database could not be read.")
    elif kept.written_meanwhile:
        rows = ", ".join(f"{count:,} rows of {table}" for table, count in kept.written_meanwhile.items())
        say(
            f"! Meanwhile {rows} were written. A dry run writes none: was it somebody else, or not a dry run?"
        )
    if kept.runs:
        say(f"To review it: {command()} dry-run review {kept.name}{on()}")


def _end(kept: DryRun) -> None:
    if kept.outcome == "not dry":
        live = ", ".join(each.run for each in kept.evidence if each.mode == "live" and each.run)
        says = f"its report is of live run {live}" if live else "its output says so"
        raise WorkbenchError(
            f"THIS WAS A LIVE RUN: the importer did not heed DRY_RUN=1, {says}.",
            f"`workbench run {live}` tells what it did; `workbench plan rollback {live}` takes it back."
            if live
            else "`workbench runs` lists it as the latest; `workbench plan rollback RUN_ID` takes it back.",
        )
    if kept.outcome == "interrupted":
        raise typer.Exit(128 + (kept.signal or 0))
    if kept.outcome == "failed":
        raise WorkbenchError(
            f"The importer failed with exit code {kept.exit_code}.",
            f"Its log is {paths_below([kept.folder / f'{kept.name}.log'])[0]}.",
        )
    raise typer.Exit(0 if kept.evidence and not kept.written_meanwhile else 1)
