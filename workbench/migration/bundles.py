"""Bundles: an import's inputs and outputs, sealed by SHA-256 (guide §2.3).

A bundle is a BagIt bag (RFC 8493): ``sha256sum -c manifest-sha256.txt`` and ``bagit.py --validate`` prove it without
us. In its payload ``data/bundle.json`` says who sealed what of which run, when and where, with each file's role and
digest. The digest of ``bundle.json`` is the bundle's: whoever knows it knows the bundle.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workbench.database.address import redact
from workbench.documents import Document, Store, flush_folder
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.invariants import check_invariants, read_files
from workbench.murmurant.reports import ImportReport, read_report

MANIFEST, DIGESTS, TAG_DIGESTS = "data/bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"
TAGS = ("bagit.txt", "bag-info.txt", DIGESTS, TAG_DIGESTS)
"""The files of every bag beside its payload."""

_ROLES = {
    r"dry_run.*\.(json|log)": "dry run",
    r".*\.(csv|tsv|xlsx?)": "export",
    r"(wa_full_sync_report|migration-|id-map-).*\.json": "report",
    r".*\.log": "log",
    r"\.env.*|.*\.(ya?ml|toml|ini|cfg|conf|env|properties|json)": "configuration",
    r".*": "other",
}
"""What a file is by its name."""

_LONGEST_LINE, _SHOWN = 1 << 20, 20

logging.getLogger("bagit").addHandler(logging.NullHandler())  # we report its errors ourselves


class SealedFile(BaseModel):
    """One file of a bundle.

    Attributes
    ----------
    path : str
        Relative to the bundle, with ``/``.
    role : str
        What it was to the import: export, report, id map, configuration, log, ...
    run : str or None
        The run that it is about, where it says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    role: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    run: str | None = None


class Bundle(Document):
    """A bundle: what its ``bundle.json`` says, whose digest is the bundle's.

    Attributes
    ----------
    bundle : str
        Its name, that of its folder.
    run : str
        The import that it is about.
    environment : str or None
        Where it ran, by its name in ``workbench.toml``.
    runs : dict of str to str
        Every run that its reports are about, the import and its dry run, to its mode.
    files : tuple of SealedFile
        By path.
    notes : tuple of str
        What whoever relies on it should know besides.
    """

    noun = "bundle"
    suffix = f"/{MANIFEST}"
    remedy = "Take it from where it was kept; `workbench bundle list` shows what there is."
    sealed = False
    version = 2

    bundle: str
    run: str
    environment: str | None
    sealed_by: str
    sealed_at: AwareDatetime
    runs: dict[str, str]
    files: tuple[SealedFile, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The bundle's folder."""
        return self.path.parents[1]

    @property
    def altered(self) -> bool:
        """Whether ``bundle.json`` is not the one in the list of digests."""
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
    """Compare every byte of a bundle with what was sealed; list by path what differs.

    What lies outside it, or is a link, is not opened.

    Parameters
    ----------
    digest : str, optional
        The bundle's digest as somebody noted it: in the audit log, in a plan. Only this shows that a bundle
        was altered and sealed again.

    Raises
    ------
    DocumentError
        When the folder is no bundle at all.
    """
    import bagit

    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    contents = {path.relative_to(folder).as_posix(): _content(path) for path in paths}
    if not contents.keys() & {MANIFEST, DIGESTS}:
        raise DocumentError(f"{folder} is no bundle: it has no {MANIFEST}.", Bundle.remedy)
    listed = _listed(folder / DIGESTS) | _listed(folder / TAG_DIGESTS)
    sealed, wrong = dict(listed), list[Discrepancy]()
    if contents.get(MANIFEST):
        try:
            bundle = read_bundle(folder)
        except DocumentError as error:
            wrong.append(Discrepancy(MANIFEST, "altered", error.what))
        else:
            sealed = {file.path: file.sha256 for file in bundle.files} | {MANIFEST: bundle.digest}
            if digest is not None and digest.lower() != bundle.digest:
                detail = f"its digest is {bundle.digest}, not {digest.lower()[:80]}"
                wrong.append(Discrepancy(MANIFEST, "altered", detail))
            if folder.resolve().name != bundle.bundle:
                wrong.append(Discrepancy(MANIFEST, "altered", f"it belongs to {bundle.bundle!r}"))
    sealed = {**{tag: listed.get(tag, "") for tag in TAGS}, MANIFEST: "", **sealed}
    for path in {*sealed, *listed, *contents}:
        content = contents.get(path)
        expected = {sealed.get(path), listed.get(path)} if path != TAG_DIGESTS else {content or "a file"}
        if content is None:
            wrong.append(Discrepancy(printable(path), "missing", "it is not there"))
        elif path not in sealed:
            wrong.append(Discrepancy(printable(path), "added", "it was not sealed"))
        elif expected != {content}:
            detail = f"its SHA-256 is {content}" if content else "it is a link, or cannot be read"
            wrong.append(Discrepancy(printable(path), "altered", detail))
    if not wrong:
        try:
            bagit.Bag(str(folder)).validate(completeness_only=True)  # the digests are compared above
        except (bagit.BagError, ValueError) as error:
            wrong.append(Discrepancy("bagit.txt", "altered", f"it is no valid bag: {printable(str(error))}"))
    return sorted(wrong)


def _content(path: Path) -> str:
    """Return a file's SHA-256; empty for a link, a special file and one that cannot be read."""
    try:
        return file_digest(path) if stat.S_ISREG(path.lstat().st_mode) else ""
    except OSError:
        return ""


def _listed(path: Path) -> dict[str, str]:
    """Return path to digest of a list of digests; nothing where it is not there, or a link."""
    if path.is_symlink() or not path.is_file():
        return {}
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    return {words[1]: words[0] for line in lines if len(words := line.split(maxsplit=1)) == 2}


def printable(text: str) -> str:
    """Escape the letters that would steer a terminal, or break a line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def file_digest(path: Path) -> str:
    """Return a file's SHA-256; `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_name(folder: Path, stem: str) -> Path:
    """Return a path in a folder that nothing has yet: the stem's, or the next number's."""
    paths = (folder / (f"{stem}_{number}" if number > 1 else stem) for number in count(1))
    return next(path for path in paths if not os.path.lexists(path))


def bundle_folders(folder: Path) -> list[Path]:
    """List every folder that is, or was, a bundle, by name."""
    paths = sorted(folder.glob("[!.]*/")) if folder.is_dir() else []
    return [path for path in paths if path.name.startswith("bundle_") or (path / MANIFEST).is_file()]


def list_bundles(folder: Path, run: str | None = None) -> list[Bundle]:
    """List the bundles of a folder, the newest first; `verify_bundle` names what cannot be read.

    Parameters
    ----------
    run : str, optional
        Only those that hold anything of this run; one whose ``bundle.json`` was altered holds nothing.
    """
    bundles = [bundle for _, bundle in Store(folder, Bundle).scan() if isinstance(bundle, Bundle)]
    if run is not None:
        bundles = [bundle for bundle in bundles if run in {bundle.run, *bundle.runs} and not bundle.altered]
    return sorted(bundles, key=lambda bundle: (bundle.sealed_at, bundle.folder.name), reverse=True)


def find_bundle(folder: Path, name: str) -> Path:
    """Return a bundle's folder by its path, its name, or the beginning of its digest; `UsageError` when there is none."""
    path = Path(name.removesuffix(Bundle.suffix)).absolute()
    folders = {path.name: path for path in bundle_folders(folder)}
    if path.is_dir() or name in folders:
        return path if path.is_dir() else folders[name]
    bundles = list_bundles(folder) if len(name) >= 6 else []
    matches = [bundle.folder for bundle in bundles if bundle.digest.startswith(name.lower())]
    if len(matches) != 1:
        raise unknown("bundle", name, folders)
    return matches[0]


def sealed_in(bundles: Iterable[Bundle], path: Path) -> tuple[Bundle, SealedFile] | None:
    """Return the first bundle that holds a file exactly as it is now, by its content, or None."""
    try:
        content = file_digest(path)
    except OSError:
        return None
    files = ((bundle, file) for bundle in bundles for file in bundle.files)
    return next(((bundle, file) for bundle, file in files if file.sha256 == content), None)


def check_bundle(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask the migration invariants of a bundle's files: see `check_invariants` (guide §2.3, §2.4).

    Raises
    ------
    DocumentError
        When the folder is no bundle.
    Refused
        When it is not as it was sealed: altered files say nothing about the import.
    """
    if wrong := verify_bundle(folder):
        raise Refused(
            f"{folder.name} is not as it was sealed: {wrong[0].path} was {wrong[0].what}.",
            "`workbench bundle verify` names all that differs.",
        )
    files = [(file.role, folder / file.path) for file in read_bundle(folder).files]
    reports = [path for role, path in files if role == "report"]
    exports = [path for role, path in files if role == "export" and path.suffix.lower() == ".csv"]
    return check_invariants(read_files(reports, exports))


def bundles_frame(bundles: Sequence[Bundle]) -> pd.DataFrame:
    """Lay bundles out as a table.

    Returns
    -------
    pandas.DataFrame
        ``bundle``, ``run``, ``sealed_at`` (UTC), ``sealed_by``, ``files``, ``digest``, ``altered`` (see `Bundle`), ``path``.
    """
    rows = [
        (
            *(bundle.folder.name, bundle.run, bundle.sealed_at.astimezone(UTC).replace(tzinfo=None)),
            *(bundle.sealed_by, len(bundle.files), bundle.digest, bundle.altered, str(bundle.folder)),
        )
        for bundle in bundles
    ]
    return pd.DataFrame(
        rows, columns=["bundle", "run", "sealed_at", "sealed_by", "files", "digest", "altered", "path"]
    )


def seal(
    paths: Iterable[Path],
    folder: Path,
    *,
    by: str,
    now: datetime,
    run: str | None = None,
    known_runs: Callable[[], Sequence[str]] = tuple,
    environment: str | None = None,
    redacting: bool = False,
) -> Bundle:
    """Seal files, and those in folders, into a new bundle.

    It is written under a temporary name, flushed and renamed, so that what is called a bundle is whole.

    Parameters
    ----------
    folder : Path
        Where bundles are kept; where it lies in a folder that was given, it is left out.
    run : str, optional
        The import; else the one that the reports are about.
    known_runs : callable
        Returns the runs that are known by other evidence: one that left no report may be sealed too.
    redacting : bool
        Whether to seal copies without the passwords that are in URLs, instead of refusing.

    Raises
    ------
    UsageError
        For what cannot be sealed, naming each: what is not there, a link, no regular file, or has a name that no list
        of digests can carry; and when it does not follow which run the bundle is about.
    Refused
        When there is a URL with a password in a file.
    """
    import bagit

    sources, notes = _gather(paths, folder.resolve())
    reports = {name: report for name, path in sources.items() if (report := _report(path))}
    runs = {report.run_id: report.mode for report in reports.values()}
    run = _which_run(run, runs, known_runs)
    place = free_name(folder, f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}")
    work = folder / f".{place.name}-{os.getpid()}.partial"
    files, passwords = [], []
    try:
        work.mkdir(parents=True, mode=0o700)
        for name, path in sorted(sources.items()):
            lines = _copy(path, work / name)
            passwords += [f"{path}, line {line}" for line in lines]
            notes += [f"data/{name} was sealed without the passwords in its URLs"][: len(lines)]
            role = next(
                role for pattern, role in _ROLES.items() if re.fullmatch(pattern, path.name, re.IGNORECASE)
            )
            report = reports.get(name)
            about = {"role": "report", "run": report.run_id} if report else {"role": role}
            files.append(SealedFile(path=f"data/{name}", sha256=file_digest(work / name), **about))
        if passwords and not redacting:
            raise Refused(
                _in_lines("These files have URLs with a password in them:", passwords),
                "Nothing was sealed. Seal copies with *** in their place (--redact), or leave these files out.",
            )
        bundle = Bundle(
            bundle=place.name,
            run=run,
            environment=environment,
            sealed_by=by,
            sealed_at=now.astimezone(UTC).replace(microsecond=0),
            runs=dict(sorted(runs.items())),
            files=tuple(files),
            notes=tuple(notes),
        )
        (work / PurePosixPath(MANIFEST).name).write_bytes(bundle.content())
        tags = {"Bagging-Date": f"{now:%Y-%m-%d}", "External-Identifier": run}
        bagit.make_bag(str(work), tags, checksums=["sha256"])
        for path in [*work.rglob("*"), work]:
            flush_folder(path)
            if path.is_file():
                path.chmod(0o400)
        work.rename(place)
        flush_folder(folder)
    except (OSError, bagit.BagError) as error:
        raise WorkbenchError(
            f"The bundle cannot be written to {folder}: {error}.",
            "Nothing was sealed. Make room, or name another folder with --output.",
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already where all went well
    return read_bundle(place)


def _gather(paths: Iterable[Path], bundles: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files to seal by their path in the bundle, and a note on hidden ones, which are left out."""
    sources: dict[str, Path] = {}
    taken, hidden, problems = {PurePosixPath(MANIFEST).name}, 0, list[str]()
    for given in paths:
        folder = given if given.is_dir() and not given.is_symlink() else given.parent
        inside = sorted(given.rglob("*")) if folder == given else [given]
        for path in inside:
            name = path.relative_to(folder)
            if folder == given and (any(part[0] == "." for part in name.parts) or _is_below(path, bundles)):
                hidden += 1
            elif problem := _problem(path, str(name)):
                problems.append(f"{printable(str(path))} {problem}")
            elif path.is_file() and path.resolve() not in sources.values():
                sources[_free_path(PurePosixPath(name), taken)] = path.resolve()
    if problems or not sources:
        headline = (
            f"{len(problems)} of what was given cannot be sealed:"
            if problems
            else "There is no file to seal."
        )
        raise UsageError(
            _in_lines(headline, problems), "Nothing was sealed. Leave these out, or put them right."
        )
    return sources, [f"{hidden} hidden files and folders were left out"][:hidden]


def _is_below(path: Path, bundles: Path) -> bool:
    return bundles in (path.resolve(), *path.resolve().parents)


def _problem(path: Path, name: str) -> str:
    """Say why a file or folder cannot be sealed; empty where it can."""
    if path.is_symlink() or (path.exists() and not path.is_dir() and not path.is_file()):
        return "is a symbolic link, or no regular file"
    if not os.access(path, os.R_OK):
        return "is not there, or cannot be read"
    # Lone surrogates are what is no UTF-8; what lists of digests escape is not read alike by every tool.
    if not name.isprintable() or re.search(r"\\| $|%0[AD]", name, re.IGNORECASE):
        return r"has a control character, a \, %0A or %0D, or a space at the end of its name, or is no UTF-8; rename it"
    return ""


def _report(path: Path) -> ImportReport | None:
    """Return what a file says where it is an importer's report."""
    with suppress(DocumentError):  # what a killed importer left is sealed all the same
        return read_report(path) if path.suffix.lower() == ".json" else None
    return None


def _which_run(run: str | None, runs: Mapping[str, str], known_runs: Callable[[], Sequence[str]]) -> str:
    """Return the run that the bundle is about: the one that is named, or the only live one of the reports."""
    if run is not None:
        if run not in runs and run not in (known := known_runs()):
            raise unknown("run", run, {*runs, *known})
        return run
    candidates = [run for run, mode in runs.items() if mode == "live"] or [*runs]
    if len(candidates) != 1:
        raise UsageError(
            f"The reports among these files are about {len(candidates)} runs: {', '.join(candidates) or 'none'}.",
            "Say with --run RUN_ID which one the bundle is about; `workbench runs` lists them.",
        )
    return candidates[0]


def _copy(source: Path, target: Path) -> list[int]:
    """Copy a file, a text without the passwords in its URLs; return the lines that had one."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines, before = list[int](), source.stat()
    with source.open("rb") as original, target.open("xb") as copy:
        is_text = b"\0" not in original.read(8192)
        original.seek(0)
        for number, line in enumerate(iter(partial(original.readline, _LONGEST_LINE), b""), 1):
            clean = line
            if is_text and b"://" in line:
                clean = redact(line.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            lines += [number] if clean != line else []
            copy.write(clean)
    after = source.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UsageError(
            f"{source} changed while it was being sealed.", "Wait until the import is over, and try again."
        )
    return lines


def _free_path(wanted: PurePosixPath, taken: set[str]) -> str:
    """Return a path that no other file has, on a file system that minds neither case nor Unicode's form either."""
    more = (wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}") for number in count(2))
    path = wanted
    while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
        path = next(more)
    taken.add(key)
    return str(path)


def _in_lines(headline: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([headline, *lines[:_SHOWN], *more])
