-- title = "Required facts in audit entries"
-- guide = "§5.1"
-- symptom = "Metadata Required"
-- question = "Does every migration entry, and every row the sync logged, carry the metadata it must?"
-- remedy = "The run can still be found by other evidence, but less surely: `workbench run RUN_ID` says how surely."

WITH required(action, facts) AS (VALUES
  ('migration:started', ARRAY['run_id', 'mode', 'operator']),
  ('migration:completed', ARRAY['run_id', 'counts', 'duration']),
  ('migration:failed', ARRAY['run_id', 'error', 'last_batch']),
  ('migration:rollback:level1', ARRAY['run_id', 'records_affected']),
  ('migration:rollback:level2', ARRAY['backup_file', 'restore_time']),
  ('migration:mapping:corrected', ARRAY['waId', 'oldMurmurantId', 'newMurmurantId']),
  ('migration:policy:corrected', ARRAY['rule', 'records_affected', 'rules_sha256']),
  ('migration:bundle:sealed', ARRAY['run_id', 'bundle', 'bundle_sha256', 'operator']),
  ('migration:dry-run:reviewed', ARRAY['run_id', 'dry_run', 'content_sha256', 'operator'])
)
SELECT id AS key, migration_action AS action, run_id AS run, lacks
FROM (
  SELECT *, CASE WHEN metadata ->> 'source' = 'wa_import' THEN nullif(concat_ws(', ',
      CASE WHEN coalesce(metadata ->> 'syncRunId', '') = '' THEN 'syncRunId' END,
      CASE WHEN coalesce(metadata ->> 'waId', '') = '' THEN 'waId' END,
      CASE WHEN coalesce(metadata ->> 'mode', '') = '' THEN 'mode' END), '')
    ELSE (SELECT string_agg(fact, ', ' ORDER BY place)
          FROM required, unnest(facts) WITH ORDINALITY AS wanted(fact, place)
          WHERE required.action = migration_action AND coalesce(metadata ->> fact, '') = '') END AS lacks
  FROM audit  -- a million entries of syncs, nearly all of them complete, are passed over at once
  WHERE (metadata ->> 'source' = 'wa_import' AND metadata ->> 'syncRunId' <> ''
         AND metadata ->> 'waId' <> '' AND metadata ->> 'mode' <> '') IS NOT TRUE
) AS entries
WHERE lacks IS NOT NULL
