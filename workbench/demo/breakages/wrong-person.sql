-- guide: §1.2
-- symptom: Member linked to wrong person
-- checks: members-wrong-person mappings-shared-target
-- members: 2
-- Alice's WA id points at Bob's record, to which Bob's own points too.
UPDATE demo.mapping m SET record = bob.id
FROM demo.victim alice, demo.victim bob
WHERE alice.place = 0 AND bob.place = 1 AND m.entity = 'Member' AND m.record = alice.id
RETURNING 'Member/' || alice.wa_id AS key, jsonb_build_object('Member/' || alice.wa_id, alice.id) AS "right";
