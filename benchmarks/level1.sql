-- The guide's Level 1 (§3), with this schema's names and nothing else changed: registrations and events by the
-- tag the guide asks for on records, because the data set has mappings for members only; members through their
-- mappings, as the guide has it. The audit entry is the guide's, in the form the application's enum can hold.
-- Run by psql as one transaction: -1 -v ON_ERROR_STOP=1 -v run=RUN_ID.

-- 2. Delete registrations from this run
DELETE FROM "EventRegistration"
WHERE "importRunId" = :'run';

-- 3. Delete events from this run
DELETE FROM "Event"
WHERE "importRunId" = :'run';

-- 4. Delete members from this run
DELETE FROM "Member" m
USING "WaIdMapping" wm
WHERE wm."clubosId" = m.id
  AND wm."entityType" = 'Member'
  AND wm."syncRunId" = :'run';

-- 5. Clear the mappings
DELETE FROM "WaIdMapping"
WHERE "syncRunId" = :'run';

-- 6. Log the rollback
INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata)
VALUES (gen_random_uuid(), 'UNDO', 'ImportRun', gen_random_uuid(),
        jsonb_build_object('migrationAction', 'migration:rollback:level1', 'run_id', :'run'));
