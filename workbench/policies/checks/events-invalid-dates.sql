-- title = "Start and end of events"
-- guide = "§1.5"
-- symptom = "Invalid date ranges"
-- question = "Does every event end after it starts?"
-- remedy = "Look the times up in the source; when the two were swapped, swap them back."
-- without = ["events.title"]

SELECT id AS key, title, start, "end" FROM events WHERE "end" < start
-- fix
SELECT 'events' AS "table", id AS key, v."column", v.value
FROM events, LATERAL (VALUES ('start', "end"::text), ('end', start::text)) AS v("column", value)
WHERE "end" < start
