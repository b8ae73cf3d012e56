-- guide: §1.5
-- symptom: Invalid date ranges
-- checks: events-invalid-dates
-- events: 3
UPDATE "Event" e SET "endTime" = "startTime" - interval '1 day'
FROM demo.victim v WHERE v.id = e.id RETURNING e.id AS key;
