-- guide: §7.1
-- symptom: No orphaned registrations
-- checks: registrations-orphaned
-- members: 1
-- events: 1
-- One registration without its member and one without its event, past any foreign key: triggers are off, and with
-- them the checks of keys.
SET LOCAL session_replication_role = replica;
INSERT INTO demo.registration (id, "eventId", "memberId", status, "registeredAt", "createdAt", "updatedAt")
SELECT demo.id('orphaned-registrations', place), e, m, 'CONFIRMED', demo.second_run(), demo.second_run(),
    demo.second_run()
FROM (
    SELECT CASE kind WHEN 'Event' THEN 0 ELSE 1 END AS place,
        CASE kind WHEN 'Event' THEN id ELSE demo.id('orphaned-registrations target', 1) END AS e,
        CASE kind WHEN 'Member' THEN id ELSE demo.id('orphaned-registrations target', 0) END AS m
    FROM demo.victim
) v;
SET LOCAL session_replication_role = origin;
SELECT demo.id('orphaned-registrations', n) AS key FROM generate_series(0, 1) n;
