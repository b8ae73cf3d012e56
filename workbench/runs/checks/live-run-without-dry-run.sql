-- title = "Dry runs before live runs"
-- guide = "§1.6"
-- symptom = "Premature execution"
-- severity = "warn"
-- question = "Was there a dry run of the same importer, to its end, in the day before every live run? An incremental sync, which runs every night, is rehearsed once."
-- remedy = "What is done is done: check the run's records (`workbench run RUN_ID`); next time, dry run first (§2.2)."

-- Of two importers a dry run leaves nothing but its report: without any of that importer nothing is known.
SELECT run AS key, importer, started, dry_started AS last_dry_run,
       CASE rehearsed WHEN 'none' THEN 'no dry run of this importer before it'
                      WHEN 'stale' THEN 'more than ' || dry_run_hours || ' h before it'
                      WHEN 'failed' THEN 'the dry run did not come to its end, or fetched too little'
                      ELSE 'nothing tells when one of the two started' END AS why
FROM rehearsals JOIN runs USING (run), here
WHERE rehearsed <> 'fresh' AND (importer = 'guide' OR importer_reports)
  AND NOT (sync = 'incremental' AND EXISTS (
    SELECT FROM rehearsals JOIN runs USING (run) WHERE sync = 'incremental' AND rehearsed = 'fresh'))
-- unknown
SELECT 'A dry run of the API sync or the CSV importer leaves nothing but its report file or output, and none was given.'
       || ' Give them with --import-report.' AS why
FROM runs WHERE importer <> 'guide' AND NOT importer_reports LIMIT 1
