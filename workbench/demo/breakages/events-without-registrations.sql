-- guide: §1.1
-- symptom: Events imported but registrations failed
-- checks: events-without-registrations records-missing
-- events: 3
SELECT demo.erase(demo.entity('Registration'), array_agg(r.id::text))
FROM demo.registration r JOIN demo.victim v ON v.id = r."eventId";
SELECT id AS key FROM demo.victim;
