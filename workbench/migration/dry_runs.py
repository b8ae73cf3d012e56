"""Dry runs that are kept: what is known of each, and somebody's word that they read it (guide §2.2, §5.3, §6)."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from workbench.documents import PRODUCTION, Document, Store
from workbench.errors import DocumentError, Refused, WorkbenchError, unknown
from workbench.migration.bundles import file_digest


def _inside(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError("a file outside")
    return name


class KeptFile(BaseModel):
    """A file of the dry run, or one that it was configured with, by its name; a report's run and mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, AfterValidator(_inside)]
    sha256: str
    run: str | None = None
    mode: str | None = None


class Review(BaseModel):
    """Somebody's word that they read a dry run and approve of it; `content_sha256` is of what was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    at: AwareDatetime
    remark: str
    content_sha256: str


class DryRun(Document):
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
    finished_at : datetime or None
        None while it runs.
    outcome : str
        ``not dry``: its report says that it was a live run.
    exit_code, signal : int or None
        How the importer ended; the signal that ended it, or that ended us.
    told_by : str
        How the importer is told that the run is dry.
    variables : tuple of str
        The names of the environment's variables; never a value.
    configuration : tuple of KeptFile
        The files it was configured with.
    reports : tuple of KeptFile
        The importer's report files, copied. An incremental sync writes none: its log names the run and the mode.
    overwritten : tuple of KeptFile
        Live runs' reports that this one wrote over, copied before; with a run id where they count as evidence here.
    written_meanwhile : dict of str to int, or None
        Table to rows that anybody wrote while it ran; None where nobody looked.
    process : int
        The workbench's own, while it runs.
    """

    noun = "dry run"
    suffix = "/dry_run.json"
    remedy = "Run the dry run again."
    version = 2
    sealed = False

    name: str
    command: tuple[str, ...]
    environment: str
    kind: str
    operator: str
    started_at: AwareDatetime
    told_by: str
    variables: tuple[str, ...]
    configuration: tuple[KeptFile, ...] = ()
    finished_at: AwareDatetime | None = None
    outcome: Literal["running", "completed", "failed", "interrupted", "not dry"] = "running"
    exit_code: int | None = None
    signal: int | None = None
    log: KeptFile | None = None
    reports: tuple[KeptFile, ...] = ()
    overwritten: tuple[KeptFile, ...] = ()
    written_meanwhile: dict[str, int] | None = None
    reviews: tuple[Review, ...] = ()
    process: int = 0

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.path.parent

    @property
    def seconds(self) -> float | None:
        """How long it took, where it ended."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def configuration_sha256(self) -> str | None:
        """The digest of all files it was configured with."""
        lines = "".join(f"{file.sha256}  {file.file}\n" for file in self.configuration)
        return sha256(lines.encode()).hexdigest() if lines else None

    @property
    def evidence(self) -> tuple[KeptFile, ...]:
        """What says what the importer would do: its reports; without any, the log where that can be read as one."""
        return self.reports or ((self.log,) if self.log is not None and self.log.mode else ())

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that its reports, or its log, are about."""
        return tuple(sorted({file.run for file in self.evidence if file.run}))

    @property
    def files(self) -> tuple[KeptFile, ...]:
        """Its log and its reports: what a reviewer reads."""
        return ((self.log,) if self.log else ()) + self.reports

    @property
    def state(self) -> str:
        """The outcome; ``interrupted`` for one that says it runs, and whose process is gone."""
        is_gone = self.outcome == "running" and not (self.process and psutil.pid_exists(self.process))
        return "interrupted" if is_gone else self.outcome

    @property
    def content_sha256(self) -> str:
        """The digest of what a review is of."""
        return sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def altered(self) -> list[str]:
        """The files that are no longer as they were written."""
        return [file.file for file in self.files if not self.is_intact(file)]

    @property
    def approval(self) -> Review | None:
        """The latest review of what is still there as it was read; of one that came to its end."""
        if self.outcome != "completed" or self.altered:
            return None
        valid = [review for review in self.reviews if review.content_sha256 == self.content_sha256]
        return valid[-1] if valid else None

    def is_intact(self, file: KeptFile) -> bool:
        """Whether a file is there as it was written."""
        try:
            return file_digest(self.folder / file.file) == file.sha256
        except OSError:
            return False

    def prune(self) -> None:
        """Delete it: unlisted first, so that one that is listed is whole even if this is killed.

        Raises
        ------
        Refused
            When it runs, or has changed since it was looked at.
        WorkbenchError
            When it cannot be deleted.
        """
        if self.state == "running" or DryRun.read(self.path).digest != self.digest:
            raise Refused(f"{self.name} runs, or has changed since it was looked at.", "Look again.")
        hidden = self.folder.with_name(f".{self.name}.pruned")
        try:
            self.folder.rename(hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            raise WorkbenchError(
                f"{self.name} could not be deleted: {error.strerror}.", f"Delete {hidden} by hand."
            ) from None


def list_dry_runs(folder: Path, environment: str | None = None) -> list[DryRun]:
    """List the dry runs that are kept, the latest first; `find_dry_run` names what cannot be read."""
    runs = [run for _, run in Store(folder, DryRun).scan() if isinstance(run, DryRun)]
    runs = [run for run in runs if environment in (None, run.environment)]
    return sorted(runs, key=lambda run: (run.started_at, run.name), reverse=True)


def find_dry_run(folder: Path, name: str | None, environment: str | None = None) -> DryRun:
    """Return a dry run by its name, its folder, or the run id that its report names; else the latest.

    Raises
    ------
    UsageError, DocumentError
        When there is none, with the nearest names.
    """
    runs = list_dry_runs(folder, environment)
    if name is None and not runs:
        raise DocumentError(
            f"No dry run of {environment or 'any environment'} is kept in {folder}.",
            "`workbench dry-run -- COMMAND...` makes one.",
        )
    if name is not None and (path := Path(folder, f"{name}{DryRun.suffix}")).is_file():
        return DryRun.read(path)
    for run in runs:
        if name is None or name in run.runs:
            return run
    raise unknown("dry run", str(name), [known for run in runs for known in (run.name, *run.runs)])


def kept_reports(backups: Path, environment: str) -> list[Path]:
    """List the report files that dry runs of an environment left or wrote over, of those still as they were written."""
    return [
        run.folder / file.file
        for run in list_dry_runs(backups, environment)
        for file in (*run.evidence, *run.overwritten)
        if file.run and run.is_intact(file)
    ]


def approve_dry_run(run: DryRun, by: str, remark: str = "") -> DryRun:
    """Record that somebody read a dry run and approves of it.

    Raises
    ------
    Refused
        When there is nothing to approve: it did not come to its end, left no report, was altered since; or, on
        production, when who ran it would approve it.
    """
    reasons = {
        "an approval needs a name (--as NAME)": not by.strip(),
        f"it is {run.state}": run.state != "completed",
        "it left no report: name the importer's folder in import_reports": not run.evidence,
        f"these files were altered since it ran: {', '.join(run.altered)}": bool(run.altered),
        f"{by} ran it, and on production another person approves": run.kind == PRODUCTION
        and by.strip().casefold() == run.operator.strip().casefold(),
    }
    for reason, holds in reasons.items():
        if holds:
            raise Refused(f"{run.name} cannot be approved: {reason}.", "Correct that, and run it again.")
    now = datetime.now(UTC).replace(microsecond=0)
    review = Review(by=by.strip(), at=now, remark=remark.strip(), content_sha256=run.content_sha256)
    return run.model_copy(update={"reviews": (*run.reviews, review)}).write(run.path)
