-- guide: §5.1
-- symptom: Metadata Required
-- checks: audit-metadata
-- run: {"day": 5}

-- After the run

-- Only in the guide
UPDATE "AuditLog" SET metadata = metadata
    - CASE action WHEN 'migration:started' THEN '{operator}' ELSE '{counts,duration}' END::text[]
WHERE metadata->>'run_id' = (SELECT run FROM demo.run) RETURNING id AS key;

-- Only in the application
UPDATE "AuditLog" a SET metadata = metadata - CASE place WHEN 1 THEN 'waId' ELSE 'mode' END
FROM (
    SELECT id, row_number() OVER (ORDER BY "resourceType" DESC, id) AS place FROM "AuditLog"
    WHERE metadata->>'syncRunId' = (SELECT run FROM demo.run)
) AS first
WHERE first.id = a.id AND place <= 2 RETURNING a.id AS key;
