"""Rows that change places: a unique index looks row by row, so one has to step aside before another can come.

Two registrations for one event that exchange their members collide in any single UPDATE, whatever the order.
A plan says only where each goes. Here, under the lock of the apply, those who stand where another one of the
section shall stand are first led to a place that nobody has: on the same event, a member who is not registered
for it. That is a legal value, nobody else ever sees it, and the next statement replaces it; the journal's
images are those from before and after all of it, so an undo retraces the exchange as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from workbench.errors import Drift
from workbench.murmurant.references import Reference, References
from workbench.plans import rows
from workbench.plans.stage import SHOWN, Stage


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
    changed = set(stage.section.changed)
    concerned = [each for each in stage.described.unique if changed.intersection(each)]
    return sum(_make_way(stage, graph, unique, number) for number, unique in enumerate(concerned))


def _make_way(stage: Stage, graph: References, unique: Sequence[str], number: int) -> int:
    """Lead aside who stands in another's way, as one unique index sees it."""
    key, connection = stage.section.key, stage.connection
    coming, standing = (sql.Identifier(f"{stage.name}_{word}_{number}") for word in ("coming", "standing"))
    cells = (
        sql.SQL("{} AS {}").format(stage.becomes(name, "s", "b"), sql.Identifier(name))
        for name in dict.fromkeys((*key, *unique))
    )
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} s JOIN {} b ON {}").format(
            *(coming, sql.SQL(", ").join(cells), stage.staged, stage.before, rows.keys_match(key, "s", "b"))
        )
    )
    waiting = connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT x.* FROM {} x JOIN {} c ON {} AND NOT ({})"
        ).format(*(standing, stage.before, coming, _same(unique, "x", "c"), rows.keys_match(key, "x", "c")))
    ).rowcount
    if not waiting:
        return 0
    connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(coming, rows.columns(tuple(unique))))
    leading = {
        each.column: each for each in graph.all if each.child == stage.section.table and not each.kinds
    }
    # Rather by a column that the section changes anyway; another has to be set back.
    for column in sorted(
        leading.keys() & set(unique), key=lambda each: (each not in stage.section.changed, each)
    ):
        places = sql.Identifier(f"{stage.name}_{column}_{number}")
        free = _free_places(stage, graph, unique, leading[column], coming, standing)
        made = sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}").format(places, free)
        if connection.execute(made).rowcount < waiting:
            continue
        if column not in (*stage.section.changed, *stage.restored):
            stage.restored += (column,)
        return connection.execute(
            sql.SQL("UPDATE {} t SET {} = p.{} FROM {} p WHERE {}").format(
                *(stage.table, sql.Identifier(column), _FREE, places), rows.keys_match(key, "t", "p")
            )
        ).rowcount
    raise _no_room(stage, unique, standing)


def _free_places(
    stage: Stage,
    graph: References,
    unique: Sequence[str],
    by: Reference,
    coming: sql.Identifier,
    standing: sql.Identifier,
) -> sql.Composed:
    """Select for each row that stands in the way another value of one column: no row has it there, none shall."""
    key, others = stage.section.key, tuple(each for each in unique if each != by.column)
    value = sql.SQL("{}::{}").format(
        sql.Identifier("p", by.parent_column),
        sql.SQL(stage.described.columns[by.column].type),
    )
    taken = sql.SQL(" AND ").join(
        sql.SQL("NOT EXISTS (SELECT FROM {} t WHERE {} = {} AND {})").format(
            *(table, sql.Identifier("t", by.column), value, _same(others, "t", "x"))
        )
        for table in (stage.table, coming)
    )
    return sql.SQL(
        "SELECT {}, f.{} FROM (SELECT *, row_number() OVER (PARTITION BY {} ORDER BY {}) AS {} FROM {}) x"
        " CROSS JOIN LATERAL (SELECT {} AS {} FROM {} p WHERE {} ORDER BY {} OFFSET x.{} - 1 LIMIT 1) f"
    ).format(
        *(rows.columns(key, "x"), _FREE, sql.SQL(", ").join([sql.SQL("true"), *map(sql.Identifier, others)])),
        *(rows.columns(key), _NUMBER, standing),
        *(value, _FREE, rows.qualified(graph.schema.catalogue, by.parent), taken),
        *(sql.Identifier("p", by.parent_column), _NUMBER),
    )


def _same(names: Iterable[str], left: str, right: str) -> sql.Composed:
    alike = (sql.SQL("{} = {}").format(sql.Identifier(left, n), sql.Identifier(right, n)) for n in names)
    return sql.SQL(" AND ").join([sql.SQL("true"), *alike])


def _no_room(stage: Stage, unique: Sequence[str], standing: sql.Identifier) -> Drift:
    query = sql.SQL("SELECT {} FROM {} x ORDER BY 1 LIMIT {}").format(
        rows.key_text(stage.section.key, "x"), standing, SHOWN
    )
    found = [str(row[0]) for row in stage.connection.execute(query)]
    table, columns = stage.section.table, ", ".join(unique)
    return Drift(
        f'Rows of "{table}" shall change places ({columns}), {found[0]} and others, and there is no free place'
        " where one could wait meanwhile. Nothing was changed.",
        "Plan again without them.",
        tuple((table, row, f"shall change places ({columns})") for row in found),
    )


_FREE, _NUMBER = sql.Identifier("~free"), sql.Identifier("~number")  # no column of Murmurant's begins so
