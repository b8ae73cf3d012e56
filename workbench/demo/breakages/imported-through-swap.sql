-- guide: §1.2
-- symptom: Member linked to wrong person
-- checks: members-wrong-person
-- members: 2
-- run: {"day": 10}
-- Two members' WA ids point at each other's record, and a later run brings a registration of each: to the other.
INSERT INTO demo.met (entity, action, n, id, wa_id, changes, source)
SELECT 'Member', 'update', v.n, other.id, v.wa_id, '{}', v.id
FROM demo.victim v JOIN demo.victim other ON other.id <> v.id;
INSERT INTO demo.new_event SELECT e.* FROM demo.run, demo.events(event, event + 2) e;
INSERT INTO demo.new_registration
SELECT registration + v.place, demo.id('Registration', registration + v.place), demo.id('Event', r.event + v.place),
    other.id, 'CONFIRMED', started - interval '8 hours'
FROM demo.run r, demo.victim v JOIN demo.victim other ON other.id <> v.id;
SELECT key, "right", jsonb_build_object(b.id::text, b.member) AS registrations FROM demo.rotate()
JOIN demo.victim v ON key = 'Member/' || v.wa_id
JOIN LATERAL (SELECT demo.id('Registration', registration + v.place) AS id, v.id AS member FROM demo.run) b ON true;
