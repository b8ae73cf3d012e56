-- title = "Records behind mappings"
-- guide = "§7.1"
-- symptom = "No orphaned mappings"
-- question = "Does every mapping lead to a record that exists?"
-- remedy = "Something deleted the records and left the mappings: the next sync will skip these people. Remove the mappings, or bring the records back from a snapshot."

SELECT coalesce(entity_type, '') || '/' || wa_id AS key, target,
       CASE WHEN entity_type IS NULL OR entity_type NOT IN ('Member', 'Event', 'Registration') THEN 'unknown entity type'
            WHEN EXISTS (SELECT FROM members WHERE id = target) THEN 'the id of another entity: Member'
            WHEN EXISTS (SELECT FROM events WHERE id = target) THEN 'the id of another entity: Event'
            WHEN EXISTS (SELECT FROM registrations WHERE id = target) THEN 'the id of another entity: Registration'
            ELSE 'no such record' END AS why
FROM (
  SELECT entity_type, wa_id, target, m.id AS member, e.id AS event, r.id AS registration
  FROM mappings LEFT JOIN members m ON m.id = target LEFT JOIN events e ON e.id = target
  LEFT JOIN registrations r ON r.id = target
) AS led
WHERE CASE entity_type WHEN 'Member' THEN member WHEN 'Event' THEN event WHEN 'Registration' THEN registration END IS NULL
