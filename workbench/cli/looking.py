"""``runs``, ``run``, ``check``: questions, answered as tables or JSON.

What is heavy to load is reached through ``workbench.`` or inside a function, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.findings import Asked, answer_findings
from workbench.cli.options import AsJson, EnvironmentName, ImportReports, Unmask, Waivers, open_as, waivers
from workbench.cli.output import banner, command, narrow, on, print_json, print_table, say

if TYPE_CHECKING:
    import pandas as pd

    from workbench.murmurant.importers import Run

COMPACT = ["run", "mode", "sync", "status", "members", "registrations"]
DIGEST = [
    "run",
    "importer",
    "mode",
    "sync",
    "status",
    "started",
    "duration",
    "members",
    "events",
    "registrations",
]


def runs(
    environment: EnvironmentName = None, json: AsJson = False, import_report: ImportReports = None
) -> None:
    """List every import run: when, by whom, what it did, how it ended and how we know."""
    with open_as(environment, None, import_reports=import_report or ()) as wb:
        found = wb.find_runs()
        if json:
            print_json([_run_facts(each) for each in found])
            return
        banner(wb.environment)
        table = wb.runs()
        ended = table["status"].where(table["rolled_back"].eq(""), table["status"] + ", rolled back")
        print_table(
            table.assign(status=ended)[COMPACT if narrow() else DIGEST].rename(
                columns={"duration": "seconds"}
            ),
            empty="No import run left a trace here. Report files are evidence too: --import-report.",
        )
        doubtful = [each for each in found if each.status != "completed" and not each.rolled_back]
        for each in [each for each in found if each in doubtful or each.rolled_back or each.problems]:
            say("", f"{_ending(each)} Evidence: {each.evidence}.")
        if found:
            ends = (
                f"{len(doubtful)} neither completed nor rolled back"
                if doubtful
                else "all completed or rolled back"
            )
            say("", f"{len(found)} run{'s' * (len(found) != 1)}, {ends}. What one did, record by record:")
            say(f"  {command()} run {(doubtful or found)[-1].run}{on()}")


def run(
    run_id: Annotated[str, typer.Argument(help="As `workbench runs` shows it.")],
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    limit: Annotated[int, typer.Option(min=1, help="How many records to list; the counts are of all.")] = 50,
) -> None:
    """Tell record by record what one run did, by which evidence, and what became of it since."""
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.run(run_id, limit=limit)
        held = wb.bundles(run_id)
    one = found.run
    left_out = found.left_out[found.left_out["since"] == ""]
    settled = one.rolled_back or (one.status == "completed" and left_out.empty)
    clean = settled and not found.differences
    if json:
        print_json(
            {
                **_run_facts(one),
                "differences": found.differences,
                "left_out": workbench.mask(found.left_out),
                "tally": found.tally,
                "listed": found.records,
                "bundles": held[["bundle", "digest", "sealed_at", "sealed_by", "path"]],
            }
        )
    else:
        banner(wb.environment)
        kind = ", ".join(filter(None, (one.importer, one.sync, one.mode)))
        say(f"Run {_ending(one, f' ({kind})')}")
        say(f"Evidence: {one.evidence}.")
        if one.mode == "dry":
            say("A dry run: nothing was written; these are the records it would have touched.")
        for each in held.itertuples():
            say(f"Sealed by {each.sealed_by} in {each.bundle}, SHA-256 {each.digest}.")
        print_table(_counted(one), title="What it did, by WA id", empty="no record of it was found")
        if one.reports:
            print_table(workbench.run_said(found), title="What its reports say besides", empty="nothing")
            print_table(workbench.mask(found.problems), title="Errors", empty="none that they list")
        print_table(
            workbench.mask(found.left_out.drop(columns=["key", "run"])),
            title="Left out",
            empty="nothing, by its report" if one.reported else "not known: there is no report",
        )
        print_table(found.tally, title="Records by evidence", empty="no record can be named")
        for difference in found.differences:
            say(f"! {difference}")
        print_table(found.records, title="Records", empty="no record can be named")
        total = int(found.tally["records"].sum())
        if total > len(found.records):
            say(
                f"{len(found.records):,} of {total:,}, what is gone or touched first. More: {command()} run {one.run} --limit {total}{on()}"
            )
        if not clean:
            say("", f"To read and to show: {command()} report run -p run_id {one.run}{on()}")
            if one.status in {"incomplete", "interrupted", "failed"} and not one.rolled_back:
                from workbench.runs.telling import options

                say("Guide §4.1:", *(f"  {each}" for each in options(one)))
    raise typer.Exit(0 if clean else 1)


def check(
    checks: Annotated[
        list[str] | None, typer.Argument(metavar="[CHECK]...", help="All when none is named.")
    ] = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
    import_report: ImportReports = None,
    waive: Waivers = None,
    unmask: Unmask = False,
    limit: Annotated[
        int, typer.Option(min=1, help="How many rows a finding shows; its count is of all.")
    ] = 20,
) -> None:
    """Ask what the guide says to check, and show each finding with its section of the guide."""
    from workbench.checks import choose

    chosen = checks or []
    choose(chosen)  # a misspelt name should not need a database to be told
    with open_as(environment, None, import_reports=import_report or (), one_state=True) as wb:
        found = wb.checks(chosen, waivers(waive), sample=limit)
    answer_findings(wb, found, Asked("check", "post-recovery", bool(chosen)), json=json, unmask=unmask)


def _ending(run: Run, kind: str = "") -> str:
    """Say how a run ended, and what became of it since."""
    became = f" It was {run.became}." if run.rolled_back else ""
    return f"{run.run}{kind}: {run.status}, {workbench.mask_text(run.why)}.{became}"


def _counted(run: Run) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (entity, action, count)
        for entity, cells in run.counts.items()
        for action, count in cells.items()
        if count
    ]
    return pd.DataFrame(rows, columns=["entity", "action", "records"])


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "run": run.run,
        "importer": run.importer,
        "mode": run.mode,
        "sync": run.sync or None,
        "status": run.status,
        "why": workbench.mask_text(run.why),
        "rolled_back": run.rollback,
        "operator": run.operator,
        "started": run.started,
        "finished": run.finished,
        "duration": run.duration,
        "records": run.counts,
        "traced": run.traced,
        "reported": run.reported,
        "errors": run.errors,
        "superseded_by": run.superseded_by or None,
        "fetched": run.fetched,
        "warnings": [
            {"code": each.code, "severity": each.severity, "message": workbench.mask_text(each.message)}
            for each in run.warnings
        ],
        "problems": [
            {
                "entity": each.entity,
                "wa_id": each.wa_id,
                "row": each.row,
                "message": workbench.mask_text(each.message),
            }
            for each in run.problems
        ],
        "diagnostics": {name: count for report in run.reports for name, count in report.diagnostics.items()},
        "skip_reasons": {
            workbench.mask_text(reason): count
            for report in run.reports
            for reason, count in report.skip_reasons.items()
        },
        "unknown_keys": [{"report": report, "key": key} for report, key in run.unread],
        "evidence": [{"trace": str(trace), "count": count} for trace, count in run.traces.items()],
    }
