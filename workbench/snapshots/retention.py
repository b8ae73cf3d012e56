"""What may be pruned, decided from facts alone (guide §2.1, §5.3): no clock, no database, no file.

| what | kept |
|---|---|
| snapshots | 30 days; one that a migration can be taken back to until 7 days after that migration; always the last one that was verified, and where none was, the latest |
| dry-run artefacts | 7 days; always the last dry run |
| audit entries | 2 years |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from workbench.snapshots.manifest import Manifest

SNAPSHOTS = timedelta(days=30)
AFTER_MIGRATION = timedelta(days=7)
DRY_RUNS = timedelta(days=7)
AUDIT_YEARS = 2


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
    ordered = sorted(snapshots, key=lambda each: (each.created_at, each.snapshot))
    verified = [each for each in ordered if each.verified]
    last = verified[-1:] or ordered[-1:]
    needed = _needed(now, ordered, migrations)
    decisions = []
    for each in ordered:
        age = now - each.created_at
        days = f"{age // timedelta(days=1):,} days old"
        if each in last:
            why = "the last one that was verified" if each.verified else "the latest; none was verified"
            decisions.append(Decision(each.snapshot, True, why))
        elif run := needed.get(each.snapshot):
            why = f"the way back from {run}, which ended less than {AFTER_MIGRATION.days} days ago"
            decisions.append(Decision(each.snapshot, True, why))
        elif age < SNAPSHOTS:
            decisions.append(Decision(each.snapshot, True, f"{days}: less than {SNAPSHOTS.days}"))
        else:
            decisions.append(Decision(each.snapshot, False, f"{days}: {SNAPSHOTS.days} or more"))
    return decisions


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
    ordered = sorted(dry_runs.items(), key=lambda each: (each[1], each[0]))
    decisions = []
    for name, made in ordered:
        age = now - made
        days = f"{age // timedelta(days=1):,} days old"
        if name == ordered[-1][0]:
            decisions.append(Decision(name, True, "the last dry run"))
        elif age < DRY_RUNS:
            decisions.append(Decision(name, True, f"{days}: less than {DRY_RUNS.days}"))
        else:
            decisions.append(Decision(name, False, f"{days}: {DRY_RUNS.days} or more"))
    return decisions


def audit_limit(now: datetime) -> datetime:
    """Return the moment from which on audit entries are kept."""
    leap_day = (now.month, now.day) == (2, 29)
    return now.replace(year=now.year - AUDIT_YEARS, day=28 if leap_day else now.day)


def _needed(now: datetime, ordered: list[Manifest], migrations: Iterable[Migration]) -> dict[str, str]:
    """Return the snapshots that lead back from a migration that is not long over, each with that run."""
    needed: dict[str, str] = {}
    for migration in sorted(migrations, key=lambda each: (each.ended, each.run)):
        if now - migration.ended >= AFTER_MIGRATION:
            continue
        before = [each for each in ordered if each.created_at <= migration.began]
        back = [each for each in ordered if each.precedes == migration.run]
        back += before[-1:] + [each for each in before if each.verified][-1:]
        needed |= {each.snapshot: migration.run for each in back}
    return needed
