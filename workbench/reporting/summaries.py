"""What was looked at and what a run did, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from workbench.investigate.records import RunRecords
from workbench.investigate.runs import in_words
from workbench.murmurant.importers import ACTIONS
from workbench.murmurant.spellings import ENTITIES
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import Shown, prose, text_of, visible
from workbench.reporting.verdict import Looked

_IMPORTERS = {
    "api": "the sync with Wild Apricot",
    "csv": "an import of CSV files",
    "guide": "an import as the guide describes it",
}
_ENDINGS = {
    "completed": "It reached its end",
    "incomplete": "It reached its end and did not bring what it should",
    "failed": "It failed",
    "interrupted": "It stopped midway",
    "unknown": "Nobody knows how it ended",
}


def looked_at(looked: Looked) -> Shown:
    """Tell which database a report is about, and how it was looked at."""
    identity = looked.identity
    seen = "one state for the whole report" if looked.one_state else "as it is at each question"
    return listed(
        {
            "Environment": f"{looked.environment.name} ({looked.environment.kind})",
            "Database": f"{identity.database} at {looked.environment.where}",
            "Server": f"PostgreSQL {identity.version}, system {identity.system_identifier}",
            "Connected as": f"{identity.user}, read only, {seen}",
            "Dialect": looked.dialect,
            "Personal data": "shown" if looked.unmask else "masked",
        }
    )


def run_summary(records: RunRecords, unmask: bool = False) -> Shown:
    """Tell in plain words what a run was, what it did and how it ended."""
    run = records.run
    kind = "a dry run, which writes nothing, of" if run.mode == "dry" else ""
    fetched = {"full": ", fetching everything", "incremental": ", fetching only what had changed"}.get(
        run.sync, ""
    )
    who = f", by {run.operator}" if run.operator else ""
    when = f" It started on {text_of(run.started)} UTC" if run.started else " When it started is not known"
    lasted = f" and took {run.duration:,.0f} seconds." if run.duration is not None else "."
    did = "; ".join(f"{entity}: {in_words(run.counts.get(entity, {}))}" for entity in ENTITIES)
    return listed(
        {
            "Run": run.run,
            "What it was": " ".join(
                f"This was {kind} {_IMPORTERS.get(run.importer, run.importer)}{fetched}{who}.{when}{lasted}".split()
            ),
            "What it did": did,
            "How it ended": f"{_ENDINGS.get(run.status, run.status)} ({run.status}): {run.why if unmask else mask_text(run.why)}.",
            **({"What became of it": f"It was {run.became}."} if run.rolled_back else {}),
            "How this is known": run.evidence or "by nothing at all",
        }
    )


def run_counts(records: RunRecords) -> pd.DataFrame:
    """Lay out what was found beside what the importer reported.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``action``, ``found``, ``reported``, ``difference``; where one side says
        nothing, a gap.
    """
    found, said = records.run.traced, records.run.reported
    rows = [
        (entity, action, found.get(entity, {}).get(action), said.get(entity, {}).get(action))
        for entity in ENTITIES
        for action in ACTIONS
        if found.get(entity, {}).get(action) or said.get(entity, {}).get(action)
    ]
    frame = pd.DataFrame(rows, columns=["entity", "action", "found", "reported"])
    frame = frame.astype({"found": "Int64", "reported": "Int64"})
    return frame.assign(difference=frame["found"] - frame["reported"])


def run_said(records: RunRecords) -> pd.DataFrame:
    """Lay out what a run's reports say besides counts and records.

    Returns
    -------
    pandas.DataFrame
        ``what`` (a warning and how grave, a diagnostic, a reason to skip, a key that nobody knows) and ``said``.
    """
    run = records.run
    rows = [
        (f"warning, {each.severity or 'not rated'}", f"{each.code} {mask_text(each.message)}".strip())
        for each in run.warnings
    ]
    for report in run.reports:
        rows += [(name, f"{count:,}") for name, count in report.diagnostics.items() if count]
        rows += [(mask_text(reason), f"{count:,}") for reason, count in report.skip_reasons.items()]
    rows += [(f"unknown key in {report}", key) for report, key in run.unread]
    return pd.DataFrame(rows, columns=["what", "said"]).drop_duplicates(ignore_index=True)


def run_differences(records: RunRecords) -> Shown:
    """List where the evidence and the importer's own report disagree."""
    if not records.differences:
        return listed({"Differences": "none: what was found is what was reported, as far as both are known"})
    return listed({f"Difference {number}": each for number, each in enumerate(records.differences, 1)})


def listed(facts: dict[str, str]) -> Shown:
    """Show facts, each under what it is about."""
    items = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(what, visible(fact)) for what, fact in facts.items()
    )
    text = "\n".join(f"{what}: {visible(fact)}" for what, fact in facts.items())
    return Shown(Markup('<dl class="wb-facts">{}</dl>').format(items), text)


def in_steps(steps: Sequence[str]) -> Shown:
    """Show what to do, one thing after the other, with the commands in it set as code."""
    html = Markup("").join(Markup("<li>{}</li>").format(prose(visible(each))) for each in steps)
    text = "\n".join(f"{number}. {each}" for number, each in enumerate(steps, 1))
    return Shown(Markup('<ol class="wb-steps">{}</ol>').format(html), text)
