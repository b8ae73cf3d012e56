"""Members who are there more than once: same address, same Wild Apricot id, or probably one person (guide §1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.decisions import Decision, Pair
from workbench.duplicates.matching import DEFAULT_THRESHOLD, match_members
from workbench.duplicates.pairs import Candidate, gather, large, those_there, within
from workbench.errors import SchemaGap
from workbench.mappings.queries import NEEDS
from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.schema import Schema, explain_gap

FLOOR = 0.05
"""The least probability that is told; a pair below it has none."""

_UNLIKELY = f"less than {FLOOR:.0%} probable by everything else"
_KINDS = ("exact", "normalised", "wa_id", "probable")

_SEVERAL = """
    SELECT name, key, email FROM (SELECT *, count(*) OVER (PARTITION BY name) AS several FROM ({}) AS each) AS counted
    WHERE several > 1 AND name <> '' ORDER BY name COLLATE "C", key::text COLLATE "C"
"""
_GROUNDS = (
    ("one e-mail address", "same e-mail address", ("members.email",),
     "SELECT id AS key, email, mailbox AS name FROM members WHERE trim(email) <> ''"),
    ("one Wild Apricot id", "made from one Wild Apricot contact", ("members.wa_raw",),
     "SELECT id AS key, NULL AS email, wa_raw ->> 'waContactId' AS name FROM members"),
    ("one Wild Apricot id", "one Wild Apricot id is mapped to both", NEEDS, """
        SELECT DISTINCT members.id AS key, NULL AS email, wa_id AS name FROM mappings JOIN members ON members.id = target
        WHERE entity_type = 'Member'"""),
)  # fmt: skip


def match_chances(
    connection: Connection, schema: Schema, *, threshold: float = DEFAULT_THRESHOLD, **options: Any
) -> pd.DataFrame:
    """Return every pair that is worth telling of: see `match_members`, from `FLOOR` on, or the threshold if lower.

    ``attrs["said"]`` lists what was left out; where members have no names nothing can be compared, and it says so.
    """
    try:
        return match_members(connection, schema, threshold=min(threshold, FLOOR), **options)
    except SchemaGap as gap:
        columns = ["left", "right", "probability", "offered", "why", "against"]
        nothing = pd.DataFrame({name: [] for name in columns}).astype({"probability": "float64"})
        nothing.attrs["said"] = [f"Nobody was compared by probability. {gap}"]
        return nothing


def duplicate_members(
    connection: Connection,
    schema: Schema,
    decisions: Mapping[Pair, Decision],
    *,
    threshold: float,
    chances: pd.DataFrame,
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
    lacking = [" ".join(explain_gap(need)) for need in schema.missing("members.email")]
    compared: Iterable[Any] = chances.itertuples(index=False)
    likely: dict[Pair, Any] = {(each.left, each.right): each for each in compared}
    wanted = {pair for pair, each in likely.items() if each.probability >= threshold}
    found = {
        pair: _joined(grounds.get(pair, {}), likely.get(pair), threshold)
        for pair in sorted(wanted | grounds.keys())
    }
    listed = gather(found, decisions, those_there(connection, schema, "members", decisions))
    listed.attrs["said"] = [*lacking, *said, *chances.attrs.get("said", []), *listed.attrs["said"]]
    listed.attrs["noted"] = [*lacking, *chances.attrs.get("noted", [])]
    return listed


def _grounds(connection: Connection, schema: Schema) -> tuple[dict[Pair, dict[str, str]], list[str]]:
    """Return who has one address or one Wild Apricot id, by kind, and what could not be listed in full."""
    found: dict[Pair, dict[str, str]] = {}
    said: list[str] = []
    for what, words, needs, query in _GROUNDS:
        if not schema.has(*needs):
            continue
        _, rows, _ = ask(connection, Canonical(schema), _SEVERAL.format(query))
        for _, group in rows.groupby("name"):
            email = dict(zip(group["key"], group["email"], strict=True))
            said += large(len(email), f"members have {what}")
            for left, right in within(list(email)):
                kinds = found.setdefault((left, right), {})
                if what == "one Wild Apricot id":
                    kinds["wa_id"] = "; ".join(filter(None, [kinds.get("wa_id"), words]))
                elif email[left] == email[right]:
                    kinds["exact"] = words
                else:
                    kinds["normalised"] = f"{words} but for its spelling"
    return found, said


def _joined(kinds: Mapping[str, str], likely: Any, threshold: float) -> Candidate:
    """Put together what is known of a pair by rule and by likeness."""
    kind = next((each for each in _KINDS if each in kinds), "probable")
    if likely is None:
        why = "; ".join(kinds[each] for each in _KINDS if each in kinds)
        return Candidate(kind, None, False, why, _UNLIKELY)
    enough = likely.probability >= threshold
    why = "; ".join(filter(None, [kinds.get("wa_id", ""), likely.why]))
    return Candidate(kind, likely.probability, likely.offered and enough, why, likely.against, enough)
