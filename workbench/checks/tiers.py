"""Checks of membership tiers and statuses (guide §1.3)."""

from __future__ import annotations

import pandas as pd

from workbench.checks.look import Look, NotConfiguredError, NotRunError
from workbench.checks.registry import Asked, Rows
from workbench.murmurant.canonical import ask
from workbench.tiers.review import KINDS, OFF, WRONG, TierReview, members_of


def tiers_all_the_same(look: Look) -> Rows:
    everybody = [(review.kind, *review.everybody) for review in look.tiers[0].values() if review.everybody]
    return [
        {"key": code, "kind": kind, "members": members, "of": total}
        for kind, code, members, total in everybody
    ]


def tiers_wrong(look: Look) -> pd.DataFrame:
    reviews, gaps = _compared(look)
    wrong = []
    for review in reviews:
        name, kind = review.mapping and review.mapping.name, review.kind
        if review.mapping and len(review.unknown_codes) == len(review.mapping.codes):
            gaps.append(
                f"None of the codes in {name} is a {kind} here. Seed them, or name this club's configuration."
            )
        elif review.members and (review.too_few_judged or not review.judged):
            gaps.append(
                f"Only {review.judged:,} of {review.members:,} members can be compared with {name}:"
                f" {review.not_judged or 'no line names their level'}. Name the configuration that the import had."
            )
        elif review.count(WRONG):
            rows = members_of(look.connection, look.schema, review, [WRONG])
            wrong.append(rows.assign(kind=kind, wa_level=rows["level"], found=rows["actual"]))
    if not wrong:
        return pd.DataFrame(_unless(gaps, []))
    by_member = pd.concat(wrong).groupby(["key", "wa_level"])[["kind", "expected", "found"]]
    return by_member.agg(", ".join).reset_index()


def tiers_unmapped_level(look: Look) -> Rows:
    reviews, gaps = _compared(look)
    rows = [
        {"key": level, "members": members, "nearest": near, "mapping": review.mapping and review.mapping.name}
        for review in reviews
        for level, members, near in review.unknown_levels.itertuples(index=False)
    ]
    return _unless(gaps, sorted(rows, key=lambda row: (row["key"], row["mapping"])))


def tiers_not_seeded(look: Look) -> Rows:
    reviews, gaps = _compared(look)
    rows = [
        {"key": code, "levels": levels, "kind": review.kind}
        for review in reviews
        for code, levels in review.unknown_codes.itertuples(index=False)
    ]
    return _unless(gaps, rows)


def tiers_missing(look: Look) -> Asked:
    reviews, _ = look.tiers
    # Tiers, unless only statuses exist.
    kind = next((kind for kind, review in reviews.items() if review.ids), [*reviews][-1])
    if OFF in reviews[kind].not_compared:
        raise NotConfiguredError(f"No {kind} is expected: {reviews[kind].not_compared}.")
    query = f"""SELECT m.id AS key, m.level, m.{kind}_id FROM members AS m
        WHERE NOT EXISTS (SELECT FROM {KINDS[kind]} AS c WHERE c.id = m.{kind}_id)"""
    return ask(look.connection, look.canonical, query, limit=look.sample, keyed=True)


def _compared(look: Look) -> tuple[list[TierReview], list[str]]:
    """Return the reviews with a configuration, tiers first, and why the first kind in use has none."""
    by_kind, wrong = look.tiers
    reviews = [*by_kind.values()]
    first = reviews[0]
    why_not = f"No configuration says which {first.kind} a level becomes: {first.not_compared}."
    if judged := [review for review in reviews if review.mapping]:
        return judged, wrong or [why_not] * (first.mapping is None)
    if wrong:
        raise NotRunError(" ".join(wrong))
    raise NotConfiguredError(
        f"{why_not} Set {first.kind}_mapping for this environment to the file that does."
    )


def _unless(gaps: list[str], rows: Rows) -> Rows:
    """Return rows; without rows, gaps in the comparison are a `NotRunError`."""
    if not rows and gaps:
        raise NotRunError(" ".join(gaps))
    return rows
