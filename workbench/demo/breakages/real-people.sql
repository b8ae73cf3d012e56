-- guide: §1.6
-- symptom: Wrong environment targeted
-- checks: real-people-in-demo
-- Members, by nobody's import, whose addresses look like those of real people: a domain as people have them, though
-- nobody can have this one, for no top-level domain is called so. Prospects, so that a club whose tiers all became one
-- stays one.
CALL demo.clear();
INSERT INTO demo.run (started) VALUES (demo.anchor() - interval '1 hour');
INSERT INTO demo.new_member
SELECT n, id, given, family, split_part(email, '@', 1) || '@post.zzclub', phone, joined, 'Prospect', status, private,
    NULL, started
FROM demo.run, demo.people(demo.members() + 900, demo.members() + 903);
CALL demo.write_rows();
SELECT 'post.zzclub' AS key;
