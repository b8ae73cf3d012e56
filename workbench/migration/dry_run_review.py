"""What a dry run says would be done, beside the dry run before it and the live run after it (guide §2.2).

A dry run's counts may differ from the live run's for an innocent reason: it does not look registrations up, so it
calls those new that are there; and of events that it did not make it has no mapping, so it does not fetch theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.investigate.dry_runs import rehearsals
from workbench.migration.importer_files import ImportFiles
from workbench.migration.invariants import check_invariants
from workbench.murmurant.importers import ACTIONS, Run, is_fetch_trouble
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION

PARTS = ("created", "updated", "existing", "errors")
"""What may become of a record; ``existing`` is all that the importers call skipped, whatever the reason."""

SAME, INNOCENT, DIFFERENT = "same", "innocent", "different"

NOT_LOOKED_UP = "a dry run does not look up whether a registration is there: it calls all of them new"
NOT_FETCHED = (
    "a dry run has no mapping of the events it did not make, so it does not fetch their registrations"
)

_NOT_MAPPED = "not mapped"


@dataclass(frozen=True)
class DryRunReview:
    """Everything that whoever approves a dry run should have seen.

    Attributes
    ----------
    run : Run
        The dry run.
    would : pandas.DataFrame
        ``entity``, ``would_create``, ``would_update``, ``would_skip``, ``errors``, ``fetched``.
    samples : pandas.DataFrame
        ``entity``, ``action``, ``wa_id``, ``record`` (what the importer would write, by its own field names).
    warnings : pandas.DataFrame
        ``what``, ``says``, ``count``; ``innocent`` where a dry run cannot know better.
    before : Run or None
        The dry run of the same importer before it.
    since : pandas.DataFrame
        ``entity``, ``action``, ``before``, ``now``, ``difference``; empty without one.
    live : Run or None
        The live run that it was the rehearsal of.
    happened : pandas.DataFrame
        ``entity``, ``action``, ``would``, ``did``, ``verdict`` (``same``, ``innocent``, ``different``), ``why``.
    """

    run: Run
    would: pd.DataFrame
    samples: pd.DataFrame
    warnings: pd.DataFrame
    before: Run | None
    since: pd.DataFrame
    live: Run | None
    happened: pd.DataFrame

    @property
    def different(self) -> int:
        """How many counts of the live run differ for no innocent reason."""
        return int((self.happened["verdict"] == DIFFERENT).sum())

    @property
    def open(self) -> int:
        """How many warnings there are that a dry run is not innocent of."""
        return int((~self.warnings["innocent"].astype(bool)).sum())


def review_dry_run(run: Run, runs: Sequence[Run], files: ImportFiles, sample: int = 3) -> DryRunReview:
    """Lay out a dry run for its reviewer.

    Parameters
    ----------
    run : Run
        A dry run.
    runs : sequence of Run
        All that are known, by start.
    files : ImportFiles
        Its report files as they were written.
    sample : int
        How many records to show of each entity and action.
    """
    earlier = [
        each
        for each in runs
        if (each.mode, each.importer, each.sync) == ("dry", run.importer, run.sync)
        and each.run != run.run
        and each.started is not None
        and run.started is not None
        and each.started < run.started
    ]
    before = earlier[-1] if earlier else None
    pairs = rehearsals(runs, 0)
    live = next((each.run for each in pairs if each.dry is not None and each.dry.run == run.run), None)
    return DryRunReview(
        run=run,
        would=_would(run),
        samples=_samples(run, sample),
        warnings=_warnings(run, files),
        before=before,
        since=_since(run, before),
        live=live,
        happened=_happened(run, live),
    )


def _part(run: Run, entity: str, part: str) -> int | None:
    """Return a run's count; None where nothing says it."""
    if part == "errors":
        return run.errors.get(entity)
    # A dry run leaves nothing but its report; of a live run the traces are better than its word.
    cells = (run.reported if run.mode == "dry" else run.counts).get(entity)
    if cells is None:
        return None
    if part == "existing":
        return sum(cells.get(each, 0) for each in ACTIONS[2:])
    return cells.get(part, 0)


def _would(run: Run) -> pd.DataFrame:
    rows = [
        (entity, *(_part(run, entity, part) for part in PARTS), run.fetched.get(entity))
        for entity in ENTITIES
    ]
    columns = ["entity", "would_create", "would_update", "would_skip", "errors", "fetched"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], "Int64"))


def _samples(run: Run, sample: int) -> pd.DataFrame:
    listed: dict[tuple[str, str], list[ReportRecord]] = {}
    for report in run.reports:
        for record in report.records:
            some = listed.setdefault((record.entity, record.action), [])
            if len(some) < sample:
                some.append(record)
    rows = [
        (entity, action, each.wa_id, each.fields)
        for entity in ENTITIES
        for action in ("created", "updated", "existing")
        for each in listed.get((entity, action), [])
    ]
    return pd.DataFrame(rows, columns=["entity", "action", "wa_id", "record"])


def _warnings(run: Run, files: ImportFiles) -> pd.DataFrame:
    rows: list[tuple[str, str, int, bool]] = []
    if run.status != "completed":
        rows.append(("ending", f"it ended as {run.status}: {run.why}", 1, False))
    for report in run.reports:
        for reason, count in sorted(report.skip_reasons.items()):
            innocent = reason.endswith(_NOT_MAPPED) and not is_fetch_trouble(reason)
            rows.append(("skipped", reason, count, innocent))
    rows += [
        ("errors", f"{CONCEPT_OF[entity]} that could not be read", count, False)
        for entity, count in run.errors.items()
        if count
    ]
    rows += [("warnings", each.message or each.code, 1, False) for each in run.warnings]
    for problem in run.problems:
        where = " ".join(filter(None, (problem.entity.lower(), problem.wa_id)))
        says = f"{where}: {problem.message or 'no reason given'}".lstrip(": ")
        rows.append(("errors", says, 1, False))
    for outcome in check_invariants(files):
        rows += [
            (outcome.invariant.id, f"{each.file}: {each.key}: {each.says}", 1, False)
            for each in outcome.violations
        ]
    table = pd.DataFrame(rows, columns=["what", "says", "count", "innocent"])
    return table.drop_duplicates(ignore_index=True)


def _pairs(one: Run | None, other: Run | None) -> list[tuple[str, str, int | None, int | None]]:
    """Set two runs' counts side by side, but for those that are nothing in both."""
    if one is None or other is None:
        return []
    pairs = [
        (entity, part, _part(one, entity, part), _part(other, entity, part))
        for entity in ENTITIES
        for part in PARTS
    ]
    return [pair for pair in pairs if pair[2] or pair[3]]


def _since(run: Run, before: Run | None) -> pd.DataFrame:
    rows = [(*pair, (pair[3] or 0) - (pair[2] or 0)) for pair in _pairs(before, run)]
    columns = ["entity", "action", "before", "now", "difference"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], "Int64"))


def _happened(run: Run, live: Run | None) -> pd.DataFrame:
    pairs = _pairs(run, live)
    why = _innocent([pair for pair in pairs if pair[0] == REGISTRATION and pair[1] != "errors"], run)
    rows = []
    for entity, part, would, did in pairs:
        if (would or 0) == (did or 0):
            verdict = SAME, ""
        elif entity == REGISTRATION and part != "errors" and why:
            verdict = INNOCENT, why
        else:
            assert live is not None
            verdict = DIFFERENT, _another_source(entity, run, live)
        rows.append((entity, part, would, did, *verdict))
    columns = ["entity", "action", "would", "did", "verdict", "why"]
    return pd.DataFrame(rows, columns=columns).astype({"would": "Int64", "did": "Int64"})


def _innocent(pairs: Sequence[tuple[str, str, int | None, int | None]], run: Run) -> str:
    """Say why the counts of registrations may differ; empty where they may not."""
    would, did = sum(pair[2] or 0 for pair in pairs), sum(pair[3] or 0 for pair in pairs)
    if would == did:
        return NOT_LOOKED_UP
    unmapped = any(reason.endswith(_NOT_MAPPED) for report in run.reports for reason in report.skip_reasons)
    return NOT_FETCHED if would < did and unmapped else ""


def _another_source(entity: str, run: Run, live: Run) -> str:
    then, now = run.fetched.get(entity), live.fetched.get(entity)
    if then is None or now is None or then == now:
        return ""
    return f"the source had {then:,} {CONCEPT_OF[entity]} then, and {now:,} in the live run"
