"""A restored table whose rows lie in another order than in the archive, or whose columns do, and are the same.

In our own restores rows keep their order (see `workbench.checkpoints.fingerprints`). PostgreSQL gives some tables
another one all the same: partitions that pg_dump has filled through their parent, and heirs whose own columns come
after the inherited ones. So before a table is said to hold other rows, its lines and the archive's are compared
whatever their order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from workbench.checkpoints.archived import Rows, rows_in
from workbench.checkpoints.comparing import all_contents, way_of
from workbench.checkpoints.fingerprints import (
    END_OF_DATA,
    Connection,
    Fingerprint,
    Shape,
    as_copied,
    copied,
    fingerprints,
    shapes,
)
from workbench.checkpoints.manifest import Contents, Manifest
from workbench.checkpoints.tallies import Way
from workbench.database.programs import read_list

_NAME = rb'(?:"(?:[^"]|"")*"|[^",() ]+)'
_STATEMENT = re.compile(rb"COPY %b\.%b \((%b(?:, %b)*)\) FROM stdin;\n" % (_NAME, _NAME, _NAME, _NAME))


def as_restored(manifest: Manifest, tools: Path | None) -> Way:
    """Return how the tables of a database restored from a snapshot are digested.

    Parameters
    ----------
    manifest : Manifest
        The snapshot's; its archive is read where a digest is another.
    tools : Path or None
        The configured folder of client programs.
    """
    if way_of(manifest) is not fingerprints:
        return way_of(manifest)
    expected = all_contents(manifest)

    def way(connection: Connection, schema: str, tables: Iterable[str]) -> dict[str, Fingerprint]:
        found = fingerprints(connection, schema, tables)
        should = expected.get(schema, Contents()).tables
        for table, each in found.items():
            state = should.get(table)
            if state is None or state.digest in (None, each.digest) or state.rows != each.rows:
                continue
            if _same_lines(connection, manifest, tools, schema, table):
                found[table] = Fingerprint(state.rows, str(state.digest))
        return found

    return way


def _same_lines(
    connection: Connection, manifest: Manifest, tools: Path | None, schema: str, table: str
) -> bool:
    """Whether a table has the archive's lines, and the archive what the manifest says."""
    should = all_contents(manifest)[schema].tables[table].digest
    tool, _ = read_list(manifest.path, tools)
    with as_copied(connection), rows_in(manifest.path, tool, (schema, table)) as found:
        here = shapes(connection, [schema])[schema, table]
        for each in found:
            columns = _columns(each, here)
            whole, lines = hashlib.sha256(), _Lines()
            for part in each.parts:
                whole.update(part)
                lines.add(part)
            whole.update(END_OF_DATA)
            if Shape("", columns).digest(whole.hexdigest()) != should:
                continue  # another table, whose name and schema only look alike
            ours = _Lines()
            for _, part in copied(connection, schema, table, [name for name, _ in columns]):
                ours.add(part)
            return ours.digest() == lines.digest()
    return False


def _columns(rows: Rows, here: Shape) -> list[tuple[str, str]]:
    """Return the columns in the archive's order; none where they are others."""
    match = _STATEMENT.fullmatch(rows.copy)
    names = [_plain(name) for name in re.findall(_NAME, match.group(1))] if match else []
    kinds = dict(here.columns)
    return [(name, kinds[name]) for name in names] if sorted(names) == sorted(kinds) else []


def _plain(name: bytes) -> str:
    text = name.decode(errors="surrogateescape")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


class _Lines:
    """How many lines there were, and the sum of their digests: the same in any order."""

    def __init__(self) -> None:
        self._rest, self._count, self._sum = b"", 0, 0

    def add(self, part: bytes) -> None:
        for line in self._whole(part):
            self._count += 1
            self._sum += int.from_bytes(hashlib.sha256(line).digest(), "big")

    def digest(self) -> tuple[int, int, bytes]:
        return self._count, self._sum % 2**256, self._rest

    def _whole(self, part: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + part).split(b"\n")
        yield from lines
