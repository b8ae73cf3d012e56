"""Rows that differ, shown: what they were and what they are, and who did it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
from psycopg import sql

from workbench.history.authors import NOBODY_KNOWN, Authors, authors_rows
from workbench.investigate.differences.columns import column_names, differing
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import KINDS, TableDifference
from workbench.investigate.differences.sides import Shape, Side, shape_of

Values = dict[str, str | None]


def summary(compared: Comparing, tables: Iterable[str]) -> pd.DataFrame:
    """Lay out what differs, table by table.

    Returns
    -------
    pandas.DataFrame
        ``table``, ``before``, ``now`` (rows), ``added``, ``removed``, ``changed``, ``columns`` (in how
        many rows each changed, most first), ``compared`` (how), ``remark``.
    """
    rows: list[dict[str, object]] = []
    for table in tables:
        each = compared.tables[table]
        counts = sorted(each.columns.items(), key=lambda pair: (-pair[1], pair[0]))
        rows.append(
            {
                "table": table,
                "before": each.before,
                "now": each.now,
                **{str(kind): len(each.keys(kind)) for kind in KINDS},
                "columns": ", ".join(f"{name} {count:,}" for name, count in counts),
                "compared": each.how,
                "remark": "; ".join(_remarks(each)),
            }
        )
    names = ["table", "before", "now", *KINDS, "columns", "compared", "remark"]
    return pd.DataFrame(rows, columns=names).astype({"before": "Int64", "now": "Int64"})


def by_author(authors: Authors, tables: Iterable[str]) -> pd.DataFrame:
    """Count what differs by who did it: ``table``, ``change``, ``who``, ``evidence``, ``rows``."""
    return pd.DataFrame(authors_rows(authors, tables), columns=["table", "change", "who", "evidence", "rows"])


def listing(compared: Comparing, authors: Authors, tables: Iterable[str], limit: int) -> pd.DataFrame:
    """List rows that differ, so many of each kind and table, by key.

    Returns
    -------
    pandas.DataFrame
        ``table``, ``change``, ``key``, ``who``, ``evidence``, and what the row ``was`` and is ``now``:
        columns by name, of a changed row those that changed; None where there is no row.
    """
    rows = []
    for table in tables:
        each = compared.tables[table]
        for kind in KINDS:
            keys = each.keys(kind).first(limit)
            if not keys:
                continue
            by = authors.of(table, kind, keys)
            for key, (was, now) in zip(keys, values(compared, each, keys), strict=True):
                author = by.get(key, NOBODY_KNOWN)
                rows.append((table, kind, key, author.who, author.evidence, was, now))
    return pd.DataFrame(rows, columns=["table", "change", "key", "who", "evidence", "was", "now"])


def values(
    compared: Comparing, difference: TableDifference, keys: Sequence[str]
) -> Iterator[tuple[Values | None, Values | None]]:
    """Yield what some rows were and are, in the order of their keys; of a row that is in both, what changed."""
    was, now = (
        rows_of(side, difference, compared, keys) if side is not None else {}
        for side in (compared.before, compared.now)
    )
    both = [key for key in keys if key in was and key in now]
    changed = {}
    if both and compared.before is not None and difference.shape is not None:
        different = differing(compared.before, compared.now, difference.shape, both)
        changed = {
            key: column_names(difference.shape, row)
            for key, row in zip(both, different.tolist(), strict=True)
        }
    for key in keys:
        one, other = was.get(key), now.get(key)
        if key in changed and one is not None and other is not None:
            yield {n: one[n] for n in changed[key]}, {n: other[n] for n in changed[key]}
        else:
            yield one, other


def rows_of(
    side: Side, difference: TableDifference, compared: Comparing, keys: Sequence[str]
) -> dict[str, Values]:
    """Return rows of one side by their keys, every value as text."""
    described = side.catalogue.tables.get(difference.table)
    if described is None:
        return {}
    shape: Shape = difference.shape or shape_of(described, described, compared.keys.get(difference.table, ()))
    if not shape.key:
        return {}
    names = list(described.columns)
    query = sql.SQL("SELECT {}, {} FROM {} t WHERE {}").format(
        shape.key_text,
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names),
        side.place(shape.table),
        shape.among(side.many(shape.table, len(keys))),
    )
    found = side.connection.execute(query, [list(keys)])
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}


def _remarks(each: TableDifference) -> Iterator[str]:
    if each.why:
        yield each.why
    if each.shape is None:
        return
    for what, names in (
        ("new columns", each.shape.only_now),
        ("columns that are gone", each.shape.only_before),
        ("columns of another type", each.shape.retyped),
    ):
        if names:
            yield f"{what}: {', '.join(names)}"
    if not each.shape.key:
        yield "its rows have no key, so they only come and go"
