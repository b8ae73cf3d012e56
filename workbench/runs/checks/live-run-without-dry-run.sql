-- title = "Dry runs before live runs"
-- guide = "§1.6"
-- symptom = "Premature execution"
-- severity = "warn"
-- question = "Was there a completed dry run of the same importer in the day before every live run? An incremental sync, which runs every night, needs one only once."
-- remedy = "Check the run's records (`workbench run RUN_ID`); next time, dry run first (§2.2)."

-- A dry run of two of the importers leaves only its report: without one nothing is known.
SELECT run AS key, importer, started, dry_started AS last_dry_run,
       CASE rehearsed WHEN 'none' THEN 'no dry run of this importer before it'
                      WHEN 'stale' THEN 'more than ' || dry_run_hours || ' h before it'
                      WHEN 'failed' THEN 'the dry run did not complete, or fetched too little'
                      ELSE 'the start of one of the two is not known' END AS why
FROM rehearsals JOIN runs USING (run), here
WHERE rehearsed <> 'fresh' AND (importer = 'guide' OR importer_reports)
  AND NOT (sync = 'incremental' AND EXISTS (
    SELECT FROM rehearsals JOIN runs USING (run) WHERE sync = 'incremental' AND rehearsed = 'fresh'))
-- unknown
SELECT 'A dry run of the API sync or the CSV importer leaves nothing but its report file or output, and none was given.'
       || ' Give them with --import-report.' AS why
FROM runs WHERE importer <> 'guide' AND NOT importer_reports LIMIT 1
