"""pg_dump, run on an exported snapshot, and what its archive says of sequences."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from workbench.checkpoints.manifest import SequenceState
from workbench.checkpoints.parts import Part
from workbench.database.address import redact
from workbench.database.programs import Program
from workbench.errors import Refused, WorkbenchError

Dumped = Callable[[str], None]
"""Told the table whose rows are being dumped."""

_ENOUGH = 4 * 2**20  # bytes that are worth going to the disk for
_AT_ONCE = 8  # files that the disk is waited for

_TABLE = re.compile(r'dumping contents of table "(.*)"')
_SEQUENCE = re.compile(
    r"^SELECT pg_catalog\.setval\('((?:[^']|'')*)', (-?\d+), (true|false)\);$", re.MULTILINE
)


class Dump:
    """A running pg_dump.

    Parameters
    ----------
    tool : Program
        Which pg_dump.
    parameters : dict
        libpq's, from `Address.parameters`.
    made : Part
        Where the archive goes; pg_dump holds its lock too.
    options : sequence of str
        Format, jobs, compression, snapshot.
    dumped : callable
        Told each table as it begins.
    """

    def __init__(
        self, tool: Program, parameters: dict[str, str], made: Part, options: Sequence[str], dumped: Dumped
    ) -> None:
        self.made, self._secret = made, parameters.get("password", "")
        # It is flushed from here, while it is being written.
        self._running = tool.started(
            *(*options, "--no-sync", "--verbose", f"--file={made.archive}"),
            to=parameters,
            pass_fds=(made.lock,),
            umask=0o077,  # it holds the data of people
        )
        self.process = self._running.__enter__()
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(dumped,), daemon=True)
        self._reader.start()
        self._flusher = threading.Thread(target=self._flush, daemon=True)
        self._flusher.start()

    def wait(self) -> None:
        """Wait for its end, not for the disk (`flush`); `WorkbenchError` with the reason when it failed."""
        code = self.process.wait()
        self._reader.join()
        self._flusher.join()
        if code:
            raise self._failed(code)

    def stop(self) -> None:
        """End it, when it is not wanted any more."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self._flusher.join()

    def _read(self, dumped: Dumped) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                said = line.decode(errors="replace").rstrip()
                if match := _TABLE.search(said):
                    dumped(match.group(1))
                elif "error:" in said or "FATAL:" in said or "ERROR:" in said:
                    self._said.append(said)

    def _flush(self) -> None:
        # What is written goes to disk at once, so that little is left to wait for at the end.
        flushed: dict[Path, int] = {}
        archive = self.made.archive
        while self.process.poll() is None:
            with suppress(FileNotFoundError):
                for path in archive.iterdir() if archive.is_dir() else [archive]:
                    size = path.stat().st_size
                    if size >= flushed.get(path, 0) + _ENOUGH:
                        _flush(path)
                        flushed[path] = size
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)

    def _failed(self, code: int) -> WorkbenchError:
        said = redact(self._said[0] if self._said else f"it ended with {code}", self._secret).rstrip(".")
        if "No space left on device" in " ".join(self._said):
            return WorkbenchError(
                f"There is no room for the snapshot in {self.made.folder}.",
                "Make room there, or set `backups` to another folder. Nothing was kept of it.",
            )
        if "lock timeout" in said or "could not obtain lock" in said:
            return Refused(
                f"Somebody holds a lock that pg_dump waited for in vain: {said}.",
                "Try again in a moment, or raise lock_timeout for this environment.",
            )
        return WorkbenchError(f"pg_dump failed: {said}.", "Nothing was kept of it.")


def flush(archive: Path) -> None:
    """Have a file, or a folder and its files, written to disk."""
    if archive.is_dir():
        # Several at a time, so that the disk's log is written once for all of them, not once for each.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(_flush, archive.iterdir()))
    _flush(archive)


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sequences_in(archive: Path, pg_restore: Program) -> dict[str, SequenceState]:
    """Read from an archive where its sequences stand, by qualified name as SQL spells it."""
    with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        listing = _said_by(pg_restore, "--list", str(archive))
        wanted = [line for line in listing.splitlines() if " SEQUENCE SET " in line]
        if not wanted:
            return {}
        chosen.write("\n".join(wanted) + "\n")
        chosen.flush()
        script = _said_by(pg_restore, "--file=-", f"--use-list={chosen.name}", str(archive))
    return {
        name.replace("''", "'"): SequenceState(int(last), called == "true")
        for name, last, called in _SEQUENCE.findall(script)
    }


def _said_by(tool: Program, *options: str) -> str:
    done = tool.run(*options)
    if done.returncode:
        raise WorkbenchError(
            f"The archive that was just written cannot be read: {done.stderr.decode().strip()}."
        )
    return done.stdout.decode()
