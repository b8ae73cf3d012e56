"""Dry runs: an importer run with ``DRY_RUN=1``, its log and reports kept, and their review recorded (guide §2.2, §5.3).

A command that contradicts ``DRY_RUN=1`` is not started. Otherwise the result decides: a report or log that says ``live``
makes the dry run ``not dry``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import psutil
from psycopg import sql
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import Connection, text

from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.documents import PRODUCTION, Document, Store
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError, unknown
from workbench.migration.bundles import file_digest, free_name
from workbench.murmurant.reports import read_report
from workbench.murmurant.schema import Schema

VARIABLE = "DRY_RUN"

_CONTRADICTION = re.compile(
    rf"(?<!\w){VARIABLE}=(?!(?:1|true|yes|on)(?!\w))\S*|\bunset\s+(?:\S+\s+)*?{VARIABLE}\b|-u\s*{VARIABLE}\b|--unset[= ]{VARIABLE}\b"
    r"|\benv\s+(?:-\S+\s+)*(?:-i\b|-(?=\s)|--ignore-environment)|\S+:live\b|(?<!\S)--(?:live|no-dry-?run|execute|apply|commit)(?!\S)"
    r"|--dry-?run[= ](?:0|false|no|off)\b|--mode[= ]live\b",
    re.IGNORECASE,
)
_DROPS_VARIABLES = re.compile(
    r"(?<!\S)(?:\S*/)?(sudo|doas|su|runuser|chroot|systemd-run|ssh|docker|docker-compose|podman|kubectl|heroku|fly|flyctl)"
    rf"(?!\S)(?!.*{VARIABLE})",
    re.DOTALL,
)
"""Programs that start others on another machine or without the environment's variables."""

_SECRET = re.compile(
    r"pass|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credential", re.IGNORECASE
)
_IN_URL = re.compile(r"://[^\s/@:]*:([^\s@]+)@")
_REPORT_PATH = re.compile(r"^[^\n]*\breport\b[^:\n]*:[ \t]*(\S[^\n]*?\.json)\b", re.IGNORECASE | re.MULTILINE)
_API_REPORT = Path("/tmp/murmurant/wa_full_sync_report.json")
"""Where the application writes the report of every full sync, each over the previous one."""

_CONFIGURATION = {".yaml", ".yml", ".toml", ".json", ".ini", ".cfg", ".conf"}


class KeptFile(BaseModel):
    """A file of a dry run or of its configuration; of a report also its run and mode."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    run: str | None = None
    mode: str | None = None


class Review(BaseModel):
    """A person's approval of a dry run; `content_sha256` is the digest of what they read."""

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
        ``dry_run_YYYYMMDD_HHMMSS``, also the name of its folder.
    command : tuple of str
        Without its secrets.
    environment, kind : str
        The target, as ``workbench.toml`` names it.
    outcome : str
        ``not dry``: the importer's report says that the run was live.
    exit_code, signal : int or None
        The importer's exit code; the signal that ended it, or that was sent to the workbench.
    configuration : tuple of KeptFile
        The files that configured the importer.
    reports : tuple of KeptFile
        Copies of the importer's reports. An incremental sync writes none: its log names the run and the mode.
    overwritten : tuple of KeptFile
        Copies of live runs' reports that this run overwrote; with a run id where they count as evidence here.
    written_meanwhile : dict of str to int, or None
        Table to the rows that anybody wrote during the run; None where the database could not be read.
    process : int
        The workbench's process during the run; 0 after it.
    """

    noun = "dry run"
    suffix = "/dry_run.json"
    remedy = "Run the dry run again."
    version = 3
    sealed = False

    name: str
    command: tuple[str, ...]
    environment: str
    kind: str
    operator: str
    started_at: AwareDatetime
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
        """The folder of its files."""
        return self.path.parent

    @property
    def seconds(self) -> float | None:
        """Its duration; None while it runs."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def configuration_sha256(self) -> str | None:
        """The digest of all files of the configuration."""
        lines = "".join(f"{file.sha256}  {file.file}\n" for file in self.configuration)
        return sha256(lines.encode()).hexdigest() if lines else None

    @property
    def evidence(self) -> tuple[KeptFile, ...]:
        """The reports; without any, the log where it can be read as one."""
        return self.reports or ((self.log,) if self.log is not None and self.log.mode else ())

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs that its reports or its log are about."""
        return tuple(sorted({file.run for file in self.evidence if file.run}))

    @property
    def state(self) -> str:
        """The outcome; ``interrupted`` for one whose process was killed."""
        killed = self.outcome == "running" and not (self.process and psutil.pid_exists(self.process))
        return "interrupted" if killed else self.outcome

    @property
    def files(self) -> tuple[KeptFile, ...]:
        """The log and the reports: what a reviewer reads."""
        return ((self.log,) if self.log else ()) + self.reports

    @property
    def content_sha256(self) -> str:
        """The digest of what a reviewer reads."""
        return sha256("\n".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def altered(self) -> list[str]:
        """The files that changed since they were kept."""
        return [file.file for file in self.files if not self.is_intact(file)]

    @property
    def approval(self) -> Review | None:
        """The latest review, where the run completed and its files are as they were read."""
        if self.outcome != "completed" or self.altered:
            return None
        valid = [review for review in self.reviews if review.content_sha256 == self.content_sha256]
        return valid[-1] if valid else None

    def is_intact(self, file: KeptFile) -> bool:
        """Whether a file is unchanged since it was kept."""
        try:
            return file_digest(self.folder / file.file) == file.sha256
        except OSError:
            return False

    def prune(self) -> None:
        """Delete it; it is renamed first, so that a killed process leaves no partial dry run in the list.

        Raises
        ------
        Refused
            When it is running, or changed since it was read.
        WorkbenchError
            When it cannot be deleted.
        """
        if self.state == "running" or DryRun.read(self.path).digest != self.digest:
            raise Refused(f"{self.name} is running, or has changed.", "List the dry runs again.")
        hidden = self.folder.with_name(f".{self.name}.pruned")
        try:
            self.folder.rename(hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            raise WorkbenchError(
                f"{self.name} cannot be deleted: {error.strerror}.", f"Delete {hidden} yourself."
            ) from None


def list_dry_runs(folder: Path, environment: str | None = None) -> list[DryRun]:
    """List the readable dry runs of a folder, the latest first."""
    runs = [run for _, run in Store(folder, DryRun).scan() if isinstance(run, DryRun)]
    runs = [run for run in runs if environment in (None, run.environment)]
    return sorted(runs, key=lambda run: (run.started_at, run.name), reverse=True)


def find_dry_run(folder: Path, name: str | None, environment: str) -> DryRun:
    """Return a dry run by its name or by the run id of its report; the latest without a name.

    Raises
    ------
    UsageError, DocumentError
        When there is none.
    """
    runs = list_dry_runs(folder, environment)
    if name is None and not runs:
        raise DocumentError(
            f"No dry run of {environment} is kept in {folder}.",
            "`workbench dry-run -- COMMAND...` makes one.",
        )
    for run in runs:
        if name in (None, run.name, *run.runs):
            return run
    raise unknown("dry run", str(name), [known for run in runs for known in (run.name, *run.runs)])


def kept_reports(backups: Path, environment: str) -> list[Path]:
    """List the intact reports that an environment's dry runs left or overwrote."""
    return [
        run.folder / file.file
        for run in list_dry_runs(backups, environment)
        for file in (*run.evidence, *run.overwritten)
        if file.run and run.is_intact(file)
    ]


def approve_dry_run(run: DryRun, by: str, remark: str = "") -> DryRun:
    """Record that a person read a dry run and approves of it.

    Raises
    ------
    Refused
        When it did not complete, left no report or was altered; on production, when its operator would approve it.
    """
    own = run.kind == PRODUCTION and by.strip().casefold() == run.operator.strip().casefold()
    reasons = {
        "an approval needs a name (--as NAME)": not by.strip(),
        f"it is {run.state}": run.state != "completed",
        "it left no report: name the importer's folder in import_reports": not run.evidence,
        f"these files were altered since it ran: {', '.join(run.altered)}": bool(run.altered),
        f"{by} ran it, and on production another person approves": own,
    }
    for reason, holds in reasons.items():
        if holds:
            raise Refused(f"{run.name} cannot be approved: {reason}.", "Correct that, and run it again.")
    now = datetime.now(UTC).replace(microsecond=0)
    review = Review(by=by.strip(), at=now, remark=remark.strip(), content_sha256=run.content_sha256)
    return run.model_copy(update={"reviews": (*run.reviews, review)}).write(run.path)


def refuse_live(command: Sequence[str]) -> None:
    """Refuse a command that contradicts ``DRY_RUN=1`` or does not pass it on.

    Raises
    ------
    UsageError
        When the program does not exist.
    Refused
        When the run would not be dry.
    """
    program = command[0] if command else ""
    if not shutil.which(program):
        raise UsageError(
            f"The program {program!r} was not found.",
            "Write `workbench dry-run -- COMMAND...`, as in a shell.",
        )
    line = " ".join(command)
    if contradiction := _CONTRADICTION.search(line):
        raise Refused(
            f"This would not be a dry run: the command says {redact(contradiction[0])!r}.",
            "Nothing was started. Remove that from the command.",
        )
    if losing := _DROPS_VARIABLES.search(line):
        raise Refused(
            f"This would not be a dry run: {losing[1]} does not pass {VARIABLE} on.",
            f"Nothing was started. Set {VARIABLE}=1 in what {losing[1]} runs, such as `sudo {VARIABLE}=1 COMMAND`.",
        )


def run_dry(
    command: Sequence[str],
    *,
    backups: Path,
    environment: str,
    kind: str,
    operator: str,
    show: Callable[[str], None],
    reports: Sequence[Path] = (),
    configuration: Sequence[Path] = (),
    written_meanwhile: Callable[[], dict[str, int] | None] = lambda: None,
) -> DryRun:
    """Run an importer with ``DRY_RUN=1`` and keep its log and reports.

    The record is written first: if the process is killed, the log so far is kept and the dry run counts as interrupted.
    Signals are passed on to the importer and everything it started; the second signal kills it.

    Parameters
    ----------
    backups : Path
        The folder in which dry runs are kept.
    show : callable
        Called with each line of output, without its secrets.
    reports : sequence of Path
        Files or folders in which the importer leaves its reports.
    configuration : sequence of Path
        Files that configure the importer, besides those that the command names.
    written_meanwhile : callable
        Called at the end: counts the rows that anybody wrote meanwhile.

    Raises
    ------
    WorkbenchError
        When the importer cannot be started, or nothing can be kept.
    """
    variables, now = {**os.environ, VARIABLE: "1"}, datetime.now(UTC)
    secrets = _secrets(variables)
    named = [Path(word) for word in command if Path(word).suffix.lower() in _CONFIGURATION]
    configured = sorted({path.resolve() for path in [*configuration, *named] if path.is_file()})
    kept = free_name(backups, f"dry_run_{now:%Y%m%d_%H%M%S}")
    log = kept / f"{kept.name}.log"
    run = DryRun(
        name=kept.name,
        command=_without_secrets(command, secrets),
        environment=environment,
        kind=kind,
        operator=operator,
        started_at=now,
        configuration=tuple(_kept(path, path.name) for path in configured),
        process=os.getpid(),
    ).write(Path(f"{kept}{DryRun.suffix}"))
    before = _digests([*reports, _API_REPORT])
    at_risk = [path for path in before if path.name == _API_REPORT.name and _kept(path, "").mode == "live"]
    copies = {path: _copied(path, kept, "overwritten") for path in at_risk}
    try:
        process = subprocess.Popen(
            list(command),
            env=variables,
            stdin=subprocess.DEVNULL,  # a prompt must not block for ever
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that a signal reaches all that it started, once
        )
    except OSError as error:
        run.model_copy(update={"outcome": "failed", "finished_at": now, "process": 0}).write(run.path)
        raise WorkbenchError(
            f"{command[0]} could not be run: {error.strerror}.", f"{run.name} says so too."
        ) from None
    assert process.stdout is not None
    with (
        _passing_signals_on(process) as caught,
        process.stdout as lines,
        log.open("w", encoding="utf-8") as file,
    ):
        for line in lines:
            output = redact(line, *secrets)
            file.write(output)
            file.flush()
            show(output)
        code = process.wait()
    after = _digests(reports)
    written = [path for path, digest in after.items() if digest != before.get(path)]
    for name in _REPORT_PATH.findall(log.read_text(encoding="utf-8")):
        path = Path(name).resolve()
        # A file system may keep whole seconds only.
        if path.is_file() and path not in after and path.stat().st_mtime >= int(now.timestamp() - 1):
            written.append(path)
    files = [_copied(path, kept, "reports") for path in sorted({*written}) if _kept(path, "").mode]
    overwritten = []
    for path, copy in copies.items():
        if _digests([path]).get(path) == before[path]:
            (kept / copy.file).unlink()
        else:  # a path that nobody configured is no evidence of this environment
            overwritten.append(copy if path in after else copy.model_copy(update={"run": None}))
    logged = _kept(log, log.name)
    is_live = any(file.mode == "live" for file in (*files, logged))
    stopped = caught[0] if caught else max(-code, 0)
    outcome = "not dry" if is_live else "interrupted" if stopped else "failed" if code else "completed"
    facts: dict[str, Any] = {
        "outcome": outcome,
        "exit_code": code if code >= 0 else None,
        "signal": stopped or None,
        "log": logged,
        "reports": tuple(files),
        "overwritten": tuple(overwritten),
        "written_meanwhile": written_meanwhile(),
        "finished_at": datetime.now(UTC),
        "process": 0,
    }
    return run.model_copy(update=facts).write(run.path)


def transaction_mark(connection: Connection) -> str:
    """Return the transaction id from which on every row is new."""
    return str(connection.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")))


def written_since(connection: Connection, schema: Schema, since: str) -> dict[str, int]:
    """Count the rows inserted or updated since a mark, by table; deletions leave no row to count."""
    counts = {}
    for concept in filter(schema.has, ("members", "events", "registrations", "mappings")):
        table = schema.resolved[concept].table
        newer = sql.SQL("SELECT count(*) FROM {} WHERE age(xmin) <= age(%s::text::xid)")
        query = newer.format(sql.Identifier(schema.catalogue.schema, table))
        (rows,) = raw(connection).execute(query, [str(int(since) % 2**32)]).fetchone() or (0,)
        if rows:
            counts[table] = int(rows)
    return counts


@contextmanager
def _passing_signals_on(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Send the signals that arrive to the importer's process group; yield the list of them. At the end it is killed."""
    caught: list[int] = []

    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def pass_on(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        send(number if len(caught) == 1 else signal.SIGKILL)
        if len(caught) > 2:  # a process that left the group may hold the output open
            raise KeyboardInterrupt

    former: dict[int, Any] = {}
    with suppress(ValueError):  # only the main thread can handle signals
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            former[name] = signal.signal(name, pass_on)
    try:
        yield caught
    finally:
        if process.poll() is None:
            send(signal.SIGKILL)
            process.wait()
        for number, handler in former.items():
            signal.signal(number, handler)


def _secrets(variables: Mapping[str, str]) -> list[str]:
    """Return what must not be logged: values of variables named like secrets, and passwords in URLs."""
    values = {value for name, value in variables.items() if _SECRET.search(name) and value[:1] not in "/.~"}
    values |= {password for value in variables.values() for password in _IN_URL.findall(value)}
    return sorted((value for value in values if len(value) >= 6), key=len, reverse=True)


def _without_secrets(command: Sequence[str], secrets: Sequence[str]) -> tuple[str, ...]:
    """Return a command without the secrets in URLs, of variables, and after options such as ``--password``."""
    words = []
    for before, word in pairwise(["", *command]):
        name, equals, _ = word.partition("=")
        if before.startswith("-") and "=" not in before and _SECRET.search(before):
            words.append("***")
        else:
            words.append(f"{name}=***" if equals and _SECRET.search(name) else redact(word, *secrets))
    return tuple(words)


def _kept(path: Path, name: str) -> KeptFile:
    """Describe a file, with the run and mode that it reports."""
    about: dict[str, str | None] = {}
    with suppress(DocumentError):
        report = read_report(path)
        about = {"run": report.run_id or None, "mode": report.mode}
    return KeptFile(file=name, sha256=file_digest(path), **about)


def _copied(path: Path, kept: Path, kind: str) -> KeptFile:
    (kept / kind).mkdir(mode=0o700, exist_ok=True)
    copy = free_name(kept / kind, path.name)
    shutil.copyfile(path, copy)
    return _kept(copy, f"{kind}/{copy.name}")


def _digests(places: Iterable[Path]) -> dict[Path, str]:
    """Return the digest of every JSON file in some folders, and of single files."""
    digests = {}
    for place in places:
        for path in place.glob("*.json") if place.is_dir() else [place]:
            with suppress(OSError):
                digests[path.resolve()] = file_digest(path)
    return digests
