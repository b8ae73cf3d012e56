"""``mappings`` and ``plan mapping``: ids that lead to the wrong record, and their correction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import workbench
from workbench.cli.options import AsJson, Before, EnvironmentName, ImportReports, Unmask, answers, open_as
from workbench.cli.output import banner, command, narrow, on, print_json, print_table, say
from workbench.cli.planning import plan
from workbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from workbench.answer import Answer
    from workbench.workbench import Workbench

Exports = Annotated[
    list[Path] | None,
    typer.Option(
        "--export", metavar="FILE", help="Wild Apricot's own CSV export, or a folder of them, as evidence."
    ),
]

_WIDE = [
    "problem",
    "mapping_key",
    "how_surely",
    "leads_to_id",
    "should_be_id",
    "contact",
    "person",
    "title",
    "why",
]
_NARROW = ["problem", "mapping_key", "how_surely", "why"]


def mappings(
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
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    export: Exports = None,
    unmask: Unmask = False,
) -> None:
    """List ids that lead to the wrong person or record, twice or nowhere; worst first, cycles drawn."""
    from workbench.mappings.problems import PROBLEMS, cycles_of, sure_corrections
    from workbench.murmurant.listings import write_csv
    from workbench.reporting.mappings import csv_remark

    for each in problem or ():
        if each not in PROBLEMS:
            raise unknown("problem of mappings", each, PROBLEMS)
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.mapping_findings(export or ())
        problems = found.problems
        if wa_id is not None:
            if not (problems["wa_id"] == wa_id).any():
                _known(wb, wa_id)
            problems = problems[problems["wa_id"] == wa_id]
    if problem:
        problems = problems[problems["problem"].isin(problem)]
    problems = problems.reset_index(drop=True)
    keys = set(problems["entity"] + "/" + problems["wa_id"])
    through = found.registrations[found.registrations["through"].isin(keys)].reset_index(drop=True)
    circles = [each for each in cycles_of(found.problems) if keys.intersection(each)]
    corrections = sure_corrections(problems)
    written = csv if csv is not None and len(corrections) else None
    if written is not None:
        write_csv(written, list(corrections.columns), corrections.to_dict("records"))
    clean = not len(problems) and not found.not_known
    if json:
        print_json(
            {
                "environment": wb.environment.name,
                "dialect": wb.dialect,
                "counts": dict(problems["problem"].value_counts(sort=False)),
                "cycles": circles,
                "problems": workbench.mask(problems, unmask=unmask),
                "registrations": through,
                "sure": len(corrections),
                "csv": str(written) if written else None,
                "not_known": found.not_known,
                "without_mapping": found.without_mapping,
            }
        )
        raise typer.Exit(0 if clean else 1)
    banner(wb.environment)
    if circles:
        say("Swaps and cycles: each id leads to the record of the next one.")
        say(*(f"  {' -> '.join((*each, each[0]))}" for each in circles[:limit]))
        say(*([f"  and {len(circles) - limit:,} more"] if len(circles) > limit else []), "")
    shown = workbench.mapping_table(workbench.mask(problems.head(limit), unmask=unmask))
    print_table(shown[_NARROW if narrow() else _WIDE], "Problems, worst first", empty="no problem found")
    if len(problems) > limit:
        say(f"{limit} of {len(problems):,}; more: {command()} mappings --limit {len(problems)}{on()}")
    if len(through):
        print_table(through.head(limit), "Registrations that came through them")
        if len(through) > limit:
            say(f"{limit} of {len(through):,}; all of them: --json")
    for each in found.not_known:
        say(f"? {each}")
    if found.without_mapping:
        say(csv_remark(found))
    _say_what_next(wb, problems, corrections, csv, moves=bool(through["moves"].any()))
    raise typer.Exit(0 if clean else 1)


def _known(wb: Workbench, wa_id: str) -> None:
    """Refuse a WA id that is not mapped at all: nothing found must not read as nothing wrong."""
    near = wb.mapped(wa_id)
    if not len(near[near["wa_id"] == wa_id]):
        raise unknown("mapping of WA id", wa_id, near["wa_id"])


def _say_what_next(
    wb: Workbench, problems: pd.DataFrame, corrections: pd.DataFrame, csv: Path | None, *, moves: bool
) -> None:
    from workbench.reporting.mappings import other_steps

    move = " --move-records" if moves else ""
    if not len(problems):
        return
    written = csv if len(corrections) else None
    say("", f"{len(problems):,} problems; {len(corrections):,} corrections are sure.")
    if csv is not None and written is None:
        say(f"{csv} was not written: no correction is sure.")
    say("Next:")
    if len(corrections):
        if written is None:
            say(f"  {command()} mappings --csv corrections.csv{on()}")
        say(f"  {command()} plan mapping --from {written or 'corrections.csv'}{move}{on()}")
    elif len(single := problems[~problems["problem"].isin(["no-mapping", "two-records"])]):
        first = single.iloc[0]
        whole = " --whole-cycle" if first["cycle"] else ""
        if not first["should_be"]:
            say(
                "  Who each one is, somebody has to find out; then, with the id of the right record for NEW_ID:"
            )
        right = first["should_be"] or "NEW_ID"
        say(f"  {command()} plan mapping {first['entity']} {first['wa_id']} {right}{whole}{move}{on()}")
    for said, words in other_steps(problems):
        say(f"  {said}:", f"  {command()} {words}{on()}")
    say(f"The same, drawn: {command()} report mappings{on()}")


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
        return wb.explain(wb.plan_rebuild(snapshot=snapshot, before=before, csv_records=csv_records))
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
    how = {"move_records": move_records, "whole_cycle": whole_cycle, "exports": export or ()}
    if table is not None:
        return wb.explain(wb.plan_mappings(table, **how))
    return wb.explain(wb.plan_mapping(str(entity), str(wa_id), str(new_id), reason=reason, **how))
