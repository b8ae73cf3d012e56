-- What an import run and its dry run say of themselves: to how many records they did what, and the report files that
-- they leave, in the formats of Murmurant's own importers.

-- The run in the making as it was, and as its dry run foresaw it. counts: entity to created, updated, mapped, existing.
CREATE TABLE demo.outcome (
    run text, importer text, mode text, started timestamp, finished timestamp, environment text, ended text,
    config jsonb, counts jsonb
);

-- Events whose registrations a failed sync loses: all that were still to come.
CREATE VIEW demo.lost AS
    SELECT demo.id('Event', n) AS id, demo.wa_id('Event', n) AS wa_id
    FROM demo.run, generate_series(demo.open_events(), demo.first_events() - 1) n WHERE ended = 'failed';

-- A sync meets all that is mapped; whom a CSV import met, the staging says.
CREATE PROCEDURE demo.count_run() BEGIN ATOMIC
    INSERT INTO demo.outcome
    SELECT run, importer, 'live', started, finished, environment, ended, config,
        jsonb_object_agg(entity, jsonb_build_object(
            'created', created, 'updated', updated, 'mapped', mapped,
            'existing', CASE importer WHEN 'csv' THEN skipped ELSE greatest(0, known - updated - lost) END))
    FROM demo.run, (VALUES ('Member'), ('Event'), ('Registration')) AS e (entity), LATERAL (
        SELECT count(*) AS created FROM demo.created c WHERE c.entity = e.entity
    ) AS c, LATERAL (
        SELECT count(*) FILTER (WHERE action = 'update') AS updated, count(*) FILTER (WHERE action = 'map') AS mapped,
            count(*) FILTER (WHERE action = 'skip') AS skipped
        FROM demo.met m WHERE m.entity = e.entity
    ) AS m, LATERAL (
        SELECT count(*) AS known FROM demo.mapping k WHERE k.entity = demo.entity(e.entity)
    ) AS k, LATERAL (
        SELECT count(*) AS lost FROM demo.registration r JOIN demo.lost l ON l.id = r."eventId"
        WHERE e.entity = 'Registration'
    ) AS l
    GROUP BY run, importer, started, finished, environment, ended, config;

    -- A dry sync fetches the registrations of the events that it finds mapped, and looks up none of them.
    INSERT INTO demo.outcome
    SELECT demo.run_id(importer, at), importer, 'dry', at, at + least(o.finished - o.started, interval '1 hour'),
        'demo', 'completed', demo.config(importer), CASE importer
            WHEN 'api' THEN jsonb_set(counts, '{Registration}', jsonb_build_object('created', old + new, 'updated', 0,
                'mapped', 0, 'existing', 0))
            ELSE counts
        END
    FROM demo.outcome o JOIN demo.run USING (run, importer), LATERAL (
        SELECT o.started - dry_run_lead AS at
    ) AS d, LATERAL (
        SELECT count(*) AS old FROM demo.mapping WHERE entity = demo.entity('Registration')
    ) AS m, LATERAL (
        SELECT count(*) AS new FROM demo.new_registration WHERE event NOT IN (SELECT id FROM demo.new_event)
    ) AS r
    WHERE dry_run_lead IS NOT NULL;
END;

CREATE FUNCTION demo.iso(at timestamp) RETURNS text STABLE RETURN to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE FUNCTION demo.milliseconds(outcome demo.outcome) RETURNS bigint IMMUTABLE
RETURN (extract(epoch FROM outcome.finished - outcome.started) * 1000)::bigint;

-- No importer counts what it only mapped apart from what it left alone.
CREATE FUNCTION demo.stats(
    counts jsonb, entity text, OUT created int, OUT updated int, OUT skipped int, OUT total int, OUT stats json
) IMMUTABLE
BEGIN ATOMIC
    SELECT c.created, c.updated, existing + mapped, c.created + c.updated + existing + mapped,
        json_build_object('created', c.created, 'updated', c.updated, 'skipped', existing + mapped, 'errors', 0)
    FROM jsonb_to_record(counts->entity) AS c (created int, updated int, mapped int, existing int);
END;

-- The report of a sync. One that could not read its source still says that it succeeded.
CREATE FUNCTION demo.sync_report(outcome demo.outcome) RETURNS json STABLE
BEGIN ATOMIC
    WITH reasons AS (
        SELECT n, format('Event %s not mapped', demo.wa_id('Event', n)) AS reason FROM demo.new_event
        WHERE outcome.mode = 'dry'
        UNION ALL SELECT wa_id, format('Fetch error for event %s', wa_id) FROM demo.lost WHERE outcome.mode = 'live'
    ), skipped AS (
        SELECT count(*) FILTER (WHERE outcome.mode = 'dry') AS unmapped FROM demo.new_event
    )
    SELECT json_build_object(
        'version', 1, 'runId', outcome.run, 'startedAt', demo.iso(outcome.started),
        'finishedAt', demo.iso(outcome.finished), 'durationMs', demo.milliseconds(outcome), 'success', true,
        'dryRun', outcome.mode = 'dry',
        'fetched', json_build_object('contacts', m.total, 'events', e.total, 'registrations', r.total),
        'warnings', '[]'::json, 'stats', json_build_object('members', m.stats, 'events', e.stats, 'registrations', r.stats),
        'registrationDiagnostics', json_build_object(
            'eventsProcessed', e.total, 'eventsSkippedUnmapped', unmapped, 'registrationFetchCalls', e.total - unmapped,
            'registrationsFetchedTotal', r.total, 'registrationsTransformedOk', r.total,
            'registrationsSkippedMissingEvent', 0, 'registrationsSkippedMissingMember', 0,
            'registrationsSkippedTransformError', 0,
            'registrationsUpserted', CASE outcome.mode WHEN 'live' THEN r.created + r.updated ELSE 0 END,
            'topSkipReasons', (
                SELECT coalesce(json_agg(json_build_object('reason', reason, 'count', 1) ORDER BY n), '[]')
                FROM (SELECT * FROM reasons ORDER BY n LIMIT 10) top
            )),
        'errors', '[]'::json, 'totalErrorCount', 0)
    FROM skipped, demo.stats(outcome.counts, 'Member') m, demo.stats(outcome.counts, 'Event') e,
        demo.stats(outcome.counts, 'Registration') r;
END;

-- Records in the words of the CSV importer's report; those a dry run would create have ids that it made up.
CREATE FUNCTION demo.listing(dry boolean)
RETURNS TABLE (entity text, place bigint, wa_id text, murmurant_id text, identifier text, record json) STABLE
BEGIN ATOMIC
    WITH listed AS (
        SELECT l.*, row_number() OVER (
                PARTITION BY l.entity ORDER BY array_position(ARRAY['create', 'update', 'skip'], action), n
            ) AS place,
            CASE WHEN dry AND action = 'create' THEN 'dry-' || demo.own('dry run', id::text) ELSE id::text END AS shown_id
        FROM demo.listed l
    ), born AS MATERIALIZED (
        SELECT id, shown_id FROM listed WHERE dry AND action = 'create' AND listed.entity <> 'Registration'
    )
    SELECT l.entity, place, l.name, l.shown_id, coalesce(m.email, e.title), CASE l.entity
        WHEN 'Member' THEN json_build_object(
            '_sourceRow', place + 1, 'firstName', m."firstName", 'lastName', m."lastName", 'email', m.email,
            'joinedAt', demo.iso(m."joinedAt"), 'membershipStatusCode', demo.tier(m."waMembershipLevelRaw"),
            'phone', m.phone, 'waMembershipLevel', m."waMembershipLevelRaw",
            '_waId', l.name, '_action', l.action, '_murmurantId', l.shown_id)
        WHEN 'Event' THEN json_build_object(
            '_sourceRow', place + 1, 'title', e.title, 'startTime', demo.iso(e."startTime"),
            'isPublished', e."isPublished", 'description', 'Come along', 'category', e.category, 'location', e.location,
            'endTime', demo.iso(e."endTime"), 'capacity', e.capacity,
            '_waId', l.name, '_action', l.action, '_murmurantId', l.shown_id)
        ELSE json_build_object(
            '_sourceRow', place + 1, 'memberId', coalesce(who.shown_id, r."memberId"::text),
            'eventId', coalesce(what.shown_id, r."eventId"::text), 'status', r.status,
            'registeredAt', demo.iso(r."registeredAt"), '_waId', l.name, '_action', l.action, '_murmurantId', l.shown_id)
    END
    FROM listed l
    LEFT JOIN "Member" m ON l.entity = 'Member' AND m.id = l.source
    LEFT JOIN "Event" e ON l.entity = 'Event' AND e.id = l.id
    LEFT JOIN demo.registration r ON l.entity = 'Registration' AND r.id = l.id
    LEFT JOIN born who ON who.id = r."memberId"
    LEFT JOIN born what ON what.id = r."eventId"
    WHERE place <= demo.most_listed();
END;

-- The three files of the CSV importer: summary, full listing and id map.
CREATE FUNCTION demo.listing_files(outcome demo.outcome) RETURNS TABLE (name text, content json) STABLE
BEGIN ATOMIC
    WITH listed AS MATERIALIZED (
        SELECT * FROM demo.listing(outcome.mode = 'dry')
    ), sections AS MATERIALIZED (
        SELECT section, s.*, l.* FROM (
            VALUES ('members', 'Member', 'email'), ('events', 'Event', 'title'), ('registrations', 'Registration', '')
        ) AS e (section, entity, identifier), demo.stats(outcome.counts, entity) s, LATERAL (
            SELECT count(*) AS rows, coalesce(json_agg(record ORDER BY place), '[]') AS records,
                coalesce(json_agg(
                    json_build_object('waId', wa_id, 'murmurantId', murmurant_id, e.identifier, l.identifier) ORDER BY place
                ), '[]') AS pairs,
                coalesce(json_agg(
                    json_build_object('waId', wa_id, 'murmurantId', murmurant_id, 'identifier', l.identifier) ORDER BY place
                ), '[]') AS mappings
            FROM listed l WHERE l.entity = e.entity
        ) l
    ), facts AS (
        SELECT whole, section, jsonb_build_object('totalRows', total, 'parsed', total, 'created', created, 'updated', updated,
                'skipped', skipped, 'errors', 0,
                'records', CASE WHEN whole THEN records ELSE to_json('[' || rows || ']') END,
                'file', 'exports/wa-' || section || '-export.csv')
                || CASE WHEN rows < total THEN '{"truncated": true}'::jsonb ELSE '{}' END AS part,
            json_build_object('mappings', mappings,
                'counts', json_build_object('total', rows, 'mapped', rows, 'missing', 0, 'duplicates', 0),
                'duplicateWaIds', '[]'::json, 'missingWaIds', '[]'::json) AS id_map
        FROM sections, (VALUES (false), (true)) AS w (whole)
    ), summary AS (
        SELECT CASE outcome.mode WHEN 'dry' THEN 'dry-run' ELSE 'live' END || '-'
                || translate(demo.iso(outcome.finished), ':.', '--') AS ending,
            CASE WHEN bool_or(rows < total) THEN true END AS cut,
            json_build_object('totalRecords', sum(total), 'created', sum(created), 'updated', sum(updated),
                'skipped', sum(skipped), 'errors', 0, 'duration_ms', demo.milliseconds(outcome)) AS totals
        FROM sections
    )
    SELECT 'migration-' || ending || CASE WHEN whole THEN '-full' ELSE '' END || '.json', (jsonb_build_object(
        'runId', outcome.run, 'startedAt', demo.iso(outcome.started), 'dryRun', outcome.mode = 'dry',
        'config', outcome.config::json, 'summary', totals,
        'members', m.part, 'events', e.part, 'registrations', r.part, 'errors', '[]'::json,
        'idMapping', (SELECT json_object_agg(section, pairs) FROM sections WHERE section <> 'registrations'),
        'completedAt', demo.iso(outcome.finished))
        || CASE WHEN cut THEN '{"truncated": true}'::jsonb ELSE '{}' END)::json
    FROM summary, facts m JOIN facts e USING (whole) JOIN facts r USING (whole)
    WHERE m.section = 'members' AND e.section = 'events' AND r.section = 'registrations'
    UNION ALL
    SELECT 'id-map-' || ending || '.json', json_build_object('runId', outcome.run, 'generatedAt', demo.iso(outcome.finished),
        'dryRun', outcome.mode = 'dry', 'members', m.id_map, 'events', e.id_map)
    FROM summary, facts m JOIN facts e USING (whole) WHERE whole AND m.section = 'members' AND e.section = 'events';
END;

CREATE FUNCTION demo.files() RETURNS TABLE (name text, content json) STABLE
BEGIN ATOMIC
    SELECT 'wa_full_sync_report-' || o.run || '.json', demo.sync_report(o)
    FROM demo.outcome o WHERE importer = 'api' AND ended <> 'killed'
    UNION ALL
    SELECT f.* FROM demo.outcome o, demo.listing_files(o) f WHERE importer <> 'api' AND ended = 'completed';
END;
