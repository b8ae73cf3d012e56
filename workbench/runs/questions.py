"""What the import runs did: all of them, and one record by record (guide §2, §5.1)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from workbench.answer import Answer, Step, Table, many
from workbench.covering import answering, covering
from workbench.migration.bundles import bundles_frame, list_bundles
from workbench.murmurant.importers import ACTIONS, Run
from workbench.murmurant.spellings import ENTITIES
from workbench.reporting.charts import actions_chart, runs_chart
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import in_words, pick_run, rehearsals, rehearsals_frame, runs_frame
from workbench.runs.plan import options, plan_rollback, plan_sync_state
from workbench.runs.records import RunRecords, run_records
from workbench.session import Session

_ENDINGS = {
    "completed": "reached its end",
    "incomplete": "reached its end, but did not import what it should",
    "failed": "failed",
    "interrupted": "stopped midway",
    "unknown": "left no trace of how it ended",
}


class Runs:
    """The import runs of an environment: ``wb.runs()`` lists them, ``wb.runs["sync_..."]`` shows what one did."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self) -> Answer:
        """List every import run: when, by whom, what it did, how it ended and how we know."""
        runs = self.wb.find_runs()
        table = runs_frame(runs)
        status = table["status"].where(table["rolled_back"].eq(""), table["status"] + ", rolled back")
        shown = table.assign(status=status).drop(columns=["finished", "why", "rolled_back", "evidence"])
        unfinished = [run for run in runs if run.status != "completed" and not run.rolled_back]
        endings = [
            f"\n{'. '.join(filter(None, (f'{run.run}: {run.status}, {run.why}', run.became)))}. Evidence: {run.evidence}."
            for run in runs
            if run in unfinished or run.rolled_back or run.problems
        ]
        summary, steps = "", list[Step]()
        if runs:
            ends = (
                f"{len(unfinished)} neither completed nor rolled back"
                if unfinished
                else "all completed or rolled back"
            )
            summary = f"\n{many(len(runs), 'run')}, {ends}."
            steps = [Step("What one did, record by record", f"run {(unfinished or runs)[-1].run}")]
        return Answer(
            parts={
                "runs": Table(
                    shown.rename(columns={"duration": "seconds"}),
                    empty="No import run left a trace here. Report files are evidence too: --import-report.",
                    first=("run", "status", "started", "importer", "members", "registrations"),
                ),
                "endings": "\n".join(endings),
                "summary": summary,
                "drawn": partial(runs_chart, table),
            },
            next_steps=steps,
            facts=[_facts(run) for run in runs],
        )

    def __getitem__(self, run_id: str) -> Answer:
        return self.run(run_id)

    @answering
    def run(self, run_id: str, limit: int | None = 50) -> Answer:
        """Show record by record what one run did, by which evidence, and what became of it since."""
        records = self.records(run_id, limit)
        run, tally, left_out = records.run, records.tally, records.left_out
        bundles = bundles_frame(list_bundles(self.wb.settings.backups, run.run))
        complete = run.status == "completed" and not left_out["since"].eq("").any()
        clean = not records.differences and bool(run.rolled_back or complete)
        total, more = int(tally["records"].sum()), ""
        if total > len(records.records):
            more = f"Missing and changed ones first. More: `workbench run {run.run} --limit {total}`."
        steps = [] if clean else [Step("A report of this run", f"report run -p run_id {run.run}")]
        if run.status in {"incomplete", "interrupted", "failed"} and not run.rolled_back:
            steps += [Step(option) for option in options(run)]
        problems = pd.DataFrame(_problems(run), columns=["entity", "wa_id", "row", "reason"], dtype=object)
        problems = problems.astype({"row": "Int64"})
        unread = "nothing, by its report" if run.reported else "not known: there is no report"
        no_record, nothing = "no record can be named", "none" if run.reports else ""
        return Answer(
            f"Run {run.run} {_ENDINGS.get(run.status, '')} ({run.status}): {run.why}.",
            {
                "summary": run_summary(run),
                "bundles": "\n".join(
                    f"Sealed by {row.sealed_by} in {row.bundle}, SHA-256 {row.digest}."
                    for row in bundles.itertuples()
                ),
                "counts": Table(run_counts(run), "What it did, by WA id", "no record of it was found"),
                "differences": "\n".join(f"! {line}" for line in records.differences),
                "said": Table(_statements(run), "What else its reports say", nothing),
                "problems": Table(problems, "Errors", nothing),
                "left_out": Table(left_out.drop(columns=["key", "run"]), "Left out", unread),
                "drawn": partial(actions_chart, tally),
                "neighbours": lambda: runs_chart(self.frame(), highlight=run.run),
                "tally": Table(tally, "Records by evidence", no_record),
                "records": Table(records.records, "Records", no_record, total=total, note=more),
            },
            next_steps=steps,
            facts={
                **_facts(run),
                "differences": records.differences,
                "left_out": left_out,
                "tally": tally,
                "listed": records.records,
                "bundles": bundles[["bundle", "digest", "sealed_at", "sealed_by", "path"]],
            },
            code=0 if clean else 1,
        )

    @answering
    def rehearsals(self) -> Answer:
        """Show which dry run came before each live run (guide §1.6): see `workbench.runs.discovery.rehearsals_frame`."""
        frame = rehearsals_frame(rehearsals(self.wb.find_runs(), self.wb.options.dry_run_hours))
        return Answer(parts={"rehearsals": Table(frame, "Live runs and their dry runs", limit=40)})

    def frame(self) -> pd.DataFrame:
        """Return every import run as a row: see `workbench.runs.discovery.runs_frame`."""
        return runs_frame(self.wb.find_runs())

    plan_rollback = plan_rollback
    plan_sync_state = plan_sync_state

    @covering
    def records(self, run_id: str, limit: int | None = None) -> RunRecords:
        """Return what one run did as frames; `UsageError` for an id that left no trace."""
        run, others = pick_run(self.wb.find_runs(), run_id)
        with self.wb.reading() as connection:
            return run_records(connection, self.wb.schema, run, others, limit)


def run_summary(run: Run) -> dict[str, str]:
    """Describe what a run was, what became of it and how this is known."""
    facts = {
        "importer": " ".join(filter(None, (run.importer, run.sync, "dry run" if run.mode == "dry" else ""))),
        "operator": run.operator or "",
        "started": f"{run.started:%Y-%m-%d %H:%M} UTC" if run.started else "not known",
        "seconds": f"{run.duration:,.0f}" if run.duration is not None else "",
        **{entity.lower() + "s": in_words(run.counts.get(entity, {})) for entity in ENTITIES},
        "rolled back": run.became.removeprefix("rolled back "),
        "evidence": run.evidence or "none",
    }
    return {name: text for name, text in facts.items() if text}


def run_counts(run: Run) -> pd.DataFrame:
    """Compare what was found with what the importer reported.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``action``, ``found``, ``reported``, ``difference``; with gaps where one side is silent.
    """
    cells = {
        (entity, action): [counts.get(entity, {}).get(action) for counts in (run.traced, run.reported)]
        for entity in ENTITIES
        for action in ACTIONS
    }
    rows = [(*pair, *counts) for pair, counts in cells.items() if any(counts)]
    frame = pd.DataFrame(rows, columns=["entity", "action", "found", "reported"])
    frame = frame.astype({"found": "Int64", "reported": "Int64"})
    return frame.assign(difference=frame["found"] - frame["reported"])


def _statements(run: Run) -> pd.DataFrame:
    """List what reports say in addition to counts and records: warnings, diagnostics, reasons to skip, unknown keys."""
    rows = [
        (f"warning, {row['severity'] or 'not rated'}", f"{row['code']} {row['message']}".strip())
        for row in _warnings(run)
    ]
    rows += [(name, f"{count:,}") for name, count in _counted(run, "diagnostics").items() if count]
    rows += [(reason, f"{count:,}") for reason, count in _counted(run, "skip_reasons").items()]
    rows += [(f"unknown key in {report}", key) for report, key in run.unread]
    return pd.DataFrame(rows, columns=["what", "said"]).drop_duplicates(ignore_index=True)


def _warnings(run: Run) -> list[dict[str, str]]:
    return [{**row._asdict(), "message": mask_text(row.message)} for row in run.warnings]


def _problems(run: Run) -> list[dict[str, Any]]:
    return [
        {**row._asdict(), "reason": row.reason, "message": mask_text(row.message)} for row in run.problems
    ]


def _counted(run: Run, name: str) -> dict[str, int]:
    """Return what its reports count under a name, free text masked."""
    return {mask_text(word): count for report in run.reports for word, count in getattr(report, name).items()}


def _facts(run: Run) -> dict[str, Any]:
    """Return a run for machines; free text of its reports masked."""
    names = "run importer mode status operator started finished duration traced reported errors fetched"
    return {
        **{name: getattr(run, name) for name in names.split()},
        "sync": run.sync or None,
        "why": mask_text(run.why),
        "rolled_back": run.rollback,
        "records": run.counts,
        "superseded_by": run.superseded_by or None,
        "warnings": _warnings(run),
        "problems": [
            {name: cell for name, cell in row.items() if name != "reason"} for row in _problems(run)
        ],
        "diagnostics": _counted(run, "diagnostics"),
        "skip_reasons": _counted(run, "skip_reasons"),
        "unknown_keys": [{"report": report, "key": key} for report, key in run.unread],
        "evidence": [{"trace": str(trace), "count": count} for trace, count in run.traces.items()],
    }
