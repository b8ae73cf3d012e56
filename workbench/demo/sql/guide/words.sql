-- What is the guide's own: text for ids, an import run id on every record and mapping, audit entries of runs only.
CREATE DOMAIN demo.key AS text;
CREATE FUNCTION demo.entity(name text) RETURNS text IMMUTABLE RETURN name;
CREATE VIEW demo.registration AS SELECT * FROM "Registration";
CREATE VIEW demo.mapping AS
    SELECT id, "entityType" AS entity, "waId" AS wa_id, "murmurantId" AS record, "syncedAt", "updatedAt"
    FROM "WaIdMapping";
CREATE VIEW demo.referring (parent, child, child_column, rule) AS
    VALUES ('Member', 'Registration', 'memberId', 'r'), ('Event', 'Registration', 'eventId', 'r');

-- Another spelling of an address: here, exact duplicates exist.
CREATE FUNCTION demo.respelt(email text, way int) RETURNS text IMMUTABLE RETURN email;
