"""The folder of snapshots: which there are, the one that is meant, one in the making, one that goes.

A snapshot is ``backup_YYYYMMDD_HHMMSS.dump`` with its manifest, ``.json``, beside it. In the making the archive is called
``.backup_YYYYMMDD_HHMMSS.part``, and whoever makes one, pg_dump too, shares the folder's lock. The manifest is written
when the archive is whole, and the archive has its name last. So of a process that was killed there is a part without a
manifest, which is removed, or a part with one, which is whole and gets its name. What is deleted goes the same way back.
Both need the folder's lock alone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench.documents import Store, flush_folder
from workbench.errors import Refused, UsageError, WorkbenchError, unknown
from workbench.snapshots.manifest import NAME, Manifest


@dataclass(frozen=True)
class Part:
    """An archive in the making.

    Attributes
    ----------
    name : str
        The snapshot's.
    path : Path
        Where it is written.
    lock : int
        The descriptor that shares the folder's lock; a child process that inherits it holds it too.
    """

    name: str
    path: Path
    lock: int

    def publish(self, manifest: Manifest) -> Manifest:
        """Write the manifest of an archive that is whole and on disk, and give it its name."""
        written = manifest.write(self.path.with_name(f"{self.name}.json"))
        try:
            self.path.rename(written.archive)
        except OSError:
            written.path.unlink()
            raise
        flush_folder(self.path.parent)
        return Manifest.read(written.path)


@contextmanager
def part(folder: Path, moment: datetime) -> Iterator[Part]:
    """Make a file for a new archive; what has no name at the end is removed, whatever happened.

    Parameters
    ----------
    folder : Path
        The backups; made when absent, readable by nobody else.
    moment : datetime
        When the snapshot is taken; where its name is taken already, the next second's is.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = stack.enter_context(_locked(folder, fcntl.LOCK_SH))
            path = _claimed(folder, moment)
        except OSError as error:
            raise WorkbenchError(
                f"No snapshot can be made in {folder}: {error.strerror}.", "Set `backups` to another folder."
            ) from None
        try:
            yield Part(_name_of(path), path, lock)
        finally:
            path.unlink(missing_ok=True)


def scan(folder: Path) -> dict[str, Manifest | WorkbenchError]:
    """Return every snapshot by name, or why its manifest cannot be read; none that is unfinished."""
    return {
        path.stem: manifest
        for path, manifest in Store(folder, Manifest).scan()
        if NAME.fullmatch(path.stem) and not path.with_name(f".{path.stem}.part").exists()
    }


def list_snapshots(folder: Path, environment: str | None = None) -> list[Manifest]:
    """List the snapshots of a folder, oldest first, of one environment or all; what cannot be read is not among them: see `scan`."""
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
        When there is none of this name.
    """
    if name == "latest":
        return _latest(folder, environment)
    path = Path(name)
    for place in (path, folder / path) if path.suffix in {".dump", ".json"} else ():
        if place.with_suffix(".json").is_file():
            return Manifest.read(place)
        if place.exists():
            raise UsageError(
                f"{place} has no manifest beside it ({place.stem}.json), so what it holds is not known.",
                "Put that back; `workbench snapshot diff FILE` reads any archive without one.",
            )
    paths = Store(folder, Manifest).paths()
    names = [known for known in paths if NAME.fullmatch(known)]
    close = [name] if name in names else [known for known in names if known.startswith(name)]
    if len(close) != 1:
        raise unknown("snapshot", name, close or names)
    return Manifest.read(paths[close[0]])


def _latest(folder: Path, environment: str | None) -> Manifest:
    listed = list_snapshots(folder, environment)
    newest = listed[-1].snapshot if listed else ""
    for name, error in reversed(scan(folder).items()):
        if isinstance(error, WorkbenchError) and name > newest:
            raise error  # it may be the one that is meant
    if not listed:
        of = f" of {environment}" if environment else ""
        raise UsageError(f"There is no snapshot{of} in {folder}.", "Take one: `workbench snapshot create`.")
    return listed[-1]


def clear_left_over(folder: Path) -> list[str]:
    """Finish or remove what killed processes left unfinished, and say what that was, one sentence each."""
    notes: list[str] = []
    if not (parts := sorted(folder.glob(".backup_*.part"))):
        return notes
    with suppress(BlockingIOError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for path in parts:
            name = _name_of(path)
            try:
                if path.with_name(f"{name}.json").exists():
                    path.rename(path.with_name(f"{name}.dump"))
                    notes.append(f"{name} was interrupted when it was whole; it is in its place now.")
                else:
                    path.unlink()
                    notes.append(f"{name} was unfinished: what was left of it is removed.")
            except OSError as error:
                notes.append(f"{name} is unfinished, and {path} cannot be removed: {error.strerror}.")
    return notes


def prune_snapshot(manifest: Manifest) -> None:
    """Delete a snapshot: unlisted first, so that one that is listed is whole even if this is killed.

    Parameters
    ----------
    manifest : Manifest
        As it was when it was decided about.

    Raises
    ------
    Refused
        When it has changed since, or somebody is at work on it.
    """
    going = manifest.path.with_name(f".{manifest.snapshot}.part")
    try:
        with _locked(manifest.folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if Manifest.read(manifest.path) != manifest:
                raise Refused(f"{manifest.snapshot} has changed since it was looked at.", "Look again.")
            with suppress(FileNotFoundError):
                manifest.archive.rename(going)
            manifest.path.unlink()
            flush_folder(manifest.folder)
            going.unlink(missing_ok=True)
    except BlockingIOError:
        raise Refused(f"Somebody takes a snapshot in {manifest.folder}.", "Try again in a moment.") from None


def _claimed(folder: Path, moment: datetime) -> Path:
    """Make an empty file for the archive of a snapshot whose name nobody has."""
    while True:
        name = f"backup_{moment.astimezone(UTC):%Y%m%d_%H%M%S}"
        path = folder / f".{name}.part"
        moment += timedelta(seconds=1)
        if not any((folder / f"{name}{suffix}").exists() for suffix in (".dump", ".json")):
            with suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
                return path


def _name_of(path: Path) -> str:
    """Return the name of the snapshot whose archive is unfinished."""
    return path.name[1:].removesuffix(".part")


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[int]:
    """Hold a folder's lock, as `fcntl.flock` has it, and yield its descriptor."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, how)
        yield number
    finally:
        os.close(number)
