"""Seal an import's inputs and outputs: copied into a folder of their own, listed, and never half."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from workbench.errors import BundleError, SecretFound, UsageError, WorkbenchError, unknown
from workbench.migration.bundles.gathering import Given, gather
from workbench.migration.bundles.manifest import (
    DIGESTS,
    FOLDER_OF,
    MANIFEST,
    Bundle,
    BundleManifest,
    SealedFile,
    SealedRun,
    digest_lines,
    manifest_bytes,
    read_bundle,
)
from workbench.migration.bundles.secrets import (
    Secret,
    find_secrets,
    is_text,
    lines,
    redact_line,
    secrets_in_config,
    secrets_of_line,
)
from workbench.murmurant.importers import importer_of
from workbench.murmurant.reports import ImportReport

_BLOCK = 1 << 20
_SHOWN = 20


@dataclass(frozen=True)
class SealRequest:
    """What is to be sealed, and in whose name.

    Attributes
    ----------
    paths : sequence of Path
        Files, and folders of them.
    folder : Path
        Where bundles are kept.
    sealed_by : str
        Who seals it.
    now : datetime
        When, with its zone.
    run : str or None
        The import; else the one that the reports speak of.
    known_runs : callable
        Returns the runs that are known by other evidence: one that left no report may be sealed too.
    environment : str or None
        Where it ran.
    redact : bool
        Whether to seal copies without the secrets that are in them, instead of refusing.
    """

    paths: Sequence[Path]
    folder: Path
    sealed_by: str
    now: datetime
    run: str | None = None
    known_runs: Callable[[], Sequence[str]] = tuple
    environment: str | None = None
    redact: bool = False


@dataclass(frozen=True)
class _Plan:
    """A file, and what becomes of it in the bundle."""

    given: Given
    path: str
    secrets: str


def seal(request: SealRequest) -> Bundle:
    """Seal files into a new bundle.

    Everything is looked at first; then it is written under a temporary name, flushed and renamed, so that what is
    called a bundle is whole.

    Raises
    ------
    BundleError
        For what cannot be sealed, naming each.
    SecretFound
        When a file has a password or key in it; none is ever sealed unnoticed.
    UsageError
        When it does not follow which run the bundle is about.
    """
    given, hidden = gather(request.paths, request.folder)
    reports = [each.report for each in given if each.report is not None]
    run = _which_run(request, reports)
    try:
        planned = _planned(given, request.redact)
    except OSError as error:
        raise BundleError(
            f"{error.filename} cannot be read: {error.strerror}.", "Nothing was sealed."
        ) from None
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        work = request.folder / f".bundle-{os.getpid()}-{request.now:%Y%m%d%H%M%S%f}.partial"
        work.mkdir(mode=0o700)
    except OSError as error:
        raise _not_written(request.folder, error) from None
    try:
        files = tuple(sorted((_copied(each, work) for each in planned), key=lambda one: one.path))
        place = _free_name(request.folder, request.now)
        manifest = _manifest(request, place.name, run, reports, files, _notes(files, hidden))
        data = manifest_bytes(manifest)
        digest = hashlib.sha256(data).hexdigest()
        _write(work / MANIFEST, data)
        _write(work / DIGESTS, digest_lines(digest, files))
        for each in [work, *(path for path in work.rglob("*") if path.is_dir())]:
            _flush_folder(each)
        work.rename(place)
        _flush_folder(request.folder)
    except OSError as error:
        raise _not_written(request.folder, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already where all went well
    return read_bundle(place)


def _which_run(request: SealRequest, reports: Sequence[ImportReport]) -> str:
    told = sorted({each.run_id for each in reports})
    if request.run is not None:
        if request.run not in told and request.run not in (known := request.known_runs()):
            raise unknown("run", request.run, {*told, *known})
        return request.run
    live = sorted({each.run_id for each in reports if each.mode == "live"})
    candidates = live or told
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UsageError(
            "None of these files is an importer's report, so nothing says which run they belong to.",
            "Name it with --run RUN_ID; `workbench runs` lists them.",
        )
    raise UsageError(
        f"These files speak of {len(candidates)} runs: {', '.join(candidates[:5])}.",
        "Say with --run RUN_ID which one the bundle is about.",
    )


def _planned(given: Sequence[Given], redact: bool) -> list[_Plan]:
    """Say where each file goes; refuse where a secret would go with it."""
    planned: list[_Plan] = []
    refused: list[str] = []
    taken: dict[str, Given] = {}
    for each in given:
        secrets = "none found"
        if not is_text(each.path):
            secrets = "not looked for"
        elif found := [*_configured(each), *find_secrets(each.path, each.role)]:
            stubborn = [one for one in found if not one.redactable]
            if stubborn or not redact:
                refused += [f"{each.path}, {_where(one)}: {one.what}" for one in (stubborn or found)]
            secrets = "redacted"
        planned.append(_Plan(each, _free_path(each, taken), secrets))
    if refused:
        more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
        raise SecretFound(
            "\n  ".join(["What was given has secrets in it:", *refused[:_SHOWN], *more]),
            "Nothing was sealed. Take them out by hand: what --redact would put *** in the place of ends on its line."
            if redact
            else "Nothing was sealed. Seal copies with *** in their place (--redact), or leave these files out.",
        )
    return planned


def _configured(given: Given) -> list[Secret]:
    return list(secrets_in_config(given.report.config)) if given.report is not None else []


def _where(secret: Secret) -> str:
    return f"line {secret.line}" if secret.line else "what it recorded of its configuration"


def _free_path(given: Given, taken: dict[str, Given]) -> str:
    """Return a path that no other file has, on a file system that minds neither case nor Unicode's form either."""
    wanted = PurePosixPath(FOLDER_OF[given.role]) / given.name
    path, number = wanted, 1
    while (key := unicodedata.normalize("NFC", str(path)).casefold()) in taken:
        number += 1
        path = wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}")
    taken[key] = given
    return str(path)


def _copied(planned: _Plan, work: Path) -> SealedFile:
    """Copy one file piece by piece, and take its digest of the same bytes."""
    given = planned.given
    target = work / planned.path
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as copy:
        for block in _content(planned):
            digest.update(block)
            size += len(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    state = given.path.stat()
    if (state.st_size, state.st_mtime_ns) != (given.size, given.changed):
        raise BundleError(
            f"{given.path} changed while it was being sealed.",
            "Wait until the import is over, and try again.",
        )
    target.chmod(0o400)
    run = given.report.run_id if given.report is not None else None
    return SealedFile(planned.path, given.role, size, digest.hexdigest(), run, planned.secrets)


def _content(planned: _Plan) -> Iterable[bytes]:
    if planned.secrets == "redacted":
        for number, line in enumerate(lines(planned.given.path), 1):
            yield redact_line(line, secrets_of_line(line, number, planned.given.role))
        return
    try:
        with planned.given.path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise BundleError(
            f"{planned.given.path} cannot be read: {error.strerror}.", "Nothing was sealed."
        ) from None


def _manifest(
    request: SealRequest,
    name: str,
    run: str,
    reports: Sequence[ImportReport],
    files: tuple[SealedFile, ...],
    notes: tuple[str, ...],
) -> BundleManifest:
    runs = {each.run_id: SealedRun(each.run_id, each.importer, each.mode) for each in reports}
    about = runs.get(run)
    counted = [each.counts for each in reports if each.run_id == run and each.counts]
    totals = {
        "files": len(files),
        "bytes": sum(each.size for each in files),
        "roles": dict(sorted(Counter(each.role for each in files).items())),
        "records": counted[-1] if counted else {},
    }
    return BundleManifest(
        bundle=name,
        run=run,
        importer=about.importer if about else importer_of(run),
        mode=about.mode if about else "live",
        environment=request.environment,
        sealed_by=request.sealed_by,
        sealed_at=request.now.astimezone(UTC).isoformat(timespec="seconds"),
        runs=tuple(runs[each] for each in sorted(runs)),
        files=files,
        totals=totals,
        notes=notes,
    )


def _notes(files: Sequence[SealedFile], hidden: Sequence[Path]) -> tuple[str, ...]:
    notes = [
        f"{each.path} was sealed without the secrets in it" for each in files if each.secrets == "redacted"
    ]
    notes += [
        f"{each.path} is no text: nobody looked for secrets in it"
        for each in files
        if each.secrets == "not looked for"
    ]
    if hidden:
        names = ", ".join(sorted({each.name for each in hidden})[:5])
        notes.append(f"{len(hidden)} files and folders were passed over, hidden or of bundles: {names}")
    return tuple(notes)


def _free_name(folder: Path, now: datetime) -> Path:
    name = f"bundle_{now.astimezone(UTC):%Y%m%d_%H%M%S}"
    place, number = folder / name, 1
    while place.exists() or place.is_symlink():
        number += 1
        place = folder / f"{name}_{number}"
    return place


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o400)


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(folder: Path, error: OSError) -> WorkbenchError:
    return WorkbenchError(
        f"The bundle cannot be written to {folder}: {error.strerror}.",
        "Nothing was sealed. Make room, or name another folder with --output.",
    )
