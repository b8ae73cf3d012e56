"""The manifest beside a snapshot's archive: what it is, what was in it, and what verifying it has shown."""

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
from workbench.snapshots.contents import Contents, SequenceState, State, TableState

NAME = re.compile(r"backup_\d{8}_\d{6}")
"""A snapshot's name; the time in it is UTC."""

Outcome = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Verification:
    """One attempt to prove a snapshot by restoring it.

    Attributes
    ----------
    at : datetime
        When.
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

    at: AwareDatetime
    by: str
    outcome: Outcome
    detail: str
    seconds: float
    where: str

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at} by {self.by} ({self.detail})"


class Manifest(Document):
    """What a snapshot is; its file, and the archive beside it, have the snapshot's name.

    Attributes
    ----------
    compression : str
        ``zstd`` or ``gzip``.
    sha256, size : str, int
        The archive's digest and bytes.
    tool_version, server_version : str
        pg_dump's and the server's.
    target : Target
        The database, and Murmurant's schema there.
    dialect : str
        Which dialect it speaks.
    created_at, created_by : datetime, str
        When it was taken, and by whom.
    precedes : str or None
        The run that it was taken before.
    reason : str or None
        Why it was taken.
    tables, sequences : dict
        Of Murmurant's schema, by name.
    elsewhere : dict of str to dict
        Those of other schemas, by schema and name.
    database_size : int
        The room it took on its server, bytes: what a restore needs.
    log : Noted or None
        The digest of the workbench's own audit entries; None where there are none, or no log.
    verifications : tuple of Verification
        Oldest first.
    seal : str
        SHA-256 of all the rest, so that one that was edited is noticed.
    """

    noun = "manifest"
    remedy = "Use another snapshot, or copy this one anew from where it was made."
    version = 5
    sealed = False

    compression: str
    sha256: str
    size: int
    tool_version: str
    server_version: str
    target: Target
    dialect: str
    created_at: AwareDatetime
    created_by: str
    precedes: str | None
    reason: str | None
    tables: dict[str, TableState]
    sequences: dict[str, SequenceState]
    elsewhere: dict[str, dict[str, State]] = Field(default_factory=dict)
    database_size: int = 0
    log: Noted | None = None
    verifications: tuple[Verification, ...] = ()
    seal: str = ""

    @property
    def snapshot(self) -> str:
        """The snapshot's name, such as ``backup_20260101_090000``."""
        return self.id

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.path.parent

    @property
    def archive(self) -> Path:
        """The archive beside it."""
        return self.path.with_suffix(".dump")

    @property
    def contents(self) -> Contents:
        """The tables and sequences of every schema."""
        main: dict[str, State] = {**self.tables, **self.sequences}
        return {
            (schema, name): state
            for schema, relations in ((self.target.schema, main), *self.elsewhere.items())
            for name, state in relations.items()
        }

    @property
    def rows(self) -> int:
        """How many rows it holds, of all tables of all schemas."""
        return sum(state.rows for state in self.contents.values() if isinstance(state, TableState))

    @property
    def verified(self) -> bool:
        """Whether the last verification that could run was passed."""
        outcomes = [tried.outcome for tried in self.verifications if tried.outcome != "not run"]
        return outcomes[-1:] == ["pass"]

    @property
    def facts_digest(self) -> str:
        """The SHA-256 of all that never changes: everything but the verifications."""
        return self._hash("verifications", "seal")

    def facts(self) -> dict[str, Any]:
        """Return it for machines: as ``--json`` has it, with its archive's path."""
        plain = self.model_dump(mode="json")
        return {**plain, "name": self.snapshot, "snapshot": str(self.archive), "file": self.archive.name}

    def with_verification(self, verification: Verification) -> Manifest:
        """Return it with one verification more."""
        return self.model_copy(update={"verifications": (*self.verifications, verification)})

    def content(self) -> bytes:
        """Return the one spelling of it, sealed."""
        return super(Manifest, self.model_copy(update={"seal": self._hash("seal")})).content()

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Understand what a file holds, and refuse what was edited."""
        manifest = super().parse(content, path)
        if manifest.seal != manifest._hash("seal"):
            raise DocumentError(f"The manifest {path} was edited since it was written.", cls.remedy)
        return manifest

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest by its file, or by the archive it lies beside."""
        return super().read(path.with_suffix(cls.suffix))

    def _hash(self, *but: str) -> str:
        facts = json.dumps(self.model_dump(mode="json", exclude=set(but)), sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()
