"""Changes on their way into a plan file: deletes written by the database itself, updates sorted by what they set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any

import psycopg

from workbench.errors import WorkbenchError
from workbench.murmurant.catalogue import Catalogue
from workbench.plans import rows
from workbench.plans.digests import digests_of
from workbench.plans.plan import Section, format_pairs, format_row
from workbench.plans.writing import PlanWriter

_IN_MEMORY = 1 << 20  # bytes of updates held before they go to a temporary file


def write_deletes(
    writer: PlanWriter,
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    table: str,
    keys: Sequence[str],
) -> None:
    """Write the deletion of rows, each with its digest; rows that are gone already are left out.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction; the rows pass from it into the file without being looked at.
    table : str
        Real name of a table with a key of one column.
    keys : sequence of str
        Sorted, so that the same keys give the same bytes.
    """
    seen = rows.seen_columns(catalogue, table)
    with writer.section(Section("delete", table, rows.table_of(catalogue, table).primary_key, seen=seen)):
        for chunk in rows.in_chunks(keys):
            present, digests = digests_of(connection, catalogue, table, seen, chunk)
            for start in range(0, len(present), rows.BLOCK):
                part = slice(start, start + rows.BLOCK)
                writer.block(format_pairs(present[part], digests[part].tolist()))


class Updates:
    """Updates of one plan, grouped by table and by the columns they set.

    They are few as a rule, but a run may have changed every row there is: past a megabyte they
    wait in a temporary file.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._groups: dict[tuple[str, tuple[str, ...]], IO[bytes]] = {}
        self.total = 0

    def __enter__(self) -> Updates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(
        self, table: str, key: str, digest: str, values: Mapping[str, tuple[str | None, str | None]]
    ) -> None:
        """Note that a row's columns go from an old to a new value; in order of the keys."""
        names = tuple(sorted(values))
        group = self._groups.get((table, names))
        if group is None:
            group = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the others
            self._open.callback(group.close)
            self._groups[table, names] = group
        old, new = ([values[name][which] for name in names] for which in (0, 1))
        try:
            group.write(format_row([key, digest, *old, *new]))
        except OSError as error:
            raise WorkbenchError(
                f"The updates of the plan could not be kept for the moment: {error.strerror}.",
                "Make room for temporary files (TMPDIR). Nothing was changed.",
            ) from None
        self.total += 1

    def write(
        self, writer: PlanWriter, catalogue: Catalogue, setting: frozenset[tuple[str, str]], among: bool
    ) -> None:
        """Write the sections that set a column among these (or none of them).

        Parameters
        ----------
        setting : frozenset of (table, column)
            The columns that decide.
        among : bool
            Whether sections that set one of them are meant, or the others.
        """
        for (table, names), group in sorted(self._groups.items(), key=lambda each: each[0]):
            if any((table, name) in setting for name in names) is not among:
                continue
            group.seek(0)
            key = rows.table_of(catalogue, table).primary_key
            with writer.section(
                Section("update", table, key, changed=names, seen=rows.seen_columns(catalogue, table))
            ):
                while block := group.read(1 << 20):
                    rest = b"" if block.endswith(b"\n") else group.readline()
                    writer.block(block + rest)
