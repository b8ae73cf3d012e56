"""Documents: files with a digest that people read and approve.

Each kind of document is a class with its fields; this module reads, writes and finds them::

    class Request(Approvable):
        noun = "request"                  # its name in errors
        suffix = ".request"               # its file is NAME.request
        remedy = "Request the restore again."
        prefix = "restore"                # its id: restore- and the first digits of its digest
        losses: tuple[Loss, ...] = ()     # Loss: a pydantic model too, or a frozen dataclass

    store = Store(settings.home / "restores", Request)
    request = store.write(Request(target=..., planned_by=...))      # with path, id and digest
    store.find("restore-3f")              # by path, id or unambiguous beginning
    approve(request, digest, by="robin")  # beside its file
    approval = valid_approval(request)    # before it is carried out; used once is the journal's to enforce

A file is JSON, with the document's noun and version in it, and is written atomically (`write_whole`). Its digest is the
SHA-256 of its bytes, as ``sha256sum`` prints it. A *sealed* document (the default) has its digest in its file name, so
that an edited file is refused; others (``sealed = False``) get a name, as snapshots and approvals do. The suffix may
contain a folder (``/dry_run.json``).

Files that are missing, damaged or of another version raise `DocumentError` (exit code 2), edited ones `Refused` (3);
failing to write is a `WorkbenchError` (4).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Generic, Self, TypeVar
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from workbench.errors import DocumentError, NotApproved, Refused, WorkbenchError, WrongEnvironment, unknown

PRODUCTION = "production"


@dataclass(frozen=True)
class Target:
    """The database that a document was made for.

    Attributes
    ----------
    system_identifier, database, schema : str
        According to the server.
    environment, kind : str
        As ``workbench.toml`` names it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    system_identifier: str
    database: str
    schema: str
    environment: str
    kind: str


class Document(BaseModel):
    """Base class of documents; additional, missing and wrongly typed fields are errors.

    Attributes
    ----------
    path : Path
        Its file.
    digest : str
        SHA-256 of the file's bytes, in hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: ClassVar[str]
    suffix: ClassVar[str] = ".json"
    remedy: ClassVar[str] = "Make it anew."
    version: ClassVar[int] = 1
    sealed: ClassVar[bool] = True
    indent: ClassVar[int | None] = 1

    _path: Path | None = PrivateAttr(None)
    _digest: str = PrivateAttr("")

    @property
    def path(self) -> Path:
        """Its file."""
        assert self._path is not None, f"this {self.noun} was not written"
        return self._path

    @property
    def digest(self) -> str:
        """SHA-256 of its file's bytes."""
        return self._digest or hashlib.sha256(self.content()).hexdigest()

    @property
    def prefix(self) -> str:
        """The beginning of its id."""
        return self.noun

    @property
    def id(self) -> str:
        """Its name, which is its file's; a sealed one has the first digits of its digest in it."""
        if self.sealed:
            return f"{self.prefix}-{self.digest[:12]}"
        return str(self.path).removesuffix(self.suffix).rpartition("/")[2]

    def content(self) -> bytes:
        """Return the bytes of its file."""
        facts = {_mark(type(self)): self.version, **self.model_dump(mode="json")}
        return (json.dumps(facts, ensure_ascii=False, indent=self.indent, sort_keys=True) + "\n").encode()

    def at(self, path: Path, digest: str) -> Self:
        """Return a copy with its path and digest."""
        copy = self.model_copy()
        copy._path, copy._digest = path, digest
        return copy

    def write(self, path: Path) -> Self:
        """Write it atomically and return it with its path and digest."""
        content = self.content()
        write_whole(path, content, self.noun)
        return self.at(path, hashlib.sha256(content).hexdigest())

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Parse the content of a file; `path` is used in errors."""
        try:
            facts = json.loads(content)
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict) or _mark(cls) not in facts:
            state = "is empty" if not content else f"is no {cls.noun} of the workbench, or is cut short"
            raise DocumentError(f"{path} {state}.", cls.remedy)
        if (version := facts.pop(_mark(cls))) != cls.version:
            raise DocumentError(
                f"The {cls.noun} {path} is of version {version}; this workbench reads version {cls.version}.",
                f"Use the version that made it. {cls.remedy}",
            )
        try:
            return cls.model_validate_json(json.dumps(facts), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise DocumentError(
                f"The {cls.noun} {path} is damaged: {where}: {first['msg']}.", cls.remedy
            ) from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raise `DocumentError` if it is not such a document."""
        with reading_errors(cls.noun, path, cls.remedy):
            content = path.read_bytes()
        return cls.parse(content, path).at(path, hashlib.sha256(content).hexdigest())


def _mark(kind: type[Document]) -> str:
    return f"workbench_{kind.noun.replace(' ', '_')}"


@contextmanager
def reading_errors(noun: str, path: Path, remedy: str) -> Iterator[None]:
    """Turn an `OSError` about a file into a `DocumentError`."""
    try:
        yield
    except OSError as error:
        raise DocumentError(f"The {noun} {path} cannot be read: {error.strerror}.", remedy) from None


def write_whole(path: Path, content: bytes, noun: str = "file") -> None:
    """Write a file atomically: under a temporary name, flushed and renamed."""
    with open_whole(path.parent, noun, mode=0o666) as file:
        file.write(content)
        keep(file, path)


@contextmanager
def open_whole(folder: Path, noun: str, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Open a file under a temporary name; it is deleted unless `keep` renames it."""
    part = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(part, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115
        try:
            yield file
        finally:
            with suppress(OSError):  # on a full disk closing fails again
                file.close()
            part.unlink(missing_ok=True)
    except OSError as error:
        raise WorkbenchError(
            f"The {noun} could not be written to {folder}: {error.strerror}.",
            "Nothing was changed. Free some space, or set home in workbench.toml to another folder.",
        ) from None


def keep(file: BinaryIO, path: Path) -> None:
    """Flush a file of `open_whole` to disk and give it its name in the same folder."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    Path(file.name).replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


D = TypeVar("D", bound=Document)


class Store(Generic[D]):
    """The documents of one kind in one folder.

    Parameters
    ----------
    folder : Path
        Where they are; created when first written to, readable by its owner only.
    """

    def __init__(self, folder: Path, kind: type[D]) -> None:
        self.folder, self.kind = folder, kind

    def path(self, name: str) -> Path:
        """Return the path of a document, which need not exist."""
        return self.folder / f"{name}{self.kind.suffix}"

    def paths(self) -> dict[str, Path]:
        """Return the files by name, sorted; hidden (unfinished) ones are left out."""
        paths = sorted(self.folder.glob(f"*{self.kind.suffix}"))
        return {
            str(path.relative_to(self.folder)).removesuffix(self.kind.suffix): path
            for path in paths
            if not any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        }

    def write(self, document: D, name: str = "") -> D:
        """Write a document under its id, or under a name if it is not sealed."""
        return document.write(self.path(name or document.id))

    def read(self, path: Path) -> D:
        """Read a document; raise `Refused` for a sealed one of this store that was edited."""
        document = self.kind.read(path)
        in_store = path.parent.resolve() == self.folder.resolve()
        if self.kind.sealed and in_store and path.name != f"{document.id}{self.kind.suffix}":
            raise Refused(
                f"The {self.kind.noun} {path.name} was edited: its digest is now {document.digest}.",
                self.kind.remedy,
            )
        return document

    def scan(self) -> Iterator[tuple[Path, D | WorkbenchError]]:
        """Yield every file with its document, or with the error of reading it."""
        for path in self.paths().values():
            try:
                yield path, self.read(path)
            except (DocumentError, Refused) as error:
                yield path, error

    def find(self, name: str) -> D:
        """Return a document by its path, or by its id, name or an unambiguous beginning of it.

        Raises
        ------
        UsageError
            When there is none; it names the nearest.
        DocumentError, Refused
            When it cannot be read, or was edited.
        """
        if name.endswith(self.kind.suffix) or "/" in name or Path(name).is_file():
            return self.read(Path(name))
        known = self.paths()
        close = [name] if name in known else [key for key in known if name and key.startswith(name)]
        if len(close) != 1:
            raise unknown(self.kind.noun, name, close or known)
        return self.read(known[close[0]])


class Approvable(Document):
    """A document that needs an approval.

    Attributes
    ----------
    target : Target
        The database it was made for.
    planned_by : str
        Who made it.
    """

    target: Target
    planned_by: str


class Approval(Document):
    """One person's approval of one digest, valid once and for a limited time.

    Its file is next to the approved one, so that approving needs no write access to the database. The journal accepts
    each number once, in the transaction that changes the rows.

    Attributes
    ----------
    number : str
        A UUID; no two approvals share it.
    approves : str
        The SHA-256 of the file that was approved.
    approver : str
        Who approved.
    approved_at, expires_at : datetime
        When it is valid (UTC).
    """

    noun = "approval"
    suffix = ".approval.json"
    remedy = "Remove it and approve again."
    sealed = False

    number: Annotated[str, AfterValidator(lambda number: str(UUID(number)))]
    approves: str = Field(min_length=1)
    approver: str = Field(pattern=r"\S")
    approved_at: AwareDatetime
    expires_at: AwareDatetime


def approve(
    document: Approvable, digest: str, *, by: str, hours: float = 24.0, confirm: str | None = None
) -> Approval:
    """Record an approval.

    Parameters
    ----------
    digest : str
        The whole SHA-256 of what the person read, as ``sha256sum`` prints it.
    by : str
        Who approves.
    hours : float
        How long it is valid.
    confirm : str, optional
        On production, the environment's name.

    Raises
    ------
    Refused
        When the digest is another one, or on production: when the planner approves, or the name is missing.
    """
    if digest.strip().lower().removeprefix("sha256:") != document.digest:
        raise Refused(
            f"This is not the digest of {document.noun} {document.id}, which is {document.digest}.",
            f"Read it again (`workbench show {document.id}`) and approve the digest that is shown.",
        )
    if not by.strip():
        raise Refused("An approval needs a name.", "Give it with --as NAME.")
    target = document.target
    if target.kind == PRODUCTION:
        if _same_person(by, document.planned_by):
            raise Refused(
                f"{by} planned {document.id} and cannot approve it for production as well.",
                "Ask a second person to read and approve it.",
            )
        if confirm != target.environment:
            raise Refused(
                f"Approving for production needs the environment's name: {target.environment}.",
                f"Add --confirm {target.environment}",
            )
    now = datetime.now(UTC).replace(microsecond=0)
    approval = Approval(
        number=str(uuid4()),
        approves=document.digest,
        approver=by.strip(),
        approved_at=now,
        expires_at=now + timedelta(hours=hours),
    )
    return approval.write(approval_path(document.path))


def approval_path(path: Path) -> Path:
    """Return the path of a document's approval."""
    return path.with_name(f"{path.name}{Approval.suffix}")


def find_approval(document: Approvable) -> Approval | None:
    """Return a document's approval, expired or not, or None.

    Raises
    ------
    NotApproved
        When its file cannot be read.
    """
    path = approval_path(document.path)
    if not path.exists():
        return None
    try:
        return Approval.read(path)
    except DocumentError as error:
        raise NotApproved(error.what, error.next_step) from None


def valid_approval(document: Approvable) -> Approval:
    """Return the valid approval of a document.

    Raises
    ------
    NotApproved
        When there is none, or it is for another digest or expired.
    """
    approval = find_approval(document)
    remedy = f"`workbench approve {document.id} --digest {document.digest}` after reading it."
    if approval is None:
        raise NotApproved(f"Nobody has approved {document.noun} {document.id}.", remedy)
    if approval.approves != document.digest:
        raise NotApproved(
            f"{approval.approver}'s approval is not for this {document.noun}: its digest is {document.digest},"
            f" the approval's {approval.approves}.",
            f"One of the two files was edited or replaced. {document.remedy}",
        )
    if approval.expires_at <= datetime.now(UTC):
        raise NotApproved(
            f"{approval.approver}'s approval of {document.noun} {document.id} expired at"
            f" {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
            remedy,
        )
    if document.target.kind == PRODUCTION and _same_person(approval.approver, document.planned_by):
        raise NotApproved(
            f"{approval.approver} planned {document.id} and cannot approve it for production as well.", remedy
        )
    return approval


def refuse_other_target(document: Approvable, target: Target) -> None:
    """Raise `WrongEnvironment` unless the document was made for this target."""
    for what, meant in vars(document.target).items():
        if (actual := getattr(target, what)) != meant:
            raise WrongEnvironment(
                f"The {document.noun} {document.id} was made for the {what.replace('_', ' ')} {meant!r}, not for {actual!r}.",
                f"Use --environment {document.target.environment}, if that is still the same database. {document.remedy}",
            )


def _same_person(left: str, right: str) -> bool:
    return left.strip().casefold() == right.strip().casefold()
