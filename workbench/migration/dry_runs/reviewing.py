"""A reviewer's word on a dry run: kept in its manifest, bound to what was read (guide §2.2, §6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from workbench.errors import Refused
from workbench.migration.bundles import file_digest
from workbench.migration.dry_runs.manifest import (
    DryRun,
    KeptFile,
    Review,
    iso,
    list_dry_runs,
    write_dry_run,
)

PRODUCTION = "production"


def content_sha256(run: DryRun) -> str:
    """Return the digest of what a review is of."""
    return sha256("\n".join(run.content).encode()).hexdigest()


def approved(run: DryRun) -> Review | None:
    """Return the latest review of a dry run that came to its end, of what is still there as it was read."""
    if run.outcome != "completed" or altered_since(run):
        return None
    valid = [each for each in run.reviews if each.content_sha256 == content_sha256(run)]
    return valid[-1] if valid else None


def altered_since(run: DryRun) -> list[str]:
    """Name the kept files that are no longer as they were written."""
    return [each.file for each in ((run.log,) if run.log else ()) + run.reports if not _intact(run, each)]


def kept_reports(backups: Path, environment: str) -> list[Path]:
    """List the report files that dry runs of an environment left or wrote over, of those still as they were written."""
    return [
        run.folder / each.file
        for run in list_dry_runs(backups, environment)
        for each in (*run.evidence, *run.overwritten)
        if each.run and _intact(run, each)
    ]


def approve_dry_run(run: DryRun, by: str, remark: str = "") -> DryRun:
    """Record that somebody read a dry run and approves of it.

    Raises
    ------
    Refused
        When there is nothing to approve: it did not come to its end, left no report, was altered since; or, on
        production, when who ran it would approve it.
    """
    name = by.strip()
    if not name:
        raise Refused("An approval needs a name.", "Give it with --as NAME.")
    if run.state != "completed":
        raise Refused(f"{run.name} is no dry run to approve: it is {run.state}.", "Run it again.")
    if not run.evidence:
        raise Refused(
            f"{run.name} left no report file, and its log cannot be read as one: nothing says what would be done.",
            "Name the importer's folder in import_reports, and run it again.",
        )
    if altered := altered_since(run):
        raise Refused(f"{run.name} was altered since it ran: {', '.join(altered)}.", "Run it again.")
    if run.kind == PRODUCTION and name.casefold() == run.operator.strip().casefold():
        raise Refused(
            f"{name} ran {run.name} and cannot approve it for production as well.",
            "Ask a second person to review it.",
        )
    review = Review(name, iso(datetime.now(UTC)), remark.strip(), content_sha256(run))
    reviewed = replace(run, reviews=(*run.reviews, review))
    write_dry_run(reviewed)
    return reviewed


def _intact(run: DryRun, kept: KeptFile) -> bool:
    try:
        return file_digest(run.folder / kept.file) == (kept.sha256, kept.size)
    except OSError:
        return False
