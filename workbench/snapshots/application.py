"""The application of an environment: configured commands stop and start it, and its health is checked (guide §3, §7.2).

A command is a list of words that is run without a shell, so nothing in it is expanded. To use a shell, name it:
``["sh", "-c", "..."]``.
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
"""The checks of guide §7.2."""

Say = Callable[[str], None]
"""Called with each line of a command's output, once the command has ended."""

_INTERVAL = 0.25  # seconds between two health checks
_TAIL = 50  # lines of output to keep


class Application:
    """``wb.app``: the application of an environment."""

    def __init__(self, wb: Session) -> None:
        self._wb = wb

    def stop(self, say: Say | None = None) -> dict[str, Any]:
        """Run the command that stops it (``app_stop``), and wait until it ends.

        Parameters
        ----------
        say : callable, optional
            Called with each line of its output, even if it fails.

        Returns
        -------
        dict
            ``act``, ``command``, ``exit_code``, ``seconds``, ``output``: the last lines of stdout and stderr.

        Raises
        ------
        UsageError
            When no command is configured.
        WorkbenchError
            When it cannot be run, fails, or takes longer than ``app_timeout``.
        """
        return self._run("stop", say)

    def start(self, say: Say | None = None) -> dict[str, Any]:
        """Run the command that starts it (``app_start``) in the same way."""
        return self._run("start", say)

    def health(self, limit: float | None = None) -> list[Finding]:
        """Check the application's health (guide §7.2) until all is well or the limit is reached.

        Parameters
        ----------
        limit : float, optional
            For how long, seconds; by default ``app_health_limit``. 0 checks once.

        Returns
        -------
        list of Finding
            Those of the last round; what is not configured is ``not run``, never a pass.
        """
        wait = self._wb.options.app_health_limit if limit is None else limit
        deadline = time.monotonic() + wait
        while True:
            with self._wb.reading() as connection:
                findings = run_checks(self._wb.look(connection), HEALTH_CHECKS)
            findings.sort(key=lambda finding: HEALTH_CHECKS.index(finding.check))
            if not any(finding.open for finding in findings) or time.monotonic() + _INTERVAL > deadline:
                return findings
            time.sleep(_INTERVAL)

    def _run(self, act: Literal["stop", "start"], say: Say | None) -> dict[str, Any]:
        options, key = self._wb.options, f"environments.{self._wb.environment.name}.app_{act}"
        command = options.app_stop if act == "stop" else options.app_start
        if not command:
            raise UsageError(
                f"No command to {act} the application of {self._wb.environment.name} is configured.",
                f'Set it in workbench.toml: {key} = ["systemctl", "{act}", "murmurant"]',
            )
        begun, name = time.monotonic(), f"The command {shlex.join(command)}"
        try:
            code, lines = _run_command(command, options.app_timeout)
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"{name} cannot be run: {error}.", f"Correct {key}.") from None
        if say:
            for line in lines:
                say(line)
        last = next((line.strip() for line in reversed(lines) if line.strip()), "none")
        if code is None:
            raise WorkbenchError(
                f"{name} did not end within {options.app_timeout:g} s and was killed; last output: {last}",
                f"Correct {key}, or raise app_timeout for this environment.",
            )
        if code:
            raise WorkbenchError(
                f"{name} failed with exit code {code}; last output: {last}", f"Correct {key}."
            )
        seconds = round(time.monotonic() - begun, 3)
        return {"act": act, "command": command, "exit_code": 0, "seconds": seconds, "output": lines[-_TAIL:]}


def _run_command(command: tuple[str, ...], timeout: float) -> tuple[int | None, list[str]]:
    """Run a command; return its exit code, None after a timeout, and its lines of output."""
    # Into a file, not a pipe: processes that the command leaves running must neither block us nor fail on a closed pipe.
    with tempfile.TemporaryFile() as output:
        # In a session of its own, so that a timeout ends everything it started.
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
        text = redact(output.read().decode(errors="replace"))
    return code, ["".join(c if c.isprintable() else " " for c in line) for line in text.splitlines()]
