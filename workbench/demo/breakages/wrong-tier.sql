-- guide: §1.3
-- symptom: Wrong tier for membership level
-- checks: tiers-wrong
-- One member in twenty, so that all-prospect still shows; those whose tier null-tiers takes away are spared.
UPDATE "Member" SET "membershipTierId" = t.id FROM "MembershipTier" t
WHERE t.code = 'ALUMNI' AND "Member".id IN (
    SELECT id FROM "Member" WHERE "waMembershipLevelRaw" = '2nd Year'
        AND id NOT IN (SELECT id FROM demo.allotted WHERE breakage = 'null-tiers')
    ORDER BY id LIMIT greatest(3, demo.members() / 20)
)
RETURNING "Member".id AS key;
