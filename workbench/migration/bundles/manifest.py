"""``bundle.json`` as a value and as a file; ``bundle.sha256`` beside it."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import BundleError

VERSION = 1
MANIFEST, DIGESTS = "bundle.json", "bundle.sha256"

ROLES = ("export", "report", "id map", "configuration", "dry-run log", "dry-run manifest", "log", "other")
"""What a sealed file was to the import."""

FOLDER_OF = {
    "export": "exports",
    "report": "reports",
    "id map": "reports",
    "configuration": "configuration",
    "dry-run log": "logs",
    "dry-run manifest": "logs",
    "log": "logs",
    "other": "other",
}
"""Where in a bundle files of a role lie."""

LARGEST_MANIFEST = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SealedFile:
    """One file of a bundle.

    Attributes
    ----------
    path : str
        Relative to the bundle, with ``/``.
    role : str
        One of `ROLES`.
    size : int
        In bytes.
    sha256 : str
        In hexadecimal.
    run : str or None
        The run that it speaks of, where it says so.
    secrets : {"none found", "not looked for", "redacted"}
        Whether somebody looked for passwords in it, and what came of that.
    """

    path: str
    role: str
    size: int
    sha256: str
    run: str | None = None
    secrets: str = "none found"


@dataclass(frozen=True)
class SealedRun:
    """A run that a bundle's reports speak of."""

    run: str
    importer: str
    mode: str


@dataclass(frozen=True)
class BundleManifest:
    """What ``bundle.json`` says.

    Attributes
    ----------
    bundle : str
        Its name, that of its folder.
    run, importer, mode : str
        The import that it is about; ``mode`` is ``live`` or ``dry``.
    environment : str or None
        Where it ran, by its name in ``workbench.toml``.
    sealed_by, sealed_at : str
        Who, and when (UTC, ISO 8601).
    runs : tuple of SealedRun
        Every run that its reports speak of: the import, and its dry run.
    files : tuple of SealedFile
        By path.
    totals : dict
        ``files``, ``bytes``, ``roles`` (role to count) and ``records`` (entity to action to count, as the
        import's own report has them).
    notes : tuple of str
        What whoever relies on it should know besides.
    """

    bundle: str
    run: str
    importer: str
    mode: str
    environment: str | None
    sealed_by: str
    sealed_at: str
    runs: tuple[SealedRun, ...]
    files: tuple[SealedFile, ...]
    totals: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def moment(self) -> datetime:
        """When it was sealed."""
        return datetime.fromisoformat(self.sealed_at)


@dataclass(frozen=True)
class Bundle:
    """A bundle as it lies on disk.

    Attributes
    ----------
    folder : Path
        The bundle.
    digest : str
        SHA-256 of its ``bundle.json`` as it is now.
    stated : str or None
        What ``bundle.sha256`` says that should be; None where it says nothing.
    """

    folder: Path
    digest: str
    stated: str | None
    manifest: BundleManifest

    @property
    def altered(self) -> bool:
        """Whether ``bundle.json`` is another than ``bundle.sha256`` says."""
        return self.stated != self.digest


def manifest_bytes(manifest: BundleManifest) -> bytes:
    """Return ``bundle.json``."""
    content = {"workbench_bundle": VERSION, **asdict(manifest)}
    return (json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def digest_lines(digest: str, files: Iterable[SealedFile]) -> bytes:
    """Return ``bundle.sha256``: first what the guide puts there, the digest of ``bundle.json``, then each file's.

    So ``sha256sum -c bundle.sha256`` and ``shasum -a 256 -c bundle.sha256`` check all of the bundle, without us.
    No path has a letter that these tools escape: `sealing` takes none.
    """
    lines = [f"{digest}  {MANIFEST}", *(f"{each.sha256}  {each.path}" for each in files)]
    return ("\n".join(lines) + "\n").encode()


def stated_digests(folder: Path) -> dict[str, str]:
    """Return what ``bundle.sha256`` says: path to digest; empty where it is not there.

    Raises
    ------
    BundleError
        When it cannot be read, or is in another format.
    """
    path = folder / DIGESTS
    if not path.exists() and not path.is_symlink():
        return {}
    found: dict[str, str] = {}
    for number, line in enumerate(_small_file(path).decode("utf-8", "replace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if not _SHA256.fullmatch(digest) or not name:
            raise BundleError(
                f"{path} is not in the format of sha256sum: line {number}.",
                "It was altered or damaged. Take the bundle from where it was kept.",
            )
        found[name] = digest
    return found


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest; nothing is verified, only understood.

    Raises
    ------
    BundleError
        When the folder is no bundle, or its manifest is not one.
    """
    path = folder / MANIFEST
    if not folder.is_dir() or not (path.exists() or path.is_symlink()):
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", "`workbench bundle list` shows what there is."
        )
    data = _small_file(path)
    stated = stated_digests(folder).get(MANIFEST)
    return Bundle(folder, hashlib.sha256(data).hexdigest(), stated, _understood(path, data))


def file_digest(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and size, read piece by piece; `OSError` when it cannot be read."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def problem_of_path(path: str) -> str:
    """Say why a path may not stand in a bundle; empty where it may."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or (len(path) > 1 and path[1] == ":"):
        return "is absolute"
    if not path or ".." in pure.parts or path != str(pure):
        return "leads outside the bundle, or is not in its plain form"
    return problem_of_name(path)


def problem_of_name(name: str) -> str:
    """Say why a file's name cannot be sealed; empty where it can."""
    if any(not letter.isprintable() for letter in name):  # lone surrogates are what is no UTF-8
        return "has a line break, a control character or bytes that are no UTF-8 in its name"
    return "has a backslash in its name" if "\\" in name else ""


def _small_file(path: Path) -> bytes:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{path} is not a regular file.", "A bundle has no links: it was altered.")
        if found.st_size > LARGEST_MANIFEST:
            raise BundleError(f"{path} is {found.st_size:,} bytes large.", "It is not one of a bundle's.")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}.", "Correct its rights, and try again."
        ) from None


def _understood(path: Path, data: bytes) -> BundleManifest:
    damaged = f"{path} is damaged or was altered"
    again = "Take the bundle from where it was kept."
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise BundleError(f"{damaged}: it is not JSON.", again) from None
    if not isinstance(content, dict) or "workbench_bundle" not in content:
        raise BundleError(f"{path} is not a bundle's manifest.", "Name a folder that `bundle create` made.")
    if content["workbench_bundle"] != VERSION:
        raise BundleError(
            f"{path} is of version {content['workbench_bundle']!r}; this workbench knows {VERSION}.",
            "Use the workbench that sealed it, or a newer one.",
        )
    try:
        return _manifest(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{damaged}: {type(error).__name__} at {str(error)[:80]}.", again) from None


def _manifest(content: dict[str, Any]) -> BundleManifest:
    texts = ("bundle", "run", "importer", "mode", "sealed_by", "sealed_at")
    files = tuple(SealedFile(**each) for each in content["files"])
    runs = tuple(SealedRun(**each) for each in content["runs"])
    for each in files:
        if not all(isinstance(value, str) for value in (each.path, each.role, each.sha256, each.secrets)):
            raise TypeError(each.path)
        if type(each.size) is not int or each.size < 0 or not _SHA256.fullmatch(each.sha256):
            raise ValueError(each.path)
    if not all(isinstance(content[name], str) for name in texts) or not isinstance(content["totals"], dict):
        raise TypeError("a field's type")
    found = BundleManifest(
        **{name: content[name] for name in texts},
        environment=content["environment"],
        runs=runs,
        files=files,
        totals=content["totals"],
        notes=tuple(map(str, content["notes"])),
    )
    if found.moment.tzinfo is None:
        raise ValueError("sealed_at")
    return found
