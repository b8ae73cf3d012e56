-- title = "Run reports against their traces"
-- guide = "§2.4"
-- symptom = "Count verification"
-- severity = "warn"
-- question = "Does every update that a run reports have a trace, and did no run create more than it reports?"
-- remedy = "Where traces are fewer, the audit log lost some, and what those updates changed is not known. Where there are more, the report is not the final one of this run: `workbench run RUN_ID`."

-- Only the API sync logs its updates; missing created records are another check's finding.
SELECT run AS key, entity, action, run_counts.reported, traced
FROM run_counts JOIN runs USING (run)
WHERE NOT rolled_back
  AND (action = 'updated' AND importer = 'api' AND run_counts.reported > traced
       OR action = 'created' AND traced > run_counts.reported)
-- unknown
SELECT 'No live run has a report here. Give the importer''s report files with --import-report.' AS why
WHERE NOT EXISTS (
  SELECT FROM run_counts JOIN runs USING (run) WHERE NOT rolled_back AND run_counts.reported IS NOT NULL)
