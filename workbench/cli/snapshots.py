"""``snapshot``: taken before a migration, proved by restoring, kept as long as the guide says."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import answers
from workbench.cli.output import Advance, paths_below, stderr
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

snapshot = typer.Typer(
    help="Snapshots of the database: taken before a migration, proved by restoring, pruned.",
    no_args_is_help=True,
)


@snapshot.command()
@answers("acting", one_state=False)
def create(
    wb: Workbench,
    advance: Advance,
    precedes: Annotated[str | None, typer.Option(metavar="RUN", help="The run it is taken before.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is taken.")] = None,
) -> Answer:
    """Take a snapshot: an archive of pg_dump with a manifest of what was in it."""
    from rich.filesize import decimal

    from workbench.answer import Answer, Step

    begun = perf_counter()
    made = wb.snapshots.create(precedes=precedes, reason=reason, advance=advance)
    held = f"{made.rows:,} rows of {len(made.tables):,} tables, {decimal(made.size)} ({made.compression})"
    return Answer(
        f"{paths_below([made.archive])[0]}: {held}, in {perf_counter() - begun:,.1f} s.\nSHA-256 {made.sha256}",
        next_steps=[Step("To prove it by restoring", f"snapshot verify {made.snapshot}")],
        facts={**made.facts(), "said": _told(wb)},
    )


@snapshot.command()
@answers("acting", one_state=False)
def verify(
    wb: Workbench,
    advance: Advance,
    name: Annotated[
        str, typer.Argument(metavar="SNAPSHOT", help="Its name, its file, or latest.")
    ] = "latest",
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Accept a size out of its predecessors' range.")
    ] = False,
) -> Answer:
    """Prove a snapshot: restore all of it elsewhere, compare every count and digest, and drop it again.

    Exit code 0 when it passes, 1 when it fails, 3 when it could not be tried.
    """
    from workbench.answer import Answer

    manifest = wb.snapshots.verify(name, any_size=any_size, advance=advance)
    tried = manifest.verifications[-1]
    where = f" on {tried.where}" if tried.where else ""
    return Answer(
        f"{manifest.snapshot}: {tried.outcome}{where}, {tried.seconds:.1f} s.\n  {tried.detail}",
        facts={**manifest.facts(), "outcome": tried.outcome, "detail": tried.detail, "said": _told(wb)},
        code={"pass": 0, "fail": 1, "not run": 3}[tried.outcome],
    )


@snapshot.command()
@answers("acting", one_state=False)
def prune(
    wb: Workbench,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go; so does neither option.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete what is shown.")] = False,
) -> Answer:
    """Show which snapshots and dry runs the guide lets go, and why; with --yes delete these."""
    import pandas as pd

    from workbench.answer import Answer, Step, Table

    if dry_run and yes:
        raise UsageError("--dry-run and --yes exclude each other.", "Give one.")
    decided = wb.snapshots.retention()
    gone = wb.snapshots.prune(decided) if yes else []
    going = [each.name for each in decided if not each.keep]
    rows = [(each.name, "keep" if each.keep else "delete", each.reason) for each in decided]
    frame = pd.DataFrame(rows, columns=["snapshot", "decision", "reason"])
    return Answer(
        f"Deleted: {', '.join(gone) or 'nothing'}." if yes else "",
        {"decisions": Table(frame, empty="no snapshots yet")},
        next_steps=[Step(f"To delete {len(going):,}", "snapshot prune --yes")] if going and not yes else (),
        facts={"decisions": [vars(each) for each in decided], "pruned": gone, "said": _told(wb)},
    )


@snapshot.command(name="list")
@answers(one_state=False)
def listed(wb: Workbench) -> Answer:
    """List the environment's snapshots: when, by whom, how large, whether proved by restoring."""
    answer = wb.snapshots()
    _told(wb)
    return answer


def _told(wb: Workbench) -> list[str]:
    for line in wb.snapshots.said:
        stderr().print(line)
    return wb.snapshots.said
