"""Rows that a run updated, brought back column by column from a snapshot (guide §3, trap 2 of DESIGN §1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

import psycopg
from psycopg import sql

from workbench.fixes.three_way import Outcome, Unknown, decide
from workbench.fixes.witnesses import Testimony, Witnesses, is_explained
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.current import Current, rows_by_key
from workbench.plans.draft import Draft
from workbench.plans.rows import in_chunks, seen_columns

OnConflict = Literal["keep", "restore"]

_CHUNK = 5_000  # whole rows of two databases, so fewer at a time than keys


_KINDS = """
    SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typtype::text, a.attnotnull,
           ARRAY(SELECT enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY enumsortorder)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum
"""


class Kind(NamedTuple):
    """What a column may hold: its type, whether that is an enum (``e``) or a domain (``d``), and an enum's labels in order."""

    type: str
    sort: str
    required: bool
    labels: Sequence[str] = ()


def columns_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, dict[str, Kind]]:
    """Return what each column of each table of a schema may hold."""
    found: dict[str, dict[str, Kind]] = {}
    for table, column, *kind in connection.execute(_KINDS, [schema]):
        found.setdefault(table, {})[column] = Kind(*kind)
    return found


@dataclass(frozen=True)
class Comparison:
    """The database and a snapshot of it, side by side.

    Attributes
    ----------
    draft : Draft
        Of a plan for the live database; where the decisions go.
    snapshot : psycopg.Connection
        In a reading transaction, with times in UTC.
    snapshot_columns : dict of str to dict of str to Kind
        The columns each restored table has there: a column added since cannot be compared.
    """

    draft: Draft
    snapshot: psycopg.Connection[Any]
    snapshot_schema: str
    snapshot_columns: dict[str, dict[str, Kind]]
    on_conflict: OnConflict = "keep"
    kinds: dict[str, dict[str, Kind]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", columns_of(self.live, self.schema.catalogue.schema))

    @property
    def live(self) -> psycopg.Connection[Any]:
        """The database as it is."""
        return self.draft.context.raw

    @property
    def schema(self) -> Schema:
        """The database's."""
        return self.draft.context.schema

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
            self._translate(described, now, before)
            known = witnesses.ask(chunk) if witnesses else {}
            for key in chunk:
                if key not in now:
                    continue
                if key not in before:
                    self.draft.unresolved(
                        table,
                        key,
                        "updated by the run, and not in the snapshot",
                        "an older snapshot, or the run that made it",
                    )
                    continue
                changes = self._decide(
                    described,
                    key,
                    before[key].values,
                    now[key].values,
                    touched[key],
                    known.get(key),
                    bookkeeping,
                )
                self.draft.update(table, key, changes, row=now[key])

    def _translate(
        self, described: CatalogueTable, now: Mapping[str, Current], before: Mapping[str, Current]
    ) -> None:
        """Write the snapshot's values as the columns of today hold them; what none can hold is unresolved, and left out."""
        table, notes = described.name, self.draft.notes
        there, here = self.snapshot_columns[table], self.kinds[table]
        if gone := [name for name in there if name not in here]:
            told = f"{table} has no column {' and no '.join(map(repr, gone))} any more, as in the snapshot: it was dropped or renamed since. What the run did to it is not taken back."
            notes += [told] if told not in notes else []
        for name in there.keys() & here.keys() - {each for each in here if described.columns[each].generated}:
            was, kind = there[name], here[name]
            if was == kind and kind.sort != "d":
                continue
            renamed = _renamed(was.labels, kind.labels)
            values = {
                renamed.get(old, old) for row in before.values() if (old := row.values[name]) is not None
            }
            known = self._read(kind.type, values)
            for old, label in renamed.items():
                told = f"{table}.{name}: the snapshot's {old} is {label} today, at the same place of {kind.type}."
                notes += [told] if told not in notes else []
            for key, row in before.items():
                old = row.values[name]
                if (old is None and not kind.required) or (
                    old is not None and renamed.get(old, old) in known
                ):
                    row.values[name] = None if old is None else known[renamed.get(old, old)]
                    continue
                del row.values[name]
                if key in now and now[key].values[name] != old:
                    shown = "empty" if old is None else repr(old) if kind.sort == "e" else "something"
                    holds = "is never empty" if old is None else f"({kind.type}) does not take that"
                    reason = f"{name} was {shown} before the run, and today's {name} {holds}"
                    self.draft.unresolved(
                        table, key, reason, "a migration that lets it, or a value by hand", in_part=True
                    )

    def _read(self, type: str, values: Iterable[str]) -> dict[str, str]:
        """Return values as a type of today spells them, without those that it cannot hold."""
        wanted = sorted(values)
        query = sql.SQL("SELECT v, v::{}::text FROM unnest(%s::text[]) v").format(sql.SQL(type))
        try:
            with self.live.transaction():
                read = dict(self.live.execute(query, [wanted]).fetchall())
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
            if len(wanted) == 1:
                return {}
            half = len(wanted) // 2
            return self._read(type, wanted[:half]) | self._read(type, wanted[half:])
        # A cast cuts text off where an assignment would refuse it.
        cut = type.startswith("character")
        return {old: new for old, new in read.items() if not cut or old.rstrip() == new.rstrip()}

    def present(self, table: str, keys: Sequence[str]) -> set[str]:
        """Return which of some keys the snapshot has."""
        return self._present(self.snapshot, sql.Identifier(self.snapshot_schema, table), table, keys)

    def shares_rows(self, table: str, ours: Sequence[str], limit: int) -> tuple[bool, bool]:
        """Whether any of some rows is in the snapshot, or any of its rows is here; and whether there were any to ask."""
        there, here = (
            sql.Identifier(self.snapshot_schema, table),
            rows.qualified(self.schema.catalogue, table),
        )
        name = rows.key_of(rows.table_of(self.schema.catalogue, table))
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
    ) -> dict[str, str | None]:
        known = known or Testimony()
        changed_at = now.get(bookkeeping or "")
        explained = is_explained(known, datetime.fromisoformat(changed_at) if changed_at else None)
        changes: dict[str, str | None] = {}
        for column in sorted(before.keys() & now.keys() - {bookkeeping}):
            run = known.left_by_run(column, now[column], explained=explained)
            outcome = decide(
                before[column], run, now[column], touched=bool(by), run_wrote_all_it_says=known.complete
            )
            if outcome is Outcome.RESTORE:
                changes[column] = before[column]
            elif outcome is Outcome.KEPT:
                self.draft.keep(
                    described.name, key, f"{column} was changed by {by or 'somebody'}, not by the run"
                )
            elif outcome is Outcome.CONFLICT:
                left = "not known" if isinstance(run, Unknown) else run
                reason = (
                    f"{by} changed it after the run"
                    if not isinstance(run, Unknown)
                    else (f"the run or {by}: nothing tells which of them changed it")
                )
                self.draft.conflict(
                    described.name,
                    key,
                    column,
                    before[column],
                    left,
                    now[column],
                    f"{reason}; {self.on_conflict}",
                )
                if self.on_conflict == "restore":
                    changes[column] = before[column]
        if bookkeeping and not by and now.get(bookkeeping) != before.get(bookkeeping):
            changes[bookkeeping] = before[bookkeeping]
        return changes


def _renamed(was: Sequence[str], now: Sequence[str]) -> dict[str, str]:
    """Return the labels of an enum that were renamed: alone between two neighbours that are the same, before and now."""
    blocks = SequenceMatcher(a=was, b=now, autojunk=False).get_opcodes()
    return {
        was[left]: now[right]
        for tag, left, end, right, last in blocks
        if tag == "replace" and end - left == last - right == 1
    }


def _key(described: CatalogueTable, keys: Sequence[str]) -> dict[str, sql.Composable]:
    name = rows.key_of(described)
    return {
        "key": sql.Identifier(name),
        "keys": sql.Literal(rows.as_array(keys)),
        "type": sql.SQL(described.columns[name].type),
    }
