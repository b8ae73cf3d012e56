"""A restored database compared with what a manifest says of it: tables, rows, digests, sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.checkpoints.fingerprints import Connection, fingerprints, sequences_of, tables_of
from workbench.checkpoints.manifest import Contents, Manifest
from workbench.checkpoints.row_hashes import row_hashes
from workbench.checkpoints.tallies import Tallies, Way


def way_of(manifest: Manifest) -> Way:
    """Return how the digests of a manifest were made: in the first version on the server."""
    return row_hashes if manifest.version == 1 else fingerprints


def differences_from(manifest: Manifest, connect: Callable[[], Connection], way: Way) -> list[str]:
    """Compare a database with a manifest.

    Parameters
    ----------
    manifest : Manifest
        What should be there.
    connect : callable
        Opens a session on the database, in a state that does not change.
    way : callable
        How digests are made there: `way_of`, or `workbench.checkpoints.restored_order.as_restored`.

    Returns
    -------
    list of str
        Each difference in words, by schema and name; empty when there is none.
    """
    expected = all_contents(manifest)
    with connect() as connection:
        there = tables_of(connection)
        sequences = sequences_of(connection)
        connection.rollback()
    wanted = [
        (schema, table, expected[schema].tables[table].digest is not None)
        for schema, tables in there.items()
        for table in tables
        if table in expected.get(schema, Contents()).tables
    ]
    found = Tallies(connect, wanted, way).contents()
    said: list[str] = []
    for schema in sorted({*expected, *there, *sequences}):
        should = expected.get(schema, Contents())
        prefix = "" if schema == manifest.schema else f"{schema}."
        said += _names(f"table {prefix}", should.tables, dict.fromkeys(there.get(schema, ())))
        for name, state in found.get(schema, Contents()).tables.items():
            if state.rows != should.tables[name].rows:
                said.append(f"{prefix}{name} has {state.rows:,} rows instead of {should.tables[name].rows:,}")
            elif state.digest != should.tables[name].digest:
                said.append(f"{prefix}{name} has as many rows, {state.rows:,}, but others")
        here = sequences.get(schema, {})
        said += _names(f"sequence {prefix}", should.sequences, here)
        said += [
            f"sequence {prefix}{name} stands at {here[name].last_value} instead of {at.last_value}"
            for name, at in sorted(should.sequences.items())
            if name in here and here[name] != at
        ]
    return said


def all_contents(manifest: Manifest) -> dict[str, Contents]:
    """Return the tables and sequences of every schema that a manifest knows."""
    return {**manifest.elsewhere, manifest.schema: Contents(manifest.tables, manifest.sequences)}


def counted(manifest: Manifest) -> str:
    """Say what was compared."""
    every = list(all_contents(manifest).values())
    tables = sum(len(each.tables) for each in every)
    digests = sum(state.digest is not None for each in every for state in each.tables.values())
    sequences = sum(len(each.sequences) for each in every)
    return (
        f"{manifest.rows:,} rows of {tables:,} tables, {digests:,} digests and {sequences:,} sequences as the"
        " manifest says"
    )


def _names(kind: str, should: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"there is no {kind}{name}" for name in sorted(should.keys() - there.keys()))
    yield from (f"the manifest knows no {kind}{name}" for name in sorted(there.keys() - should.keys()))
