-- guide: §1.5
-- symptom: Events exceed capacity limits
-- checks: events-overbooked
-- events: 3
UPDATE "Event" e SET capacity = (
    SELECT count(*) - 2 FROM demo.registration r WHERE r."eventId" = e.id AND r.status = 'CONFIRMED'
)
FROM demo.victim v WHERE v.id = e.id RETURNING e.id AS key;
