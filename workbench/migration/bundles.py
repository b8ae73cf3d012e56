"""Bundles: an import's inputs and outputs, sealed by SHA-256 (guide §2.3).

A bundle is a BagIt bag (RFC 8493): ``sha256sum -c manifest-sha256.txt`` and ``bagit.py --validate`` prove it without
us. In its payload ``data/bundle.json`` says who sealed what of which run, when and where, with each file's role and
digest. The digest of ``bundle.json`` is the bundle's: whoever knows it knows the bundle.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workbench.documents import Document, Store, reading_errors
from workbench.errors import DocumentError, Refused, unknown
from workbench.migration.invariants import check_invariants, read_files

MANIFEST, DIGESTS, OF_TAGS = "data/bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"
_TAGS = {"bagit.txt", "bag-info.txt", DIGESTS, OF_TAGS}

logging.getLogger("bagit").addHandler(logging.NullHandler())  # what it finds is told once, by us


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SealedFile(_Frozen):
    """One file of a bundle.

    Attributes
    ----------
    path : str
        Relative to the bundle, with ``/``.
    role : str
        What it was to the import: export, report, id map, configuration, log, ...
    size : int
        In bytes.
    run : str or None
        The run that it speaks of, where it says so.
    secrets : {"none found", "not looked for", "redacted"}
        Whether URLs with a password were looked for in it, and what came of that.
    """

    path: str
    role: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    run: str | None = None
    secrets: Literal["none found", "not looked for", "redacted"] = "none found"


class SealedRun(_Frozen):
    """A run that a bundle's reports speak of."""

    run: str
    importer: str
    mode: str


class Bundle(Document):
    """A bundle: what its ``bundle.json`` says, whose digest is the bundle's.

    Attributes
    ----------
    bundle : str
        Its name, that of its folder.
    run, importer, mode : str
        The import that it is about; ``mode`` is ``live`` or ``dry``.
    environment : str or None
        Where it ran, by its name in ``workbench.toml``.
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

    noun = "bundle"
    suffix = f"/{MANIFEST}"
    remedy = "Take it from where it was kept; `workbench bundle list` shows what there is."
    sealed = False

    bundle: str
    run: str
    importer: str
    mode: str
    environment: str | None
    sealed_by: str
    sealed_at: AwareDatetime
    runs: tuple[SealedRun, ...]
    files: tuple[SealedFile, ...]
    totals: dict[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``bundle.json``; nothing is verified, only understood. A link is not followed."""
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise DocumentError(f"{path} is a link, or no file: it is none of a bundle's.", cls.remedy)
        return super().read(path)

    @property
    def folder(self) -> Path:
        """The bundle's folder."""
        return self.path.parents[1]

    @property
    def altered(self) -> bool:
        """Whether ``bundle.json`` is not the one that the list of digests has."""
        return f"{self.digest}  {MANIFEST}" not in _lines(self.folder / DIGESTS)


class Discrepancy(NamedTuple):
    """One way in which a bundle is not as it was sealed.

    Attributes
    ----------
    path : str
        Within the bundle; letters that would steer a terminal are escaped.
    what : {"altered", "missing", "added", "unreadable", "outside"}
        ``outside``: a list names a path that leads out of the bundle; it was not opened.
    detail : str
        In words.
    """

    path: str
    what: str
    detail: str


def read_bundle(folder: Path) -> Bundle:
    """Read what a bundle says of itself; `DocumentError` when it is none, or damaged."""
    return Bundle.read(folder / MANIFEST)


def verify_bundle(folder: Path, digest: str | None = None) -> list[Discrepancy]:
    """Compare a bundle with what was sealed, every byte.

    Parameters
    ----------
    digest : str, optional
        The bundle's digest as somebody noted it: in the audit log, in a plan. It alone shows a bundle that
        was altered and sealed anew.

    Returns
    -------
    list of Discrepancy
        By path; empty for a bundle that is whole.

    Raises
    ------
    DocumentError
        When the folder is no bundle at all.
    """
    import bagit

    modes = dict(_walk(folder)) if folder.is_dir() else {}
    if MANIFEST not in modes and DIGESTS not in modes:
        raise DocumentError(f"{folder} is no bundle: it has no {MANIFEST}.", Bundle.remedy)
    lists = [name for name in (DIGESTS, OF_TAGS) if stat.S_ISREG(modes.get(name, 0))]
    lines = [line.split(maxsplit=1) for name in lists for line in _lines(folder / name)]
    sealed = {words[1]: words[0] for words in lines if len(words) == 2}
    wrong = []
    if stat.S_ISREG(modes.get(MANIFEST, 0)):
        try:
            bundle = read_bundle(folder)
            wrong = _of_manifest(bundle, digest)
            sealed = {**{file.path: file.sha256 for file in bundle.files}, **sealed}
        except DocumentError as error:
            wrong = [Discrepancy(MANIFEST, "altered", error.what)]
    for path in {*modes, *sealed, *_TAGS, MANIFEST}:
        if problem := _problem(folder, path, modes.get(path), sealed.get(path)):
            wrong.append(Discrepancy(printable(path), *problem))
    if not wrong:
        try:
            bagit.Bag(str(folder)).validate(completeness_only=True)  # every digest has been compared
        except (bagit.BagError, ValueError) as error:
            wrong = [Discrepancy("bagit.txt", "altered", f"it is no valid bag: {printable(str(error))}")]
    return sorted(set(wrong))


def printable(text: str) -> str:
    """Escape the letters that would steer a terminal, or break a line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def file_digest(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and size; `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def bundle_folders(folder: Path) -> list[Path]:
    """List every folder that is, or was, a bundle, by name."""
    folders = [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
    named = [each for each in folders if each.name.startswith("bundle_") or (each / MANIFEST).is_file()]
    return sorted(each for each in named if not each.is_symlink() and not each.name.startswith("."))


def list_bundles(folder: Path, run: str | None = None) -> list[Bundle]:
    """List the bundles of a folder, the newest first; what cannot be understood is left to `verify_bundle` to name.

    Parameters
    ----------
    run : str, optional
        Only those that hold anything of this run; one whose ``bundle.json`` was altered is none.
    """
    bundles = [bundle for _, bundle in Store(folder, Bundle).scan() if isinstance(bundle, Bundle)]
    if run is not None:
        bundles = [
            bundle
            for bundle in bundles
            if run in (bundle.run, *(each.run for each in bundle.runs)) and not bundle.altered
        ]
    return sorted(bundles, key=lambda bundle: (bundle.sealed_at, bundle.folder.name), reverse=True)


def find_bundle(folder: Path, name: str) -> Path:
    """Return a bundle's folder by its path, its name, or the beginning of its digest.

    Raises
    ------
    UsageError
        When there is none, with the nearest names.
    """
    path = Path(name)
    if path.as_posix().endswith(MANIFEST):
        path = path.absolute().parents[1]
    if path.is_dir():
        return path
    known = {each.name: each for each in bundle_folders(folder)}
    if name in known:
        return known[name]
    of_digest = [each.folder for each in list_bundles(folder) if each.digest.startswith(name.lower())]
    if len(name) >= 6 and len(of_digest) == 1:
        return of_digest[0]
    raise unknown("bundle", name, known)


def sealed_in(bundles: Iterable[Bundle], path: Path) -> tuple[Bundle, SealedFile] | None:
    """Return the first bundle that holds a file exactly as it is now, or None.

    Judged by content, so that what was changed since it was sealed is not taken for what was.
    """
    try:
        now = file_digest(path)
    except OSError:
        return None
    files = ((bundle, file) for bundle in bundles for file in bundle.files)
    return next(((bundle, file) for bundle, file in files if (file.sha256, file.size) == now), None)


def check_bundle(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask the migration invariants of a bundle's files, as they were sealed (guide §2.3, §2.4).

    Returns
    -------
    pandas.DataFrame, pandas.DataFrame
        See `workbench.migration.invariants.check_invariants`.

    Raises
    ------
    DocumentError
        When the folder is no bundle.
    Refused
        When it is not as it was sealed: what holds of altered files says nothing of the import.
    """
    if wrong := verify_bundle(folder):
        raise Refused(
            f"{folder.name} is not as it was sealed: {wrong[0].path} was {wrong[0].what}"
            + (f", and {len(wrong) - 1} more." if len(wrong) > 1 else "."),
            "`workbench bundle verify` names all of it.",
        )
    bundle = read_bundle(folder)
    paths = {file.path: file.role for file in bundle.files}
    reports = [folder / path for path, role in paths.items() if role in ("report", "id map")]
    exports = [folder / path for path, role in paths.items() if role == "export" and path.endswith(".csv")]
    return check_invariants(read_files(reports, exports, bundle.sealed_at))


def bundles_frame(bundles: Sequence[Bundle]) -> pd.DataFrame:
    """Lay bundles out as a table.

    Returns
    -------
    pandas.DataFrame
        ``bundle``, ``run``, ``mode``, ``sealed_at`` (UTC), ``sealed_by``, ``files``, ``bytes``, ``digest``,
        ``altered`` (see `Bundle`), ``path``.
    """
    rows = [
        (
            *(each.folder.name, each.run, each.mode),
            each.sealed_at.astimezone(UTC).replace(tzinfo=None),
            *(each.sealed_by, len(each.files)),
            sum(file.size for file in each.files),
            *(each.digest, each.altered, str(each.folder)),
        )
        for each in bundles
    ]
    columns = "bundle run mode sealed_at sealed_by files bytes digest altered path"
    return pd.DataFrame(rows, columns=columns.split())


def _lines(path: Path) -> list[str]:
    """Return the lines of a list of digests; none where it is not there, or a link."""
    if path.is_symlink() or not path.is_file():
        return []
    with reading_errors("list of digests", path, Bundle.remedy):
        return path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the path and the mode of everything in a bundle but its folders; no link is followed."""
    for place, folders, names in os.walk(folder):
        for name in [*names, *folders]:
            path = Path(place) / name
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                yield path.relative_to(folder).as_posix(), mode


def _problem(folder: Path, path: str, mode: int | None, sealed: str | None) -> tuple[str, str] | None:
    """Compare a file with the digest that it was sealed with; nothing outside the bundle is opened."""
    if ".." in Path(path).parts or not (path in _TAGS or path.startswith("data/")):
        if sealed is None:
            return "added", "it was not sealed"
        return "outside", "it leads out of the bundle; nothing was opened"
    if mode is None:
        return "missing", f"it was sealed with {sealed}" if sealed else "without it this is no bundle"
    if not stat.S_ISREG(mode):
        return "altered", "it is a link, or no file; nothing was opened"
    if sealed is None:
        return None if path in _TAGS or path == MANIFEST else ("added", "it was not sealed")
    try:
        digest, _ = file_digest(folder / path)
    except OSError as error:
        return "unreadable", f"so it was not verified: {error.strerror}"
    return None if digest == sealed else ("altered", f"its digest is {digest}, sealed with {sealed}")


def _of_manifest(bundle: Bundle, digest: str | None) -> list[Discrepancy]:
    """Compare ``bundle.json`` with the list of digests: who checks with sha256sum must be told the same."""
    wrong = []
    if digest is not None and digest.lower() != bundle.digest:
        wrong.append((MANIFEST, f"its digest is {bundle.digest}, not {digest.lower()[:80]}"))
    if bundle.folder.name != bundle.bundle:
        wrong.append((MANIFEST, f"it is of {bundle.bundle!r}"))
    if listed := set(_lines(bundle.folder / DIGESTS)):
        sealed = {f"{file.sha256}  {file.path}" for file in bundle.files} | {f"{bundle.digest}  {MANIFEST}"}
        for line in sorted(listed ^ sealed):
            path = printable(line.partition("  ")[2])
            wrong.append((DIGESTS, f"it and {MANIFEST} do not say the same of {path}"))
    return [Discrepancy(path, "altered", detail) for path, detail in wrong]
