-- What is the application's own: UUIDs and foreign keys, traces of the API sync in the audit log and none of the CSV
-- import, and all that people do beside the imports.
CREATE DOMAIN demo.key AS uuid;
CREATE FUNCTION demo.entity(name text) RETURNS text IMMUTABLE
RETURN CASE name WHEN 'Registration' THEN 'EventRegistration' ELSE name END;
CREATE VIEW demo.registration AS SELECT * FROM "EventRegistration";
CREATE VIEW demo.mapping AS
    SELECT id, "entityType" AS entity, "waId" AS wa_id, "clubosId" AS record, "syncedAt", "updatedAt"
    FROM "WaIdMapping";
CREATE VIEW demo.referring AS
    SELECT p.relname::text AS parent, c.relname::text AS child, a.attname::text AS child_column, k.confdeltype AS rule
    FROM pg_constraint k
    JOIN pg_class p ON p.oid = k.confrelid
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
    WHERE k.contype = 'f';

-- Another spelling of an address: no two members have the same.
CREATE FUNCTION demo.respelt(email text, way int) RETURNS text IMMUTABLE
RETURN CASE way % 3
    WHEN 0 THEN initcap(email)
    WHEN 1 THEN replace(split_part(email, '@', 1), '.', '') || '@' || split_part(email, '@', 2)
    ELSE replace(email, '@', '+club@')
END;
