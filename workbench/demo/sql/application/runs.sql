-- What an import run writes, and what it leaves at its end.
CREATE PROCEDURE demo.write_rows() BEGIN ATOMIC
    INSERT INTO "Member" (id, "firstName", "lastName", email, phone, "joinedAt", "membershipStatusId",
        "membershipTierId", "waMembershipLevelRaw", "createdAt", "updatedAt", "waRawData")
    SELECT m.id, given, family, email, phone, joined, s.id, t.id, level, at, at,
        CASE WHEN importer = 'api' THEN jsonb_build_object(
            'status', status, '_importedAt', demo.iso(at), 'displayName', family || ', ' || given,
            'fieldValues', jsonb_build_object('Phone (Phone)', demo.dashed(phone)),
            'memberSince', to_char(joined, 'YYYY-MM-DD"T"00:00:00'),
            'waContactId', demo.wa_id('Member', n), 'organization', NULL,
            'membershipLevel', jsonb_build_object('id', array_position(demo.levels(), level), 'name', level),
            'isSuspendedMember', false, 'profileLastUpdated', '2026-04-01T10:00:00', 'isAccountAdministrator', false)
        END
    FROM demo.new_member m CROSS JOIN demo.run
    JOIN "MembershipTier" t ON t.code = demo.tier(m.level)
    JOIN "MembershipStatus" s ON s.code = CASE
        WHEN importer IS DISTINCT FROM 'api' THEN t.code
        ELSE lower(regexp_replace(m.status, '(?<!^)([A-Z])', '_\1', 'g'))
    END;
    INSERT INTO "Event" (id, title, description, category, location, "startTime", "endTime", capacity, "isPublished",
        status, "requiresRegistration", "eventChairId", "createdAt", "updatedAt")
    SELECT id, title, 'Come along', category, location, start_time, end_time, capacity, published,
        CASE WHEN published THEN 'PUBLISHED' ELSE 'DRAFT' END::"EventStatus", registration, chair, at, at
    FROM demo.new_event;
    INSERT INTO "EventRegistration" (id, "eventId", "memberId", status, "waitlistPosition", "registeredAt",
        "createdAt", "updatedAt")
    SELECT id, event, member, status::"RegistrationStatus", CASE status WHEN 'WAITLISTED' THEN 999 END, registered,
        at, at
    FROM demo.new_registration;
    INSERT INTO "WaIdMapping" (id, "entityType", "waId", "clubosId", "syncedAt", "updatedAt")
    SELECT demo.own('mapping ' || wa_id::text, id::text), demo.entity(entity), wa_id, id, at, at FROM (
        SELECT entity, demo.wa_id(entity, n) AS wa_id, id, at FROM demo.created
        UNION ALL SELECT entity, wa_id, id, at FROM demo.met WHERE action = 'map'
    ) AS mapped CROSS JOIN demo.run WHERE importer = 'api';
    -- An update's entry has the new values only.
    INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", metadata, "createdAt")
    SELECT demo.own('audit ' || action || run, t.id::text), action::"AuditAction", demo.entity(entity), t.id,
        jsonb_strip_nulls(jsonb_build_object('mode', 'full', 'waId', wa_id, 'source', 'wa_import', 'syncRunId', run,
            'environment', environment)) || more, at
    FROM (
        SELECT 'CREATE' AS action, entity, id, demo.wa_id(entity, n) AS wa_id, '{}'::jsonb AS more, at FROM demo.created
        UNION ALL SELECT 'UPDATE', entity, s.id, wa_id, CASE entity
            WHEN 'Registration' THEN jsonb_build_object('oldStatus', r.status, 'newStatus', changes->>'status')
            ELSE jsonb_build_object('changes', changes)
        END, at
        FROM demo.met s LEFT JOIN "EventRegistration" r ON r.id = s.id WHERE s.action = 'update'
    ) AS t CROSS JOIN demo.run WHERE importer = 'api';
    UPDATE "Member" m SET "firstName" = r."firstName", "lastName" = r."lastName", phone = r.phone,
        "membershipTierId" = r."membershipTierId", "membershipStatusId" = r."membershipStatusId",
        "waMembershipLevelRaw" = r."waMembershipLevelRaw",
        "updatedAt" = CASE WHEN changes <> '{}' OR importer = 'csv' THEN at ELSE m."updatedAt" END
    FROM demo.run, demo.met s JOIN "Member" was ON was.id = s.id, jsonb_populate_record(was, changes) r
    WHERE s.entity = 'Member' AND action = 'update' AND m.id = s.id;
    UPDATE "Event" e SET capacity = (changes->>'capacity')::int, "updatedAt" = at
    FROM demo.met s WHERE s.entity = 'Event' AND action = 'update' AND e.id = s.id;
    UPDATE "EventRegistration" m SET status = r.status, "waitlistPosition" = r."waitlistPosition", "updatedAt" = at
    FROM demo.met s JOIN "EventRegistration" was ON was.id = s.id, jsonb_populate_record(was, changes) r
    WHERE s.entity = 'Registration' AND action = 'update' AND m.id = s.id;
END;

-- At its end a sync leaves its state, and fresh mappings of all the members and events it met.
CREATE VIEW demo.finished_sync AS SELECT * FROM demo.run WHERE importer = 'api' AND ended <> 'killed';
CREATE PROCEDURE demo.write_end() BEGIN ATOMIC
    INSERT INTO "WaSyncState" (id, "createdAt", "updatedAt")
    SELECT demo.id('WaSyncState', 0), finished, finished FROM demo.finished_sync
    WHERE NOT EXISTS (SELECT FROM "WaSyncState");
    UPDATE "WaSyncState" SET "lastFullSync" = finished, "lastContactSync" = finished, "lastEventSync" = finished,
        "lastRegSync" = finished, "updatedAt" = finished
    FROM demo.finished_sync;
    UPDATE "WaIdMapping" SET "syncedAt" = started + interval '1 second', "updatedAt" = started + interval '1 second'
    FROM demo.finished_sync WHERE "entityType" IN ('Member', 'Event') AND "syncedAt" < started;
END;
