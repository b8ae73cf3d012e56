"""Records, the rows that refer to them, and which record of a cluster to keep (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection, select

from workbench.database.connection import raw
from workbench.errors import UsageError
from workbench.mappings.queries import fetch, possible_ids
from workbench.murmurant.references import Reference, References
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION
from workbench.plans import rows
from workbench.plans.rows import rows_by_key

_DESCRIPTIONS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at"),
    EVENT: ("title", "start", "capacity"),
    REGISTRATION: ("event_id", "member_id", "status", "registered_at"),
}
_LINKED = ("members.first_name", "members.last_name", "members.email", "events.title", "events.start")
_LINKS = " LEFT JOIN members ON members.id = member_id LEFT JOIN events ON events.id = event_id"


def describe_records(connection: Connection, schema: Schema, entity: str, ids: Iterable[str]) -> pd.DataFrame:
    """Return the columns by which people recognise records: ``id``, and those of the columns that exist.

    A registration also has its member's and its event's, as ``member_first_name``, ``event_title``, ...
    """
    schema.require(CONCEPT_OF[entity])
    relation, links = CONCEPT_OF[entity], ""
    columns = [f"{relation}.{name}" for name in _DESCRIPTIONS[entity]]
    if entity == REGISTRATION and schema.has("registrations.member_id", "registrations.event_id"):
        columns, links = [*columns, *_LINKED], _LINKS
    names = [name for name in columns if schema.has(name)]
    cells = [
        f"{name}::text" if name.endswith((".id", "_id")) else name for name in (f"{relation}.id", *names)
    ]
    query = f"""SELECT {", ".join(cells)} FROM {relation}{links}
        WHERE {relation}.id = ANY (%(ids)s::ids) ORDER BY {relation}.id::text COLLATE "C" """
    headings = [name.removeprefix(f"{relation}.").replace("s.", "_") for name in names]
    # From tuples, so that integers with gaps stay integers.
    records = [tuple(row) for row in fetch(connection, schema, query, ids=list(ids))]
    return pd.DataFrame.from_records(records, columns=["id", *headings])


@dataclass(frozen=True)
class SideBySide:
    """Records of one entity to compare.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    records : pandas.DataFrame
        A row for each, in the order asked for: ``id``, and each column that a merge can write, as text (None for NULL).
    referring : pandas.DataFrame
        What refers to each: see `count_associations`.
    canonical, by : str
        The record that the guide's rule would keep, and what decided.
    associations : dict of str to int
        Each record to the number of rows that refer to it.
    linked : pandas.DataFrame
        Of registrations, the member's and the event's columns: see `describe_records`; else ``id`` alone.
    """

    entity: str
    records: pd.DataFrame
    referring: pd.DataFrame
    canonical: str
    by: str
    associations: dict[str, int]
    linked: pd.DataFrame

    @property
    def ids(self) -> list[str]:
        """The records, in order."""
        return list(map(str, self.records["id"]))

    @property
    def differing(self) -> list[str]:
        """The columns whose values differ."""
        several = self.records.drop(columns="id").nunique(dropna=False) > 1
        return [str(name) for name in several.index[several]]


def read_side_by_side(connection: Connection, schema: Schema, entity: str, ids: Sequence[str]) -> SideBySide:
    """Read whole records, what refers to each, and which of them the guide's rule would keep.

    Raises
    ------
    UsageError
        For a record that does not exist, or fewer than two.
    """
    ids = list(dict.fromkeys(ids))
    if len(ids) < 2:
        raise UsageError("It takes two records to compare.", "Name another one.")
    table = schema.catalogue.tables[schema.table_of(entity)]
    names = [name for name in writable_columns(schema, entity) if table.columns[name].readable]
    known = rows_by_key(raw(connection), schema.catalogue.schema, table, possible_ids(schema, ids), names)
    if absent := [repr(key) for key in ids if key not in known]:
        problem = f"There is no {entity} {', '.join(absent)} here."
        raise UsageError(problem, "A record that was merged is gone.")
    records = pd.DataFrame([{"id": key, **known[key].values} for key in ids], dtype=object)
    counted = count_associations(connection, References(schema), table.name, ids)
    (choice,) = choose_canonicals(connection, schema, [ids], entity, counted)
    described = describe_records(connection, schema, entity, ids).set_index("id").loc[ids]
    linked = described.filter(regex="^(member|event)_(?!id)").reset_index()
    return SideBySide(entity, records, counted, choice.canonical, choice.by, choice.associations, linked)


def writable_columns(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity's table that a merge can write: all but the key and generated ones."""
    table = schema.catalogue.tables[schema.table_of(entity)]
    columns = table.columns.items()
    return [name for name, column in columns if not column.generated and name not in table.primary_key]


def count_associations(
    connection: Connection, graph: References, table: str, ids: Iterable[str]
) -> pd.DataFrame:
    """Count the rows that refer to records of a table, by referring column.

    What the audit log says about a record is history, not an association.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``child``, ``column``, ``rows``: one row for each record and column that refers to it.
    """
    keys, counts, counted = sorted(set(ids)), list[sql.Composable](), []
    tables = graph.schema.catalogue.tables
    for reference in graph.binding(table) if keys else ():
        columns = [name for name in (reference.column, reference.kind_column) if name]
        if all(tables[reference.child].columns[name].readable for name in columns):
            count = sql.SQL("SELECT t.{}::text, {}, {}, count(*) FROM {} t WHERE {} GROUP BY 1").format(
                sql.Identifier(reference.column),
                sql.Literal(reference.child),
                sql.Literal(reference.column),
                rows.qualified(graph.schema.catalogue, reference.child),
                refers_to(graph, reference, keys),
            )
            counts.append(count)
    if counts:
        query = sql.SQL("{} ORDER BY 1, 2, 3").format(sql.SQL(" UNION ALL ").join(counts))
        counted = raw(connection).execute(query).fetchall()
    return pd.DataFrame(counted, columns=["id", "child", "column", "rows"])


def refers_to(graph: References, reference: Reference, ids: Iterable[str]) -> sql.Composable:
    """Return the condition that a row ``t`` refers to one of these records, in a type that an index can serve."""
    tables = graph.schema.catalogue.tables
    own = tables[reference.child].columns[reference.column].type
    same = own == tables[reference.parent].columns[reference.parent_column].type
    condition = sql.SQL("t.{column}::{type} = ANY({ids}::{type}[])").format(
        column=sql.Identifier(reference.column),
        type=sql.SQL(own if same else "text"),
        ids=sql.Literal(rows.as_array([*ids])),
    )
    if reference.kind_column is None:
        return condition
    kind, kinds = sql.Identifier(reference.kind_column), sql.Literal(list(reference.kinds))
    return sql.SQL("({} AND t.{}::text = ANY({}))").format(condition, kind, kinds)


def target_of(reference: Reference, values: Mapping[str, str | None]) -> str | None:
    """Return the record of the reference's parent table that a row refers to, if any."""
    applies = reference.kind_column is None or values[reference.kind_column] in reference.kinds
    return values[reference.column] if applies else None


class Choice(NamedTuple):
    """The record of a cluster to keep, the number of rows that refer to each, and what decided."""

    canonical: str
    associations: dict[str, int]
    by: str


def choose_canonicals(
    connection: Connection,
    schema: Schema,
    clusters: Sequence[Sequence[str]],
    entity: str = MEMBER,
    counted: pd.DataFrame | None = None,
) -> list[Choice]:
    """Choose the record of each cluster to keep: most associations, then the oldest, then the smallest id (guide §4.4).

    Parameters
    ----------
    clusters : sequence of sequence of str
        Ids of existing records.
    counted : pandas.DataFrame, optional
        The result of `count_associations` for them, if known.
    """
    ids, source = {key for cluster in clusters for key in cluster}, schema.entity(entity)
    if counted is None:
        counted = count_associations(connection, References(schema), schema.table_of(entity), ids)
    totals = dict.fromkeys(ids, 0) | {
        key: int(count) for key, count in counted.groupby("id")["rows"].sum().items()
    }
    created = dict.fromkeys(ids, "~")  # unknown: sorts after every date
    if "created_at" in source.c:
        query = select(as_text(source.c.id), source.c.created_at).where(is_one_of(source.c.id, ids))
        created |= {key: at.isoformat() for key, at in connection.execute(query) if at is not None}
    choices = []
    for cluster in clusters:
        first, *others = sorted(cluster, key=lambda key: (-totals[key], created[key], key))
        rivals = [key for key in others if totals[key] == totals[first]]
        by = "most associations"
        if any(created[key] == created[first] for key in rivals):
            by = "as many associations and as old as another, and the smallest id"
        elif rivals:
            by = "as many associations as another, and the oldest"
        choices.append(Choice(first, {key: totals[key] for key in (first, *others)}, by))
    return choices
