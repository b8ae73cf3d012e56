"""What a dry run says would be done, beside the dry run before it and the live run after it (guide §2.2).

A dry run's counts may differ from the live run's for an innocent reason: it does not look registrations up, so it
calls those new that are there; and of events that it did not make it has no mapping, so it does not fetch theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Table
from workbench.migration.invariants import ImportFiles, check_invariants
from workbench.murmurant.importers import ACTIONS, Run, is_fetch_trouble
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.runs.rehearsals import rehearsals

PARTS = ["created", "updated", "existing", "errors"]
"""What may become of a record; ``existing`` is all that the importers call skipped, whatever the reason."""

SAME, INNOCENT, DIFFERENT = "same", "innocent", "different"

NOT_LOOKED_UP = "a dry run does not look up whether a registration is there: it calls all of them new"
NOT_FETCHED = (
    "a dry run has no mapping of the events it did not make, so it does not fetch their registrations"
)
_NOT_MAPPED = "not mapped"


def review_dry_run(
    run: Run,
    runs: Sequence[Run],
    files: ImportFiles,
    sample: int = 3,
    expected: Mapping[Any, int] | None = None,
) -> Answer:
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
    dated = [each for each in runs if each.started and (each.mode, each.importer, each.sync) == kind]
    before = [each for each in dated if run.started and each.started and each.started < run.started][-1:]
    pairs = rehearsals(runs, 0)
    live = [each.run for each in pairs if each.dry is not None and each.dry.run == run.run][:1]
    names = {"created": "would_create", "updated": "would_update", "existing": "would_skip"}
    would = _counts(run).rename(columns=names).rename_axis("entity").reset_index()
    warnings = pd.DataFrame(
        [*_warnings(run, expected or {}), *_violations(files)], columns=["what", "says", "count", "innocent"]
    ).drop_duplicates(ignore_index=True)
    since, happened = _side_by_side(before, [run], "before", "now"), _happened(run, live)
    since = since.assign(difference=since["now"].fillna(0) - since["before"].fillna(0))
    records = [(each.entity, each) for report in run.reports for each in report.records]
    listed = pd.DataFrame(
        [(entity, each.action, each.wa_id, each.fields) for entity, each in records],
        columns=["entity", "action", "wa_id", "record"],
    )
    shown = [
        listed[(listed["entity"] == entity) & (listed["action"] == action)].head(sample)
        for entity in ENTITIES
        for action in PARTS[:3]
    ]
    samples = pd.concat(shown, ignore_index=True)
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
        "before": Table(since, f"Since the dry run before, {before[0].run}", "no counts")
        if before
        else "There is no dry run of this importer before it to compare it with.",
    }
    if live:
        parts["happened"] = Table(happened, f"What really happened, in {live[0].run}", "no counts")
    code = int(bool(facts["open"] or facts["different"]))
    return Answer(
        f"Dry run {run.run} ({run.importer}): {run.status}, {run.why}.", parts, facts=facts, code=code
    )


def _counts(run: Run) -> pd.DataFrame:
    """Return what a run did, or would do, by entity and part; missing where nothing says it."""
    # A dry run leaves nothing but its report; of a live run the traces are better than its word.
    cells = pd.DataFrame.from_dict(run.reported if run.mode == "dry" else run.counts, orient="index")
    cells = cells.reindex(index=ENTITIES, columns=ACTIONS)
    told = cells.notna().any(axis=1)
    counts = cells[PARTS[:2]].fillna(0).assign(existing=cells[list(ACTIONS[2:])].sum(axis=1)).where(told)
    more = counts.assign(errors=pd.Series(run.errors), fetched=pd.Series(run.fetched))
    return more.astype("Int64")


def _side_by_side(one: Sequence[Run], other: Sequence[Run], *names: str) -> pd.DataFrame:
    """Set two runs' counts side by side, but for those that are nothing in both."""
    columns = ["entity", "action", *names]
    if not (one and other):
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(names, "Int64"))
    sides = [_counts(each)[PARTS].stack() for each in (*one, *other)]
    table = pd.concat(sides, axis=1).reset_index().set_axis(columns, axis=1)
    return table[table[list(names)].fillna(0).ne(0).any(axis=1)].reset_index(drop=True)


def _warnings(run: Run, expected: Mapping[Any, int]) -> Iterator[tuple[str, str, int, bool]]:
    if run.status != "completed":
        yield "ending", f"it ended as {run.status}: {run.why}", 1, False
    for entity, count in _counts(run)[PARTS].sum(axis=1).items():
        things = CONCEPT_OF[str(entity)]
        if run.sync != "incremental" and things in expected and count != expected[things]:
            # A sync's dry run fetches the registrations of those events only that are mapped.
            innocent = entity == REGISTRATION and run.importer == "api"
            yield "expected", f"{expected[things]:,} {things} are expected, it has {count:,}", 1, innocent
    for report in run.reports:
        for reason, count in sorted(report.skip_reasons.items()):
            yield "skipped", reason, count, reason.endswith(_NOT_MAPPED) and not is_fetch_trouble(reason)
    for name, count in run.errors.items():
        if count:
            yield "errors", f"{CONCEPT_OF[name]} that could not be read", count, False
    for warning in run.warnings:
        yield "warnings", warning.message or warning.code, 1, False
    for problem in run.problems:
        where = " ".join(filter(None, (problem.entity.lower(), problem.wa_id)))
        yield "errors", f"{where}: {problem.message or 'no reason given'}".lstrip(": "), 1, False


def _violations(files: ImportFiles) -> Iterator[tuple[str, str, int, bool]]:
    for name, *violation in check_invariants(files)[1].itertuples(index=False):
        yield str(name), ": ".join(map(str, violation)), 1, False


def _happened(run: Run, live: Sequence[Run]) -> pd.DataFrame:
    """Compare with the live run: the registrations alone may differ innocently, and their sum may only grow for a reason."""
    table = _side_by_side([run] if live else [], live, "would", "did")
    would, did = table["would"].fillna(0), table["did"].fillna(0)
    seats = (table["entity"] == REGISTRATION) & (table["action"] != "errors")
    unmapped = any(reason.endswith(_NOT_MAPPED) for report in run.reports for reason in report.skip_reasons)
    more = did[seats].sum() - would[seats].sum()
    innocent = NOT_LOOKED_UP if more == 0 else NOT_FETCHED if more > 0 and unmapped else ""
    verdict = pd.Series(DIFFERENT, index=table.index, dtype=object)
    verdict = verdict.mask(seats & bool(innocent), INNOCENT).mask(would == did, SAME)
    sources = {entity: _another_source(entity, run, each) for each in live for entity in ENTITIES}
    why = table["entity"].map(sources).where(verdict == DIFFERENT, "").mask(verdict == INNOCENT, innocent)
    return table.assign(verdict=verdict, why=why)


def _another_source(entity: str, run: Run, live: Run) -> str:
    then, now = run.fetched.get(entity), live.fetched.get(entity)
    if then is None or now is None or then == now:
        return ""
    return f"the source had {then:,} {CONCEPT_OF[entity]} then, and {now:,} in the live run"
