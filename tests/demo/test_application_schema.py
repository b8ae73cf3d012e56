"""A database made by application.sql is the recorded application's, column for column, key for key."""

from __future__ import annotations

import json

import psycopg

from workbench.demo.club import schema

ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL"}


def test_schema_is_the_recorded_one(empty_url, recordings):
    recorded = json.loads((recordings / "schema.json").read_text())
    with psycopg.connect(empty_url) as connection:
        for part in schema("application"):
            connection.execute(part)
        enums = connection.execute(
            """
            SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_type
            JOIN pg_enum ON enumtypid = pg_type.oid GROUP BY 1
            """
        ).fetchall()
        columns = connection.execute(
            """
            SELECT c.relname, array_agg(ARRAY[
                a.attname,
                format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END,
                coalesce(pg_get_expr(d.adbin, d.adrelid), '')
            ] ORDER BY a.attnum)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1
            """
        ).fetchall()
        indexes = connection.execute(
            """
            SELECT c.relname,
                CASE WHEN i.indisprimary THEN 'primary' WHEN i.indisunique THEN 'unique' ELSE 'index' END,
                array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(n, o)
                      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.n ORDER BY k.o)
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
            """
        ).fetchall()
        keys = connection.execute(
            """
            SELECT c.relname, k.conname, a.attname, f.relname, b.attname, k.confdeltype::text, k.convalidated
            FROM pg_constraint k
            JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
            JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.confkey[1]
            WHERE k.contype = 'f' AND cardinality(k.conkey) = 1
            """
        ).fetchall()

    assert dict(enums) == recorded["enums"]
    made = {table: [tuple(column) for column in each] for table, each in columns}
    assert made == {
        table: [
            (name, _type(kind), null, *(default or [""])) for name, kind, null, *default in each["columns"]
        ]
        for table, each in recorded["tables"].items()
    }
    assert sorted(indexes) == sorted(
        (table, kind, found)
        for table, each in recorded["tables"].items()
        for kind, several in (
            ("primary", [each["primary_key"]]),
            ("unique", each["unique"]),
            ("index", each["indexes"]),
        )
        for found in several
    )
    assert len(keys) == 124
    assert all(validated for *_, validated in keys)
    assert sorted((t, c, f"{f}({b})", ACTIONS[rule]) for t, _, c, f, b, rule, _ in keys) == sorted(
        (table, key["columns"][0], key["references"], key["on_delete"])
        for table, each in recorded["tables"].items()
        for key in each["foreign_keys"]
    )
    assert all(name == f"{table}_{column}_fkey" for table, name, column, *_ in keys)


def _type(kind: str) -> str:
    """Spell a recorded type as the catalogue does."""
    if kind.startswith("TIMESTAMP"):
        return "timestamp(3) without time zone"
    return kind.lower() if kind.isupper() else f'"{kind}"'
