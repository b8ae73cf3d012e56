"""The application of an environment: stopped and started by commands that it names, and asked how it is (guide §3, §7.2).

A command is a list of words, run as it is: no shell reads it, so nothing in it is ever expanded. Whoever
wants a shell names one: ``["sh", "-c", "..."]``.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.checks import Finding, run_checks
from workbench.database.address import redact
from workbench.errors import UsageError, WorkbenchError
from workbench.session import Session

HEALTH_CHECKS = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
"""What guide §7.2 asks of the application."""

Say = Callable[[str], None]
"""Told each line that a command writes, as it comes."""

Heard = Callable[[list[Finding], float], None]
"""Told each round's findings, and how many seconds after the first."""

_PAUSE = 0.1  # seconds between two looks at what a command has written
_ROUND = 0.25  # seconds between two rounds of questions
_TAIL = 50  # lines of the output that are kept


@dataclass(frozen=True)
class CommandRun:
    """One run of a configured command.

    Attributes
    ----------
    act : {"stop", "start"}
        What it was for.
    command : tuple of str
        As it is configured.
    exit_code : int
        What it ended with; 0, or it would be an error.
    seconds : float
        How long it took.
    output : tuple of str
        The last lines that it wrote, to either stream.
    """

    act: Literal["stop", "start"]
    command: tuple[str, ...]
    exit_code: int
    seconds: float
    output: tuple[str, ...]


class Application:
    """``wb.app``: the application of an environment."""

    def __init__(self, wb: Session) -> None:
        self._wb = wb

    def stop(self, say: Say | None = None) -> CommandRun:
        """Run the command that stops it (``app_stop``), and wait for its end.

        Parameters
        ----------
        say : callable, optional
            Told each line of its output.

        Raises
        ------
        UsageError
            When no command is configured.
        WorkbenchError
            When it cannot be run, fails, or takes longer than ``app_timeout``; with its exit code and last line.
        """
        return self._run("stop", say)

    def start(self, say: Say | None = None) -> CommandRun:
        """Run the command that starts it (``app_start``), likewise."""
        return self._run("start", say)

    def health(self, limit: float | None = None, told: Heard | None = None) -> list[Finding]:
        """Ask the application how it is (guide §7.2), again and again until it is well.

        Parameters
        ----------
        limit : float, optional
            How long to go on asking, seconds; else ``app_health_limit``. 0 asks once.
        told : callable, optional
            Told each round's findings.

        Returns
        -------
        list of Finding
            Those of the last round: what nobody configured is ``not run``, never a pass.
        """
        wait = self._wb.options.app_health_limit if limit is None else limit
        begun = time.monotonic()
        while True:
            with self._wb.reading() as connection:
                findings = run_checks(self._wb.look(connection, runs=False), HEALTH_CHECKS)
            passed = time.monotonic() - begun
            if told:
                told(findings, passed)
            if not any(each.open for each in findings) or passed + _ROUND > wait:
                return findings
            time.sleep(_ROUND)

    def _run(self, act: Literal["stop", "start"], say: Say | None) -> CommandRun:
        options, key = self._wb.options, f"environments.{self._wb.environment.name}.app_{act}"
        command, timeout = options.app_stop if act == "stop" else options.app_start, options.app_timeout
        if not command:
            raise UsageError(
                f"How to {act} the application of {self._wb.environment.name} is not configured.",
                f'Name the command in workbench.toml: {key} = ["systemctl", "{act}", "murmurant"]',
            )
        begun, lines = time.monotonic(), list[str]()
        which = f"The command that is to {act} the application, {shlex.join(command)},"
        with _started(command, which, f"Correct {key}.") as (process, heard):
            while (ended := _has_ended(process)) is False and time.monotonic() < begun + timeout:
                _hear(heard(False), lines, say)
            if not ended:
                _end(process)
            _hear(heard(True), lines, say)
        last = next((f"; it said last: {each.strip()}" for each in reversed(lines) if each.strip()), "")
        if not ended:
            raise WorkbenchError(
                f"{which} did not end within {timeout:g} s and was killed{last}.",
                f"It must return once the application is {'stopped' if act == 'stop' else 'started'}; or raise"
                " app_timeout for this environment.",
            )
        if process.returncode:
            raise WorkbenchError(
                f"{which} failed with exit code {process.returncode}{last}.",
                f"Look at its output; {key} names it.",
            )
        return CommandRun(act, tuple(command), 0, time.monotonic() - begun, tuple(lines[-_TAIL:]))


@contextmanager
def _started(
    command: Sequence[str], which: str, remedy: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[bool], list[bytes]]]]:
    """Start a command; yield it, and what returns the lines that it wrote since, the last one whole or not."""
    # Into a file, not a pipe: what the command leaves running must not die because nobody listens any more.
    with tempfile.NamedTemporaryFile() as output, Path(output.name).open("rb") as written:
        rest = b""

        def heard(last: bool) -> list[bytes]:
            nonlocal rest
            *whole, rest = (rest + written.read()).split(b"\n")
            return [*whole, rest] if last and rest else whole

        # In a session of its own: on a timeout it is ended with everything it started.
        own: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "start_new_session": True,
        }
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(list(command), stdout=output, **own)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WorkbenchError(f"{which} cannot be run: {reason}.", remedy) from None
        try:
            yield process, heard
        except BaseException:
            _end(process)
            raise


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PAUSE)
    return process.returncode is not None


def _hear(written: list[bytes], lines: list[str], say: Say | None) -> None:
    for line in written:
        text = redact(line.decode(errors="replace").rstrip("\r"))
        lines.append("".join(letter if letter.isprintable() else " " for letter in text))
        if say:
            say(lines[-1])


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
