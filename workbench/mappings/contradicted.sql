-- Which mappings of an entity the traces of their own creation contradict (guide §1.2). Each witness is a plain join.
-- spelled: how mappings may spell the entity; rolled_back: runs that say nothing; born, became: ids and the records that reports created for them; told, names, others:
-- what reports and exports call an id; placed, members, events: where registrations are told to be.

WITH led AS NOT MATERIALIZED (
  SELECT id::text AS mapping, wa_id, target FROM mappings WHERE spelled = ANY (%(spelled)s::text[])
), every AS NOT MATERIALIZED (
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
), thing AS NOT MATERIALIZED (
  SELECT * FROM every WHERE entity = %(entity)s
), born AS (
  SELECT metadata ->> 'waId' AS wa_id, resource_id::text AS record, 'its audit row created another record' AS evidence
  FROM audit
  WHERE spelled = 'CREATE' AND resource_type = %(entity)s AND coalesce(run_id, '') <> ALL (%(rolled_back)s::text[])
  UNION ALL
  SELECT wa_id, record, 'its report created another record'
  FROM unnest(%(born)s::text[], %(became)s::text[]) AS made(wa_id, record)
), against AS (
  SELECT led.*, evidence FROM led JOIN born USING (wa_id) JOIN thing ON thing.id::text = record
  WHERE record <> target::text
  UNION
  SELECT led.*, 'its raw data name another contact' FROM led JOIN thing ON thing.id = target
  WHERE contact <> wa_id AND NOT EXISTS (SELECT FROM led AS own WHERE own.wa_id = contact AND own.target = thing.id)
  UNION  -- A name or an e-mail changes when people marry or move; both at once is somebody else.
  SELECT led.*, 'its report names another'
  FROM led JOIN unnest(%(told)s::text[], %(names)s::text[], %(others)s::text[]) AS said(wa_id, name, other) USING (wa_id)
  JOIN thing ON thing.id = target
  WHERE lower(trim(said.name)) <> lower(trim(thing.name)) AND lower(trim(said.other)) <> lower(trim(thing.other))
  UNION
  SELECT led.*, 'its report or export has another member or event, whose registration is there'
  FROM led
  JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS said(wa_id, member, event) USING (wa_id)
  JOIN thing ON thing.id = target
  JOIN thing AS there ON there.member = said.member AND there.event = said.event
  WHERE (thing.member, thing.event) <> (said.member, said.event)
)
SELECT %(entity)s || '/' || wa_id AS key, mapping, wa_id, target::text AS target,
       first_name, last_name, email, title, start, evidence
FROM (
  SELECT mapping, wa_id, target, string_agg(DISTINCT evidence, ', ') AS evidence FROM against GROUP BY 1, 2, 3
) AS accused
JOIN thing ON thing.id = target
WHERE NOT EXISTS (SELECT FROM born WHERE born.wa_id = accused.wa_id AND born.record = target::text)
ORDER BY 1, 2
