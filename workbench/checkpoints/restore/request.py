"""The request to restore a snapshot: what would be done, on which database, at whose loss; a file with a digest.

Like a plan it is written by looking alone, read by whoever approves it, and carried out as it stands or not at
all. No clock and no measured time is in it: the same snapshot and database give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from workbench.documents import Target
from workbench.errors import DocumentError, Refused, WorkbenchError, unknown
from workbench.settings import Settings

VERSION = 1
SUFFIX = ".request"
PREFIX = "restore-"

Way = Literal["swap", "in place", "swap back"]
"""A new database that is renamed; the live one's contents replaced; the database kept by a swap put back."""

Counted = Mapping[str, tuple[int, str | None]]
"""Table to its number of rows and its digest."""


@dataclass(frozen=True)
class RequestHeader:
    """For which database a request is, and who made it: what an approval looks at."""

    target: Target
    planned_by: str


@dataclass(frozen=True)
class Source:
    """The snapshot that is restored.

    Attributes
    ----------
    snapshot, file, kind : str
        Its name, its archive's path, and ``dump`` or ``kept``.
    manifest : str
        SHA-256 of its manifest, which holds the archive's own.
    sha256 : str
        The archive's.
    created_at : str
        When it was taken (UTC, ISO).
    verified : str
        What is known of it having been restored before: when, by whom, with which outcome.
    elsewhere : str
        The server and database it was taken from, where that is not this one; else empty.
    """

    snapshot: str
    file: str
    kind: str
    manifest: str
    sha256: str
    created_at: str
    verified: str
    elsewhere: str = ""


@dataclass(frozen=True)
class Replaced:
    """The database that is replaced, as it was seen when the request was made.

    Attributes
    ----------
    there : bool
        False where no database of that name is there any more.
    oid : int
        Its number; 0 where it is not there.
    tables : mapping
        Table to rows and digest: if they differ when it is carried out, more would be lost than was shown.
    """

    there: bool
    oid: int = 0
    tables: Counted = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request file, read.

    Attributes
    ----------
    path, digest
        The file, and the SHA-256 of its bytes.
    way : {"swap", "in place", "swap back"}
        How.
    source : Source
        From what.
    replaced : Replaced
        What goes.
    losses : tuple of dict
        Everything that a restore would lose, a row each: table, what, rows, by whom.
    notes : tuple of str
        What whoever approves should know besides.
    keep_sync_state : bool
        Whether the sync state stays as the snapshot has it, instead of being reset (guide §7.3).
    kept : str
        For a swap back, the name of the database that becomes the live one again.
    """

    path: Path
    digest: str
    header: RequestHeader
    way: Way
    source: Source
    replaced: Replaced
    losses: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    keep_sync_state: bool = False
    kept: str = ""

    noun: ClassVar[str] = "request"
    suffix: ClassVar[str] = SUFFIX
    remedy: ClassVar[str] = "Ask for the restore anew."
    sealed: ClassVar[bool] = True

    @property
    def target(self) -> Target:
        """The database it is for."""
        return self.header.target

    @property
    def planned_by(self) -> str:
        """Who asked for it."""
        return self.header.planned_by

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request file."""
        return read_request(path)

    @property
    def id(self) -> str:
        """Its short name."""
        return f"{PREFIX}{self.digest[:12]}"


def requests_folder(settings: Settings) -> Path:
    """Return where requests and the records of their progress lie."""
    return settings.home / "restores"


def write_request(folder: Path, draft: Request) -> Request:
    """Write a request under its id; what is not finished leaves no file behind."""
    content = _spelled(draft)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{PREFIX}{digest[:12]}{SUFFIX}"
    part = folder / f".{path.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise WorkbenchError(f"The request could not be written to {path}: {error.strerror}.") from None
    return replace(draft, path=path, digest=digest)


def read_request(path: Path) -> Request:
    """Read a request file.

    Raises
    ------
    DocumentError
        When it is not one, is cut short or damaged, or of another version.
    """
    try:
        content = path.read_bytes()
        facts = json.loads(content)
        if facts.pop("workbench_restore") != VERSION:
            raise DocumentError(
                f"The request {path} is of another version of the workbench.", "Ask for the restore anew."
            )
        replaced = facts.pop("replaced")
        tables = {table: (int(rows), digest) for table, (rows, digest) in replaced.pop("tables").items()}
        return Request(
            path=path,
            digest=hashlib.sha256(content).hexdigest(),
            header=RequestHeader(Target(**facts.pop("target")), facts.pop("planned_by")),
            source=Source(**facts.pop("source")),
            replaced=Replaced(**replaced, tables=tables),
            losses=tuple(facts.pop("losses")),
            notes=tuple(facts.pop("notes")),
            **facts,
        )
    except FileNotFoundError:
        raise DocumentError(f"There is no request {path}.", "Ask for the restore anew.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(
            f"The request {path} is damaged: {type(error).__name__}.", "Ask for the restore anew."
        ) from None


def is_request(name: str) -> bool:
    """Tell whether a name is that of a request, and not of a snapshot."""
    return Path(name).name.startswith(PREFIX) and not name.endswith(".dump")


def find_request(settings: Settings, name: str) -> Request:
    """Return a request by its file's path or its id; an unambiguous beginning of the id is enough.

    Raises
    ------
    UsageError
        When there is none, with the nearest ids.
    Refused
        When it was altered since it was made.
    """
    folder = requests_folder(settings)
    known = {each.name.removesuffix(SUFFIX): each for each in sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))}
    path = Path(name)
    if not (name.endswith(SUFFIX) or "/" in name):
        close = [each for each in known if each == name] or [each for each in known if each.startswith(name)]
        if len(close) != 1:
            raise unknown("request", name, close or known)
        path = known[close[0]]
    request = read_request(path)
    if path.name != f"{request.id}{SUFFIX}":
        raise Refused(
            f"The request {path.name} was altered since it was made: its digest is now {request.digest}.",
            "Ask for the restore anew.",
        )
    return request


def more_is_lost(request: Request, now: Counted) -> list[tuple[str, str, str]]:
    """Return the tables that are not as whoever approved the request saw them: table, what it was, what it is."""
    return differing(request.replaced.tables, now)


def differing(was: Counted, now: Counted) -> list[tuple[str, str, str]]:
    """Return the tables that are not as they were: table, what it was, what it is."""
    return [
        (table, _told(was.get(table)), _told(now.get(table)))
        for table in sorted({*was, *now})
        if was.get(table) != now.get(table)
    ]


def _told(found: tuple[int, str | None] | None) -> str:
    return "not there" if found is None else f"{found[0]:,} rows, {(found[1] or 'no digest')[:12]}"


def _spelled(draft: Request) -> bytes:
    facts: dict[str, Any] = {
        "workbench_restore": VERSION,
        "way": draft.way,
        "target": asdict(draft.header.target),
        "planned_by": draft.header.planned_by,
        "source": asdict(draft.source),
        "replaced": asdict(draft.replaced),
        "losses": _sorted(draft.losses),
        "notes": draft.notes,
        "keep_sync_state": draft.keep_sync_state,
        "kept": draft.kept,
    }
    return (json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return sorted((dict(each) for each in rows), key=lambda each: json.dumps(each, sort_keys=True))
