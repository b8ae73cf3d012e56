"""What is known of a dry run, as a value and as ``dry_run.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import DryRunError, WorkbenchError, unknown

VERSION = 1
MANIFEST = "dry_run.json"
OUTCOMES = ("running", "completed", "failed", "interrupted", "not dry")
"""How a dry run may stand; ``not dry``: its report says that it was a live run."""


@dataclass(frozen=True)
class KeptFile:
    """A file of the dry run, or one that it was configured with, by its name."""

    file: str
    sha256: str
    size: int
    run: str | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Review:
    """Somebody's word that they read a dry run and approve of it.

    Attributes
    ----------
    by, at : str
        Who, and when (UTC, ISO 8601).
    remark : str
    content_sha256 : str
        Of what was read: see `DryRun.content`.
    """

    by: str
    at: str
    remark: str
    content_sha256: str


@dataclass(frozen=True)
class DryRun:
    """One dry run.

    Attributes
    ----------
    name : str
        ``dry_run_YYYYMMDD_HHMMSS``, the folder's too.
    command : tuple of str
        As it was called, without its secrets.
    environment, kind : str
        Where it was to look, by its name in ``workbench.toml``.
    operator : str
        Who ran it.
    started_at, finished_at : str
        UTC, ISO 8601; the latter empty while it runs.
    outcome : str
        One of `OUTCOMES`.
    exit_code, signal : int or None
        How the importer ended; the signal that ended it, or that ended us.
    told_by : str
        How the importer is known to be told that the run is dry.
    variables : tuple of str
        The names of the environment's variables; never a value.
    configuration : tuple of KeptFile
        The files it was configured with; `configuration_sha256` is the digest of all of them.
    log : KeptFile or None
    reports : tuple of KeptFile
        The importer's report files, copied. An incremental sync writes none: its log names the run and the mode.
    overwritten : tuple of KeptFile
        Live runs' reports that this one wrote over, copied before; with a run id where they count as evidence here.
    written_meanwhile : dict of str to int, or None
        Table to rows that anybody wrote while it ran; None where nobody looked.
    reviews : tuple of Review
    process : int
        The workbench's own, while it runs.
    """

    name: str
    command: tuple[str, ...]
    environment: str
    kind: str
    operator: str
    started_at: str
    told_by: str
    variables: tuple[str, ...]
    configuration: tuple[KeptFile, ...] = ()
    configuration_sha256: str | None = None
    finished_at: str = ""
    outcome: str = "running"
    exit_code: int | None = None
    signal: int | None = None
    log: KeptFile | None = None
    reports: tuple[KeptFile, ...] = ()
    overwritten: tuple[KeptFile, ...] = ()
    written_meanwhile: dict[str, int] | None = None
    reviews: tuple[Review, ...] = ()
    process: int = 0
    folder: Path = field(default=Path(), compare=False)

    @property
    def started(self) -> datetime:
        """When it started."""
        return datetime.fromisoformat(self.started_at)

    @property
    def seconds(self) -> float | None:
        """How long it took, where it ended."""
        if not self.finished_at:
            return None
        return (datetime.fromisoformat(self.finished_at) - self.started).total_seconds()

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that its reports, or its log, are of."""
        return tuple(sorted({each.run for each in self.evidence if each.run}))

    @property
    def evidence(self) -> tuple[KeptFile, ...]:
        """What tells what the importer would do: its reports; without any, the log where that can be read as one."""
        return self.reports or ((self.log,) if self.log is not None and self.log.mode else ())

    @property
    def state(self) -> str:
        """The outcome; of one that says it runs, and whose process is gone, ``interrupted``."""
        if self.outcome != "running" or (self.process and psutil.pid_exists(self.process)):
            return self.outcome
        return "interrupted"

    @property
    def content(self) -> list[str]:
        """What a review is of: the digests of log and reports, in order."""
        return [each.sha256 for each in ((self.log,) if self.log else ()) + self.reports]

    def fresh(self, now: datetime, hours: float) -> bool:
        """Whether it started within the last hours."""
        return timedelta(0) <= now - self.started <= timedelta(hours=hours)


def write_dry_run(run: DryRun) -> None:
    """Write ``dry_run.json`` into its folder: whole, or not at all."""
    content = {"workbench_dry_run": VERSION, **asdict(run)}
    del content["folder"]
    path = run.folder / MANIFEST
    part = path.with_name(f".{MANIFEST}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise WorkbenchError(f"{path} could not be written: {error.strerror}.", "Make room.") from None


def read_dry_run(folder: Path) -> DryRun:
    """Read what is known of a dry run.

    Raises
    ------
    DryRunError
        When the folder is none of a dry run, or its manifest cannot be read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("workbench_dry_run") != VERSION:
            raise ValueError("another version")
        return DryRun(**_converted(content), folder=folder)
    except FileNotFoundError:
        raise DryRunError(f"{folder} is not a dry run: it has no {MANIFEST}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DryRunError(
            f"{path} is damaged or was altered: {type(error).__name__}.", "Run the dry run again."
        ) from None


def list_dry_runs(folder: Path, environment: str | None = None) -> list[DryRun]:
    """List the dry runs that are kept, the latest first; what cannot be read is left out."""
    found = []
    for path in folder.glob(f"dry_run_*/{MANIFEST}"):
        try:
            run = read_dry_run(path.parent)
        except DryRunError:
            continue  # `find_dry_run` says why
        if environment is None or run.environment == environment:
            found.append(run)
    return sorted(found, key=lambda one: (one.started, one.name), reverse=True)


def find_dry_run(folder: Path, name: str | None, environment: str | None = None) -> DryRun:
    """Return a dry run by its name, its folder, or the run id that its report names; else the latest.

    Raises
    ------
    UsageError, DryRunError
        When there is none, with the nearest names.
    """
    known = list_dry_runs(folder, environment)
    if name is None:
        if not known:
            raise DryRunError(
                f"No dry run of {environment or 'any environment'} is kept in {folder}.",
                "`workbench dry-run -- COMMAND...` makes one.",
            )
        return known[0]
    path = Path(name) if "/" in name else folder / name
    if (path / MANIFEST).is_file():
        return read_dry_run(path)
    for each in known:
        if name in each.runs or each.name == name.removesuffix(".log"):
            return each
    raise unknown(
        "dry run", name, [each.name for each in known] + [one for each in known for one in each.runs]
    )


def dry_run_files(run: DryRun) -> list[Path]:
    """List the files of a dry run that belong into a bundle: manifest, log, reports."""
    kept = [run.folder / MANIFEST, *(run.folder / each.file for each in _files(run))]
    return [each for each in kept if each.is_file()]


def iso(moment: datetime) -> str:
    """Write a moment as manifests do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _files(run: DryRun) -> Sequence[KeptFile]:
    return ((run.log,) if run.log else ()) + run.reports


def _converted(content: dict[str, Any]) -> dict[str, Any]:
    found = dict(content)
    for name in ("configuration", "reports", "overwritten"):
        found[name] = tuple(KeptFile(**each) for each in content.get(name, ()))
    found["log"] = KeptFile(**content["log"]) if content["log"] else None
    found["reviews"] = tuple(Review(**each) for each in content["reviews"])
    found["command"], found["variables"] = tuple(content["command"]), tuple(content["variables"])
    if content["outcome"] not in OUTCOMES or datetime.fromisoformat(content["started_at"]).tzinfo is None:
        raise ValueError("outcome or start")
    files = (*found["reports"], *found["overwritten"], *((found["log"],) if found["log"] else ()))
    if any(Path(each.file).is_absolute() or ".." in Path(each.file).parts for each in files):
        raise ValueError("a file outside")
    return found
