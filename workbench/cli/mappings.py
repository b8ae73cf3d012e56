"""``mappings`` and ``plan mapping``: ids that lead to the wrong record, and their correction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import Before, answers
from workbench.cli.planning import plan
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

Exports = Annotated[
    list[Path] | None,
    typer.Option(
        "--export", metavar="FILE", help="Wild Apricot's own CSV export, or a folder of them, as evidence."
    ),
]


@answers("import_report", "unmask")
def mappings(
    wb: Workbench,
    problem: Annotated[
        list[str] | None,
        typer.Option(metavar="PROBLEM", help="Only this: wrong-person, duplicate, ... Repeatable."),
    ] = None,
    wa_id: Annotated[str | None, typer.Option(metavar="N", help="Only this Wild Apricot id.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="How many to list, the worst; the counts are of all.")
    ] = 20,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the sure corrections as the table that `plan mapping --from` reads."
        ),
    ] = None,
    export: Exports = None,
) -> Answer:
    """List ids that lead to the wrong person or record, twice or nowhere; worst first, cycles drawn."""
    return wb.mappings(export or (), problem=problem or (), wa_id=wa_id, csv=csv, limit=limit)


@plan.command("mapping")
@answers("import_report", "acting", "unmask", one_state=False)
def plan_mapping(
    wb: Workbench,
    entity: Annotated[
        str | None, typer.Argument(metavar="ENTITY", help="Member, Event or Registration.")
    ] = None,
    wa_id: Annotated[str | None, typer.Argument(metavar="WA_ID")] = None,
    new_id: Annotated[
        str | None, typer.Argument(metavar="NEW_ID", help="The record it should lead to.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE.csv", help="Many at once: columns entity, wa_id, new_id, reason."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; goes into the audit log.")] = "",
    move_records: Annotated[
        bool,
        typer.Option(
            "--move-records", help="Move the registrations that came through the wrong mapping too."
        ),
    ] = False,
    whole_cycle: Annotated[
        bool,
        typer.Option(
            "--whole-cycle", help="Correct the rest of a swap or cycle with the part that is named."
        ),
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Put back the mappings that are missing, by all traces of them.")
    ] = False,
    snapshot: Annotated[
        str | None,
        typer.Option(
            metavar="SNAPSHOT",
            help="With --rebuild: a snapshot that still has them: its name, its file, `latest`, or any dump of pg_dump.",
        ),
    ] = None,
    before: Before = None,
    csv_records: Annotated[
        bool,
        typer.Option("--csv-records", help="With --rebuild: map what a CSV import made, too."),
    ] = False,
    export: Exports = None,
) -> Answer:
    """Plan to lead Wild Apricot ids to the right records (guide §4.2), one or a table of them; or put lost ones back."""
    one = [each for each in (entity, wa_id, new_id) if each is not None]
    if rebuild:
        if one or table is not None or reason or move_records or whole_cycle or export:
            raise UsageError(
                "To put lost mappings back and to correct wrong ones are two questions.",
                "Give --rebuild with --snapshot or --before, --csv-records and --import-report alone.",
            )
        return wb.explain(wb.mappings.plan_rebuild(snapshot=snapshot, before=before, csv_records=csv_records))
    if snapshot is not None or csv_records:
        raise UsageError(
            "--snapshot and --csv-records go with --rebuild.", "Add --rebuild, or leave them out."
        )
    if table is not None and (one or reason):
        raise UsageError("A table and a single correction are two questions.", "Give --from FILE.csv alone.")
    if table is None and len(one) < 3:
        raise UsageError(
            "What is to be corrected? An entity, a WA id and the new record's id are needed.",
            "For example `workbench plan mapping Member 50012 NEW_ID`, or `workbench plan mapping --from FILE.csv`.",
        )
    asked = table or (str(entity), str(wa_id), str(new_id), reason)
    planned = wb.mappings.plan(
        asked, move_records=move_records, whole_cycle=whole_cycle, exports=export or ()
    )
    return wb.explain(planned)
