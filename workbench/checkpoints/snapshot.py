"""``snapshot create``: one consistent state of the database as an archive, with what was in it beside it.

One transaction exports its snapshot; pg_dump and the sessions that count import it, so that the manifest says
of the very rows that the archive has. What pg_dump writes is hashed and flushed while it writes on; the
digests of the tables come from the same pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workbench.audit import own_digest
from workbench.checkpoints.archive import digest_of, digest_of_folder, size_of
from workbench.checkpoints.archived import digests_in
from workbench.checkpoints.dumping import Dump, flush, sequences_in
from workbench.checkpoints.fingerprints import Connection, as_copied, sequences_of, shapes
from workbench.checkpoints.growing import Growing
from workbench.checkpoints.manifest import Contents, Manifest, SequenceState
from workbench.checkpoints.parts import part
from workbench.checkpoints.source import LARGE, Source
from workbench.database.encoding import encoding_for
from workbench.database.programs import can_compress, program_for, quickest_compression, read_list
from workbench.errors import UsageError
from workbench.murmurant.schema import Schema

FORMATS = ("custom", "directory")

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wish:
    """What kind of snapshot is asked for, by whom and what for.

    Attributes
    ----------
    by : str
        Who asks.
    format : str or None
        ``custom`` or ``directory``; None for what is quickest.
    jobs : int or None
        How many tables of the directory format are dumped at a time; None for one to a core.
    compression : str or None
        pg_dump's ``--compress``; None for the quickest its build knows.
    precedes, reason : str or None
        The run it is taken before; why it is taken.
    """

    by: str
    format: str | None = None
    jobs: int | None = None
    compression: str | None = None
    precedes: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise UsageError(f"There is no format {self.format!r}.", "Give custom or directory.")
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"{self.jobs} jobs dump nothing.", "Give 1 or more.")
        if self.jobs and self.jobs > 1 and self.format == "custom":
            raise UsageError(
                "Only the directory format is dumped by several jobs.", "Give --format directory."
            )


def create_snapshot(
    source: Source,
    schema: Schema,
    target: dict[str, str],
    folder: Path,
    wish: Wish,
    tools: Path | None,
    advance: Advance,
) -> Manifest:
    """Take a snapshot with pg_dump: written under a temporary name, flushed, then listed.

    Parameters
    ----------
    source : Source
        The database.
    schema : Schema
        Murmurant's tables there.
    target : dict
        Which database that is, for the manifest.
    folder : Path
        The backups.
    wish : Wish
        What is asked for.
    tools : Path or None
        The configured folder of client programs.
    advance : callable
        Told what begins, how many tables are done, and how many there are.

    Returns
    -------
    Manifest
        Of the snapshot, which is listed.

    Raises
    ------
    Refused
        When every pg_dump is older than the server or cannot connect, or somebody holds a lock too long.
    SnapshotError
        When no pg_restore here reads what pg_dump wrote.
    WorkbenchError
        When pg_dump fails, or there is no room; nothing is kept then.
    """
    moment = datetime.now(UTC)
    with source.exported() as held, part(folder, moment) as made:
        tool = program_for("pg_dump", held.server_version, tools, source.parameters())
        form, jobs = _shape(held.database_size, wish)
        compression = wish.compression or quickest_compression(tool)
        if wish.compression and not can_compress(tool, compression):
            raise UsageError(
                f"{tool.path} cannot compress with {compression!r}.",
                f"Leave --compress out for {quickest_compression(tool)}.",
            )
        before = sequences_of(held.connection)
        tables = held.tables
        total = sum(map(len, tables.values()))
        begun: list[str] = []

        def dumped(table: str) -> None:
            begun.append(table)
            advance(f"dumping {table}", min(len(begun), total), total)

        options = [f"--format={form}", *([f"--jobs={jobs}"] if form == "directory" else [])]
        options += [f"--compress={compression}", f"--snapshot={held.snapshot}", source.lock_wait]
        process = Dump(tool, source.parameters(encoding_for(held.connection)), made, options, dumped)
        growing = Growing(made.archive)
        tallies = source.count(held)
        try:
            process.wait()
            advance("checking what was written", total, total)
            with ThreadPoolExecutor(1) as pool:  # the disk is waited for while the processor works
                flushed = pool.submit(flush, made.archive)
                files = growing.digests()
                sha256 = digest_of_folder(files) if form == "directory" else digest_of(made.archive)
                restorer, _ = read_list(made.archive, tools)
                size, rows = size_of(made.archive), digests_in(made.archive, restorer, files)
                flushed.result()
            contents = _with_digests(held.connection, tallies.contents(), rows)
        except BaseException:
            process.stop()
            growing.stop()
            tallies.stop()
            raise
        after = sequences_of(held.connection)
        states = (
            before
            if after == before
            else _in_archive(held.connection, before, sequences_in(made.archive, restorer))
        )
        here = schema.catalogue.schema
        manifest = Manifest(
            snapshot=made.name,
            format=form,
            compression=compression,
            file=made.archive.name,
            sha256=sha256,
            size=size,
            tool_version=tool.version,
            server_version=held.server_version,
            target=target,
            schema=here,
            dialect=schema.dialect,
            created_at=moment.isoformat(timespec="seconds"),
            created_by=wish.by,
            precedes=wish.precedes,
            reason=wish.reason,
            transaction=held.transaction,
            timeline=held.timeline,
            database_size=held.database_size,
            log=own_digest(held.connection, schema),
            tables=contents.get(here, Contents()).tables,
            sequences=states.get(here, {}),
            elsewhere=elsewhere(contents, states, here),
            folder=folder,
        )
        made.publish(manifest)
    return manifest


def elsewhere(
    contents: dict[str, Contents], states: dict[str, dict[str, SequenceState]], here: str
) -> dict[str, Contents]:
    """Return tables and sequences of every schema but one."""
    return {
        name: Contents(contents.get(name, Contents()).tables, states.get(name, {}))
        for name in sorted({*contents, *states} - {here})
    }


def _with_digests(
    connection: Connection, counted: dict[str, Contents], rows: dict[str, str]
) -> dict[str, Contents]:
    """Add to what was counted on the server the digests of what the archive holds."""
    with as_copied(connection):
        there = shapes(connection, counted)
    return {
        schema: Contents(
            {
                table: state._replace(digest=shape.digest(rows[shape.oid]) if shape.oid in rows else None)
                for table, state in each.tables.items()
                for shape in (there[schema, table],)
            }
        )
        for schema, each in counted.items()
    }


def _shape(size: int, wish: Wish) -> tuple[str, int]:
    """Choose format and jobs: several jobs only where there is enough to share out."""
    form = wish.format or ("directory" if size >= LARGE or (wish.jobs or 1) > 1 else "custom")
    return form, wish.jobs or min(os.cpu_count() or 1, 8)


def _in_archive(
    connection: Connection,
    here: dict[str, dict[str, SequenceState]],
    there: dict[str, SequenceState],
) -> dict[str, dict[str, SequenceState]]:
    """Take the sequences from the archive: they went on while it was made, and no transaction holds them."""
    query = "SELECT quote_ident(%s) || '.' || quote_ident(%s)"
    found: dict[str, dict[str, SequenceState]] = {}
    for schema, sequences in here.items():
        for name, state in sequences.items():
            row = connection.execute(query, [schema, name]).fetchone()
            assert row
            found.setdefault(schema, {})[name] = there.get(row[0], state)
    return found
