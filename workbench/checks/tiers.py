"""Guide §1.3: members with the wrong membership tier, or none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, Rows, check
from workbench.errors import UsageError
from workbench.investigate.tiers.configuration import TierMapping, read_tier_mapping
from workbench.investigate.tiers.reviewing import unknown_codes, unknown_levels
from workbench.investigate.tiers.statements import (
    WRONG,
    everybody_in_one,
    has_level,
    in_use,
    judged,
    without,
)
from workbench.murmurant.schema import as_text, named

TIER_CHECKS = (
    "tiers-all-the-same",
    "tiers-wrong",
    "tiers-unmapped-level",
    "tiers-missing",
    "tiers-not-seeded",
)
"""The checks of guide §1.3."""


@check(
    "tiers-all-the-same",
    "Nearly everybody has the same tier",
    guide="§1.3",
    symptom="All members as PROSPECT",
    question="Are the members spread over tiers (or, where tiers are not used, over statuses)?",
    remedy="Put the tier mapping right; then `workbench plan tiers`, or the importer again (§4.3).",
    needs=("members",),
)
def tiers_all_the_same(look: Look) -> Select[Any]:
    return everybody_in_one(look.schema, in_use(look.connection, look.schema))


@check(
    "tiers-wrong",
    "Members in another tier than their Wild Apricot level says",
    guide="§1.3",
    symptom="Wrong tier for membership level",
    question="Does every member have the tier that the importer's configuration gives their membership level?",
    remedy="`workbench plan tiers` corrects exactly these, once the tier mapping is right; or run the importer again (§4.3).",
    needs=("members.level",),
)
def tiers_wrong(look: Look) -> Select[Any]:
    mapping, used = _mapping(look), in_use(look.connection, look.schema)
    strange = unknown_codes(look.connection, used, mapping)
    if len(strange) == len(mapping.codes):
        raise NotRunError(
            f"None of the codes in {mapping.name} is a {used.kind} here, so nothing can be compared."
            " Seed the tiers, or name the configuration of this club."
        )
    each = judged(look.schema, used, mapping)
    return (
        select(
            each.c.key,
            each.c.level.label("wa_level"),
            each.c.expected,
            each.c.actual.label("found"),
        )
        .where(each.c.finding == WRONG)
        .order_by("key")
    )


@check(
    "tiers-unmapped-level",
    "Membership levels that the configuration does not know",
    guide="§1.3",
    symptom="WA membership level name changed",
    question="Does the configuration give a tier for every membership level that members have?",
    remedy="Add the level to the tier mapping; a renamed level in Wild Apricot needs a new line.",
    needs=("members.level",),
)
def tiers_unmapped_level(look: Look) -> Select[Any]:
    mapping = _mapping(look)
    found = unknown_levels(look.connection, look.schema, mapping)
    # What the default covers on purpose is no fault; a name that only looks like a known one is.
    found = found[found["covered_by"].isna() | found["lookalike"]]
    level = look.schema.members.c.level
    arrays = (
        bindparam(name, [None if each is None else str(each) for each in found[name]], type_=ARRAY(String()))
        for name in ("level", "nearest")
    )
    unknown = func.unnest(*arrays).table_valued("level", "nearest", name="unknown").render_derived()
    return (
        select(level.label("key"), func.count().label("members"), unknown.c.nearest)
        .select_from(look.schema.members.join(unknown, unknown.c.level == level))
        .where(has_level(look.schema))
        .group_by(level, unknown.c.nearest)
        .order_by(level)
    )


@check(
    "tiers-not-seeded",
    "Tiers that the configuration names and the database does not have",
    guide="§1.3",
    symptom="Missing tier seed data",
    question="Is there a tier for every code of the configuration?",
    remedy="Seed the tier, or correct its code in the tier mapping.",
    needs=("members",),
)
def tiers_not_seeded(look: Look) -> Rows:
    found = unknown_codes(look.connection, in_use(look.connection, look.schema), _mapping(look))
    rows = found.rename(columns={"code": "key"}).to_dict("records")
    return [{str(name): value for name, value in each.items()} for each in rows]


@check(
    "tiers-missing",
    "Members without a tier",
    guide="§1.3",
    symptom="Null tiers",
    question="Does every member have a tier that exists (or, where no tiers are used, a status)?",
    remedy="Seed the missing tiers and put the tier mapping right; then `workbench plan tiers`, or the importer again (§4.3).",
    needs=("members",),
)
def tiers_missing(look: Look) -> Select[Any]:
    used = in_use(look.connection, look.schema)
    members = look.schema.members
    held = as_text(members.c[used.column]).label(used.column)
    return (
        select(as_text(members.c.id).label("key"), *named(members, "level"), held)
        .where(without(look.schema, used))
        .order_by("key")
    )


def _mapping(look: Look) -> TierMapping:
    path = look.settings.tier_mapping
    if path is None:
        raise NotConfiguredError(
            "No tier mapping is configured. Name the importer's configuration as tier_mapping for this environment."
        )
    if not path.is_file():
        raise NotRunError(f"The tier mapping {path} is not there. Correct tier_mapping for this environment.")
    try:
        return read_tier_mapping(path)
    except UsageError as error:  # one wrong file must not silence the other checks
        raise NotRunError(str(error)) from None
