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
    found = [f"It ended as {run.status}: {run.why}." if run.status != "completed" else ""]
    found += [f"{each.code or 'Warning'}: {each.message}" for each in run.warnings]
    found += [
        f"{each.name}: {each.reason}{f' ({each.records:,} times)' if (each.records or 0) > 1 else ''}."
        for each in left_out_by(run)
    ]
    wrong = [each for each in found if each]
    again = f"Then the dry run again: {REDO_DRY.get(run.importer, 'with the same export files.')}"
    return LevelZero(
        run.run,
        (*(wrong or ["Its report names no problem of its own; compare its counts with the source."]), again),
    )


def told_by(run: Run, archive: Snapshot | None, bundles: Sequence[Bundle] = ()) -> tuple[str, ...]:
    """List the evidence that a plan rests on; a report file with the bundle that holds it just as it was read."""
    found = [
        f"{trace}: {count:,}" if count else str(trace)
        for trace, count in sorted(run.traces.items())
        if trace != Trace.REPORT
    ]
    files = {each.path.name: each.path for each in run.reports}
    found += [f"report file {name}{_sealed(bundles, files[name])}" for name in sorted(files)]
    if archive is not None:
        proof = f", SHA-256 {archive.sha256}" if archive.sha256 else ""
        found.append(f"snapshot {archive.file_name} of database {archive.taken_from}{proof}")
    return tuple(found)


def bundle_of(run: Run, bundles: Sequence[Bundle]) -> str | None:
    """Return the digest of the newest bundle that holds all of a run's report files, just as they were read."""
    paths = [each.path for each in run.reports]
    held = (each.digest for each in bundles if paths and all(sealed_in([each], path) for path in paths))
    return next(held, None)


def _sealed(bundles: Sequence[Bundle], path: Path) -> str:
    found = sealed_in(bundles, path)
    if found is not None:
        return f", sealed in {found[0].folder.name}, SHA-256 {found[0].digest}"
    other = [each for each in bundles if any(PurePath(one.path).name == path.name for one in each.files)]
    return f", which is not as {other[0].folder.name} holds it (SHA-256 {other[0].digest})" if other else ""


def worth_knowing(run: Run, gone: int) -> tuple[str, ...]:
    """Say what whoever approves the plan should know besides."""
    found = []
    if run.rolled_back:
        found.append("The audit log says that this run was rolled back before.")
    if run.status in {"incomplete", "interrupted"}:
        found += [f"The import was {run.status}: {run.why}.", *options(run)]
    if gone:
        found.append(f"{gone:,} records of the run are gone already.")
    return tuple(found)


def options(run: Run) -> tuple[str, ...]:
    """Return guide §4.1's two ways on after an interrupted import, as commands."""
    again = RERUN.get(run.importer, "with the same export files.")
    first = "First put right what its report warns of (credentials, filters): as it is, it fetches as little again."
    return (
        *([first] if run.status == "incomplete" else []),
        f"Option A, to run it again (records that are there are skipped): {again}",
        f"Option B, to roll it back first: `workbench plan rollback {run.run}`.",
    )
