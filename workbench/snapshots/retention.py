"""What may be pruned, decided from facts alone (guide §2.1, §5.3): no clock, no database, no file.

| what | kept |
|---|---|
| snapshots | 30 days; one that a migration can be taken back to until 7 days after that migration; always the last one that was verified, and where none was, the latest |
| dry-run artefacts | 7 days; always the last dry run |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from workbench.snapshots.manifest import Manifest

SNAPSHOTS = timedelta(days=30)
AFTER_MIGRATION = timedelta(days=7)
DRY_RUNS = timedelta(days=7)


@dataclass(frozen=True)
class Migration:
    """A live run of an importer.

    Attributes
    ----------
    run : str
        Its id.
    began, ended : datetime
        When, with a zone.
    """

    run: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Decision:
    """Whether something is kept, and why.

    Attributes
    ----------
    name : str
        A snapshot's or a dry run's.
    keep : bool
    reason : str
        In words, for whoever confirms it.
    """

    name: str
    keep: bool
    reason: str


def decide_snapshots(
    now: datetime, snapshots: Iterable[Manifest], migrations: Iterable[Migration]
) -> list[Decision]:
    """Decide which snapshots of one environment are kept.

    Parameters
    ----------
    now : datetime
        With a zone.
    snapshots : iterable of Manifest
        All there are of the environment.
    migrations : iterable of Migration
        Its live runs. A snapshot is one that a migration can be taken back to when it names that run, or is the last that
        was taken before it; the last verified one before it is, too.

    Returns
    -------
    list of Decision
        One each, oldest first.
    """
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.snapshot))
    kept = {
        name: f"the way back from {run}, which ended less than {AFTER_MIGRATION.days} days ago"
        for name, run in _needed(now, ordered, migrations).items()
    }
    for last in ([snapshot for snapshot in ordered if snapshot.verified] or ordered)[-1:]:
        why = "the last one that was verified" if last.verified else "the latest; none was verified"
        kept[last.snapshot] = why
    return _decide(now, {snapshot.snapshot: snapshot.created_at for snapshot in ordered}, SNAPSHOTS, kept)


def decide_dry_runs(now: datetime, dry_runs: Mapping[str, datetime]) -> list[Decision]:
    """Decide which dry runs' artefacts are kept.

    Parameters
    ----------
    now : datetime
        With a zone.
    dry_runs : mapping of str to datetime
        When each was made, with a zone.

    Returns
    -------
    list of Decision
        One each, oldest first.
    """
    moments = {name: dry_runs[name] for name in sorted(dry_runs, key=lambda name: (dry_runs[name], name))}
    return _decide(now, moments, DRY_RUNS, dict.fromkeys([*moments][-1:], "the last dry run"))


def _decide(
    now: datetime, moments: Mapping[str, datetime], limit: timedelta, kept: Mapping[str, str]
) -> list[Decision]:
    """Keep what is kept for a reason, and what is younger than the limit."""
    decisions = []
    for name, moment in moments.items():
        age = now - moment
        than = f"less than {limit.days}" if age < limit else f"{limit.days} or more"
        why = kept.get(name, f"{age // timedelta(days=1):,} days old: {than}")
        decisions.append(Decision(name, name in kept or age < limit, why))
    return decisions


def _needed(now: datetime, ordered: list[Manifest], migrations: Iterable[Migration]) -> dict[str, str]:
    """Return the snapshots that lead back from a migration that is not long over, each with that run."""
    needed: dict[str, str] = {}
    for migration in sorted(migrations, key=lambda migration: (migration.ended, migration.run)):
        if now - migration.ended < AFTER_MIGRATION:
            before = [snapshot for snapshot in ordered if snapshot.created_at <= migration.began]
            verified = [snapshot for snapshot in before if snapshot.verified]
            back = [snapshot for snapshot in ordered if snapshot.precedes == migration.run]
            back += before[-1:] + verified[-1:]
            needed |= {snapshot.snapshot: migration.run for snapshot in back}
    return needed
