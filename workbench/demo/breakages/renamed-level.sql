-- guide: §1.3
-- symptom: WA membership level name changed
-- checks: tiers-unmapped-level
-- A level has another name than the importer's configuration knows, as if renamed in Wild Apricot.
UPDATE "Member" SET "waMembershipLevelRaw" = '3rd Year' WHERE "waMembershipLevelRaw" = 'Third Year';
SELECT '3rd Year' AS key;
