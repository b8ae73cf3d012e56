-- title = "Events that last longer than is plausible"
-- guide = "§1.5"
-- severity = "warn"
-- question = "Does every event last no longer than is plausible?"
-- remedy = "Look the times up in the source: a wrong year or month is the usual reason."

SELECT id AS key, title, start, "end" FROM events WHERE "end" - start > interval '31 days'
