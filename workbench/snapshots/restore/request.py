"""The request to restore a snapshot, and the record of how far the restore has come: two documents.

Like a plan, a request is written by looking only, approved by a person, and carried out exactly as it is or not at all.
It contains no clock and no measurement: the same snapshot and database give the same bytes. The record is flushed to disk
before and after every step; together with the databases on the server it tells where a killed restore stopped.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from workbench.database.connection import Database
from workbench.documents import Approvable, Document, Store
from workbench.errors import Refused, WorkbenchError
from workbench.settings import Settings
from workbench.snapshots.contents import Tables, TableState

Way = Literal["swap", "in place", "swap back"]
"""Restore into a new database and rename it; replace the live one's contents; bring back the database a swap kept."""

UNDER_WAY, DONE, ABANDONED, FAILED = "under way", "done", "abandoned", "failed"
GO_ON = "`workbench snapshot restore --resume` continues, --abandon gives up."


class Request(Approvable):
    """What would be done, on which database, and what would be lost.

    Attributes
    ----------
    target, planned_by : Target, str
        The database, and who asked for the restore.
    way : {"swap", "in place", "swap back"}
        How.
    snapshot, file, sha256, created_at : str
        The snapshot's name, its archive with that one's digest, and when it was taken (UTC, ISO). To swap back: the id
        of the restore that is undone, and the database that it kept.
    manifest : str
        The SHA-256 of its manifest.
    verified : str
        How it was last verified.
    elsewhere : str
        The server and database it was taken from, if not these; else empty.
    oid : int
        The OID of the database to replace; 0 if there is none of that name.
    tables : dict
        Its contents; if they differ when the request is carried out, more would be lost than was shown.
    losses : tuple of dict
        Everything that a restore would lose, one row each.
    notes : tuple of str
        What else the approver should know.
    keep_sync_state : bool
        Whether the sync state stays as it is in the snapshot, instead of being reset (guide §7.3).
    """

    noun: ClassVar[str] = "request"
    suffix: ClassVar[str] = ".request"
    remedy: ClassVar[str] = "Ask for the restore again."

    way: Way
    snapshot: str
    file: str
    oid: int
    sha256: str = ""
    created_at: str = ""
    manifest: str = ""
    verified: str = ""
    elsewhere: str = ""
    tables: Tables = Field(default_factory=dict)
    losses: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    keep_sync_state: bool = False

    @property
    def prefix(self) -> str:
        """The beginning of its id."""
        return "restore"


class Record(Document):
    """How far a restore has come.

    Attributes
    ----------
    request, approval : str
        The request's id, and the number of the approval that it was begun with.
    approved_by, operator : str
        Who approved it, and who carries it out.
    live, environment : str
        The name of the database to replace, and of the environment.
    outcome : str
        ``under way``, ``done``, ``abandoned`` or ``failed``.
    done : list of str
        The completed steps, in order.
    facts : dict
        What later steps and the final answer need.
    """

    model_config = ConfigDict(frozen=False, extra="forbid")

    noun = "record of a restore"
    suffix = ".progress.json"
    remedy = "The comments of the databases on the server say which ones it created; drop the unfinished ones by hand."
    sealed = False

    request: str
    approval: str
    approved_by: str
    operator: str
    live: str
    environment: str
    outcome: str = UNDER_WAY
    done: list[str] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)

    @property
    def swapped(self) -> bool:
        """Whether the restored database has become the live one, as far as the record knows."""
        return bool({"swap", "replace"} & set(self.done))

    @property
    def safety_tables(self) -> Tables | None:
        """The contents of the live database when its safety backup was taken; None without a backup."""
        tables = self.facts.get("safety_tables")
        return None if tables is None else {name: TableState(**state) for name, state in tables.items()}

    def note(self, *done: str, **facts: Any) -> None:
        """Write completed steps and facts to disk before anything else happens."""
        self.done += [step for step in done if step not in self.done]
        self.facts |= facts
        try:
            self.write(self.path)
        except WorkbenchError as error:
            raise WorkbenchError(error.what, f"Make room there. {GO_ON}") from None


def requests_in(settings: Settings) -> Store[Request]:
    """Return the store of requests."""
    return Store(settings.home / "restores", Request)


def interrupted_in(settings: Settings, environment: str) -> list[Record]:
    """Return the records of an environment's restores that were begun here and are neither done nor given up."""
    store = Store(settings.home / "restores", Record)
    records = [store.read(path) for path in store.paths().values()]
    return [record for record in records if (record.environment, record.outcome) == (environment, UNDER_WAY)]


def refuse_interrupted(settings: Settings, database: Database) -> None:
    """Refuse while a restore of this database that was begun here is neither done nor given up."""
    for record in interrupted_in(settings, database.environment.name):
        if record.live == database.address.database:
            last = f"its step '{record.done[-1]}'" if record.done else "it began"
            raise Refused(
                f"The restore {record.request} of {record.live}, begun by {record.operator} at"
                f" {record.facts['begun']}, was interrupted after {last}.",
                GO_ON,
            )
