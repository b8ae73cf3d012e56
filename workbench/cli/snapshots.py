"""``snapshot``: taken before a migration, proved by restoring, kept as long as the guide says."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import Acting, AsJson, EnvironmentName, open_as
from workbench.cli.output import banner, paths_below, print_json, print_table, progress_bar, say, stderr

if TYPE_CHECKING:
    from workbench.checkpoints.manifest import Manifest
    from workbench.workbench import Workbench

snapshot = typer.Typer(
    help="Snapshots of the database: taken before a migration, proved by restoring, pruned.",
    no_args_is_help=True,
)


@snapshot.command()
def create(
    format: Annotated[
        str | None, typer.Option(metavar="custom|directory", help="Else whichever is quickest.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Tables at a time, of the directory format.")] = None,
    compress: Annotated[
        str | None, typer.Option(metavar="METHOD", help="As pg_dump's; else the quickest it knows.")
    ] = None,
    precedes: Annotated[str | None, typer.Option(metavar="RUN", help="The run it is taken before.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is taken.")] = None,
    acting: Acting = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Take a snapshot: an archive of pg_dump with a manifest of what was in it."""
    with open_as(environment, acting) as wb:
        banner(wb.environment)
        with progress_bar() as advance:
            made = wb.create_snapshot(
                format=format,
                jobs=jobs,
                compression=compress,
                precedes=precedes,
                reason=reason,
                advance=advance,
            )
        _tell(wb)
    if json:
        print_json({**facts(made), "said": wb.said})
        return
    say(
        f"{paths_below([made.path])[0]}: {made.rows:,} rows of {len(made.tables):,} tables, {_bytes(made.size)},"
        f" {made.format}, compression {made.compression}.",
        f"SHA-256 {made.sha256}",
    )


@snapshot.command(name="list")
def listed(environment: EnvironmentName = None, json: AsJson = False) -> None:
    """List the environment's snapshots: when, by whom, how large, whether proved by restoring."""
    from workbench.checkpointing import snapshots_frame

    with open_as(environment, None) as wb:
        found = wb.snapshots()
        if not json:
            banner(wb.environment)
        _tell(wb)
    if json:
        print_json([facts(each) for each in found])
    else:
        print_table(snapshots_frame(found), empty="no snapshots yet")


def facts(made: Manifest) -> dict[str, Any]:
    """Return a manifest for JSON: its path first."""
    plain = asdict(made)
    del plain["folder"]
    states = {name: state._asdict() for name, state in made.tables.items()}
    return {**plain, "name": made.snapshot, "snapshot": str(made.path), "tables": states}


def _tell(wb: Workbench) -> None:
    for line in wb.said:
        stderr().print(line)


def _bytes(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if value >= 100 or unit == "bytes" else f"{value:,.1f} {unit}"
