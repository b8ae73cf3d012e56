-- title = "Audit trail of operations"
-- guide = "§5.1"
-- symptom = "Every migration operation MUST create audit log entries"
-- question = "Did every run of the last two years log what its importer logs, and does every plan applied since have its entry?"
-- remedy = "An importer's entry that was never written cannot be written afterwards: keep its report file. One that the workbench wrote was taken out of the log: a snapshot or a backup has it."
-- without = ["runs", "applied_plans"]
-- either = [["runs"], ["applied_plans"]]

WITH missing AS (
  SELECT run AS key, 'CREATE, UPDATE' AS action, coalesce(ended, started) AS at,
         'its report counts ' || sum(run_counts.reported) || ' of them' AS why
  FROM runs JOIN run_counts USING (run)
  WHERE importer = 'api' AND audit_rows = 0 GROUP BY 1, 2, 3 HAVING sum(run_counts.reported) > 0
  UNION ALL
  SELECT run, 'migration:started', coalesce(ended, started), evidence FROM runs
  WHERE importer = 'guide' AND NOT EXISTS (
    SELECT FROM run_entries AS e WHERE e.run = runs.run AND e.action = 'migration:started')
  UNION ALL  -- One that only began is another check's finding: runs-ended.
  SELECT run, CASE status WHEN 'failed' THEN 'migration:failed' ELSE 'migration:completed' END,
         coalesce(ended, started), why
  FROM runs WHERE importer = 'guide' AND status IN ('completed', 'incomplete', 'failed') AND NOT EXISTS (
    SELECT FROM run_entries AS e WHERE e.run = runs.run AND e.action IN ('migration:completed', 'migration:failed'))
  UNION ALL
  SELECT plan, CASE kind WHEN 'rollback' THEN 'migration:rollback:level1' WHEN 'mapping' THEN 'migration:mapping:corrected'
                         ELSE 'migration:* for its ' || kind END, at, applied_by || ' applied it, says the journal'
  FROM applied_plans
  WHERE total > 0 AND digest NOT IN (
    SELECT metadata ->> 'digest' FROM audit
    WHERE metadata ->> 'source' = 'workbench' AND metadata ->> 'digest' IS NOT NULL)
)
-- Older entries may be gone: guide §5.3.
SELECT key, action, at, why FROM missing, here WHERE at IS NULL OR at >= now - interval '731 days'
