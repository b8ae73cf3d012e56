"""``snapshot``: taken before a migration, proved by restoring, kept as long as the guide says."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from workbench.cli.options import Acting, AsJson, EnvironmentName, open_as
from workbench.cli.output import (
    banner,
    command,
    on,
    paths_below,
    print_json,
    print_table,
    progress_bar,
    say,
    stderr,
)
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.snapshots.manifest import Manifest
    from workbench.workbench import Workbench

snapshot = typer.Typer(
    help="Snapshots of the database: taken before a migration, proved by restoring, pruned.",
    no_args_is_help=True,
)


@snapshot.command()
def create(
    precedes: Annotated[str | None, typer.Option(metavar="RUN", help="The run it is taken before.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is taken.")] = None,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Take a snapshot: an archive of pg_dump with a manifest of what was in it."""
    with open_as(environment, acting) as wb:
        banner(wb.environment)
        begun = perf_counter()
        with progress_bar() as advance:
            made = wb.snapshots.create(precedes=precedes, reason=reason, advance=advance)
        seconds = perf_counter() - begun
        said = _tell(wb)
    if json:
        print_json({**facts(made), "said": said})
        return
    held = f"{made.rows:,} rows of {len(made.tables):,} tables, {decimal(made.size)}"
    say(
        f"{paths_below([made.archive])[0]}: {held} ({made.compression}), in {seconds:,.1f} s.",
        f"SHA-256 {made.sha256}",
        f"To prove it by restoring: {command()} snapshot verify {made.snapshot}{on()}",
    )


@snapshot.command()
def verify(
    name: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="Its name, its file, or latest.")
    ] = "latest",
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Accept a size out of its predecessors' range.")
    ] = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Prove a snapshot: restore all of it, compare every count and digest, and drop it again."""
    with open_as(environment, acting) as wb:
        banner(wb.environment)
        with progress_bar() as advance:
            manifest = wb.snapshots.verify(name, any_size=any_size, advance=advance)
        said = _tell(wb)
    tried = manifest.verifications[-1]
    if json:
        print_json({**facts(manifest), "outcome": tried.outcome, "detail": tried.detail, "said": said})
    else:
        where = f" on {tried.where}" if tried.where else ""
        say(f"{manifest.snapshot}: {tried.outcome}{where}, {tried.seconds:.1f} s.", f"  {tried.detail}")
    raise typer.Exit({"pass": 0, "fail": 1, "not run": 3}[tried.outcome])


@snapshot.command()
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go; so does neither option.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete what is shown.")] = False,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Show which snapshots and dry runs the guide lets go, and why; with --yes delete these."""
    if dry_run and yes:
        raise UsageError("--dry-run and --yes exclude each other.", "Give one.")
    with open_as(environment, acting) as wb:
        banner(wb.environment)
        decided = wb.snapshots.retention()
        if not json:
            import pandas as pd

            rows = [(each.name, "keep" if each.keep else "delete", each.reason) for each in decided]
            table = pd.DataFrame(rows, columns=["snapshot", "decision", "reason"])
            print_table(table, empty="no snapshots yet", as_message=yes)
        gone = wb.snapshots.prune(decided) if yes else []
        said = _tell(wb)
    going = [each.name for each in decided if not each.keep]
    if json:
        print_json({"decisions": [vars(each) for each in decided], "pruned": gone, "said": said})
    elif yes:
        say(f"Deleted: {', '.join(gone) or 'nothing'}.")
    elif going:
        say(f"To delete {len(going):,}: {command()} snapshot prune --yes{on()}")


@snapshot.command(name="list")
def listed(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """List the environment's snapshots: when, by whom, how large, whether proved by restoring."""
    with open_as(environment, None) as wb:
        if json:
            print_json([facts(each) for each in wb.snapshots.all()])
        else:
            banner(wb.environment)
            print_table(wb.snapshots(), empty="no snapshots yet")
        _tell(wb)


def facts(made: Manifest) -> dict[str, Any]:
    """Return a manifest for JSON: its path first."""
    plain = made.model_dump(mode="json")
    return {**plain, "name": made.snapshot, "snapshot": str(made.archive), "file": made.archive.name}


def _tell(wb: Workbench) -> list[str]:
    for line in wb.snapshots.said:
        stderr().print(line)
    return wb.snapshots.said
