"""What people know records by, and whole records side by side with what refers to each (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Connection, select

from workbench.database.connection import raw
from workbench.duplicates.associations import choose_canonicals, count_associations
from workbench.errors import UsageError
from workbench.mappings.queries import possible_ids
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema, as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION
from workbench.plans.rows import rows_by_key

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
    result = connection.execute(query)
    # From tuples: numbers stay exact, and integers with gaps whole.
    rows = pd.DataFrame.from_records([tuple(row) for row in result], columns=[*result.keys()])
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
    guests : pandas.DataFrame
        Of registrations: ``id``, and what people know the member and the event by, as ``member_first_name``,
        ``event_title``, ...; else ``id`` alone.
    """

    entity: str
    records: pd.DataFrame
    referring: pd.DataFrame
    canonical: str
    by: str
    associations: dict[str, int]
    guests: pd.DataFrame

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
    ids = list(dict.fromkeys(ids))
    if len(ids) < 2:
        raise UsageError("It takes two records to lay one beside another.", "Name the other one, too.")
    described = schema.catalogue.tables[schema.table_of(entity)]
    readable = [
        name for name, column in described.columns.items() if column.readable and not column.generated
    ]
    fields = [name for name in readable if name not in described.primary_key]
    rows = rows_by_key(raw(connection), schema.catalogue.schema, described, possible_ids(schema, ids), fields)
    if absent := [key for key in ids if key not in rows]:
        names = ", ".join(map(repr, absent))
        raise UsageError(f"There is no {entity} {names} here.", "A record that was merged is gone.")
    records = pd.DataFrame([{"id": key, **rows[key].values} for key in ids], dtype=object)
    graph = References(schema)
    counted = count_associations(connection, graph, ids, graph.binding(described.name))
    (choice,) = choose_canonicals(connection, schema, [ids], entity, counted=counted)
    guests = pd.DataFrame({"id": ids})
    if entity == REGISTRATION:
        links = describe_records(connection, schema, REGISTRATION, ids)
        for name, kind in (("member", MEMBER), ("event", EVENT)):
            if f"{name}_id" in links and schema.has(CONCEPT_OF[kind]):
                known = describe_records(connection, schema, kind, links[f"{name}_id"].dropna())
                known = links[["id", f"{name}_id"]].merge(
                    known.add_prefix(f"{name}_"), "left", on=f"{name}_id"
                )
                guests = guests.merge(known.drop(columns=f"{name}_id"), "left", on="id")
    return Beside(entity, records, counted, choice.canonical, choice.by, choice.associations, guests)
