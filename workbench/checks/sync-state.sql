-- title = "Sync state against the data"
-- guide = "§7.3"
-- symptom = "Sync state needs attention after Level 2"
-- question = "Is the last sync that the state remembers one that the data have, and would the next one fetch what is gone?"
-- remedy = "An incremental sync would not fetch what is missing. Empty the sync state (`workbench plan sync-state`) and run a full sync: only that fetches everything (§7.3)."
-- without = ["runs", "mappings", "events", "sync_state.last_incremental_sync", "sync_state.last_contact_sync", "sync_state.last_event_sync", "sync_state.last_registration_sync"]

WITH newest AS (SELECT greatest(as_of, (SELECT max(synced_at) FROM mappings)) AS newest FROM here),
-- Whether even an incremental sync on a quiet day writes something: it refreshes the mappings of recent events.
leaving AS (
  SELECT EXISTS (SELECT FROM columns_here WHERE name = 'sync_state.last_event_sync')
     AND EXISTS (SELECT FROM mappings JOIN events ON events.id = target
                 WHERE spelled = 'Event' AND start > newest - interval '365 days') AS traces
  FROM newest
),
marks AS (
  SELECT id::text AS key, moment, spelling, at, moment LIKE 'last_full%' OR moment LIKE 'last_inc%' AS ends,
         max(at) FILTER (WHERE moment LIKE 'last_full%' OR moment LIKE 'last_inc%') OVER state AS ended,
         -- What an incremental sync goes by; where it is not kept, by the last end of all.
         CASE WHEN EXISTS (SELECT FROM columns_here WHERE name = 'sync_state.last_contact_sync')
              THEN moment = 'last_contact_sync' ELSE at = max(at) OVER state END AS watermark
  FROM sync_state, LATERAL (VALUES
    ('last_full_sync', last_full_sync), ('last_incremental_sync', last_incremental_sync),
    ('last_contact_sync', last_contact_sync), ('last_event_sync', last_event_sync),
    ('last_registration_sync', last_registration_sync)) AS moments(moment, at)
  JOIN columns_here ON name = 'sync_state.' || moment
  WHERE at IS NOT NULL
  WINDOW state AS (PARTITION BY id)
),
-- Rolled back, and no full sync has fetched its records again.
undone AS (
  SELECT run, started FROM runs AS r
  WHERE rolled_back AND importer <> 'csv' AND NOT EXISTS (
    SELECT FROM runs AS again
    WHERE again.status = 'completed' AND again.importer <> 'csv' AND again.sync <> 'incremental'
      AND again.started > coalesce(r.rolled_back_at, r.started))
),
doubts AS (
  SELECT key, spelling, at, 1 AS grade, 'nothing was written by a sync at that time' AS why
  FROM marks, newest, leaving
  WHERE at > newest + interval '1 hour' AND (traces OR moment = 'last_full_sync')
  UNION ALL
  SELECT key, spelling, at, 2, 'no end of a sync goes with it: the state was emptied only in part'
  FROM marks WHERE NOT ends AND (ended IS NULL OR at > ended + interval '1 hour')
  UNION ALL
  SELECT key, spelling, at, 3, run || ' was rolled back, and no full sync has fetched its records again'
  FROM marks JOIN undone ON at > started WHERE watermark
)
SELECT key, string_agg(DISTINCT spelling, ', ') AS moment, max(at) AS says, newest AS newest_data, why
FROM (SELECT *, rank() OVER (PARTITION BY key ORDER BY grade) AS first FROM doubts) AS graded, newest
WHERE first = 1 AND newest IS NOT NULL GROUP BY key, newest, why
-- unknown
SELECT 'There is no run and no mapping to compare the sync state with.' AS why
FROM here WHERE as_of IS NULL AND NOT EXISTS (SELECT FROM mappings WHERE synced_at IS NOT NULL)
