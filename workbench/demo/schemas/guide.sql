-- The database the guide describes: text ids, text WA ids, a run id on every mapping, no foreign keys at all.
CREATE TABLE "MembershipTier" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Member" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "firstName" TEXT NOT NULL,
    "lastName" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "phone" TEXT,
    "joinedAt" TIMESTAMP(3) NOT NULL,
    "membershipTierId" TEXT,
    "waMembershipLevelRaw" TEXT,
    "isPrivate" BOOLEAN NOT NULL DEFAULT false,
    "visibility" TEXT NOT NULL DEFAULT 'MEMBERS',
    "importRunId" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Member_visibility_check" CHECK ("visibility" IN ('PUBLIC', 'MEMBERS', 'PRIVATE'))
);
CREATE TABLE "Event" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "category" TEXT,
    "location" TEXT,
    "startTime" TIMESTAMP(3) NOT NULL,
    "endTime" TIMESTAMP(3),
    "capacity" INTEGER,
    "isPublished" BOOLEAN NOT NULL DEFAULT false,
    "status" TEXT NOT NULL DEFAULT 'DRAFT',
    "importRunId" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Registration" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "eventId" TEXT NOT NULL,
    "memberId" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'CONFIRMED',
    "registeredAt" TIMESTAMP(3) NOT NULL,
    "importRunId" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaIdMapping" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "entityType" TEXT NOT NULL,
    "waId" TEXT NOT NULL,
    "murmurantId" TEXT NOT NULL,
    "syncRunId" TEXT,
    "syncedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaSyncState" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "lastFullSync" TIMESTAMP(3),
    "lastIncSync" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
-- The guide's own INSERT names action and metadata only, so id and createdAt need their defaults.
CREATE TABLE "AuditLog" (
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "action" TEXT NOT NULL,
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- After the rows

ALTER TABLE "MembershipTier" ADD CONSTRAINT "MembershipTier_pkey" PRIMARY KEY ("id");
ALTER TABLE "Member" ADD CONSTRAINT "Member_pkey" PRIMARY KEY ("id");
ALTER TABLE "Event" ADD CONSTRAINT "Event_pkey" PRIMARY KEY ("id");
ALTER TABLE "Registration" ADD CONSTRAINT "Registration_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaIdMapping" ADD CONSTRAINT "WaIdMapping_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaSyncState" ADD CONSTRAINT "WaSyncState_pkey" PRIMARY KEY ("id");
ALTER TABLE "AuditLog" ADD CONSTRAINT "AuditLog_pkey" PRIMARY KEY ("id");

CREATE UNIQUE INDEX "MembershipTier_code_key" ON "MembershipTier" ("code");
CREATE INDEX "Member_email_idx" ON "Member" ("email");
CREATE INDEX "Registration_eventId_idx" ON "Registration" ("eventId");
CREATE INDEX "Registration_memberId_idx" ON "Registration" ("memberId");
CREATE INDEX "WaIdMapping_entityType_waId_idx" ON "WaIdMapping" ("entityType", "waId");
CREATE INDEX "WaIdMapping_murmurantId_idx" ON "WaIdMapping" ("murmurantId");
CREATE INDEX "AuditLog_createdAt_idx" ON "AuditLog" ("createdAt");
