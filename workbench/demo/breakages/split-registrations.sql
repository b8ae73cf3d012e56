-- guide: §1.4
-- symptom: Split registrations
-- checks: registrations-split members-duplicate-email
-- events: 1
-- run: {"day": 8}
-- A later run creates a guest of some event anew, and registers the copy for the same event: somebody the first run
-- brought, confirmed for the event, and no other breakage's.
INSERT INTO demo.new_member
SELECT r.member, demo.id('Member', r.member), given, family, demo.respelt(email, 2), phone, joined, level,
    status, private
FROM demo.run r, demo.victim v, LATERAL (
    SELECT n FROM generate_series(5, demo.first_members() - 1) n
    JOIN demo.registration g ON g."memberId" = demo.id('Member', n) AND g."eventId" = v.id AND g.status = 'CONFIRMED'
    WHERE demo.id('Member', n) NOT IN (SELECT id FROM demo.allotted) ORDER BY n LIMIT 1
) guest, demo.people(guest.n, guest.n + 1) p;
INSERT INTO demo.new_registration
SELECT registration, demo.id('Registration', registration), e.id, demo.id('Member', r.member), 'CONFIRMED',
    least(e."startTime", started) - interval '4 days'
FROM demo.run r, demo.victim v JOIN "Event" e ON e.id = v.id;
SELECT unnest(ARRAY[g.id, r.id]) AS key, jsonb_build_object(m.id::text, twin.id) AS pairs
FROM demo.new_registration r JOIN demo.new_member twin ON twin.id = r.member
JOIN "Member" m ON demo.respelt(m.email, 2) = twin.email
JOIN demo.registration g ON g."memberId" = m.id AND g."eventId" = r.event;
