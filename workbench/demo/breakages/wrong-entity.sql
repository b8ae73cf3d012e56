-- guide: §1.2
-- symptom: Member linked to wrong person
-- checks: mappings-orphaned mappings-shared-target
-- A contact is mapped onto an event: no member has this id.
INSERT INTO demo.mapping (id, entity, wa_id, record, "syncedAt", "updatedAt") VALUES (
    demo.id('wrong-entity', 0), 'Member', demo.wa_id('Member', demo.members() + 960), demo.id('Event', 2),
    demo.second_run(), demo.second_run())
RETURNING 'Member/' || wa_id AS key;
