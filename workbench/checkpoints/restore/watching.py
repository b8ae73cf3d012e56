"""What a database holds, table by table: to compare it with a manifest, or with itself at another moment."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from workbench.audit import MIGRATION_ACTION
from workbench.checkpoints.fingerprints import row_counts, sequences_of, tables_of
from workbench.checkpoints.manifest import Contents, Manifest
from workbench.checkpoints.restore.act import Expected, Sequences
from workbench.checkpoints.restore.request import Counted
from workbench.checkpoints.row_hashes import row_hashes
from workbench.checkpoints.tallies import Way
from workbench.murmurant.spellings import CONCEPTS

# Entries that the workbench itself writes about snapshots and the like: they change nothing that could be lost.
_OWN = f"""
    coalesce({{metadata}} ->> 'source' = 'workbench'
    AND {MIGRATION_ACTION} ~ '^migration:(snapshot|preflight|dry-run):', false)
"""


def expected_of(manifest: Manifest) -> Expected:
    """Return what a manifest says that the snapshot holds, tables of other schemas by their full names."""
    every = {manifest.schema: Contents(manifest.tables, manifest.sequences), **manifest.elsewhere}
    return Expected(
        {
            _full(schema, name, manifest.schema): (state.rows, state.digest)
            for schema, contents in every.items()
            for name, state in contents.tables.items()
        },
        {
            _full(schema, name, manifest.schema): (state.last_value, state.is_called)
            for schema, contents in every.items()
            for name, state in contents.sequences.items()
        },
    )


def contents(
    connection: psycopg.Connection[Any], main: str, expected: Counted | None = None, way: Way = row_hashes
) -> tuple[Counted, Sequences]:
    """Count and digest every table, and read every sequence.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    main : str
        Murmurant's schema: its tables go by their names alone.
    expected : mapping, optional
        What is known of them: a table whose digest nobody knows is counted only.
    way : callable
        How digests are made: by a manifest's, or, to tell a database from itself at another moment, on the server.
    """
    found: dict[str, tuple[int, str | None]] = {}
    for schema, names in tables_of(connection).items():
        full = {name: _full(schema, name, main) for name in names}
        counted = [name for name in names if expected and expected.get(full[name], (0, ""))[1] is None]
        digested = [name for name in names if name not in counted]
        found |= {
            full[name]: (each.rows, each.digest) for name, each in way(connection, schema, digested).items()
        }
        found |= {full[name]: (rows, None) for name, rows in row_counts(connection, schema, counted).items()}
    sequences = {
        _full(schema, name, main): (state.last_value, state.is_called)
        for schema, states in sequences_of(connection).items()
        for name, state in states.items()
    }
    return found, sequences


def watched(connection: psycopg.Connection[Any], main: str) -> Counted:
    """Count and digest every table; of the audit log, which only grows, count what the workbench did not write itself."""
    (log,) = CONCEPTS["audit"].tables
    tables = tables_of(connection)
    has_log = log in tables.get(main, ())
    found, _ = contents(connection, main, {log: (0, None)} if has_log else None)
    if not has_log:
        return found
    columns = {
        name for (name,) in connection.execute(_COLUMNS, [sql.Identifier(main, log).as_string(connection)])
    }
    if not {"metadata", "action"} <= columns:
        return found
    own = sql.SQL(_OWN).format(metadata=sql.Identifier("metadata"), action=sql.Identifier("action"))
    query = sql.SQL("SELECT count(*) FROM {} WHERE NOT ({})").format(sql.Identifier(main, log), own)
    row = connection.execute(query).fetchone()
    assert row is not None
    return {**found, log: (int(row[0]), None)}


_COLUMNS = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"


def _full(schema: str, name: str, main: str) -> str:
    return name if schema == main else f"{schema}.{name}"
