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
from collections.abc import Iterable, Sequence
from datetime import UTC
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workbench.documents import Document, Store
from workbench.errors import DocumentError, Refused, unknown
from workbench.migration.invariants import check_invariants, read_files

MANIFEST, DIGESTS, OF_TAGS = "data/bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"
_TAGS = {"bagit.txt", "bag-info.txt", DIGESTS, OF_TAGS}

logging.getLogger("bagit").addHandler(logging.NullHandler())  # what it finds is told once, by us


class SealedFile(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    role: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    run: str | None = None
    secrets: Literal["none found", "not looked for", "redacted"] = "none found"


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
    runs : dict of str to str
        Every run that its reports speak of, the import and its dry run, to its mode.
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
    runs: dict[str, str]
    files: tuple[SealedFile, ...]
    totals: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The bundle's folder."""
        return self.path.parents[1]

    @property
    def altered(self) -> bool:
        """Whether ``bundle.json`` is not the one that the list of digests has."""
        return _listed(self.folder / DIGESTS).get(MANIFEST) != self.digest


class Discrepancy(NamedTuple):
    """One way in which a bundle is not as it was sealed.

    Attributes
    ----------
    path : str
        Within the bundle; letters that would steer a terminal are escaped.
    what : {"altered", "missing", "added"}
        What became of it.
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
    """Compare a bundle with what was sealed, every byte. What lies outside it, or is a link, is not opened.

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

    there = {path.relative_to(folder).as_posix(): _digest_here(path) for path in _files(folder)}
    if MANIFEST not in there and DIGESTS not in there:
        raise DocumentError(f"{folder} is no bundle: it has no {MANIFEST}.", Bundle.remedy)
    lists = _listed(folder / DIGESTS) | _listed(folder / OF_TAGS)
    wrong, sealed = [], dict(lists)
    if there.get(MANIFEST, "").isalnum():
        try:
            bundle = read_bundle(folder)
        except DocumentError as error:
            wrong.append(Discrepancy(MANIFEST, "altered", error.what))
        else:
            sealed = {file.path: file.sha256 for file in bundle.files} | {MANIFEST: bundle.digest}
            if digest is not None and digest.lower() != bundle.digest:
                says = f"its digest is {bundle.digest}, not {digest.lower()[:80]}"
                wrong.append(Discrepancy(MANIFEST, "altered", says))
            if folder.resolve().name != bundle.bundle:
                wrong.append(Discrepancy(MANIFEST, "altered", f"it is of {bundle.bundle!r}"))
    for path in {*there, *lists, *sealed, *_TAGS, MANIFEST}:
        here = there.get(path)
        # What is sealed stands in two lists, the tags in one, and their own list in none.
        expected = {lists.get(path), sealed.get(path)} if path.startswith("data/") else {lists.get(path)}
        if (expected != {here} and not (path == OF_TAGS and here and here.isalnum())) or here is None:
            what = "missing" if here is None else "added" if expected == {None} else "altered"
            said = " and ".join(sorted(filter(None, expected))) or "nothing"
            wrong.append(
                Discrepancy(printable(path), what, f"sealed was {said}, here is {here or 'nothing'}")
            )
    if not wrong:
        try:
            bagit.Bag(str(folder)).validate(completeness_only=True)  # every digest has been compared
        except (bagit.BagError, ValueError) as error:
            wrong.append(Discrepancy("bagit.txt", "altered", f"it is no valid bag: {printable(str(error))}"))
    return sorted(wrong)


def printable(text: str) -> str:
    """Escape the letters that would steer a terminal, or break a line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def file_digest(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and size; `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def free_name(folder: Path, stem: str) -> Path:
    """Return a path in a folder that nothing has yet: the stem's, or the next number's."""
    paths = (folder / (f"{stem}_{number}" if number > 1 else stem) for number in count(1))
    return next(path for path in paths if not os.path.lexists(path))


def bundle_folders(folder: Path) -> list[Path]:
    """List every folder that is, or was, a bundle, by name."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    folders = [each for each in inside if each.is_dir() and not each.is_symlink() and each.name[0] != "."]
    return [each for each in folders if each.name.startswith("bundle_") or (each / MANIFEST).is_file()]


def list_bundles(folder: Path, run: str | None = None) -> list[Bundle]:
    """List the bundles of a folder, the newest first; what cannot be understood is left to `verify_bundle` to name.

    Parameters
    ----------
    run : str, optional
        Only those that hold anything of this run; one whose ``bundle.json`` was altered is none.
    """
    bundles = [each for _, each in Store(folder, Bundle).scan() if isinstance(each, Bundle)]
    if run is not None:
        bundles = [each for each in bundles if run in {each.run, *each.runs} and not each.altered]
    return sorted(bundles, key=lambda bundle: (bundle.sealed_at, bundle.folder.name), reverse=True)


def find_bundle(folder: Path, name: str) -> Path:
    """Return a bundle's folder by its path, its name, or the beginning of its digest.

    Raises
    ------
    UsageError
        When there is none, with the nearest names.
    """
    path = Path(name.removesuffix(Bundle.suffix)).absolute()
    if path.is_dir():
        return path
    known = {each.name: each for each in bundle_folders(folder)}
    of_digest = [each.folder for each in list_bundles(folder) if each.digest.startswith(name.lower())]
    if name in known or len(name) < 6 or len(of_digest) != 1:
        of_digest = [known[name]] if name in known else []
    if not of_digest:
        raise unknown("bundle", name, known)
    return of_digest[0]


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
    """Ask the migration invariants of a bundle's files, as they were sealed: see `check_invariants` (guide §2.3, §2.4).

    Raises
    ------
    DocumentError
        When the folder is no bundle.
    Refused
        When it is not as it was sealed: what holds of altered files says nothing of the import.
    """
    if wrong := verify_bundle(folder):
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Refused(
            f"{folder.name} is not as it was sealed: {wrong[0].path} was {wrong[0].what}{more}.",
            "`workbench bundle verify` names all of it.",
        )
    bundle = read_bundle(folder)
    reports = [folder / file.path for file in bundle.files if file.role in ("report", "id map")]
    exports = [folder / file.path for file in bundle.files if file.role == "export"]
    csv = [path for path in exports if path.suffix.lower() == ".csv"]
    return check_invariants(read_files(reports, csv, bundle.sealed_at))


def bundles_frame(bundles: Sequence[Bundle]) -> pd.DataFrame:
    """Lay bundles out as a table.

    Returns
    -------
    pandas.DataFrame
        ``bundle``, ``run``, ``mode``, ``sealed_at`` (UTC), ``sealed_by``, ``files``, ``bytes``, ``digest``,
        ``altered`` (see `Bundle`), ``path``.
    """
    rows = [
        {
            **each.model_dump(include={"run", "mode", "sealed_by"}),
            "bundle": each.folder.name,
            "path": str(each.folder),
            "digest": each.digest,
            "sealed_at": each.sealed_at.astimezone(UTC).replace(tzinfo=None),
            "files": len(each.files),
            "bytes": sum(file.size for file in each.files),
            "altered": each.altered,
        }
        for each in bundles
    ]
    columns = "bundle run mode sealed_at sealed_by files bytes digest altered path"
    return pd.DataFrame(rows, columns=columns.split())


def _files(folder: Path) -> list[Path]:
    """List everything in a bundle but its folders; a link to one is not entered, and stands for itself."""
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _digest_here(path: Path) -> str:
    """Return the SHA-256 of a file of a bundle, or in words why there is none."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return "a link, or no file"
    try:
        return file_digest(path)[0]
    except OSError as error:
        return f"what cannot be read: {error.strerror}"


def _listed(path: Path) -> dict[str, str]:
    """Return path to digest of a list of digests; nothing where it is not there, or a link."""
    if path.is_symlink() or not path.is_file():
        return {}
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    return {words[1]: words[0] for line in lines if len(words := line.split(maxsplit=1)) == 2}
