-- guide: §1.2
-- symptom: Event registrations on wrong event
-- checks: registrations-wrong-event events-wrong-record
-- The two events' mappings are exchanged, and some registrations of the one are on the other. The import's own listing
-- proves where they belong: it lists all in the guide's dialect, in the application's those without a mapping.
UPDATE demo.mapping
SET record = CASE record WHEN demo.id('Event', 0) THEN demo.id('Event', 1) ELSE demo.id('Event', 0) END
WHERE entity = 'Event' AND record IN (demo.id('Event', 0), demo.id('Event', 1));
UPDATE demo.registration SET "eventId" = demo.id('Event', 1) WHERE id IN (
    SELECT r.id FROM demo.registration r
    WHERE r."eventId" = demo.id('Event', 0) AND r.id <> demo.id('Registration', 0)
        AND NOT EXISTS (
            SELECT FROM demo.registration o WHERE o."eventId" = demo.id('Event', 1) AND o."memberId" = r."memberId"
        )
        AND (demo.csv_members() = demo.first_members() OR NOT EXISTS (SELECT FROM demo.mapping m WHERE m.record = r.id))
    ORDER BY r.id LIMIT 2
)
RETURNING id AS key, jsonb_build_object(id::text, demo.id('Event', 0)) AS "right", jsonb_build_object(
    'Event/' || demo.wa_id('Event', 0), demo.id('Event', 0),
    'Event/' || demo.wa_id('Event', 1), demo.id('Event', 1)) AS mappings;
