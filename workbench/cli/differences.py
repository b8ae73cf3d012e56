"""``snapshot diff``, ``snapshot losses``, ``plan replay``: what came after a snapshot, whose it is, and putting it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import Before, answers
from workbench.cli.output import Advance

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

Evidence = Annotated[
    Literal["certain", "strong", "likely", "weak"],
    typer.Option(help="Records tied to a run more weakly count as nobody's, and are listed."),
]
Limit = Annotated[
    int, typer.Option(min=0, help="How many rows of each table and change are shown; all are counted.")
]
SnapshotName = Annotated[
    str | None,
    typer.Argument(
        metavar="SNAPSHOT",
        help="A snapshot's name, its file, `latest`, or any dump of pg_dump; or give --before.",
    ),
]


@answers("import_report", "unmask")
def diff(
    wb: Workbench,
    advance: Advance,
    snapshot: SnapshotName = None,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="A later snapshot; else the database as it is.")
    ] = None,
    before: Before = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; repeatable.")
    ] = None,
    limit: Limit = 5,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every row, whatever the snapshot's digests say.")
    ] = False,
) -> Answer:
    """Compare a snapshot with the database, or with a later one: rows, columns, and who did it.

    Exit code 1 where anything differs.
    """
    return wb.history.differences(
        snapshot, other, before=before, tables=table or (), limit=limit, in_full=full, progress=advance
    )


@answers("import_report", "unmask")
def losses(
    wb: Workbench,
    advance: Advance,
    snapshot: SnapshotName = None,
    before: Before = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN_ID", help="A bad run, whose doing is not counted; repeatable."),
    ] = None,
    limit: Limit = 5,
    min_evidence: Evidence = "likely",
) -> Answer:
    """Tell what a restore to a snapshot would lose: all that was done since but the bad run's doing.

    Exit code 1 where anything would be lost.
    """
    return wb.history.losses(
        snapshot, run or (), before=before, limit=limit, min_evidence=min_evidence, progress=advance
    )


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

    plan = wb.history.plan_replay(
        snapshot, run, before=before, on_conflict=on_conflict, min_evidence=min_evidence, progress=advance
    )
    answer = wb.explain(plan)
    after = "Apply it after the restore; until then it is refused, for its rows are the snapshot's."
    return replace(answer, next_steps=[*answer.next_steps, Step(after)])
