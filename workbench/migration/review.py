"""Review of a dry run, beside the dry run before it and the live run after it (guide §2.2).

A dry run's counts may differ from the live run's for an innocent reason: it does not look registrations up, so it counts
existing ones as new; and it has no mapping of the events that it would create, so it does not fetch their registrations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Table
from workbench.migration.invariants import check_files
from workbench.murmurant.importers import ACTIONS, Run, is_fetch_trouble
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.runs.discovery import rehearsals

PARTS = ["created", "updated", "existing", "errors"]
"""The possible outcomes of a record; ``existing`` is what the importers call skipped."""

SAME, INNOCENT, DIFFERENT = "same", "innocent", "different"

NOT_LOOKED_UP = "a dry run does not look registrations up: it counts all of them as new"
NOT_FETCHED = (
    "a dry run has no mapping of the events it would create, so it does not fetch their registrations"
)
_NOT_MAPPED = "not mapped"


def review_dry_run(
    run: Run, runs: Sequence[Run], sample: int = 3, expected: Mapping[Any, int] | None = None
) -> Answer:
    """Show what a dry run would do.

    Parameters
    ----------
    run : Run
        A dry run.
    runs : sequence of Run
        All known runs, by start.
    sample : int
        How many records to show of each entity and action.
    expected : mapping of str to int, optional
        How many ``members``, ``events`` and ``registrations`` there should be.

    Returns
    -------
    Answer
        Its facts: ``would`` (by entity), ``samples``, ``warnings`` (``innocent`` where a dry run cannot know better),
        ``before`` and ``live`` (the runs it is compared with), ``since`` and ``happened`` (count by count, the latter
        with a ``verdict``: ``same``, ``innocent``, ``different``), ``open`` and ``different`` (how many are not innocent).
    """
    kind = "dry", run.importer, run.sync
    dated = [dry for dry in runs if dry.started and (dry.mode, dry.importer, dry.sync) == kind]
    before = [dry for dry in dated if run.started and dry.started and dry.started < run.started][-1:]
    live = [pair.run for pair in rehearsals(runs, 0) if pair.dry and pair.dry.run == run.run][:1]
    names = {"created": "would_create", "updated": "would_update", "existing": "would_skip"}
    would = _counts(run).rename(columns=names).rename_axis("entity").reset_index()
    columns = ["what", "says", "count", "innocent"]
    warnings = pd.DataFrame([*_warnings(run, expected or {})], columns=columns)
    warnings = warnings.drop_duplicates(ignore_index=True)
    records = [record for report in run.reports for record in report.records]
    rows = [(record.entity, record.action, record.wa_id, record.fields) for record in records]
    samples = pd.DataFrame(rows, columns=["entity", "action", "wa_id", "record"])
    samples = samples[samples["action"].isin(PARTS)].groupby(["entity", "action"], sort=False).head(sample)
    since = _side_by_side(before, [run], "before", "now")
    since = since.assign(difference=since["now"].fillna(0) - since["before"].fillna(0))
    happened = _happened(run, live)
    facts = {
        **{name: getattr(run, name) for name in ("run", "importer", "status", "started")},
        "would": would,
        "samples": samples,
        "warnings": warnings,
        "since": since,
        "happened": happened,
        "before": before[0].run if before else None,
        "live": live[0].run if live else None,
        "open": int((~warnings["innocent"].astype(bool)).sum()),
        "different": int((happened["verdict"] == DIFFERENT).sum()),
    }
    parts: dict[str, Part] = {
        "would": Table(would, "What it would do"),
        "samples": Table(samples, "Samples", "its reports list no records"),
        "warnings": Table(warnings, "Warnings"),
        "before": "There is no earlier dry run of this importer to compare with.",
    }
    if before:
        parts["before"] = Table(since, f"Compared with the previous dry run, {before[0].run}", "no counts")
    if live:
        parts["happened"] = Table(happened, f"What the live run did, {live[0].run}", "no counts")
    code = int(bool(facts["open"] or facts["different"]))
    headline = f"Dry run {run.run} ({run.importer}): {run.status}, {run.why}."
    return Answer(headline, parts, facts=facts, code=code)


def _counts(run: Run) -> pd.DataFrame:
    """Return what a run did or would do, by entity and outcome; missing where unknown."""
    # A dry run leaves nothing but its report; of a live run the traces are better evidence.
    cells = pd.DataFrame.from_dict(run.reported if run.mode == "dry" else run.counts, orient="index")
    cells = cells.reindex(index=ENTITIES, columns=ACTIONS)
    known = cells.notna().any(axis=1)
    counts = cells[PARTS[:2]].fillna(0).assign(existing=cells[list(ACTIONS[2:])].sum(axis=1)).where(known)
    return counts.assign(errors=pd.Series(run.errors), fetched=pd.Series(run.fetched)).astype("Int64")


def _side_by_side(left: Sequence[Run], right: Sequence[Run], *names: str) -> pd.DataFrame:
    """Compare two runs' counts, without those that are zero in both; no rows where a run is missing."""
    sides = [_counts(run)[PARTS].stack() for run in (*left, *right)]
    table = pd.concat(sides if len(sides) == 2 else [sides[0].head(0)] * 2, axis=1)
    table = table.reset_index().set_axis(["entity", "action", *names], axis=1)
    return table[table[list(names)].fillna(0).ne(0).any(axis=1)].reset_index(drop=True)


def _warnings(run: Run, expected: Mapping[Any, int]) -> Iterator[tuple[str, str, int, bool]]:
    """Yield what a reviewer should look into: the kind, the text, how many, and whether it is innocent."""
    if run.status != "completed":
        yield "ending", f"it ended as {run.status}: {run.why}", 1, False
    for entity, count in _counts(run)[PARTS].sum(axis=1).items():
        things = CONCEPT_OF[str(entity)]
        if run.sync != "incremental" and things in expected and count != expected[things]:
            innocent = entity == REGISTRATION and run.importer == "api"  # see NOT_FETCHED
            yield "expected", f"{expected[things]:,} {things} are expected, it has {count:,}", 1, innocent
    for reason, count in sorted(item for report in run.reports for item in report.skip_reasons.items()):
        yield "skipped", reason, count, reason.endswith(_NOT_MAPPED) and not is_fetch_trouble(reason)
    for entity, count in run.errors.items():
        if count:
            yield "errors", f"{CONCEPT_OF[entity]} that could not be read", count, False
    for warning in run.warnings:
        yield "warnings", warning.message or warning.code, 1, False
    for problem in run.problems:
        about = " ".join(filter(None, (problem.entity.lower(), problem.wa_id)))
        yield "errors", f"{about}: {problem.message or 'no reason given'}".lstrip(": "), 1, False
    violations = check_files([report.path for report in run.reports], [])[1]
    for invariant, file, key, says in violations.itertuples(index=False):
        yield invariant, f"{file}: {key}: {says}", 1, False


def _happened(run: Run, live: Sequence[Run]) -> pd.DataFrame:
    """Compare with the live run: only registrations may differ innocently, and their total may only grow for a reason."""
    table = _side_by_side([run], live, "would", "did")
    would, did = table["would"].fillna(0), table["did"].fillna(0)
    seats = (table["entity"] == REGISTRATION) & (table["action"] != "errors")
    unmapped = any(reason.endswith(_NOT_MAPPED) for report in run.reports for reason in report.skip_reasons)
    more = did[seats].sum() - would[seats].sum()
    innocent = NOT_LOOKED_UP if more == 0 else NOT_FETCHED if more > 0 and unmapped else ""
    verdict = pd.Series(DIFFERENT, index=table.index, dtype=object)
    verdict = verdict.mask(seats & bool(innocent), INNOCENT).mask(would == did, SAME)
    return table.assign(verdict=verdict, why=verdict.eq(INNOCENT).map({True: innocent, False: ""}))
