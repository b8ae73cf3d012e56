"""The files of a folder, hashed while they are written: what grows at its end need not be read again afterwards."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

_PAUSE = 0.05  # seconds between two looks at the folder
_AT_A_TIME = 1 << 18


class Growing:
    """A folder in which files are written, each from its beginning to its end, as pg_dump does.

    Parameters
    ----------
    folder : Path
        Which; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, Any] = {}
        self._read: dict[str, int] = {}
        self._error: OSError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def digests(self) -> dict[str, str]:
        """Return each file's SHA-256, by name, when nobody writes any more."""
        self.stop()
        if self._error:
            raise self._error
        for _ in self._new():
            pass
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def stop(self) -> None:
        """End it, when it is not wanted any more."""
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        try:
            pause = _PAUSE
            while not self._ended.wait(pause):
                begun, hashed = perf_counter(), 0
                for size in self._new():
                    hashed += size
                    if self._ended.is_set():
                        return
                # Of a folder with very many files the look alone takes its time.
                pause = _PAUSE if hashed else max(_PAUSE, 4 * (perf_counter() - begun))
        except OSError as error:
            self._error = error

    def _new(self) -> Iterator[int]:
        """Hash what is new in each file, and say how much that is."""
        if not self._folder.is_dir():
            return
        part = memoryview(bytearray(_AT_A_TIME))
        for path in sorted(self._folder.iterdir()):
            name, size = path.name, path.stat().st_size
            digest = self._digests.setdefault(name, hashlib.sha256())
            done = self._read.setdefault(name, 0)
            if size <= done:
                continue
            with path.open("rb", buffering=0) as file:
                file.seek(done)
                while count := file.readinto(part):
                    digest.update(part[:count])
                    self._read[name] += count
                    yield count
