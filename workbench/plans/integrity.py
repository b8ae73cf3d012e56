"""What an apply makes sure of besides its rows: nothing is orphaned, and nothing else was changed.

The database checks a foreign key row by row, over columns that mostly have no index; that is nine tenths of the time
of the guide's own SQL. Here each reference is one join for all rows of a section. And the server's own counters are held
against the plan before the commit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import Drift, WorkbenchError
from workbench.murmurant.references import Reference, References
from workbench.murmurant.schema import Schema
from workbench.plans import rows
from workbench.plans.plan import Plan, Section
from workbench.plans.stage import SHOWN, Differing, Stage

# What was done to a partition was done to its table.
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
"""Also the files that hold rows, and their tables: emptying a table gives it a new one, and is counted in no rows."""


def lock_tables(connection: psycopg.Connection[Any], graph: References, sections: Iterable[Section]) -> None:
    """Keep everybody else from writing where this apply changes or relies on something.

    Reading goes on. Whoever is writing right now is waited for, up to the lock timeout.
    """
    changed: set[str] = set()
    relied_on: set[str] = set()
    for section in sections:
        changed.add(section.table)
        relied_on |= {reference.parent for reference in _written(graph, section)}
        if section.name == "delete":
            relied_on |= {reference.child for reference in graph.binding(section.table)}
    for tables, mode in ((changed, "SHARE ROW EXCLUSIVE"), (relied_on - changed, "SHARE")):
        if tables:
            names = (rows.qualified(graph.schema.catalogue, table) for table in sorted(tables))
            statement = sql.SQL("LOCK TABLE {} IN {} MODE")
            connection.execute(statement.format(sql.SQL(", ").join(names), sql.SQL(mode)))


def refuse_new_children(stage: Stage, graph: References, holding: Collection[str]) -> None:
    """Refuse when a row that is not part of the plan refers to what is about to be deleted.

    Parameters
    ----------
    holding : collection of str
        The tables that may hold a row: under the lock, none comes to the others.

    Raises
    ------
    Drift
        With the rows that refer.
    """
    questions = []
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
        questions.append(_question(reference.child, key, reason, source))
    if children := _first(stage, questions):
        raise Drift(
            f"Rows that the plan does not know refer to rows it deletes ({children[0][0]} {children[0][1]}"
            f"{' and others' if len(children) > 1 else ''}); nothing was changed.",
            "They are newer than the plan. Plan again: it will keep what they need.",
            tuple(children),
        )


def refuse_missing_parents(stage: Stage, graph: References) -> None:
    """Refuse when a row that was inserted or updated refers to one that is not there.

    Raises
    ------
    Drift
        With the rows that would hang in the air.
    """
    questions = []
    for reference in _written(graph, stage.section):
        source = sql.SQL("{after} c LEFT JOIN {} p ON {} WHERE {} IS NOT NULL AND {} IS NULL").format(
            rows.qualified(graph.schema.catalogue, reference.parent),
            _refers(graph, reference),
            sql.Identifier("c", reference.column),
            sql.Identifier("p", reference.parent_column),
            **stage.parts,
        )
        reason = f'would refer by {reference.column} to no row of "{reference.parent}"'
        questions.append(_question(reference.child, stage.section.key, reason, source))
    if orphans := _first(stage, questions):
        raise Drift(
            f"What the plan writes refers to rows that are gone ({orphans[0][0]} {orphans[0][1]}); nothing was changed.",
            "Somebody deleted them since. Plan again.",
            tuple(orphans),
        )


def _written(graph: References, section: Section) -> list[Reference]:
    """Return the declared references that a section's inserts or updates write."""
    return [
        reference
        for reference in graph.all
        if reference.declared and reference.child == section.table and reference.column in section.changed
    ]


def _question(table: str, key: tuple[str, ...], reason: str, source: sql.Composable) -> sql.Composed:
    return sql.SQL("SELECT {}, {}, {} FROM {}").format(table, rows.key_text(key, "c"), reason, source)


def _first(stage: Stage, questions: list[sql.Composed]) -> Differing:
    """Ask all questions at once, and return the first rows of the answer."""
    if not questions:
        return []
    # Without a limit: it would make the planner hope to be done soon, and go row by row.
    return stage.connection.execute(sql.SQL(" UNION ALL ").join(questions)).fetchmany(SHOWN)


def _refers(graph: References, reference: Reference) -> sql.Composed:
    """Return the condition that a child (c) refers to a parent (p)."""
    tables = graph.schema.catalogue.tables
    child = tables[reference.child].columns[reference.column]
    parent = tables[reference.parent].columns[reference.parent_column]
    cells = sql.Identifier("c", child.name), sql.Identifier("p", parent.name)
    return sql.SQL("{} = {}" if child.type == parent.type else "{}::text = {}::text").format(*cells)


def read_account(connection: psycopg.Connection[Any], schema: Schema) -> Account:
    """Return what the server counts in this session so far: this transaction, and those before it in one that a pooler lent."""
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
    connection: psycopg.Connection[Any], schema: Schema, plan: Plan, besides: Touched, before: Account
) -> None:
    """Compare what this transaction did, by the server's own count of rows, with what was planned.

    Parameters
    ----------
    besides : Counter of (table, operation)
        What was done on purpose: the audit entries written, the rows that stepped aside for others.
    before : Account
        From `read_account`, before anything was changed.

    Raises
    ------
    Drift
        When anything else was touched.
    """
    planned = Counter(besides)
    for section in plan.operations:
        planned[section.table, section.name] += section.rows
    touched, files = read_account(connection, schema)
    done = touched - before[0]
    for table in {table for table, _ in done}:
        # A row that moved from one partition to another was updated, though the server counts a delete and an insert.
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
    hidden |= {(table, "truncate"): "once, not 0" for file, table in before[1].items() if file not in files}
    if hidden:
        (table, operation), difference = min(hidden.items())
        raise Drift(
            f'The database did more, or less, than was planned: {operation} on "{table}" {difference}. Nothing was changed.',
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
        # "Key (email)=(ann@example.org) already exists.": the columns say enough, the value is somebody's.
        columns = re.search(r"\([^)]*\)(?==)", error.diag.message_detail or "")
        rule = f"{error.diag.constraint_name or 'a rule'} {columns[0] if columns else ''}".strip()
        table = error.diag.table_name or "a table"
        raise Drift(
            f'The database does not take what plan {plan.id} writes to "{table}": it would break {rule} by now.'
            " Nothing was changed.",
            "Somebody wrote a row since that is in its way. Plan again, or move that row first.",
            ((table, "", f"another row stands in the way: {rule}"),),
        ) from None
