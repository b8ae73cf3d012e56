-- What both dialects share: ids and choices by hash, names by weight, the n-th member and event of a club, and one
-- import run in the making. It lies in a schema of its own, which goes when the rows are there. Sizes and moments
-- (demo.members(), demo.first_run(), ...) are functions that club.py makes of the club.

CREATE FUNCTION demo.id(kind text, n bigint) RETURNS demo.key IMMUTABLE
RETURN md5(demo.seed() || ':' || kind || ':' || n::text)::uuid::demo.key;

CREATE FUNCTION demo.own(kind text, id text) RETURNS demo.key IMMUTABLE
RETURN md5(kind || ' of ' || id)::uuid::demo.key;

-- 60 bits that depend on nothing but the arguments.
CREATE FUNCTION demo.draw(kind text, n bigint) RETURNS bigint IMMUTABLE
RETURN ('x' || left(md5(demo.seed() || ':' || kind || ':' || n::text), 15))::bit(60)::bigint;

-- Wild Apricot's ids; the ranges of the three entities never meet.
CREATE FUNCTION demo.wa_id(entity text, n bigint) RETURNS int IMMUTABLE
RETURN demo.wide() * CASE entity WHEN 'Member' THEN 50000 WHEN 'Event' THEN 9000 ELSE 700000 END + n::int;

-- The id that an importer gives to a run that starts then.
CREATE FUNCTION demo.run_id(importer text, started timestamp) RETURNS text STABLE
BEGIN ATOMIC
    SELECT CASE importer
        WHEN 'csv' THEN id
        WHEN 'guide' THEN 'run_' || to_char(started, 'YYYYMMDD') || '_' || left(id, 6)
        ELSE 'sync_' || second * 1000 || '_' || substr(id, 25, 6)
    END
    FROM (SELECT extract(epoch FROM started)::bigint AS second) s,
        LATERAL (SELECT demo.id('run ' || importer, second)::text AS id) i;
END;

CREATE FUNCTION demo.config(importer text) RETURNS jsonb IMMUTABLE
RETURN '{"source": "wild-apricot", "target": "murmurant", "version": "1.0"}'::jsonb
    || CASE importer WHEN 'guide' THEN '{"file": "membership.yaml"}' ELSE '{}' END::jsonb;

CREATE FUNCTION demo.plain(name text) RETURNS text IMMUTABLE
RETURN translate(name, 'èéëíñóöøúü', 'eeeinooouu');

-- A number that no member has had before.
CREATE FUNCTION demo.other_phone(kind text, n bigint) RETURNS text IMMUTABLE
RETURN '805556' || lpad((demo.draw(kind, n) % 10000)::text, 4, '0');

CREATE FUNCTION demo.dashed(phone text) RETURNS text IMMUTABLE
RETURN substr(phone, 1, 3) || '-' || substr(phone, 4, 3) || '-' || substr(phone, 7);

-- As Wild Apricot lists them.
CREATE FUNCTION demo.levels() RETURNS text[] IMMUTABLE
RETURN ARRAY['Newcomer', '2nd Year', 'Third Year', 'Alumni', 'Prospect', 'Extended Newcomer', 'New Member', 'Lapsed'];

CREATE FUNCTION demo.tier(level text) RETURNS text IMMUTABLE
RETURN CASE
    WHEN level IN ('Newcomer', '2nd Year', 'New Member') THEN 'NEWCOMER'
    WHEN level IN ('Third Year', 'Extended Newcomer') THEN 'EXTENDED'
    ELSE upper(level)
END;

-- Names in groups of one weight, men's before women's: the group whose draws a number falls on, and the name in it.
CREATE TABLE demo.name (kind text, place int, begins bigint, ends bigint, weight bigint, names text[]);

CREATE FUNCTION demo.people(lowest int, beyond int)
RETURNS TABLE (
    n int, id demo.key, given text, family text, email text, phone text, joined timestamp, level text, status text,
    private boolean
) STABLE
BEGIN ATOMIC
    WITH drawn AS (
        -- Three members of every twenty are one household, a couple and a child: one surname, one phone.
        SELECT p AS n, CASE WHEN p % 20 < 3 THEN p - p % 20 ELSE p END AS household, demo.draw('person', p) AS roll
        FROM generate_series(lowest - lowest % 20, beyond - 1) p
    ), numbered AS (
        SELECT d.*, demo.draw('person', household) >> 16 AS home, demo.draw('person', household) % demo.given() AS mate
        FROM drawn d
    ), named AS (
        SELECT d.*, home % demo.families() AS surname,
            household * 7919::bigint % 1000000 AS line, -- a prime: every household its own
            CASE
                WHEN n % 20 <> 1 THEN roll % demo.given()
                WHEN mate < demo.men() THEN demo.men() + roll % (demo.given() - demo.men())
                ELSE roll % demo.men()
            END AS forename
        FROM numbered d
    ), spelt AS (
        SELECT d.*, f.names[1 + (surname - f.begins) / f.weight] AS family,
            CASE n
                WHEN 3 THEN '<script>alert(1)</script>'
                ELSE g.names[1 + (forename - g.begins) / g.weight]
            END AS given
        FROM named d
        JOIN demo.name f ON f.kind = 'family' AND f.place = width_bucket(surname, (
            SELECT array_agg(ends ORDER BY place) FROM demo.name WHERE kind = 'family'
        ))
        JOIN demo.name g ON g.kind = 'given' AND g.place = width_bucket(forename, (
            SELECT array_agg(ends ORDER BY place) FROM demo.name WHERE kind = 'given'
        ))
    ), called AS (
        SELECT s.*, n % 20 IN (1, 2) AND given IN (
            lag(given) OVER (ORDER BY n), CASE WHEN n % 20 = 2 THEN lag(given, 2) OVER (ORDER BY n) END
        ) AS namesake FROM spelt s
    )
    SELECT n, demo.id('Member', n), CASE WHEN namesake THEN given || '-Lee' ELSE given END, family,
        -- The number, without digits in any name, keeps it unique under every way of normalising.
        lower(regexp_replace(demo.plain(given || '.' || family), '[^A-Za-z.]', '', 'g')) || n::text
            || CASE WHEN roll & 1 = 1 THEN '@example.org' ELSE '@example.com' END,
        (string_to_array(
            '201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 '
            '248 251 252 253 254 256 260 262 267 269 270 272 276 281 301 302 303 304 305 307 308 309 310 312 313 '
            '314 315 316 317 318 319 320 321 323 325 330 331 334 336 337 339 347 351 352 360 361 385 386 401 402 '
            '404 405 406 407 408 409 410 412 413 414 415 417 419 423 424 425 430 432 434 435 440 443 458 469 470', ' '
        ))[1 + line / 10000] || '555' || lpad((line % 10000)::text, 4, '0'),
        -- The second run's joined between the runs, all others before the first event in the books.
        CASE
            WHEN n >= demo.csv_members()
            THEN date_trunc('day', demo.first_run()) + (1 + (roll >> 32) % 9) * interval '1 day'
            ELSE demo.anchor() - (460 + (roll >> 32) % 2600) * interval '1 day' END,
        CASE
            WHEN n >= demo.csv_members() THEN (ARRAY['Newcomer', 'New Member', 'Prospect'])[1 + (roll >> 28) % 3]
            WHEN n % 10 = 6 THEN '2nd Year'
            ELSE (demo.levels())[1 + width_bucket((roll >> 28) % 100, ARRAY[22, 36, 52, 72, 80, 92, 96]::bigint[])]
        END,
        (ARRAY['Active', 'Lapsed', 'PendingRenewal', 'NotAMember'])[
            1 + width_bucket((roll >> 44) % 100, ARRAY[72, 82, 90]::bigint[])],
        (roll >> 52) & 7 = 0
    FROM called WHERE n >= lowest;
END;

-- Some events are drafts, and to some, in the application, people just walk in.
CREATE FUNCTION demo.is_draft(n int) RETURNS boolean IMMUTABLE RETURN n < demo.open_events() AND n % 15 = 14;
CREATE FUNCTION demo.is_open_house(n int) RETURNS boolean IMMUTABLE
RETURN demo.csv_members() > demo.first_members() AND n < demo.open_events() AND n % 15 = 13;

-- The first run brought a year of past events and some that lay ahead, the others newer ones. An event still open after
-- the first run begins two weeks after it or later, so that members who joined in between had time to register.
CREATE FUNCTION demo.events(lowest int, beyond int)
RETURNS TABLE (
    n int, id demo.key, title text, category text, location text, start_time timestamp, end_time timestamp,
    capacity int, published boolean, registration boolean, chair demo.key
) STABLE
BEGIN ATOMIC
    WITH dated AS (
        SELECT e AS n, (ARRAY['Books', 'Wine', 'Golf', 'Hiking', 'Bridge', 'Garden', 'Museum', 'Theatre', 'Supper',
                'Cycling'])[1 + e % 10] AS topic,
            demo.anchor() + interval '18 hours' + e % 5 * interval '30 minutes' + interval '1 day' * CASE
                WHEN e < demo.open_events() THEN 350 * e / demo.open_events() - 400
                WHEN e < demo.first_events()
                THEN 56 * (e - demo.open_events()) / (demo.first_events() - demo.open_events()) - 26
                WHEN e < demo.csv_events() THEN 5 * (e - demo.first_events()) - 18
                ELSE 100 * (e - demo.csv_events()) / greatest(1, demo.all_events() - demo.csv_events()) - 26
            END AS start_time
        FROM generate_series(lowest, beyond - 1) e
    )
    SELECT n, demo.id('Event', n),
        CASE n WHEN 5 THEN '=HYPERLINK("https://example.org";"Come along")' ELSE topic || ' '
            || (ARRAY['night', 'morning', 'outing', 'circle', 'workshop'])[1 + n / 10 % 5] || ' ' || (n + 1)::text END,
        topic, (ARRAY['Hall', 'Library', 'Harbour', 'Botanic garden', 'Mission', 'Online'])[1 + n % 6],
        start_time, start_time + (2 + n % 2) * interval '1 hour',
        CASE WHEN NOT demo.is_open_house(n) THEN 40 + 4 * (demo.draw('seats', n) % 16)::int END,
        NOT demo.is_draft(n), NOT demo.is_open_house(n), NULL::demo.key
    FROM dated;
END;

-- One import run in the making: itself, what it creates, and what it does with records that are there.
CREATE TABLE demo.run (
    run text, importer text, started timestamp, finished timestamp, pace interval, dry_run_lead interval, ended text,
    environment text, config jsonb, member int, event int, registration int -- the numbers of its first new records
);
CREATE TABLE demo.new_member (
    n int, id demo.key, given text, family text, email text, phone text, joined timestamp, level text, status text,
    private boolean, name text, at timestamp
);
CREATE TABLE demo.new_event (
    n int, id demo.key, title text, category text, location text, start_time timestamp, end_time timestamp,
    capacity int, published boolean, registration boolean, chair demo.key, name text, at timestamp
);
CREATE TABLE demo.new_registration (
    n int, id demo.key, event demo.key, member demo.key, status text, registered timestamp, name text, at timestamp
);
-- action: update (with the new values of columns), map, or skip. source: who the contact really is, if not the one for
-- whom the run takes it.
CREATE TABLE demo.met (
    entity text, action text, n int, id demo.key, wa_id int, changes jsonb, name text, at timestamp, source demo.key
);

CREATE PROCEDURE demo.clear() LANGUAGE sql
AS 'TRUNCATE demo.run, demo.new_member, demo.new_event, demo.new_registration, demo.met, demo.outcome';

-- What it deals with goes by its clock: members first, then events, then registrations.
CREATE PROCEDURE demo.set_clock()
BEGIN ATOMIC
    UPDATE demo.new_member m SET at = started + pace * (1 + m.n - member) FROM demo.run WHERE m.at IS NULL;
    UPDATE demo.new_event e SET at = started + pace * (1 + (SELECT count(*) FROM demo.new_member) + e.n - event)
    FROM demo.run WHERE e.at IS NULL;
    UPDATE demo.new_registration r
    SET at = started
        + pace * (1 + (SELECT count(*) FROM demo.new_member) + (SELECT count(*) FROM demo.new_event) + p.place)
    FROM demo.run, (SELECT n, row_number() OVER (ORDER BY n) AS place FROM demo.new_registration) p
    WHERE p.n = r.n AND r.at IS NULL;
    UPDATE demo.met SET at = started FROM demo.run WHERE at IS NULL;
END;

CREATE VIEW demo.created AS
    SELECT 'Member' AS entity, n, id, name, at FROM demo.new_member
    UNION ALL SELECT 'Event', n, id, name, at FROM demo.new_event
    UNION ALL SELECT 'Registration', n, id, name, at FROM demo.new_registration;

CREATE VIEW demo.listed AS
    SELECT entity, 'create' AS action, n, id, coalesce(name, demo.wa_id(entity, n)::text) AS name, id AS source
    FROM demo.created
    UNION ALL SELECT entity, action, n, id, coalesce(name, wa_id::text), coalesce(source, id)
    FROM demo.met WHERE action <> 'map';

-- Delete records with all that foreign keys, or the guide's missing ones, tie to them, and their mappings. Left to the
-- database, each of 62 foreign keys would be looked through once more for every single member: hours, in a large club.
CREATE FUNCTION demo.erase(parent text, ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    link record;
    children text[];
BEGIN
    FOR link IN SELECT * FROM demo.referring r WHERE r.parent = erase.parent ORDER BY 2, 3 LOOP
        IF link.rule = 'n' THEN
            EXECUTE format('UPDATE %I SET %I = NULL WHERE %2$I::text = ANY($1)', link.child, link.child_column)
            USING ids;
        ELSE
            EXECUTE format('SELECT array_agg(id::text) FROM %I WHERE %I::text = ANY($1)', link.child, link.child_column)
            INTO children USING ids;
            IF children IS NOT NULL THEN
                PERFORM demo.erase(link.child, children);
            END IF;
        END IF;
    END LOOP;
    SET LOCAL session_replication_role = replica;
    EXECUTE format('DELETE FROM %I WHERE id::text = ANY($1)', parent) USING ids;
    SET LOCAL session_replication_role = origin;
    DELETE FROM demo.mapping WHERE entity = parent AND record::text = ANY(ids);
END $$;

-- Whose turn it is: every breakage has members and events of its own, so that all can be planted together.
CREATE TABLE demo.allotted (breakage text, kind text, place int, n int, id demo.key, wa_id int);
CREATE VIEW demo.victim AS SELECT * FROM demo.allotted WHERE breakage = current_setting('demo.breakage');

-- Let each victim's WA id point at the next one's record.
CREATE FUNCTION demo.rotate() RETURNS TABLE (key text, "right" jsonb)
BEGIN ATOMIC
    UPDATE demo.mapping m SET record = next.id
    FROM demo.victim v JOIN demo.victim next ON next.place = (v.place + 1) % (SELECT count(*) FROM demo.victim)
    WHERE m.entity = 'Member' AND m.record = v.id
    RETURNING 'Member/' || v.wa_id, jsonb_build_object('Member/' || v.wa_id, v.id);
END;

-- What a planted run brings, unless its breakage says otherwise: three new members, one of them registered for an event
-- to come that has room.
CREATE PROCEDURE demo.fill_small(day int) BEGIN ATOMIC
    INSERT INTO demo.new_member SELECT p.* FROM demo.run, demo.people(member, member + 3) p;
    INSERT INTO demo.new_registration
    SELECT registration, demo.id('Registration', registration), room.id, demo.id('Member', member), 'CONFIRMED',
        started - interval '8 hours'
    FROM demo.run, (
        SELECT id, row_number() OVER (ORDER BY n DESC) - 1 AS place, count(*) OVER () AS rooms
        FROM demo.events(demo.csv_events(), demo.all_events()) WHERE n % 6 <> 5 AND start_time > demo.anchor()
    ) AS room
    WHERE place = fill_small.day % least(rooms, 11);
END;
