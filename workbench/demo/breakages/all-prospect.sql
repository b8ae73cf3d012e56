-- guide: §1.3
-- symptom: All members as PROSPECT
-- checks: tiers-all-the-same tiers-wrong
-- As an import without tier mapping does.
UPDATE "Member" SET "membershipTierId" = t.id FROM "MembershipTier" t WHERE t.code = 'PROSPECT';
SELECT 'PROSPECT' AS key;
