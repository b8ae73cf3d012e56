"""Rows that change places: a unique index looks row by row, so one has to step aside before another can come.

Two registrations for one event that exchange their members collide in any single UPDATE, whatever the order.
A plan says only where each goes. Here, under the lock of the apply, those who stand where another one of the
section shall stand are first led to a place that nobody has: on the same event, a member who is not registered
for it. That is a legal value, nobody else ever sees it, and the next statement replaces it; the journal's
images are those from before and after all of it, so an undo retraces the exchange as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from workbench.errors import Drift
from workbench.murmurant.references import References
from workbench.plans import rows
from workbench.plans.stage import Stage


def step_aside(stage: Stage, graph: References) -> int:
    """Lead the rows of an update that stand in each other's way to places that nobody has.

    Parameters
    ----------
    stage : Stage
        Compared, not yet carried out.
    graph : References
        Tells which column refers to other rows, so that another of them is a legal value.

    Returns
    -------
    int
        How many rows were led aside, each by an update besides the plan's own.

    Raises
    ------
    Drift
        When no place is free for them.
    """
    if stage.section.name != "update":
        return 0
    indexes = [unique for unique in stage.described.unique if {*stage.section.changed} & {*unique}]
    return sum(_make_way(stage, graph, unique, number) for number, unique in enumerate(indexes))


def _make_way(stage: Stage, graph: References, unique: Sequence[str], number: int) -> int:
    """Lead aside who stands in another's way, as one unique index sees it."""
    key, changed = stage.section.key, stage.section.changed
    after = (
        sql.SQL("{} AS {}").format(stage.becomes(name), sql.Identifier(name)) for name in {*key, *unique}
    )
    parts: dict[str, Any] = {
        name: sql.Identifier(f"workbench_{stage.number}_{number}_{name}") for name in ("coming", "standing")
    }
    stage.run(
        "CREATE TEMP TABLE {coming} ON COMMIT DROP AS SELECT {cells} FROM {staged} s JOIN {before} b ON {kept}",
        cells=sql.SQL(", ").join(after),
        **parts,
    )
    waiting = stage.run(
        "CREATE TEMP TABLE {standing} ON COMMIT DROP AS SELECT x.* FROM {before} x JOIN {coming} c ON {there} AND NOT ({itself})",
        there=rows.keys_match(unique, "x", "c"),
        itself=rows.keys_match(key, "x", "c"),
        **parts,
    ).rowcount
    if not waiting:
        return 0
    stage.run("CREATE INDEX ON {coming} ({unique})", unique=rows.columns(unique), **parts)
    parents = {
        reference.column: reference
        for reference in graph.all
        if reference.child == stage.section.table and not reference.kinds
    }
    # Rather by a column that the section changes anyway; another has to be set back.
    for column in sorted(parents.keys() & set(unique), key=lambda name: (name not in changed, name)):
        others = tuple(name for name in unique if name != column)
        parts |= {
            "places": sql.Identifier(f"workbench_{stage.number}_{number}_{column}"),
            "column": sql.Identifier(column),
            "type": sql.SQL(stage.described.columns[column].type),
            "parents": rows.qualified(graph.schema.catalogue, parents[column].parent),
            "value": sql.Identifier("p", parents[column].parent_column),
            "free": sql.Identifier("~free"),  # no column of Murmurant's begins so
            "number": sql.Identifier("~number"),
            "key": rows.columns(key),
            "named": rows.columns(key, "x"),
            "others": rows.columns(others) if others else sql.SQL("true"),
            "beside": rows.keys_match(others, "t", "x"),
            "row": rows.keys_match(key, "t", "p"),
        }
        # For each another value of this column: no row has it there, and none shall.
        places = stage.run(
            """
            CREATE TEMP TABLE {places} ON COMMIT DROP AS SELECT {named}, f.{free}
            FROM (SELECT *, row_number() OVER (PARTITION BY {others} ORDER BY {key}) AS {number} FROM {standing}) x
            CROSS JOIN LATERAL (
                SELECT {value}::{type} AS {free} FROM {parents} p
                WHERE NOT EXISTS (SELECT FROM {table} t WHERE t.{column} = {value}::{type} AND {beside})
                  AND NOT EXISTS (SELECT FROM {coming} t WHERE t.{column} = {value}::{type} AND {beside})
                ORDER BY {value} OFFSET x.{number} - 1 LIMIT 1
            ) f
            """,
            **parts,
        )
        if places.rowcount == waiting:
            stage.restored += () if column in (*changed, *stage.restored) else (column,)
            return stage.run(
                "UPDATE {table} t SET {column} = p.{free} FROM {places} p WHERE {row}", **parts
            ).rowcount
    reason = f"shall change places ({', '.join(unique)})"
    stuck = stage.named("{reason} FROM {standing} x", "x", reason=reason, standing=parts["standing"])
    raise Drift(
        f'Rows of "{stage.section.table}" {reason}, {stuck[0][1]} and others, and there is no free place where one could'
        " wait meanwhile. Nothing was changed.",
        "Plan again without them.",
        tuple(stuck),
    )
