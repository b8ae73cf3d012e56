"""The manifest beside a snapshot: what it is, what was in it, and what verifying it has shown.

A snapshot is ``backup_YYYYMMDD_HHMMSS.dump`` with ``backup_YYYYMMDD_HHMMSS.json`` beside it. The archive
comes first and the manifest last, each whole under its name or not there: what has a manifest is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from workbench.audit import Noted
from workbench.checkpoints.contents import Contents, SequenceState, TableState
from workbench.errors import SnapshotError

VERSION = 3
NAME = re.compile(r"backup_\d{8}_\d{6}")
"""A snapshot's name; the time in it is UTC."""

Outcome = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Verification:
    """One attempt to prove a snapshot by restoring it.

    Attributes
    ----------
    at : str
        When, UTC in ISO format.
    by : str
        Who asked for it.
    outcome : {"pass", "fail", "not run"}
        A check that could not run is never a pass.
    detail : str
        What was compared, or the reason.
    seconds : float
        How long it took.
    where : str
        The scratch server.
    """

    at: str
    by: str
    outcome: Outcome
    detail: str
    seconds: float
    where: str


@dataclass(frozen=True)
class Manifest:
    """What a snapshot is.

    Attributes
    ----------
    snapshot : str
        Its name, such as ``backup_20260101_090000``.
    compression : str
        ``zstd`` or ``gzip``.
    file : str
        The archive's name beside the manifest.
    sha256, size : str, int
        The archive's digest (see `workbench.checkpoints.archive.Archive`) and bytes.
    tool_version, server_version : str
        pg_dump's and the server's.
    target : dict
        The database: ``system_identifier``, ``database``, ``schema``, ``environment``, ``kind``.
    schema, dialect : str
        Murmurant's schema there, and which dialect it speaks.
    created_at, created_by : str
        When (UTC, ISO) and by whom.
    precedes : str or None
        The run that it was taken before.
    reason : str or None
        Why it was taken.
    transaction : str
        What ``pg_current_snapshot()`` said in the transaction whose state it holds; full 64-bit ids.
    timeline : dict
        What tells whether the database went back in time since: ``system_identifier``, ``timeline``,
        ``database_oid``, ``wal_position``.
    tables, sequences : dict
        Of Murmurant's schema, by name.
    elsewhere : dict of str to Contents
        Those of other schemas, by schema.
    database_size : int
        The room it took on its server, bytes: what a restore needs.
    log : Noted or None
        The digest of the workbench's own audit entries; None where there are none, or no log.
    verifications : tuple of Verification
        Oldest first.
    """

    snapshot: str
    compression: str
    file: str
    sha256: str
    size: int
    tool_version: str
    server_version: str
    target: dict[str, str]
    schema: str
    dialect: str
    created_at: str
    created_by: str
    precedes: str | None
    reason: str | None
    transaction: str
    timeline: dict[str, str]
    tables: dict[str, TableState]
    sequences: dict[str, SequenceState]
    elsewhere: dict[str, Contents] = field(default_factory=dict)
    database_size: int = 0
    log: Noted | None = None
    verifications: tuple[Verification, ...] = ()
    version: int = VERSION
    folder: Path = field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        """The archive."""
        return self.folder / self.file

    @property
    def created(self) -> datetime:
        """When it was taken, with its zone."""
        return datetime.fromisoformat(self.created_at)

    @property
    def contents(self) -> dict[str, Contents]:
        """The tables and sequences of every schema."""
        return {**self.elsewhere, self.schema: Contents(self.tables, self.sequences)}

    @property
    def rows(self) -> int:
        """How many rows it holds, of all tables of all schemas."""
        return sum(state.rows for each in self.contents.values() for state in each.tables.values())

    @property
    def verified(self) -> bool:
        """Whether the last verification that could run was passed."""
        ran = [each for each in self.verifications if each.outcome != "not run"]
        return bool(ran) and ran[-1].outcome == "pass"

    @property
    def facts_digest(self) -> str:
        """The SHA-256 of all that never changes: everything but the verifications."""
        return _digest({**_plain(self), "verifications": []})

    def with_verification(self, made: Verification) -> Manifest:
        """Return it with one verification more."""
        return replace(self, verifications=(*self.verifications, made))


def dumped(manifest: Manifest) -> str:
    """Return a manifest as JSON, its own digest last."""
    plain = _plain(manifest)
    return json.dumps({**plain, "digest": _digest(plain)}, ensure_ascii=False, indent=1) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        Its file, or the archive it lies beside.

    Raises
    ------
    SnapshotError
        When there is none, it is cut short, of another version, or was edited: its own digest tells.
    """
    if path.suffix == ".dump":
        path = path.with_suffix(".json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SnapshotError(
            f"The manifest {path} cannot be read: {reason}.",
            "A snapshot is an archive of `workbench snapshot create` with its manifest beside it.",
        ) from None
    try:
        found = json.loads(text)
        digest = found.pop("digest")
        version = found["version"]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise SnapshotError(
            f"The manifest {path} is cut short, or is no manifest.", "Copy it anew, or take another snapshot."
        ) from None
    if version != VERSION:
        raise SnapshotError(
            f"The manifest {path} is of version {version}; this workbench reads {VERSION}.",
            "Use the workbench that made it.",
        )
    if digest != _digest(found):
        raise SnapshotError(
            f"The manifest {path} was edited: its own digest does not fit what it says.",
            "Use another snapshot, or copy this one anew from where it was made.",
        )
    try:
        return _parsed(found, path.parent)
    except (TypeError, KeyError, ValueError) as error:
        raise SnapshotError(
            f"The manifest {path} lacks or misspells something: {error}.", "Copy it anew, or take another."
        ) from None


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest whole: a temporary name, flushed, renamed."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(dumped(manifest))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder written to disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain = asdict(manifest)
    del plain["folder"]
    plain["verifications"] = list(plain["verifications"])
    return {"version": plain.pop("version"), **plain}


def _parsed(found: dict[str, Any], folder: Path) -> Manifest:
    main = _contents(found)
    elsewhere = {name: _contents(each) for name, each in found.pop("elsewhere").items()}
    tried = tuple(Verification(**each) for each in found.pop("verifications"))
    log = Noted(**told) if (told := found.pop("log", None)) else None
    rest = {**found, "log": log, "tables": main.tables, "sequences": main.sequences}
    made = Manifest(**rest, elsewhere=elsewhere, verifications=tried, folder=folder)
    if made.created.tzinfo is None or not NAME.fullmatch(made.snapshot) or Path(made.file).name != made.file:
        raise ValueError("its name, file or time")
    return made


def _contents(found: Mapping[str, Any]) -> Contents:
    return Contents(
        {name: TableState(**each) for name, each in found["tables"].items()},
        {name: SequenceState(**each) for name, each in found["sequences"].items()},
    )


def _digest(plain: Mapping[str, Any]) -> str:
    said = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()
