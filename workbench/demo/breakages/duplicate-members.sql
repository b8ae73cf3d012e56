-- guide: §1.4
-- symptom: Member appears twice in list
-- checks: members-duplicate-email
-- members: 3
-- run: {"day": 6}
-- A later run creates members whom the club has already.
INSERT INTO demo.new_member
SELECT r.member + v.place, demo.id('Member', r.member + v.place), given, family, demo.respelt(email, v.place), phone,
    joined, level, status, private
FROM demo.run r, demo.victim v, demo.people(v.n, v.n + 1) p;
SELECT unnest(ARRAY[v.id, m.id]) AS key, jsonb_build_object(v.id::text, m.id) AS pairs
FROM demo.victim v CROSS JOIN demo.run r JOIN demo.new_member m ON m.n = r.member + v.place;
