-- title = "Uniqueness of events"
-- guide = "§1.4"
-- symptom = "Duplicate events"
-- question = "Is there one event for each title and start?"
-- remedy = "Keep the one with more registrations, move the others to it, and point the mapping at it (§4.4)."

WITH twins AS (
  SELECT lower(trim(title)) AS name, start, count(*) AS events FROM events GROUP BY 1, 2 HAVING count(*) > 1
)
SELECT id AS key, title, e.start, twins.events
FROM events e JOIN twins ON twins.name = lower(trim(e.title)) AND twins.start = e.start
