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
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from workbench.checks import Finding, run_checks
from workbench.database.address import redact
from workbench.errors import UsageError, WorkbenchError
from workbench.session import Session

HEALTH_CHECKS = ("app-health", "app-pages", "app-auth-refuses", "app-auth-admits")
"""What guide §7.2 asks of the application."""

Say = Callable[[str], None]
"""Told each line that a command wrote, once it has ended."""

_ROUND = 0.25  # seconds between two rounds of questions
_TAIL = 50  # lines of the output that are kept


class Application:
    """``wb.app``: the application of an environment."""

    def __init__(self, wb: Session) -> None:
        self._wb = wb

    def stop(self, say: Say | None = None) -> dict[str, Any]:
        """Run the command that stops it (``app_stop``), and wait for its end.

        Parameters
        ----------
        say : callable, optional
            Told each line of its output, also where it fails.

        Returns
        -------
        dict
            ``act``, ``command``, ``exit_code``, ``seconds``, ``output``: the last lines that it wrote, to either stream.

        Raises
        ------
        UsageError
            When no command is configured.
        WorkbenchError
            When it cannot be run, fails, or takes longer than ``app_timeout``; with its exit code and last line.
        """
        return self._run("stop", say)

    def start(self, say: Say | None = None) -> dict[str, Any]:
        """Run the command that starts it (``app_start``), likewise."""
        return self._run("start", say)

    def health(self, limit: float | None = None) -> list[Finding]:
        """Ask the application how it is (guide §7.2), again and again until it is well.

        Parameters
        ----------
        limit : float, optional
            How long to go on asking, seconds; else ``app_health_limit``. 0 asks once.

        Returns
        -------
        list of Finding
            Those of the last round: what nobody configured is ``not run``, never a pass.
        """
        wait = self._wb.options.app_health_limit if limit is None else limit
        deadline = time.monotonic() + wait
        while True:
            with self._wb.reading() as connection:
                findings = run_checks(self._wb.look(connection), HEALTH_CHECKS)
            findings.sort(key=lambda finding: HEALTH_CHECKS.index(finding.check))
            if not any(finding.open for finding in findings) or time.monotonic() + _ROUND > deadline:
                return findings
            time.sleep(_ROUND)

    def _run(self, act: Literal["stop", "start"], say: Say | None) -> dict[str, Any]:
        options, key = self._wb.options, f"environments.{self._wb.environment.name}.app_{act}"
        command = options.app_stop if act == "stop" else options.app_start
        if not command:
            raise UsageError(
                f"How to {act} the application of {self._wb.environment.name} is not configured.",
                f'Name the command in workbench.toml: {key} = ["systemctl", "{act}", "murmurant"]',
            )
        begun, which = (
            time.monotonic(),
            f"The command {shlex.join(command)}, which is to {act} the application,",
        )
        try:
            code, lines = _carry_out(command, options.app_timeout)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WorkbenchError(f"{which} cannot be run: {reason}.", f"Correct {key}.") from None
        if say:
            for line in lines:
                say(line)
        last = next((f"; it said last: {line.strip()}" for line in reversed(lines) if line.strip()), "")
        if code is None:
            raise WorkbenchError(
                f"{which} did not end within {options.app_timeout:g} s and was killed{last}.",
                "It must return once that is done; or raise app_timeout for this environment.",
            )
        if code:
            raise WorkbenchError(f"{which} failed with exit code {code}{last}.", f"{key} names it.")
        seconds = round(time.monotonic() - begun, 3)
        return {"act": act, "command": command, "exit_code": 0, "seconds": seconds, "output": lines[-_TAIL:]}


def _carry_out(command: tuple[str, ...], timeout: float) -> tuple[int | None, list[str]]:
    """Run a command; return its exit code, None when it took too long, and the lines that it wrote."""
    # Into a file, not a pipe: what the command leaves running must neither hold us up nor die because nobody listens.
    with tempfile.TemporaryFile() as output:
        # In a session of its own: on a timeout it is ended with everything it started.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        code = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout)
        finally:
            if code is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        lines = (
            redact(output.read().decode(errors="replace").replace("\r\n", "\n"))
            .removesuffix("\n")
            .split("\n")
        )
    return code, [
        "".join(letter if letter.isprintable() else " " for letter in line) for line in lines if lines != [""]
    ]
