"""Bundles: the files an import read and wrote, sealed by SHA-256 (guide §2.3).

A bundle is a BagIt bag (RFC 8493): ``sha256sum -c manifest-sha256.txt`` and ``python -m bagit --validate`` prove it
without the workbench. ``data/bundle.json`` names the run, who sealed it and when, and each file's role and digest. The
digest of ``bundle.json`` identifies the bundle.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workbench.database.address import redact
from workbench.documents import Document, Store, flush_folder
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.invariants import check_files
from workbench.murmurant.reports import ImportReport, read_report

MANIFEST = "data/bundle.json"
_TAGS = {"bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"}

_ROLES = {
    r"dry_run.*\.(json|log)": "dry run",
    r".*\.(csv|tsv|xlsx?)": "export",
    r"(wa_full_sync_report|migration-|id-map-).*\.json": "report",
    r".*\.log": "log",
    r"\.env.*|.*\.(ya?ml|toml|ini|cfg|conf|env|properties|json)": "configuration",
    r".*": "other",
}
"""File name to role; the first match counts."""

logging.getLogger("bagit").addHandler(logging.NullHandler())  # its errors are raised again as ours


class SealedFile(BaseModel):
    """One file of a bundle.

    Attributes
    ----------
    path : str
        Relative to the bundle, with ``/``.
    role : str
        ``export``, ``report``, ``configuration``, ``dry run``, ``log`` or ``other``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    role: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Bundle(Document):
    """The content of ``bundle.json``.

    Attributes
    ----------
    bundle : str
        The name of the bundle and of its folder.
    run : str
        The import that the bundle is about.
    runs : dict of str to str
        Every run that its reports are about, with its mode.
    """

    noun = "bundle"
    suffix = f"/{MANIFEST}"
    remedy = "Get an intact copy; `workbench bundle list` shows the bundles that are kept."
    sealed = False
    version = 3

    bundle: str
    run: str
    environment: str | None
    sealed_by: str
    sealed_at: AwareDatetime
    runs: dict[str, str]
    files: tuple[SealedFile, ...]

    @property
    def folder(self) -> Path:
        """The bundle's folder."""
        return self.path.parents[1]


class Discrepancy(NamedTuple):
    """A file that is ``altered``, ``missing`` or ``added`` since the bundle was sealed."""

    path: str
    what: str
    detail: str


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's ``bundle.json``; `DocumentError` when it is missing or damaged."""
    return Bundle.read(folder / MANIFEST)


def verify_bundle(folder: Path, digest: str | None = None) -> list[Discrepancy]:
    """Compare every file of a bundle with what was sealed; links are not followed.

    Parameters
    ----------
    digest : str, optional
        The bundle's digest as recorded elsewhere, in the audit log or a plan. Nothing else reveals a bundle that was
        altered and sealed again.

    Returns
    -------
    list of Discrepancy
        By path; empty when the bundle is intact.

    Raises
    ------
    DocumentError
        When the folder is not a bundle.
    """
    import bagit

    try:
        bundle = read_bundle(folder)
    except DocumentError as error:
        if not (folder / "bagit.txt").is_file():
            raise
        return [Discrepancy(MANIFEST, "altered", error.what)]
    wrong = []
    if digest is not None and digest.lower() != bundle.digest:
        wrong.append((MANIFEST, "altered", f"its digest is {bundle.digest}, not {digest.lower()[:80]}"))
    if folder.resolve().name != bundle.bundle:
        wrong.append((MANIFEST, "altered", f"it belongs to {bundle.bundle}"))
    sealed = {file.path: file.sha256 for file in bundle.files} | {MANIFEST: bundle.digest}
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    links = {name for name, path in present.items() if path.is_symlink()}
    files = {name for name, path in present.items() if not path.is_dir()}
    for name in sealed.keys() | links | files - _TAGS:
        if name not in present:
            wrong.append((name, "missing", "the file does not exist"))
        elif name not in sealed and name not in links:
            wrong.append((name, "added", "the file was not sealed"))
        elif name in links or not (actual := _content(present[name])):
            wrong.append((name, "altered", "it is not a regular file, or not readable"))
        elif actual != sealed[name]:
            wrong.append((name, "altered", f"its SHA-256 is {actual}"))
    if not wrong:  # the bag's own lists must agree as well
        try:
            bagit.Bag(str(folder)).validate()
        except bagit.BagValidationError as error:
            details = [(detail.path, "altered", str(detail)) for detail in error.details]
            wrong += details or [("manifest-sha256.txt", "altered", str(error))]
        except (bagit.BagError, ValueError, LookupError, OSError) as error:
            wrong.append(("manifest-sha256.txt", "altered", str(error)))
    return sorted(Discrepancy(*map(_printable, row)) for row in wrong)


def _printable(text: str) -> str:
    """Escape the characters that would control a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _content(path: Path) -> str:
    """Return the SHA-256 of a regular file; empty where that cannot be read."""
    with suppress(OSError):
        return file_digest(path) if path.is_file() else ""
    return ""


def file_digest(path: Path) -> str:
    """Return a file's SHA-256; `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_name(folder: Path, stem: str) -> Path:
    """Return an unused path in a folder: the stem's own, or with a number after it."""
    paths = (folder / (f"{stem}_{number}" if number > 1 else stem) for number in count(1))
    return next(path for path in paths if not os.path.lexists(path))


def bundle_folders(folder: Path) -> list[Path]:
    """List the folders of all bundles, by name; damaged ones too."""
    paths = sorted(folder.glob("[!.]*/")) if folder.is_dir() else []
    return [path for path in paths if path.name.startswith("bundle_") or (path / MANIFEST).is_file()]


def list_bundles(folder: Path, run: str | None = None) -> list[Bundle]:
    """List the readable bundles of a folder, newest first; with `run`, only those that hold something of it."""
    bundles = [bundle for _, bundle in Store(folder, Bundle).scan() if isinstance(bundle, Bundle)]
    if run is not None:
        bundles = [bundle for bundle in bundles if run in {bundle.run, *bundle.runs}]
    return sorted(bundles, key=lambda bundle: (bundle.sealed_at, bundle.folder.name), reverse=True)


def find_bundle(folder: Path, name: str) -> Path:
    """Return a bundle's folder by its path or name; `UsageError` when there is none."""
    path = Path(name.removesuffix(Bundle.suffix))
    for known in (path, folder / path):
        if known.is_dir():
            return known.absolute()
    raise unknown("bundle", name, [known.name for known in bundle_folders(folder)])


def sealed_in(bundles: Iterable[Bundle], path: Path) -> tuple[Bundle, SealedFile] | None:
    """Return the first bundle that holds a file with its present content, or None."""
    content = _content(path)
    files = ((bundle, file) for bundle in bundles for file in bundle.files)
    return next(((bundle, file) for bundle, file in files if file.sha256 == content), None)


def check_bundle(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check the invariants of a bundle's files: see `workbench.migration.invariants.check_files`.

    Raises
    ------
    DocumentError
        When the folder is not a bundle.
    Refused
        When the bundle was altered.
    """
    if wrong := verify_bundle(folder):
        raise Refused(
            f"{folder.name} was altered since it was sealed: {wrong[0].path} is {wrong[0].what}.",
            "`workbench bundle verify` lists every difference.",
        )
    files = [(file.role, folder / file.path) for file in read_bundle(folder).files]
    reports = [path for role, path in files if role == "report"]
    exports = [path for role, path in files if role == "export" and path.suffix.lower() == ".csv"]
    return check_files(reports, exports)


def bundles_frame(bundles: Sequence[Bundle]) -> pd.DataFrame:
    """Return ``bundle``, ``run``, ``sealed_at`` (UTC), ``sealed_by``, ``files``, ``digest``, ``path``; a row per bundle."""
    columns = ["bundle", "run", "sealed_at", "sealed_by", "files", "digest", "path"]
    rows = []
    for bundle in bundles:
        at = bundle.sealed_at.astimezone(UTC).replace(tzinfo=None)
        facts = (bundle.sealed_by, len(bundle.files), bundle.digest, str(bundle.folder))
        rows.append((bundle.folder.name, bundle.run, at, *facts))
    return pd.DataFrame(rows, columns=columns)


def seal(
    paths: Iterable[Path],
    folder: Path,
    *,
    by: str,
    now: datetime,
    run: str | None = None,
    environment: str | None = None,
) -> Bundle:
    """Copy files, and the files of folders except hidden ones, into a new bundle.

    The bundle is written under a temporary name, flushed and renamed, so a killed process leaves no partial bundle.

    Parameters
    ----------
    folder : Path
        The folder in which bundles are kept.
    run : str, optional
        The import; by default the one that the reports are about.

    Raises
    ------
    UsageError
        For files that cannot be sealed, and when the reports do not tell which run the bundle is about.
    Refused
        When a file holds a URL with a password.
    """
    import bagit

    sources = _collect(paths, folder.resolve())
    reports = {name: report for name, path in sources.items() if (report := _report(path))}
    runs = {report.run_id: report.mode for report in reports.values()}
    run = run or _which_run(runs)
    target = free_name(folder, f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}")
    work = folder / f".{target.name}-{os.getpid()}.partial"
    files, passwords = [], []
    try:
        work.mkdir(parents=True, mode=0o700)
        for name, path in sorted(sources.items()):
            passwords += [f"{path}, line {line}" for line in _copy(path, work / name)]
            role = "report" if name in reports else _role(path)
            files.append(SealedFile(path=f"data/{name}", role=role, sha256=file_digest(work / name)))
        if passwords:
            raise Refused(
                f"These files hold a URL with a password: {'; '.join(passwords[:20])}.",
                "Nothing was sealed. Leave these files out, or replace the passwords.",
            )
        bundle = Bundle(
            bundle=target.name,
            run=run,
            environment=environment,
            sealed_by=by,
            sealed_at=now.astimezone(UTC).replace(microsecond=0),
            runs=dict(sorted(runs.items())),
            files=tuple(files),
        )
        (work / "bundle.json").write_bytes(bundle.content())
        tags = {"Bagging-Date": f"{now:%Y-%m-%d}", "External-Identifier": run}
        bagit.make_bag(str(work), tags, checksums=["sha256"])
        for path in [*work.rglob("*"), work]:
            flush_folder(path)
            if path.is_file():
                path.chmod(0o400)
        work.rename(target)
        flush_folder(folder)
    except (OSError, bagit.BagError) as error:
        raise WorkbenchError(
            f"The bundle cannot be written to {folder}: {error}.",
            "Nothing was sealed. Correct that and try again.",
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return read_bundle(target)


def _collect(paths: Iterable[Path], bundles: Path) -> dict[str, Path]:
    """Return the files to seal by their path in the bundle."""
    sources, taken, problems = dict[str, Path](), {"bundle.json"}, list[str]()
    for given in paths:
        is_folder = given.is_dir() and not given.is_symlink()
        contains_bundles = is_folder and bundles.is_relative_to(given.resolve())
        for path in sorted(given.rglob("*")) if is_folder else [given]:
            name = path.relative_to(given if is_folder else given.parent)
            if is_folder and any(part.startswith(".") for part in name.parts):
                continue
            if contains_bundles and path.resolve().is_relative_to(bundles):
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()) or not os.access(path, os.R_OK):
                problems.append(f"{_printable(str(path))} is a link, not a regular file, or not readable")
            elif not str(name).isprintable() or re.search(r"\\| $|%0[AD]", str(name), re.IGNORECASE):
                # Tools disagree on how a list of digests spells these names.
                problems.append(rf"{_printable(str(path))} has a control character, \ or %0A in its name")
            elif path.is_file() and path.resolve() not in sources.values():
                sources[_free_path(PurePosixPath(name), taken)] = path.resolve()
    if problems or not sources:
        raise UsageError(
            f"These files cannot be sealed: {'; '.join(problems[:20]) or 'none was found'}.",
            "Nothing was sealed. Leave these files out, or correct them.",
        )
    return sources


def _free_path(wanted: PurePosixPath, taken: set[str]) -> str:
    """Return a path that no other file of the bundle has, even where case does not matter."""
    names = (wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}") for number in count(2))
    path = wanted
    while str(path).casefold() in taken:
        path = next(names)
    taken.add(str(path).casefold())
    return str(path)


def _role(path: Path) -> str:
    patterns = _ROLES.items()
    return next(role for pattern, role in patterns if re.fullmatch(pattern, path.name, re.IGNORECASE))


def _report(path: Path) -> ImportReport | None:
    """Read a file as an importer's report; None where it is not one, or was cut off."""
    with suppress(DocumentError):
        return read_report(path) if path.suffix.lower() == ".json" else None
    return None


def _which_run(runs: Mapping[str, str]) -> str:
    """Return the only live run of the reports."""
    candidates = [run for run, mode in runs.items() if mode == "live"] or [*runs]
    if len(candidates) != 1:
        raise UsageError(
            f"The reports among these files are about {len(candidates)} runs: {', '.join(candidates) or 'none'}.",
            "Name the run of this bundle with --run RUN_ID; `workbench runs` lists them.",
        )
    return candidates[0]


def _copy(source: Path, target: Path) -> list[int]:
    """Copy a file; return the numbers of the lines that hold a URL with a password."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = []
    with source.open("rb") as original, target.open("xb") as copy:
        for number, line in enumerate(original, 1):
            text = line.decode(errors="surrogateescape") if b"://" in line else ""
            if redact(text) != text:
                lines.append(number)
            copy.write(line)
    return lines
