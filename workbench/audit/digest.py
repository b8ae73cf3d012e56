"""One digest over the entries that the workbench wrote: noted elsewhere, it tells whether they are as they were.

Snapshot manifests and plans note it. It is no seal: who may write to the log and to those files can make both anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from workbench.audit.entries import MIGRATION_ACTION
from workbench.murmurant.importers import MIGRATION_PREFIX, RESTORED, ROLLBACK_ACTION
from workbench.murmurant.row_digest import readable_json
from workbench.murmurant.schema import Schema

NEEDS = ("audit.id", "audit.action", "audit.metadata", "audit.created_at")

_NEVER = datetime(1, 1, 1)  # noqa: DTZ001
_MOMENT = sql.Literal('YYYY-MM-DD"T"HH24:MI:SS.US')

# In the database's own encoding: nothing is converted, so nothing can fail to be.
_DIGEST = """
    SELECT count(*), to_char(max(at), {moment}), encode(sha256(string_agg(sha256(convert_to(
        jsonb_build_array(id, action, to_char(at, {moment}), metadata)::text, getdatabaseencoding())), ''
        ORDER BY at, id COLLATE "C")), 'hex')
    FROM ({own}) own WHERE %(until)s::timestamp IS NULL OR at <= %(until)s::timestamp
"""

_RESTORES = """
    SELECT at, metadata ->> 'backup_file', metadata ->> 'backup_created_at',
        (SELECT max(before.at) FROM ({own}) before WHERE before.at < own.at)
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
        took = f"{self.restored} was restored, which took away what was noted later." if self.restored else ""
        if self.state == "nothing noted":
            return f"{took} Nothing else is noted of the workbench's own entries: take a snapshot.".strip()
        noted = f"of the {self.entries:,} entries of the workbench until {self.until[:19]} UTC that {self.noted_in} notes"
        if self.state == "holds":
            return f"Everything {noted} is as it was. {took}".strip()
        how = (
            f"{self.missing:,} {noted} are missing"
            if self.missing
            else f"{self.added:,} more are there than {noted}"
            if self.added
            else f"some {noted} were altered"
        )
        return f"The audit log differs: {how}. {took}".strip()


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
    notes = sorted(notes, key=lambda each: (each[1].until, each[1].entries), reverse=True)
    restores, restored = _restores(connection, schema, dict(notes)), ""
    for noted_in, noted in notes:
        now = own_digest(connection, schema, noted.until)
        if now == noted:
            return LogState("holds", noted_in, noted.entries, noted.until, restored=restored)
        taken = [each.file for each in restores if each.since < datetime.fromisoformat(noted.until) < each.at]
        if not taken:
            more = (now.entries if now else 0) - noted.entries
            facts = noted_in, noted.entries, noted.until, max(-more, 0), max(more, 0), restored
            return LogState("differs", *facts)
        restored = restored or taken[-1]
    return LogState("nothing noted", restored=restored)


class _Restore(NamedTuple):
    at: datetime
    file: str
    since: datetime


def _restores(connection: psycopg.Connection[Any], schema: Schema, notes: dict[str, Noted]) -> list[_Restore]:
    """Return the restores that the log tells of, each with the moment that it went back to: by the snapshot's own note."""
    action = sql.SQL(MIGRATION_ACTION).format(
        metadata=sql.Identifier("metadata"), action=sql.Identifier("action")
    )
    query = sql.SQL(_RESTORES).format(own=_own(schema), action=action, restored=sql.Literal(RESTORED))
    restores = []
    for at, file, created_at, before in connection.execute(query):
        own = notes.get(f"snapshot {Path(file or '').stem}")
        since = datetime.fromisoformat(own.until) if own else _moment(created_at) or before or _NEVER
        restores.append(_Restore(at, file or "a snapshot", since))
    return restores


def _moment(said: str | None) -> datetime | None:
    """Read when a snapshot was taken, to the second; None where that is not known, as of a database that was kept."""
    try:
        return datetime.fromisoformat(said or "").astimezone(UTC).replace(tzinfo=None) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _own(schema: Schema) -> sql.Composed:
    """Select the workbench's own entries; by their action first, which spares reading a million metadata for a few."""
    audit = schema.resolved["audit"]
    columns = schema.catalogue.tables[audit.table].columns
    cell = {name: sql.Identifier(real) for name, real in audit.spelling.items()}
    zoned = "with time zone" in columns[audit.spelling["created_at"]].type
    told = "{action} = {undo}" if schema.audit_action_is_enum else "starts_with({action}, {prefix})"
    return sql.SQL(
        "SELECT {id}::text AS id, {action}::text AS action, {at} AS at, {metadata} AS metadata FROM {log}"
        f" WHERE {told} AND {{metadata}} ->> 'source' = 'workbench' AND isfinite({{at}})"
    ).format(
        id=cell["id"],
        action=cell["action"],
        at=sql.SQL("{} AT TIME ZONE 'UTC'" if zoned else "{}::timestamp").format(cell["created_at"]),
        metadata=sql.SQL(readable_json(columns[audit.spelling["metadata"]].type)).format(
            cell=cell["metadata"]
        ),
        log=sql.Identifier(schema.catalogue.schema, audit.table),
        undo=sql.Literal(ROLLBACK_ACTION),
        prefix=sql.Literal(MIGRATION_PREFIX),
    )
