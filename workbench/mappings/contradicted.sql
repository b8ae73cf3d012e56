-- Which mappings of an entity contradict the traces of their creation (guide §1.2). Each kind of evidence is a plain join.
-- spelled: the entity's spellings in mappings; rolled_back: runs that do not count; born, became: ids and the records that
-- reports created for them; reported, names, others: what reports and exports call an id; placed, members, events: where
-- registrations belong.

WITH mapped AS NOT MATERIALIZED (
  SELECT id::text AS mapping, wa_id, target FROM mappings WHERE spelled = ANY (%(spelled)s::text[])
), records AS NOT MATERIALIZED (
  SELECT 'Member' AS entity, id, first_name, last_name, email, NULL AS title, NULL::timestamp AS start,
         first_name || ' ' || last_name AS name, email AS other, wa_raw ->> 'waContactId' AS contact,
         NULL AS member, NULL AS event
  FROM members
  UNION ALL
  SELECT 'Event', id, NULL, NULL, NULL, title, start, title, to_char(start, 'YYYY-MM-DD HH24:MI'), NULL, NULL, NULL
  FROM events
  UNION ALL
  SELECT 'Registration', id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, member_id::text, event_id::text
  FROM registrations
), record_of AS NOT MATERIALIZED (
  SELECT * FROM records WHERE entity = %(entity)s
), born AS (
  SELECT metadata ->> 'waId' AS wa_id, resource_id::text AS record, 'its audit row created another record' AS evidence
  FROM audit
  WHERE spelled = 'CREATE' AND spelled_type = ANY (%(spelled)s::text[]) AND coalesce(run_id, '') <> ALL (%(rolled_back)s::text[])
  UNION ALL
  SELECT wa_id, record, 'its report created another record'
  FROM unnest(%(born)s::text[], %(became)s::text[]) AS created(wa_id, record)
), against AS (
  SELECT mapped.*, evidence FROM mapped JOIN born USING (wa_id) JOIN record_of ON record_of.id::text = record
  WHERE record <> target::text
  UNION
  SELECT mapped.*, 'its raw data name another contact' FROM mapped JOIN record_of ON record_of.id = target
  WHERE contact <> wa_id AND NOT EXISTS (SELECT FROM mapped AS own WHERE own.wa_id = contact AND own.target = record_of.id)
  UNION  -- One of them changes when people marry or move; both at once are somebody else.
  SELECT mapped.*, 'its report names another'
  FROM mapped JOIN unnest(%(reported)s::text[], %(names)s::text[], %(others)s::text[]) AS reported(wa_id, name, other) USING (wa_id)
  JOIN record_of ON record_of.id = target
  WHERE lower(trim(reported.name)) <> lower(trim(record_of.name)) AND lower(trim(reported.other)) <> lower(trim(record_of.other))
  UNION
  SELECT mapped.*, 'its report or export has another member or event, whose registration exists'
  FROM mapped
  JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS place(wa_id, member, event) USING (wa_id)
  JOIN record_of ON record_of.id = target
  JOIN record_of AS expected ON expected.member = place.member AND expected.event = place.event
  WHERE (record_of.member, record_of.event) <> (place.member, place.event)
)
SELECT %(entity)s || '/' || wa_id AS key, mapping, wa_id, target::text AS target,
       first_name, last_name, email, title, start, evidence
FROM (
  SELECT mapping, wa_id, target, string_agg(DISTINCT evidence, ', ') AS evidence FROM against GROUP BY 1, 2, 3
) AS accused
JOIN record_of ON record_of.id = target
WHERE NOT EXISTS (SELECT FROM born WHERE born.wa_id = accused.wa_id AND born.record = target::text)
ORDER BY 1, 2
