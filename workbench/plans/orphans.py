"""Nothing is orphaned: every reference looked at once per section, for all its rows together.

The database checks a foreign key row by row, over columns that mostly have no index; that is nine
tenths of the time of the guide's own SQL. Here each reference is one join.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from workbench.errors import Drift
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.plan import Section
from workbench.plans.stage import SHOWN, Stage


def lock_tables(connection: psycopg.Connection[Any], graph: References, sections: Iterable[Section]) -> None:
    """Keep everybody else from writing where this apply changes or relies on something.

    Reading goes on. Whoever is writing right now is waited for, up to the lock timeout.
    """
    changed: set[str] = set()
    relied_on: set[str] = set()
    for section in sections:
        changed.add(section.table)
        if section.name == "delete":
            relied_on |= {each.child for each in graph.binding(section.table)}
        relied_on |= {each.parent for each in leading(graph, section)}
    for tables, mode in ((changed, "SHARE ROW EXCLUSIVE"), (relied_on - changed, "SHARE")):
        if tables:
            names = sql.SQL(", ").join(
                rows.qualified(graph.schema.catalogue, table) for table in sorted(tables)
            )
            connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(names, sql.SQL(mode)))


def leading(graph: References, section: Section) -> list[Reference]:
    """Return the declared references that a section's inserts or updates write."""
    return [
        each
        for each in graph.all
        if each.declared and each.child == section.table and each.column in section.changed
    ]


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
    catalogue, questions = graph.schema.catalogue, []
    for each in graph.binding(stage.section.table):
        if each.child not in holding:
            continue
        key = catalogue.tables[each.child].primary_key or (each.column,)
        but: sql.Composable = sql.SQL("")
        if each.child == stage.section.table:
            own = rows.keys_match(key, "b", "c")
            but = sql.SQL(" AND NOT EXISTS (SELECT FROM {} b WHERE {})").format(stage.parts["before"], own)
        if each.kind_column:
            kind = sql.Identifier("c", each.kind_column), sql.Literal(list(each.kinds))
            but = sql.SQL(" AND {}::text = ANY({}){}").format(*kind, but)
        source = sql.SQL("{} c JOIN {} p ON {}{}").format(
            rows.qualified(catalogue, each.child), stage.parts["before"], _same(graph, each), but
        )
        reason = f'refers to a row of "{each.parent}" that would be deleted'
        questions.append((each.child, key, reason, source))
    # Without a limit: it would make the planner hope to be done soon, and go row by row.
    if found := _first(stage, questions):
        raise Drift(
            f"Rows that the plan does not know refer to rows it deletes ({found[0][0]} {found[0][1]}"
            f"{' and others' if len(found) > 1 else ''}); nothing was changed.",
            "They are newer than the plan. Plan again: it will keep what they need.",
            tuple(found),
        )


def refuse_missing_parents(stage: Stage, graph: References) -> None:
    """Refuse when a row that was inserted or updated refers to one that is not there.

    Raises
    ------
    Drift
        With the rows that would hang in the air.
    """
    questions = []
    for each in leading(graph, stage.section):
        source = sql.SQL("{} c LEFT JOIN {} p ON {} WHERE {} IS NOT NULL AND {} IS NULL").format(
            *(stage.parts["after"], rows.qualified(graph.schema.catalogue, each.parent), _same(graph, each)),
            *(sql.Identifier("c", each.column), sql.Identifier("p", each.parent_column)),
        )
        reason = f'would refer by {each.column} to no row of "{each.parent}"'
        questions.append((each.child, stage.section.key, reason, source))
    if found := _first(stage, questions):
        raise Drift(
            f"What the plan writes refers to rows that are gone ({found[0][0]} {found[0][1]}); nothing was changed.",
            "Somebody deleted them since. Plan again.",
            tuple(found),
        )


def _first(
    stage: Stage, questions: Sequence[tuple[str, tuple[str, ...], str, sql.Composed]]
) -> list[tuple[str, str, str]]:
    """Ask all questions at once; return table, key and reason of the first rows (c) that each source has."""
    if not questions:
        return []
    selects = (
        sql.SQL("SELECT {}, {}, {} FROM {}").format(
            sql.Literal(table), rows.key_text(key, "c"), sql.Literal(reason), source
        )
        for table, key, reason, source in questions
    )
    return stage.connection.execute(sql.SQL(" UNION ALL ").join(selects)).fetchmany(SHOWN)


def _same(graph: References, each: Reference) -> sql.Composed:
    """Return the condition that a child (c) refers to a parent (p)."""
    tables = graph.schema.catalogue.tables
    alike = (
        tables[each.child].columns[each.column].type == tables[each.parent].columns[each.parent_column].type
    )
    cast = sql.SQL("" if alike else "::text")
    return sql.SQL("{}{cast} = {}{cast}").format(
        sql.Identifier("c", each.column), sql.Identifier("p", each.parent_column), cast=cast
    )
