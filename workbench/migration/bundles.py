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
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NoReturn

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workbench.database.address import redact
from workbench.documents import Document, Store, flush_folder
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.invariants import check_invariants, read_files
from workbench.murmurant.importers import importer_of
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report

MANIFEST, DIGESTS, OF_TAGS = "data/bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"
_TAGS = {"bagit.txt", "bag-info.txt", DIGESTS, OF_TAGS}

logging.getLogger("bagit").addHandler(logging.NullHandler())  # what it finds is told once, by us

LARGEST_REPORT = 256 << 20
"""A JSON file larger than this is sealed unread: the importers list at most 20,000 records of a kind."""

_ROLES = {
    r"dry_run\.json": "dry-run manifest",
    r"dry_run_\d{8}_\d{6}.*\.log": "dry-run log",
    r"id-map-.*\.json": "id map",
    r"(wa_full_sync_report|migration-(dry-run|live)-).*\.json": "report",
    r".*\.(csv|tsv|xlsx|xls)": "export",
    r"\.env.*|.*\.(ya?ml|toml|ini|cfg|conf|env|properties)": "configuration",
    r".*\.(log|txt|out|err)": "log",
    r".*": "other",
}
"""What a file is by its name."""

_NOTES = {
    "redacted": "was sealed without the passwords in its URLs",
    "not looked for": "is no text: nobody looked for passwords in it",
}
_BLOCK, _SHOWN = 1 << 20, 20


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
    """Compare a bundle with what was sealed, every byte; list by path what is not as it was.

    What lies outside it, or is a link, is not opened.

    Parameters
    ----------
    digest : str, optional
        The bundle's digest as somebody noted it: in the audit log, in a plan. It alone shows a bundle that
        was altered and sealed anew.

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
    return check_invariants(read_files(reports, csv))


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

    It is written under a temporary name, flushed and renamed, so that what is called a bundle is whole. Hidden files
    in a folder are passed over and counted.

    Parameters
    ----------
    folder : Path
        Where bundles are kept; where it lies in a folder that was given, it is passed over.
    run : str, optional
        The import; else the one that the reports speak of.
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

    names, passed_over = _gather(paths, folder.resolve())
    roles = {path: _role(path) for path in names}
    reports = [report for _, report in roles.values() if report is not None]
    run = _which_run(run, reports, known_runs)
    runs = {each.run_id: each.mode for each in reports}
    place = free_name(folder, f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}")
    work = folder / f".{place.name}-{os.getpid()}.partial"
    files, secrets = [], []
    try:
        work.mkdir(parents=True, mode=0o700)
        for path, name in names.items():
            role, report = roles[path]
            file, lines = _copied(path, work / name)
            secrets += [f"{path}, line {line}" for line in lines]
            told = {"role": role, "run": report and report.run_id, "path": f"data/{name}"}
            files.append(file.model_copy(update=told))
        if secrets and not redacting:
            raise Refused(
                _in_lines("What was given has URLs with a password in it:", secrets),
                "Nothing was sealed. Seal copies with *** in their place (--redact), or leave these files out.",
            )
        files.sort(key=lambda file: file.path)
        notes = [f"{file.path} {_NOTES[file.secrets]}" for file in files if file.secrets in _NOTES]
        if passed_over:
            some = ", ".join(sorted({printable(path.name) for path in passed_over})[:5])
            notes.append(
                f"{len(passed_over)} files and folders were passed over, hidden or of bundles: {some}"
            )
        bundle = Bundle(
            bundle=place.name,
            run=run,
            importer=importer_of(run),
            mode=runs.get(run, "live"),
            environment=environment,
            sealed_by=by,
            sealed_at=now.astimezone(UTC).replace(microsecond=0),
            runs=dict(sorted(runs.items())),
            files=tuple(files),
            totals={
                "files": len(files),
                "bytes": sum(file.size for file in files),
                "roles": dict(sorted(Counter(file.role for file in files).items())),
                "records": next((r.counts for r in reversed(reports) if r.run_id == run and r.counts), {}),
            },
            notes=tuple(notes),
        )
        (work / PurePosixPath(MANIFEST).name).write_bytes(bundle.content())
        tags = {"Bagging-Date": f"{now:%Y-%m-%d}", "External-Identifier": run}
        bag = bagit.make_bag(str(work), tags, checksums=["sha256"])
        if any(bag.entries.get(file.path, {}).get("sha256") != file.sha256 for file in files):
            raise UsageError("What was copied is not what was sealed.", "Nothing was sealed. Try again.")
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


def _gather(paths: Iterable[Path], bundles: Path) -> tuple[dict[Path, PurePosixPath], list[Path]]:
    """Return the files that were given, each once, with their paths in a bundle; and what was passed over."""
    names: dict[Path, PurePosixPath] = {}
    passed_over: list[Path] = []
    problems: list[str] = []
    taken = {PurePosixPath(MANIFEST).name}
    for given in paths:
        inside, hidden = [given], list[Path]()
        try:
            if given.is_dir() and not given.is_symlink():
                inside, hidden = _inside(given, bundles)
            if not inside:
                problems.append(f"{printable(str(given))} has no file in it")
            for path in inside:
                name = path.name if path == given else path.relative_to(given).as_posix()
                if problem := _refusal(path, name):
                    problems.append(f"{printable(str(path))} {problem}")
                elif path.resolve() not in names:  # no link: its one place
                    names[path.resolve()] = _free_path(PurePosixPath(name), taken)
        except OSError as error:
            problems.append(f"{printable(str(error.filename or given))} cannot be read: {error.strerror}")
        passed_over += hidden
    if problems:
        raise UsageError(
            _in_lines(f"{len(problems)} of what was given cannot be sealed:", problems),
            "Nothing was sealed. Leave these out, or put them right.",
        )
    return names, passed_over


def _inside(folder: Path, bundles: Path) -> tuple[list[Path], list[Path]]:
    """Return what lies in a folder at any depth, and what is passed over: what is hidden, and the bundles' own folder."""
    inside: list[Path] = []
    hidden: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_fail):
        paths = [Path(place) / name for name in sorted([*folders, *files])]
        hidden += [path for path in paths if path.name.startswith(".") or path.resolve() == bundles]
        entered = [path for path in paths if path.is_dir() and not path.is_symlink() and path not in hidden]
        folders[:] = [path.name for path in entered]
        inside += [path for path in paths if path not in hidden and path not in entered]
    return inside, hidden


def _fail(error: OSError) -> NoReturn:
    raise error


def _refusal(path: Path, name: str) -> str:
    """Say why a file cannot be sealed; empty where it can."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except OSError as error:
        return "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    if stat.S_ISLNK(mode):
        return "is a symbolic link; name the file that it leads to"
    if not stat.S_ISREG(mode):
        return "is no regular file"
    # Lone surrogates are what is no UTF-8; what lists of digests escape is not read alike by every tool.
    if not name.isprintable() or re.search(r"\\| $|%0[AD]", name, re.IGNORECASE):
        return r"has a control character, a \, %0A or %0D, or a space at the end of its name, or is no UTF-8; rename it"
    return ""


def _role(path: Path) -> tuple[str, ImportReport | None]:
    """Tell what a file was to the import, and what it says where it is an importer's report."""
    role = next(each for name, each in _ROLES.items() if re.fullmatch(name, path.name, re.IGNORECASE))
    is_json = path.suffix.lower() == ".json" and role != "dry-run manifest"
    if not is_json or path.stat().st_size > LARGEST_REPORT:
        return role, None
    try:
        report = read_report(path)
    except NotAReportError:
        return "configuration", None
    except DocumentError:
        return role, None  # cut short, it is evidence all the same: what a killed importer left
    return ("report" if report.counts else "id map"), report


def _which_run(
    run: str | None, reports: Sequence[ImportReport], known_runs: Callable[[], Sequence[str]]
) -> str:
    reported = {each.run_id for each in reports}
    if run is not None:
        if run not in reported and run not in (known := known_runs()):
            raise unknown("run", run, {*reported, *known})
        return run
    candidates = sorted({each.run_id for each in reports if each.mode == "live"} or reported)
    if len(candidates) == 1:
        return candidates[0]
    raise UsageError(
        f"These files speak of {len(candidates)} runs: {', '.join(candidates[:5])}."
        if candidates
        else "None of these files is an importer's report, so nothing says which run they belong to.",
        "Say with --run RUN_ID which one the bundle is about; `workbench runs` lists them.",
    )


def _copied(path: Path, target: Path) -> tuple[SealedFile, list[int]]:
    """Copy a file without the passwords in its URLs; return what was copied, and in which lines there was one."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, lines, before = hashlib.sha256(), list[int](), path.stat()
    with path.open("rb") as source, target.open("xb") as copy:
        is_text = b"\0" not in source.read(8192)
        source.seek(0)
        # Lines, those without any end in pieces that memory can hold; what is no text, block by block.
        read = source.readline if is_text else source.read
        for number, block in enumerate(iter(partial(read, _BLOCK), b""), 1):
            clean = block
            if b"://" in block and is_text:
                clean = redact(block.decode(errors="surrogateescape")).encode(errors="surrogateescape")
                lines += [number] if clean != block else []
            digest.update(clean)
            copy.write(clean)
        size = copy.tell()
    now = path.stat()
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise UsageError(
            f"{path} changed while it was being sealed.", "Wait until the import is over, and try again."
        )
    secrets = "redacted" if lines else "none found" if is_text else "not looked for"
    return SealedFile(path="", role="", size=size, sha256=digest.hexdigest(), secrets=secrets), lines


def _free_path(wanted: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return a path that no other file has, on a file system that minds neither case nor Unicode's form either."""
    paths = (wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}") for number in count(2))
    path = wanted
    while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
        path = next(paths)
    taken.add(key)
    return path


def _in_lines(headline: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([headline, *lines[:_SHOWN], *more])
