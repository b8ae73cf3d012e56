-- title = "Event capacity against the organisation's limit"
-- guide = "§1.5"
-- symptom = "Events exceed capacity limits"
-- question = "Is every event's capacity within the organisation's limit?"
-- remedy = "Set the capacity to the limit, unless the event has an exception; then say so with a waiver."
-- without = ["events.title"]

SELECT id AS key, title, capacity FROM events, here WHERE capacity > capacity_limit
-- fix
SELECT 'events' AS "table", id AS key, 'capacity' AS "column", capacity_limit::text AS value,
       CASE WHEN taken > capacity_limit
            THEN taken || ' confirmed registrations do not fit the limit of ' || capacity_limit END AS doubt
FROM events, here,
     LATERAL (SELECT count(*) AS taken FROM registrations WHERE event_id = events.id AND status = 'CONFIRMED') AS seats
WHERE capacity > capacity_limit
