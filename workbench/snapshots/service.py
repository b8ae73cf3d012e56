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
from pathlib import Path
from time import perf_counter
from typing import Literal

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
    begun, spelled = perf_counter(), shlex.join(command)
    which = f"The command that is to {act} the application, {spelled},"
    # Into a file, not a pipe: what the command leaves running must not die because nobody listens any more.
    with tempfile.NamedTemporaryFile() as output, Path(output.name).open("rb") as written:
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
            raise WorkbenchError(f"{which} cannot be run: {reason}.", f"Correct {key}.") from None
        lines: list[str] = []
        rest, code, late = b"", None, False
        try:
            while code is None and not late:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(min(_PAUSE, max(0.0, begun + timeout - perf_counter())))
                late = code is None and perf_counter() >= begun + timeout
                if late:
                    _end(process)
                *whole, rest = (rest + written.read()).split(b"\n")
                for line in [*whole, rest] if rest and (late or code is not None) else whole:
                    text = redact(line.decode(errors="replace").rstrip("\r"))
                    lines.append("".join(letter if letter.isprintable() else " " for letter in text))
                    if say:
                        say(lines[-1])
        except BaseException:
            _end(process)
            raise
    last = next((f"; it said last: {each.strip()}" for each in reversed(lines) if each.strip()), "")
    if late:
        raise WorkbenchError(
            f"{which} did not end within {timeout:g} s and was killed{last}.",
            f"It must return once the application is {'stopped' if act == 'stop' else 'started'}; or raise"
            " app_timeout for this environment.",
        )
    if code:
        raise WorkbenchError(
            f"{which} failed with exit code {code}{last}.", f"Look at its output; {key} names it."
        )
    return ServiceRun(act, tuple(command), 0, perf_counter() - begun, tuple(lines[-_TAIL:]))


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
