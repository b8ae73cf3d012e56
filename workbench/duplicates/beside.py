"""Whole records beside one another: what each says in every field, and what refers to it (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Connection, Text, any_, cast, column, select, table
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.database.connection import frame
from workbench.duplicates.associations import choose_canonicals, count_associations
from workbench.duplicates.found import describe_records
from workbench.errors import UsageError
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION


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
        return [str(each) for each in self.records["id"]]

    @property
    def differing(self) -> list[str]:
        """The fields in which they do not all say the same, in the table's own order."""
        return [
            str(name)
            for name in self.records.columns
            if name != "id" and self.records[name].nunique(dropna=False) > 1
        ]


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
    if gone := [each for each in asked if each not in set(records["id"])]:
        raise UsageError(
            f"There is no {entity} {', '.join(map(repr, gone))} here.", "A record that was merged is gone."
        )
    counted = count_associations(connection, schema, asked, entity)
    (choice,) = choose_canonicals(connection, schema, [asked], entity, counted=counted)
    return Beside(
        entity,
        records.set_index("id").loc[asked].reset_index(),
        counted,
        choice.canonical,
        choice.by,
        choice.associations,
        _told(connection, schema, entity, asked),
    )


def _told(connection: Connection, schema: Schema, entity: str, ids: Sequence[str]) -> pd.DataFrame:
    """Return whose registrations these are, and for what, in people's words."""
    found = pd.DataFrame({"id": list(ids)})
    if entity != REGISTRATION:
        return found
    registrations = describe_records(connection, schema, REGISTRATION, ids)
    for name, kind in (("member", MEMBER), ("event", EVENT)):
        column = f"{name}_id"
        if column not in registrations or not schema.has(CONCEPT_OF[kind]):
            continue
        known = describe_records(connection, schema, kind, registrations[column].dropna())
        known = known.add_prefix(f"{name}_")
        told = registrations[["id", column]].merge(known, on=column, how="left").drop(columns=column)
        found = found.merge(told, on="id", how="left")
    return found


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
    wanted = any_(cast(sorted(ids), ARRAY(key.type)))
    question = select(
        as_text(source.c[key.name]).label("id"), *(cast(source.c[each], Text).label(each) for each in own)
    ).where(source.c[key.name] == wanted)
    return frame(connection, question).astype(object)
