"""What an apply checks besides its own rows: no reference is left dangling, and nothing else was changed.

The database checks a foreign key row by row, mostly over columns without an index: nine tenths of the time of the
guide's own SQL. Here each reference is one join for all rows of a section. Before the commit, the server's own row
counters are compared with the plan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from workbench.database.connection import Session
from workbench.errors import Drift, WorkbenchError
from workbench.murmurant.references import Reference, References
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.plan import Plan, Section
from workbench.plans.stage import SHOWN, Stage

# Changes to a partition count for its table.
_TOUCHED = """
    SELECT CASE n.nspname WHEN %s THEN c.relname::text ELSE concat(n.nspname, '.', c.relname) END,
           sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint,
           array_agg(pg_relation_filenode(s.relid)), current_setting('track_counts')
    FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.schemaname <> 'workbench' AND s.schemaname NOT LIKE 'pg\\_temp%%' GROUP BY 1
"""

Touched = Counter[tuple[str, str]]
"""Rows by table and operation."""

Account = tuple[Touched, dict[int, str]]
"""Also the files of tables: TRUNCATE gives a table a new file and counts no rows."""


def lock_tables(connection: Session, graph: References, sections: Sequence[Section]) -> None:
    """Keep everybody else from writing to the tables that this apply changes or relies on.

    Reading goes on. Transactions that are writing now are waited for, up to the lock timeout.
    """
    changed = {section.table for section in sections}
    relied_on = {way.parent for section in sections for way in _written(graph, section)}
    deleting = {section.table for section in sections if section.name == "delete"}
    relied_on |= {way.child for table in deleting for way in graph.binding(table)}
    for tables, mode in ((changed, "SHARE ROW EXCLUSIVE"), (relied_on - changed, "SHARE")):
        if tables:
            names = (rows.qualified(graph.schema.catalogue, table) for table in sorted(tables))
            statement = sql.SQL("LOCK TABLE {} IN {} MODE")
            connection.execute(statement.format(sql.SQL(", ").join(names), sql.SQL(mode)))


def refuse_new_children(stage: Stage, holding: Collection[str]) -> None:
    """Raise `Drift` when a row that is not in the plan refers to a row about to be deleted.

    Parameters
    ----------
    holding : collection of str
        The tables that may have rows; under the lock, the others stay empty.
    """
    graph, queries = stage.graph, []
    for reference in graph.binding(stage.section.table):
        if reference.child not in holding:
            continue
        key = graph.schema.catalogue.tables[reference.child].primary_key or (reference.column,)
        source = sql.SQL("{} c JOIN {before} p ON {}").format(
            rows.qualified(graph.schema.catalogue, reference.child), _refers(graph, reference), **stage.parts
        )
        if reference.kind_column:
            kind = sql.Identifier("c", reference.kind_column)
            source += sql.SQL(" AND {}::text = ANY({})").format(kind, list(reference.kinds))
        if reference.child == stage.section.table:
            itself = sql.SQL(" AND NOT EXISTS (SELECT FROM {before} b WHERE {})")
            source += itself.format(rows.keys_match(key, "b", "c"), **stage.parts)
        reason = f'refers to a row of "{reference.parent}" that would be deleted'
        queries.append(_query(reference.child, key, reason, source))
    what = "Rows that are not in the plan refer to rows that it deletes"
    _refuse_any(
        stage, queries, what, "They are newer than the plan. Plan again: it will keep what they need."
    )


def refuse_missing_parents(stage: Stage) -> None:
    """Raise `Drift` when a row that was inserted or updated refers to a row that does not exist."""
    graph, queries = stage.graph, []
    for reference in _written(graph, stage.section):
        source = sql.SQL("{after} c LEFT JOIN {} p ON {} WHERE {} IS NOT NULL AND {} IS NULL").format(
            rows.qualified(graph.schema.catalogue, reference.parent),
            _refers(graph, reference),
            sql.Identifier("c", reference.column),
            sql.Identifier("p", reference.parent_column),
            **stage.parts,
        )
        reason = f'would refer by {reference.column} to a missing row of "{reference.parent}"'
        queries.append(_query(reference.child, stage.section.key, reason, source))
    what = "Rows that the plan writes refer to rows that are gone"
    _refuse_any(stage, queries, what, "Somebody deleted them since. Plan again.")


def _written(graph: References, section: Section) -> list[Reference]:
    """Return the declared references that a section's inserts or updates write."""
    return [
        reference
        for reference in graph.all
        if reference.declared and reference.child == section.table and reference.column in section.changed
    ]


def _query(table: str, key: Sequence[str], reason: str, source: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT {}, {}, {} FROM {}").format(table, rows.key_text(key, "c"), reason, source)


def _refuse_any(stage: Stage, queries: list[sql.Composed], what: str, next_step: str) -> None:
    """Run all queries at once; raise `Drift` with the first rows of the answer."""
    if not queries:
        return
    # Without a LIMIT, which would make the planner choose to go row by row.
    dangling = stage.connection.execute(sql.SQL(" UNION ALL ").join(queries)).fetchmany(SHOWN)
    if dangling:
        table, key, _ = dangling[0]
        raise Drift(f"{what}, {table} {key} for one; nothing was changed.", next_step, tuple(dangling))


def _refers(graph: References, reference: Reference) -> sql.Composed:
    """Return the condition that a child (c) refers to a parent (p)."""
    tables = graph.schema.catalogue.tables
    child = tables[reference.child].columns[reference.column]
    parent = tables[reference.parent].columns[reference.parent_column]
    cells = sql.Identifier("c", child.name), sql.Identifier("p", parent.name)
    return sql.SQL("{} = {}" if child.type == parent.type else "{}::text = {}::text").format(*cells)


def read_account(connection: Session, schema: Schema) -> Account:
    """Return what the server has counted in this session so far; a pooler's session may have counts from before."""
    touched: Touched = Counter()
    files: dict[int, str] = {}
    for table, *counts, numbers, counting in connection.execute(_TOUCHED, [schema.catalogue.schema]):
        if counting != "on":
            raise WorkbenchError(
                "The server does not count rows (track_counts is off), so nothing can prove what was changed.",
                "Switch track_counts on. Nothing was changed.",
            )
        operations = ((table, operation) for operation in ("insert", "update", "delete"))
        touched.update(dict(zip(operations, counts, strict=True)))
        files.update(dict.fromkeys(numbers, table))
    return touched, files


def refuse_hidden_effects(
    connection: Session, schema: Schema, plan: Plan, extra: Touched, before: Account
) -> None:
    """Raise `Drift` when this transaction did anything that was not planned, by the server's own row counters.

    Parameters
    ----------
    extra : Counter of (table, operation)
        What the apply itself did besides the plan: audit entries, rows that were parked.
    before : Account
        From `read_account`, before anything was changed.
    """
    planned = Counter(extra)
    for section in plan.operations:
        planned[section.table, section.name] += section.rows
    touched, files = read_account(connection, schema)
    done = touched - before[0]
    for table in {table for table, _ in done}:
        # The server counts an update that moves a row to another partition as a delete and an insert.
        described = schema.catalogue.tables.get(table)
        moved = done[table, "insert"] - planned[table, "insert"]
        if described and described.in_parts and moved == done[table, "delete"] - planned[table, "delete"] > 0:
            done += Counter({(table, "update"): moved})
            done -= Counter({(table, "insert"): moved, (table, "delete"): moved})
    hidden = {
        cell: f"{done[cell]} times instead of {planned[cell]}"
        for cell in done.keys() | planned.keys()
        if done[cell] != planned[cell]
    }
    hidden |= {(table, "truncate"): "once" for file, table in before[1].items() if file not in files}
    if hidden:
        (table, operation), difference = min(hidden.items())
        raise Drift(
            f'The database did something else than planned: {operation} on "{table}" {difference}. Nothing was changed.',
            "A trigger or rule of the database does this; ask its owner.",
        )


@contextmanager
def rejected_changes(plan: Plan) -> Iterator[None]:
    """Turn a rejection by a constraint or trigger of the database into `Drift` that names it."""
    try:
        yield
    except (psycopg.errors.IntegrityError, psycopg.errors.RaiseException) as error:
        # "Key (email)=(ann@example.org) already exists.": the columns are enough, the value is personal.
        columns = re.search(r"\([^)]*\)(?==)", error.diag.message_detail or "")
        rule = f"{error.diag.constraint_name or error.diag.message_primary} {columns[0] if columns else ''}".strip()
        table = error.diag.table_name or "a table"
        raise Drift(
            f"A constraint or trigger of the database rejects what plan {plan.id} writes to {table}: {rule}."
            " Nothing was changed.",
            "Somebody may have written a conflicting row since. Plan again, or change that row first.",
            ((table, "", f"rejected: {rule}"),),
        ) from None
