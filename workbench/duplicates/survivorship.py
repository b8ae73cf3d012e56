"""Field by field, whose value the record that stays will have, and what is given up with the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.duplicates.request import Merge, Wishes
from workbench.errors import UsageError
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.current import Current

BY_HAND = "by hand"

_OWN = ("id", "created_at", "updated_at", "run_id")
"""What a record says of itself, not of the person: left as it is by every rule but one for that very field."""


class Taken(NamedTuple):
    """A field of the record that stays whose value comes from a duplicate."""

    column: str
    source: str
    rule: str


@dataclass
class Survival:
    """What the record that stays will say.

    Attributes
    ----------
    values : dict of str to (str or None, str or None)
        Columns that change: old and new value.
    taken : list of Taken
        Where those come from.
    given_up : dict of str to str
        Columns of which a duplicate has another value that goes with it, and by which rule.
    """

    values: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)


def fields_of(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity that may be given a rule: all that can be written, but the key."""
    described = schema.catalogue.tables[schema.table_of(entity)]
    return [
        name
        for name, column in described.columns.items()
        if not column.generated and name not in described.primary_key
    ]


def refuse_strange_hands(merges: Iterable[Merge], wishes: Wishes) -> None:
    """Refuse a value that is to come from a record which is not part of any merge; `UsageError`."""
    known = {each for merge in merges for each in (merge.canonical, *merge.duplicates)}
    for column, record in wishes.by_hand:
        if record not in known:
            raise UsageError(
                f"The value of {column!r} is to come from {record}, which is not among the records to merge.",
                "Name one of them.",
            )


def survive(
    schema: Schema, entity: str, merge: Merge, records: Mapping[str, Current], wishes: Wishes
) -> Survival:
    """Decide for each field whose value stays.

    Parameters
    ----------
    records : mapping of str to Current
        The canonical record and its duplicates, by id.
    """
    found = Survival()
    spelling = schema.resolved[CONCEPT_OF[entity]].spelling
    own = {spelling[each] for each in _OWN if each in spelling}
    people = [merge.canonical, *merge.duplicates]
    by_hand = {column: record for column, record in wishes.by_hand if record in people}
    newest = sorted(
        people, key=lambda each: _newest(records[each], spelling, each == merge.canonical), reverse=True
    )
    fullest = _fullest(records, merge.duplicates, newest)
    for column in fields_of(schema, entity):
        rule = wishes.fields.get(column, "canonical" if column in own else wishes.rule)
        source = merge.canonical
        if column in by_hand:
            source, rule = by_hand[column], BY_HAND
        elif rule == "newest":
            source = _first_with(records, newest, column) or merge.canonical
        elif rule == "most-complete":
            source = _first_with(records, [merge.canonical, *fullest], column) or merge.canonical
        old, new = records[merge.canonical].values[column], records[source].values[column]
        if old != new:
            found.values[column] = old, new
            found.taken.append(Taken(column, source, rule))
        if column not in own and any(
            not _empty(value := records[each].values[column]) and value != new for each in people
        ):
            found.given_up[column] = rule
    return found


def _empty(value: str | None) -> bool:
    return value is None or not value.strip()


def _first_with(records: Mapping[str, Current], order: Sequence[str], column: str) -> str | None:
    return next((each for each in order if not _empty(records[each].values[column])), None)


def _newest(record: Current, spelling: Mapping[str, str], canonical: bool) -> tuple[str, bool]:
    """Return what to sort by: when it was changed last; of two alike the canonical one is the newer."""
    moments = (record.values.get(spelling.get(each, "")) for each in ("updated_at", "created_at"))
    return next(filter(None, moments), ""), canonical


def _fullest(records: Mapping[str, Current], duplicates: Sequence[str], newest: Sequence[str]) -> list[str]:
    """Order duplicates by how many of their fields are filled, the newer first among equals."""
    filled = {each: sum(not _empty(value) for value in records[each].values.values()) for each in duplicates}
    return sorted(duplicates, key=lambda each: (-filled[each], newest.index(each)))
