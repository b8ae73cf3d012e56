"""What a database holds, table by table: to compare it with a manifest, or with itself at another moment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import psycopg
from psycopg import sql

from workbench.audit import MIGRATION_ACTION
from workbench.checkpoints.contents import Contents, contents_of
from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.restore.request import Counted
from workbench.murmurant.spellings import CONCEPTS

# Entries that the workbench itself writes about snapshots and the like: they change nothing that could be lost.
_OWN = f"""
    coalesce({{metadata}} ->> 'source' = 'workbench'
    AND {MIGRATION_ACTION} ~ '^migration:(snapshot|preflight|dry-run):', false)
"""


def expected_of(manifest: Manifest) -> Counted:
    """Return what a manifest says that the snapshot's tables hold, those of other schemas by their full names."""
    return _counted(manifest.contents, manifest.target.schema)


def watched(connection: psycopg.Connection[Any], main: str) -> Counted:
    """Count and digest every table; of the audit log, which only grows, count what the workbench did not write itself."""
    (log,) = CONCEPTS["audit"].tables
    found = _counted(contents_of(lambda: nullcontext(connection), 1), main)
    if log not in found:
        return found
    columns = {
        name for (name,) in connection.execute(_COLUMNS, [sql.Identifier(main, log).as_string(connection)])
    }
    rows = found[log][0]
    if {"metadata", "action"} <= columns:
        own = sql.SQL(_OWN).format(metadata=sql.Identifier("metadata"), action=sql.Identifier("action"))
        query = sql.SQL("SELECT count(*) FROM {} WHERE NOT ({})").format(sql.Identifier(main, log), own)
        (rows,) = connection.execute(query).fetchone() or (0,)
    return {**found, log: (int(rows), None)}


def _counted(contents: Mapping[str, Contents], main: str) -> Counted:
    return {
        name if schema == main else f"{schema}.{name}": (state.rows, state.digest)
        for schema, each in contents.items()
        for name, state in each.tables.items()
    }


_COLUMNS = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
