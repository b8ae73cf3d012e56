"""What was found of one entity: pairs, clusters, the records themselves, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, any_, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.database.connection import frame
from workbench.duplicates.clusters import CLUSTER_COLUMNS
from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.pairs import COLUMNS, open_pairs
from workbench.murmurant.schema import Schema, as_text, named
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

_TOLD = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at"),
    EVENT: ("title", "start", "capacity"),
    REGISTRATION: ("event_id", "member_id", "status", "registered_at"),
}


@dataclass(frozen=True)
class Found:
    """The duplicates of one entity.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    pairs : pandas.DataFrame
        Every pair, those called different too: see `workbench.duplicates.pairs.gather`.
    clusters : pandas.DataFrame
        See `workbench.duplicates.clusters.duplicate_clusters`.
    records : pandas.DataFrame
        The records concerned: ``id``, and what people know them by.
    said : tuple of str
        What was left out, and which decisions contradict each other.
    uncompared : tuple of str
        What of it means that there may be more.
    not_run : str
        Why nothing was found out; else empty.
    chances : pandas.DataFrame
        Of members: how every comparison weighed, see `workbench.investigate.matching.match_members`.
    """

    entity: str
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    clusters: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CLUSTER_COLUMNS))
    records: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["id"]))
    said: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    not_run: str = ""
    chances: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["left", "right"]))

    @property
    def open(self) -> pd.DataFrame:
        """The pairs that somebody has to do something about."""
        return open_pairs(self.pairs)

    @property
    def loose(self) -> pd.DataFrame:
        """Those of them that are in no cluster: a family's address, two sittings of an event."""
        return self.open[self.open["cluster"] == ""]

    @property
    def different(self) -> int:
        """How many pairs were called different."""
        return len(self.pairs) - len(self.open)

    @property
    def sure(self) -> pd.DataFrame:
        """The clusters that may be merged without another look."""
        return self.clusters[self.clusters["offered"].astype(bool)]

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and nothing was left out that might have been."""
        return self.open.empty and not self.uncompared and not self.not_run

    def chance(self, left: str, right: str) -> pd.Series[Any] | None:
        """Return how the comparisons of a pair weighed; None where it was not compared, or is too improbable."""
        of_it = self.chances[(self.chances["left"] == left) & (self.chances["right"] == right)]
        return of_it.iloc[0] if len(of_it) else None

    def about(self, words: str) -> pd.Series[bool]:
        """Tell of each pair whether one of the two is known by all of these words, or has such an id."""
        known = self.records["id"].astype(str)
        for name in self.records.columns.drop("id"):
            known = known + " " + self.records[name].astype(object).fillna("").astype(str)
        said = known.str.casefold()
        of_them = pd.Series(True, index=said.index)
        for word in words.casefold().split():
            of_them &= said.str.contains(word, regex=False)
        ids = set(self.records["id"][of_them])
        return self.pairs["left"].isin(ids) | self.pairs["right"].isin(ids)

    def decided(self, decisions: Mapping[Pair, Decision]) -> Found:
        """Return the same pairs with what is said of them now; nothing is compared anew, nor gathered anew.

        Parameters
        ----------
        decisions : mapping
            The decision that holds for each pair of the entity.
        """
        pairs = self.pairs.copy()
        said = [decisions.get(pair) for pair in zip(pairs["left"], pairs["right"], strict=True)]
        pairs["decision"] = [each.decision if each else "" for each in said]
        pairs["decided_by"] = [each.by if each else "" for each in said]
        pairs["remark"] = [each.remark if each else "" for each in said]
        pairs["offered"] = pairs["offered"].astype(bool) & (pairs["decision"] == "")
        return replace(self, pairs=pairs)


def describe_records(connection: Connection, schema: Schema, entity: str, ids: Iterable[str]) -> pd.DataFrame:
    """Return what people know these records by: ``id`` and the entity's own columns, as far as they are there."""
    source = schema.entity(entity)
    wanted = any_(cast(sorted(set(ids)), ARRAY(source.c.id.type)))
    key = as_text(source.c.id).label("id")
    found = frame(
        connection, select(key, *named(source, *_TOLD[entity])).where(source.c.id == wanted).order_by(key)
    )
    return found.astype({name: "str" for name in ("event_id", "member_id") if name in found})
