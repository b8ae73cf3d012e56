-- The club's registrations, numbered from 0: who booked which event, by which run it came, and how it stood then.
-- Past an event's capacity come only waiting list places.
CREATE TABLE demo.booking AS
WITH event AS (
    SELECT e.n, e.start_time, demo.draw('seats', e.n) AS roll, e.published AND e.registration AS bookable,
        40 + 4 * (demo.draw('seats', e.n) % 16)::int AS capacity,
        CASE
            WHEN e.n < demo.first_events() THEN 'first'
            WHEN e.n < demo.csv_events() THEN 'csv'
            ELSE 'second'
        END AS origin,
        demo.csv_members() - demo.first_members() AS by_csv
    FROM demo.events(0, demo.all_events()) e
), pooled AS (
    SELECT *, CASE origin
            WHEN 'first' THEN demo.first_members()
            WHEN 'csv' THEN by_csv + demo.csv_updates()
            ELSE demo.members() - by_csv
        END AS pool
    FROM event
), filled AS MATERIALIZED (
    -- From seat to seat it is a third of the pool or more: no stretch of members fills an event, and nobody comes
    -- twice.
    SELECT *, (roll >> 40) % pool AS shift, (
            SELECT lowest + more FROM generate_series(0, 40) more,
                LATERAL (SELECT pool / 3 + (roll >> 20) % (pool / 3) AS lowest) l
            WHERE gcd(lowest + more, pool) = 1 ORDER BY more LIMIT 1
        ) AS stride,
        CASE WHEN bookable THEN least(pool * 4 / 5, CASE
            WHEN origin = 'csv' THEN 20
            WHEN n % 6 = 5 THEN capacity + 3
            ELSE capacity * (50 + (roll >> 8) % 31) / 100
        END) ELSE 0 END AS own,
        -- The CSV lists two known events.
        CASE WHEN n < 2 AND by_csv > 0 THEN least(6, (by_csv + 1 - n) / 2) ELSE 0 END AS listed,
        CASE
            WHEN origin = 'first' AND n >= demo.open_events() THEN least(8, demo.members() - demo.csv_members())
            ELSE 0
        END AS late
    FROM pooled
), seated AS (
    SELECT row_number() OVER (ORDER BY f.n, seat) - 1 AS n, f.n AS event, f.start_time, f.capacity, seat,
        CASE WHEN seat < own THEN f.origin WHEN seat < own + listed THEN 'csv' ELSE 'second' END AS origin,
        CASE
            WHEN seat >= own + listed
            THEN demo.csv_members() + (shift + seat - own - listed) % (demo.members() - demo.csv_members())
            WHEN seat >= own THEN demo.first_members() + 2 * (seat - own) + f.n
            WHEN f.origin = 'csv' AND place >= by_csv THEN 4 + 20 * (place - by_csv)
            WHEN f.origin = 'csv' THEN place + demo.first_members()
            WHEN place >= demo.first_members() THEN place + by_csv
            ELSE place
        END AS member
    FROM filled f, generate_series(0, own + listed + late - 1) seat,
        LATERAL (SELECT (shift + seat * stride) % pool AS place) p
), timed AS (
    SELECT *, demo.draw('booking', n) AS roll,
        -- Who registered after the first run saw nothing of it; ten days later the newcomers had joined.
        CASE origin
            WHEN 'second' THEN demo.first_run() + interval '10 days'
            ELSE closes - interval '44 days'
        END AS opens
    FROM seated, LATERAL (
        SELECT CASE origin
            WHEN 'second' THEN least(start_time, demo.second_run())
            WHEN 'csv' THEN least(start_time, demo.csv_run()) - interval '1 day'
            ELSE least(start_time, demo.first_run()) - interval '1 day'
        END AS closes
    ) c
)
SELECT n::int, event, member::int, origin,
    seat < capacity AND roll % 100 < 12 AND origin = 'first' AND (roll >> 8) & 3 = 0 AS cancelled_later,
    CASE
        WHEN seat >= capacity THEN 'WAITLISTED'
        WHEN roll % 100 < 12 THEN 'CANCELLED'
        WHEN roll % 100 < 19 AND start_time < demo.first_run() THEN 'NO_SHOW'
        ELSE 'CONFIRMED'
    END AS status,
    opens + (roll >> 16) % (extract(epoch FROM closes - opens)::bigint / 60) * interval '1 minute' AS registered
FROM timed;

-- What there is before any import.
CREATE FUNCTION demo.opened() RETURNS timestamp IMMUTABLE RETURN demo.first_run() - interval '30 days';
INSERT INTO "MembershipTier" (id, code, name, "sortOrder", "createdAt", "updatedAt")
SELECT demo.id('MembershipTier', n - 1), code, initcap(code), n - 1, demo.opened(), demo.opened()
FROM unnest(ARRAY['PROSPECT', 'NEWCOMER', 'EXTENDED', 'ALUMNI', 'LAPSED']) WITH ORDINALITY AS t (code, n);

CREATE TABLE demo.committee AS
SELECT n::int - 1 AS n, name
FROM unnest(ARRAY['Activities', 'Communications', 'Finance', 'Governance', 'Membership', 'Technology'])
    WITH ORDINALITY AS c (name, n);

-- What each of the club's imports found in Wild Apricot.
CREATE PROCEDURE demo.fill(origin text) BEGIN ATOMIC
    INSERT INTO demo.new_member
    SELECT n, id, given, family, email, CASE fill.origin WHEN 'csv' THEN demo.dashed(phone) ELSE phone END, joined,
        level, status, private,
        CASE fill.origin WHEN 'csv' THEN 'WA' || lpad((1 + n - demo.first_members())::text, 3, '0') END
    FROM demo.people(
        CASE fill.origin WHEN 'first' THEN 0 WHEN 'csv' THEN demo.first_members() ELSE demo.csv_members() END,
        CASE fill.origin
            WHEN 'first' THEN demo.first_members()
            WHEN 'csv' THEN demo.csv_members()
            ELSE demo.members()
        END);
    -- The API knows who organises an event; the CSV does not say.
    INSERT INTO demo.new_event
    SELECT n, id, title, category, location, start_time, end_time, capacity, published, registration,
        CASE WHEN fill.origin <> 'csv' AND n % 3 = 0 THEN demo.id('Member', n * 7 % demo.first_members()) END,
        CASE fill.origin WHEN 'csv' THEN 'EVT' || lpad((1 + n - demo.first_events())::text, 3, '0') END
    FROM demo.events(
        CASE fill.origin WHEN 'first' THEN 0 WHEN 'csv' THEN demo.first_events() ELSE demo.csv_events() END,
        CASE fill.origin
            WHEN 'first' THEN demo.first_events()
            WHEN 'csv' THEN demo.csv_events()
            ELSE demo.all_events()
        END);
    INSERT INTO demo.new_registration
    SELECT n, demo.id('Registration', n), demo.id('Event', event), demo.id('Member', member),
        CASE WHEN cancelled_later THEN 'CONFIRMED' ELSE status END, registered,
        CASE fill.origin WHEN 'csv' THEN 'REG' || lpad(n::text, greatest(4, length(n::text)), '0') END
    FROM demo.booking b WHERE b.origin = fill.origin;

    -- The CSV writes phone numbers with dashes, and lists two known events.
    INSERT INTO demo.met (entity, action, n, id, changes, name)
    SELECT 'Member', 'update', n, m.id, jsonb_build_object('phone', demo.dashed(phone)), 'WA' || 5001 + n
    FROM generate_series(4, least(demo.first_members(), 4000) - 1, 20) n JOIN "Member" m ON m.id = demo.id('Member', n)
    WHERE fill.origin = 'csv';
    INSERT INTO demo.met (entity, action, n, id, name)
    SELECT 'Event', 'skip', n, demo.id('Event', n), 'EVT' || 5001 + n
    FROM generate_series(0, 1) n WHERE fill.origin = 'csv';

    -- The second sync finds some renamed and some with another number, and maps contacts that the CSV had brought.
    INSERT INTO demo.met (entity, action, n, id, wa_id, changes, at)
    SELECT 'Member', CASE WHEN n % 20 = 9 THEN 'update' ELSE 'skip' END, n, m.id, demo.wa_id('Member', n), CASE
            WHEN n % 40 = 9 THEN jsonb_build_object('firstName', m."firstName", 'lastName',
                other."lastName" || CASE other."lastName" WHEN m."lastName" THEN '-Lee' ELSE '' END)
            WHEN n % 20 = 9 THEN jsonb_build_object('phone', demo.other_phone('by sync', n))
        END, started + n * pace
    FROM demo.run, generate_series(0, demo.first_members() - 1) n JOIN "Member" m ON m.id = demo.id('Member', n)
    LEFT JOIN "Member" other ON n % 40 = 9 AND other.id = demo.id('Member', n - 4)
    WHERE fill.origin = 'second' AND (n % 20 = 9 OR importer = 'guide');
    INSERT INTO demo.met (entity, action, n, id, wa_id, at)
    SELECT 'Member', 'map', n, demo.id('Member', n), demo.wa_id('Member', n), started + n * pace
    FROM demo.run, generate_series(demo.first_members(), demo.csv_members() - 1, 2) n WHERE fill.origin = 'second';
    INSERT INTO demo.met (entity, action, n, id, wa_id, changes, at)
    SELECT 'Event', CASE WHEN resized THEN 'update' ELSE 'skip' END, n, e.id, demo.wa_id('Event', n),
        CASE WHEN resized THEN jsonb_build_object('capacity', e.capacity) END, started + n * pace
    FROM demo.run, generate_series(0, demo.first_events() - 1) n JOIN "Event" e ON e.id = demo.id('Event', n),
        LATERAL (SELECT n < demo.open_events() AND n % 12 = 8 AS resized) r
    WHERE fill.origin = 'second' AND (resized OR importer = 'guide');
    INSERT INTO demo.met (entity, action, n, id, wa_id, changes, at)
    SELECT 'Registration', CASE WHEN cancelled_later THEN 'update' ELSE 'skip' END, n, demo.id('Registration', n),
        demo.wa_id('Registration', n),
        CASE WHEN cancelled_later THEN '{"status": "CANCELLED"}'::jsonb END, started + n * pace
    FROM demo.run, demo.booking b
    WHERE fill.origin = 'second' AND b.origin = 'first' AND (cancelled_later OR importer = 'guide');
END;
