"""What differs from a snapshot, whose doing it is, and what a restore would lose: as frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.history.authors import NOBODY_KNOWN, Authors
from workbench.history.differences import KINDS, Kind
from workbench.history.plan import Replay

TABLES = ["table", "before", "now", *KINDS, "columns", "remark"]
AUTHORS = ["table", "change", "who", "evidence", "rows"]
ROWS = ["table", "change", "key", "who", "evidence", "was", "now"]


def differences_of(
    authors: Authors, snapshot: str, other: str, tables: Collection[str], limit: int
) -> dict[str, Any]:
    """Lay out what differs between a snapshot and what came after it, of some tables or all.

    Returns
    -------
    dict
        ``snapshot``, ``other`` (None for the database itself);
        ``tables``, a frame with a row for each that differs: ``table``, ``before``, ``now`` (rows), ``added``,
        ``removed``, ``changed``, ``columns`` (in how many rows each changed, most first), ``remark``;
        ``authors``: ``table``, ``change``, ``who``, ``evidence``, ``rows``, of each table and change the most rows first;
        ``rows``, up to `limit` of each table and change: ``table``, ``change``, ``key``, ``who``, ``evidence``, and what the
        row ``was`` and is ``now``: columns by name, of a changed row those that changed, None where there is no row;
        ``same``: the tables in which nothing differs.
    """
    comparison = authors.comparison
    asked = [found for table, found in comparison.tables.items() if not tables or table in tables]
    differing = [found for found in asked if found.differs]
    summary = [
        (
            *(found.table, found.before, found.now, *(len(found.rows[kind]) for kind in KINDS)),
            ", ".join(f"{name} {count:,}" for name, count in found.columns.most_common()),
            "; ".join(found.remarks),
        )
        for found in differing
    ]
    cells = {(found.table, kind): found.rows[kind] for found in differing for kind in KINDS}
    return {
        "snapshot": snapshot,
        "other": other or None,
        "tables": pd.DataFrame(summary, columns=TABLES).astype({"before": "Int64", "now": "Int64"}),
        **_whose(authors, cells, limit),
        "same": [found.table for found in asked if not found.differs],
    }


def losses_of(replay: Replay, limit: int) -> dict[str, Any]:
    """Draw up what a restore would lose.

    Returns
    -------
    dict
        ``snapshot``; ``runs``, whose doing is not counted: it is what the restore is for;
        ``total``: how many rows would be lost, whether or not a replay puts them back; ``differing``: how many differ at all;
        ``tables``: ``table``, rows ``added``, ``changed`` and ``removed`` since, and of these the ``conflicts`` (rows and
        values that a replay cannot put back, or that a run wrote too) and what is ``unresolved``;
        ``authors`` and ``rows`` as of `differences_of`; ``conflicts`` and ``unresolved`` as a replay would list them.
    """
    back, conflicts, unresolved = (
        replay.back,
        sorted(replay.draft.listed["conflict"], key=str),
        sorted(replay.draft.listed["unresolved"], key=str),
    )
    lost = {
        (table, kind): set(rows) for kind, tables in back.items() for table, rows in tables.items() if rows
    }
    kinds = {
        (table, key): kind
        for table in {str(row[0]) for row in conflicts}
        for kind in KINDS
        for key in replay.comparison.tables[table].rows[kind]
    }
    for table, key, *_ in conflicts:
        lost.setdefault((str(table), kinds.get((str(table), str(key)), "changed")), set()).add(str(key))
    cells = {cell: sorted(lost[cell]) for cell in sorted(lost)}
    in_conflict, left_open = (Counter(str(row[0]) for row in rows) for rows in (conflicts, unresolved))
    summary = [
        (table, *(len(cells.get((table, kind), ())) for kind in back), in_conflict[table], left_open[table])
        for table in sorted({table for table, _ in cells} | set(left_open))
    ]
    named = ["table", "key", "column", "before", "run", "now", "reason"]
    return {
        "snapshot": replay.snapshot,
        "runs": replay.names,
        "total": sum(map(len, cells.values())) + len(unresolved),
        "differing": sum(difference.total for difference in replay.comparison.different),
        "tables": pd.DataFrame(summary, columns=["table", *back, "conflicts", "unresolved"]),
        **_whose(replay.authors, cells, limit),
        "conflicts": pd.DataFrame(conflicts, columns=named),
        "unresolved": pd.DataFrame(unresolved, columns=["table", "key", "reason", "resolved_by"]),
    }


def _whose(
    authors: Authors, cells: Mapping[tuple[str, Kind], Sequence[str]], limit: int
) -> dict[str, pd.DataFrame]:
    """Count rows by who did it, and list some of them; they are given by table and kind, sorted."""
    counts, sample = [], []
    for (table, kind), keys in cells.items():
        known = authors.of(table, kind)
        tally = Counter(known.get(key, NOBODY_KNOWN) for key in keys)
        for author, rows in sorted(tally.items(), key=lambda pair: (-pair[1], pair[0])):
            counts.append((table, kind, *author, rows))
        first = keys[:limit]
        for key, values in zip(first, authors.comparison.values(table, kind, first), strict=True):
            sample.append((table, kind, key, *known.get(key, NOBODY_KNOWN), *values))
    return {"authors": pd.DataFrame(counts, columns=AUTHORS), "rows": pd.DataFrame(sample, columns=ROWS)}
