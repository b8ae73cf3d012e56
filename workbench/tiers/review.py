"""Members by membership tier or status, compared with what a configuration says (guide §1.3).

The database counts members by level and by what they have; these few rows are judged by the configuration. Members are
read one by one only where a question is about single members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from workbench.errors import Refused, SchemaGap, nearest
from workbench.murmurant.canonical import Canonical, ask, listed
from workbench.murmurant.importers import IMPORT_SOURCE
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import MEMBER
from workbench.tiers.configuration import TierMapping

Of = Literal["tiers", "statuses"]
KINDS: dict[str, Of] = {"tier": "tiers", "status": "statuses"}
"""The two kinds, and the relation of each one's codes."""

EVERYBODY, FEW = 0.9, 10
"""The share of members with the same code that counts as all of them, and the fewest members to judge by."""

RIGHT, WRONG, NONE, GONE = "right", "wrong", "none", "not there"
NO_LEVEL, UNKNOWN_LEVEL, IGNORED, OF_ITS_OWN = "no level", "unknown level", "ignored", "of its own"
"""The findings. `GONE` is a reference to a tier that does not exist; `IGNORED` a level that the configuration skips;
`OF_ITS_OWN` a status that the configuration never gives, which an importer set by other rules."""

OFF = "membership.tiers.enabled is false"
"""Why tiers are not compared where a policy switches them off."""

CORRECTABLE = (WRONG, NONE, GONE)
"""The findings that a correction can fix: the configuration gives another code."""

# A sync sets the status by what Wild Apricot says of the contact: not_a_member for NotAMember.
_COUNTS = """
SELECT m.level, m.{kind}_id::text AS held, c.code AS actual,
       coalesce(c.code = lower(regexp_replace(m.in_wa, '(?<=.)([A-Z])', '_\\1', 'g')), false) AS in_wa,
       sum(m.members)::int8 AS members
FROM (SELECT level, {kind}_id, {in_wa} AS in_wa, count(*) AS members FROM members GROUP BY 1, 2, 3) AS m
LEFT JOIN {of} AS c ON c.id = m.{kind}_id GROUP BY 1, 2, 3, 4
"""

# The last audit entry on a member's tier decides: a person set it if the entry is from no import and no plan of the
# workbench, and the value is still there, or the entry does not name the value.
_MEMBERS = """
WITH last AS (
  SELECT DISTINCT ON (resource_id) resource_id AS key, member_id AS by, created_at AS at, before ->> '{column}' AS was,
         coalesce(after ->> '{column}', metadata -> 'changes' ->> '{column}') AS became,
         coalesce(after ? '{column}' OR metadata -> 'changes' ? '{column}', false) AS says_what,
         run_id IS NULL AND coalesce(metadata ->> 'source', '') <> '{imported}'
         AND coalesce(metadata ->> 'source', '') NOT LIKE 'workbench%' AS person
  FROM audit
  WHERE resource_type = '{member}'
    AND (before ? '{column}' OR after ? '{column}' OR metadata -> 'changes' ? '{column}')
  ORDER BY resource_id, created_at DESC, id::text DESC
)
SELECT m.id::text AS key, j.level, j.expected, j.actual, j.finding, m.{kind}_id::text AS held, last.by, last.at, last.was,
       coalesce(last.person AND (NOT says_what OR last.became IS NOT DISTINCT FROM m.{kind}_id::text), false)
         AS by_a_person
FROM members AS m
JOIN judged AS j ON coalesce(m.level, '') = coalesce(j.level, '') AND m.level IS NOT DISTINCT FROM j.level
                AND m.{kind}_id::text IS NOT DISTINCT FROM j.held
LEFT JOIN last ON last.key = m.id
ORDER BY m.id::text COLLATE "C"
"""


@dataclass(frozen=True)
class TierReview:
    """A club's tiers or statuses, compared with a configuration.

    Attributes
    ----------
    kind : {"tier", "status"}
    ids : mapping of str to list of str
        Each existing code, with the ids of its rows.
    counts : pandas.DataFrame
        ``level``, ``held`` (the reference), ``actual`` (its code), ``in_wa`` (whether it is the status that Wild Apricot
        gave the contact), ``members``, ``expected`` and ``finding`` (None without a mapping).
    mapping : TierMapping or None
        The configuration.
    not_compared : str
        Why there is no mapping; empty where there is one.
    """

    kind: str
    ids: Mapping[str, Sequence[str]]
    counts: pd.DataFrame
    mapping: TierMapping | None = None
    not_compared: str = ""

    @property
    def distribution(self) -> pd.DataFrame:
        """``kind``, ``code`` (None for none that exists), ``members``, most first."""
        members = self.counts.groupby("actual", dropna=False)["members"].sum()
        members = members.sort_values(ascending=False, kind="stable")
        codes = [None if pd.isna(code) else code for code in members.index]
        return pd.DataFrame(
            {"kind": self.kind, "code": pd.Series(codes, dtype=object), "members": members.array}
        )

    @property
    def members(self) -> int:
        """The number of members."""
        return int(self.counts["members"].sum())

    @property
    def none(self) -> int:
        """The number of members with none, or one that does not exist."""
        return int(self.counts.loc[self.counts["actual"].isna(), "members"].sum())

    def count(self, *findings: str) -> int:
        """Return the number of members with one of some findings."""
        return int(self.counts.loc[self.counts["finding"].isin(findings), "members"].sum())

    @property
    def correctable(self) -> int:
        """The number of members that should have another."""
        return self.count(*CORRECTABLE)

    @property
    def judged(self) -> int:
        """The number of members that could be compared."""
        return self.count(RIGHT, *CORRECTABLE)

    @cached_property
    def everybody(self) -> tuple[str, int, int] | None:
        """The code that nearly everybody has without a reason, its members, and all members with a code.

        A reason is a line of the configuration that gives the code (its default is none), or the status in Wild Apricot.
        """
        counts = self.distribution.dropna(subset="code")
        total = int(counts["members"].sum())
        if total < FEW or counts["members"].iloc[0] < EVERYBODY * total:
            return None
        code, most = str(counts["code"].iloc[0]), int(counts["members"].iloc[0])
        rows = self.counts[self.counts["actual"] == code]
        by_line = rows["level"].map(self.mapping.levels if self.mapping else {}) == code
        reasoned = int(rows.loc[by_line | rows["in_wa"], "members"].sum())
        return None if reasoned >= EVERYBODY * most else (code, most, total)

    @property
    def matrix(self) -> pd.DataFrame:
        """``level``, ``expected``, ``actual`` (codes), ``members``, ``finding``; empty without a mapping."""
        columns = ["level", "expected", "actual", "finding"]
        rows = self.counts[self.counts["finding"].notna()]
        counts = rows.groupby(columns, dropna=False)["members"].sum().reset_index()
        return counts[["level", "expected", "actual", "members", "finding"]]

    @property
    def not_judged(self) -> str:
        """How many members could not be compared, and why; empty where all could."""
        reasons = {
            OF_ITS_OWN: "have a status that it never gives",
            IGNORED: "have a level that it ignores",
            NO_LEVEL: "have no known level",
        }
        counts = {reason: self.count(finding) for finding, reason in reasons.items()}
        return ", ".join(f"{members:,} {reason}" for reason, members in counts.items() if members)

    @property
    def too_few_judged(self) -> bool:
        """Whether too few members could be compared to speak for the others."""
        return bool(self.not_judged) and (not self.judged or self.count(OF_ITS_OWN) > self.judged)

    @property
    def unknown_levels(self) -> pd.DataFrame:
        """Levels without a line or a default: ``level``, ``members``, and the ``nearest`` level with a line."""
        rows = self.counts[self.counts["finding"] == UNKNOWN_LEVEL]
        levels = rows.groupby("level")["members"].sum().reset_index()
        known = {level.casefold(): level for level in (self.mapping.levels if self.mapping else ())}
        near = [known.get(next(iter(nearest(level.casefold(), known)), "")) for level in levels["level"]]
        return levels.assign(nearest=pd.Series(near, dtype=object))

    @property
    def unknown_codes(self) -> pd.DataFrame:
        """Codes of the configuration that do not exist: ``code``, ``levels`` (that would get it)."""
        codes = self.mapping.codes if self.mapping else {}
        rows = [(code, ", ".join(levels)) for code, levels in codes.items() if code not in self.ids]
        return pd.DataFrame(rows, columns=["code", "levels"], dtype=object)

    @property
    def findings(self) -> list[str]:
        """A sentence for each problem; empty when there is none."""
        kind, sentences = self.kind, []
        if self.everybody:
            code, members, total = self.everybody
            sentences.append(f"Nearly everybody has the same {kind}: {members:,} of {total:,} have {code}.")
        if self.none:
            sentences.append(f"{self.none:,} members have no {kind}, or one that does not exist.")
        for code, levels in self.unknown_codes.itertuples(index=False):
            sentences.append(f"The {kind} {code!r} (for {levels}) does not exist here.")
        for level, members, near in self.unknown_levels.itertuples(index=False):
            sentence = f"No line of the configuration names the level {level!r} of {members:,} members"
            sentences.append(f"{sentence}; nearest: {near!r}." if near else f"{sentence}.")
        if self.too_few_judged:
            sentences.append(
                f"Only {self.judged:,} of {self.members:,} members could be compared: {self.not_judged}."
            )
        if self.correctable:
            sentences.append(f"{self.correctable:,} members have another {kind} than their level's, or none.")
        return sentences


def review_tiers(
    connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()
) -> dict[str, TierReview]:
    """Compare tiers and statuses with their configurations.

    A tier policy gives tiers, even before any was seeded. The other two kinds of file give statuses, and tiers only where
    members have no status, as in the guide's database.

    Returns
    -------
    dict of str to TierReview
        By kind, tiers first; only statuses where no tier was ever made.

    Raises
    ------
    SchemaGap
        Where members have neither, or no level.
    """
    schema.refuse_unreadable("members", "tiers", "statuses")
    canonical = Canonical(schema)
    ids: dict[str, dict[str, list[str]]] = {}
    for kind, of in KINDS.items():
        if schema.has(f"{of}.code", f"members.{kind}_id"):
            codes = (
                f"SELECT code, array_agg(id::text ORDER BY id) FROM {of} WHERE code IS NOT NULL GROUP BY code"
            )
            ids[kind] = dict(ask(connection, canonical, codes)[1].itertuples(index=False))
    if not ids:
        raise SchemaGap(
            "Members have neither a tier nor a status here, so nothing can be compared.",
            "A migration of the application that creates them would supply it.",
        )
    used = [kind for kind in ids if ids[kind]] or [*ids][-1:]
    giving: dict[str, TierMapping] = {mapping.gives: mapping for mapping in mappings if mapping.enabled}
    if used == ["tier"] and "status" in giving:
        giving.setdefault("tier", giving["status"])
    if used == ["status"] and "tier" in giving and "tier" in ids:
        used = ["tier", "status"]
    reviews = {}
    for kind in used:
        mapping = giving.get(kind)
        if mapping:
            schema.require("members.level")
        in_wa = "wa_raw ->> 'status'" if kind == "status" else "NULL"
        query = _COUNTS.format(kind=kind, of=KINDS[kind], in_wa=in_wa)
        counts = _as_objects(ask(connection, canonical, query)[1]).astype({"members": int, "in_wa": bool})
        counts = counts.assign(expected=None, finding=None)
        why = "" if mapping else _why_not_compared(kind, mappings)
        reviews[kind] = TierReview(kind, ids[kind], counts, mapping, why)
        if mapping:
            _judge(reviews[kind], mapping)
    return reviews


def _judge(review: TierReview, mapping: TierMapping) -> None:
    """Fill in ``expected`` and ``finding``."""
    counts = review.counts
    level, actual = counts["level"], counts["actual"]
    named = level.fillna("").str.strip(" ") != ""
    codes = [mapping.levels.get(name, mapping.default) for name in level]
    counts["expected"] = pd.Series(codes, counts.index, dtype=object).where(named, None)
    # A code that nearly everybody has without a reason was not set by other rules.
    given = [*mapping.codes, *(review.everybody or ())[:1]]
    findings = {
        NO_LEVEL: ~named,
        IGNORED: level.isin(mapping.ignored),
        UNKNOWN_LEVEL: counts["expected"].isna(),
        RIGHT: actual == counts["expected"],
        OF_ITS_OWN: (review.kind == "status") & actual.notna() & ~actual.isin(given),
        WRONG: actual.notna(),
        NONE: counts["held"].isna(),
    }
    counts["finding"] = np.select([*findings.values()], [*findings], GONE)


def compared(reviews: Mapping[str, TierReview], of: Of | None = None) -> TierReview:
    """Return the review of tiers or of statuses; by default of tiers, where there are any.

    Raises
    ------
    Refused
        When there are none, or no configuration gives them.
    """
    kind = next(iter(reviews)) if of is None else "tier" if of == "tiers" else "status"
    review = reviews.get(kind)
    if review is None:
        raise Refused(f"No membership {kind} was ever made here.", "See `workbench tiers`.")
    if review.mapping is None:
        raise Refused(
            f"No configuration says which {kind} a level becomes: {review.not_compared}.",
            "Name a tier policy (membership.tiers.waMapping); --of statuses corrects statuses."
            if kind == "tier"
            else "Name the importer's configuration (membership_status_mapping) or a membership_levels_mapping.json.",
        )
    return review


def members_of(
    connection: Connection,
    schema: Schema,
    review: TierReview,
    findings: Sequence[str] = CORRECTABLE,
    levels: Sequence[str] = (),
    limit: int | None = None,
) -> pd.DataFrame:
    """List the members with some findings, by id.

    Parameters
    ----------
    levels : sequence of str
        Only members of these Wild Apricot levels; all when empty.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``level``, ``expected``, ``actual``, ``finding``, ``held``; of the last audit entry on it ``by``, ``at``,
        ``was``; and ``by_a_person``, whether a person set the present value.
    """
    rows = review.counts[review.counts["finding"].isin(findings)].drop_duplicates(["level", "held"])
    rows = rows[rows["level"].isin(levels)] if levels else rows
    cells = {
        name: ("text", rows[name].tolist()) for name in ("level", "held", "expected", "actual", "finding")
    }
    canonical = Canonical(schema, {"judged": lambda: listed("judged", cells)})
    column = schema.resolved["members"].spelling[f"{review.kind}_id"]
    query = _MEMBERS.format(kind=review.kind, column=column, imported=IMPORT_SOURCE, member=MEMBER)
    return _as_objects(ask(connection, canonical, query, limit=limit)[1])


def _as_objects(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.astype(object)
    return rows.where(rows.notna(), None)


def _why_not_compared(kind: str, mappings: Sequence[TierMapping]) -> str:
    reasons = [
        f"{OFF} in {mapping.name}"
        if mapping.gives == kind
        else f"{mapping.name} ({mapping.kind}) gives {KINDS[mapping.gives]}"
        for mapping in mappings
        if mapping.gives != kind or not mapping.enabled
    ]
    return "; ".join(reasons) or f"no {kind} mapping is configured"
