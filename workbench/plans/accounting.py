"""An account of everything a transaction did, held against the plan: no hidden effects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from workbench.errors import Drift, WorkbenchError
from workbench.murmurant.schema import Schema
from workbench.plans.plan import Plan

Files = dict[tuple[str, str], int]
"""Schema and table to the file that holds its rows."""


def table_files(connection: psycopg.Connection[Any]) -> Files:
    """Return which file each table's rows lie in: emptying a table gives it a new one."""
    rows = connection.execute(
        "SELECT n.nspname::text, c.relname::text, pg_relation_filenode(c.oid) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm')"
        " AND n.nspname NOT IN ('workbench', 'pg_catalog', 'information_schema', 'pg_toast')"
        " AND n.nspname NOT LIKE 'pg\\_temp%'"
    )
    return {(schema, table): file for schema, table, file in rows}


def rows_touched(connection: psycopg.Connection[Any], schema: Schema) -> Counter[tuple[str, str]]:
    """Count the rows that were touched by this transaction, and by those just before it in the same session.

    What was done to a partition was done to its table. A row that moved from one to another was updated, though the server
    counts a delete and an insert.
    """
    done: Counter[tuple[str, str]] = Counter()
    for schema_name, table, inserted, updated, deleted in connection.execute(
        "SELECT n.nspname::text, c.relname::text, sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint"
        " FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE s.schemaname <> 'workbench' AND s.schemaname NOT LIKE 'pg\\_temp%' GROUP BY 1, 2"
    ):
        name = table if schema_name == schema.catalogue.schema else f"{schema_name}.{table}"
        done += Counter({(name, "insert"): inserted, (name, "update"): updated, (name, "delete"): deleted})
    return done


def refuse_hidden_effects(
    connection: psycopg.Connection[Any],
    schema: Schema,
    plan: Plan,
    besides: Counter[tuple[str, str]],
    files: Files,
    already: Counter[tuple[str, str]],
) -> None:
    """Compare what this transaction did, by the server's own count of rows, with what was planned.

    Parameters
    ----------
    besides : Counter of (table, operation)
        What was done on purpose: the audit entries written, the rows that stepped aside for others.
    files : dict
        From `table_files`, before anything was changed: what TRUNCATE does is not counted in rows.
    already : Counter of (table, operation)
        From `rows_touched`, at that moment: a session that a pooler lent still counts what others did in it.

    Raises
    ------
    Drift
        When anything else was touched.
    """
    row = connection.execute("SHOW track_counts").fetchone()
    if row != ("on",):
        raise WorkbenchError(
            "The server does not count rows (track_counts is off), so nothing can prove what was changed.",
            "Switch track_counts on. Nothing was changed.",
        )
    planned = Counter(besides)
    for section in plan.operations:
        planned[section.table, section.name] += section.rows
    done = rows_touched(connection, schema) - already
    for table in {table for table, _ in done}:
        described = schema.catalogue.tables.get(table)
        moved = done[table, "insert"] - planned[table, "insert"]
        if described and described.in_parts and moved == done[table, "delete"] - planned[table, "delete"] > 0:
            done += Counter({(table, "update"): moved})
            done -= Counter({(table, "insert"): moved, (table, "delete"): moved})
    hidden = {
        cell: f"{done[cell]} times, not {planned[cell]}"
        for cell in done.keys() | planned.keys()
        if done[cell] != planned[cell]
    }
    now = table_files(connection)
    hidden |= {
        (table, "truncate"): "once, not 0" for (_, table), file in files.items() if file not in now.values()
    }
    if hidden:
        (table, operation), said = min(hidden.items())
        raise Drift(
            f'The database did more, or less, than was planned: {operation} on "{table}" {said}. Nothing was changed.',
            "A trigger or rule of the database does this; ask its owner.",
        )


@contextmanager
def no_clash(plan: Plan) -> Iterator[None]:
    """Turn a rule of the database that a change would break into a refusal that names it."""
    try:
        yield
    except psycopg.errors.RaiseException as error:
        raise Drift(
            f"A trigger of the database refuses what plan {plan.id} writes: {error.diag.message_primary}. Nothing was changed.",
            "Ask its owner what it keeps from being written.",
        ) from None
    except psycopg.errors.IntegrityError as error:
        facts = error.diag
        # "Key (email)=(ann@example.org) already exists.": the columns say enough, the value is somebody's.
        columns = re.search(r"\(([^)]*)\)=", facts.message_detail or "")
        what = f"({columns[1]}) " if columns else ""
        table = facts.table_name or "a table"
        raise Drift(
            f'The database does not take what plan {plan.id} writes to "{table}": it would break'
            f" {facts.constraint_name or 'a rule'} {what}by now. Nothing was changed.",
            "Somebody wrote a row since that is in its way. Plan again, or move that row first.",
            ((table, "", f"another row stands in the way: {what}{facts.constraint_name or ''}".strip()),),
        ) from None
