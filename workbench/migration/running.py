"""Run an importer with ``DRY_RUN=1``: what it says is shown and kept, signals are passed on, its reports collected.

What the command itself contradicts is not started. Of the rest the result is believed: a report, or a log, that says
``live`` makes the dry run ``not dry``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread, Timer
from types import FrameType
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError
from workbench.migration.bundles import file_digest, free_name
from workbench.migration.dry_runs import DryRun, KeptFile, list_dry_runs
from workbench.murmurant.reports import ImportReport, read_report
from workbench.murmurant.schema import Schema

VARIABLE = "DRY_RUN"

AFTER_THE_END, AFTER_A_SIGNAL = 2.0, 10.0
"""Seconds that what the importer started may go on writing; and that it may take to end when it was told to."""

Show = Callable[[str], None]
Stamp = tuple[int, int, int]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST = 1 << 16
_CONTRADICTION = re.compile(
    rf"(?<!\w){VARIABLE}=(?!(?:1|true|yes|on)(?!\w))\S*|\bunset\s+(?:\S+\s+)*?{VARIABLE}\b|-u\s*{VARIABLE}\b|--unset[= ]{VARIABLE}\b"
    r"|\benv\s+(?:-\S+\s+)*(?:-i\b|-(?=\s)|--ignore-environment)|\S+:live\b|(?<!\S)--(?:live|no-dry-?run|execute|apply|commit)(?!\S)"
    r"|--dry-?run[= ](?:0|false|no|off)\b|--mode[= ]live\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"(?<!\S)(?:\S*/)?(sudo|doas|su|runuser|chroot|systemd-run|ssh|docker|docker-compose|podman|kubectl|heroku|fly|flyctl)"
    rf"(?!\S)(?!.*{VARIABLE})",
    re.DOTALL,
)
"""Programs that start others elsewhere, or without the environment they were started with, and are told nothing of it."""

_SECRET = re.compile(
    r"pass|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credential", re.IGNORECASE
)
_IN_URL = re.compile(r"://[^\s/@:]*:([^\s@]+)@")
_WRITTEN_TO = re.compile(r"^[^\n]*\breport\b[^:\n]*:[ \t]*(\S[^\n]*?\.json)\b", re.IGNORECASE | re.MULTILINE)
_API_REPORT = Path("/tmp/murmurant/wa_full_sync_report.json")
"""Where the application writes the report of every full sync, each over the one before."""

_OWN_NAME_EACH = ("migration-", "id-map-")
"""How the CSV importer's reports begin, each of which has a name of its own."""

_CONFIGURATION = {".yaml", ".yml", ".toml", ".json", ".ini", ".cfg", ".conf"}


def told_by(command: Sequence[str], folder: Path, vouched: bool = False) -> str:
    """Say how an importer is told that the run is dry.

    Parameters
    ----------
    folder : Path
        Where it is started.
    vouched : bool
        Whether the operator says that the variable reaches an importer that another program starts elsewhere.

    Raises
    ------
    UsageError
        When there is no such program.
    Refused
        When the command itself says that the run is not dry, or loses the variable.
    """
    program = command[0] if command else ""
    if not ((folder / program).is_file() if "/" in program else shutil.which(program)):
        raise UsageError(
            f"There is no program {program!r} here.",
            "Write `workbench dry-run -- COMMAND...`, as in a shell.",
        )
    line = " ".join(command)
    if contradiction := _CONTRADICTION.search(line):
        raise Refused(
            f"This would not be a dry run: the command says {redact(contradiction[0])!r}.",
            "Nothing was started. Take that out of the command.",
        )
    losing = _ELSEWHERE.search(line)
    if losing and not vouched:
        raise Refused(
            f"The importer would not be told: {losing[1]} does not pass {VARIABLE} on by itself.",
            f"Nothing was started. Say {VARIABLE}=1 in what it runs, or with --vouch that it is told all the same.",
        )
    vouching = f"; the operator vouches that {losing[1]} passes it on" if losing else ""
    return f"{VARIABLE}=1 in its environment{vouching}"


def run_dry(
    command: Sequence[str],
    *,
    backups: Path,
    environment: str,
    kind: str,
    operator: str,
    told_by: str,
    show: Show,
    reports: Sequence[Path] = (),
    configuration: Sequence[Path] = (),
    folder: Path = Path(),
    written_meanwhile: Callable[[], dict[str, int] | None] = lambda: None,
) -> DryRun:
    """Run an importer dry, and keep what it leaves.

    The record is there from the beginning: killed at any point, what was logged so far stays, and the dry run counts
    as interrupted. A signal is passed on to the importer and all it started.

    Parameters
    ----------
    backups : Path
        Where dry runs are kept.
    environment, kind, operator : str
        Where it is to look, and who runs it.
    show : callable
        Given every piece of output as it comes, without its secrets.
    reports : sequence of Path
        Files, or folders of them, in which the importer leaves its reports.
    configuration : sequence of Path
        Files it is configured with, besides those that the command names.
    folder : Path
        Where it is started.
    written_meanwhile : callable
        Asked at the end how many rows anybody wrote meanwhile; None where nobody looked.

    Returns
    -------
    DryRun
        However it ended: `DryRun.outcome` says how.
    """
    variables = {**os.environ, VARIABLE: "1"}
    secrets = _secrets(variables)
    now = datetime.now(UTC)
    configured = tuple(_configured(command, configuration, folder))
    digest = sha256("".join(f"{each.sha256}  {each.file}\n" for each in configured).encode()).hexdigest()
    kept = _new_folder(backups, now)
    log = kept / f"{kept.name}.log"
    run = DryRun(
        name=kept.name,
        command=tuple(_shown(command, secrets)),
        environment=environment,
        kind=kind,
        operator=operator,
        started_at=now,
        told_by=told_by,
        variables=tuple(sorted(variables)),
        configuration=configured,
        configuration_sha256=digest if configured else None,
        process=os.getpid(),
    ).write(Path(f"{kept}{DryRun.suffix}"))

    def ended(**facts: Any) -> DryRun:
        facts |= {"finished_at": datetime.now(UTC), "process": 0}
        return run.model_copy(update=facts).write(run.path)

    last = [earlier for earlier in list_dry_runs(backups, environment) if earlier.log][:1]
    named_before = [path for each in last for path in _named_in(each.folder / each.files[0].file, folder)]
    before = _stamps([*reports, *named_before, _API_REPORT])
    at_risk = [path for path in before if _may_be_lost(path)]
    copies = [_copied(kept, f"overwritten/{at}-{path.name}", path) for at, path in enumerate(at_risk, 1)]
    try:
        code, caught = _tee(command, variables, folder, log, lambda text: redact(text, *secrets), show)
    except OSError as error:
        ended(outcome="failed")
        raise WorkbenchError(
            f"{command[0]} could not be run: {error.strerror or type(error).__name__}.",
            f"{run.name} says so too.",
        ) from None
    since = int(now.timestamp() - 1) * 10**9  # a file system may keep whole seconds
    after, named = _stamps(reports), _stamps(_named_in(log, folder))
    written = {path for path, stamp in after.items() if stamp != before.get(path)}
    written |= {path for path, stamp in named.items() if stamp[0] >= since}
    files = [_copied(kept, f"reports/{path.name}", path) for path in sorted(written) if _is_report(path)]
    overwritten = []
    for path, copy in zip(at_risk, copies, strict=True):
        if _stamps([path]).get(path) == before[path]:
            (kept / copy.file).unlink()
        else:  # what nobody declared is no evidence of this environment
            overwritten.append(copy if path in after else copy.model_copy(update={"run": None}))
    told, outcome = _noted(kept, log.name), "completed"
    if any(each.mode == "live" for each in (*files, told)):
        outcome = "not dry"
    elif caught or code:  # one that was stopped has not come to its end, however it ended
        outcome = "interrupted" if caught or code < 0 else "failed"
    return ended(
        outcome=outcome,
        exit_code=code if code >= 0 else None,
        signal=caught or (-code if code < 0 else None),
        log=told,
        reports=tuple(files),
        overwritten=tuple(overwritten),
        written_meanwhile=written_meanwhile(),
    )


def transaction_mark(connection: Connection) -> str:
    """Return the transaction id from which on everything is new."""
    return str(connection.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")))


def written_since(connection: Connection, schema: Schema, since: str) -> dict[str, int]:
    """Count the rows that were written since a mark, in one scan of each table.

    Returns
    -------
    dict of str to int
        Real table name to rows inserted or updated since and still there; a deletion leaves no row to count.
    """
    counts = {}
    for concept in filter(schema.has, ("members", "events", "registrations", "mappings")):
        table = schema.resolved[concept].table
        newer = sql.SQL("SELECT count(*) FROM {} WHERE age(xmin) <= age(%s::text::xid)")
        query = newer.format(sql.Identifier(schema.catalogue.schema, table))
        (rows,) = raw(connection).execute(query, [str(int(since) % 2**32)]).fetchone() or (0,)
        if rows:
            counts[table] = int(rows)
    return counts


def _tee(
    command: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    log: Path,
    clean: Callable[[str], str],
    show: Show,
) -> tuple[int, int]:
    """Return the exit code (minus the signal that ended it), and the signal that we were sent, or 0."""
    over, failures = Event(), list[Exception]()
    with log.open("x", encoding="utf-8") as file:
        log.chmod(0o600)
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,  # nobody is there to answer; and a question must not stop it for ever
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a signal reaches it once, through us, and all that it started
        )

        def pump() -> None:
            try:
                for piece in _lines(process):
                    if over.is_set():
                        return
                    shown = clean(piece.decode("utf-8", "replace"))
                    file.write(shown)
                    file.flush()
                    show(shown)
            except Exception as error:  # noqa: BLE001 - raised again once the importer has ended
                failures.append(error)
                _signal_group(process, signal.SIGKILL)

        reader = Thread(target=pump, daemon=True)
        reader.start()
        with _signals_passed_on(process) as caught:
            process.wait()
        reader.join(AFTER_THE_END)  # something that it left behind may hold the pipe open
        over.set()
        os.fsync(file.fileno())
    if failures:
        raise failures[0]
    return process.returncode, caught[0] if caught else 0


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield whole lines as they come, so that no secret is cut in two."""
    assert process.stdout is not None
    rest = b""
    with process.stdout as pipe:
        while data := os.read(pipe.fileno(), _LONGEST):
            rest += data
            end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1 or (len(rest) > _LONGEST and len(rest))
            if end:
                yield rest[:end]
                rest = rest[end:]
    if rest:
        yield rest


@contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass signals on to the importer's whole group; the second of them, or ten seconds, end it."""
    caught: list[int] = []
    patience = Timer(AFTER_A_SIGNAL, _signal_group, (process, signal.SIGKILL))
    patience.daemon = True

    def pass_on(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        _signal_group(process, number if len(caught) == 1 else signal.SIGKILL)
        if len(caught) == 1:
            patience.start()

    try:
        former = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    except ValueError:
        former = {}  # not the main thread: in a notebook's kernel an interrupt arrives as an exception
    try:
        yield caught
    except BaseException:
        _signal_group(process, signal.SIGKILL)
        raise
    finally:
        patience.cancel()
        for number, handler in former.items():
            signal.signal(number, handler)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _secrets(variables: Mapping[str, str]) -> list[str]:
    """Return the values that must not be logged: of variables named like secrets, and passwords in their URLs."""
    values = {value for name, value in variables.items() if _SECRET.search(name) and value[:1] not in "/.~"}
    values |= {password for value in variables.values() for password in _IN_URL.findall(value)}
    return sorted((value for value in values if len(value) >= 6), key=len, reverse=True)


def _shown(command: Sequence[str], secrets: Sequence[str]) -> Iterator[str]:
    """Yield a command's words without the secrets in them: in URLs, of variables, after ``--password`` and the like."""
    before = ""
    for word in command:
        name, equals, value = word.partition("=")
        if before.startswith("-") and _SECRET.search(before) and not word.startswith("-"):
            yield "***"
        else:
            yield f"{name}=***" if value and _SECRET.search(name) else redact(word, *secrets)
        before = "" if equals else word


def _new_folder(backups: Path, now: datetime) -> Path:
    folder = free_name(backups, f"dry_run_{now:%Y%m%d_%H%M%S}")
    try:
        backups.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise WorkbenchError(
            f"Nothing can be kept in {backups}: {error.strerror}.", "Nothing was started. Correct `backups`."
        ) from None
    return folder


def _configured(command: Sequence[str], configuration: Sequence[Path], folder: Path) -> Iterator[KeptFile]:
    named = [folder / word for word in command if Path(word).suffix.lower() in _CONFIGURATION]
    for path in sorted({path.resolve() for path in [*configuration, *named] if path.is_file()}):
        digest, size = file_digest(path)
        yield KeptFile(file=path.name, sha256=digest, size=size)


def _copied(folder: Path, name: str, source: Path) -> KeptFile:
    (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(source, folder / name)
    return _noted(folder, name)


def _noted(folder: Path, name: str) -> KeptFile:
    """Note a file of a dry run, and what it says itself: an incremental sync's log is its report."""
    digest, size = file_digest(folder / name)
    report = _read(folder / name)
    told = (report.run_id or None, report.mode) if report else (None, None)
    return KeptFile(file=name, sha256=digest, size=size, run=told[0], mode=told[1])


def _read(path: Path) -> ImportReport | None:
    with suppress(DocumentError):
        return read_report(path)
    return None


def _is_report(path: Path) -> bool:
    """Whether a file is an importer's report; one that is cut short is known by its name."""
    return path.name.startswith((*_OWN_NAME_EACH, _API_REPORT.stem)) or _read(path) is not None


def _may_be_lost(path: Path) -> bool:
    """Whether a file is the report of a live sync, which a dry run may write over: each has the name of the one before."""
    report = None if path.name.startswith(_OWN_NAME_EACH) else _read(path)
    return report is not None and report.mode == "live"


def _stamps(places: Sequence[Path]) -> dict[Path, Stamp]:
    """Return which JSON files there are, and what changes when one is written."""
    files = [path for place in places for path in (place.glob("*.json") if place.is_dir() else [place])]
    stamps = {}
    for path in dict.fromkeys(path.resolve() for path in files):
        with suppress(OSError):
            state = path.stat()
            stamps[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return stamps


def _named_in(log: Path, folder: Path) -> list[Path]:
    """Return the report files that an importer's output names."""
    said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    paths = dict.fromkeys(folder / name for name in _WRITTEN_TO.findall(said))
    return [path for path in paths if path.is_file()]
