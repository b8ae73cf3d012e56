-- What ties records to one run, and what became of each since: one row per record.
--
-- entity, record_id, wa_id (that of the action; the smallest of several), wa_ids (all of them), own_wa_ids (those by which
-- the run itself knows it), action, traces (as bits), strength (of the action), exists (NULL for a dry run), touched_since,
-- fate (the plan that deleted it), and for each action the number of WA ids, as importers count.

WITH
-- The records as they are. Registrations first: they give the types of the columns that the others lack.
here AS NOT MATERIALIZED (
  SELECT 'Registration' AS entity, id, run_id, created_at, updated_at, member_id, event_id, registered_at, NULL::text AS wa_id
  FROM registrations
  UNION ALL
  SELECT 'Member', id, run_id, created_at, updated_at, NULL, NULL, NULL, wa_raw ->> 'waContactId' FROM members
  UNION ALL
  SELECT 'Event', id, run_id, created_at, updated_at, NULL, NULL, NULL, NULL FROM events
),
-- Mappings written while the run was under way: the only trace of records that it left as they were.
refreshed AS (
  SELECT * FROM mappings
  WHERE %(windowed)s AND run_id IS NULL AND entity_type = ANY(%(entities)s) AND synced_at BETWEEN %(begun)s AND %(ended)s
),
-- The WA ids of these records by any run's audit rows.
known AS (
  SELECT resource_type, resource_id, array_agg(metadata ->> 'waId') AS wa_ids
  FROM audit JOIN (SELECT DISTINCT entity_type, target FROM refreshed) AS r ON resource_type = entity_type AND resource_id = target
  WHERE action IN ('CREATE', 'UPDATE') AND run_id IS NOT NULL
  GROUP BY resource_type, resource_id
),
-- Records that the run reports that it gave up on.
errors AS (
  SELECT * FROM unnest(%(error_entities)s::text[], %(error_ids)s::text[]) AS e(entity, wa_id)
),
-- Records created while the run was under way that have neither a mapping nor an audit row: the importer may have failed
-- between creating and mapping one.
unmapped AS (
  SELECT h.*,
         entity = 'Registration' AND registered_at < created_at - interval '1 minute' -- a person's is created when they register
         AND EXISTS (SELECT FROM mappings WHERE entity_type = 'Member' AND target = member_id)
         AND EXISTS (SELECT FROM mappings WHERE entity_type = 'Event' AND target = event_id) AS imported
  FROM here AS h
  WHERE entity = ANY(%(untagged)s) AND run_id IS NULL AND created_at BETWEEN %(begun)s AND %(ended)s
    AND NOT EXISTS (SELECT FROM mappings WHERE entity_type = h.entity AND target = h.id)
    AND NOT EXISTS (SELECT FROM audit WHERE resource_type = h.entity AND action = 'CREATE' AND resource_id = h.id)
),
-- Of these an error of the run names a member by the WA id in its raw data. A registration has none: it belongs to an error
-- if it was booked before it was created here, and there are no more of these than errors without a record.
named AS (
  SELECT u.*,
         coalesce(imported, false) AND count(*) FILTER (WHERE imported) OVER () <= (
           SELECT count(*) FROM errors AS e WHERE entity = 'Registration'
           AND NOT EXISTS (SELECT FROM mappings WHERE entity_type = e.entity AND wa_id = e.wa_id)
         )
         OR (entity, wa_id) IN (SELECT entity, wa_id FROM errors WHERE entity = 'Member') IS TRUE AS by_error
  FROM unmapped AS u
),
-- One row per trace; "said" is how directly it tells what was done, "alone" whether a record has no other such trace.
traces AS NOT MATERIALIZED (
  SELECT resource_type AS entity, CASE action WHEN 'CREATE' THEN 'created' ELSE 'updated' END AS action, 3 AS said,
         resource_id::text AS record_id, metadata ->> 'waId' AS wa_id, created_at AS at, %(audit)s::int AS trace,
         %(certain)s::int AS strength, NULL::boolean AS alive, NULL::timestamp AS changed, false AS alone
  FROM audit
  WHERE run_id = %(run)s AND action IN ('CREATE', 'UPDATE') AND resource_type IN ('Member', 'Event', 'Registration')
    AND NOT starts_with(coalesce(metadata ->> 'source', ''), 'workbench')
  UNION ALL
  SELECT entity_type, CASE WHEN made THEN 'created' WHEN h.updated_at BETWEEN %(begun)s AND %(ended)s THEN 'updated' ELSE 'mapped' END,
         CASE WHEN made THEN 3 ELSE 1 END, target::text, m.wa_id, synced_at, %(mapping)s, %(certain)s, h.id IS NOT NULL, h.updated_at, false
  FROM mappings AS m
  LEFT JOIN here AS h ON entity = entity_type AND h.id = target,
  LATERAL (SELECT CASE WHEN entity_type = ANY(%(tagged)s) THEN h.run_id = %(run)s
                       ELSE h.created_at BETWEEN %(begun)s AND %(ended)s END AS made) AS tag
  WHERE m.run_id = %(run)s AND entity_type = ANY(%(entities)s)
  UNION ALL
  SELECT entity, 'created', 3, id::text, NULL, created_at, %(record)s, %(certain)s, true, updated_at, true
  FROM here AS h
  WHERE run_id = %(run)s
    AND NOT EXISTS (SELECT FROM mappings AS m WHERE m.run_id = %(run)s AND entity_type = h.entity AND target = h.id)
  UNION ALL
  -- A record known to an earlier run by the same WA id existed before; one known by another was only mapped.
  SELECT entity_type,
         CASE WHEN m.wa_id = ANY(k.wa_ids) THEN 'existing' WHEN made THEN 'created' ELSE 'mapped' END, 1,
         target::text, m.wa_id, synced_at, %(window)s | CASE WHEN failed THEN %(error)s ELSE 0 END,
         CASE WHEN k.wa_ids IS NOT NULL OR failed THEN %(likely)s ELSE %(weak)s END, NULL, NULL, false
  FROM refreshed AS m
  LEFT JOIN here AS h ON entity = entity_type AND h.id = target
  LEFT JOIN known AS k ON resource_type = entity_type AND resource_id = target,
  LATERAL (SELECT coalesce(h.created_at BETWEEN %(begun)s AND %(ended)s, false) AND k.wa_ids IS NULL AS made) AS n,
  LATERAL (SELECT made AND (entity_type, m.wa_id) IN (SELECT entity, wa_id FROM errors) AS failed) AS f
  UNION ALL
  SELECT entity, 'created', 1, id::text, wa_id, created_at, CASE WHEN by_error THEN %(error)s ELSE %(time)s END,
         CASE WHEN by_error THEN %(likely)s ELSE %(weak)s END, true, updated_at, true
  FROM named
  UNION ALL
  SELECT *, %(reported_at)s::timestamp, %(report)s, %(strong)s, NULL, NULL, false
  FROM (SELECT entity, action, 2, record_id, wa_id
        FROM unnest(%(report_entities)s::text[], %(report_actions)s::text[], %(report_records)s::text[], %(report_ids)s::text[])
             AS r(entity, action, record_id, wa_id)) AS reported
),
traced AS NOT MATERIALIZED (
  SELECT * FROM traces WHERE %(only)s::text[] IS NULL OR record_id IS NULL OR record_id = ANY(%(only)s::text[])
),
-- One trace may know only the WA id, another only the record; a third, or the same one, knows both.
linked AS (
  SELECT entity, action, said, at, trace, strength,
         CASE WHEN record_id IS NULL THEN wa_id ELSE coalesce(wa_id, max(wa_id) OVER (PARTITION BY entity, record_id)) END AS wa_id,
         CASE WHEN wa_id IS NULL THEN record_id ELSE coalesce(record_id, max(record_id) OVER (PARTITION BY entity, wa_id)) END AS record_id
  FROM traced WHERE NOT %(apart)s
),
-- What was done with each WA id, by the most direct of several traces.
dealt AS (
  SELECT entity, record_id, wa_id, (array_agg(action ORDER BY action IS NULL, said DESC, strength DESC, action))[1] AS action,
         bit_or(trace) AS traces, max(strength) AS strength, max(at) AS at, NULL::boolean AS alive, NULL::timestamp AS changed
  FROM linked GROUP BY entity, record_id, wa_id
  UNION ALL
  SELECT entity, record_id, wa_id, action, trace, strength, at, alive, changed FROM traced WHERE %(apart)s AND NOT alone
),
-- By record, created wins, then updated, mapped, existing. No aggregate needs its rows in order, so a million can be hashed.
together AS (
  SELECT entity, record_id, min(rank * 10 + 9 - strength) AS code, substr(min(rank || wa_id COLLATE "C"), 2) AS wa_id,
         string_agg(wa_id, ', ') AS wa_ids, string_agg(wa_id, ', ') FILTER (WHERE strength >= %(strong)s) AS sure_ids,
         string_agg(wa_id, ', ') FILTER (WHERE action = 'mapped') AS mapped_ids,
         bit_or(traces) AS traces, min(at) AS first, max(at) AS at, bool_or(alive) AS alive, max(changed) AS changed,
         count(*) FILTER (WHERE counts AND action = 'created') AS created, count(*) FILTER (WHERE counts AND action = 'updated') AS updated,
         count(*) FILTER (WHERE counts AND action = 'mapped') AS mapped, count(*) FILTER (WHERE counts AND action = 'existing') AS existing,
         count(*) FILTER (WHERE counts AND action = 'unlinked') AS unlinked, count(*) FILTER (WHERE counts AND action = 'refused') AS refused,
         count(*) FILTER (WHERE counts AND action = 'skipped') AS skipped
  FROM dealt,
  LATERAL (SELECT coalesce(array_position(%(actions)s::text[], action) - 1, 7) AS rank, traces <> %(time)s AS counts) AS r
  GROUP BY entity, record_id, CASE WHEN record_id IS NULL THEN wa_id END
  UNION ALL
  SELECT entity, record_id, 9 - strength, wa_id, wa_id, NULL, NULL, trace, at, at, alive, changed, (trace <> %(time)s)::int,
         0, 0, 0, 0, 0, 0
  FROM traced WHERE %(apart)s AND alone
),
-- Who wrote to a record last since; a run that was rolled back only if there was nobody else.
touched AS (
  SELECT resource_type, resource_id::text AS resource_id, max(created_at) AS at,
         (array_agg(coalesce(run_id, 'a person') ORDER BY coalesce(run_id, '') = ANY(%(undone)s), created_at DESC))[1] AS by
  FROM audit WHERE run_id IS DISTINCT FROM %(run)s AND created_at > %(started)s::timestamp
  GROUP BY resource_type, resource_id
),
-- A record may have been deleted several times: the last plan that did.
taken_last AS (
  SELECT DISTINCT ON (entity, record_id) entity, record_id, fate FROM taken ORDER BY entity, record_id, entry DESC
)
SELECT t.entity, t.record_id, t.wa_id, coalesce(t.wa_ids, '') AS wa_ids, traces,
       coalesce(CASE code / 10 WHEN 2 THEN mapped_ids ELSE sure_ids END, t.wa_id) AS own_wa_ids,
       (%(actions)s::text[])[code / 10 + 1] AS action, 9 - code %% 10 AS strength,
       CASE WHEN %(run)s::text IS NOT NULL THEN coalesce(alive, h.id IS NOT NULL) END AS "exists",
       CASE WHEN %(run)s::text IS NULL THEN ''
            -- An entry between two writes of the run is somebody else's; so is a row's own time after the last.
            WHEN touched.at > first THEN touched.by
            WHEN coalesce(changed, h.updated_at) > t.at + interval '1 second' THEN 'somebody'
            ELSE '' END AS touched_since,
       coalesce(fate, '') AS fate,
       -- A record is created once: any further id was mapped onto it.
       least(created, 1) AS created, updated, mapped + greatest(created - 1, 0) AS mapped, existing, unlinked, refused, skipped
FROM together AS t
LEFT JOIN here AS h ON NOT %(apart)s AND h.entity = t.entity AND h.id::text = t.record_id
LEFT JOIN touched ON resource_type = t.entity AND resource_id = t.record_id
LEFT JOIN taken_last AS l ON l.entity = t.entity AND l.record_id = t.record_id
