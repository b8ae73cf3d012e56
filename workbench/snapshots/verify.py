"""``snapshot verify``: prove a snapshot by restoring all of it, and comparing what comes out with its manifest.

A check that could not run is never a pass: it is *not run*, with what kept it from running.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from workbench.database.connection import SPELLING, Database, embedded_data
from workbench.database.databases import scratch_database
from workbench.database.programs import Unreadable, entries_of, restore
from workbench.errors import SnapshotError, WorkbenchError
from workbench.settings import Settings
from workbench.snapshots.archive import digest_of, encoding_of, read_archive
from workbench.snapshots.contents import contents_of, differences
from workbench.snapshots.manifest import Manifest, Outcome, Verification

SHOWN = 5
"""Differences that are named; the rest are counted."""

PREDECESSORS = 5
"""Snapshots before it with which its size is compared."""

WAL = 2**30
"""Room that a restore takes besides the database's: the server's log of it."""

Advance = Callable[[str, int, int], None]

# Whose something is to see, and who is meant, is the server's: its roles are not there.
_OF_ROLES = re.compile(r"\d+; \d+ \d+ (POLICY|USER MAPPING) ")


class NotAsSaidError(SnapshotError):
    """The snapshot is not what its manifest says."""


def verify_snapshot(
    manifest: Manifest,
    predecessors: Sequence[Manifest],
    settings: Settings,
    advance: Advance,
    *,
    any_size: bool = False,
) -> Verification:
    """Restore a dump into a scratch database, compare everything with the manifest, and drop it.

    Parameters
    ----------
    manifest : Manifest
        What it should be.
    predecessors : sequence of Manifest
        The snapshots before it, oldest first, for its size.
    settings : Settings
        Where scratch databases are made; who asks.
    advance : callable
        Told what begins, and how much of it is done.
    any_size : bool
        Whether its size may be out of its predecessors' range.

    Returns
    -------
    Verification
        ``pass``, ``fail`` or ``not run``, with the reason; nothing is changed anywhere.
    """

    def proved() -> tuple[str, str]:
        advance("reading the archive", 0, 4)
        _refuse_another_file(manifest, settings.client_tools)
        size = size_in_range(manifest, predecessors, any_size)
        with scratch_database(settings, encoding_of(manifest.archive)) as (scratch, _):
            _refuse_unfit(manifest, scratch, settings)
            advance(f"restoring on {scratch.environment}", 1, 4)
            broken = _restore(manifest, scratch, settings)
            advance("comparing", 2, 4)
            with scratch.speaking_plainly():
                options = f"-c default_transaction_read_only=on{SPELLING}"
                held = contents_of(lambda: scratch.session(options))
                said = differences(manifest.contents, held, manifest.target.schema)
            advance("dropping it", 3, 4)
        refuse_differences(said)
        return f"restored: {_counted(manifest)}; {size}{_told(broken)}", scratch.environment.where

    return judged(proved, settings.operator)


def judged(proved: Callable[[], tuple[str, str]], by: str) -> Verification:
    """Make a verification of an attempt to prove a snapshot.

    Parameters
    ----------
    proved : callable
        Returns what was compared, and where. A `SnapshotError` of it is a failure, any other
        `WorkbenchError` means that it could not run.
    by : str
        Who asks.
    """
    begun = perf_counter()
    outcome: Outcome = "pass"
    where = ""
    try:
        detail, where = proved()
    except Unreadable as error:
        outcome, detail = "not run", str(error)
    except SnapshotError as error:
        outcome, detail = "fail", error.what
    except WorkbenchError as error:
        outcome, detail = "not run", str(error)
    seconds = round(perf_counter() - begun, 1)
    return Verification(
        at=datetime.now(UTC).replace(microsecond=0),
        by=by,
        outcome=outcome,
        detail=detail,
        seconds=seconds,
        where=where,
    )


def refuse_differences(said: list[str]) -> None:
    """Refuse a database that differs from its manifest; the first differences are named."""
    if said:
        more = f", and {len(said) - SHOWN:,} differences more" if len(said) > SHOWN else ""
        raise NotAsSaidError(f"It is not what its manifest says: {'; '.join(said[:SHOWN])}{more}.")


def size_in_range(manifest: Manifest, predecessors: Sequence[Manifest], any_size: bool = False) -> str:
    """Say how a snapshot's size compares with those before it of its compression.

    Raises
    ------
    SnapshotError
        When it is less than half the smallest, or more than twice the largest, and that was not allowed.
    """
    alike = [
        each.size
        for each in predecessors
        if (each.compression, each.target.environment) == (manifest.compression, manifest.target.environment)
        and not (each.verifications and each.verifications[-1].outcome == "fail")
    ][-PREDECESSORS:]
    if not alike:
        return "no predecessor to compare its size with"
    least, most = min(alike), max(alike)
    span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    if least / 2 <= manifest.size <= most * 2:
        return f"{manifest.size:,} bytes, its predecessors {span}"
    if any_size:
        return f"{manifest.size:,} bytes, out of the range of its predecessors ({span}), which was accepted"
    raise NotAsSaidError(
        f"Its size, {manifest.size:,} bytes, is out of the range of its predecessors ({span}): has something been lost?"
        " --any-size accepts it."
    )


def _refuse_another_file(manifest: Manifest, tools: Path | None) -> None:
    """Refuse what is not, byte for byte, the archive that was written."""
    path = manifest.archive
    try:
        if not path.exists():
            raise NotAsSaidError(f"Its archive {path} is not there.")
        size = path.stat().st_size
        if size != manifest.size:
            change = "cut short" if size < manifest.size else "another file, or was added to"
            raise NotAsSaidError(f"{path.name} is {change}: {size:,} bytes instead of {manifest.size:,}.")
        if digest_of(path) != manifest.sha256:
            raise NotAsSaidError(
                f"{path.name} is damaged, or another file: its SHA-256 is not the manifest's."
            )
    except OSError as error:
        raise WorkbenchError(f"{path} cannot be read: {error.strerror}.") from None
    archive = read_archive(path, manifest.target.schema, tools)
    if archive.database != manifest.target.database:
        raise NotAsSaidError(
            f"{path.name} is of the database {archive.database!r}, not of {manifest.target.database!r}."
        )


def _refuse_unfit(manifest: Manifest, scratch: Database, settings: Settings) -> None:
    """Refuse a scratch server on which a restore would prove nothing, or harm what is there."""
    with scratch.speaking_plainly(), scratch.session(autocommit=True) as connection:
        ours = connection.info.server_version // 10000
    theirs = int(re.split(r"\D", manifest.server_version, maxsplit=1)[0])
    if ours < theirs:
        raise WorkbenchError(
            f"{scratch.environment} is PostgreSQL {ours}, older than the snapshot's {manifest.server_version}.",
            "Let scratch_url_env name a server of at least that version.",
        )
    if scratch.address.embedded:
        needed = manifest.database_size + min(manifest.database_size, WAL)
        free = shutil.disk_usage(_there(embedded_data(settings))).free
        if free < needed:
            raise WorkbenchError(
                f"There is no room to restore it on {scratch.environment}: {needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free.",
                "Make room, or let scratch_url_env name another server.",
            )


def _restore(manifest: Manifest, scratch: Database, settings: Settings) -> list[str]:
    """Restore all that the archive has, as one owner; return the foreign keys that its rows break."""
    tools = settings.client_tools
    lines = [each for each in entries_of(manifest.archive, tools) if not _OF_ROLES.match(each)]
    # A subscription would begin to copy from the club's own server.
    jobs = max(2, min(os.cpu_count() or 1, 8))
    options = ["--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"]
    return restore(manifest.archive, scratch, tools, *options, f"--jobs={jobs}", entries=lines).unchecked_keys


def _counted(manifest: Manifest) -> str:
    tables = sum(len(each.tables) for each in manifest.contents.values())
    sequences = sum(len(each.sequences) for each in manifest.contents.values())
    return (
        f"{manifest.rows:,} rows of {tables:,} tables, {tables:,} digests and {sequences:,} sequences as the"
        " manifest says"
    )


def _told(broken: list[str]) -> str:
    if not broken:
        return ""
    return f"; its rows break {len(broken)} foreign keys, which cannot be made anew: {', '.join(broken)}"


def _there(path: Path) -> Path:
    return path if path.exists() else _there(path.parent)
