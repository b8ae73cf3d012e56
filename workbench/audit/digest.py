"""A digest of the audit entries that the workbench wrote, recorded elsewhere to show whether they were changed.

Snapshot manifests and plans record it. It is no seal: a person who can write to the log and to those files can forge both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from workbench.audit.entries import ask_log
from workbench.database.connection import Session
from workbench.murmurant.importers import RESTORED
from workbench.murmurant.schema import Schema

NEEDS = ("audit.id", "audit.action", "audit.metadata", "audit.created_at")

_MOMENT = """'YYYY-MM-DD"T"HH24:MI:SS.US'"""

# Filtered by action first, so that the metadata of few entries are read.
_OWN = """
    SELECT id::text AS id, action, created_at AS at, metadata, migration_action FROM audit
    WHERE CASE WHEN %(enum)s THEN action = %(undo)s ELSE starts_with(action, %(prefix)s) END
        AND metadata ->> 'source' = 'workbench' AND isfinite(created_at)"""

# In the database's own encoding, so that no conversion can fail.
_DIGEST = f"""
    SELECT count(*), to_char(max(at), {_MOMENT}), encode(sha256(string_agg(sha256(convert_to(
        jsonb_build_array(id, action, to_char(at, {_MOMENT}), metadata)::text, getdatabaseencoding())), ''
        ORDER BY at, id COLLATE "C")), 'hex')
    FROM ({_OWN}) own WHERE %(until)s::timestamp IS NULL OR at <= %(until)s::timestamp"""

# Each with the time of the last entry before it, where the restored log ended.
_RESTORES = f"""
    SELECT to_char(at, {_MOMENT}), coalesce(metadata ->> 'backup_file', ''),
        coalesce(to_char((SELECT max(earlier.at) FROM ({_OWN}) earlier WHERE earlier.at < own.at), {_MOMENT}), '')
    FROM ({_OWN}) own WHERE migration_action = %(restored)s ORDER BY at"""


@dataclass(frozen=True)
class Noted:
    """A recorded digest of the workbench's own entries.

    Attributes
    ----------
    entries : int
        The number of entries.
    until : str
        The time of the last of them (UTC, ISO, to the microsecond).
    sha256 : str
        The digest of all of them, in order of time and id.
    """

    entries: int
    until: str
    sha256: str


class LogState(NamedTuple):
    """Whether the entries covered by the latest recorded digest are unchanged.

    Attributes
    ----------
    state : {"holds", "differs", "nothing noted"}
        Of the latest digest whose entries no restore has removed.
    noted_in : str
        Where it is recorded: ``snapshot NAME`` or ``plan ID``.
    entries, until : int, str
        What it covers.
    missing, added : int
        How many entries are missing or were inserted.
    restored : str
        The snapshot whose restore removed the entries of later digests.
    """

    state: Literal["holds", "differs", "nothing noted"]
    noted_in: str = ""
    entries: int = 0
    until: str = ""
    missing: int = 0
    added: int = 0
    restored: str = ""

    def __str__(self) -> str:
        if self.state == "nothing noted":
            words = "No digest of the workbench's entries was recorded yet; the next snapshot or plan records one."
        else:
            changes = f"{self.added:,} were inserted" if self.added else "some were changed"
            changes = f"{self.missing:,} are missing" if self.missing else changes
            noted = f"the {self.entries:,} entries of the workbench until {self.until[:19]} UTC that {self.noted_in} records"
            words = f"The audit log was changed: of {noted}, {changes}."
            words = f"The audit log still has {noted}." if self.state == "holds" else words
        return f"{words} {self.restored} was restored since." if self.restored else words


def own_digest(connection: Session, schema: Schema, until: str | None = None) -> Noted | None:
    """Return the digest of the workbench's own entries; None if there are none, or they may not be read.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction; it only needs SELECT on the audit log.
    until : str, optional
        Only entries up to this time, as in `Noted`.
    """
    if not schema.has(*NEEDS):
        return None
    row = ask_log(connection, schema, _DIGEST, until=until, enum=schema.audit_action_is_enum).fetchone()
    return Noted(*row) if row and row[0] else None


def compare_with_noted(connection: Session, schema: Schema, notes: Iterable[tuple[str, Noted]]) -> LogState:
    """Compare the log with the latest recorded digest.

    A restore rightly brings back an older log: digests recorded between a snapshot and its restore are skipped.

    Parameters
    ----------
    notes : iterable of (str, Noted)
        Where each was recorded, and the digest.
    """
    schema.require(*NEEDS)
    newest_first = sorted(notes, key=lambda note: (note[1].until, note[1].entries), reverse=True)
    until = {noted_in: noted.until for noted_in, noted in newest_first}
    enum = schema.audit_action_is_enum
    rows = ask_log(connection, schema, _RESTORES, restored=RESTORED, enum=enum).fetchall()
    restores = [(until.get(f"snapshot {Path(file).stem}", before), at, file) for at, file, before in rows]
    restored = ""
    for noted_in, noted in newest_first:
        now = own_digest(connection, schema, noted.until)
        facts = noted_in, noted.entries, noted.until
        if now == noted:
            return LogState("holds", *facts, restored=restored)
        removing = [file for since, at, file in restores if since < noted.until < at]
        if not removing:
            more = (now.entries if now else 0) - noted.entries
            return LogState("differs", *facts, max(-more, 0), max(more, 0), restored)
        restored = restored or removing[-1]
    return LogState("nothing noted", restored=restored)
