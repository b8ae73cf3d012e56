"""Seal an import's inputs and outputs: copied into a BagIt bag of their own, listed, and never half (guide §2.3)."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from workbench.database.address import redact
from workbench.errors import SecretFound, UsageError, WorkbenchError, unknown
from workbench.migration.bundles import MANIFEST, Bundle, SealedFile, SealedRun, read_bundle
from workbench.migration.inputs import Input, gather, printable
from workbench.murmurant.importers import importer_of
from workbench.murmurant.reports import ImportReport

_FOLDER_OF = {
    "export": "exports",
    "report": "reports",
    "id map": "reports",
    "configuration": "configuration",
    "dry-run log": "logs",
    "dry-run manifest": "logs",
    "log": "logs",
    "other": "other",
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

    It is written under a temporary name, flushed and renamed, so that what is called a bundle is whole.

    Parameters
    ----------
    folder : Path
        Where bundles are kept.
    run : str, optional
        The import; else the one that the reports speak of.
    known_runs : callable
        Returns the runs that are known by other evidence: one that left no report may be sealed too.
    redacting : bool
        Whether to seal copies without the passwords that are in URLs, instead of refusing.

    Raises
    ------
    UsageError
        For what cannot be sealed, naming each; and when it does not follow which run the bundle is about.
    SecretFound
        When there is a URL with a password in a file.
    """
    import bagit

    inputs, hidden = gather(paths, folder)
    reports = [each.report for each in inputs if each.report is not None]
    run = _which_run(run, reports, known_runs)
    place = _free_name(folder, f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}")
    work = folder / f".{place.name}-{os.getpid()}.partial"
    try:
        work.mkdir(parents=True, mode=0o700)
        files = tuple(sorted(_copied(inputs, work, redacting), key=lambda file: file.path))
        bundle = _bundle(place.name, run, reports, files, hidden, environment, by, now)
        (work / PurePosixPath(MANIFEST).name).write_bytes(bundle.content())
        about = {"Bagging-Date": f"{now:%Y-%m-%d}", "External-Identifier": run}
        bag = bagit.make_bag(str(work), about, checksums=["sha256"])
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


def _copied(inputs: Sequence[Input], work: Path, redacting: bool) -> list[SealedFile]:
    files: list[SealedFile] = []
    refused: list[str] = []
    taken: set[str] = set()
    for each in inputs:
        path = _free_path(each, taken)
        target = work / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest, lines = hashlib.sha256(), []
        with each.path.open("rb") as source, target.open("xb") as copy:
            is_text = b"\0" not in source.read(8192)
            source.seek(0)
            for number, block in enumerate(_blocks(source, by_line=is_text), 1):
                if b"://" in block and is_text:
                    clean = redact(block.decode(errors="surrogateescape")).encode(errors="surrogateescape")
                    if clean != block:
                        lines.append(number)
                        block = clean
                digest.update(block)
                copy.write(block)
            size = copy.tell()
        now = each.path.stat()
        if (now.st_size, now.st_mtime_ns) != (each.state.st_size, each.state.st_mtime_ns):
            raise UsageError(
                f"{each.path} changed while it was being sealed.",
                "Wait until the import is over, and try again.",
            )
        if lines and not redacting:
            refused += [f"{each.path}, line {number}" for number in lines]
        files.append(
            SealedFile(
                path=f"data/{path}",
                role=each.role,
                size=size,
                sha256=digest.hexdigest(),
                run=each.report.run_id if each.report is not None else None,
                secrets="redacted" if lines else "none found" if is_text else "not looked for",
            )
        )
    if refused:
        more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
        raise SecretFound(
            "\n  ".join(["What was given has URLs with a password in it:", *refused[:_SHOWN], *more]),
            "Nothing was sealed. Seal copies with *** in their place (--redact), or leave these files out.",
        )
    return files


def _blocks(file: BinaryIO, by_line: bool) -> Iterator[bytes]:
    """Yield lines, those without any end in pieces that memory can hold; what is no text, block by block."""
    read = file.readline if by_line else file.read
    while block := read(_BLOCK):
        yield block


def _free_path(given: Input, taken: set[str]) -> PurePosixPath:
    """Return a path that no other file has, on a file system that minds neither case nor Unicode's form either."""
    wanted = path = PurePosixPath(_FOLDER_OF[given.role]) / given.name
    number = 1
    while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
        number += 1
        path = wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}")
    taken.add(key)
    return path


def _bundle(
    name: str,
    run: str,
    reports: Sequence[ImportReport],
    files: tuple[SealedFile, ...],
    hidden: Sequence[Path],
    environment: str | None,
    by: str,
    now: datetime,
) -> Bundle:
    runs = {
        each.run_id: SealedRun(run=each.run_id, importer=each.importer, mode=each.mode) for each in reports
    }
    about = runs.get(run) or SealedRun(run=run, importer=importer_of(run), mode="live")
    words = {
        "redacted": "was sealed without the passwords in its URLs",
        "not looked for": "is no text: nobody looked for passwords in it",
    }
    notes = [f"{file.path} {words[file.secrets]}" for file in files if file.secrets in words]
    if hidden:
        names = ", ".join(sorted({printable(path.name) for path in hidden})[:5])
        notes.append(f"{len(hidden)} files and folders were passed over, hidden or of bundles: {names}")
    return Bundle(
        **about.model_dump(),
        bundle=name,
        environment=environment,
        sealed_by=by,
        sealed_at=now.astimezone(UTC).replace(microsecond=0),
        runs=tuple(runs[each] for each in sorted(runs)),
        files=files,
        totals={
            "files": len(files),
            "bytes": sum(file.size for file in files),
            "roles": dict(sorted(Counter(file.role for file in files).items())),
            "records": next((r.counts for r in reversed(reports) if r.run_id == run and r.counts), {}),
        },
        notes=tuple(notes),
    )


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
