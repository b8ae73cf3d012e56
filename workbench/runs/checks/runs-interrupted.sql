-- title = "Completion of import runs"
-- guide = "§1.1"
-- symptom = "Transaction rolled back mid-batch"
-- question = "Did every run reach its end and fetch what it should, by the evidence and not by its own word?"
-- remedy = "Where it fetched too little or its report warns, put that right first (credentials, filters). Then run the importer again, it skips what is done (§4.1 option A), or roll the run back and start afresh (option B)."
-- without = ["runs", "dry_runs"]
-- either = [["runs"], ["dry_runs"]]

SELECT run AS key, importer, status, why
FROM (SELECT * FROM runs UNION ALL SELECT * FROM dry_runs) AS every_run
WHERE NOT rolled_back
  AND (status IN ('interrupted', 'failed') AND NOT superseded OR status = 'incomplete' AND NOT made_up)
