-- guide: §1.5
-- symptom: Events exceed capacity limits
-- checks: events-over-capacity-limit
-- events: 3
-- Five times the capacity that the organisation allows.
UPDATE "Event" e SET capacity = 500 FROM demo.victim v WHERE v.id = e.id RETURNING e.id AS key;
