"""Guide §7.1: values of the tables that nobody can read as they are."""

from __future__ import annotations

from workbench.checks.look import Look
from workbench.checks.registry import Asked, Rows
from workbench.murmurant.canonical import ask
from workbench.murmurant.references import literal, quoted
from workbench.murmurant.row_digest import odd_value


def values_odd(look: Look) -> Asked | Rows:
    catalogue, selects = look.schema.catalogue, []
    for name in sorted({concept.table for concept in look.schema.resolved.values()}):
        table = catalogue.tables[name]
        odd = {
            column.name: condition
            for column in table.columns.values()
            if column.readable and (condition := odd_value(column.type, f"t.{quoted(column.name)}"))
        }
        if not odd:
            continue
        key = " || '/' || ".join(f"t.{quoted(part)}::text" for part in table.primary_key) or "t.ctid::text"
        cells = ", ".join(
            f"({literal(column)}, CASE WHEN {condition} THEN t.{quoted(column)}::text END)"
            for column, condition in odd.items()
        )
        selects.append(
            f"SELECT {key} AS key, {literal(name)} AS table, cell.*"
            f' FROM {quoted(catalogue.schema)}.{quoted(name)} t, LATERAL (VALUES {cells}) AS cell("column", value)'
            f" WHERE cell.value IS NOT NULL AND ({' OR '.join(odd.values())})"
        )
    if not selects:
        return []
    query = f"""SELECT *, count(*) OVER () AS of_all FROM ({" UNION ALL ".join(selects)}) AS odd
        ORDER BY "table", "column", key"""
    _, rows, query = ask(look.connection, look.canonical, query, limit=look.sample)
    return int(rows["of_all"].max()) if len(rows) else 0, rows.drop(columns="of_all"), query
