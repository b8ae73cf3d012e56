"""An importer's output as it comes: in pieces that hold no half secret, and without the secrets."""

from __future__ import annotations

import codecs
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from workbench.database.address import redact

IDLE = 0.3
"""Seconds after which what is no whole line yet is shown, up to its last blank: a prompt, a row of dots."""

AFTER_THE_END, AFTER_A_SIGNAL = 2.0, 10.0
"""Seconds that what the importer started may go on writing; and that it may take to end when it was told to."""

_LONGEST = 1 << 16
_NAMED = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
_IN_URL = re.compile(r"://[^\s/@:]*:([^\s@]+)@")


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that must not be logged: of variables named like secrets, and passwords in their URLs."""
    found = {value for name, value in variables.items() if _NAMED.search(name) and not _is_path(value)}
    found |= {each for value in variables.values() for each in _IN_URL.findall(value)}
    return tuple(sorted((each for each in found if len(each) >= 6), key=len, reverse=True))


class Redactor:
    """Takes bytes as they come, and gives text without secrets.

    Parameters
    ----------
    secrets : tuple of str
        Values to take out wherever they stand.
    """

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> str:
        """Return what can be shown now: whole lines."""
        self._rest += self._decoder.decode(data)
        end = max(self._rest.rfind("\n"), self._rest.rfind("\r")) + 1
        if not end and len(self._rest) > _LONGEST:
            end = self._last_blank()
        return self._taken(end)

    def idle(self) -> str:
        """Return what can be shown of a line that does not come to its end: up to its last blank."""
        return self._taken(self._last_blank())

    def finish(self) -> str:
        """Return the rest."""
        self._rest += self._decoder.decode(b"", final=True)
        return self._taken(len(self._rest))

    def _last_blank(self) -> int:
        end = max(self._rest.rfind(" "), self._rest.rfind("\t")) + 1
        # "password: " and its value must be seen together.
        return 0 if re.search(r"[=:]\s*$", self._rest[:end]) and len(self._rest) <= _LONGEST else end

    def _taken(self, end: int) -> str:
        piece, self._rest = self._rest[:end], self._rest[end:]
        return redact(piece, *self._secrets) if piece else ""


def follow(
    process: subprocess.Popen[bytes],
    redactor: Redactor,
    keep: Callable[[str], None],
    told_to_end: Callable[[], float | None],
) -> None:
    """Give on everything a process writes, until it has ended.

    Something that it started and left behind may hold the pipe open; for that nobody waits long.

    Parameters
    ----------
    told_to_end : callable
        Returns since when it was told to end (monotonic clock), if it was.
    """
    assert process.stdout is not None
    handle = process.stdout.fileno()
    ended_at: float | None = None
    with selectors.DefaultSelector() as waiting:
        waiting.register(handle, selectors.EVENT_READ)
        while True:
            since = told_to_end()
            if since is not None and time.monotonic() - since > AFTER_A_SIGNAL:
                _end(process)
            if waiting.select(IDLE):
                data = os.read(handle, 1 << 16)
                if not data:
                    break
                _give(redactor.feed(data), keep)
                continue
            _give(redactor.idle(), keep)
            if process.poll() is not None:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > AFTER_THE_END:
                    break
    _give(redactor.finish(), keep)
    try:
        process.wait(AFTER_A_SIGNAL)
    except subprocess.TimeoutExpired:
        _end(process)  # it closed its output and went on
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _give(piece: str, keep: Callable[[str], None]) -> None:
    if piece:
        keep(piece)


def _is_path(value: str) -> bool:
    return value.startswith(("/", "./", "~/")) and "\n" not in value
