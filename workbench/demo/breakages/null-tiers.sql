-- guide: §1.3
-- symptom: Null tiers
-- checks: tiers-missing
-- members: 3
-- Without foreign keys, one of them points at a tier that is not there.
UPDATE "Member" m
SET "membershipTierId" = CASE
    WHEN place = 2 AND NOT EXISTS (SELECT FROM demo.referring WHERE parent = 'MembershipTier')
    THEN demo.id('null-tiers', 0)
END
FROM demo.victim v WHERE v.id = m.id RETURNING m.id AS key;
