"""``snapshot verify``: prove a snapshot by restoring all of it, and comparing what comes out with its manifest.

A check that could not run is never a pass: it is *not run*, with what kept it from running.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter

from workbench.database.archives import Advance, Listing, Unreadable, restore
from workbench.database.connection import SPELLING, Database, embedded_data
from workbench.database.databases import scratch_database
from workbench.errors import DocumentError, WorkbenchError
from workbench.settings import Settings
from workbench.snapshots.archive import encoding_of, read_archive, refuse_damaged, refuse_older_server
from workbench.snapshots.contents import contents_of, differences
from workbench.snapshots.manifest import Manifest, Outcome, Verification
from workbench.snapshots.scratch import SCRATCH_REMEDY

PREDECESSORS = 5
"""Snapshots before it with which its size is compared."""

WAL = 2**30
"""Room that a restore takes besides the database's: the server's log of it."""


def verify_snapshot(
    manifest: Manifest,
    predecessors: Sequence[Manifest],
    settings: Settings,
    advance: Advance,
    lie: str = "",
) -> Verification:
    """Restore a dump into a scratch database, compare everything with the manifest, and drop it.

    Parameters
    ----------
    manifest : Manifest
        What it should be.
    predecessors : sequence of Manifest
        The snapshots before it, oldest first, in whose range its size must be; none where any will do.
    settings : Settings
        Where scratch databases are made; who asks.
    advance : callable
        Told what begins, and how much of it is done.
    lie : str
        What is wrong with the manifest, where that is known before.

    Returns
    -------
    Verification
        ``pass``, ``fail`` or ``not run``, with the reason; nothing is changed anywhere.
    """
    begun = perf_counter()
    outcome: Outcome = "pass"
    where = ""
    try:
        if lie:
            raise DocumentError(lie)
        detail, where = _prove(manifest, predecessors, settings, advance)
    except WorkbenchError as error:
        # What is wrong with the snapshot itself, and not with the place where it was tried.
        failed = isinstance(error, DocumentError) and not isinstance(error, Unreadable)
        outcome, detail = ("fail", error.what) if failed else ("not run", str(error))
    seconds, at = round(perf_counter() - begun, 1), datetime.now(UTC).replace(microsecond=0)
    return Verification(at, settings.operator, outcome, detail, seconds, where)


def _prove(
    manifest: Manifest,
    predecessors: Sequence[Manifest],
    settings: Settings,
    advance: Advance,
) -> tuple[str, str]:
    """Return what was compared, and where."""
    advance("reading the archive", 0, 4)
    refuse_damaged(manifest)
    archive = read_archive(manifest.archive, manifest.target.schema, settings.client_tools)
    if archive.database != manifest.target.database:
        raise DocumentError(
            f"{archive.path.name} is of the database {archive.database!r}, not of {manifest.target.database!r}."
        )
    size = size_in_range(manifest, predecessors)
    with scratch_database(settings, encoding_of(manifest.archive)) as (scratch, _):
        _refuse_unfit(manifest, scratch, settings)
        advance(f"restoring on {scratch.environment}", 1, 4)
        assert archive.listing is not None
        broken = _restore(archive.listing, scratch, settings)
        advance("comparing", 2, 4)
        with scratch.speaking_plainly():
            options = f"-c default_transaction_read_only=on{SPELLING}"
            held = contents_of(lambda: scratch.session(options))
        advance("dropping it", 3, 4)
    if wrong := differences(manifest.contents, held, manifest.target.schema):
        raise DocumentError(f"It is not what its manifest says: {wrong}.")
    tables = sum(len(each.tables) for each in manifest.contents.values())
    sequences = sum(len(each.sequences) for each in manifest.contents.values())
    keys = f"; its rows break {len(broken)} foreign keys, which cannot be made anew: {', '.join(broken)}"
    return (
        f"restored: {manifest.rows:,} rows of {tables:,} tables, {tables:,} digests and {sequences:,} sequences as"
        f" the manifest says; {size}{keys if broken else ''}",
        scratch.environment.where,
    )


def size_in_range(manifest: Manifest, predecessors: Sequence[Manifest]) -> str:
    """Say how a snapshot's size compares with those before it of its compression.

    Raises
    ------
    DocumentError
        When it is less than half the smallest, or more than twice the largest.
    """
    alike = [
        each.size
        for each in predecessors
        if (each.compression, each.target.environment) == (manifest.compression, manifest.target.environment)
        and not (each.verifications and each.verifications[-1].outcome == "fail")
    ][-PREDECESSORS:]
    if not alike:
        return f"{manifest.size:,} bytes, compared with no predecessor"
    span = f"{min(alike):,} to {max(alike):,}"
    if min(alike) / 2 <= manifest.size <= max(alike) * 2:
        return f"{manifest.size:,} bytes, its predecessors {span}"
    raise DocumentError(
        f"Its size, {manifest.size:,} bytes, is out of the range of its predecessors ({span}): has something been lost?"
        " --any-size accepts it."
    )


def _refuse_unfit(manifest: Manifest, scratch: Database, settings: Settings) -> None:
    """Refuse a scratch server on which a restore would prove nothing, or harm what is there."""
    with scratch.speaking_plainly(), scratch.session(autocommit=True) as connection:
        refuse_older_server(manifest.snapshot, manifest.server_version, connection, scratch, SCRATCH_REMEDY)
    if scratch.address.embedded:
        needed = manifest.database_size + min(manifest.database_size, WAL)
        free = shutil.disk_usage(embedded_data(settings)).free
        if free < needed:
            raise WorkbenchError(
                f"There is no room to restore it on {scratch.environment}: {needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free.",
                "Make room, or let scratch_url_env name another server.",
            )


def _restore(listing: Listing, scratch: Database, settings: Settings) -> list[str]:
    """Restore all that the archive has, as one owner; return the foreign keys that its rows break."""
    # Whose something is to see, and who is meant, is the server's: its roles are not there.
    of_roles = listing.of("POLICY", "USER MAPPING")
    entries = [entry for entry in listing.entries if entry not in of_roles]
    # A subscription would begin to copy from the club's own server.
    options = "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"
    jobs = f"--jobs={max(2, min(os.cpu_count() or 1, 8))}"
    return restore(listing.path, scratch, settings.client_tools, *options, jobs, entries=entries)
