"""Which bundles there are, and which of them holds a run or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from workbench.errors import BundleError, unknown
from workbench.migration.bundles.manifest import MANIFEST, Bundle, SealedFile, file_digest, read_bundle

NewestFirst = list[Bundle]


def list_bundles(folder: Path) -> NewestFirst:
    """List the bundles of a folder, the newest first; what is no bundle, or cannot be understood, is left out.

    `find_bundle` tells why one cannot.
    """
    found = []
    for each in _folders(folder):
        try:
            found.append(read_bundle(each))
        except BundleError:
            continue  # `verify` names it; a damaged bundle must not keep the others from being found
    return sorted(found, key=lambda one: (one.manifest.moment, one.folder.name), reverse=True)


def bundle_folders(folder: Path) -> list[Path]:
    """List every folder that is, or was, a bundle, by name."""
    return list(_folders(folder))


def find_bundle(folder: Path, name: str) -> Path:
    """Return a bundle's folder by its path, its name, or the beginning of its digest.

    Raises
    ------
    BundleError, UsageError
        When there is none, with the nearest names.
    """
    path = Path(name)
    if path.name == MANIFEST:
        path = path.parent
    if path.is_dir():
        return path
    known = {each.name: each for each in _folders(folder)}
    if name in known:
        return known[name]
    digests = [each.folder for each in list_bundles(folder) if each.digest.startswith(name.lower())]
    if len(name) >= 6 and len(digests) == 1:
        return digests[0]
    raise unknown("bundle", name, known)


def bundles_holding(folder: Path, run: str) -> NewestFirst:
    """List the bundles that hold anything of a run, the newest first; one whose manifest was altered is none."""
    return [
        each
        for each in list_bundles(folder)
        if not each.altered
        and (each.manifest.run == run or any(one.run == run for one in each.manifest.runs))
    ]


def sealed_in(bundles: Iterable[Bundle], path: Path) -> tuple[Bundle, SealedFile] | None:
    """Return the first bundle that holds a file exactly as it is now, or None.

    Judged by content, so that what was changed since it was sealed is not taken for what was.
    """
    try:
        digest, size = file_digest(path)
    except OSError:
        return None
    for bundle in bundles:
        for each in bundle.manifest.files:
            if (each.sha256, each.size) == (digest, size):
                return bundle, each
    return None


def _folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for each in sorted(folder.iterdir()):
        named = each.name.startswith("bundle_")
        if each.is_dir() and not each.is_symlink() and (named or (each / MANIFEST).is_file()):
            yield each
