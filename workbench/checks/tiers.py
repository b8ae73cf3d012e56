"""Guide §1.3: members with the wrong membership tier, or none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, and_, bindparam, exists, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, check
from workbench.investigate.tiers import read_tier_mapping
from workbench.murmurant.schema import as_text, same_id

EVERYBODY, FEW = 0.9, 10
"""The share of members in one tier that counts as all of them, and the least members to judge by."""


@check(
    "tiers-all-the-same",
    "Nearly everybody has the same tier",
    guide="§1.3",
    symptom="All members as PROSPECT",
    question="Are the members spread over tiers (or, where tiers are not used, over statuses)?",
    remedy="Put the tier mapping right and run the importer again (§4.3); it updates the tiers of everybody.",
    needs=("members",),
)
def tiers_all_the_same(look: Look) -> Select[Any]:
    kinds = [
        (schema_name, members_column)
        for schema_name, members_column in (("tiers", "tier_id"), ("statuses", "status_id"))
        if look.schema.has(f"{schema_name}.code", f"members.{members_column}")
    ]
    if not kinds:
        raise NotRunError("Members have neither a tier nor a status here, so nothing can be compared.")
    members = look.schema.members
    parts = []
    for name, column in kinds:
        codes = look.schema.source(name)
        total = func.sum(func.count()).over()
        parts.append(
            select(codes.c.code.label("key"), func.count().label("members"), total.label("of"))
            .select_from(members.join(codes, same_id(codes.c.id, members.c[column])))
            .group_by(codes.c.code)
        )
    spread = union_all(*parts).subquery("spread")
    return (
        select(spread)
        .where(spread.c.of >= FEW, spread.c.members >= EVERYBODY * spread.c.of)
        .order_by(spread.c.key)
    )


@check(
    "tiers-wrong",
    "Members in another tier than their Wild Apricot level says",
    guide="§1.3",
    symptom="Wrong tier for membership level",
    question="Does every member have the tier that the importer's configuration gives their membership level?",
    remedy="Put `membership_status_mapping` right and run the importer again (§4.3).",
    needs=("members.level", "members.tier_id", "tiers.code"),
)
def tiers_wrong(look: Look) -> Select[Any]:
    expected = _expected(look)
    members, tiers = look.schema.members, look.schema.tiers
    return (
        select(
            as_text(members.c.id).label("key"),
            members.c.level.label("wa_level"),
            expected.c.tier.label("expected"),
            tiers.c.code.label("found"),
        )
        .select_from(
            members.join(tiers, same_id(tiers.c.id, members.c.tier_id)).join(
                expected, expected.c.level == members.c.level
            )
        )
        .where(tiers.c.code != expected.c.tier)
        .order_by("key")
    )


@check(
    "tiers-unmapped-level",
    "Membership levels that the configuration does not know",
    guide="§1.3",
    symptom="WA membership level name changed",
    question="Does the configuration give a tier for every membership level that members have?",
    remedy="Add the level to `membership_status_mapping`; a renamed level in Wild Apricot needs a new line.",
    needs=("members.level",),
)
def tiers_unmapped_level(look: Look) -> Select[Any]:
    expected = _expected(look)
    members = look.schema.members
    return (
        select(members.c.level.label("key"), func.count().label("members"))
        .where(members.c.level.is_not(None), ~exists().where(expected.c.level == members.c.level))
        .group_by(members.c.level)
        .order_by(members.c.level)
    )


@check(
    "tiers-missing",
    "Members without a tier",
    guide="§1.3",
    symptom="Null tiers",
    question="Does every member have a tier that exists?",
    remedy="Seed the missing tiers, put the mapping right, and run the importer again (§4.3).",
    needs=("members.tier_id", "tiers"),
)
def tiers_missing(look: Look) -> Select[Any]:
    members, tiers = look.schema.members, look.schema.tiers
    level = [members.c.level.label("wa_level")] if look.schema.has("members.level") else []
    return (
        select(as_text(members.c.id).label("key"), *level, as_text(members.c.tier_id).label("tier"))
        .where(
            or_(
                members.c.tier_id.is_(None),
                and_(members.c.tier_id.is_not(None), ~exists().where(same_id(tiers.c.id, members.c.tier_id))),
            )
        )
        .order_by("key")
    )


def _expected(look: Look) -> Any:
    path = look.settings.tier_mapping
    if path is None:
        raise NotConfiguredError(
            "No tier mapping is configured. Name the importer's configuration as tier_mapping for this environment."
        )
    if not path.is_file():
        raise NotRunError(f"The tier mapping {path} is not there. Correct tier_mapping for this environment.")
    mapping = read_tier_mapping(path)
    arrays = (
        bindparam("levels", list(mapping), type_=ARRAY(String())),
        bindparam("tiers", list(mapping.values()), type_=ARRAY(String())),
    )
    return func.unnest(*arrays).table_valued("level", "tier", name="expected").render_derived()
