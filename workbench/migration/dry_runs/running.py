"""Run an importer with ``DRY_RUN=1``: its output shown as it comes and kept, its reports collected."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from workbench.database.address import redact
from workbench.errors import ReportFileError, WorkbenchError
from workbench.migration.bundles import file_digest
from workbench.migration.dry_runs.manifest import DryRun, KeptFile, iso, list_dry_runs, write_dry_run
from workbench.migration.dry_runs.output import Redactor, follow, secrets_of
from workbench.migration.dry_runs.telling import VARIABLE, Told
from workbench.murmurant.reports import read_report

Show = Callable[[str], None]
Stamp = tuple[int, int, int]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECRET_FLAG = re.compile(
    r"-{1,2}[\w-]*(?:password|passwd|secret|token|api-?key|private-?key)[\w-]*", re.IGNORECASE
)
_WRITTEN_TO = re.compile(r"^[^\n]*\breport\b[^:\n]*:[ \t]*(\S[^\n]*?\.json)\b", re.IGNORECASE | re.MULTILINE)
_API_REPORT = Path("/tmp/murmurant/wa_full_sync_report.json")
"""Where the application writes the report of every full sync, each over the one before."""

_OWN_NAME_EACH = ("migration-", "id-map-")
"""How the CSV importer's reports begin, each of which has a name of its own."""

_CONFIGURATION = {".yaml", ".yml", ".toml", ".json", ".ini", ".cfg", ".conf"}


@dataclass(frozen=True)
class DryRunRequest:
    """What is to be run, and in whose name.

    Attributes
    ----------
    command : sequence of str
        The importer and its arguments.
    told : Told
        How it is known that the importer is told.
    backups : Path
        Where dry runs are kept.
    environment, kind, operator : str
        Where it is to look, and who runs it.
    reports : sequence of Path
        Files, or folders of them, in which the importer leaves its reports.
    configuration : sequence of Path
        Files it is configured with, besides those that the command names.
    folder : Path
        Where it is started.
    """

    command: Sequence[str]
    told: Told
    backups: Path
    environment: str
    kind: str
    operator: str
    reports: Sequence[Path] = ()
    configuration: Sequence[Path] = ()
    folder: Path = Path()


def run_dry(
    request: DryRunRequest, show: Show, written: Callable[[], dict[str, int] | None] = lambda: None
) -> DryRun:
    """Run an importer dry, and keep what it leaves.

    The manifest is there from the beginning: killed at any point, what was logged so far stays, and the dry run
    counts as interrupted. A signal is passed on to the importer and all it started.

    Parameters
    ----------
    show : callable
        Given every piece of output as it comes, without its secrets.
    written : callable
        Asked at the end how many rows anybody wrote meanwhile; None where nobody looked.

    Returns
    -------
    DryRun
        However it ended: `DryRun.outcome` says how.
    """
    surroundings = {**os.environ, VARIABLE: "1"}
    run = _begun(request, surroundings)
    before = _stamps(request.reports)
    rescued = _rescued(request, run.folder)
    log = run.folder / f"{run.name}.log"
    redactor = Redactor(secrets_of(surroundings))
    try:
        exit_code, caught = _execute(request, surroundings, log, redactor, show)
    except OSError as error:
        ended = replace(run, outcome="failed", finished_at=iso(datetime.now(UTC)), process=0)
        write_dry_run(ended)
        raise WorkbenchError(
            f"{request.command[0]} could not be run: {error.strerror or type(error).__name__}.",
            f"{run.name} says so too.",
        ) from None
    finished = iso(datetime.now(UTC))
    after = _stamps(request.reports)
    started = int(run.started.timestamp() - 1) * 10**9  # a file system may keep whole seconds
    after |= {
        path: stamp
        for path, stamp in _stamps(_named_in(log, request.folder)).items()
        if path in before or stamp[0] >= started
    }
    reports = tuple(_collected(run.folder, before, after))
    overwritten = tuple(_overwritten(run.folder, rescued, request.reports))
    outcome = "interrupted" if caught or exit_code < 0 else "failed" if exit_code else "completed"
    kept_log = _kept_log(run, log) if not reports else KeptFile(log.name, *file_digest(log))
    if any(each.mode == "live" for each in (*reports, kept_log)):
        outcome = "not dry"
    ended = replace(
        run,
        finished_at=finished,
        outcome=outcome,
        exit_code=exit_code if exit_code >= 0 else None,
        signal=caught or (-exit_code if exit_code < 0 else None),
        log=kept_log,
        reports=reports,
        overwritten=overwritten,
        written_meanwhile=written(),
        process=0,
    )
    write_dry_run(ended)
    return ended


def _begun(request: DryRunRequest, surroundings: Mapping[str, str]) -> DryRun:
    now = datetime.now(UTC)
    configuration = tuple(_configured(request))
    summed = hashlib.sha256("".join(f"{each.sha256}  {each.file}\n" for each in configuration).encode())
    folder = _new_folder(request.backups, now)
    run = DryRun(
        name=folder.name,
        command=tuple(shown_command(request.command, secrets_of(surroundings))),
        environment=request.environment,
        kind=request.kind,
        operator=request.operator,
        started_at=iso(now),
        told_by=request.told.by,
        variables=tuple(sorted(surroundings)),
        configuration=configuration,
        configuration_sha256=summed.hexdigest() if configuration else None,
        process=os.getpid(),
        folder=folder,
    )
    write_dry_run(run)
    return run


def shown_command(command: Sequence[str], secrets: Sequence[str] = ()) -> list[str]:
    """Return a command without the secrets in it: in URLs, after ``--password`` and the like."""
    shown: list[str] = []
    for each in command:
        after_flag = bool(shown) and _SECRET_FLAG.fullmatch(shown[-1]) is not None
        name, equals, value = each.partition("=")
        if after_flag and not each.startswith("-"):
            shown.append("***")
        elif (
            equals
            and value
            and (_SECRET_FLAG.fullmatch(name) or _SECRET_FLAG.fullmatch(f"-{name}".replace("_", "-")))
        ):
            shown.append(f"{name}=***")
        else:
            shown.append(redact(each, *secrets))
    return shown


def _execute(
    request: DryRunRequest, surroundings: Mapping[str, str], log: Path, redactor: Redactor, show: Show
) -> tuple[int, int]:
    """Return the exit code (minus the signal that ended it), and the signal that we were sent, or 0."""
    with log.open("x", encoding="utf-8") as file:
        log.chmod(0o600)
        process = subprocess.Popen(
            list(request.command),
            cwd=request.folder,
            env=dict(surroundings),
            stdin=subprocess.DEVNULL,  # nobody is there to answer; and a question must not stop it for ever
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a signal reaches it once, through us, and all that it started
        )

        def keep(piece: str) -> None:
            file.write(piece)
            file.flush()
            show(piece)

        with process, _passed_on(process) as caught:
            follow(process, redactor, keep, lambda: caught[0][1] if caught else None)
        os.fsync(file.fileno())
    return process.returncode, caught[0][0] if caught else 0


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[tuple[int, float]]]:
    """Pass signals on to the importer's whole group; the second of them ends it at once."""
    caught: list[tuple[int, float]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        caught.append((number, time.monotonic()))
        end_group(process, number if len(caught) == 1 else signal.SIGKILL)

    try:
        former = {each: signal.signal(each, pass_on) for each in _SIGNALS}
    except ValueError:
        former = {}  # not the main thread: in a notebook's kernel an interrupt arrives as an exception
    try:
        yield caught
    except BaseException:
        end_group(process, signal.SIGKILL)
        raise
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def end_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and all that it started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _new_folder(backups: Path, now: datetime) -> Path:
    name = f"dry_run_{now:%Y%m%d_%H%M%S}"
    number = 1
    try:
        backups.mkdir(parents=True, exist_ok=True)
        while True:
            folder = backups / (name if number == 1 else f"{name}_{number}")
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise WorkbenchError(
            f"Nothing can be kept in {backups}: {error.strerror}.", "Nothing was started. Correct `backups`."
        ) from None


def _configured(request: DryRunRequest) -> Iterator[KeptFile]:
    named = [request.folder / each for each in request.command if Path(each).suffix.lower() in _CONFIGURATION]
    for path in sorted({each.resolve() for each in [*request.configuration, *named] if each.is_file()}):
        digest, size = file_digest(path)
        yield KeptFile(path.name, digest, size)


def _stamps(places: Sequence[Path]) -> dict[Path, Stamp]:
    """Return which JSON files there are, and what changes when one is written."""
    files = [each for place in places for each in (place.glob("*.json") if place.is_dir() else [place])]
    found = {}
    for path in dict.fromkeys(each.resolve() for each in files):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def _named_in(log: Path, folder: Path) -> list[Path]:
    """Return the report files that an importer's output names."""
    text = log.read_text(encoding="utf-8", errors="replace")
    found = dict.fromkeys(folder / each for each in _WRITTEN_TO.findall(text))
    return [each.resolve() for each in found if each.is_file()]


def _rescued(request: DryRunRequest, folder: Path) -> dict[Path, tuple[Stamp, KeptFile]]:
    """Copy the reports of live syncs that a dry run may write over: each has the name of the one before."""
    logs = [
        each.folder / each.log.file
        for each in list_dry_runs(request.backups, request.environment)
        if each.log
    ]
    earlier = [path for log in logs[:1] if log.is_file() for path in _named_in(log, request.folder)]
    found: dict[Path, tuple[Stamp, KeptFile]] = {}
    for path, stamp in _stamps([*request.reports, *earlier, _API_REPORT]).items():
        if path.name.startswith(_OWN_NAME_EACH):
            continue
        try:
            report = read_report(path)
        except ReportFileError:
            continue  # it is no report: nothing is lost
        if report.mode == "live":
            name = f"overwritten/{len(found) + 1}-{path.name}"
            (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(path, folder / name)
            found[path] = stamp, KeptFile(name, *file_digest(folder / name), report.run_id, "live")
    return found


def _overwritten(
    folder: Path, rescued: Mapping[Path, tuple[Stamp, KeptFile]], places: Sequence[Path]
) -> Iterator[KeptFile]:
    """Keep the copies of what was really written over; those that nobody declared are no evidence of this environment."""
    declared = {each.resolve() for each in places}
    for path, (stamp, kept) in rescued.items():
        if _stamps([path]).get(path) == stamp:
            (folder / kept.file).unlink()
        else:
            yield kept if declared & {path, path.parent} else replace(kept, run=None)
    with suppress(OSError):
        (folder / "overwritten").rmdir()  # where nothing is in it


def _kept_log(run: DryRun, log: Path) -> KeptFile:
    """Note of a log what it says itself: that of an incremental sync is its report."""
    kept = KeptFile(log.name, *file_digest(log))
    try:
        report = read_report(log)
    except ReportFileError:
        return kept
    return replace(kept, run=report.run_id or None, mode=report.mode)


def _collected(folder: Path, before: Mapping[Path, Stamp], after: Mapping[Path, Stamp]) -> Iterator[KeptFile]:
    """Copy the reports that were written meanwhile."""
    for path in sorted(each for each, stamp in after.items() if before.get(each) != stamp):
        try:
            report = read_report(path)
        except ReportFileError:
            report = None
            if not path.name.startswith((*_OWN_NAME_EACH, _API_REPORT.stem)):
                continue
        target = folder / "reports" / path.name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(path, target)
        digest, size = file_digest(target)
        kept = KeptFile(f"reports/{path.name}", digest, size)
        yield kept if report is None else replace(kept, run=report.run_id, mode=report.mode)
