"""The loss ledger: everything done since a snapshot that a restore to it would lose, but for the bad runs' doing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from workbench.history.authors import NOBODY_KNOWN, Author
from workbench.history.listing import values
from workbench.history.plan import Replay
from workbench.investigate.differences.found import KINDS, Kind
from workbench.plans.rows import in_chunks

_CHUNK = 100_000  # keys


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
    authors : pandas.DataFrame
        ``table``, ``change``, ``who``, ``evidence``, ``rows``.
    rows : pandas.DataFrame
        Some of them: ``table``, ``change``, ``key``, ``who``, ``evidence``, ``was``, ``now``.
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


def losses(replay: Replay, limit: int) -> Losses:
    """Draw the ledger up; `limit` rows are shown of each table and change."""
    compared, authors, back = replay.compared, replay.authors, replay.back.by_kind
    listed, unresolved = replay.draft.listed["conflict"], replay.draft.listed["unresolved"]
    lost = {
        (table, kind): set(keys) for kind, tables in back.items() for table, keys in tables.items() if keys
    }
    kinds, conflicts = _Kinds(replay), Counter[str]()
    for each in listed:
        named, key = str(each[0]), str(each[1])
        conflicts[named] += 1
        lost.setdefault((named, kinds.of(named, key)), set()).add(key)
    open_rows = Counter(str(row[0]) for row in unresolved)
    names = sorted({table for table, _ in lost} | set(open_rows))
    count = {cell: len(keys) for cell, keys in lost.items()}
    summary = pd.DataFrame(
        [
            (
                table,
                *(count.get((table, kind), 0) for kind in back),
                conflicts[table],
                open_rows[table],
            )
            for table in names
        ],
        columns=["table", *back, "conflicts", "unresolved"],
    )
    told, shown = [], []
    for (table, kind), keys in sorted(lost.items()):
        if not keys:
            continue
        tally: Counter[Author] = Counter()
        ordered = sorted(keys)
        for chunk in in_chunks(ordered, _CHUNK):
            by = authors.of(table, kind, chunk)
            tally.update(by.get(key, NOBODY_KNOWN) for key in chunk)
        for author, rows in sorted(tally.items(), key=lambda each: (-each[1], each[0])):
            told.append((table, kind, author.who, author.evidence, rows))
        sample = ordered[:limit]
        if sample and compared.tables[table].shape is not None:
            by = authors.of(table, kind, sample)
            for key, (was, now) in zip(sample, values(compared, compared.tables[table], sample), strict=True):
                shown.append((table, kind, key, *by.get(key, NOBODY_KNOWN), was, now))
    return Losses(
        replay.snapshot,
        tuple(replay.names),
        summary,
        pd.DataFrame(told, columns=["table", "change", "who", "evidence", "rows"]),
        pd.DataFrame(shown, columns=["table", "change", "key", "who", "evidence", "was", "now"]),
        pd.DataFrame(listed, columns=["table", "key", "column", "before", "run", "now", "reason"]),
        pd.DataFrame(unresolved, columns=["table", "key", "reason", "resolved_by"]),
        sum(count.values()) + len(unresolved),
    )


class _Kinds:
    """Tells how a row differs of which something cannot be put back."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self._keys: dict[tuple[str, Kind], set[str]] = {}

    def of(self, table: str, key: str) -> Kind:
        for kind in KINDS:
            if (table, kind) not in self._keys:
                self._keys[table, kind] = set(self.replay.compared.tables[table].keys(kind))
            if key in self._keys[table, kind]:
                return kind
        return "changed"
