"""Guide §1.3: members with the wrong membership tier or status, or none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, bindparam, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, Rows
from workbench.errors import UsageError
from workbench.murmurant.schema import as_text, named
from workbench.tiers.configuration import TierMapping, distinct, read_tier_mapping
from workbench.tiers.queries import (
    CORRECTABLE,
    OF_ITS_OWN,
    RIGHT,
    WRONG,
    InUse,
    comparisons,
    has_level,
    in_use,
    judged,
    unknown_codes,
    unknown_levels,
    without,
)
from workbench.tiers.review import why_not_compared

TIER_CHECKS = (
    "tiers-all-the-same",
    "tiers-wrong",
    "tiers-unmapped-level",
    "tiers-missing",
    "tiers-not-seeded",
)
"""The checks of guide §1.3: of tiers, and of statuses as far as a configuration speaks of them."""


def tiers_all_the_same(look: Look) -> Rows:
    pairs = comparisons(look.connection, look.schema, _mappings(look)[0])
    found = [(used.kind, *used.everybody) for used, _ in pairs if used.everybody]
    return [{"key": code, "kind": kind, "members": members, "of": of} for kind, code, members, of in found]


def tiers_wrong(look: Look) -> Select[Any]:
    pairs, gaps = _compared(look)
    parts: list[Select[Any]] = []
    for used, mapping in pairs:
        strange = unknown_codes(look.connection, used, mapping)
        each = judged(look.schema, used, mapping)
        known = func.count().filter(each.c.finding.in_((RIGHT, *CORRECTABLE)))
        own = func.count().filter(each.c.finding == OF_ITS_OWN)
        members, compared, others = look.connection.execute(
            select(func.count(), known, own).select_from(each)
        ).one()
        if len(strange) == len(mapping.codes):
            gaps.append(
                f"None of the codes in {mapping.name} is a {used.kind} here, so nothing can be compared."
                " Seed the tiers, or name the configuration of this club."
            )
        elif members and (not compared or others > compared):
            gaps.append(
                f"Only {compared:,} of {members:,} members can be compared with {mapping.name}: the others have no"
                f" level, or a {used.kind} that it does not give. Name the configuration that the import had."
            )
        else:
            told = (each.c.level.label("wa_level"), each.c.expected, each.c.actual.label("found"))
            kind = literal(used.kind).label("kind")
            parts.append(select(each.c.key, kind, *told).where(each.c.finding == WRONG))
    if not parts:
        raise NotRunError(" ".join(gaps))
    wrong = union_all(*parts).subquery("wrong")
    _refuse_green(look.connection.execute(select(wrong.c.key).limit(1)).first() is None, gaps)
    joined = (
        func.string_agg(wrong.c[name], aggregate_order_by(literal(", "), wrong.c.kind.desc())).label(name)
        for name in ("kind", "expected", "found")
    )
    return (
        select(wrong.c.key, wrong.c.wa_level, *joined).group_by(wrong.c.key, wrong.c.wa_level).order_by("key")
    )


def tiers_unmapped_level(look: Look) -> Select[Any]:
    pairs, gaps = _compared(look)
    rows: list[tuple[str, str | None, str]] = []
    for _, mapping in pairs:
        found = unknown_levels(look.connection, look.schema, mapping)
        # What the default covers on purpose is no fault; a name that only looks like a known one is.
        found = found[found["covered_by"].isna() | found["lookalike"]]
        rows += [
            (level, near, mapping.name) for level, near in zip(found["level"], found["nearest"], strict=True)
        ]
    _refuse_green(not rows, gaps)
    level = look.schema.members.c.level
    names = ("level", "nearest", "mapping")
    arrays = (
        bindparam(name, [None if row[at] is None else str(row[at]) for row in rows], type_=ARRAY(String()))
        for at, name in enumerate(names)
    )
    unknown = func.unnest(*arrays).table_valued(*names, name="unknown").render_derived()
    return (
        select(level.label("key"), func.count().label("members"), unknown.c.nearest, unknown.c.mapping)
        .select_from(look.schema.members.join(unknown, unknown.c.level == level))
        .where(has_level(look.schema))
        .group_by(level, unknown.c.nearest, unknown.c.mapping)
        .order_by(level, unknown.c.mapping)
    )


def tiers_not_seeded(look: Look) -> Rows:
    pairs, gaps = _compared(look)
    rows: Rows = []
    for used, mapping in pairs:
        found = unknown_codes(look.connection, used, mapping).rename(columns={"code": "key"})
        rows += [
            {**{str(name): value for name, value in row.items()}, "kind": used.kind}
            for row in found.to_dict("records")
        ]
    _refuse_green(not rows, gaps)
    return rows


def tiers_missing(look: Look) -> Select[Any]:
    used = in_use(look.connection, look.schema)
    off = next((each for each in _mappings(look)[0] if not each.enabled), None)
    if used.kind == "tier" and off is not None:
        raise NotConfiguredError(
            f"No tier is to be expected: membership.tiers.enabled is false in {off.name}."
        )
    members = look.schema.members
    held = as_text(members.c[used.column]).label(used.column)
    return (
        select(as_text(members.c.id).label("key"), *named(members, "level"), held)
        .where(without(look.schema, used))
        .order_by("key")
    )


def _compared(look: Look) -> tuple[list[tuple[InUse, TierMapping]], list[str]]:
    """Return what has a configuration, tiers first, and why the first of what is used here has none, if so."""
    mappings, wrong = _mappings(look)
    pairs = comparisons(look.connection, look.schema, mappings)
    used, mapping = pairs[0]
    why = f"Nothing says which {used.kind} a level becomes: {why_not_compared(used.kind, mappings)}."
    gaps = wrong or ([why] if mapping is None else [])
    known = [(used, mapping) for used, mapping in pairs if mapping is not None]
    if not known and wrong:
        raise NotRunError(" ".join(wrong))
    if not known:
        raise NotConfiguredError(
            f"{why} Name the file that does as {used.kind}_mapping for this environment."
        )
    return known, gaps


def _refuse_green(clean: bool, gaps: list[str]) -> None:
    """Raise `NotRunError` where nothing was found, and not all was asked."""
    if clean and gaps:
        raise NotRunError(" ".join(gaps))


def _mappings(look: Look) -> tuple[tuple[TierMapping, ...], list[str]]:
    """Read the configurations; one that is wrong must not silence the other, nor the other checks."""
    found: list[TierMapping] = []
    wrong = []
    for path in look.settings.mappings:
        try:
            found = list(distinct([*found, read_tier_mapping(path)]))
        except UsageError as error:
            wrong.append(str(error))
    return tuple(found), wrong
