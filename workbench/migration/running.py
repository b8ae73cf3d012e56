"""Run an importer with ``DRY_RUN=1``: what it says is shown and kept, signals are passed on, its reports collected.

What the command itself contradicts is not started. Of the rest the result is believed: a report, or a log, that says
``live`` makes the dry run ``not dry``.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError
from workbench.migration.bundles import file_digest, free_name
from workbench.migration.dry_runs import DryRun, KeptFile
from workbench.murmurant.reports import read_report
from workbench.murmurant.schema import Schema

VARIABLE = "DRY_RUN"

AFTER_THE_END, AFTER_A_SIGNAL = 2.0, 10.0
"""Seconds that what the importer started may go on writing; and that it may take to end when it was told to."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BLOCK = 1 << 16
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
    show: Callable[[str], None],
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
    variables, now = {**os.environ, VARIABLE: "1"}, datetime.now(UTC)
    secrets = _secrets(variables)
    named = [folder / word for word in command if Path(word).suffix.lower() in _CONFIGURATION]
    configured = sorted({path.resolve() for path in [*configuration, *named] if path.is_file()})
    kept = free_name(backups, f"dry_run_{now:%Y%m%d_%H%M%S}")
    log = kept / f"{kept.name}.log"
    try:
        kept.mkdir(mode=0o700, parents=True)
        log.touch(mode=0o600)
    except OSError as error:
        raise WorkbenchError(
            f"Nothing can be kept in {backups}: {error.strerror}.", "Nothing was started. Correct `backups`."
        ) from None
    run = DryRun(
        name=kept.name,
        command=_without_secrets(command, secrets),
        environment=environment,
        kind=kind,
        operator=operator,
        started_at=now,
        told_by=told_by,
        variables=tuple(sorted(variables)),
        configuration=tuple(_kept(path, path.name) for path in configured),
        process=os.getpid(),
    ).write(Path(f"{kept}{DryRun.suffix}"))
    before = _json_files([*reports, _API_REPORT])
    at_risk = [path for path in before if path.name == _API_REPORT.name and _kept(path, "").mode == "live"]
    copies = {path: _copied(path, kept, "overwritten") for path in at_risk}
    try:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,  # nobody is there to answer, and a question must not stop it for ever
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a signal reaches it once, through us, and all that it started
        )
    except OSError as error:
        run.model_copy(update={"outcome": "failed", "finished_at": now, "process": 0}).write(run.path)
        raise WorkbenchError(
            f"{command[0]} could not be run: {error.strerror}.", f"{run.name} says so too."
        ) from None
    caught = _tee(process, log, lambda output: redact(output, *secrets), show)
    code, after = process.returncode, _json_files(reports)
    reported = [folder / name for name in _WRITTEN_TO.findall(log.read_text(encoding="utf-8"))]
    since = int(now.timestamp() - 1) * 10**9  # a file system may keep whole seconds
    written = {path for path, stamp in after.items() if stamp != before.get(path)}
    written |= {path for path, stamp in _json_files(reported).items() if stamp[0] >= since}
    files = [_copied(path, kept, "reports") for path in sorted(written) if _kept(path, "").mode]
    overwritten = []
    for path, copy in copies.items():
        if _json_files([path]).get(path) == before[path]:
            (kept / copy.file).unlink()
        else:  # what nobody declared is no evidence of this environment
            overwritten.append(copy if path in after else copy.model_copy(update={"run": None}))
    logged = _kept(log, log.name)
    is_live = any(file.mode == "live" for file in (*files, logged))
    stopped = caught or max(-code, 0)  # one that was stopped did not come to its end, however it ended
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
    process: subprocess.Popen[bytes], log: Path, clean: Callable[[str], str], show: Callable[[str], None]
) -> int:
    """Show and log what an importer says until it has ended; return the signal that we were sent, or 0.

    Signals are passed on to it and all that it started; the second of them, or ten seconds, end it.
    """
    caught: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        _signal_group(process, number if len(caught) == 1 else signal.SIGKILL)

    former: dict[signal.Signals, Any] = {}
    with suppress(ValueError):  # in another thread than the main one no signal arrives
        former = {number: signal.signal(number, pass_on) for number in _SIGNALS}
    assert process.stdout is not None
    rest, killed_at, closed_at = b"", float("inf"), float("inf")
    try:
        with log.open("w", encoding="utf-8") as file, process.stdout as pipe:
            while time.monotonic() < closed_at:
                if select.select([pipe], [], [], 0.05)[0]:
                    data = os.read(pipe.fileno(), _BLOCK)
                    rest += data
                    # Only whole lines, so that no secret is cut in two.
                    end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
                    end = len(rest) if not data or len(rest) > _BLOCK > end else end
                    output, rest = clean(rest[:end].decode("utf-8", "replace")), rest[end:]
                    file.write(output)
                    file.flush()
                    if output:
                        show(output)
                    if not data:
                        break
                if caught:
                    killed_at = min(killed_at, time.monotonic() + AFTER_A_SIGNAL)
                if time.monotonic() > killed_at:
                    _signal_group(process, signal.SIGKILL)
                if process.poll() is not None:  # something that it left behind may hold the pipe open
                    closed_at = min(closed_at, time.monotonic() + AFTER_THE_END)
            process.wait()
            os.fsync(file.fileno())
    finally:
        if process.poll() is None:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        for number, handler in former.items():
            signal.signal(number, handler)
    return caught[0] if caught else 0


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _secrets(variables: Mapping[str, str]) -> list[str]:
    """Return the values that must not be logged: of variables named like secrets, and passwords in their URLs."""
    values = {value for name, value in variables.items() if _SECRET.search(name) and value[:1] not in "/.~"}
    values |= {password for value in variables.values() for password in _IN_URL.findall(value)}
    return sorted((value for value in values if len(value) >= 6), key=len, reverse=True)


def _without_secrets(command: Sequence[str], secrets: Sequence[str]) -> tuple[str, ...]:
    """Return a command's words without the secrets in them: in URLs, of variables, after ``--password`` and the like."""
    words = []
    for before, word in pairwise(["", *command]):
        name, equals, _ = word.partition("=")
        if before.startswith("-") and "=" not in before and _SECRET.search(before):
            words.append("***")
        else:
            words.append(f"{name}=***" if equals and _SECRET.search(name) else redact(word, *secrets))
    return tuple(words)


def _kept(path: Path, name: str) -> KeptFile:
    """Note a file of a dry run, and what it says itself: an incremental sync's log is its report."""
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


def _json_files(places: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    """Return the JSON files of some folders, or files, and what changes when one is written."""
    stamps = {}
    for place in places:
        for path in place.glob("*.json") if place.is_dir() else [place]:
            with suppress(OSError):
                state = path.stat()
                stamps[path.resolve()] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return stamps
