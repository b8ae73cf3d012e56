"""An account of everything a transaction did, held against the plan: no hidden effects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from workbench.errors import Drift, WorkbenchError
from workbench.murmurant.schema import Schema
from workbench.plans.plan import Plan

Cell = tuple[str, str]
"""A table and an operation."""

# What was done to a partition was done to its table.
_TOUCHED = """
    SELECT CASE n.nspname WHEN %s THEN c.relname::text ELSE concat(n.nspname, '.', c.relname) END,
           sum(n_tup_ins)::bigint, sum(n_tup_upd)::bigint, sum(n_tup_del)::bigint,
           array_agg(pg_relation_filenode(s.relid)), current_setting('track_counts')
    FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.schemaname <> 'workbench' AND s.schemaname NOT LIKE 'pg\\_temp%%' GROUP BY 1
"""


class Account(NamedTuple):
    """What the server counts in a session so far.

    Attributes
    ----------
    touched : Counter of (table, operation)
        Rows.
    files : dict of int to str
        The files that hold rows, and their tables: emptying a table gives it a new one, and is counted in no rows.
    """

    touched: Counter[Cell]
    files: dict[int, str]


def read_account(connection: psycopg.Connection[Any], schema: Schema) -> Account:
    """Return what this transaction did, and those just before it in the session that a pooler lent."""
    account = Account(Counter(), {})
    for table, inserted, updated, deleted, files, counting in connection.execute(
        _TOUCHED, [schema.catalogue.schema]
    ):
        if counting != "on":
            raise WorkbenchError(
                "The server does not count rows (track_counts is off), so nothing can prove what was changed.",
                "Switch track_counts on. Nothing was changed.",
            )
        account.touched.update(
            {(table, "insert"): inserted, (table, "update"): updated, (table, "delete"): deleted}
        )
        account.files.update(dict.fromkeys(files, table))
    return account


def refuse_hidden_effects(
    connection: psycopg.Connection[Any], schema: Schema, plan: Plan, besides: Counter[Cell], before: Account
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
    now = read_account(connection, schema)
    done = now.touched - before.touched
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
    hidden |= {
        (before.files[file], "truncate"): "once, not 0" for file in before.files.keys() - now.files.keys()
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
        columns = re.search(r"\([^)]*\)(?==)", facts.message_detail or "")
        rule = " ".join(filter(None, [facts.constraint_name or "a rule", columns and columns[0]]))
        table = facts.table_name or "a table"
        raise Drift(
            f'The database does not take what plan {plan.id} writes to "{table}": it would break {rule} by now.'
            " Nothing was changed.",
            "Somebody wrote a row since that is in its way. Plan again, or move that row first.",
            ((table, "", f"another row stands in the way: {rule}"),),
        ) from None
