-- title = "Join dates of imported members"
-- guide = "§1.5"
-- symptom = "Source data not validated against Murmurant policies"
-- severity = "warn"
-- question = "Did any imported member join at the very moment of an import? The importers write that where Wild Apricot has no date."
-- remedy = "Look the date up in Wild Apricot (Member since) and set it in the application, or enter it there and import again."
-- without = ["members.created_at", "members.updated_at", "members.run_id", "mappings", "audit"]

WITH evidence AS (
  -- Whether an import created a member, and whether one knows it: by its tag, audit rows, reports, mappings.
  SELECT id, joined_at, created_at, updated_at, made,
         made OR EXISTS (SELECT FROM mappings WHERE entity_type = 'Member' AND target = m.id)
              OR id::text IN (SELECT record_id FROM reported WHERE entity = 'Member') AS known,
         (SELECT min(run) FROM runs WHERE joined_at BETWEEN started - interval '1 s' AND ended + interval '1 s') AS run
  FROM (
    SELECT *, run_id IS NOT NULL
           OR EXISTS (SELECT FROM audit WHERE resource_type = 'Member' AND resource_id = members.id
                      AND action = 'CREATE' AND audit.run_id IS NOT NULL)
           OR id::text IN (SELECT record_id FROM reported WHERE entity = 'Member' AND reported_as = 'created') AS made
    FROM members
  ) AS m
), near AS (
  SELECT id AS key, joined_at, created_at, run,
         -- A member created at that moment may have joined in the application, unless an import created them.
         run IS NOT NULL AND CASE WHEN joined_at BETWEEN created_at - interval '10 s' AND created_at + interval '10 s'
                                  THEN made ELSE known END AS by_run,
         count(*) OVER (PARTITION BY date_trunc('minute', joined_at)) AS nearby
  FROM evidence
  WHERE run IS NOT NULL
     -- An import without a trace shows by its writes: several members in a minute, each joining as it is written.
     OR (joined_at BETWEEN updated_at - interval '1 s' AND updated_at + interval '1 s' AND known)
)
SELECT key, joined_at, created_at, run FROM near WHERE by_run OR nearby >= 3
