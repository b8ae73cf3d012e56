-- title = "Members and events behind registrations"
-- guide = "§7.1"
-- symptom = "No orphaned registrations"
-- question = "Does every registration belong to a member and an event that exist?"
-- remedy = "Bring the member or event back from a snapshot, or remove the registration."

-- Two plain anti-joins; as alternatives of one condition they would be asked row by row.
SELECT id AS key, member_id AS member, event_id AS event
FROM registrations r WHERE NOT EXISTS (SELECT FROM members m WHERE m.id = r.member_id)
UNION
SELECT id, member_id, event_id
FROM registrations r WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = r.event_id)
