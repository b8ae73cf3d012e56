"""Members in the wrong tier, or in none (guide, §1.3)."""

from __future__ import annotations

from workbench.demo.breakages.ground import members_of, run
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.people import SECOND_YEAR, THIRD_YEAR, TIERS
from workbench.demo.shape import ident

RENAMED = "3rd Year"
"""What `THIRD_YEAR` is called once it was renamed."""


def _tier(club: Club, code: str) -> str:
    return club.shape.id("MembershipTier", TIERS.index(code))


@breakage("§1.3", "All members as PROSPECT", "tiers-all-the-same", "tiers-wrong")
def all_prospect(connection: Connection, club: Club) -> Harm:
    """Make every member a prospect, as an import without tier mapping does."""
    run(connection, club, 'UPDATE "Member" SET "membershipTierId" = %s', _tier(club, "PROSPECT"))
    return {"PROSPECT"}, {}


@breakage("§1.3", "Wrong tier for membership level", "tiers-wrong")
def wrong_tier(connection: Connection, club: Club) -> Harm:
    """Make alumni of some in their second year: one member in twenty, so that `all_prospect` still shows.

    The members whose tier `null_tiers` takes away are spared.
    """
    spared = [club.shape.id("Member", number) for number in members_of(club, "null-tiers")]
    changed = run(
        connection,
        club,
        """
        UPDATE "Member" SET "membershipTierId" = %s WHERE id IN (
            SELECT id FROM "Member" WHERE "waMembershipLevelRaw" = %s AND id <> ALL(%s::{ids})
            ORDER BY id LIMIT %s
        ) RETURNING id::text
        """,
        *(_tier(club, "ALUMNI"), SECOND_YEAR, spared, max(3, club.members // 20)),
    )
    return [row[0] for row in changed], {"level": SECOND_YEAR, "right": "NEWCOMER"}


@breakage("§1.3", "Null tiers", "tiers-missing")
def null_tiers(connection: Connection, club: Club) -> Harm:
    """Take some members' tier away; without foreign keys, let one point at a tier that is not there."""
    keys = [club.shape.id("Member", number) for number in members_of(club, "null-tiers")]
    run(connection, club, 'UPDATE "Member" SET "membershipTierId" = NULL WHERE id = ANY(%s::{ids})', keys)
    if club.dialect == "guide":
        nowhere = ident(club.seed, "null-tiers", 0)
        run(connection, club, 'UPDATE "Member" SET "membershipTierId" = %s WHERE id = %s', nowhere, keys[-1])
    return keys, {}


@breakage("§1.3", "WA membership level name changed", "tiers-unmapped-level")
def renamed_level(connection: Connection, club: Club) -> Harm:
    """Let a level have another name than the importer's configuration knows, as if renamed in Wild Apricot."""
    run(
        connection,
        club,
        'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s',
        *(RENAMED, THIRD_YEAR),
    )
    return {RENAMED}, {"was": THIRD_YEAR}
