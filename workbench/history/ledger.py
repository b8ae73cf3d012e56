"""What differs from a snapshot, whose doing it is, and what a restore would lose: as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from workbench.history.authors import NOBODY_KNOWN, Authors
from workbench.history.differences import KINDS, Comparison, Kind
from workbench.history.plan import Replay

_TABLES = ["table", "before", "now", *KINDS, "columns", "compared", "remark"]
_AUTHORS = ["table", "change", "who", "evidence", "rows"]
_ROWS = ["table", "change", "key", "who", "evidence", "was", "now"]

Cells = Mapping[tuple[str, Kind], Sequence[str]]
"""Table and kind to the keys of the rows concerned, sorted."""


@dataclass(frozen=True)
class Differences:
    """What differs between a snapshot and what came after it.

    Attributes
    ----------
    snapshot, other : str
        Their names; ``other`` is empty where it is the database itself.
    tables : pandas.DataFrame
        A row for each table that differs: ``table``, ``before``, ``now`` (rows), ``added``, ``removed``, ``changed``,
        ``columns`` (in how many rows each changed, most first), ``compared`` (how), ``remark``.
    authors : pandas.DataFrame
        ``table``, ``change``, ``who``, ``evidence``, ``rows``; of each table and change the most rows first.
    rows : pandas.DataFrame
        Rows that differ, up to a limit for each table and change: ``table``, ``change``, ``key``, ``who``, ``evidence``,
        and what the row ``was`` and is ``now``: columns by name, of a changed row those that changed; None where there
        is no row.
    same : tuple of str
        The tables in which nothing differs.
    why_in_full : str
        Why every row was compared, where that was so of all tables.
    """

    snapshot: str
    other: str
    tables: pd.DataFrame
    authors: pd.DataFrame
    rows: pd.DataFrame
    same: tuple[str, ...]
    why_in_full: str = ""


@dataclass(frozen=True)
class Losses:
    """What a restore would lose.

    Attributes
    ----------
    snapshot : str
        The snapshot's name.
    runs : tuple of str
        The runs whose doing is not counted: it is what the restore is for.
    tables : pandas.DataFrame
        ``table``, rows ``added``, ``changed`` and ``removed`` since, and of these the ``conflicts`` (rows and
        values that a replay cannot put back, or that a run wrote too) and what is ``unresolved``.
    authors, rows : pandas.DataFrame
        Whose work that is, and some of the rows, as of `Differences`.
    conflicts, unresolved : pandas.DataFrame
        As a replay plan would list them, each with its reason.
    total : int
        How many rows would be lost, whether or not a replay puts them back.
    """

    snapshot: str
    runs: tuple[str, ...]
    tables: pd.DataFrame
    authors: pd.DataFrame
    rows: pd.DataFrame
    conflicts: pd.DataFrame
    unresolved: pd.DataFrame
    total: int


@dataclass(frozen=True)
class CameAfter:
    """What came after a snapshot, and what restoring it would lose; or why that cannot be said.

    Attributes
    ----------
    snapshot : str
        Its name; empty where there is none.
    about : str
        When it was taken, by whom and why, as far as it says.
    given : str
        How a command is told of it: ``--snapshot NAME`` or ``--before ENVIRONMENT``.
    missing : str
        Why nothing was compared; empty where it was.
    differences : Differences or None
        What differs.
    losses : Losses or None
        What a restore would lose.
    """

    snapshot: str
    about: str = ""
    given: str = ""
    missing: str = ""
    differences: Differences | None = None
    losses: Losses | None = None

    @property
    def tables(self) -> pd.DataFrame:
        """The tables that differ; none where nothing was compared."""
        return self.differences.tables if self.differences else pd.DataFrame(columns=_TABLES)

    @property
    def authors(self) -> pd.DataFrame:
        """Who did it; nobody where nothing was compared."""
        return self.differences.authors if self.differences else pd.DataFrame(columns=_AUTHORS)


def differences_of(
    authors: Authors, snapshot: str, other: str, tables: Collection[str], limit: int
) -> Differences:
    """Lay out what differs, table by table: of some tables, or all; `limit` rows are shown of each table and change."""
    comparison = authors.comparison
    asked = [difference for table, difference in comparison.tables.items() if not tables or table in tables]
    differing = [difference for difference in asked if difference.differs]
    summary = [
        (
            difference.table,
            difference.before,
            difference.now,
            *(len(difference.keys(kind)) for kind in KINDS),
            ", ".join(
                f"{name} {count:,}"
                for name, count in sorted(difference.columns.items(), key=lambda pair: (-pair[1], pair[0]))
            ),
            difference.how,
            "; ".join(difference.remarks),
        )
        for difference in differing
    ]
    cells = {(difference.table, kind): difference.keys(kind) for difference in differing for kind in KINDS}
    return Differences(
        snapshot,
        other,
        pd.DataFrame(summary, columns=_TABLES).astype({"before": "Int64", "now": "Int64"}),
        *_whose(comparison, authors, cells, limit),
        tuple(difference.table for difference in asked if not difference.differs),
        comparison.why,
    )


def losses_of(replay: Replay, limit: int) -> Losses:
    """Draw up what a restore would lose; `limit` rows are shown of each table and change."""
    comparison, back = replay.comparison, replay.back.by_kind
    conflicts, unresolved = replay.draft.listed["conflict"], replay.draft.listed["unresolved"]
    lost = {
        (table, kind): set(keys) for kind, tables in back.items() for table, keys in tables.items() if keys
    }
    kinds = {
        (table, key): kind
        for table in {str(row[0]) for row in conflicts}
        for kind in KINDS
        for key in comparison.tables[table].keys(kind)
    }
    for table, key, *_ in conflicts:
        lost.setdefault((str(table), kinds.get((str(table), str(key)), "changed")), set()).add(str(key))
    cells = {cell: sorted(lost[cell]) for cell in sorted(lost)}
    in_conflict, left_open = (Counter(str(row[0]) for row in rows) for rows in (conflicts, unresolved))
    tables = [
        (table, *(len(cells.get((table, kind), ())) for kind in back), in_conflict[table], left_open[table])
        for table in sorted({table for table, _ in cells} | set(left_open))
    ]
    return Losses(
        replay.snapshot,
        tuple(replay.names),
        pd.DataFrame(tables, columns=["table", *back, "conflicts", "unresolved"]),
        *_whose(comparison, replay.authors, cells, limit),
        pd.DataFrame(conflicts, columns=["table", "key", "column", "before", "run", "now", "reason"]),
        pd.DataFrame(unresolved, columns=["table", "key", "reason", "resolved_by"]),
        sum(map(len, cells.values())) + len(unresolved),
    )


def _whose(
    comparison: Comparison, authors: Authors, cells: Cells, limit: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count rows by who did it, and list some of them."""
    counts, sample = [], []
    for (table, kind), keys in cells.items():
        known = authors.of(table, kind)
        tally = Counter(known.get(key, NOBODY_KNOWN) for key in keys)
        for author, rows in sorted(tally.items(), key=lambda pair: (-pair[1], pair[0])):
            counts.append((table, kind, *author, rows))
        if first := keys[:limit]:
            for key, values in zip(first, comparison.values(table, first), strict=True):
                sample.append((table, kind, key, *known.get(key, NOBODY_KNOWN), *values))
    return pd.DataFrame(counts, columns=_AUTHORS), pd.DataFrame(sample, columns=_ROWS)
