-- guide: §7.3
-- symptom: Sync state needs attention
-- checks: sync-state
-- The sync state tells of a sync later than any there was.
UPDATE "WaSyncState" SET "lastFullSync" = demo.anchor() + interval '9 days' RETURNING id AS key;
