"""Field by field, whose value the record that stays will have, and what is given up with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from workbench.duplicates.request import Merge, fields_of
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.rows import Current

BY_HAND = "by hand"

_OWN = ("id", "created_at", "updated_at", "run_id")
"""What a record says of itself, not of the person: left as it is by every rule but one for that very field."""


class Survival(NamedTuple):
    """What the record that stays will say.

    Attributes
    ----------
    values : dict of str to (str or None)
        Columns that change, to their new value.
    taken : dict of str to (str, str)
        From which record each of them comes, and by which rule.
    given_up : dict of str to str
        Columns of which a record has another value that goes, and by which rule.
    """

    values: dict[str, str | None]
    taken: dict[str, tuple[str, str]]
    given_up: dict[str, str]


def survive(
    schema: Schema,
    entity: str,
    merge: Merge,
    records: Mapping[str, Current],
    rules: Mapping[str, str],
    by_hand: Mapping[str, str],
) -> Survival:
    """Decide for each field whose value stays.

    Parameters
    ----------
    records : mapping of str to Current
        The canonical record and its duplicates, by id.
    rules, by_hand
        See `workbench.duplicates.request.merge_rules`.
    """
    found = Survival({}, {}, {})
    spelling = schema.resolved[CONCEPT_OF[entity]].spelling
    own = {spelling[each] for each in _OWN if each in spelling}
    said = {key: records[key].values for key in merge.records}

    def changed(key: str) -> tuple[str, bool]:  # of two alike the canonical one is the newer
        moments = (said[key].get(spelling.get(each, "")) for each in ("updated_at", "created_at"))
        return next(filter(None, moments), ""), key == merge.canonical

    newest = sorted(merge.records, key=changed, reverse=True)
    filled = {key: sum(not _empty(value) for value in values.values()) for key, values in said.items()}
    fullest = sorted(merge.duplicates, key=lambda key: (-filled[key], newest.index(key)))
    orders = {"canonical": [], "newest": newest, "most-complete": [merge.canonical, *fullest]}
    for column in fields_of(schema, entity):
        rule = rules.get(column, "canonical" if column in own else rules["*"])
        source = next((key for key in orders[rule] if not _empty(said[key][column])), merge.canonical)
        if by_hand.get(column) in said:
            source, rule = by_hand[column], BY_HAND
        value = said[source][column]
        if value != said[merge.canonical][column]:
            found.values[column] = value
            found.taken[column] = source, rule
        if column not in own and any(
            not _empty(other[column]) and other[column] != value for other in said.values()
        ):
            found.given_up[column] = rule
    return found


def _empty(value: str | None) -> bool:
    return value is None or not value.strip()
