-- title = "Row counts against expectations"
-- guide = "§7.1"
-- symptom = "Counts match expectations"
-- question = "Are there as many members, events and registrations as there should be?"
-- remedy = "Find out which run brought or took the difference: `workbench runs`, `workbench run RUN_ID`."

SELECT name AS key, expected, found, found - expected AS difference
FROM expected_counts JOIN (
  SELECT 'members' AS name, count(*) AS found FROM members
  UNION ALL SELECT 'events', count(*) FROM events
  UNION ALL SELECT 'registrations', count(*) FROM registrations
) AS counted USING (name)
WHERE found <> expected
