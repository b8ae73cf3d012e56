-- guide: §1.5
-- symptom: Members in wrong visibility groups
-- checks: members-visibility

-- Only in the guide
UPDATE "Member" SET visibility = 'PUBLIC' WHERE id IN (
    SELECT id FROM "Member"
    WHERE "isPrivate" AND "importRunId" = (SELECT "importRunId" FROM "Member" WHERE id = demo.id('Member', 0))
    ORDER BY id LIMIT 3
)
RETURNING id AS key;

-- Only in the application
-- Photos that only some may see.
UPDATE "FileObject" SET "isPublic" = true
WHERE "uploadedById" IN (
    SELECT demo.id('Member', n) FROM generate_series(15, least(demo.first_members(), 75) - 1, 20) n
)
RETURNING "uploadedById" AS key;
