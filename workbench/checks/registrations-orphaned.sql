-- title = "Members and events behind registrations"
-- guide = "§7.1"
-- symptom = "No orphaned registrations"
-- question = "Does every registration belong to a member and an event that exist?"
-- remedy = "Bring the member or event back from a snapshot, or remove the registration."

-- One scan with two joins; two NOT EXISTS as alternatives of one condition would be asked row by row.
SELECT r.id AS key, member_id AS member, event_id AS event
FROM registrations AS r LEFT JOIN members AS m ON m.id = r.member_id LEFT JOIN events AS e ON e.id = r.event_id
WHERE m.id IS NULL OR e.id IS NULL
