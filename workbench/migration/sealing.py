"""Seal an import's inputs and outputs: copied into a BagIt bag of their own, listed, and never half (guide §2.3)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from workbench.database.address import redact
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.bundles import MANIFEST, Bundle, SealedFile, SealedRun, printable, read_bundle
from workbench.murmurant.importers import importer_of
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report

LARGEST_REPORT = 256 << 20
"""A JSON file larger than this is sealed unread: the importers list at most 20,000 records of a kind."""

_ROLES = {
    r"dry_run\.json": ("dry-run manifest", "logs"),
    r"dry_run_\d{8}_\d{6}.*\.log": ("dry-run log", "logs"),
    r"id-map-.*\.json": ("id map", "reports"),
    r"(wa_full_sync_report|migration-(dry-run|live)-).*\.json": ("report", "reports"),
    r".*\.(csv|tsv|xlsx|xls)": ("export", "exports"),
    r"\.env.*|.*\.(ya?ml|toml|ini|cfg|conf|env|properties)": ("configuration", "configuration"),
    r".*\.(log|txt|out|err)": ("log", "logs"),
}
"""What a file is by its name, and in which folder of a bundle it lies."""

_FOLDERS = {**dict(_ROLES.values()), "other": "other"}
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

    inputs, hidden = _gather(paths, folder.resolve())
    roles = {path: _role(path) for path in inputs}
    reports = [report for _, report, _ in roles.values() if report is not None]
    run = _which_run(run, reports, known_runs)
    runs = {
        each.run_id: SealedRun(run=each.run_id, importer=each.importer, mode=each.mode) for each in reports
    }
    about = runs.get(run) or SealedRun(run=run, importer=importer_of(run), mode="live")
    place = _free_name(folder, f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}")
    work = folder / f".{place.name}-{os.getpid()}.partial"
    try:
        work.mkdir(parents=True, mode=0o700)
        files, taken, refused = [], set[str](), list[str]()
        for path, name in inputs.items():
            role, report, state = roles[path]
            target = _free_path(PurePosixPath(_FOLDERS[role]) / name, taken)
            facts, lines = _copied(path, work / target, state)
            refused += [f"{path}, line {number}" for number in lines]
            files.append(SealedFile(path=f"data/{target}", role=role, run=report and report.run_id, **facts))
        if refused and not redacting:
            more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
            raise Refused(
                "\n  ".join(["What was given has URLs with a password in it:", *refused[:_SHOWN], *more]),
                "Nothing was sealed. Seal copies with *** in their place (--redact), or leave these files out.",
            )
        files.sort(key=lambda file: file.path)
        notes = [f"{file.path} {_NOTES[file.secrets]}" for file in files if file.secrets in _NOTES]
        if hidden:
            names = ", ".join(sorted({printable(path.name) for path in hidden})[:5])
            notes.append(f"{len(hidden)} files and folders were passed over, hidden or of bundles: {names}")
        bundle = Bundle(
            **about.model_dump(),
            bundle=place.name,
            environment=environment,
            sealed_by=by,
            sealed_at=now.astimezone(UTC).replace(microsecond=0),
            runs=tuple(runs[each] for each in sorted(runs)),
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
            _flush(path)
        work.rename(place)
        _flush(folder)
    except (OSError, bagit.BagError) as error:
        raise WorkbenchError(
            f"The bundle cannot be written to {folder}: {error}.",
            "Nothing was sealed. Make room, or name another folder with --output.",
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already where all went well
    return read_bundle(place)


def _gather(paths: Iterable[Path], beside: Path) -> tuple[dict[Path, str], list[Path]]:
    """Return the files that were given, each once, with their names in a bundle; and what was passed over."""
    inputs: dict[tuple[int, int], tuple[Path, str]] = {}
    hidden: list[Path] = []
    problems: list[str] = []
    for given in paths:
        try:
            files = list(_files(given, beside, hidden))
            if not files:
                problems.append(f"{printable(str(given))} has no file in it")
            for path, name in files:
                if problem := _refusal(path, name):
                    problems.append(f"{printable(str(path))} {problem}")
                else:
                    state = path.stat()
                    inputs.setdefault((state.st_dev, state.st_ino), (path, name))
        except OSError as error:
            problems.append(f"{printable(str(error.filename or given))} cannot be read: {error.strerror}")
    if problems:
        raise UsageError(
            "\n  ".join([f"{len(problems)} of what was given cannot be sealed:", *problems[:_SHOWN]]),
            "Nothing was sealed. Leave these out, or put them right.",
        )
    return dict(inputs.values()), hidden


def _files(given: Path, beside: Path, hidden: list[Path]) -> Iterator[tuple[Path, str]]:
    if given.is_symlink() or not given.is_dir():
        yield given, given.name
        return

    def stop(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(given, onerror=stop):
        paths = [Path(place) / name for name in sorted([*folders, *names])]
        passed_over = [path for path in paths if path.name.startswith(".") or path.resolve() == beside]
        hidden += passed_over
        entered = [
            path for path in paths if path.is_dir() and not path.is_symlink() and path not in passed_over
        ]
        folders[:] = [path.name for path in entered]
        for path in paths:
            if path not in passed_over and path not in entered:
                yield path, path.relative_to(given).as_posix()


def _refusal(path: Path, name: str) -> str:
    """Say why a file cannot be sealed; empty where it can."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "is not there"
    if stat.S_ISLNK(mode):
        return "is a symbolic link; name the file that it leads to"
    if not stat.S_ISREG(mode):
        return "is no regular file"
    if not name.isprintable():  # lone surrogates are what is no UTF-8
        return "has a line break, a control character or bytes that are no UTF-8 in its name; rename it"
    if "\\" in name or name.endswith(" ") or re.search("%0[AD]", name, re.IGNORECASE):
        return r"has a \, a %0A or %0D, or a space at the end of its name, which lists of digests escape; rename it"
    return "" if os.access(path, os.R_OK) else "cannot be read: Permission denied"


def _role(path: Path) -> tuple[str, ImportReport | None, os.stat_result]:
    """Tell what a file was to the import, what it says where it is an importer's report, and its state before it was read."""
    state = path.stat()
    matching = (
        role for pattern, (role, _) in _ROLES.items() if re.fullmatch(pattern, path.name, re.IGNORECASE)
    )
    role = next(matching, "other")
    if path.suffix.lower() != ".json" or role == "dry-run manifest" or state.st_size > LARGEST_REPORT:
        return role, None, state
    try:
        report = read_report(path)
    except NotAReportError:
        return "configuration", None, state
    except DocumentError:
        return role, None, state  # cut short, it is evidence all the same: what a killed importer left
    return ("report" if report.counts else "id map"), report, state


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


def _copied(path: Path, target: Path, before: os.stat_result) -> tuple[dict[str, Any], list[int]]:
    """Copy a file without the passwords in its URLs; return what was copied, and in which lines there was one."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, lines = hashlib.sha256(), list[int]()
    with path.open("rb") as source, target.open("xb") as copy:
        is_text = b"\0" not in source.read(8192)
        source.seek(0)
        for number, block in enumerate(_blocks(source, by_line=is_text), 1):
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
    return {"size": size, "sha256": digest.hexdigest(), "secrets": secrets}, lines


def _blocks(file: BinaryIO, by_line: bool) -> Iterator[bytes]:
    """Yield lines, those without any end in pieces that memory can hold; what is no text, block by block."""
    read = file.readline if by_line else file.read
    while block := read(_BLOCK):
        yield block


def _free_path(wanted: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return a path that no other file has, on a file system that minds neither case nor Unicode's form either."""
    path, number = wanted, 1
    while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
        number += 1
        path = wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}")
    taken.add(key)
    return path


def _free_name(folder: Path, name: str) -> Path:
    place, number = folder / name, 1
    while place.exists() or place.is_symlink():
        number += 1
        place = folder / f"{name}_{number}"
    return place


def _flush(path: Path) -> None:
    """Bring a file or a folder to the disk; what is sealed is only to be read."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if path.is_file():
        path.chmod(0o400)
