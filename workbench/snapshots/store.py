"""The folder of snapshots: list, find, create and delete them, and decide which to keep (guide §2.1, §5.3).

A snapshot is ``backup_YYYYMMDD_HHMMSS.dump`` with its manifest, ``.json``. While pg_dump writes it, the archive is named
``.backup_YYYYMMDD_HHMMSS.part``; every writer, pg_dump included, holds a shared lock on the folder. The manifest is
written once the archive is complete, and the archive gets its final name last. So a killed process leaves either a part
without a manifest, which is removed, or a part with one, which is complete and gets its name. Deleting takes the same
steps in reverse. Both need an exclusive lock on the folder.

| what | kept |
|---|---|
| snapshots | 30 days; those that lead back from a migration until 7 days after it; always the last verified one, or the latest if none was verified |
| dry runs | 7 days; always the last one |
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench.documents import Store, flush_folder
from workbench.errors import Refused, UsageError, WorkbenchError, unknown
from workbench.snapshots.manifest import NAME, Manifest

SNAPSHOTS = timedelta(days=30)
AFTER_MIGRATION = timedelta(days=7)
DRY_RUNS = timedelta(days=7)


@contextmanager
def part(folder: Path, moment: datetime) -> Iterator[tuple[Path, int]]:
    """Create the file of a new archive; it is removed at the end unless it was published.

    Parameters
    ----------
    folder : Path
        The backups; created if missing, readable by its owner only.
    moment : datetime
        When the snapshot is taken; if that second's name is taken, the next free one is used.

    Yields
    ------
    tuple of (Path, int)
        The file, and the descriptor of the folder's lock, for pg_dump to inherit.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = stack.enter_context(_locked(folder, fcntl.LOCK_SH))
            path = _new_part(folder, moment)
        except OSError as error:
            raise WorkbenchError(
                f"No snapshot can be created in {folder}: {error.strerror}.",
                "Set `backups` to another folder.",
            ) from None
        stack.callback(path.unlink, missing_ok=True)
        yield path, lock


def publish(part: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a complete archive, and give the archive its name."""
    written = manifest.write(part.with_name(f"{_name_of(part)}.json"))
    try:
        part.rename(written.archive)
    except OSError:
        written.path.unlink()
        raise
    flush_folder(part.parent)
    return Manifest.read(written.path)


def _new_part(folder: Path, moment: datetime) -> Path:
    while True:
        name = f"backup_{moment.astimezone(UTC):%Y%m%d_%H%M%S}"
        path = folder / f".{name}.part"
        moment += timedelta(seconds=1)
        if not any((folder / f"{name}{suffix}").exists() for suffix in (".dump", ".json")):
            with suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
                return path


def _name_of(part: Path) -> str:
    return part.name.removeprefix(".").removesuffix(".part")


def scan(folder: Path) -> dict[str, Manifest | WorkbenchError]:
    """Return every finished snapshot by name: its manifest, or why that cannot be read."""
    return {
        path.stem: manifest
        for path, manifest in Store(folder, Manifest).scan()
        if NAME.fullmatch(path.stem) and not path.with_name(f".{path.stem}.part").exists()
    }


def list_snapshots(folder: Path, environment: str | None = None) -> list[Manifest]:
    """List the snapshots of one environment or of all, oldest first; unreadable ones are left out, see `scan`."""
    manifests = [manifest for manifest in scan(folder).values() if isinstance(manifest, Manifest)]
    wanted = [manifest for manifest in manifests if environment in (None, manifest.target.environment)]
    return sorted(wanted, key=lambda manifest: (manifest.created_at, manifest.snapshot))


def find_snapshot(folder: Path, name: str, environment: str | None = None) -> Manifest:
    """Return a snapshot by its name or an unambiguous beginning, its file, or ``latest``.

    Raises
    ------
    DocumentError
        When its manifest cannot be read.
    UsageError
        When there is no such snapshot.
    """
    if name == "latest":
        return _latest(folder, environment)
    path = Path(name)
    for place in (path, folder / path) if path.suffix in {".dump", ".json"} else ():
        if place.with_suffix(".json").is_file():
            return Manifest.read(place)
        if place.exists():
            raise UsageError(
                f"{place} has no manifest ({place.stem}.json), so its contents are unknown.",
                "Put the manifest back; `workbench snapshot diff FILE` reads any archive without one.",
            )
    paths = Store(folder, Manifest).paths()
    names = [known for known in paths if NAME.fullmatch(known)]
    matches = [name] if name in names else [known for known in names if known.startswith(name)]
    if len(matches) != 1:
        raise unknown("snapshot", name, matches or names)
    return Manifest.read(paths[matches[0]])


def _latest(folder: Path, environment: str | None) -> Manifest:
    listed = list_snapshots(folder, environment)
    newest = listed[-1].snapshot if listed else ""
    for name, error in reversed(scan(folder).items()):
        if isinstance(error, WorkbenchError) and name > newest:
            raise error  # it may be the one that is meant
    if not listed:
        raise UsageError(f"There is no snapshot in {folder} yet.", "Take one: `workbench snapshot create`.")
    return listed[-1]


def clean_up(folder: Path) -> list[str]:
    """Finish or remove what killed processes left behind; return a message for each file."""
    messages: list[str] = []
    if not (parts := sorted(folder.glob(".backup_*.part"))):
        return messages
    with suppress(BlockingIOError), _locked(folder):
        for path in parts:
            name = _name_of(path)
            try:
                if path.with_name(f"{name}.json").exists():
                    path.rename(path.with_name(f"{name}.dump"))
                    messages.append(f"{name} was interrupted once it was whole; it has its name now.")
                else:
                    path.unlink()
                    messages.append(f"{name} was unfinished and has been removed.")
            except OSError as error:
                messages.append(f"{name} is unfinished, and {path} cannot be removed: {error.strerror}.")
    return messages


def prune_snapshot(manifest: Manifest) -> None:
    """Delete a snapshot; if killed halfway, what is listed is still complete.

    Parameters
    ----------
    manifest : Manifest
        As it was when the decision was made.

    Raises
    ------
    Refused
        When it has changed since, or a snapshot is being taken.
    """
    folder = manifest.path.parent
    part = folder / f".{manifest.snapshot}.part"
    try:
        with _locked(folder):
            if Manifest.read(manifest.path) != manifest:
                raise Refused(f"{manifest.snapshot} has changed since it was listed.", "List again.")
            with suppress(FileNotFoundError):
                manifest.archive.rename(part)
            manifest.path.unlink()
            flush_folder(folder)
            part.unlink(missing_ok=True)
    except BlockingIOError:
        raise Refused(f"A snapshot is being taken in {folder}.", "Try again in a moment.") from None


@contextmanager
def _locked(folder: Path, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> Iterator[int]:
    """Lock a folder, exclusively and without waiting by default, and yield its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Migration:
    """A live import run: its id, and when it began and ended (with a time zone)."""

    run: str
    began: datetime
    ended: datetime


@dataclass(frozen=True)
class Decision:
    """Whether a snapshot or a dry run is kept, and why."""

    name: str
    keep: bool
    reason: str


def decide_snapshots(
    now: datetime, snapshots: Iterable[Manifest], migrations: Iterable[Migration]
) -> list[Decision]:
    """Decide which snapshots of an environment to keep, given all of them; oldest first.

    What leads back from a migration: the snapshots that name its run, the last one taken before it, and the last verified
    one before it.
    """
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.snapshot))
    kept: dict[str, str] = {}
    for migration in sorted(migrations, key=lambda migration: (migration.ended, migration.run)):
        if now - migration.ended < AFTER_MIGRATION:
            before = [snapshot for snapshot in ordered if snapshot.created_at <= migration.began]
            verified = [snapshot for snapshot in before if snapshot.verified]
            named = [snapshot for snapshot in ordered if snapshot.precedes == migration.run]
            reason = (
                f"the way back from {migration.run}, which ended less than {AFTER_MIGRATION.days} days ago"
            )
            kept |= {snapshot.snapshot: reason for snapshot in (*named, *before[-1:], *verified[-1:])}
    for last in ([snapshot for snapshot in ordered if snapshot.verified] or ordered)[-1:]:
        kept[last.snapshot] = "the last verified one" if last.verified else "the latest; none was verified"
    return _decide(now, {snapshot.snapshot: snapshot.created_at for snapshot in ordered}, SNAPSHOTS, kept)


def decide_dry_runs(now: datetime, dry_runs: Mapping[str, datetime]) -> list[Decision]:
    """Decide which dry runs to keep, given when each was made; oldest first."""
    moments = {name: dry_runs[name] for name in sorted(dry_runs, key=lambda name: (dry_runs[name], name))}
    return _decide(now, moments, DRY_RUNS, dict.fromkeys([*moments][-1:], "the last dry run"))


def _decide(
    now: datetime, moments: Mapping[str, datetime], limit: timedelta, kept: Mapping[str, str]
) -> list[Decision]:
    decisions = []
    for name, moment in moments.items():
        age = now - moment
        days = f"less than {limit.days}" if age < limit else f"{limit.days} or more"
        reason = kept.get(name, f"{age // timedelta(days=1):,} days old: {days}")
        decisions.append(Decision(name, name in kept or age < limit, reason))
    return decisions
