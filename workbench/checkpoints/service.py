"""Stop and start the application, by commands that the environment names (guide §3, level 2).

A command is a list of words, run as it is: no shell reads it, so nothing in it is ever expanded. Whoever
wants a shell names one: ``["sh", "-c", "..."]``.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import IO, Literal

from workbench.database.address import redact
from workbench.errors import UsageError, WorkbenchError

Say = Callable[[str], None]
"""Told each line that a command writes, as it comes."""

_PAUSE = 0.1
"""Seconds between two looks at what the command has written."""

_TAIL = 50
"""Lines of the output that are kept."""


@dataclass(frozen=True)
class ServiceRun:
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


def run_service(
    act: Literal["stop", "start"],
    command: Sequence[str],
    *,
    environment: str,
    timeout: float,
    say: Say | None = None,
) -> ServiceRun:
    """Run the configured command that stops or starts the application, and wait for its end.

    Parameters
    ----------
    act : {"stop", "start"}
        Which of the two.
    command : sequence of str
        A program and its arguments.
    environment : str
        Whose application it is, for the messages.
    timeout : float
        Longest it may take, seconds; it is killed then, with whatever it started.
    say : callable, optional
        Told each line of its output.

    Raises
    ------
    UsageError
        When no command is configured.
    WorkbenchError
        When it cannot be run, fails, or takes too long; with its exit code and last line.
    """
    key = f"environments.{environment}.app_{act}"
    if not command:
        raise UsageError(
            f"How to {act} the application of {environment} is not configured.",
            f'Name the command in workbench.toml: {key} = ["systemctl", "{act}", "murmurant"]',
        )
    begun = perf_counter()
    spelled = shlex.join(command)
    # Into a file, not a pipe: what the command leaves running must not die because nobody listens any more.
    with tempfile.TemporaryFile() as output:
        heard = _Heard(output, say)
        try:
            # In a session of its own: on a timeout it is ended with everything it started.
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WorkbenchError(
                f"The command that is to {act} the application, {spelled}, cannot be run: {reason}.",
                f"Correct {key}.",
            ) from None
        try:
            ended = _wait(process, begun + timeout, heard)
        except BaseException:
            _end(process)
            raise
    if ended is None:
        raise WorkbenchError(
            f"The command that is to {act} the application, {spelled}, did not end within {timeout:g} s and was"
            f" killed{heard.last()}.",
            f"It must return once the application is {'stopped' if act == 'stop' else 'started'}; or raise"
            " app_timeout for this environment.",
        )
    if ended:
        raise WorkbenchError(
            f"The command that is to {act} the application, {spelled}, failed with exit code {ended}{heard.last()}.",
            f"Look at its output; {key} names it.",
        )
    return ServiceRun(act, tuple(command), ended, perf_counter() - begun, tuple(heard.lines))


class _Heard:
    """What a command has written so far, line by line."""

    def __init__(self, output: IO[bytes], say: Say | None) -> None:
        self.lines: list[str] = []
        self._descriptor = output.fileno()
        self._say = say
        self._at = 0
        self._rest = b""

    def listen(self, to_the_end: bool = False) -> None:
        # By position: the command writes through the same open file, whose own position is where it is.
        while block := os.pread(self._descriptor, 1 << 16, self._at):
            self._at += len(block)
            *whole, self._rest = (self._rest + block).split(b"\n")
            for line in whole:
                self._note(line)
        if to_the_end and self._rest:
            self._note(self._rest)

    def last(self) -> str:
        said = next((each.strip() for each in reversed(self.lines) if each.strip()), "")
        return f"; it said last: {said}" if said else ""

    def _note(self, line: bytes) -> None:
        text = redact(line.decode(errors="replace").rstrip("\r"))
        self.lines.append("".join(letter if letter.isprintable() else " " for letter in text))
        del self.lines[:-_TAIL]
        if self._say:
            self._say(self.lines[-1])


def _wait(process: subprocess.Popen[bytes], deadline: float, heard: _Heard) -> int | None:
    """Wait for the command's end, telling what it writes meanwhile; None when it took too long."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            ended = process.wait(min(_PAUSE, max(0.0, deadline - perf_counter())))
            heard.listen(to_the_end=True)
            return ended
        heard.listen()
        if perf_counter() >= deadline:
            _end(process)
            heard.listen(to_the_end=True)
            return None


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
