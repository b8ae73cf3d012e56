"""Guide §7.1: values of the tables that nobody can read as they are."""

from __future__ import annotations

from psycopg.sql import Identifier, Literal

from workbench.checks.look import Look
from workbench.checks.registry import Asked, Rows
from workbench.murmurant.canonical import ask
from workbench.murmurant.row_digest import odd_value


def values_odd(look: Look) -> Asked | Rows:
    catalogue, selects = look.schema.catalogue, []
    for name in sorted({concept.table for concept in look.schema.resolved.values()}):
        table = catalogue.tables[name]
        odd = {
            column.name: condition
            for column in table.columns.values()
            if column.readable and (condition := odd_value(column.type, cell(column.name)))
        }
        if not odd:
            continue
        key = " || '/' || ".join(f"{cell(part)}::text" for part in table.primary_key) or "t.ctid::text"
        cells = ", ".join(
            f"({text(column)}, CASE WHEN {condition} THEN {cell(column)}::text END)"
            for column, condition in odd.items()
        )
        selects.append(
            f"SELECT {key} AS key, {text(name)} AS table, cell.*"
            f' FROM {Identifier(catalogue.schema, name).as_string()} t, LATERAL (VALUES {cells}) AS cell("column", value)'
            f" WHERE cell.value IS NOT NULL AND ({' OR '.join(odd.values())})"
        )
    if not selects:
        return []
    query = f"""SELECT *, count(*) OVER () AS of_all FROM ({" UNION ALL ".join(selects)}) AS odd
        ORDER BY "table", "column", key"""
    _, rows, query = ask(look.connection, look.canonical, query, limit=look.sample)
    return int(rows["of_all"].max()) if len(rows) else 0, rows.drop(columns="of_all"), query


def cell(column: str) -> str:
    return Identifier("t", column).as_string()


def text(words: str) -> str:
    return f"{Literal(words).as_string()}::text"
