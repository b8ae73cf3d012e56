"""What a dry run says would be done, beside the dry run before it and the live run after it (guide §2.2).

A dry run's counts may differ from the live run's for an innocent reason: it does not look registrations up, so it
calls those new that are there; and of events that it did not make it has no mapping, so it does not fetch theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.answer import Answer, Part, Table
from workbench.migration.dry_runs import Review
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

    def answer(self, approval: Review | None = None, not_logged: str = "") -> Answer:
        """Return it as an answer; with the approval, where one was just given, and why the audit log does not say so."""
        run = self.run
        facts: dict[str, Any] = {"samples": self.samples, "warnings": self.warnings, "since": self.since}
        parts: dict[str, Part] = {
            "would": Table(self.would, "What it would do"),
            "samples": Table(self.samples, "Samples", "its reports list no records"),
            "warnings": Table(self.warnings, "Warnings"),
            "before": "There is no dry run of this importer before it to compare it with.",
        }
        if self.before is not None:
            parts["before"] = Table(self.since, f"Since the dry run before, {self.before.run}", "no counts")
        if self.live is not None:
            parts["happened"] = Table(self.happened, f"What really happened, in {self.live.run}", "no counts")
        if approval is not None:
            parts["approved"] = f"\n{approval.by} reviewed it and approves of it."
            parts["logged"] = f"Not in the audit log: {not_logged}" if not_logged else ""
            facts |= {"approved": approval.model_dump(), "logged": not not_logged}
        return Answer(
            f"Dry run {run.run} ({run.importer}): {run.status}, {run.why}.",
            parts,
            facts={
                **{name: getattr(run, name) for name in ("run", "importer", "status", "started")},
                "would": self.would,
                "before": self.before.run if self.before else None,
                "live": self.live.run if self.live else None,
                **facts,
                "happened": self.happened,
                **{name: getattr(self, name) for name in ("open", "different")},
            },
            code=int(approval is None and bool(self.open or self.different)),
        )


def review_dry_run(
    run: Run,
    runs: Sequence[Run],
    files: ImportFiles,
    sample: int = 3,
    expected: Mapping[Any, int] | None = None,
) -> DryRunReview:
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
    """
    kind = "dry", run.importer, run.sync
    dated = [each for each in runs if each.started and (each.mode, each.importer, each.sync) == kind]
    earlier = [each for each in dated if run.started and each.started and each.started < run.started]
    before = earlier[-1] if earlier else None
    pairs = rehearsals(runs, 0)
    live = next((each.run for each in pairs if each.dry is not None and each.dry.run == run.run), None)
    since = _side_by_side(before, run, "before", "now")
    would = _counts(run).set_axis(["would_create", "would_update", "would_skip", "errors", "fetched"], axis=1)
    return DryRunReview(
        run=run,
        would=would.rename_axis("entity").reset_index(),
        samples=_samples(run, sample),
        warnings=pd.DataFrame(
            [*_warnings(run, expected or {}), *_violations(files)],
            columns=["what", "says", "count", "innocent"],
        ).drop_duplicates(ignore_index=True),
        before=before,
        since=since.assign(difference=since["now"].fillna(0) - since["before"].fillna(0)),
        live=live,
        happened=_happened(run, live),
    )


def _counts(run: Run) -> pd.DataFrame:
    """Return what a run did, or would do, by entity and part; missing where nothing says it."""
    # A dry run leaves nothing but its report; of a live run the traces are better than its word.
    cells = run.reported if run.mode == "dry" else run.counts
    rows = {}
    for entity in ENTITIES:
        of = cells.get(entity)
        skipped = sum(of.get(each, 0) for each in ACTIONS[2:]) if of is not None else None
        written = [of.get(each, 0) if of is not None else None for each in PARTS[:2]]
        rows[entity] = [*written, skipped, run.errors.get(entity), run.fetched.get(entity)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*PARTS, "fetched"]).astype("Int64")


def _side_by_side(one: Run | None, other: Run | None, *names: str) -> pd.DataFrame:
    """Set two runs' counts side by side, but for those that are nothing in both."""
    columns = ["entity", "action", *names]
    if one is None or other is None:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(names, "Int64"))
    sides = [_counts(each)[PARTS].stack() for each in (one, other)]
    table = pd.concat(sides, axis=1).reset_index().set_axis(columns, axis=1)
    return table[table[list(names)].fillna(0).ne(0).any(axis=1)].reset_index(drop=True)


def _samples(run: Run, sample: int) -> pd.DataFrame:
    records = [record for report in run.reports for record in report.records]
    rows = [
        (entity, action, each.wa_id, each.fields)
        for entity in ENTITIES
        for action in PARTS[:3]
        for each in [record for record in records if (record.entity, record.action) == (entity, action)][
            :sample
        ]
    ]
    return pd.DataFrame(rows, columns=["entity", "action", "wa_id", "record"])


def _warnings(run: Run, expected: Mapping[Any, int]) -> Iterator[tuple[str, str, int, bool]]:
    if run.status != "completed":
        yield "ending", f"it ended as {run.status}: {run.why}", 1, False
    for entity, counts in _counts(run)[PARTS].iterrows():
        things, count = CONCEPT_OF[str(entity)], int(counts.fillna(0).sum())
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


def _happened(run: Run, live: Run | None) -> pd.DataFrame:
    table = _side_by_side(run, live, "would", "did")
    sides = table[["would", "did"]].fillna(0)
    seats = (table["entity"] == REGISTRATION) & (table["action"] != "errors")
    innocent = _innocent(int(sides.loc[seats, "would"].sum()), int(sides.loc[seats, "did"].sum()), run)
    same = sides["would"] == sides["did"]
    excused = ~same & seats & bool(innocent)
    verdict = pd.Series(DIFFERENT, index=table.index, dtype=object).mask(same, SAME).mask(excused, INNOCENT)
    why = [
        innocent if each == INNOCENT else _another_source(entity, run, live) if each == DIFFERENT else ""
        for entity, each in zip(table["entity"], verdict, strict=True)
    ]
    return table.assign(verdict=verdict, why=why)


def _innocent(would: int, did: int, run: Run) -> str:
    """Say why the counts of registrations may differ; empty where they may not."""
    if would == did:
        return NOT_LOOKED_UP
    unmapped = any(reason.endswith(_NOT_MAPPED) for report in run.reports for reason in report.skip_reasons)
    return NOT_FETCHED if would < did and unmapped else ""


def _another_source(entity: str, run: Run, live: Run | None) -> str:
    then, now = run.fetched.get(entity), live.fetched.get(entity) if live else None
    if then is None or now is None or then == now:
        return ""
    return f"the source had {then:,} {CONCEPT_OF[entity]} then, and {now:,} in the live run"
