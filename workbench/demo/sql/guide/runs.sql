-- What an import run writes, and what it leaves at its end.
CREATE PROCEDURE demo.write_rows() BEGIN ATOMIC
    INSERT INTO "Member" (id, "firstName", "lastName", email, phone, "joinedAt", "membershipTierId",
        "waMembershipLevelRaw", "isPrivate", visibility, "importRunId", "createdAt", "updatedAt")
    SELECT m.id, given, family, email, phone, joined, t.id, level, private,
        CASE WHEN private THEN 'PRIVATE' WHEN n % 2 = 1 THEN 'PUBLIC' ELSE 'MEMBERS' END, run, at, at
    FROM demo.new_member m JOIN "MembershipTier" t ON t.code = demo.tier(m.level) CROSS JOIN demo.run;
    INSERT INTO "Event" (id, title, description, category, location, "startTime", "endTime", capacity, "isPublished",
        status, "importRunId", "createdAt", "updatedAt")
    SELECT id, title, 'Come along', category, location, start_time, end_time, capacity, published,
        CASE WHEN published THEN 'PUBLISHED' ELSE 'DRAFT' END, run, at, at
    FROM demo.new_event CROSS JOIN demo.run;
    INSERT INTO "Registration" (id, "eventId", "memberId", status, "registeredAt", "importRunId", "createdAt",
        "updatedAt")
    SELECT id, r.event, r.member, status, registered, run, at, at FROM demo.new_registration r CROSS JOIN demo.run;
    INSERT INTO "WaIdMapping" (id, "entityType", "waId", "murmurantId", "syncRunId", "syncedAt", "updatedAt")
    SELECT demo.own('mapping ' || wa_id::text, id), entity, wa_id::text, id, run, at, at FROM (
        SELECT entity, demo.wa_id(entity, n) AS wa_id, id, at FROM demo.created
        UNION ALL SELECT entity, wa_id, id, at FROM demo.met WHERE action = 'map'
    ) AS mapped CROSS JOIN demo.run WHERE run IS NOT NULL;
    UPDATE "Member" m SET "firstName" = r."firstName", "lastName" = r."lastName", phone = r.phone,
        "membershipTierId" = r."membershipTierId", "waMembershipLevelRaw" = r."waMembershipLevelRaw",
        "updatedAt" = CASE changes WHEN '{}' THEN m."updatedAt" ELSE at END
    FROM demo.met s JOIN "Member" was ON was.id = s.id CROSS JOIN LATERAL jsonb_populate_record(was, changes) r
    WHERE s.entity = 'Member' AND action = 'update' AND m.id = s.id;
    UPDATE "Event" e SET capacity = (changes->>'capacity')::int, "updatedAt" = at
    FROM demo.met s WHERE s.entity = 'Event' AND action = 'update' AND e.id = s.id;
    UPDATE "Registration" r SET status = coalesce(changes->>'status', r.status), "updatedAt" = at
    FROM demo.met s WHERE s.entity = 'Registration' AND action = 'update' AND r.id = s.id;
END;

-- Its audit entries (guide, §5.1), and those of its dry run; one that was killed tells of no end.
CREATE PROCEDURE demo.write_end() BEGIN ATOMIC
    INSERT INTO "AuditLog" (id, action, metadata, "createdAt")
    SELECT demo.id('entry ' || o.run, n), 'migration:' || action, jsonb_build_object('run_id', o.run) || metadata, at
    FROM demo.outcome o, LATERAL (SELECT jsonb_build_object('mode', mode, 'operator', 'dana') AS who) w, LATERAL (
        SELECT 0 AS n, 'started' AS action, started AS at,
            who || jsonb_build_object('config', config, 'environment', coalesce(environment, 'demo')) AS metadata
        UNION ALL SELECT 1, ended, finished, CASE ended
            WHEN 'completed' THEN who || jsonb_build_object(
                'duration', round(extract(epoch FROM finished - started)),
                'counts', (SELECT jsonb_object_agg(lower(entity) || 's', c - '{mapped,existing}'::text[])
                    FROM jsonb_each(counts) AS e (entity, c)))
            ELSE '{"error": "Connection terminated unexpectedly", "last_batch": 2}'
        END WHERE ended <> 'killed'
    ) AS entry;
    INSERT INTO "WaSyncState" (id, "lastFullSync", "createdAt", "updatedAt")
    SELECT demo.id('WaSyncState', 0), finished, finished, finished FROM demo.run
    WHERE ended = 'completed' AND NOT EXISTS (SELECT FROM "WaSyncState");
    UPDATE "WaSyncState" SET "lastFullSync" = finished, "updatedAt" = finished FROM demo.run WHERE ended = 'completed';
END;
