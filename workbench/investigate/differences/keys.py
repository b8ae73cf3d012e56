"""The keys of rows, however many: past a megabyte they wait in a temporary file."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from tempfile import SpooledTemporaryFile

from workbench.errors import WorkbenchError

_IN_MEMORY = 1 << 20  # bytes
_END = "\0"  # in no text of PostgreSQL


class Keys:
    """A growing list of keys, each as text."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the object
        self._count = 0
        self.add(list(keys))

    def __del__(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        at = 0
        while True:
            self._file.seek(at)  # somebody else may be reading, too
            if not (block := self._file.read(1 << 20)):
                return
            # A letter may lie across two blocks; a key's end never does.
            whole = block.rfind(b"\0") + 1
            if not whole:
                raise WorkbenchError("A key is longer than a megabyte; these rows cannot be compared.")
            at += whole
            yield from block[:whole].decode().split(_END)[:-1]

    def add(self, keys: list[str]) -> None:
        """Add some."""
        if not keys:
            return
        try:
            self._file.seek(0, 2)
            self._file.write((_END.join(keys) + _END).encode())
        except OSError as error:
            raise WorkbenchError(
                f"The keys of the rows that differ could not be kept for the moment: {error.strerror}.",
                "Make room for temporary files (TMPDIR). Nothing was changed.",
            ) from None
        self._count += len(keys)

    def chunks(self, size: int) -> Iterator[list[str]]:
        """Yield them, so many at a time."""
        every = iter(self)
        while chunk := list(islice(every, size)):
            yield chunk

    def first(self, count: int) -> list[str]:
        """Return the first ones, byte by byte; the same whatever order they came in."""
        return heapq.nsmallest(count, self)
