"""What a plan says about the run in words: its evidence, where it stopped, what to do besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from workbench.migration.bundles import Bundle, sealed_in
from workbench.murmurant.importers import Run, Trace
from workbench.runs.left_out import left_out_by
from workbench.snapshots.compare import Snapshot

RERUN = {
    "api": "npx tsx scripts/importing/wa_full_sync.ts",
    "guide": "npx tsx scripts/importing/wa_full_sync.ts",
}
"""How to run an importer again (guide §4.1); for the CSV import it depends on where its exports lie."""

REDO_DRY = {name: f"DRY_RUN=1 {command}" for name, command in RERUN.items()}


@dataclass(frozen=True)
class LevelZero:
    """Guide §3, level 0: nothing was written, so there is nothing to roll back.

    Attributes
    ----------
    run : str
        The dry run.
    fix : tuple of str
        What to put right before it is run again.
    """

    run: str
    fix: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.run} was a dry run (level 0): nothing was written, so there is nothing to roll back."


def level_zero(run: Run) -> LevelZero:
    """Say what a dry run found that has to be put right."""
    wrong = [f"It ended as {run.status}: {run.why}."] if run.status != "completed" else []
    wrong += [f"{warning.code or 'Warning'}: {warning.message}" for warning in run.warnings]
    for row in left_out_by(run):
        times = f" ({row.records:,} times)" if row.records and row.records > 1 else ""
        wrong.append(f"{row.name}: {row.reason}{times}.")
    wrong = wrong or ["Its report names no problem of its own; compare its counts with the source."]
    again = REDO_DRY.get(run.importer, "with the same export files.")
    return LevelZero(run.run, (*wrong, f"Then the dry run again: {again}"))


def evidence_of(run: Run, archive: Snapshot | None, bundles: Sequence[Bundle]) -> list[str]:
    """List the evidence that a plan rests on; a report file with the bundle that holds it just as it was read."""
    evidence = [
        f"{trace}: {count:,}" if count else str(trace)
        for trace, count in sorted(run.traces.items())
        if trace != Trace.REPORT
    ]
    files = {report.path.name: report.path for report in run.reports}
    evidence += [f"report file {name}{_sealed(bundles, files[name])}" for name in sorted(files)]
    if archive is not None:
        proof = f", SHA-256 {archive.sha256}" if archive.sha256 else ""
        evidence.append(f"snapshot {archive.file_name} of database {archive.taken_from}{proof}")
    return evidence


def bundle_of(run: Run, bundles: Sequence[Bundle]) -> str | None:
    """Return the digest of the newest bundle that holds all of a run's report files, just as they were read."""
    paths = [report.path for report in run.reports]
    complete = (
        bundle.digest for bundle in bundles if paths and all(sealed_in([bundle], path) for path in paths)
    )
    return next(complete, None)


def _sealed(bundles: Sequence[Bundle], path: Path) -> str:
    sealed = sealed_in(bundles, path)
    if sealed is not None:
        return f", sealed in {sealed[0].folder.name}, SHA-256 {sealed[0].digest}"
    for bundle in bundles:
        if any(PurePath(file.path).name == path.name for file in bundle.files):
            return f", which is not as {bundle.folder.name} holds it (SHA-256 {bundle.digest})"
    return ""


def worth_knowing(run: Run, gone: int) -> list[str]:
    """Say what whoever approves a rollback should know besides."""
    notes = []
    if run.rolled_back:
        notes.append("The audit log says that this run was rolled back before.")
    if run.status in {"incomplete", "interrupted"}:
        *instead, _rollback = options(run)
        notes += [
            f"The import was {run.status}: {run.why}.",
            *instead,
            "Option B, to roll it back: this plan.",
        ]
    if gone:
        notes.append(f"{gone:,} records of the run are gone already.")
    return notes


def options(run: Run) -> tuple[str, ...]:
    """Return guide §4.1's two ways on after an interrupted import, as commands."""
    again = RERUN.get(run.importer, "with the same export files.")
    first = "First put right what its report warns of (credentials, filters): as it is, it fetches as little again."
    return (
        *([first] if run.status == "incomplete" else []),
        f"Option A, to run it again (records that are there are skipped): {again}",
        f"Option B, to roll it back first: `workbench plan rollback {run.run}`.",
    )
