"""Members with the wrong tier, some thousands at a time, and those of whom nobody can say which is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, func, literal, null, select
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from workbench.investigate.tiers.configuration import TierMapping
from workbench.investigate.tiers.names import nearest_name
from workbench.investigate.tiers.people import is_a_person_s, last_changes
from workbench.investigate.tiers.statements import CORRECTABLE, NO_LEVEL, UNKNOWN_LEVEL, InUse, judged
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import MEMBER
from workbench.plans import rows
from workbench.plans.current import rows_by_key
from workbench.plans.journal import raw
from workbench.plans.rows import seen_columns

_CHUNK = 5_000


class Mistiered(NamedTuple):
    """A member with the wrong tier: references as text, and what the log says of a person's change.

    Attributes
    ----------
    held, right : str or None
        What the member's column refers to, and what it should refer to.
    person, by, at, was : bool, str or None, datetime or None, str or None
        Whether the audit log says that a person set it; who, when, and what it was before.
    since : bool
        Whether the row was written to after the last import.
    digest : str
        By which an apply will know the row again.
    """

    key: str
    level: str
    expected: str
    actual: str | None
    held: str | None
    right: str
    person: bool
    by: str | None
    at: datetime | None
    was: str | None
    since: bool
    digest: str = ""


@dataclass(frozen=True)
class Scope:
    """Where members are read from, and which of them.

    Attributes
    ----------
    connection, schema, used, mapping
        The database, and what its members are compared with.
    levels : tuple of str
        Only members of these Wild Apricot levels; all when empty.
    """

    connection: Connection
    schema: Schema
    used: InUse
    mapping: TierMapping
    levels: tuple[str, ...] = ()

    def mistiered(self, since: datetime | None) -> Iterator[list[Mistiered]]:
        """Yield the members to correct, some thousands at a time, in the order of their keys.

        Parameters
        ----------
        since : datetime or None
            A moment, UTC without zone: rows written to after it are marked.
        """
        each = judged(self.schema, self.used, self.mapping)
        changes = last_changes(self.schema, self.used)
        codes = self.used.codes.alias("should_be")
        source: Any = each.join(codes, codes.c.code == each.c.expected)
        told: list[Any] = [literal(False), cast(null(), Text), cast(null(), TIMESTAMP), cast(null(), Text)]
        if changes is not None:
            source = source.outerjoin(changes, changes.c.key == each.c.key)
            person = func.coalesce(is_a_person_s(changes, each.c.held), False)
            told = [person, changes.c.by, changes.c.at, changes.c.was]
        later = literal(False) if since is None else func.coalesce(each.c.written > since, False)
        query = (
            select(
                *(each.c.key, each.c.level, each.c.expected, each.c.actual, each.c.held),
                *(as_text(codes.c.id), *told, later),
            )
            .select_from(source)
            .where(each.c.finding.in_(CORRECTABLE))
            .order_by(each.c.key.collate("C"))
        )
        if self.levels:
            wanted = bindparam("wanted", list(self.levels), type_=ARRAY(Text()))
            query = query.where(each.c.level.in_(select(func.unnest(wanted))))
        found = self.connection.execute(query, execution_options={"stream_results": True})
        for chunk in found.partitions(_CHUNK):
            yield self._recognised([Mistiered(*row) for row in chunk])

    def undecided(self) -> Iterator[tuple[str, str, str]]:
        """Yield members of whom nobody can say which tier they should have: key, why, what would tell."""
        each = judged(self.schema, self.used, self.mapping)
        query = select(each.c.key, each.c.level, each.c.finding).where(
            each.c.finding.in_((NO_LEVEL, UNKNOWN_LEVEL))
        )
        near: dict[str, str] = {}
        for key, level, finding in self.connection.execute(query.order_by(each.c.key.collate("C"))):
            if finding == NO_LEVEL:
                yield key, "their Wild Apricot level is not known", "a sync, which brings the level"
                continue
            if level not in near:
                found = nearest_name(level, self.mapping.levels)
                near[level] = f" (nearest: {found!r})" if found else ""
            why = f"{self.mapping.name} does not name their level {level!r}{near[level]}"
            yield key, why, "a line for the level in the configuration"

    def _recognised(self, chunk: Sequence[Mistiered]) -> list[Mistiered]:
        table = self.schema.table_of(MEMBER)
        described = rows.table_of(self.schema.catalogue, table)
        seen = rows.digest(described, seen_columns(self.schema.catalogue, table), "t")
        keys = [each.key for each in chunk]
        found = rows_by_key(raw(self.connection), self.schema.catalogue.schema, described, keys, (), seen)
        return [each._replace(digest=found[each.key].digest) for each in chunk]
