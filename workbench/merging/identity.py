"""Whether the records to merge are there; and of one that is not, what it is instead, or into what it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from workbench.merging.request import Named, Problem
from workbench.murmurant.catalogue import CatalogueTable
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import journal, rows
from workbench.plans.standing import merged

_WITH_IDS = ("uuid", "text")


def are_uuids(schema: Schema, entity: str) -> bool:
    """Whether the ids of an entity are UUIDs to the database."""
    described = rows.table_of(schema.catalogue, schema.table_of(entity))
    return described.columns[described.primary_key[0]].type == "uuid"


def missing(connection: Connection, schema: Schema, entity: str, named: Sequence[Named]) -> list[Problem]:
    """Say of every record that is not there what is known of it."""
    raw = journal.raw(connection)
    table = schema.table_of(entity)
    wanted = sorted({each.id for each in named})
    there = _there(raw, schema, [table], wanted)
    gone = [each for each in wanted if each not in there]
    if not gone:
        return []
    others = [each for each in _tables_with_ids(schema) if each != table]
    elsewhere = _there(raw, schema, others, gone)
    merges = merged(connection, schema)
    found = []
    for each in named:
        if each.id in there:
            continue
        if each.id in elsewhere:
            why = _stranger(schema, entity, elsewhere[each.id], each.id)
        elif (entity, each.id) in merges:
            into, how = merges[entity, each.id]
            why = f"{each.id} is gone: it was merged into {into} ({how}). Name {into} instead."
        else:
            why = f"There is no {entity.lower()} {each.id!r}."
        found.append(Problem(each.where, why))
    return found


def _tables_with_ids(schema: Schema) -> list[str]:
    """Return the tables whose rows have an id that somebody could have taken for another's."""
    return [name for name, table in sorted(schema.catalogue.tables.items()) if _has_ids(table)]


def _has_ids(table: CatalogueTable) -> bool:
    return (
        len(table.primary_key) == 1
        and table.columns[table.primary_key[0]].type in _WITH_IDS
        and table.columns[table.primary_key[0]].readable
    )


def _there(
    connection: psycopg.Connection[Any], schema: Schema, tables: Sequence[str], ids: Sequence[str]
) -> dict[str, str]:
    """Return which of some ids are there, and in which of some tables."""
    catalogue = schema.catalogue
    parts = []
    for name in tables:
        described = rows.table_of(catalogue, name)
        (key,) = described.primary_key
        kind = described.columns[key].type
        fitting = [each for each in ids if kind != "uuid" or rows.is_uuid(each)]
        parts.append(
            sql.SQL("SELECT {}, t.{}::text FROM {} t WHERE t.{} = ANY({}::{}[])").format(
                sql.Literal(name),
                sql.Identifier(key),
                rows.qualified(catalogue, name),
                sql.Identifier(key),
                sql.Literal(rows.as_array(fitting)),
                sql.SQL(kind),
            )
        )
    if not parts:
        return {}
    found = connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {key: table for table, key in sorted(found, reverse=True)}


def _stranger(schema: Schema, entity: str, table: str, key: str) -> str:
    names = {schema.table_of(each): each.lower() for each in ENTITIES if schema.has(CONCEPT_OF[each])}
    if table in names:
        one = names[table]
        article = "an" if one[0] in "aeiou" else "a"
        return (
            f"{key} is {article} {one}, not {'an' if entity[0] in 'AEIOU' else 'a'} {entity.lower()}:"
            f" `--entity {one}` merges {one}s."
        )
    return f"{key} is a row of {table}, not {'an' if entity[0] in 'AEIOU' else 'a'} {entity.lower()}."
