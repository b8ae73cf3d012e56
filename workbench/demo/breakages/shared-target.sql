-- guide: §1.2
-- symptom: Duplicate mappings
-- checks: mappings-shared-target members-wrong-person
-- members: 1
-- A second WA id is mapped to a member, as the sync does with a contact whose e-mail it knows.
INSERT INTO "WaIdMapping"
SELECT (jsonb_populate_record(m, jsonb_build_object(
    'id', demo.id('shared-target', 0), 'waId', demo.wa_id('Member', demo.members() + 900)))).*
FROM "WaIdMapping" m JOIN demo.mapping d ON d.id = m.id JOIN demo.victim v ON v.id = d.record;
SELECT 'Member/' || d.wa_id AS key FROM demo.mapping d JOIN demo.victim v ON v.id = d.record;
