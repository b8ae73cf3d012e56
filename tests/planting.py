"""Rows of any table, made from the catalogue: what is required is filled in by type, parents are made as needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from tests.conftest import LOG, Ground, State
from workbench.murmurant.references import Reference, References

_NUMBERS = itertools.count(1)  # no two planted rows are alike, whoever plants them


class Planter(AbstractContextManager["Planter"]):
    """Makes members, and rows that refer to them."""

    def __init__(self, ground: Ground) -> None:
        self.connection = ground.connect(autocommit=True)
        wb = ground.wb
        self.schema = wb.session.schema
        self.tables = wb.session.schema.catalogue.tables
        self.parents = {
            (key.child, key.child_columns[0]): key.parent for key in wb.session.schema.catalogue.foreign_keys
        }
        self.references = References(wb.session.schema)

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def member(self, **values: Any) -> str:
        """Make a member whom nothing refers to."""
        return self.row("Member", **values)

    def event(self, **values: Any) -> str:
        return self.row("Event", **values)

    def registration(self, member: str, event: str, status: str = "CONFIRMED", **values: Any) -> str:
        table = self.schema.table_of("Registration")
        return self.row(table, memberId=member, eventId=event, status=status, **values)

    def mapping(self, wa_id: int, target: str, entity: str = "Member") -> str:
        column = self.schema.resolved["mappings"].spelling["target"]
        return self.row("WaIdMapping", entityType=entity, waId=wa_id, **{column: target})

    def referring(self, reference: Reference, key: str) -> str:
        """Make a row that refers to another in exactly this way."""
        values = {reference.column: key}
        if reference.kind_column:
            values[reference.kind_column] = reference.kinds[-1]
        return self.row(reference.child, **values)

    def row(self, table: str, **given: Any) -> str:
        """Make a row, with its required columns filled in; return its id."""
        described = self.tables[table]
        values = dict(given)
        for name, column in described.columns.items():
            needed = not column.nullable and not column.has_default
            if name in values or column.generated or (not needed and name != "id"):
                continue
            parent = self.parents.get((table, name))
            values[name] = self.row(parent) if parent else self._value(name, column.type, column.is_enum)
        cells = {
            name: sql.SQL("{}::{}").format(sql.Placeholder(), sql.SQL(described.columns[name].type))
            for name in values
        }
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id::text").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, cells)),
            sql.SQL(", ").join(cells.values()),
        )
        texts = [None if value is None else str(value) for value in values.values()]
        found = self.connection.execute(statement, texts).fetchone()
        assert found is not None
        return str(found[0])

    def _value(self, name: str, kind: str, is_enum: bool) -> str:
        number = next(_NUMBERS)
        if is_enum:
            row = self.connection.execute("SELECT (enum_range(NULL::" + kind + "))[1]::text").fetchone()
            assert row is not None
            return str(row[0])
        if kind == "uuid" or name == "id":
            return str(UUID(int=0xABCDEF << 64 | number))
        if kind.startswith(("timestamp", "date")):
            return (datetime(2026, 1, 1) + timedelta(days=number % 200_000)).isoformat()  # noqa: DTZ001 - as the columns have it
        if kind.startswith("json"):
            return "{}"
        if kind.endswith("[]"):
            return "{}"
        if kind == "boolean":
            return "false"
        if kind in ("text",) or kind.startswith("character"):
            return f"{name}-{number}@example.org" if name == "email" else f"{name}-{number}"
        return str(number)


def every_reference(planter: Planter, table: str = "Member") -> Iterator[Reference]:
    """Yield every way to refer to a table: declared, and those that only the application knows."""
    yield from planter.references.binding(table)


def names(rows: list[str], key: str) -> list[str]:
    return [row for row in rows if key in row]


def assert_nobody_speaks_of(after: State, key: str) -> None:
    """Assert that no row has an id in it; the audit log may."""
    left = {table: rows for table in after.keys() - {LOG} if (rows := names(after[table], key))}
    assert not left
