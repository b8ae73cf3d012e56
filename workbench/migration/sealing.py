"""Seal an import's inputs and outputs: copied into a BagIt bag of their own, listed, and never half (guide §2.3)."""

from __future__ import annotations

import hashlib
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
from typing import NoReturn

from workbench.database.address import redact
from workbench.documents import flush_folder
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.bundles import (
    MANIFEST,
    Bundle,
    SealedFile,
    free_name,
    printable,
    read_bundle,
)
from workbench.murmurant.importers import importer_of
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report

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
                _listed("What was given has URLs with a password in it:", secrets),
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
            _listed(f"{len(problems)} of what was given cannot be sealed:", problems),
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


def _listed(headline: str, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([headline, *lines[:_SHOWN], *more])
