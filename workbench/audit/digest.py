"""One digest over the entries that the workbench wrote: noted elsewhere, it tells whether they are as they were.

Snapshot manifests and plans note it. It is no seal: who may write to the log and to those files can make both anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from workbench.audit.entries import MIGRATION_ACTION
from workbench.murmurant.importers import MIGRATION_PREFIX, RESTORED, ROLLBACK_ACTION
from workbench.murmurant.row_digest import readable_json
from workbench.murmurant.schema import Schema

NEEDS = ("audit.id", "audit.action", "audit.metadata", "audit.created_at")

_MOMENT = sql.Literal('YYYY-MM-DD"T"HH24:MI:SS.US')

# In the database's own encoding: nothing is converted, so nothing can fail to be.
_DIGEST = """
    SELECT count(*), to_char(max(at), {moment}), encode(sha256(string_agg(sha256(convert_to(
        jsonb_build_array(id, action, to_char(at, {moment}), metadata)::text, getdatabaseencoding())), ''
        ORDER BY at, id COLLATE "C")), 'hex')
    FROM ({own}) own WHERE %(until)s::timestamp IS NULL OR at <= %(until)s::timestamp
"""

# Each with the last entry before it, where what was restored ended.
_RESTORES = """
    SELECT to_char(at, {moment}), coalesce(metadata ->> 'backup_file', ''),
        coalesce(to_char((SELECT max(before.at) FROM ({own}) before WHERE before.at < own.at), {moment}), '')
    FROM ({own}) own WHERE {action} = {restored} ORDER BY at
"""


@dataclass(frozen=True)
class Noted:
    """What the workbench's own entries came to.

    Attributes
    ----------
    entries : int
        How many there were.
    until : str
        The moment of the last of them (UTC, ISO, to the microsecond).
    sha256 : str
        The digest of all of them, in order of time and id.
    """

    entries: int
    until: str
    sha256: str


class LogState(NamedTuple):
    """Whether the entries are still there that were noted last.

    Attributes
    ----------
    state : {"holds", "differs", "nothing noted"}
        Of what was noted last and no restore has taken away.
    noted_in : str
        Where: ``snapshot NAME`` or ``plan ID``.
    entries, until : int, str
        What was noted.
    missing, added : int
        How many entries from until then are there no more, or were not there.
    restored : str
        The snapshot whose restore took away what was noted later than this.
    """

    state: Literal["holds", "differs", "nothing noted"]
    noted_in: str = ""
    entries: int = 0
    until: str = ""
    missing: int = 0
    added: int = 0
    restored: str = ""

    def __str__(self) -> str:
        noted = f"the {self.entries:,} entries of the workbench that {self.noted_in} notes"
        how = (
            f"{self.missing:,} of {noted} are missing" if self.missing
            else f"{self.added:,} more are there than {noted}" if self.added
            else f"some of {noted} were altered"
        )  # fmt: skip
        said = {
            "holds": f"{noted[0].upper()}{noted[1:]}, until {self.until[:19]} UTC, are as they were.",
            "differs": f"The audit log is not as it was: {how}, until {self.until[:19]} UTC.",
            "nothing noted": "No digest of the workbench's own entries was noted yet: the next snapshot or plan notes one.",
        }[self.state]
        away = (
            f" {self.restored} was restored, and what was noted between is no more." if self.restored else ""
        )
        return said + away


def own_digest(connection: psycopg.Connection[Any], schema: Schema, until: str | None = None) -> Noted | None:
    """Return the digest of the workbench's own entries; None where there are none, or they may not be read.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction; SELECT on the audit log is all that it takes.
    until : str, optional
        Only entries up to this moment, as `Noted` has it.
    """
    if not schema.has(*NEEDS):
        return None
    query = sql.SQL(_DIGEST).format(moment=_MOMENT, own=_own(schema))
    row = connection.execute(query, {"until": until}).fetchone()
    return Noted(*row) if row and row[0] else None


def compare_with_noted(
    connection: psycopg.Connection[Any], schema: Schema, notes: Iterable[tuple[str, Noted]]
) -> LogState:
    """Hold what was noted last against the log.

    A restore brings an older log, rightly: what was noted between the snapshot and its restore is passed over.

    Parameters
    ----------
    notes : iterable of (str, Noted)
        By where each was noted.
    """
    schema.require(*NEEDS)
    newest_first = sorted(notes, key=lambda each: (each[1].until, each[1].entries), reverse=True)
    restores = _restores(connection, schema, dict(newest_first))
    restored = ""
    for noted_in, noted in newest_first:
        now = own_digest(connection, schema, noted.until)
        facts = noted_in, noted.entries, noted.until
        if now == noted:
            return LogState("holds", *facts, restored=restored)
        taken = [file for since, at, file in restores if since < noted.until < at]
        if not taken:
            more = (now.entries if now else 0) - noted.entries
            return LogState("differs", *facts, max(-more, 0), max(more, 0), restored)
        restored = restored or taken[-1]
    return LogState("nothing noted", restored=restored)


def _restores(
    connection: psycopg.Connection[Any], schema: Schema, notes: dict[str, Noted]
) -> list[tuple[str, str, str]]:
    """Return the restores that the log tells of: back to which moment, when, and of which snapshot."""
    action = sql.SQL(MIGRATION_ACTION).format(metadata=sql.SQL("metadata"), action=sql.SQL("action"))
    parts = {"moment": _MOMENT, "own": _own(schema), "action": action, "restored": sql.Literal(RESTORED)}
    rows = connection.execute(sql.SQL(_RESTORES).format(**parts)).fetchall()
    of = {at: notes.get(f"snapshot {Path(file).stem}") for at, file, _ in rows}
    return [(noted.until if (noted := of[at]) else before, at, file) for at, file, before in rows]


def _own(schema: Schema) -> sql.Composed:
    """Select the workbench's own entries; by their action first, which spares reading a million metadata for a few."""
    audit = schema.resolved["audit"]
    columns = schema.catalogue.tables[audit.table].columns
    cell: dict[str, sql.Composable] = {name: sql.Identifier(real) for name, real in audit.spelling.items()}
    kind = {name: columns[real].type for name, real in audit.spelling.items()}
    at = "{} AT TIME ZONE 'UTC'" if "with time zone" in kind["created_at"] else "{}::timestamp"
    told = "{action} = {undo}" if schema.audit_action_is_enum else "starts_with({action}, {prefix})"
    return sql.SQL(
        "SELECT {id}::text AS id, {action}::text AS action, {created_at} AS at, {metadata} AS metadata FROM {log}"
        f" WHERE {told} AND {{metadata}} ->> 'source' = 'workbench' AND isfinite({{created_at}})"
    ).format(
        **cell
        | {
            "created_at": sql.SQL(at).format(cell["created_at"]),
            "metadata": sql.SQL(readable_json(kind["metadata"])).format(cell=cell["metadata"]),
        },
        log=sql.Identifier(schema.catalogue.schema, audit.table),
        undo=sql.Literal(ROLLBACK_ACTION),
        prefix=sql.Literal(MIGRATION_PREFIX),
    )
