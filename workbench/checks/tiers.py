"""Guide §1.3: members with the wrong membership tier, or none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, String, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.registry import Look, NotConfiguredError, NotRunError, check
from workbench.investigate.tiers import read_tier_mapping
from workbench.murmurant.schema import as_text, named, same_id

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
    codes, column = _in_use(look)
    members = look.schema.members
    spread = (
        select(
            codes.c.code.label("key"),
            func.count().label("members"),
            func.sum(func.count()).over().label("of"),
        )
        .select_from(members.join(codes, same_id(codes.c.id, members.c[column])))
        .group_by(codes.c.code)
        .subquery("spread")
    )
    return (
        select(spread).where(spread.c.of >= FEW, spread.c.members >= EVERYBODY * spread.c.of).order_by("key")
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
    question="Does every member have a tier that exists (or, where no tiers are used, a status)?",
    remedy="Seed the missing tiers, put the mapping right, and run the importer again (§4.3).",
    needs=("members",),
)
def tiers_missing(look: Look) -> Select[Any]:
    codes, column = _in_use(look)
    members = look.schema.members
    held = members.c[column]
    return (
        select(as_text(members.c.id).label("key"), *named(members, "level"), as_text(held).label(column))
        .where(or_(held.is_(None), ~exists().where(same_id(codes.c.id, held))))
        .order_by("key")
    )


def _in_use(look: Look) -> tuple[Any, str]:
    """Return what tells the members' levels apart here: tiers, or statuses where no tier was ever made.

    The application's own importers fill statuses and leave the table of tiers empty.
    """
    schema = look.schema
    if schema.has("tiers.code", "members.tier_id") and (
        not schema.has("statuses.code", "members.status_id")
        or look.connection.execute(select(schema.tiers.c.id).limit(1)).first() is not None
    ):
        return schema.tiers, "tier_id"
    if schema.has("statuses.code", "members.status_id"):
        return schema.statuses, "status_id"
    raise NotRunError("Members have neither a tier nor a status here, so nothing can be compared.")


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
