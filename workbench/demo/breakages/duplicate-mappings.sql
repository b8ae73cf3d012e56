-- guide: §1.2
-- symptom: Duplicate mappings
-- checks: mappings-duplicate
-- members: 1
-- One WA id is mapped twice.

-- Only in the guide
INSERT INTO "WaIdMapping"
SELECT (jsonb_populate_record(m, jsonb_build_object('id', demo.id('duplicate-mappings', 0)))).*
FROM "WaIdMapping" m JOIN demo.victim v ON v.id = m."murmurantId"
RETURNING 'Member/' || "waId" AS key;

-- Only in the application
-- Entity type and WA id are unique together; the second mapping spells the entity type as the guide does.
INSERT INTO "WaIdMapping"
SELECT (jsonb_populate_record(m, jsonb_build_object(
    'id', demo.id('duplicate-mappings', 0), 'entityType', 'Registration'))).*
FROM "WaIdMapping" m WHERE "clubosId" = demo.id('Registration', 0)
RETURNING 'Registration/' || "waId" AS key;
