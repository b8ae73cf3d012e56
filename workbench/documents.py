"""Documents on disk: every file with a digest, that people read, approve, send on or come back to.

A kind of document is one class. What it holds are its fields; how it is kept is here::

    class Request(Approvable):
        noun = "request"                  # what an error calls it
        suffix = ".request"               # its file is NAME.request
        remedy = "Ask for the restore anew."
        prefix = "restore"                # its id: restore- and the first digits of its digest
        losses: tuple[Loss, ...] = ()     # Loss: a pydantic model too, or a frozen dataclass

    store = Store(settings.home / "restores", Request)
    request = store.write(Request(target=..., planned_by=...))      # with path, id and digest
    store.find("restore-3f")              # by path, id or unambiguous beginning
    approve(request, digest, by="robin")  # beside its file
    approval = valid_approval(request)    # before it is carried out; used once is the journal's to enforce

A file is text: JSON, with the document's noun and version in it. It is whole under its name or not there
(`write_whole`). Its digest is the SHA-256 of its bytes, as ``sha256sum`` prints it, never that of a value that
was read from them. One that is *sealed* (the default) bears its digest in its name, so a file that was edited is
refused; one that is not (``sealed = False``) has the name that is given: a snapshot's, an approval's. A suffix may
name a file in a folder of the document's own (``/dry_run.json``).

What can go wrong is `DocumentError` (exit code 2): not there, not one, cut short, damaged, a field too many, of
another version. An edited file is `Refused` (3), and what cannot be written is `WorkbenchError` (4).
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
    """The database a document was made for; it is carried out on no other.

    Attributes
    ----------
    system_identifier, database, schema : str
        By the server's own word.
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
    """What is kept as a file; a field more, one less or one of another type is an error.

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
        """What its id begins with."""
        return self.noun

    @property
    def id(self) -> str:
        """Its short name, which is its file's: of a sealed one the first digits of its digest are in it."""
        if self.sealed:
            return f"{self.prefix}-{self.digest[:12]}"
        return str(self.path).removesuffix(self.suffix).rpartition("/")[2]

    def content(self) -> bytes:
        """Return the one spelling of it."""
        facts = {_mark(type(self)): self.version, **self.model_dump(mode="json")}
        return (json.dumps(facts, ensure_ascii=False, indent=self.indent, sort_keys=True) + "\n").encode()

    def at(self, path: Path, digest: str) -> Self:
        """Return it as the document that lies in a file."""
        copy = self.model_copy()
        copy._path, copy._digest = path, digest
        return copy

    def write(self, path: Path) -> Self:
        """Write it, whole or not at all, and return it with its path and digest."""
        content = self.content()
        write_whole(path, content, self.noun)
        return self.at(path, hashlib.sha256(content).hexdigest())

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Understand what a file holds; `path` is only named in errors."""
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
                f"Use the version of the workbench that made it. {cls.remedy}",
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
        """Read a file; `DocumentError` for what cannot be taken for such a document."""
        with reading_errors(cls.noun, path, cls.remedy):
            content = path.read_bytes()
        return cls.parse(content, path).at(path, hashlib.sha256(content).hexdigest())


def _mark(kind: type[Document]) -> str:
    return f"workbench_{kind.noun.replace(' ', '_')}"


@contextmanager
def reading_errors(noun: str, path: Path, remedy: str) -> Iterator[None]:
    """Turn the operating system's errors about a file into ours."""
    try:
        yield
    except OSError as error:
        raise DocumentError(f"The {noun} {path} cannot be read: {error.strerror}.", remedy) from None


def write_whole(path: Path, content: bytes, noun: str = "file") -> None:
    """Write a file under another name, flush it, rename it, and flush its folder."""
    with open_whole(path.parent, noun, mode=0o666) as file:
        file.write(content)
        keep(file, path)


@contextmanager
def open_whole(folder: Path, noun: str, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Open a file under a temporary name in a folder; it goes again unless `keep` gives it another."""
    part = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(part, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115
        try:
            yield file
        finally:
            with suppress(OSError):  # a full disk refuses the last block once more when it is closed
                file.close()
            part.unlink(missing_ok=True)
    except OSError as error:
        raise WorkbenchError(
            f"The {noun} could not be written to {folder}: {error.strerror}.",
            "Make room, or name another folder as home in workbench.toml. Nothing was changed.",
        ) from None


def keep(file: BinaryIO, path: Path) -> None:
    """Give a file of `open_whole` its name in the same folder, once all of it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    Path(file.name).replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
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
        Where they lie; made when something is written to it, for its owner's eyes only.
    """

    def __init__(self, folder: Path, kind: type[D]) -> None:
        self.folder, self.kind = folder, kind

    def path(self, name: str) -> Path:
        """Return where the document of a name lies, or would."""
        return self.folder / f"{name}{self.kind.suffix}"

    def paths(self) -> dict[str, Path]:
        """Return the files by name, in their order; hidden ones are unfinished and not among them."""
        paths = sorted(self.folder.glob(f"*{self.kind.suffix}"))
        return {
            str(path.relative_to(self.folder)).removesuffix(self.kind.suffix): path
            for path in paths
            if not any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        }

    def write(self, document: D, name: str = "") -> D:
        """Write a document under its id, or under a name where it is not sealed."""
        return document.write(self.path(name or document.id))

    def read(self, path: Path) -> D:
        """Read a document; `Refused` when it is sealed, lies here, and its name does not go with its bytes."""
        document = self.kind.read(path)
        lies_here = path.parent.resolve() == self.folder.resolve()
        if self.kind.sealed and lies_here and path.name != f"{document.id}{self.kind.suffix}":
            raise Refused(
                f"The {self.kind.noun} {path.name} was altered since it was made: its digest is now {document.digest}.",
                self.kind.remedy,
            )
        return document

    def scan(self) -> Iterator[tuple[Path, D | WorkbenchError]]:
        """Yield every file, and the document or what is wrong with it: what cannot be read is not passed over."""
        for path in self.paths().values():
            try:
                yield path, self.read(path)
            except (DocumentError, Refused) as error:
                yield path, error

    def find(self, name: str) -> D:
        """Return a document by its file's path, or its id or name; an unambiguous beginning is enough.

        Raises
        ------
        UsageError
            When there is none, with the nearest names.
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
    """What a person can consent to.

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
    """One person's consent to one digest, for one use, for a limited time.

    It lies beside what was approved, so that consenting needs no right to write to the database. That it is used
    once is the journal's to enforce, which takes its number once, in the transaction that changes the rows.

    Attributes
    ----------
    number : str
        A UUID; no two approvals share it.
    approves : str
        The SHA-256 of the file that was approved.
    approver : str
        Who consented.
    approved_at, expires_at : datetime
        From when to when it holds (UTC).
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
    """Record a person's consent.

    Parameters
    ----------
    digest : str
        What the person read: the whole SHA-256, as ``sha256sum`` prints it.
    by : str
        Who consents.
    hours : float
        How long it holds.
    confirm : str, optional
        On production, the environment's name, typed out.

    Raises
    ------
    Refused
        When the digest is another one's, or production's rules are not met: who approves did not make it, and
        the environment's name is typed out.
    """
    if digest.strip().lower().removeprefix("sha256:") != document.digest:
        raise Refused(
            f"The digest given is not that of {document.noun} {document.id}: it has {document.digest}.",
            f"Read it again (`workbench show {document.id}`) and approve the digest of what you read.",
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
                f"Approving for production needs the environment's name typed out: {target.environment}.",
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
    """Return where the approval of a document's file lies: beside it."""
    return path.with_name(f"{path.name}{Approval.suffix}")


def find_approval(document: Approvable) -> Approval | None:
    """Return the approval recorded for a document, expired or not; None when there is none.

    Raises
    ------
    NotApproved
        When there is one that cannot be read.
    """
    path = approval_path(document.path)
    if not path.exists():
        return None
    try:
        return Approval.read(path)
    except DocumentError as error:
        raise NotApproved(error.what, error.next_step) from None


def valid_approval(document: Approvable) -> Approval:
    """Return the approval that lets a document be carried out now.

    Raises
    ------
    NotApproved
        When there is none, it is for another digest, or it has expired.
    """
    approval = find_approval(document)
    remedy = f"`workbench approve {document.id} --digest {document.digest}` after reading it."
    if approval is None:
        raise NotApproved(f"Nobody has approved {document.noun} {document.id}.", remedy)
    if approval.approves != document.digest:
        raise NotApproved(
            f"What {approval.approver} approved is not this {document.noun}: its digest is {document.digest},"
            f" the approval's {approval.approves}.",
            f"The file was altered since. {document.remedy}",
        )
    if approval.expires_at <= datetime.now(UTC):
        raise NotApproved(
            f"{approval.approver}'s approval of {document.noun} {document.id} expired at"
            f" {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
            remedy,
        )
    if document.target.kind == PRODUCTION and _same_person(approval.approver, document.planned_by):
        raise NotApproved(
            f"{approval.approver} planned {document.id}; for production another person approves.", remedy
        )
    return approval


def refuse_other_target(document: Approvable, target: Target) -> None:
    """Raise `WrongEnvironment` unless a document was made for this target."""
    for what, meant in vars(document.target).items():
        if (actual := getattr(target, what)) != meant:
            raise WrongEnvironment(
                f"The {document.noun} {document.id} was made for the {what.replace('_', ' ')} {meant!r}, not for {actual!r}.",
                f"Carry it out with --environment {document.target.environment}, where that still leads there."
                f" {document.remedy}",
            )


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
