"""Unfinished snapshots: made in a folder of their own, and published whole under their names.

The folder is locked for as long as anybody writes into it, pg_dump included. One that nobody holds was left
by a killed process; only such folders, whose names are ours alone, are ever cleared away.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench.checkpoints.archive import digest_of
from workbench.checkpoints.manifest import (
    Manifest,
    flush_folder,
    new_name,
    read_manifest,
    write_manifest,
)
from workbench.errors import Refused, SnapshotError, WorkbenchError

_PART = re.compile(r"\.(backup_\d{8}_\d{6})\.part")


@dataclass(frozen=True)
class Part:
    """A snapshot in the making.

    Attributes
    ----------
    folder : Path
        Where it will be published.
    name : str
        Its name.
    lock : int
        The descriptor that holds the lock; a child process that inherits it holds it too.
    """

    folder: Path
    name: str
    lock: int

    @property
    def place(self) -> Path:
        """The folder in which it is made."""
        return self.folder / f".{self.name}.part"

    @property
    def archive(self) -> Path:
        """The archive, while it is unfinished."""
        return self.place / f"{self.name}.dump"

    def take_back(self, manifest: Manifest) -> None:
        """Move a published snapshot here, the manifest first: from then on it is not listed."""
        (self.folder / f"{self.name}.json").rename(self.place / f"{self.name}.json")
        flush_folder(self.folder)
        if (self.folder / manifest.file).exists():
            (self.folder / manifest.file).rename(self.archive)
            flush_folder(self.folder)

    def publish(self, manifest: Manifest) -> None:
        """Move archive and manifest to their names, the manifest last; all of it is flushed by then."""
        write_manifest(manifest, self.place / f"{self.name}.json")
        self.archive.rename(self.folder / manifest.file)
        flush_folder(self.folder)
        (self.place / f"{self.name}.json").rename(self.folder / f"{self.name}.json")
        flush_folder(self.folder)


@contextmanager
def part(folder: Path, moment: datetime) -> Iterator[Part]:
    """Make a folder for a new snapshot, and remove it at the end, whatever happened.

    Parameters
    ----------
    folder : Path
        The backups; made when absent, readable by nobody else.
    moment : datetime
        When the snapshot is taken; where its name is taken already, the next second's is.

    Raises
    ------
    WorkbenchError
        When nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name, number = _claimed(folder, moment)
        with _kept(Part(folder, name, number)) as made:
            yield made
    except OSError as error:
        raise WorkbenchError(
            f"No snapshot can be written to {folder}: {error.strerror or error}.",
            "Make room there or grant the right to, or set `backups` to another folder.",
        ) from None


@contextmanager
def part_of(manifest: Manifest) -> Iterator[Part]:
    """Make the folder through which a published snapshot leaves; it is removed at the end.

    Raises
    ------
    Refused
        When somebody is at work on the same snapshot.
    """
    place = manifest.folder / f".{manifest.snapshot}.part"
    place.mkdir(mode=0o700, exist_ok=True)
    if (number := _locked(place)) is None:
        raise Refused(f"Somebody else is at work on {manifest.snapshot}.", "Try again in a moment.")
    with _kept(Part(manifest.folder, manifest.snapshot, number)) as made:
        yield made


@contextmanager
def _kept(made: Part) -> Iterator[Part]:
    try:
        yield made
        shutil.rmtree(made.place)
    except BaseException:
        shutil.rmtree(made.place, ignore_errors=True)
        raise
    finally:
        os.close(made.lock)


def clear_left_over(folder: Path) -> list[str]:
    """Clear away what killed processes left unfinished, and say what that was, one sentence each.

    Parameters
    ----------
    folder : Path
        The backups.
    """
    said = []
    for place in sorted(folder.glob(".backup_*.part")):
        match = _PART.fullmatch(place.name)
        if not match or not place.is_dir() or (number := _locked(place)) is None:
            continue
        try:
            said.append(_cleared(folder, place, match.group(1)))
        except OSError as error:
            said.append(f"{match.group(1)} is unfinished, and {place} cannot be removed: {error.strerror}.")
        finally:
            os.close(number)
    return [each for each in said if each]


def _cleared(folder: Path, place: Path, name: str) -> str:
    said = f"{name} was unfinished: what was left of it is removed."
    with suppress(SnapshotError):
        # Killed between its two last steps: the archive has its name, and only the manifest's is missing.
        manifest = read_manifest(place / f"{name}.json")
        archive = folder / manifest.file
        if archive.exists() and digest_of(archive) == manifest.sha256:
            (place / f"{name}.json").rename(folder / f"{name}.json")
            flush_folder(folder)
            said = f"{name} was interrupted when it was whole; its manifest is in its place now."
    if (folder / f"{name}.json").exists():
        shutil.rmtree(place)
        return said if "whole" in said else ""  # it had been published
    shutil.rmtree(place)
    return said


def _claimed(folder: Path, moment: datetime) -> tuple[str, int]:
    while True:
        name = new_name(moment)
        place = folder / f".{name}.part"
        taken = any((folder / f"{name}{suffix}").exists() for suffix in (".dump", ".json"))
        if not taken:
            try:
                place.mkdir(mode=0o700)
            except FileExistsError:
                taken = True
        if not taken and (number := _locked(place)) is not None:
            return name, number
        moment = moment.astimezone(UTC) + timedelta(seconds=1)


def _locked(place: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None while somebody else does."""
    try:
        number = os.open(place, os.O_RDONLY)
    except FileNotFoundError:  # cleared away in this moment
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if place.exists():
            return number
    except BlockingIOError:
        pass
    os.close(number)
    return None
