"""One digest over the entries that the workbench wrote: noted elsewhere, it tells whether they are as they were.

Snapshot manifests and plans note it. It is no seal: who may write to the log and to those files can make both anew.
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

# By their action first, which spares reading a million metadata for a few.
_OWN = """
    SELECT id::text AS id, action, created_at AS at, metadata, migration_action FROM audit
    WHERE CASE WHEN %(enum)s THEN action = %(undo)s ELSE starts_with(action, %(prefix)s) END
        AND metadata ->> 'source' = 'workbench' AND isfinite(created_at)"""

# In the database's own encoding: nothing is converted, so nothing can fail to be.
_DIGEST = f"""
    SELECT count(*), to_char(max(at), {_MOMENT}), encode(sha256(string_agg(sha256(convert_to(
        jsonb_build_array(id, action, to_char(at, {_MOMENT}), metadata)::text, getdatabaseencoding())), ''
        ORDER BY at, id COLLATE "C")), 'hex')
    FROM ({_OWN}) own WHERE %(until)s::timestamp IS NULL OR at <= %(until)s::timestamp"""

# Each with the last entry before it, where what was restored ended.
_RESTORES = f"""
    SELECT to_char(at, {_MOMENT}), coalesce(metadata ->> 'backup_file', ''),
        coalesce(to_char((SELECT max(earlier.at) FROM ({_OWN}) earlier WHERE earlier.at < own.at), {_MOMENT}), '')
    FROM ({_OWN}) own WHERE migration_action = %(restored)s ORDER BY at"""


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
        if self.state == "nothing noted":
            words = (
                "No digest of the workbench's own entries was noted yet: the next snapshot or plan notes one."
            )
        else:
            noted = f"{self.entries:,} entries of the workbench, until {self.until[:19]} UTC, that {self.noted_in} notes"
            changes = f"{self.missing:,} are missing" if self.missing else "some were altered"
            changes = f"{self.added:,} more are there" if self.added else changes
            words = f"The audit log is not as it was: of the {noted}, {changes}."
            words = f"The {noted} are as they were." if self.state == "holds" else words
        return f"{words} {self.restored} was restored since." if self.restored else words


def own_digest(connection: Session, schema: Schema, until: str | None = None) -> Noted | None:
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
    row = ask_log(connection, schema, _DIGEST, until=until, enum=schema.audit_action_is_enum).fetchone()
    return Noted(*row) if row and row[0] else None


def compare_with_noted(connection: Session, schema: Schema, notes: Iterable[tuple[str, Noted]]) -> LogState:
    """Hold what was noted last against the log.

    A restore brings an older log, rightly: what was noted between the snapshot and its restore is passed over.

    Parameters
    ----------
    notes : iterable of (str, Noted)
        By where each was noted.
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
        taken = [file for since, at, file in restores if since < noted.until < at]
        if not taken:
            more = (now.entries if now else 0) - noted.entries
            return LogState("differs", *facts, max(-more, 0), max(more, 0), restored)
        restored = restored or taken[-1]
    return LogState("nothing noted", restored=restored)
