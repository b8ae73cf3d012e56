"""A club with a hash chain, and damage that is done to it and rolled back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.audit.ground import Ground, ground_of
from tests.conftest import Clubs
from workbench.audit import read_chain, record, verify_chain
from workbench.audit.chain import stored_seal
from workbench.audit.verifying import Noted, Verdict

ENTRIES = 6
AWKWARD: dict[str, Any] = {
    "small": 1e-7,
    "large": 10**30,
    "zero": -0.0,
    "exact": 1.50,
    "words": "Zoë \u2028 \"'%s\\",
    "nested": {"b": [1, {"z": None, "a": True}], "a": {}},
}
"""Metadata that a JSON of another make would spell otherwise."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Chained:
    """A club with a chain, whose damages are rolled back."""

    ground: Ground
    ids: tuple[str, ...]

    def after(self, damage: Callable[[Connection], object], noted: Noted | None = None) -> Verdict:
        """Return the verdict after some damage, which is then undone."""
        with self.ground.connect() as connection:
            connection.execute("SET LOCAL session_replication_role = replica")  # as who owns the database can
            damage(connection)
            found = verify_chain(read_chain(connection, self.ground.schema), noted)
            connection.rollback()
        return found

    def sql(self, statement: str, **values: Any) -> Callable[[Connection], object]:
        """Return the damage that a statement does."""
        return lambda connection: connection.execute(statement, values)  # type: ignore[arg-type]

    def sealed_anew(self, place: int, change: str) -> Callable[[Connection], object]:
        """Return the damage of somebody who knows how a seal is made."""

        def damage(connection: Connection) -> None:
            connection.execute(
                f'UPDATE "AuditLog" SET metadata = metadata || {change} WHERE id = %s',  # type: ignore[arg-type]
                [self.ids[place - 1]],
            )
            connection.execute(
                sql.SQL(
                    """UPDATE "AuditLog" t SET metadata = jsonb_set(metadata, '{{chain,hash}}', to_jsonb({}))
                    WHERE id = %s"""
                ).format(stored_seal(self.ground.schema, "t")),
                [self.ids[place - 1]],
            )

        return damage


def chain_of(clubs: Clubs, dialect: str, folder: Path) -> Chained:
    """Return a club whose log has some entries of the workbench."""
    made = ground_of(clubs, dialect, folder)
    ids = [
        record(
            made.database, made.schema, f"migration:test:{place}", {**AWKWARD, "n": place}, about=str(uuid4())
        )
        for place in range(ENTRIES)
    ]
    return Chained(made, tuple(ids))


def kinds(verdict: Verdict) -> list[tuple[str, int | None]]:
    return [(each.kind, each.number) for each in verdict.breaks]
