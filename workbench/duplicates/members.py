"""Members who are there more than once: same address, same Wild Apricot id, or probably one person (guide §1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates import queries
from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.matching import DEFAULT_THRESHOLD, Model, match_members
from workbench.duplicates.pairs import LARGEST_GROUP, Candidate, gather, those_there, within
from workbench.errors import SchemaGap
from workbench.murmurant.schema import Schema, explain_gap

FLOOR = 0.05
"""The least probability that is told; a pair below it has none."""

_UNLIKELY = f"less than {FLOOR:.0%} probable by everything else"
_KINDS = ("exact", "normalised", "wa_id", "probable")
_SAME_ADDRESS = {"exact": "same e-mail address", "normalised": "same e-mail address but for its spelling"}


def match_chances(
    connection: Connection,
    schema: Schema,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
) -> pd.DataFrame:
    """Return every pair that is worth telling of: see `match_members`, from `FLOOR` on, or the threshold if lower.

    ``attrs["said"]`` lists what was left out; where members have no names nothing can be compared, and it says so.
    """
    try:
        return match_members(connection, schema, threshold=min(threshold, FLOOR), model=model)
    except SchemaGap as gap:
        columns = ["left", "right", "probability", "offered", "why", "against"]
        nothing = pd.DataFrame({name: [] for name in columns}).astype({"probability": "float64"})
        nothing.attrs["said"] = [f"Nobody was compared by probability. {gap}"]
        return nothing


def duplicate_members(
    connection: Connection,
    schema: Schema,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    chances: pd.DataFrame,
    decisions: Mapping[Pair, Decision],
) -> pd.DataFrame:
    """List the pairs of members who may be one person (guide §1.4, §4.4).

    A shared address or a Wild Apricot id that is mapped twice is listed, but joins two members into one cluster
    only where everything else makes it probable: two people with one family address are not one person.

    Parameters
    ----------
    threshold : float
        The least probability of pairs that nothing but their likeness brought together.
    chances : pandas.DataFrame
        See `match_chances`.
    decisions : mapping
        The decision that holds for each pair.

    Returns
    -------
    pandas.DataFrame
        See `workbench.duplicates.pairs.gather`; ``kind`` is ``exact`` (the guide's query),
        ``normalised``, ``wa_id``, ``probable``, or ``decided``. ``attrs["said"]`` lists what was left out.
    """
    grounds, said = _grounds(connection, schema)
    likely = _likely(chances)
    found = {
        pair: _joined(grounds.get(pair, {}), likely.get(pair), threshold)
        for pair in sorted(
            {*grounds, *(pair for pair, each in likely.items() if each.probability >= threshold)}
        )
    }
    listed = gather(found, decisions, those_there(connection, schema, "members", decisions))
    listed.attrs["said"] = [*said, *chances.attrs.get("said", []), *listed.attrs["said"]]
    return listed


def left_uncompared(schema: Schema, said: list[str]) -> list[str]:
    """Return what was said of members who were not compared, beyond columns that this database lacks."""
    lacking = [" ".join(explain_gap(need)) for need in schema.missing(*_USEFUL)]
    return [each for each in said if not any(each.startswith(gap) for gap in lacking)]


_USEFUL = ("members.email", "members.phone", "members.joined_at")

Grounds = dict[Pair, dict[str, str]]
"""Pair to kind to what is to be said of it."""


def _grounds(connection: Connection, schema: Schema) -> tuple[Grounds, list[str]]:
    """Return who has one address or one Wild Apricot id, and what could not be asked or listed in full."""
    found: Grounds = {}
    said: list[str] = []
    if missing := schema.missing("members.email"):
        said.append(" ".join(explain_gap(missing[0])))
    else:
        rows = connection.execute(queries.in_mailboxes(schema)).all()
        for _, members in groupby(rows, key=lambda row: row.address):
            email = {row.key: row.email for row in members}
            said += _large(len(email), "one e-mail address")
            for left, right in within(list(email)):
                kind = "exact" if email[left] == email[right] else "normalised"
                found.setdefault((left, right), {})[kind] = _SAME_ADDRESS[kind]
    for needs, question, words in (
        (("members.wa_raw",), queries.contacts_twice, "made from one Wild Apricot contact"),
        (_MAPPED, queries.mapped_twice, "one Wild Apricot id is mapped to both"),
    ):
        if not schema.has(*needs):
            continue
        rows = connection.execute(question(schema)).all()
        for _, members in groupby(rows, key=lambda row: row.contact):
            ids = [row.key for row in members]
            said += _large(len(ids), "one Wild Apricot id")
            for pair in within(ids):
                kinds = found.setdefault(pair, {})
                kinds["wa_id"] = "; ".join(filter(None, [kinds.get("wa_id"), words]))
    return found, said


_MAPPED = ("mappings.entity_type", "mappings.wa_id", "mappings.target")


def _large(size: int, what: str) -> list[str]:
    if size <= LARGEST_GROUP:
        return []
    return [f"{size:,} members have {what}: each is listed beside the first of them only."]


class _Likely(NamedTuple):
    probability: float
    offered: bool
    why: str
    against: str


def _likely(chances: pd.DataFrame) -> dict[Pair, _Likely]:
    rows = zip(*(chances[name].tolist() for name in ("left", "right", *_Likely._fields)), strict=True)
    return {(left, right): _Likely(*rest) for left, right, *rest in rows}


def _joined(kinds: Mapping[str, str], likely: _Likely | None, threshold: float) -> Candidate:
    """Put together what is known of a pair by rule and by likeness."""
    kind = next((each for each in _KINDS if each in kinds), "probable")
    if likely is None:
        return Candidate(
            kind, None, False, "; ".join(kinds[each] for each in _KINDS if each in kinds), _UNLIKELY
        )
    enough = likely.probability >= threshold
    why = "; ".join(filter(None, [kinds.get("wa_id", ""), likely.why]))
    return Candidate(kind, likely.probability, likely.offered and enough, why, likely.against, enough)
