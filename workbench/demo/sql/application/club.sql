-- Statuses: those of the API sync, then those that the CSV import adds, named like tiers.
INSERT INTO "MembershipStatus" (id, code, label, description, "isActive", "isEligibleForRenewal", "isBoardEligible",
    "sortOrder", "createdAt", "updatedAt")
SELECT demo.id('MembershipStatus ' || code, 0), code, label, description || ' (WA import)', active, renewable, board,
    place, demo.opened(), demo.opened()
FROM (
    VALUES ('active', 'Active', 'Currently active member', true, true, true, 10),
        ('lapsed', 'Lapsed', 'Membership has expired', false, true, false, 20),
        ('pending_new', 'Pending New', 'New member pending approval or payment', false, false, false, 30),
        ('pending_renewal', 'Pending Renewal', 'Member with renewal in progress', true, false, false, 40),
        ('suspended', 'Suspended', 'Membership suspended', false, false, false, 50),
        ('not_a_member', 'Not a Member', 'Guest or non-member contact', false, false, false, 60),
        ('unknown', 'Unknown', 'Unmapped WA status', false, false, false, 99)
) AS s (code, label, description, active, renewable, board, place)
UNION ALL SELECT demo.id('MembershipStatus ' || code, 0), code, initcap(code), NULL, true, false, false, 0,
    demo.opened(), demo.opened() FROM "MembershipTier";

-- After the imports

-- What people did beside and since the imports: phone numbers changed by hand, accounts, offices, photos, notes. All of
-- it hangs on members, events and registrations by foreign keys, some of which forbid deleting those, some of which
-- follow silently. Undoing a run must leave it alone.
CREATE FUNCTION demo.since(second boolean) RETURNS timestamp IMMUTABLE
RETURN CASE WHEN second THEN demo.second_run() ELSE demo.first_run() END + interval '2 days';
CREATE FUNCTION demo.somebody(n int) RETURNS demo.key IMMUTABLE
RETURN demo.id('Member', (n * 7 + 1) % demo.first_members());

INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "memberId", before, after, "createdAt")
SELECT demo.id('audit by hand', n), 'UPDATE', 'Member', m.id, m.id, jsonb_build_object('phone', phone),
    jsonb_build_object('phone', demo.other_phone('by hand', n)),
    demo.anchor() - interval '12 hours' + n * interval '1 minute'
FROM generate_series(13, least(demo.first_members(), 1000) - 1, 50) n JOIN "Member" m ON m.id = demo.id('Member', n);
UPDATE "Member" m SET phone = after->>'phone', "updatedAt" = a."createdAt"
FROM "AuditLog" a WHERE a."resourceId" = m.id AND a."memberId" = m.id;
INSERT INTO "UserAccount" (id, "memberId", email, "passwordHash", "isActive", "createdAt", "updatedAt")
SELECT demo.id('UserAccount', n), m.id, m.email, '$argon2id$v=19$m=65536,t=3,p=4$' || left(m.id::text, 8), true, since,
    since
FROM generate_series(0, demo.members() - 1) n JOIN "Member" m ON m.id = demo.id('Member', n),
    demo.since(n >= demo.csv_members()) since
WHERE n % 5 < 2;
INSERT INTO "PaymentMethod" (id, "memberId", type, status, "displayName", provider, "providerRef", "isDefault",
    "createdAt", "updatedAt")
SELECT demo.id('PaymentMethod', n), demo.id('Member', n), 'CARD', 'ACTIVE', 'Visa •••• ' || (4000 + n % 1000), 'fake',
    'pm_' || n, true, since, since
FROM generate_series(0, demo.members() - 1, 10) n, demo.since(n >= demo.csv_members()) since;
INSERT INTO "PaymentIntent" (id, "registrationId", "idempotencyKey", provider, status, "amountCents", "createdAt",
    "updatedAt")
SELECT demo.id('PaymentIntent', n), demo.id('Registration', n), 'registration-' || n, 'fake', 'SUCCEEDED',
    1500 + 500 * (n / 40 % 4), since, since
FROM demo.booking, demo.since(origin <> 'first') since WHERE n % 40 = 0;
INSERT INTO "Committee" (id, name, slug, "createdAt", "updatedAt")
SELECT demo.id('Committee', n), name, lower(name), demo.since(false), demo.since(false) FROM demo.committee;
INSERT INTO "CommitteeRole" (id, "committeeId", name, slug, "sortOrder", "createdAt", "updatedAt")
SELECT demo.id('CommitteeRole', n), demo.id('Committee', n / 3), office, replace(lower(office), ' ', '-'), n % 3,
    demo.since(false), demo.since(false)
FROM generate_series(0, 17) n, LATERAL (SELECT (ARRAY['Chair', 'Vice chair', 'Secretary'])[1 + n % 3] AS office) o;
INSERT INTO "Term" (id, name, "startDate", "endDate", "isCurrent", "createdAt", "updatedAt")
SELECT demo.id('Term', y - 2024), y || '-' || y + 1, make_date(y, 6, 1), make_date(y + 1, 5, 31), y = 2025,
    demo.since(false), demo.since(false)
FROM generate_series(2024, 2025) y;
INSERT INTO "RoleAssignment" (id, "memberId", "committeeId", "committeeRoleId", "termId", "startDate", "createdAt",
    "updatedAt")
SELECT demo.id('RoleAssignment', n), demo.somebody(n), demo.id('Committee', n / 3), demo.id('CommitteeRole', n),
    demo.id('Term', 1), '2025-06-01', demo.since(false), demo.since(false)
FROM generate_series(0, 17) n;
INSERT INTO "MemberServiceHistory" (id, "memberId", "serviceType", "roleTitle", "committeeId", "committeeName",
    "termId", "termName", "startAt", "endAt", "createdAt", "createdById")
SELECT demo.id('MemberServiceHistory', n), demo.somebody(n + 20), 'COMMITTEE_CHAIR', name || ' chair',
    demo.id('Committee', n), name, demo.id('Term', 0), '2024-2025', '2024-06-01', '2025-05-31', demo.since(false),
    demo.somebody(0)
FROM demo.committee;
INSERT INTO "ActivityGroup" (id, name, slug, category, status, "proposedById", "proposedAt", "approvedById",
    "approvedAt", "createdAt", "updatedAt")
SELECT demo.id('ActivityGroup', n - 1), name, replace(lower(name), ' ', '-'), 'Social', 'APPROVED',
    demo.somebody(n::int - 1), demo.since(false), demo.somebody(n::int), demo.since(false),
    demo.since(false), demo.since(false)
FROM unnest(ARRAY['Early birds', 'Bridge players', 'Gardeners', 'Book circle']) WITH ORDINALITY AS g (name, n);
INSERT INTO "ActivityGroupMember" (id, "groupId", "memberId", role, "joinedAt", "createdAt", "updatedAt")
SELECT demo.id('ActivityGroupMember', n), demo.id('ActivityGroup', n / 8 % 4), demo.id('Member', n),
    CASE WHEN n < 32 THEN 'COORDINATOR' ELSE 'MEMBER' END::"ActivityGroupRole", since, since, since
FROM generate_series(0, least(demo.members(), 4000) - 1, 8) n, demo.since(n >= demo.csv_members()) since;
-- Of every tenth member there is a photo; of every twentieth it is for some people only.
INSERT INTO "FileObject" (id, name, "mimeType", size, checksum, "storageKey", "isPublic", "uploadedById", "createdAt",
    "updatedAt")
SELECT demo.id('FileObject', n), 'portrait-' || n || '.jpg', 'image/jpeg', 40000 + n % 999, md5('portrait ' || n),
    'portraits/' || n || '.jpg', n % 20 <> 15, demo.id('Member', n), since, since
FROM generate_series(5, demo.members() - 1, 10) n, demo.since(n >= demo.csv_members()) since;
UPDATE "Member" m SET "profilePhotoId" = f.id FROM "FileObject" f
WHERE f."uploadedById" = m.id AND m."waRawData" IS NOT NULL;
INSERT INTO "FileAccess" (id, "fileId", "principalType", "principalId", permission, "grantedById", "createdAt")
SELECT demo.id('FileAccess', n), demo.id('FileObject', n), 'ROLE', 'board', 'READ', demo.somebody(0), demo.since(true)
FROM generate_series(15, demo.members() - 1, 20) n;
INSERT INTO "EventNote" (id, "eventId", "authorId", "noteType", content, "createdAt", "updatedAt")
SELECT demo.id('EventNote', n), demo.id('Event', n), demo.somebody(n), 'PLANNING', 'Ask for the projector.', since,
    since
FROM generate_series(0, least(demo.all_events(), 1000) - 1, 4) n, demo.since(n >= demo.first_events()) since;
INSERT INTO "TicketTier" (id, "eventId", name, "priceCents", quantity, "createdAt", "updatedAt")
SELECT demo.id('TicketTier', n), e.id, 'Standard', 1500, coalesce(e.capacity, 100), since, since
FROM generate_series(0, demo.all_events() - 1, 4) n JOIN "Event" e ON e.id = demo.id('Event', n),
    demo.since(n >= demo.first_events()) since;
INSERT INTO "EventPostmortem" (id, "eventId", status, "attendanceRating", "whatWorked", "createdById", "createdAt",
    "updatedAt")
SELECT demo.id('EventPostmortem', n), demo.id('Event', n), 'APPROVED', 4, 'The venue.', demo.somebody(n),
    demo.since(false), demo.since(false)
FROM generate_series(1, least(demo.open_events(), 600) - 1, 6) n;
INSERT INTO "SupportCase" (id, "caseNumber", "submitterName", "submitterId", channel, description, "relatedMemberId",
    "receivedAt", "createdAt", "updatedAt")
SELECT demo.id('SupportCase', n), n, m."firstName" || ' ' || m."lastName", m.id, 'EMAIL',
    'I cannot see my registration.', m.id, demo.since(true), demo.since(true), demo.since(true)
FROM generate_series(1, 10) n JOIN "Member" m ON m.id = demo.id('Member', n * 3 % demo.first_members());
SELECT setval('"SupportCase_caseNumber_seq"', 10);
INSERT INTO "Page" (id, slug, title, status, content, "createdById", "createdAt", "updatedAt")
SELECT demo.id('Page', n - 1), slug, initcap(slug), 'PUBLISHED',
    jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text', 'text', initcap(slug)))),
    demo.somebody(n::int - 1), demo.since(false), demo.since(false)
FROM unnest(ARRAY['home', 'about', 'calendar', 'newsletter']) WITH ORDINALITY AS p (slug, n);
