"""``snapshot diff``, ``snapshot losses``, ``plan replay``: what came after a snapshot, whose it is, and putting it back."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import workbench
from workbench.cli.options import AsJson, Before, EnvironmentName, ImportReports, Unmask, answers, open_as
from workbench.cli.output import Advance, banner, command, on, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.history.ledger import Differences, Losses
    from workbench.workbench import Workbench

_FEW, _MANY = 5, 20

Evidence = Annotated[
    Literal["certain", "strong", "likely", "weak"],
    typer.Option(help="Records tied to a run more weakly count as nobody's, and are listed."),
]

SnapshotName = Annotated[
    str | None,
    typer.Argument(
        metavar="SNAPSHOT",
        help="A snapshot's name, its file, `latest`, or any dump of pg_dump; or give --before.",
    ),
]


def diff(
    snapshot: SnapshotName = None,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="A later snapshot; else the database as it is.")
    ] = None,
    before: Before = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; repeatable.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="How many rows of each table and change are shown; all are counted.")
    ] = _FEW,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every row, whatever the snapshot's digests say.")
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    unmask: Unmask = False,
) -> None:
    """Compare a snapshot with the database, or with a later one: rows, columns, and who did it.

    Exit code 1 where anything differs.
    """
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        with progress_bar() as advance:
            found = wb.differences(
                snapshot,
                other,
                before=before,
                tables=table or (),
                limit=limit,
                in_full=full,
                progress=advance,
            )
        if json:
            print_json(diff_facts(found, unmask))
        else:
            banner(wb.environment)
            _tell(found, unmask)
            if len(found.tables) and not other:
                given = f"--before {before}" if before else shlex.quote(str(snapshot))
                say(f"What a restore would lose: {command()} snapshot losses {given} --run RUN_ID{on()}")
    raise typer.Exit(1 if len(found.tables) else 0)


def losses(
    snapshot: SnapshotName = None,
    before: Before = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN_ID", help="A bad run, whose doing is not counted; repeatable."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="How many rows of each table and change are shown; all are counted.")
    ] = _FEW,
    min_evidence: Evidence = "likely",
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    unmask: Unmask = False,
) -> None:
    """Tell what a restore to a snapshot would lose: all that was done since but the bad run's doing.

    Exit code 1 where anything would be lost.
    """
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        with progress_bar() as advance:
            found = wb.losses(
                snapshot, run or (), before=before, limit=limit, min_evidence=min_evidence, progress=advance
            )
        if json:
            print_json(losses_facts(found, unmask))
        else:
            banner(wb.environment)
            tell_losses(found, unmask)
            if found.total and found.runs:
                given = f"--before {before}" if before else f"--snapshot {shlex.quote(str(snapshot))}"
                named = " ".join(f"--run {each}" for each in found.runs)
                say(
                    "Before the restore, plan what is put back after it:",
                    f"  {command()} plan replay {given} {named}{on()}",
                )
    raise typer.Exit(1 if found.total else 0)


@answers("import_report", "acting", "unmask")
def replay(
    wb: Workbench,
    run: Annotated[
        list[str],
        typer.Option("--run", metavar="RUN_ID", help="A bad run, whose doing is not put back; repeatable."),
    ],
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="SNAPSHOT", help="The snapshot that will be restored.")
    ] = None,
    before: Before = None,
    on_conflict: Annotated[
        Literal["keep", "restore"],
        typer.Option(help="What both a run and somebody after it changed: put back, or as in the snapshot."),
    ] = "keep",
    min_evidence: Evidence = "likely",
    *,
    advance: Advance,
) -> Answer:
    """Plan, before a restore, what is put back after it: everybody's work since but the bad run's doing."""
    from workbench.answer import Step

    plan = wb.plan_replay(
        snapshot, run, before=before, on_conflict=on_conflict, min_evidence=min_evidence, progress=advance
    )
    answer = wb.explain(plan)
    after = "Apply it after the restore; until then it is refused, for its rows are the snapshot's."
    return replace(answer, next_steps=[*answer.next_steps, Step(after)])


def losses_facts(found: Losses, unmask: bool) -> dict[str, Any]:
    """Return a loss ledger as JSON has it."""
    return {
        "snapshot": found.snapshot,
        "runs": found.runs,
        "total": found.total,
        "tables": found.tables,
        "authors": found.authors,
        "rows": workbench.mask(found.rows, unmask),
        "conflicts": _conflicts(found, unmask),
        "unresolved": found.unresolved,
    }


def tell_losses(found: Losses, unmask: bool) -> None:
    """Print a loss ledger."""
    but = f" but the doing of {', '.join(found.runs)}" if found.runs else ""
    if not found.total:
        say(f"A restore to {found.snapshot} would lose nothing{but}.")
        return
    print_table(found.tables, f"A restore to {found.snapshot} would lose {found.total:,} rows{but}")
    print_table(found.authors, "Whose work that is, by the evidence")
    if len(found.rows):
        print_table(workbench.differing_rows(found.rows, unmask), "Rows")
    if len(found.conflicts):
        rows = found.conflicts.iloc[0:0].from_records(_conflicts(found, unmask))
        print_table(rows, f"Conflicts ({len(rows):,})", limit=_MANY)
    if len(found.unresolved):
        print_table(found.unresolved, f"Unresolved ({len(found.unresolved):,})", limit=_MANY)


def _conflicts(found: Losses, unmask: bool) -> list[dict[str, Any]]:
    from workbench.explaining import masked_conflicts

    rows = [
        dict(zip(found.conflicts.columns, each, strict=True))
        for each in found.conflicts.itertuples(index=False)
    ]
    return masked_conflicts(rows, unmask)


def diff_facts(found: Differences, unmask: bool) -> dict[str, Any]:
    """Return what differs as JSON has it."""
    return {
        "snapshot": found.snapshot,
        "other": found.other or None,
        "compared_in_full_because": found.why_in_full or None,
        "tables": found.tables,
        "authors": found.authors,
        "rows": workbench.mask(found.rows, unmask),
        "same": found.same,
    }


def _tell(found: Differences, unmask: bool) -> None:
    since = f"between {found.snapshot} and {found.other}" if found.other else f"since {found.snapshot}"
    if found.why_in_full:
        say(f"Every row was compared: {found.why_in_full}.")
    if not len(found.tables):
        say(f"Nothing changed {since}: {len(found.same)} tables are as they were.")
        return
    print_table(found.tables, f"What changed {since} ({len(found.same)} other tables are as they were)")
    print_table(found.authors, "Who did it, by the evidence")
    if len(found.rows):
        print_table(workbench.differing_rows(found.rows, unmask), "Rows")
