"""What was altered, is missing or was added since a bundle was sealed (guide §2.3)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workbench.errors import BundleError
from workbench.migration.bundles.manifest import (
    DIGESTS,
    MANIFEST,
    Bundle,
    SealedFile,
    file_digest,
    problem_of_path,
    read_bundle,
    stated_digests,
)

KINDS = ("altered", "missing", "added", "unreadable", "outside")


@dataclass(frozen=True)
class Discrepancy:
    """One way in which a bundle is not as it was sealed.

    Attributes
    ----------
    path : str
        Within the bundle; letters that would steer a terminal are escaped.
    what : {"altered", "missing", "added", "unreadable", "outside"}
        ``outside``: the manifest names a path that leads out of the bundle; it was not opened.
    detail : str
        In words.
    """

    path: str
    what: str
    detail: str


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
    BundleError
        When the folder is no bundle at all.
    """
    if not folder.is_dir():
        raise BundleError(f"There is no bundle {folder}.", "`workbench bundle list` shows what there is.")
    found: list[Discrepancy] = []
    if not _there(folder / MANIFEST):
        if not _there(folder / DIGESTS):
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}.", "Name a bundle's folder.")
        return [Discrepancy(MANIFEST, "missing", f"nothing says any more what was sealed, but {DIGESTS}")]
    try:
        bundle = read_bundle(folder)
    except BundleError as error:
        if not _there(folder / DIGESTS):
            raise
        about = DIGESTS if f"{folder / DIGESTS} " in error.what else MANIFEST
        return [Discrepancy(about, "altered", error.what)]
    if bundle.stated is None:
        found.append(Discrepancy(DIGESTS, "missing", f"it does not state the digest of {MANIFEST}"))
    elif bundle.altered:
        found.append(
            Discrepancy(MANIFEST, "altered", f"its digest is {bundle.digest}, {DIGESTS} says {bundle.stated}")
        )
    if digest is not None and digest.lower() != bundle.digest:
        found.append(
            Discrepancy(MANIFEST, "altered", f"its digest is {bundle.digest}, not {digest.lower()[:80]}")
        )
    if folder.name != bundle.manifest.bundle:
        found.append(Discrepancy(MANIFEST, "altered", f"it is of {bundle.manifest.bundle!r}"))
    found += _of_digests(bundle)
    for each in bundle.manifest.files:
        found += _of_file(folder, each)
    found += _added(bundle)
    return sorted(found, key=lambda one: (one.path, KINDS.index(one.what), one.detail))


def _of_digests(bundle: Bundle) -> Iterator[Discrepancy]:
    """Compare the two lists: who checks with sha256sum must be told the same."""
    stated = stated_digests(bundle.folder)
    stated.pop(MANIFEST, None)
    if not stated:
        return  # only the digest of bundle.json, as the guide has it
    sealed = {each.path: each.sha256 for each in bundle.manifest.files}
    for path in sorted(stated.keys() | sealed.keys()):
        if stated.get(path) != sealed.get(path):
            detail = f"{DIGESTS} and {MANIFEST} do not say the same of {_shown(path)}"
            yield Discrepancy(DIGESTS, "altered", detail)


def _of_file(folder: Path, sealed: SealedFile) -> Iterator[Discrepancy]:
    shown = _shown(sealed.path)
    if problem := problem_of_path(sealed.path):
        yield Discrepancy(shown, "outside", f"the path {problem}; nothing was opened")
        return
    path = folder / sealed.path
    try:
        if any((folder / parent).is_symlink() for parent in list(PurePosixPath(sealed.path).parents)[:-1]):
            yield Discrepancy(shown, "outside", "a folder on the way is a link; nothing was opened")
            return
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no regular file"
            yield Discrepancy(shown, "altered", f"it is {what} now; nothing was opened")
            return
        digest, size = file_digest(path)
    except (FileNotFoundError, NotADirectoryError):
        yield Discrepancy(shown, "missing", f"{sealed.role}, {sealed.size:,} bytes")
    except OSError as error:
        yield Discrepancy(shown, "unreadable", f"so it was not verified: {error.strerror}")
    else:
        if size != sealed.size:
            yield Discrepancy(shown, "altered", f"{size:,} bytes, sealed with {sealed.size:,}")
        elif digest != sealed.sha256:
            yield Discrepancy(shown, "altered", f"its digest is {digest}, sealed with {sealed.sha256}")


def _added(bundle: Bundle) -> Iterator[Discrepancy]:
    sealed = {each.path for each in bundle.manifest.files} | {MANIFEST, DIGESTS}
    for place, folders, names in os.walk(bundle.folder, followlinks=False):
        links = [each for each in folders if (Path(place) / each).is_symlink()]
        for name in [*names, *links]:
            path = (Path(place) / name).relative_to(bundle.folder).as_posix()
            if path not in sealed:
                yield Discrepancy(_shown(path), "added", "it was not sealed")


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _shown(path: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in path)
