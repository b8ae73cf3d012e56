-- title = "Records behind mappings"
-- guide = "§7.1"
-- symptom = "No orphaned mappings"
-- question = "Does every mapping lead to a record that exists?"
-- remedy = "Something deleted the records and left the mappings, so the next sync skips these people. Remove the mappings, or restore the records from a snapshot."

SELECT coalesce(entity_type, '') || '/' || wa_id AS key, target,
       CASE WHEN entity_type IS NULL OR entity_type NOT IN ('Member', 'Event', 'Registration') THEN 'unknown entity type'
            WHEN EXISTS (SELECT FROM members WHERE id = target) THEN 'the id of another entity: Member'
            WHEN EXISTS (SELECT FROM events WHERE id = target) THEN 'the id of another entity: Event'
            WHEN EXISTS (SELECT FROM registrations WHERE id = target) THEN 'the id of another entity: Registration'
            ELSE 'no such record' END AS why
FROM (
  SELECT entity_type, wa_id, target FROM mappings
  WHERE spelled = 'Registration' AND NOT EXISTS (SELECT FROM registrations WHERE id = target)
  UNION ALL
  SELECT entity_type, wa_id, target FROM mappings
  WHERE spelled = 'EventRegistration' AND NOT EXISTS (SELECT FROM registrations WHERE id = target)
  UNION ALL
  SELECT entity_type, wa_id, target FROM mappings
  WHERE spelled = 'Member' AND NOT EXISTS (SELECT FROM members WHERE id = target)
  UNION ALL
  SELECT entity_type, wa_id, target FROM mappings
  WHERE spelled = 'Event' AND NOT EXISTS (SELECT FROM events WHERE id = target)
  UNION ALL
  SELECT entity_type, wa_id, target FROM mappings
  WHERE spelled IS NULL OR spelled NOT IN ('Member', 'Event', 'Registration', 'EventRegistration')
) AS astray
