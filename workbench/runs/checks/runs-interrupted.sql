-- title = "Completion of import runs"
-- guide = "§1.1"
-- symptom = "Transaction rolled back mid-batch"
-- question = "Did every run complete and fetch what it should, by all evidence rather than its own report?"
-- remedy = "Where it fetched too little or its report warns, fix that first (credentials, filters). Then run the importer again, which skips what is done (§4.1 option A), or roll the run back and start over (option B)."
-- without = ["runs", "dry_runs"]
-- either = [["runs"], ["dry_runs"]]

SELECT run AS key, importer, status, why
FROM (SELECT * FROM runs UNION ALL SELECT * FROM dry_runs) AS every_run
WHERE NOT rolled_back
  AND (status IN ('interrupted', 'failed') AND NOT superseded OR status = 'incomplete' AND NOT made_up)
