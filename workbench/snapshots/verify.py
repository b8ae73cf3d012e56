"""``snapshot verify``: prove a snapshot by restoring all of it, and comparing what comes out with its manifest.

A check that could not run is never a pass: it is *not run*, with what kept it from running.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter

from workbench.database.archives import Advance, restore
from workbench.database.connection import Database
from workbench.database.databases import embedded_data, scratch_database
from workbench.errors import DocumentError, WorkbenchError
from workbench.settings import Settings
from workbench.snapshots.archive import encoding_of, read_archive, refuse_damaged, refuse_older_server
from workbench.snapshots.compare import SCRATCH_REMEDY
from workbench.snapshots.contents import TableState, contents_of, differences
from workbench.snapshots.manifest import Manifest, Outcome, Verification

PREDECESSORS = 5
"""Snapshots before it with which its size is compared."""

WAL = 2**30
"""Room that a restore takes besides the database's: the server's log of it."""

# As one owner. Whose something is to see, and who is meant, is the server's: its roles are not there. A subscription would
# begin to copy from the club's own server.
_BARE = "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"


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
    begun, where = perf_counter(), ""
    outcome: Outcome = "pass"
    try:
        if lie:
            raise DocumentError(lie)
        detail, where = _prove(manifest, predecessors, settings, advance)
    except WorkbenchError as error:
        # What is wrong with the snapshot itself, and not with the place where it was tried.
        failed = isinstance(error, DocumentError)
        outcome, detail = ("fail", error.what) if failed else ("not run", str(error))
    seconds, at = round(perf_counter() - begun, 1), datetime.now(UTC).replace(microsecond=0)
    return Verification(at, settings.operator, outcome, detail, seconds, where)


def _prove(
    manifest: Manifest, predecessors: Sequence[Manifest], settings: Settings, advance: Advance
) -> tuple[str, str]:
    """Return what was compared, and where."""
    advance("reading the archive", 0, 4)
    refuse_damaged(manifest)
    listing = read_archive(manifest.archive, manifest.target.schema, settings.client_tools).listing
    assert listing is not None
    if (database := listing.head.get("dbname")) != manifest.target.database:
        raise DocumentError(f"It is of the database {database!r}, not of {manifest.target.database!r}.")
    size = size_in_range(manifest, predecessors)
    with scratch_database(settings, encoding_of(manifest.archive)) as (scratch, holder):
        refuse_older_server(manifest.snapshot, manifest.server_version, holder, scratch, SCRATCH_REMEDY)
        _refuse_without_room(manifest, scratch, settings)
        advance(f"restoring on {scratch.environment}", 1, 4)
        of_roles = set(listing.of("POLICY", "USER MAPPING"))
        entries = [entry for entry in listing.entries if entry not in of_roles]
        jobs = f"--jobs={max(2, min(os.cpu_count() or 1, 8))}"
        broken = restore(listing.path, scratch, settings.client_tools, *_BARE, jobs, entries=entries)
        advance("comparing", 2, 4)
        with scratch.translate_errors():
            contents = contents_of(scratch.session)
        advance("dropping it", 3, 4)
    if wrong := differences(manifest.contents, contents, manifest.target.schema):
        raise DocumentError(f"It is not what its manifest says: {wrong}.")
    tables = sum(isinstance(state, TableState) for state in contents.values())
    keys = f"; its rows break {len(broken)} foreign keys, which cannot be made anew: {', '.join(broken)}"
    return (
        f"restored: {manifest.rows:,} rows of {tables:,} tables, {tables:,} digests and {len(contents) - tables:,} sequences"
        f" as the manifest says; {size}{keys if broken else ''}",
        scratch.environment.where,
    )


def size_in_range(manifest: Manifest, predecessors: Sequence[Manifest]) -> str:
    """Say how a snapshot's size compares with those before it of its compression.

    Raises
    ------
    DocumentError
        When it is less than half the smallest, or more than twice the largest.
    """
    kind = manifest.compression, manifest.target.environment
    sizes = [
        before.size
        for before in predecessors
        if (before.compression, before.target.environment) == kind
        and not (before.verifications and before.verifications[-1].outcome == "fail")
    ][-PREDECESSORS:]
    if not sizes:
        return f"{manifest.size:,} bytes, compared with no predecessor"
    compared = f"{manifest.size:,} bytes, its predecessors {min(sizes):,} to {max(sizes):,}"
    if not min(sizes) / 2 <= manifest.size <= max(sizes) * 2:
        raise DocumentError(
            f"Its size is out of range: {compared}. Was something lost? --any-size accepts it."
        )
    return compared


def _refuse_without_room(manifest: Manifest, scratch: Database, settings: Settings) -> None:
    """Refuse where a restore would fill the disk of the embedded server."""
    if not scratch.address.embedded:
        return
    needed = manifest.database_size + min(manifest.database_size, WAL)
    if (free := shutil.disk_usage(embedded_data(settings)).free) < needed:
        raise WorkbenchError(
            f"There is no room to restore it on {scratch.environment}: {needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free.",
            "Make room, or let scratch_url_env name another server.",
        )
