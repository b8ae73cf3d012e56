-- title = "Members and events behind registrations"
-- guide = "§7.1"
-- symptom = "No orphaned registrations"
-- question = "Does every registration belong to a member and an event that exist?"
-- remedy = "Bring the member or event back from a snapshot, or remove the registration."

-- Two plain anti-joins; as alternatives of one condition they would be asked row by row.
SELECT r.id AS key, r.member_id AS member, r.event_id AS event
FROM registrations r
JOIN (SELECT id FROM registrations o WHERE NOT EXISTS (SELECT FROM members m WHERE m.id = o.member_id)
      UNION SELECT id FROM registrations o WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = o.event_id)) AS orphans
  ON orphans.id = r.id
