"""The request to restore a snapshot, and the record of its progress: two documents.

Like a plan a request is written by looking alone, read by whoever approves it, and carried out as it stands or not at
all. No clock and no measured time is in it: the same snapshot and database give the same bytes. The record is flushed
before and after every step. What it says and what stands on the server (the databases' numbers) together tell where a
restore stopped that was killed.
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
"""A new database that is renamed; the live one's contents replaced; the database kept by a swap put back."""

UNDER_WAY, DONE, ABANDONED, FAILED = "under way", "done", "abandoned", "failed"
GO_ON = "`workbench snapshot restore --resume` goes on, --abandon gives up."


class Request(Approvable):
    """What would be done, on which database, at whose loss.

    Attributes
    ----------
    target, planned_by : Target, str
        For which database, and by whom it was asked for.
    way : {"swap", "in place", "swap back"}
        How.
    snapshot, file, sha256, created_at : str
        The snapshot's name, its archive and that one's digest, and when it was taken (UTC, ISO). For a swap back the
        id of the restore that is undone, and the database that it kept.
    manifest : str
        SHA-256 of its manifest.
    verified : str
        What is known of it having been restored before.
    elsewhere : str
        The server and database it was taken from, where that is not this one; else empty.
    oid : int
        The number of the database that is replaced; 0 where none of that name is there any more.
    tables : dict
        What is in it: if that is another when it is carried out, more would be lost than was shown.
    losses : tuple of dict
        Everything that a restore would lose, a row each.
    notes : tuple of str
        What whoever approves should know besides.
    keep_sync_state : bool
        Whether the sync state stays as the snapshot has it, instead of being reset (guide §7.3).
    """

    noun: ClassVar[str] = "request"
    suffix: ClassVar[str] = ".request"
    remedy: ClassVar[str] = "Ask for the restore anew."

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
        """What its id begins with."""
        return "restore"

    @property
    def kept(self) -> str:
        """For a swap back, the name of the database that becomes the live one again."""
        return self.file if self.way == "swap back" else ""


class Record(Document):
    """How far a restore has come.

    Attributes
    ----------
    request, approval : str
        The request's id, and the number of the approval that let it begin.
    approved_by, operator : str
        Who approved, who carries it out.
    live, environment : str
        The database that is replaced, and the environment's name.
    outcome : str
        ``under way``, ``done``, ``abandoned`` or ``failed``.
    done : list of str
        The steps that are done, in order.
    facts : dict
        What later steps need to know, and what is told in the end.
    """

    model_config = ConfigDict(frozen=False, extra="forbid")

    noun = "record of a restore"
    suffix = ".progress.json"
    remedy = "The databases' comments on the server say what it made; drop what is half made by hand."
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
        """Whether what was restored has become the live database, as far as the record knows."""
        return bool({"swap", "replace"} & set(self.done))

    @property
    def safety_tables(self) -> Tables | None:
        """What was in the live database when its safety backup was taken; None when none was."""
        tables = self.facts.get("safety_tables")
        return None if tables is None else {name: TableState(**state) for name, state in tables.items()}

    def note(self, *done: str, **facts: Any) -> None:
        """Remember facts, and steps that are done, on disk before anything else happens."""
        self.done += [step for step in done if step not in self.done]
        self.facts |= facts
        try:
            self.write(self.path)
        except WorkbenchError as error:
            raise WorkbenchError(error.what, f"Make room there. {GO_ON}") from None


def requests_in(settings: Settings) -> Store[Request]:
    """Return the requests of a home."""
    return Store(settings.home / "restores", Request)


def interrupted_in(settings: Settings, environment: str) -> list[Record]:
    """Return the records of the restores of an environment, begun from a home, that are neither done nor given up."""
    store = Store(settings.home / "restores", Record)
    records = [store.read(path) for path in store.paths().values()]
    return [record for record in records if (record.environment, record.outcome) == (environment, UNDER_WAY)]


def interrupted(settings: Settings, environment: str, name: str | None = None) -> tuple[Request, Record]:
    """Return the one restore of an environment that was interrupted; `Refused` when there is none, or more and no name."""
    records = [record for record in interrupted_in(settings, environment) if name in (None, record.request)]
    if not records:
        raise Refused(f"No restore of {environment} was interrupted.", "There is nothing to go on with.")
    if len(records) > 1:
        names = ", ".join(record.request for record in records)
        raise Refused(
            f"{len(records)} restores of {environment} were interrupted: {names}.",
            "Name the one that is meant.",
        )
    store = requests_in(settings)
    return store.read(store.path(records[0].request)), records[0]


def refuse_interrupted(settings: Settings, database: Database) -> None:
    """Refuse while a restore of this database, begun in this home, is neither done nor given up."""
    for record in interrupted_in(settings, database.environment.name):
        if record.live == database.address.database:
            last = f"its step '{record.done[-1]}'" if record.done else "it began"
            raise Refused(
                f"The restore {record.request} of {record.live}, begun by {record.operator} at"
                f" {record.facts['begun']}, was interrupted after {last}.",
                GO_ON,
            )
