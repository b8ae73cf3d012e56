"""Whose hand changed some rows through the workbench: the journal asked by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from workbench.plans.journal import entries, image


class Hands:
    """Asks the journal which plans changed some rows, and who applied them.

    Parameters
    ----------
    connection : psycopg.Connection
        To the live database, in a reading transaction.
    since : datetime or None
        Only plans applied after this moment (UTC, without zone).
    """

    def __init__(self, connection: psycopg.Connection[Any], since: datetime | None) -> None:
        self.connection = connection
        self.entries = [
            each
            for each in entries(connection)
            if since is None or each.applied_at.astimezone(UTC).replace(tzinfo=None) >= since
        ]

    def of(self, table: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Return, for those of some rows that a plan changed, who applied which plan; the last one that did."""
        found: dict[str, str] = {}
        for entry in self.entries:
            for number, section in enumerate(entry.sections, 1):
                if section.table != table or len(section.key) != 1:
                    continue
                moment = "before" if section.name == "delete" else "after"
                query = sql.SQL("SELECT i.{key}::text FROM {image} i WHERE i.{key}::text = ANY (%s)").format(
                    key=sql.Identifier(section.key[0]), image=image(entry.id, number, moment)
                )
                who = f"{entry.applied_by} by plan {entry.plan}"
                found.update((row[0], who) for row in self.connection.execute(query, [list(keys)]))
        return found
