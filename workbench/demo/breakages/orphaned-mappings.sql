-- guide: §2.4
-- symptom: No orphaned mappings
-- checks: mappings-orphaned
-- A mapping of each entity, whose record is not there.
INSERT INTO demo.mapping (id, entity, wa_id, record, "syncedAt", "updatedAt")
SELECT demo.id('orphaned-mappings', n), demo.entity(entity), demo.wa_id(entity, total + 950),
    demo.id('orphaned-mappings target', n), demo.second_run(), demo.second_run()
FROM (
    VALUES (0, 'Member', demo.members()), (1, 'Event', demo.all_events()), (2, 'Registration', demo.registrations())
) AS e (n, entity, total)
RETURNING replace(entity, 'EventReg', 'Reg') || '/' || wa_id AS key;
