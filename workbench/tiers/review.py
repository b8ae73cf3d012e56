"""Who is in which membership tier or status, and who should be (guide §1.3): counted together, judged once.

The database counts its members by level and by what they have; these few rows are judged by the configuration, for the
matrix, the checks and the planner alike. Members are read one by one only where somebody asks who they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import pandas as pd
from sqlalchemy import Connection

from workbench.errors import Refused, SchemaGap
from workbench.murmurant.canonical import Canonical, ask, listed
from workbench.murmurant.importers import IMPORT_SOURCE
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import MEMBER
from workbench.normalise import lookalike, nearest_name
from workbench.tiers.configuration import TierMapping

Of = Literal["tiers", "statuses"]
KINDS: dict[str, Of] = {"tier": "tiers", "status": "statuses"}
"""What tells members apart, and the relation of its codes, by which it is asked for too."""

EVERYBODY, FEW = 0.9, 10
"""The share of members in one tier that counts as all of them, and the least members to judge by."""

RIGHT, WRONG, NONE, GONE = "right", "wrong", "none", "not there"
NO_LEVEL, UNKNOWN_LEVEL, IGNORED, OF_ITS_OWN = "no level", "unknown level", "ignored", "of its own"
"""What can be said of a member's tier. `GONE` is a reference to a tier that does not exist; `IGNORED` a level
that the configuration leaves out; `OF_ITS_OWN` a status that no line of the configuration gives, which an
importer has set by other rules."""

CORRECTABLE = (WRONG, NONE, GONE)
"""Where the configuration says which tier it should be, and it is another one."""

_HELD = """
SELECT m.level, m.{kind}_id::text AS held, c.code AS actual, {said} AS said, count(*) AS members
FROM members AS m LEFT JOIN {of} AS c ON c.id = m.{kind}_id GROUP BY 1, 2, 3, 4
"""

# Of the audit log's entries on a member's tier the last one counts: a person set it where it was no import and no plan
# of the workbench, and what they set it to is still there, or the entry does not say what it became.
_MEMBERS = """
WITH last AS (
  SELECT DISTINCT ON (resource_id) resource_id AS key, member_id AS by, created_at AS at, before ->> '{column}' AS was,
         coalesce(after ->> '{column}', metadata -> 'changes' ->> '{column}') AS became,
         coalesce(after ? '{column}' OR metadata -> 'changes' ? '{column}', false) AS told,
         run_id IS NULL AND coalesce(metadata ->> 'source', '') <> '{imported}'
         AND coalesce(metadata ->> 'source', '') NOT LIKE 'workbench%' AS person
  FROM audit
  WHERE resource_type = '{member}'
    AND (before ? '{column}' OR after ? '{column}' OR metadata -> 'changes' ? '{column}')
  ORDER BY resource_id, created_at DESC, id::text DESC
)
SELECT m.id::text AS key, j.level, j.expected, j.actual, j.finding, m.{kind}_id::text AS held, m.updated_at AS written,
       last.by, last.at, last.was,
       coalesce(last.person AND (NOT last.told OR last.became IS NOT DISTINCT FROM m.{kind}_id::text), false) AS by_a_person
FROM members AS m
JOIN judged AS j ON coalesce(m.level, '') = coalesce(j.level, '') AND m.level IS NOT DISTINCT FROM j.level
                AND m.{kind}_id::text IS NOT DISTINCT FROM j.held
LEFT JOIN last ON last.key = m.id
ORDER BY m.id::text COLLATE "C"
"""


@dataclass(frozen=True)
class TierReview:
    """What was found of the tiers of a club, or of its statuses.

    Attributes
    ----------
    kind : {"tier", "status"}
        What is reviewed; statuses stand in where no tier was ever made.
    ids : mapping of str to list of str
        Each code there is, with the ids of its rows.
    held : pandas.DataFrame
        ``level``, ``held`` (the reference), ``actual`` (its code), ``in_wa`` (whether it is the status that Wild Apricot
        gave the contact), ``members``, and with a mapping ``expected`` and ``finding``.
    mapping : TierMapping or None
        What they were compared with.
    kinds : tuple of str
        What was ever made here: tiers, statuses or both.
    not_compared : str
        Why there is no mapping; empty where there is one.
    off : str
        The policy that switches tiers off; empty where none does.
    beside : tuple of TierReview
        The other of tiers and statuses, where the database has both.
    """

    kind: str
    ids: Mapping[str, Sequence[str]]
    held: pd.DataFrame
    mapping: TierMapping | None
    kinds: tuple[str, ...]
    not_compared: str = ""
    off: str = ""
    beside: tuple[TierReview, ...] = ()

    @property
    def both(self) -> dict[str, TierReview]:
        """Each review by its kind, tiers first."""
        return {
            one.kind: one for one in sorted((self, *self.beside), key=lambda one: [*KINDS].index(one.kind))
        }

    @cached_property
    def counts(self) -> dict[str | None, int]:
        """How many members have each code, most first; None for those who have none that exists."""
        counts = Counter[str | None]()
        for code, members in zip(self.held["actual"], self.held["members"], strict=True):
            counts[code] += members
        return dict(sorted(counts.items(), key=lambda row: (-row[1], row[0] is None, row[0])))

    @property
    def distribution(self) -> pd.DataFrame:
        """``kind``, ``code`` (None for none), ``members``, most first."""
        rows = [(self.kind, code, members) for code, members in self.counts.items()]
        return pd.DataFrame(rows, columns=["kind", "code", "members"], dtype=object).astype({"members": int})

    @property
    def members(self) -> int:
        """How many members there are."""
        return sum(self.counts.values())

    @property
    def none(self) -> int:
        """How many have none that exists."""
        return self.counts.get(None, 0)

    @cached_property
    def everybody(self) -> tuple[str, int, int] | None:
        """The code that nearly everybody has without a reason, how many have it, and of how many who have any.

        There is a reason where a line of the configuration gives it to nearly all of them (a default does not: it is
        what a configuration without its lines gives), or Wild Apricot's own status of the contact does.
        """
        held = [(code, count) for code, count in self.counts.items() if code is not None]
        of = sum(count for _, count in held)
        code, most = held[0] if held else ("", 0)
        if of < FEW or most < EVERYBODY * of:
            return None
        lines = (
            [level for level, given in self.mapping.levels.items() if given == code] if self.mapping else []
        )
        mine = self.held[self.held["actual"] == code]
        reasoned = mine.loc[mine["level"].isin(lines) | mine["in_wa"], "members"].sum()
        return None if reasoned >= EVERYBODY * most else (code, most, of)

    @property
    def matrix(self) -> pd.DataFrame:
        """``level``, ``expected``, ``actual`` (codes; gaps for none), ``members``, ``finding``; empty without a mapping."""
        columns = ["level", "expected", "actual", "members", "finding"]
        if self.mapping is None:
            return pd.DataFrame(columns=columns)
        by = self.held.groupby(["level", "expected", "actual", "finding"], dropna=False)["members"]
        return by.sum().reset_index()[columns]

    def count(self, *findings: str) -> int:
        """Count the members of whom one of these is said."""
        if self.mapping is None:
            return 0
        return int(self.held.loc[self.held["finding"].isin(findings), "members"].sum())

    @property
    def correctable(self) -> int:
        """How many have another than the configuration gives their level."""
        return self.count(*CORRECTABLE)

    @property
    def as_in_wa(self) -> int:
        """How many of these have the status that Wild Apricot itself gave the contact."""
        return replace(self, held=self.held[self.held["in_wa"]]).correctable

    @property
    def not_judged(self) -> dict[str, int]:
        """How many members the configuration says nothing of, by the reason."""
        reasons = {
            OF_ITS_OWN: f"whose {self.kind} it does not give",
            IGNORED: "whose level it ignores",
            NO_LEVEL: "whose level is not known",
        }
        return {why: members for finding, why in reasons.items() if (members := self.count(finding))}

    @cached_property
    def unknown_levels(self) -> pd.DataFrame:
        """The levels no line names: ``level``, ``members``, ``nearest``, ``covered_by`` (the default), ``lookalike``.

        The last is whether it differs from a named one only in case, accents or spaces.
        """
        counts, mapping = Counter[str](), self.mapping
        named = [*mapping.levels, *mapping.ignored] if mapping else []
        for level, members in zip(self.held["level"], self.held["members"], strict=True):
            if mapping and has_name(level) and level not in named:
                counts[level] += members
        rows = [
            (level, n, nearest_name(level, named), mapping and mapping.default, bool(lookalike(level, named)))
            for level, n in sorted(counts.items())
        ]
        columns = ["level", "members", "nearest", "covered_by", "lookalike"]
        return pd.DataFrame(rows, columns=columns, dtype=object).astype({"members": int, "lookalike": bool})

    @property
    def open_levels(self) -> pd.DataFrame:
        """Unknown levels that need a line: no default covers them, or they look like one that is named."""
        levels = self.unknown_levels
        return levels[levels["covered_by"].isna() | levels["lookalike"]]

    @cached_property
    def unknown_codes(self) -> pd.DataFrame:
        """The codes of the configuration that are not here: ``code``, ``levels`` (that would get it), ``nearest``."""
        mapping = self.mapping
        rows = [
            (code, ", ".join(mapping.levels_of(code)), nearest_name(code, self.ids))
            for code in (mapping.codes if mapping else ())
            if mapping and code not in self.ids
        ]
        return pd.DataFrame(rows, columns=["code", "levels", "nearest"], dtype=object)

    def told_codes(self) -> list[str]:
        """Tell which codes of the configuration are not here."""
        return [
            f"The {self.kind} {code!r} (for {levels}) does not exist here; "
            + (f"nearest: {near}." if near else "nothing here is near it; it may never have been seeded.")
            for code, levels, near in self.unknown_codes.itertuples(index=False)
        ]

    def told_levels(self, levels: Sequence[str] = ()) -> list[str]:
        """Tell which levels need a line; of some that are asked for, or of all."""
        return [
            f"No line maps the level {level!r} of {members:,} members"
            + (f", so it would become {default}" if default else "")
            + (f"; nearest: {near!r}" if near else "; no line is near it")
            + (" (they differ only in case, accents or spaces)." if alike else ".")
            for level, members, near, default, alike in self.open_levels.itertuples(index=False)
            if not levels or level in levels
        ]

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each; nothing when all is well."""
        return list(_findings(self))

    @property
    def remarks(self) -> list[str]:
        """What whoever compares or corrects should know."""
        told = [*self.mapping.remarks] if self.mapping else []
        if self.kinds == ("status",):
            told.append("No tier was ever made here, so the membership status stands in.")
        if own := self.count(OF_ITS_OWN):
            told.append(
                f"{own:,} members have a status that the configuration does not give, which an importer set by other"
                " rules; they are left alone."
            )
        if self.as_in_wa:
            told.append(
                f"{self.as_in_wa:,} members have the status that Wild Apricot itself gave their contact, and"
                " the configuration gives their level another: be sure that it is meant so."
            )
        if self.mapping and self.mapping.ignored:
            ignored = ", ".join(self.mapping.ignored)
            told.append(
                f"{self.count(IGNORED):,} members of levels that it ignores ({ignored}) are left alone."
            )
        return told


def has_name(level: str | None) -> bool:
    """Whether a member's Wild Apricot level is known."""
    return bool(level and level.strip(" "))


def review_tiers(connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()) -> TierReview:
    """Look at tiers and statuses, each beside what its own configuration says where there is one.

    A tier policy speaks of tiers, also where none was seeded yet; the other two kinds of file speak of statuses, and
    of tiers only where members have no status at all, as in the guide's database.

    Returns
    -------
    TierReview
        Of what a configuration speaks of, tiers before statuses; the other one is ``beside`` it.

    Raises
    ------
    SchemaGap
        Where members have neither, or no level to compare by.
    """
    schema.refuse_unreadable("members", "tiers", "statuses")
    canonical = Canonical(schema)
    ids: dict[str, dict[str, list[str]]] = {}
    for kind, of in KINDS.items():
        if schema.has(f"{of}.code", f"members.{kind}_id"):
            codes = f"SELECT code, array_agg(id::text ORDER BY id) AS ids FROM {of} WHERE code IS NOT NULL GROUP BY code"
            ids[kind] = dict(_asked(connection, canonical, codes).itertuples(index=False))
    if not ids:
        raise SchemaGap(
            "Members have neither a tier nor a status here, so nothing can be compared.",
            "A migration of the application that creates them would supply it.",
        )
    in_use = tuple(kind for kind in ids if ids[kind]) or (*ids,)[-1:]
    giving: dict[str, TierMapping] = {mapping.gives: mapping for mapping in mappings if mapping.enabled}
    unseeded = in_use == ("status",) and "tier" in giving and "tier" in ids
    if in_use == ("tier",) and "status" in giving:
        giving.setdefault("tier", giving["status"])
    off = next((mapping.name for mapping in mappings if not mapping.enabled), "")
    reviews = []
    for kind in (*["tier"] * unseeded, *in_use):
        mapping, said = giving.get(kind), "m.wa_raw ->> 'status'" if kind == "status" else "NULL::text"
        if mapping is not None:
            schema.require("members.level")
        held = _asked(connection, canonical, _HELD.format(kind=kind, of=KINDS[kind], said=said))
        pairs = zip(held["actual"], held["said"], strict=True)
        held["in_wa"] = [code is not None and code == _status_of(status) for code, status in pairs]
        held = held.astype({"in_wa": bool, "members": int})
        why = "" if mapping else _why_not_compared(kind, mappings)
        review = TierReview(kind, ids[kind], held.drop(columns="said"), mapping, in_use, why, off)
        reviews.append(_judged(review, mapping) if mapping else review)
    first, *rest = sorted(reviews, key=lambda review: review.mapping is None)
    return replace(first, beside=tuple(rest))


def _judged(review: TierReview, mapping: TierMapping) -> TierReview:
    # What nearly everybody has without a reason is no rule of its own.
    given = {*mapping.codes, *(review.everybody or ())[:1]}

    def judge(level: str | None, held: str | None, actual: str | None) -> tuple[str | None, str]:
        if not has_name(level):
            return None, NO_LEVEL
        expected = mapping.levels.get(str(level), mapping.default)
        if level in mapping.ignored:
            return expected, IGNORED
        if expected is None:
            return None, UNKNOWN_LEVEL
        if review.kind == "status" and actual is not None and actual not in given:
            return expected, OF_ITS_OWN
        if actual == expected:
            return expected, RIGHT
        return expected, WRONG if actual is not None else NONE if held is None else GONE

    rows = [judge(*row) for row in review.held[["level", "held", "actual"]].itertuples(index=False)]
    judged = pd.DataFrame(rows, columns=["expected", "finding"], dtype=object, index=review.held.index)
    return replace(review, held=review.held.join(judged))


def _status_of(said: str | None) -> str | None:
    """Return the status that a sync gives a member by what Wild Apricot said of the contact: not_a_member for NotAMember."""
    if said is None:
        return None
    return "".join(f"_{sign}" if at and "A" <= sign <= "Z" else sign for at, sign in enumerate(said)).lower()


def compared(review: TierReview, of: Of | None = None) -> TierReview:
    """Return the review of tiers or of statuses; without a word what a configuration speaks of, tiers first.

    Raises
    ------
    Refused
        When no configuration speaks of it, or it is not there.
    """
    kind = next(kind for kind in KINDS if KINDS[kind] == of) if of else review.kind
    found = review.both.get(kind)
    if found is None:
        raise Refused(f"No membership {kind} was ever made here.", "See `workbench tiers`.")
    if found.mapping is None:
        raise Refused(
            f"Nothing says which {kind} a level becomes: {found.not_compared}.",
            "Name a tier policy (membership.tiers.waMapping); --of statuses corrects statuses."
            if kind == "tier"
            else "Name the importer's configuration (membership_status_mapping) or a membership_levels_mapping.json.",
        )
    return found


def members_of(
    connection: Connection,
    schema: Schema,
    review: TierReview,
    findings: Sequence[str] = CORRECTABLE,
    levels: Sequence[str] = (),
    limit: int | None = None,
) -> pd.DataFrame:
    """List the members of whom something is said, by their ids.

    Parameters
    ----------
    levels : sequence of str
        Only members of these Wild Apricot levels; of all, when empty.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``level``, ``expected``, ``actual``, ``finding``, ``held``, ``written`` (when the row was), and of the audit
        log's last word on it ``by``, ``at``, ``was``, ``by_a_person``: whether it is as a person set it.
    """
    rows = review.held[review.held["finding"].isin(findings)]
    rows = rows[rows["level"].isin(levels)] if levels else rows
    names = ["level", "held", "expected", "actual", "finding"]
    judged = rows[names].drop_duplicates(["level", "held"])
    cells = {name: ("text", judged[name].tolist()) for name in names}
    canonical = Canonical(schema, {"judged": lambda: listed("judged", cells)})
    column = schema.resolved["members"].spelling[f"{review.kind}_id"]
    query = _MEMBERS.format(kind=review.kind, column=column, imported=IMPORT_SOURCE, member=MEMBER)
    return _asked(connection, canonical, query, limit)


def _asked(
    connection: Connection, canonical: Canonical, query: str, limit: int | None = None
) -> pd.DataFrame:
    rows = ask(connection, canonical, query, limit=limit)[1].astype(object)
    return rows.where(rows.notna(), None)


def tells_of_members(schema: Schema) -> bool:
    """Whether the audit log names the record of an entry; the guide's own does not."""
    needed = ("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at")
    return schema.has(*needed, "audit.before") or schema.has(*needed, "audit.after")


def _why_not_compared(kind: str, mappings: Sequence[TierMapping]) -> str:
    reasons = [
        f"{mapping.name} ({mapping.kind}) gives statuses, and members have a status besides their tier here"
        if mapping.gives == "status"
        else f"{mapping.name} ({mapping.kind}) gives tiers"
        if kind == "status"
        else f"membership.tiers.enabled is false in {mapping.name}"
        for mapping in mappings
        if mapping.gives != kind or not mapping.enabled
    ]
    return "; ".join(reasons) or f"no {kind} mapping is configured"


def _findings(review: TierReview) -> Iterator[str]:
    kind = review.kind
    if review.everybody:
        code, members, of = review.everybody
        yield f"Nearly everybody has the same {kind}: {members:,} of {of:,} have {code}."
    if review.none:
        gone = review.count(GONE)
        yield f"{review.none:,} members have no {kind}{f' ({gone:,} of them one that is not there)' if gone else ''}."
    yield from (*review.told_codes(), *review.told_levels())
    others = ", ".join(f"{members:,} {why}" for why, members in review.not_judged.items())
    known = review.count(RIGHT, *CORRECTABLE)
    if others and (not known or review.count(OF_ITS_OWN) > known):
        yield f"Only {known:,} of {review.members:,} members could be compared: there are {others}."
    if wrong := review.correctable:
        has = "member has" if wrong == 1 else "members have"
        yield f"{wrong:,} {has} another {kind} than their level says, or none."
