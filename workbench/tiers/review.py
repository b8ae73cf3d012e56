"""What was found of the tiers of a club: the distribution, the matrix and what is wrong with them (guide §1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
from sqlalchemy import Connection, func, select

from workbench.errors import Refused, SchemaGap
from workbench.murmurant.schema import Schema
from workbench.tiers.configuration import TierMapping
from workbench.tiers.queries import (
    CORRECTABLE,
    GONE,
    IGNORED,
    MATRIX,
    NO_LEVEL,
    OF_ITS_OWN,
    RIGHT,
    InUse,
    codes_frame,
    comparisons,
    judged,
    levels_frame,
    tier_matrix,
    unknown_codes,
    unknown_levels,
)

Of = Literal["tiers", "statuses"]
KINDS = {"tiers": "tier", "statuses": "status"}
"""What may be asked for by name, and the kind each is."""


@dataclass(frozen=True)
class TierReview:
    """What was found of the tiers of a club, or of its statuses.

    Attributes
    ----------
    used : InUse
        What is reviewed; statuses stand in where no tier was ever made.
    mapping : TierMapping or None
        What they were compared with.
    matrix : pandas.DataFrame
        ``level``, ``expected``, ``actual``, ``members``, ``finding``; empty without a mapping.
    unknown_levels : pandas.DataFrame
        ``level``, ``members``, ``nearest``, ``covered_by`` (the default's code): levels no line names.
    unknown_codes : pandas.DataFrame
        ``code``, ``levels``, ``nearest``: codes of the configuration that the database does not have.
    not_compared : str
        Why there is no mapping; empty where there is one.
    as_in_wa : int
        Of those with another status than their level's, how many have the one Wild Apricot gave the contact.
    beside : tuple of TierReview
        The other of tiers and statuses, where the database has both.
    """

    used: InUse
    mapping: TierMapping | None
    matrix: pd.DataFrame
    unknown_levels: pd.DataFrame
    unknown_codes: pd.DataFrame
    not_compared: str = ""
    as_in_wa: int = 0
    beside: tuple[TierReview, ...] = ()

    @property
    def kind(self) -> str:
        """``tier`` or ``status``."""
        return self.used.kind

    @property
    def everybody(self) -> tuple[str, int, int] | None:
        """The code that nearly everybody has without a reason, see `InUse`."""
        return self.used.everybody

    @property
    def distribution(self) -> pd.DataFrame:
        """``kind``, ``code`` (None for none), ``members``, most first."""
        return _distribution(self.used)

    @property
    def both(self) -> dict[str, TierReview]:
        """Each review by its kind, tiers first."""
        reviews = sorted((self, *self.beside), key=lambda review: review.kind != "tier")
        return {review.kind: review for review in reviews}

    @property
    def members(self) -> int:
        """How many members there are."""
        return sum(self.used.counts.values())

    @property
    def none(self) -> int:
        """How many have none that exists."""
        return self.used.counts.get(None, 0)

    def count(self, *findings: str) -> int:
        """Count the members of whom one of these is said."""
        return int(self.matrix.loc[self.matrix["finding"].isin(findings), "members"].sum())

    @property
    def not_judged(self) -> dict[str, int]:
        """How many members the configuration says nothing of, by the reason."""
        reasons = {
            OF_ITS_OWN: f"whose {self.kind} it does not give",
            IGNORED: "whose level it ignores",
            NO_LEVEL: "whose level is not known",
        }
        return {why: members for finding, why in reasons.items() if (members := self.count(finding))}

    @property
    def correctable(self) -> int:
        """How many have another than the configuration gives their level."""
        return self.count(*CORRECTABLE)

    @property
    def open_levels(self) -> pd.DataFrame:
        """Unknown levels that need a line: no default covers them, or they look like one that is named."""
        levels = self.unknown_levels
        return levels[levels["covered_by"].isna() | levels["lookalike"]]

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each; nothing when all is well."""
        return list(_findings(self))


def tier_distribution(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Count the members in each tier: the question of guide §4.3, with those who have none.

    Where tiers are not used (the application's importers fill statuses only) statuses stand in.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (``tier`` or ``status``), ``code`` (None for none), ``members``, most first.
    """
    try:
        return _distribution(comparisons(connection, schema)[0][0])
    except SchemaGap:
        return pd.DataFrame(columns=["kind", "code", "members"])


def review_tiers(connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()) -> TierReview:
    """Look at tiers and statuses, each beside what its own configuration says where there is one.

    Returns
    -------
    TierReview
        Of what a configuration speaks of, tiers before statuses; the other one is ``beside`` it.
    """
    reviews = []
    for used, mapping in comparisons(connection, schema, mappings):
        if mapping is None:
            why = why_not_compared(used.kind, mappings)
            reviews.append(
                TierReview(used, None, pd.DataFrame(columns=MATRIX), levels_frame([]), codes_frame([]), why)
            )
            continue
        members = judged(schema, used, mapping)
        as_in_wa = select(func.count()).where(members.c.finding.in_(CORRECTABLE), members.c.as_in_wa)
        reviews.append(
            TierReview(
                used,
                mapping,
                tier_matrix(connection, schema, used, mapping),
                unknown_levels(connection, schema, mapping),
                unknown_codes(connection, used, mapping),
                as_in_wa=int(connection.scalar(as_in_wa) or 0),
            )
        )
    first, *rest = sorted(reviews, key=lambda review: review.mapping is None)
    return replace(first, beside=tuple(rest))


def compared(
    connection: Connection, schema: Schema, mappings: Sequence[TierMapping], of: Of | None = None
) -> tuple[InUse, TierMapping]:
    """Return what is compared, and with which configuration.

    Parameters
    ----------
    of : {"tiers", "statuses"}, optional
        Which of the two, where the database has both; else what a configuration speaks of, tiers first.

    Raises
    ------
    Refused
        When no configuration speaks of it, or it is not there.
    """
    pairs = comparisons(connection, schema, mappings)
    kinds = [used.kind for used, _ in pairs]
    kind = KINDS[of] if of else next((used.kind for used, mapping in pairs if mapping), kinds[0])
    for used, mapping in pairs:
        if used.kind == kind and mapping is not None:
            return used, mapping
    if kind not in kinds:
        raise Refused(f"No membership {kind} was ever made here.", "See `workbench tiers`.")
    raise Refused(
        f"Nothing says which {kind} a level becomes: {why_not_compared(kind, mappings)}.",
        "Name a tier policy (membership.tiers.waMapping); --of statuses corrects statuses."
        if kind == "tier"
        else "Name the importer's configuration (membership_status_mapping) or a membership_levels_mapping.json.",
    )


def why_not_compared(kind: str, mappings: Sequence[TierMapping]) -> str:
    """Say why no configuration speaks of tiers, or of statuses."""
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


def _distribution(used: InUse) -> pd.DataFrame:
    rows = [(used.kind, code, members) for code, members in used.counts.items()]
    return pd.DataFrame(rows, columns=["kind", "code", "members"]).astype({"code": object, "members": int})


def _findings(review: TierReview) -> Iterator[str]:
    kind = review.kind
    if review.everybody:
        code, members, of = review.everybody
        yield f"Nearly everybody has the same {kind}: {members:,} of {of:,} have {code}."
    if review.none:
        gone = review.count(GONE)
        yield f"{review.none:,} members have no {kind}{f' ({gone:,} of them one that is not there)' if gone else ''}."
    for code, levels, near in review.unknown_codes.itertuples(index=False):
        hint = f"nearest: {near}" if near else "nothing here is near it; it may never have been seeded"
        yield f"The {kind} {code!r} (for {levels}) does not exist here; {hint}."
    for level, members, near, default, alike in review.open_levels.itertuples(index=False):
        hint = f"nearest: {near!r}" if near else "no line is near it"
        covered = f", so it would become {default}" if default else ""
        only = " (they differ only in case, accents or spaces)" if alike else ""
        yield f"No line maps the level {level!r} of {members:,} members{covered}; {hint}{only}."
    others = ", ".join(f"{members:,} {why}" for why, members in review.not_judged.items())
    known = review.count(RIGHT, *CORRECTABLE)
    if others and (not known or review.count(OF_ITS_OWN) > known):
        yield f"Only {known:,} of {review.members:,} members could be compared: there are {others}."
    if wrong := review.correctable:
        has = "member has" if wrong == 1 else "members have"
        yield f"{wrong:,} {has} another {kind} than their level says, or none."
