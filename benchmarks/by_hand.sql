-- The questions of the checks as an operator would write them by hand, one statement each, after the
-- guide where the guide has one. Application dialect. Each is sent by a psql of its own.
-- members-missing, records-missing
SELECT a.metadata->>'syncRunId', count(*) FROM "AuditLog" a LEFT JOIN "Member" m ON m.id = a."resourceId" WHERE a.action = 'CREATE' AND a."resourceType" = 'Member' AND a.metadata->>'syncRunId' IS NOT NULL AND m.id IS NULL GROUP BY 1;
SELECT a.metadata->>'syncRunId', count(*) FROM "AuditLog" a LEFT JOIN "Event" m ON m.id = a."resourceId" WHERE a.action = 'CREATE' AND a."resourceType" = 'Event' AND a.metadata->>'syncRunId' IS NOT NULL AND m.id IS NULL GROUP BY 1;
SELECT a.metadata->>'syncRunId', count(*) FROM "AuditLog" a LEFT JOIN "EventRegistration" m ON m.id = a."resourceId" WHERE a.action = 'CREATE' AND a."resourceType" = 'EventRegistration' AND a.metadata->>'syncRunId' IS NOT NULL AND m.id IS NULL GROUP BY 1;
-- events-without-registrations
SELECT e.id, e.title FROM "Event" e LEFT JOIN "EventRegistration" r ON r."eventId" = e.id WHERE e."startTime" < '2026-06-01' AND e."isPublished" AND e."requiresRegistration" AND r.id IS NULL;
-- runs, runs-interrupted, runs-ended
SELECT metadata->>'syncRunId' AS run, action, "resourceType", count(*), min("createdAt"), max("createdAt") FROM "AuditLog" WHERE metadata->>'source' = 'wa_import' GROUP BY 1, 2, 3;
-- members-wrong-person
SELECT w."waId", w."clubosId" FROM "WaIdMapping" w JOIN "AuditLog" a ON a."resourceType" = 'Member' AND a.action = 'CREATE' AND a.metadata->>'waId' = w."waId"::text JOIN "Member" m ON m.id = a."resourceId" WHERE w."entityType" = 'Member' AND a."resourceId" <> w."clubosId";
SELECT w."waId", w."clubosId" FROM "WaIdMapping" w JOIN "Member" m ON m.id = w."clubosId" WHERE w."entityType" = 'Member' AND m."waRawData"->>'waContactId' <> w."waId"::text;
-- events-wrong-record
SELECT w."waId", w."clubosId" FROM "WaIdMapping" w JOIN "AuditLog" a ON a."resourceType" = 'Event' AND a.action = 'CREATE' AND a.metadata->>'waId' = w."waId"::text WHERE w."entityType" = 'Event' AND a."resourceId" <> w."clubosId";
-- mappings-duplicate
SELECT "entityType", "waId", count(*) FROM "WaIdMapping" GROUP BY 1, 2 HAVING count(*) > 1;
-- mappings-shared-target
SELECT "entityType", "clubosId", count(*) FROM "WaIdMapping" GROUP BY 1, 2 HAVING count(*) > 1;
-- tiers-all-the-same
SELECT mt.code, count(*) FROM "Member" m JOIN "MembershipTier" mt ON m."membershipTierId" = mt.id GROUP BY mt.code;
SELECT ms.code, count(*) FROM "Member" m JOIN "MembershipStatus" ms ON m."membershipStatusId" = ms.id GROUP BY ms.code;
-- tiers-wrong, tiers-unmapped-level
SELECT m."waMembershipLevelRaw", mt.code, count(*) FROM "Member" m JOIN "MembershipTier" mt ON m."membershipTierId" = mt.id GROUP BY 1, 2;
-- tiers-missing
SELECT m.id FROM "Member" m LEFT JOIN "MembershipTier" t ON t.id = m."membershipTierId" WHERE t.id IS NULL;
-- members-duplicate-email
SELECT regexp_replace(split_part(lower(trim(email)), '@', 1), '\+.*$|\.', '', 'g') || '@' || split_part(lower(trim(email)), '@', 2) AS address, array_agg(id), count(*) FROM "Member" GROUP BY 1 HAVING count(*) > 1;
-- events-duplicate
SELECT lower(trim(title)), "startTime", array_agg(id), count(*) FROM "Event" GROUP BY 1, 2 HAVING count(*) > 1;
-- registrations-split
WITH twins AS (SELECT regexp_replace(split_part(lower(trim(email)), '@', 1), '\+.*$|\.', '', 'g') || '@' || split_part(lower(trim(email)), '@', 2) AS address, array_agg(id) AS ids FROM "Member" GROUP BY 1 HAVING count(*) > 1) SELECT t.address, r."eventId", count(*) FROM twins t JOIN "EventRegistration" r ON r."memberId" = ANY(t.ids) GROUP BY 1, 2 HAVING count(*) > 1;
-- registrations-duplicate
SELECT "eventId", "memberId", count(*) FROM "EventRegistration" GROUP BY 1, 2 HAVING count(*) > 1;
-- events-over-capacity-limit
SELECT id, title, capacity FROM "Event" WHERE capacity > 100;
-- events-overbooked
SELECT e.id, e.capacity, count(*) FROM "Event" e JOIN "EventRegistration" r ON r."eventId" = e.id WHERE r.status = 'CONFIRMED' GROUP BY e.id HAVING count(*) > e.capacity;
-- events-invalid-dates
SELECT id FROM "Event" WHERE "endTime" < "startTime";
-- members-visibility
SELECT m.id FROM "Member" m JOIN "FileObject" f ON f.id = m."profilePhotoId" WHERE f."isPublic" AND EXISTS (SELECT 1 FROM "FileAccess" a WHERE a."fileId" = f.id);
-- audit-metadata
SELECT id FROM "AuditLog" WHERE metadata->>'source' = 'wa_import' AND (metadata->>'syncRunId' IS NULL OR metadata->>'waId' IS NULL OR metadata->>'mode' IS NULL);
-- mappings-orphaned
SELECT count(*) FROM "WaIdMapping" wm LEFT JOIN "Member" m ON wm."clubosId" = m.id AND wm."entityType" = 'Member' WHERE m.id IS NULL AND wm."entityType" = 'Member';
SELECT count(*) FROM "WaIdMapping" wm LEFT JOIN "Event" m ON wm."clubosId" = m.id AND wm."entityType" = 'Event' WHERE m.id IS NULL AND wm."entityType" = 'Event';
SELECT count(*) FROM "WaIdMapping" wm LEFT JOIN "EventRegistration" m ON wm."clubosId" = m.id AND wm."entityType" = 'EventRegistration' WHERE m.id IS NULL AND wm."entityType" = 'EventRegistration';
-- registrations-orphaned
SELECT count(*) FROM "EventRegistration" r LEFT JOIN "Member" m ON r."memberId" = m.id WHERE m.id IS NULL;
SELECT count(*) FROM "EventRegistration" r LEFT JOIN "Event" e ON r."eventId" = e.id WHERE e.id IS NULL;
-- sync-state
SELECT s.id FROM "WaSyncState" s WHERE s."lastFullSync" > (SELECT max("syncedAt") FROM "WaIdMapping") + interval '1 hour';
-- counts
SELECT (SELECT count(*) FROM "Member"), (SELECT count(*) FROM "Event"), (SELECT count(*) FROM "EventRegistration"), (SELECT count(*) FROM "WaIdMapping");
