-- After the imports

-- What people did since the last run: some phone numbers changed by hand.
UPDATE "Member" m SET phone = demo.other_phone('by hand', n),
    "updatedAt" = demo.anchor() - interval '12 hours' + n * interval '1 minute'
FROM generate_series(13, least(demo.first_members(), 1000) - 1, 50) n WHERE m.id = demo.id('Member', n);
INSERT INTO "AuditLog" (id, action, metadata, "createdAt")
SELECT demo.id('audit by hand', n), 'member:updated',
    jsonb_build_object('memberId', m.id, 'field', 'phone', 'by', m.id), m."updatedAt"
FROM generate_series(13, least(demo.first_members(), 1000) - 1, 50) n JOIN "Member" m ON m.id = demo.id('Member', n);
