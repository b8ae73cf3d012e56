-- guide: §1.4
-- symptom: Duplicate events
-- checks: events-duplicate
-- events: 3
-- run: {"day": 7}
-- A later run creates events that the club has already, each with two guests of its own: of households, which no
-- breakage harms, and not registered for the original.
INSERT INTO demo.new_event
SELECT r.event + v.place, demo.id('Event', r.event + v.place), title, category, location, start_time, end_time,
    capacity, published, p.registration
FROM demo.run r, demo.victim v, demo.events(v.n, v.n + 1) p;
INSERT INTO demo.new_registration
SELECT r.registration + g.place, demo.id('Registration', r.registration + g.place), e.id, guest, 'CONFIRMED',
    e.start_time - interval '5 days'
FROM demo.run r CROSS JOIN demo.victim v JOIN demo.new_event e ON e.n = r.event + v.place, LATERAL (
    SELECT demo.id('Member', n) AS guest, 2 * v.place + row_number() OVER (ORDER BY n) - 1 AS place
    FROM generate_series(0, demo.first_members() - 1) n
    WHERE n % 20 < 2 AND NOT EXISTS (
        SELECT FROM demo.registration o WHERE o."eventId" = v.id AND o."memberId" = demo.id('Member', n)
    )
    ORDER BY n LIMIT 2
) g;
SELECT unnest(ARRAY[v.id, e.id]) AS key, jsonb_build_object(v.id::text, e.id) AS pairs
FROM demo.victim v CROSS JOIN demo.run r JOIN demo.new_event e ON e.n = r.event + v.place;
