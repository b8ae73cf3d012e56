"""What people know records by, and whole records side by side with what refers to each (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Connection, Executable, Text, cast, column, select, table

from workbench.duplicates.associations import choose_canonicals, count_associations
from workbench.errors import UsageError
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema, as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION

_KNOWN_BY = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at"),
    EVENT: ("title", "start", "capacity"),
    REGISTRATION: ("event_id", "member_id", "status", "registered_at"),
}


def describe_records(connection: Connection, schema: Schema, entity: str, ids: Iterable[str]) -> pd.DataFrame:
    """Return what people know these records by: ``id`` and the entity's own columns, as far as they are there."""
    source = schema.entity(entity)
    key = as_text(source.c.id).label("id")
    query = select(key, *named(source, *_KNOWN_BY[entity])).where(is_one_of(source.c.id, ids)).order_by(key)
    rows = _frame(connection, query)
    return rows.astype({name: "str" for name in ("event_id", "member_id") if name in rows})


@dataclass(frozen=True)
class Beside:
    """Some records of one entity, side by side.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    records : pandas.DataFrame
        A row for each, in the order in which they were asked for: ``id``, and every field that a merge may
        choose the value of, under its own name, as text (None for NULL).
    referring : pandas.DataFrame
        What refers to each: see `workbench.duplicates.associations.count_associations`.
    canonical, by : str
        The record that the guide's rule would keep, and what decided.
    associations : dict of str to int
        Each record to the number of rows that refer to it.
    told : pandas.DataFrame
        Of registrations: ``id``, and what people know the member and the event by, as ``member_first_name``,
        ``event_title``, ...; else ``id`` alone.
    """

    entity: str
    records: pd.DataFrame
    referring: pd.DataFrame
    canonical: str
    by: str
    associations: dict[str, int]
    told: pd.DataFrame

    @property
    def ids(self) -> list[str]:
        """The records, in order."""
        return list(map(str, self.records["id"]))

    @property
    def differing(self) -> list[str]:
        """The fields in which they do not all say the same, in the table's own order."""
        several = self.records.drop(columns="id").nunique(dropna=False) > 1
        return [str(name) for name in several.index[several]]


def records_beside(connection: Connection, schema: Schema, entity: str, ids: Sequence[str]) -> Beside:
    """Read whole records, what refers to each, and which of them the guide's rule would keep.

    Raises
    ------
    UsageError
        For a record that is not there, or fewer than two.
    """
    asked = list(dict.fromkeys(ids))
    if len(asked) < 2:
        raise UsageError("It takes two records to lay one beside another.", "Name the other one, too.")
    records = _whole(connection, schema, entity, asked)
    if gone := [key for key in asked if key not in set(records["id"])]:
        raise UsageError(
            f"There is no {entity} {', '.join(map(repr, gone))} here.", "A record that was merged is gone."
        )
    graph = References(schema)
    counted = count_associations(connection, graph, asked, graph.binding(schema.table_of(entity)))
    (choice,) = choose_canonicals(connection, schema, [asked], entity, counted=counted)
    told = pd.DataFrame({"id": asked})
    if entity == REGISTRATION:
        told = _whose(connection, schema, asked)
    ordered = records.set_index("id").loc[asked].reset_index()
    return Beside(entity, ordered, counted, choice.canonical, choice.by, choice.associations, told)


def _whose(connection: Connection, schema: Schema, ids: Sequence[str]) -> pd.DataFrame:
    """Return whose registrations these are, and for what, in people's words."""
    told = pd.DataFrame({"id": list(ids)})
    registrations = describe_records(connection, schema, REGISTRATION, ids)
    for name, kind in (("member", MEMBER), ("event", EVENT)):
        if f"{name}_id" in registrations and schema.has(CONCEPT_OF[kind]):
            known = describe_records(connection, schema, kind, registrations[f"{name}_id"].dropna())
            link = registrations[["id", f"{name}_id"]]
            known = link.merge(known.add_prefix(f"{name}_"), on=f"{name}_id", how="left")
            told = told.merge(known.drop(columns=f"{name}_id"), on="id", how="left")
    return told


def _whole(connection: Connection, schema: Schema, entity: str, ids: Sequence[str]) -> pd.DataFrame:
    """Return the records' columns under their real names, but for the key and what the database computes."""
    name, key = schema.table_of(entity), schema.entity(entity).c.id
    described = schema.catalogue.tables[name]
    own = [
        each
        for each, about in described.columns.items()
        if about.readable and not about.generated and each not in described.primary_key
    ]
    source = table(name, column(key.name, key.type), *map(column, own), schema=schema.catalogue.schema)
    cells = (cast(source.c[each], Text).label(each) for each in own)
    query = select(as_text(source.c[key.name]).label("id"), *cells).where(is_one_of(source.c[key.name], ids))
    return _frame(connection, query).astype(object)


def _frame(connection: Connection, query: Executable) -> pd.DataFrame:
    """Ask, and leave numbers exact and integers with gaps whole."""
    result = connection.execute(query)
    return pd.DataFrame.from_records(list(map(tuple, result.all())), columns=list(result.keys()))
