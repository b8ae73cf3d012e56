"""PostgreSQL's description of a live database: tables, columns, keys and references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg

_COLUMNS = """
    SELECT c.relname AS table_name, a.attname AS column_name,
           format_type(a.atttypid, a.atttypmod) AS type,
           (SELECT array_agg(enumlabel::text) FROM pg_enum WHERE enumtypid = a.atttypid) AS labels,
           NOT a.attnotnull AS nullable, a.attgenerated <> '' AS generated,
           a.atthasdef OR a.attidentity <> '' AS has_default,
           c.relkind IN ('r', 'p') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
           AND has_schema_privilege(c.relnamespace, 'USAGE') AS readable, c.relkind NOT IN ('r', 'p') AS in_view,
           NOT coalesce(o.collisdeterministic, true) AS loose
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_collation o ON o.oid = a.attcollation
    WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT c.relispartition  -- their rows are the partitioned table's
      AND (%(tables)s::text[] IS NULL OR c.relname = ANY (%(tables)s::text[]))
    ORDER BY c.relname, a.attnum
"""

_KEYS = """
    SELECT c.relname AS table_name, i.indisprimary AS is_primary,
           array_agg(a.attname::text ORDER BY k.position) AS columns
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s)) AND i.indisunique AND i.indpred IS NULL
      AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
      AND (%(tables)s::text[] IS NULL OR c.relname = ANY (%(tables)s::text[]))
    GROUP BY i.indexrelid, c.relname, i.indisprimary
    ORDER BY c.relname, i.indisprimary DESC, 3
"""

_IN_PARTS = """
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
      AND (c.relkind = 'p' OR c.relhassubclass)
"""

_FOREIGN_KEYS = """
    SELECT f.conname AS name, child.relname AS child, parent.relname AS parent,
           (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY k(num, n)
            JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num) AS child_columns,
           (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY k(num, n)
            JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num) AS parent_columns,
           CASE f.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE'
                              WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END AS on_delete
    FROM pg_constraint f
    JOIN pg_class child ON child.oid = f.conrelid
    JOIN pg_class parent ON parent.oid = f.confrelid
    WHERE f.contype = 'f' AND f.conparentid = 0
      AND child.relnamespace = to_regnamespace(quote_ident(%(schema)s))
      AND (%(tables)s::text[] IS NULL OR child.relname = ANY (%(tables)s::text[]))
    ORDER BY child.relname, f.conname
"""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    labels : list of str or None
        The values of an enum; None of any other type.
    nullable, readable : bool
        Whether it may be NULL; whether we may read all of it, which excludes views and foreign tables.
    generated : bool
        Whether it is computed from other columns.
    has_default : bool
        Whether an insert may omit it.
    in_view : bool
        Whether it belongs to a view or a foreign table.
    loose : bool
        Whether its collation is nondeterministic.
    """

    name: str
    type: str
    labels: list[str] | None
    nullable: bool
    generated: bool
    has_default: bool
    readable: bool
    in_view: bool = False
    loose: bool = False

    @property
    def is_enum(self) -> bool:
        """Whether its type is an enum."""
        return self.labels is not None


@dataclass(frozen=True)
class CatalogueTable:
    """A table: columns by name, primary key (else a unique key without NULLs), unique keys, and whether it is partitioned or inherited."""

    name: str
    columns: dict[str, Column]
    primary_key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    in_parts: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """A declared foreign key with its delete rule (``CASCADE``, ``SET NULL``, ``RESTRICT``, ...)."""

    name: str
    child: str
    child_columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str


@dataclass(frozen=True)
class Catalogue:
    """The tables and foreign keys of a schema."""

    schema: str
    tables: dict[str, CatalogueTable]
    foreign_keys: tuple[ForeignKey, ...]


def read_catalogue(
    connection: psycopg.Connection[Any], schema: str = "public", tables: Collection[str] | None = None
) -> Catalogue:
    """Read the catalogue of all or some tables of a schema."""
    asked = {"schema": schema, "tables": None if tables is None else sorted(tables)}
    columns: defaultdict[str, dict[str, Column]] = defaultdict(dict)
    for table, *column in connection.execute(_COLUMNS, asked):
        columns[table][column[0]] = Column(*column)
    unique: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    primary: dict[str, tuple[str, ...]] = {}
    for table, is_primary, names in connection.execute(_KEYS, asked):
        if table not in columns:
            continue  # a partition
        unique[table].append(tuple(names))
        # Without a primary key, a unique key without NULLs identifies the rows.
        if is_primary or not any(columns[table][name].nullable for name in names):
            primary.setdefault(table, tuple(names))
    keys = tuple(
        ForeignKey(name, child, tuple(child_columns), parent, tuple(parent_columns), on_delete)
        for name, child, parent, child_columns, parent_columns, on_delete in connection.execute(
            _FOREIGN_KEYS, asked
        )
    )
    in_parts = {name for (name,) in connection.execute(_IN_PARTS, asked)}
    described = {
        name: CatalogueTable(name, own, primary.get(name, ()), tuple(unique[name]), name in in_parts)
        for name, own in columns.items()
    }
    return Catalogue(schema, described, keys)
