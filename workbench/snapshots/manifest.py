"""The manifest next to a snapshot's archive: where it comes from, what it contains, and how verifying it went."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field

from workbench.audit.digest import Noted
from workbench.documents import Document, Target
from workbench.errors import DocumentError
from workbench.snapshots.contents import Tables

NAME = re.compile(r"backup_\d{8}_\d{6}")
"""A snapshot's name; the time in it is UTC."""

Outcome = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Verification:
    """One attempt to verify a snapshot by restoring it.

    Attributes
    ----------
    at, by : datetime, str
        When, and who ran it.
    outcome : {"pass", "fail", "not run"}
        A verification that could not run is never a pass.
    detail : str
        What was compared, or the reason.
    seconds : float
        How long it took.
    where : str
        The scratch server.
    """

    at: AwareDatetime
    by: str
    outcome: Outcome
    detail: str
    seconds: float
    where: str

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at} by {self.by} ({self.detail})"


class Manifest(Document):
    """What a snapshot is; its file and the archive next to it share the snapshot's name.

    Attributes
    ----------
    compression : str
        ``zstd`` or ``gzip``.
    sha256, size : str, int
        The archive's digest and bytes.
    tool_version, server_version : str
        The versions of pg_dump and of the server.
    target : Target
        The database, and Murmurant's schema in it.
    created_at, created_by : datetime, str
        When it was taken, and by whom.
    precedes : str or None
        The run that it was taken before.
    reason : str or None
        Why it was taken.
    tables, elsewhere : dict
        The rows and digests of the tables in Murmurant's schema, by name, and in others, by qualified name.
    database_size : int
        The database's size on its server, bytes: the room that a restore needs.
    log : Noted or None
        The digest of the workbench's own audit entries; None if there are none, or no log.
    verifications : tuple of Verification
        Oldest first.
    seal : str
        SHA-256 of everything else, which reveals edits.
    """

    noun = "manifest"
    remedy = "Use another snapshot, or copy this one again from where it was made."
    version = 6
    sealed = False

    compression: str
    sha256: str
    size: int
    tool_version: str
    server_version: str
    target: Target
    created_at: AwareDatetime
    created_by: str
    precedes: str | None
    reason: str | None
    tables: Tables
    elsewhere: Tables = Field(default_factory=dict)
    database_size: int = 0
    log: Noted | None = None
    verifications: tuple[Verification, ...] = ()
    seal: str = ""

    @property
    def snapshot(self) -> str:
        """The snapshot's name, such as ``backup_20260101_090000``."""
        return self.id

    @property
    def archive(self) -> Path:
        """The archive next to it."""
        return self.path.with_suffix(".dump")

    @property
    def contents(self) -> Tables:
        """The tables of every schema."""
        return {**self.tables, **self.elsewhere}

    @property
    def rows(self) -> int:
        """The number of rows in all tables of all schemas."""
        return sum(state.rows for state in self.contents.values())

    @property
    def outcome(self) -> str:
        """The outcome of the last verification; empty if there is none."""
        return self.verifications[-1].outcome if self.verifications else ""

    @property
    def verified(self) -> bool:
        """Whether the last verification that could run passed."""
        outcomes = [attempt.outcome for attempt in self.verifications if attempt.outcome != "not run"]
        return outcomes[-1:] == ["pass"]

    @property
    def facts_digest(self) -> str:
        """The SHA-256 of what never changes: everything but the verifications."""
        return self._hash("verifications", "seal")

    def facts(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it, with the archive's path."""
        plain = self.model_dump(mode="json")
        return {**plain, "name": self.snapshot, "snapshot": str(self.archive), "file": self.archive.name}

    def with_verification(self, verification: Verification) -> Manifest:
        """Return a copy with one more verification."""
        return self.model_copy(update={"verifications": (*self.verifications, verification)})

    def content(self) -> bytes:
        """Return the bytes of its file, sealed."""
        return super(Manifest, self.model_copy(update={"seal": self._hash("seal")})).content()

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Parse a file, and refuse one that was edited."""
        manifest = super().parse(content, path)
        if manifest.seal != manifest._hash("seal"):
            raise DocumentError(f"The manifest {path} was edited since it was written.", cls.remedy)
        return manifest

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest by its own file or its archive's."""
        return super().read(path.with_suffix(cls.suffix))

    def _hash(self, *excluded: str) -> str:
        facts = json.dumps(self.model_dump(mode="json", exclude=set(excluded)), sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()
