"""A snapshot made ready to be compared: what its manifest says, and how its tables are read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workbench.checkpoints.archive import read_archive
from workbench.checkpoints.comparing import way_of
from workbench.checkpoints.manifest import Manifest, read_manifest
from workbench.checkpoints.scratch import restored
from workbench.checkpoints.shelf import find_snapshot
from workbench.database.address import Address
from workbench.database.connection import Database
from workbench.database.environment import Environment
from workbench.errors import SnapshotError
from workbench.investigate.differences.comparing import Earlier
from workbench.investigate.differences.recent import Moment
from workbench.investigate.differences.sides import Side, side_of
from workbench.settings import Settings

_LONG = 3600.0  # seconds that a question to a snapshot may take


@dataclass(frozen=True)
class Snapshot:
    """A snapshot to compare with.

    Attributes
    ----------
    name : str
        Its manifest's, or the archive's file name where it has none.
    archive : Path or None
        The archive; None for a clone.
    manifest : Manifest or None
        None for an archive that somebody made with pg_dump alone.
    taken_at : datetime or None
        When (UTC, without zone).
    """

    name: str
    archive: Path | None
    manifest: Manifest | None
    taken_at: datetime | None


def snapshot_named(name: str | Path, settings: Settings, environment: str) -> Snapshot:
    """Find a snapshot: by its name among the backups, by its file, ``latest``, or any archive of pg_dump.

    Raises
    ------
    SnapshotError
        When its manifest was edited, or does not fit the archive.
    UsageError
        When there is none of this name.
    """
    path = Path(name)
    if path.exists() and not path.with_suffix(".json").exists():
        return Snapshot(path.name, path, None, None)
    manifest = (
        read_manifest(path) if path.exists() else find_snapshot(settings.backups, str(name), environment)
    )
    taken_at = manifest.created.astimezone(UTC).replace(tzinfo=None)
    if manifest.kind == "instant":
        return Snapshot(manifest.snapshot, None, manifest, taken_at)
    return Snapshot(manifest.snapshot, manifest.path, manifest, taken_at)


def earlier(
    snapshot: Snapshot, live: Database, settings: Settings, now: Side | None = None, schema: str = "public"
) -> Earlier:
    """Make a snapshot ready to be compared.

    Parameters
    ----------
    live : Database
        Whose server has the clones.
    now : Side or None
        The live database, where it is that which the snapshot is compared with: then the transaction numbers
        and the digests of the manifest can spare reading what is as it was.
    schema : str
        The schema of Murmurant's tables.
    """
    manifest = snapshot.manifest

    @contextmanager
    def opened(tables: Sequence[str]) -> Iterator[Side]:
        if snapshot.archive is None:
            assert manifest is not None
            address = Address(live.address.url.set(database=manifest.file), schema)
            with _reading(address, tables) as side:
                yield side
            return
        with (
            restored(snapshot.archive, tables, settings=settings, schema=schema) as scratch,
            _reading(Address(scratch.server.address.url, schema), tables) as side,
        ):
            if manifest is not None and scratch.archive.sha256 != manifest.sha256:
                raise SnapshotError(
                    f"The archive {snapshot.archive} is not the one its manifest was written for: its SHA-256 differs.",
                    "Use another snapshot, or copy this one anew from where it was made.",
                )
            yield side

    def unchanged(tables: Sequence[str]) -> Collection[str]:
        if now is None or manifest is None:
            return ()
        known = [each for each in tables if each in manifest.tables and manifest.tables[each].digest]
        found = way_of(manifest)(now.connection, schema, known)
        return [each for each in known if tuple(found[each]) == tuple(manifest.tables[each])]

    if manifest is None:
        assert snapshot.archive is not None
        return Earlier(snapshot.name, opened, read_archive(snapshot.archive, schema).tables)
    rows = {table: state.rows for table, state in manifest.tables.items()}
    moment = moment_of(manifest) if now is not None else None
    return Earlier(snapshot.name, opened, set(rows), rows, moment, manifest.kind == "instant", unchanged)


def moment_of(manifest: Manifest) -> Moment:
    """Return when a snapshot was taken, in the server's own terms."""
    told = manifest.timeline
    return Moment(
        told["system_identifier"], told["database_oid"], int(told["timeline"]), manifest.transaction
    )


@contextmanager
def _reading(address: Address, tables: Sequence[str]) -> Iterator[Side]:
    place = Database(Environment("snapshot", "development", address.where), address, _LONG)
    with place.reading() as connection:
        yield side_of(connection, address.schema, tables)
