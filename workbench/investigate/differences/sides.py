"""The two databases that are compared, and how the rows of one table in both are told apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from workbench.murmurant.catalogue import Catalogue, CatalogueTable, read_catalogue
from workbench.murmurant.row_digest import hash_of, hashed, portable

_TABLES = """
    SELECT c.relname::text, c.reltuples, pg_relation_size(c.oid), c.relkind = 'p' FROM pg_class c
    WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
_FEW, _SHARE = 1_000, 100
_ROW_SIZE = 60  # bytes; what a short row takes, where nobody has counted them


@dataclass(frozen=True)
class Side:
    """One of the two databases.

    Attributes
    ----------
    connection : psycopg.Connection
        In a reading, repeatable-read transaction, with values spelled as `database.connection.SPELLING` says.
    catalogue : Catalogue
        What it says of itself. A database that holds a restored archive has no keys: these come from the other.
    """

    connection: psycopg.Connection[Any]
    catalogue: Catalogue

    @property
    def schema(self) -> str:
        """The schema the tables are in."""
        return self.catalogue.schema

    @cached_property
    def tables(self) -> dict[str, float]:
        """The tables that hold rows of their own, and about how many each has."""
        return {
            name: counted if counted >= 0 else size / _ROW_SIZE
            for name, counted, size, _ in self._described
            if name in self.catalogue.tables
        }

    def about(self, table: str) -> float:
        """Return about how many rows a table has; they are counted where the server has no idea."""
        if any(name == table and counted >= 0 for name, counted, _, _ in self._described):
            return self.tables[table]
        query = sql.SQL("SELECT count(*) FROM {}").format(self.place(table))
        (rows,) = self.connection.execute(query).fetchone() or (0,)
        return float(rows)

    @cached_property
    def partitioned(self) -> frozenset[str]:
        """The tables whose rows lie in partitions, so that their places do not name them."""
        return frozenset(name for name, _, _, parted in self._described if parted)

    @cached_property
    def _described(self) -> list[tuple[str, float, int, bool]]:
        return [(*row,) for row in self.connection.execute(_TABLES, [self.schema])]

    def many(self, table: str, keys: int) -> bool:
        """Whether so many of a table's rows are asked for that reading it through is the shortest way."""
        return keys > max(_FEW, self.tables.get(table, 0) / _SHARE)

    def place(self, table: str) -> sql.Identifier:
        """Return a table's name with its schema."""
        return sql.Identifier(self.schema, table)


@dataclass(frozen=True)
class Shape:
    """How the rows of one table are told apart and compared in both databases.

    Attributes
    ----------
    table : str
        Real name, the same in both.
    key : tuple of str
        The columns that name a row; empty where nothing does, so that rows only come and go.
    columns : tuple of str
        What is compared: the columns that both have and that somebody writes.
    types : dict of str to str
        The type of each, as PostgreSQL spells it.
    only_before, only_now, retyped : tuple of str
        Columns that one of them has not, or has as another type.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    types: Mapping[str, str] = field(repr=False)
    only_before: tuple[str, ...] = ()
    only_now: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    @property
    def by_uuid(self) -> bool:
        """Whether rows are named by one uuid, sixteen bytes that say themselves which."""
        return len(self.key) == 1 and self.types[self.key[0]] == "uuid" and self.key[0] not in self.retyped

    def cell(self, name: str, alias: str = "t") -> sql.Composable:
        """Return a column in the form in which it is compared: by its text, where its types differ."""
        return portable("" if name in self.retyped else self.types[name], sql.Identifier(alias, name))

    @property
    def digest(self) -> sql.Composed:
        """The expression of a row's digest."""
        return hashed([self.cell(name) for name in self.columns])

    @property
    def column_digests(self) -> sql.Composed:
        """The expression of the digests of a row's columns, eight bytes each."""
        types = ["" if name in self.retyped else self.types[name] for name in self.columns]
        cells = [
            sql.SQL("int8send({})").format(hash_of(type, sql.Identifier("t", name)))
            for name, type in zip(self.columns, types, strict=True)
        ]
        return sql.SQL(" || ").join(cells)

    def key_hash(self, seed: int) -> sql.Composed:
        """Return the expression of a 64-bit hash of a row's key."""
        return hashed([self.cell(name) for name in self.key or self.columns], seed)

    @property
    def key_text(self) -> sql.Composable:
        """The expression of a row's key as one text, parted by slashes; a row without one goes by its hash."""
        if not self.key:
            return sql.SQL("{}::text").format(self.key_hash(0))
        if len(self.key) == 1:
            return sql.SQL("t.{}::text").format(sql.Identifier(self.key[0]))
        # No two keys may read alike, whatever they hold.
        parts = [
            sql.SQL(r"replace(replace(t.{}::text, '\', '\\'), '/', '\/')").format(sql.Identifier(name))
            for name in self.key
        ]
        return sql.SQL(" || '/' || ").join(parts)

    @property
    def looked_up(self) -> tuple[sql.Composable, str]:
        """By which expression, and as which type, a row is looked up: by an index where that can be."""
        if len(self.key) == 1 and self.key[0] not in self.retyped:
            return sql.Identifier("t", self.key[0]), self.types[self.key[0]]
        return self.key_text, "text"

    def among(self, many: bool) -> sql.Composed:
        """Return the condition that a row's key is one of those that a parameter names.

        Parameters
        ----------
        many : bool
            Whether there are so many that the table is best read through, each key looked up in a hash; the
            planner must not estimate them one by one, hence CASE.
        """
        by, type = self.looked_up
        condition = sql.SQL("{} = ANY (%s::{}[])").format(by, sql.SQL(type))
        return sql.SQL("CASE WHEN {} THEN true END").format(condition) if many else condition


def shape_of(before: CatalogueTable, now: CatalogueTable, key: tuple[str, ...]) -> Shape:
    """Find out how two tables of one name are compared.

    Parameters
    ----------
    key : tuple of str
        The columns of the primary key, as the database that has one says.
    """
    was = {name: column for name, column in before.columns.items() if not column.generated}
    has = {name: column for name, column in now.columns.items() if not column.generated}
    both = tuple(name for name in has if name in was)
    retyped = tuple(name for name in both if was[name].type != has[name].type)
    return Shape(
        now.name,
        key if set(key) <= set(both) else (),
        both,
        {name: has[name].type for name in both},
        tuple(name for name in was if name not in has),
        tuple(name for name in has if name not in was),
        retyped,
    )


def side_of(connection: Connection, schema: str, tables: Collection[str] | None = None) -> Side:
    """Make a side of a database that is being read; all of its tables, or some."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    # Nothing is compiled for questions that are asked once; and rows that a policy hides are an error, not absent.
    # Several processes read a large table, and pass few of its rows on, which the planner does not know; to start
    # them takes longer than to read a small one.
    found.execute(
        "SET LOCAL jit = off; SET LOCAL row_security = off; SET LOCAL work_mem = '64MB';"
        " SET LOCAL parallel_tuple_cost = 0; SET LOCAL parallel_setup_cost = 100;"
        " SET LOCAL min_parallel_table_scan_size = '64MB'; SET LOCAL min_parallel_index_scan_size = '4MB'"
    )
    return Side(found, read_catalogue(found, schema, tables))
