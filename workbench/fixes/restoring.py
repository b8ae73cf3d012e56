"""Rows that a run updated, brought back column by column from a snapshot (guide §3, trap 2 of DESIGN §1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg import sql

from workbench.fixes.current import rows_by_key
from workbench.fixes.ledger import Conflict, Note
from workbench.fixes.three_way import Outcome, Unknown, decide
from workbench.fixes.witnesses import Testimony, Witnesses, is_explained
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.drafting import Updates, in_chunks, seen_columns

OnConflict = Literal["keep", "restore"]

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys


@dataclass
class Restored:
    """What a comparison with the snapshot came to, besides the updates it noted."""

    kept: list[Note] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    not_in_snapshot: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """The database and a snapshot of it, side by side.

    Attributes
    ----------
    live, snapshot : psycopg.Connection
        Both in reading transactions, with times in UTC.
    schema : Schema
        The database's.
    snapshot_columns : dict of str to set of str
        The columns each restored table has there: a column added since cannot be compared.
    updates : Updates
        Where the decisions go.
    """

    live: psycopg.Connection[Any]
    snapshot: psycopg.Connection[Any]
    schema: Schema
    snapshot_schema: str
    snapshot_columns: dict[str, set[str]]
    updates: Updates
    on_conflict: OnConflict = "keep"
    result: Restored = field(default_factory=Restored)

    def restore(
        self,
        table: str,
        touched: dict[str, str],
        witnesses: Witnesses | None,
        bookkeeping: str | None,
    ) -> None:
        """Decide, for rows that a run updated, which columns go back.

        Parameters
        ----------
        touched : dict of str to str
            Key to who wrote to the row after the run; empty for nobody.
        witnesses : Witnesses or None
            Who may know of single values.
        bookkeeping : str or None
            The column that says when a row was last written: it goes back only with a row nobody touched.
        """
        described = rows.table_of(self.schema.catalogue, table)
        seen = rows.digest(described, seen_columns(self.schema.catalogue, table), "t")
        names = [
            name
            for name, column in described.columns.items()
            if name in self.snapshot_columns[table] and not column.generated
        ]
        for chunk in in_chunks(sorted(touched), _CHUNK):
            now = rows_by_key(self.live, self.schema.catalogue.schema, described, chunk, names, seen)
            before = rows_by_key(self.snapshot, self.snapshot_schema, described, chunk, names)
            known = witnesses.ask(chunk) if witnesses else {}
            for key in chunk:
                if key not in now:
                    continue
                if key not in before:
                    self.result.not_in_snapshot.append((table, key))
                    continue
                digest, values = now[key]
                changes = self._decide(
                    described, key, before[key].values, values, touched[key], known.get(key), bookkeeping
                )
                if changes:
                    self.updates.add(table, key, digest, changes)

    def present(self, table: str, keys: Sequence[str]) -> set[str]:
        """Return which of some keys the snapshot has."""
        return self._present(self.snapshot, sql.Identifier(self.snapshot_schema, table), table, keys)

    def shares_rows(self, table: str, ours: Sequence[str], limit: int) -> tuple[bool, bool]:
        """Whether any of some rows is in the snapshot, or any of its rows is here; and whether there were any to ask."""
        there, here = (
            sql.Identifier(self.snapshot_schema, table),
            rows.qualified(self.schema.catalogue, table),
        )
        (name,) = rows.table_of(self.schema.catalogue, table).primary_key
        query = sql.SQL("SELECT {}::text FROM {} ORDER BY 1 LIMIT {}").format(
            sql.Identifier(name), there, limit
        )
        theirs = [row[0] for row in self.snapshot.execute(query)]
        shared = self.present(table, ours) or self._present(self.live, here, table, theirs)
        return bool(shared), bool(ours or theirs)

    def _present(
        self, connection: psycopg.Connection[Any], place: sql.Identifier, table: str, keys: Sequence[str]
    ) -> set[str]:
        described = rows.table_of(self.schema.catalogue, table)
        found: set[str] = set()
        for chunk in in_chunks(keys):
            query = sql.SQL("SELECT {key}::text FROM {table} WHERE {key} = ANY({keys}::{type}[])").format(
                table=place, **_key(described, chunk)
            )
            found |= {row[0] for row in connection.execute(query)}
        return found

    def old_keys(
        self, table: str, new: Sequence[str], limit: int, created: str | None, before: datetime | None
    ) -> list[str]:
        """Return some keys of rows that are not among the new ones, and older than a moment where that is known."""
        described = rows.table_of(self.schema.catalogue, table)
        older: sql.Composable = sql.SQL("")
        if created and before:
            older = sql.SQL(" AND {} < {}").format(sql.Identifier(created), sql.Literal(before))
        query = sql.SQL(
            "SELECT {key}::text FROM {table} WHERE {key} <> ALL({keys}::{type}[]){older} ORDER BY 1 LIMIT {limit}"
        )
        statement = query.format(
            table=rows.qualified(self.schema.catalogue, table),
            limit=limit,
            older=older,
            **_key(described, new),
        )
        return [row[0] for row in self.live.execute(statement)]

    def _decide(
        self,
        described: CatalogueTable,
        key: str,
        before: dict[str, str | None],
        now: dict[str, str | None],
        by: str,
        known: Testimony | None,
        bookkeeping: str | None,
    ) -> dict[str, tuple[str | None, str | None]]:
        known = known or Testimony()
        changed_at = now.get(bookkeeping or "")
        explained = is_explained(known, datetime.fromisoformat(changed_at) if changed_at else None)
        changes: dict[str, tuple[str | None, str | None]] = {}
        for column in sorted(before.keys() & now.keys() - {bookkeeping}):
            run = known.left_by_run(column, now[column], explained=explained)
            outcome = decide(
                before[column], run, now[column], touched=bool(by), run_wrote_all_it_says=known.complete
            )
            if outcome is Outcome.RESTORE:
                changes[column] = now[column], before[column]
            elif outcome is Outcome.KEPT:
                self.result.kept.append(
                    (described.name, key, f"{column} was changed by {by or 'somebody'}, not by the run")
                )
            elif outcome is Outcome.CONFLICT:
                left = "not known" if isinstance(run, Unknown) else run
                reason = (
                    f"{by} changed it after the run"
                    if not isinstance(run, Unknown)
                    else (f"the run or {by}: nothing tells which of them changed it")
                )
                self.result.conflicts.append(
                    (
                        described.name,
                        key,
                        column,
                        before[column],
                        left,
                        now[column],
                        f"{reason}; {self.on_conflict}",
                    )
                )
                if self.on_conflict == "restore":
                    changes[column] = now[column], before[column]
        if bookkeeping and not by and now.get(bookkeeping) != before.get(bookkeeping):
            changes[bookkeeping] = now[bookkeeping], before[bookkeeping]
        return changes


def _key(described: CatalogueTable, keys: Sequence[str]) -> dict[str, sql.Composable]:
    (name,) = described.primary_key
    return {
        "key": sql.Identifier(name),
        "keys": sql.Literal(rows.as_array(keys)),
        "type": sql.SQL(described.columns[name].type),
    }
