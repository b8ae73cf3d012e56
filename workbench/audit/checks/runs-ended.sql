-- title = "Start and end entries of runs"
-- guide = "§5.1"
-- symptom = "Import begins, and neither finishes nor errors"
-- question = "Did every run that started also log that it completed or failed?"
-- remedy = "Nothing says how far it came. `workbench run RUN_ID` shows what it did; then §4.1, re-run or roll back."

-- An importer whose other runs left their reports here has lost this one's for a reason.
WITH untold AS (
  SELECT run FROM runs
  WHERE NOT superseded AND status = 'unknown' AND (sync = 'incremental' OR NOT importer_reports)
)
SELECT run AS key, importer, last_trace, why FROM runs
WHERE NOT superseded AND run NOT IN (SELECT run FROM untold)
  AND (status = 'unknown' OR finished IS NULL AND status = 'interrupted')
-- unknown
SELECT 'Nothing says how ' || string_agg(run, ', ') || ' ended. Give their report files with --import-report;'
       || ' an incremental sync writes none, only its output tells.' AS why
FROM runs WHERE NOT superseded AND status = 'unknown' HAVING count(*) > 0
