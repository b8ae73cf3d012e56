-- Mappings that lead to no record, and records to which no mapping leads: one full join per entity finds both.
-- key, target, why: of such a mapping; entity, record, run: of such a record.

WITH unlinked AS MATERIALIZED (
  SELECT m.entity_type, m.wa_id, m.target, 'Member' AS entity, r.id AS record, r.run_id
  FROM (SELECT * FROM mappings WHERE spelled = 'Member') AS m FULL JOIN members AS r ON r.id = m.target
  WHERE r.id IS NULL OR m.entity_type IS NULL
  UNION ALL
  SELECT m.entity_type, m.wa_id, m.target, 'Event', r.id, r.run_id
  FROM (SELECT * FROM mappings WHERE spelled = 'Event') AS m FULL JOIN events AS r ON r.id = m.target
  WHERE r.id IS NULL OR m.entity_type IS NULL
  UNION ALL
  SELECT m.entity_type, m.wa_id, m.target, 'Registration', r.id, r.run_id
  FROM (SELECT * FROM mappings WHERE spelled IN ('Registration', 'EventRegistration')) AS m
  FULL JOIN registrations AS r ON r.id = m.target
  WHERE r.id IS NULL OR m.entity_type IS NULL
  UNION ALL
  SELECT entity_type, wa_id, target, NULL, NULL, NULL FROM mappings
  WHERE spelled IS NULL OR spelled NOT IN ('Member', 'Event', 'Registration', 'EventRegistration')
)
SELECT coalesce(entity_type, '') || '/' || coalesce(wa_id, '') AS key, target::text AS target, entity, record::text AS record,
       coalesce(run_id, '') AS run,
       CASE WHEN record IS NOT NULL THEN ''
            WHEN entity IS NULL THEN 'unknown entity type'
            WHEN EXISTS (SELECT FROM members WHERE id = target) THEN 'the id of another entity: Member'
            WHEN EXISTS (SELECT FROM events WHERE id = target) THEN 'the id of another entity: Event'
            WHEN EXISTS (SELECT FROM registrations WHERE id = target) THEN 'the id of another entity: Registration'
            ELSE 'no such record' END AS why
FROM unlinked
