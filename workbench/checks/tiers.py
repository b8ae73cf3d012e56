"""Guide §1.3: members with the wrong membership tier or status, or none."""

from __future__ import annotations

import pandas as pd

from workbench.checks.registry import Asked, Look, NotConfiguredError, NotRunError, Rows
from workbench.murmurant.canonical import ask
from workbench.tiers.review import CORRECTABLE, KINDS, OF_ITS_OWN, RIGHT, WRONG, TierReview, members_of

TIER_CHECKS = (
    "tiers-all-the-same",
    "tiers-wrong",
    "tiers-unmapped-level",
    "tiers-missing",
    "tiers-not-seeded",
)
"""The checks of guide §1.3: of tiers, and of statuses as far as a configuration speaks of them."""


def tiers_all_the_same(look: Look) -> Rows:
    everybody = [(one.kind, *one.everybody) for one in look.tiers[0].both.values() if one.everybody]
    return [
        {"key": code, "kind": kind, "members": members, "of": of} for kind, code, members, of in everybody
    ]


def tiers_wrong(look: Look) -> pd.DataFrame:
    reviews, gaps = _compared(look)
    wrong = []
    for one in reviews:
        known, name = one.count(RIGHT, *CORRECTABLE), one.mapping and one.mapping.name
        if one.mapping and len(one.unknown_codes) == len(one.mapping.codes):
            gaps.append(
                f"None of the codes in {name} is a {one.kind} here, so nothing can be compared."
                " Seed the tiers, or name the configuration of this club."
            )
        elif one.members and (not known or one.count(OF_ITS_OWN) > known):
            gaps.append(
                f"Only {known:,} of {one.members:,} members can be compared with {name}: the others have no"
                f" level, or a {one.kind} that it does not give. Name the configuration that the import had."
            )
        elif one.count(WRONG):
            rows = members_of(look.connection, look.schema, one, [WRONG])
            wrong.append(rows.assign(kind=one.kind, wa_level=rows["level"], found=rows["actual"]))
    if not wrong:
        return pd.DataFrame(_unless(gaps, []))
    by_member = pd.concat(wrong).groupby(["key", "wa_level"])[["kind", "expected", "found"]]
    return by_member.agg(", ".join).reset_index()


def tiers_unmapped_level(look: Look) -> Rows:
    reviews, gaps = _compared(look)
    # What the default covers on purpose is no fault; a name that only looks like a known one is.
    rows = [
        {"key": level, "members": members, "nearest": near, "mapping": one.mapping and one.mapping.name}
        for one in reviews
        for level, members, near, *_ in one.open_levels.itertuples(index=False)
    ]
    return _unless(gaps, sorted(rows, key=lambda row: (row["key"], row["mapping"])))


def tiers_not_seeded(look: Look) -> Rows:
    reviews, gaps = _compared(look)
    return _unless(
        gaps,
        [
            {"key": code, "levels": levels, "nearest": near, "kind": one.kind}
            for one in reviews
            for code, levels, near in one.unknown_codes.itertuples(index=False)
        ],
    )


def tiers_missing(look: Look) -> Asked:
    review, _ = look.tiers
    kind = review.kinds[0]
    if kind == "tier" and review.off:
        raise NotConfiguredError(
            f"No tier is to be expected: membership.tiers.enabled is false in {review.off}."
        )
    query = f"""SELECT m.id AS key, m.level, m.{kind}_id FROM members AS m
        WHERE NOT EXISTS (SELECT FROM {KINDS[kind]} AS c WHERE c.id = m.{kind}_id)"""
    return ask(look.connection, look.canonical, query, limit=look.sample, keyed=True)


def _compared(look: Look) -> tuple[list[TierReview], list[str]]:
    """Return what has a configuration, tiers first, and why the first of what is used here has none, if so."""
    review, wrong = look.tiers
    both = [*review.both.values()]
    if known := [one for one in both if one.mapping]:
        return known, wrong or [_why_not(one) for one in both[:1] if not one.mapping]
    if wrong:
        raise NotRunError(" ".join(wrong))
    kind = both[0].kind
    raise NotConfiguredError(
        f"{_why_not(both[0])} Name the file that does as {kind}_mapping for this environment."
    )


def _why_not(review: TierReview) -> str:
    return f"Nothing says which {review.kind} a level becomes: {review.not_compared}."


def _unless(gaps: list[str], rows: Rows) -> Rows:
    """Return rows; where there are none, and not all was asked, that is not green."""
    if not rows and gaps:
        raise NotRunError(" ".join(gaps))
    return rows
