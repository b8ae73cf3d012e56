-- The application's schema: enums, tables, then keys, indexes and foreign keys under the names Prisma gives.
-- Made once from the recorded schema (74 tables, 35 enums, 124 foreign keys); a test compares the two.
-- The demo loads its rows between the tables and the line that says so: indexes built and keys checked once,
-- over all rows, cost a fraction of what they cost row by row.

CREATE TYPE "ActivityGroupRole" AS ENUM ('COORDINATOR', 'MEMBER');
CREATE TYPE "ActivityGroupStatus" AS ENUM ('PROPOSED', 'APPROVED', 'REJECTED', 'DEACTIVATED');
CREATE TYPE "AuditAction" AS ENUM ('CREATE', 'UPDATE', 'DELETE', 'PUBLISH', 'UNPUBLISH', 'SEND', 'ARCHIVE',
    'DISCARD_DRAFT', 'EMAIL_SENT', 'EMAIL_BOUNCED', 'EMAIL_COMPLAINED', 'EMAIL_UNSUBSCRIBED',
    'PASSKEY_REGISTERED', 'PASSKEY_USED', 'PASSKEY_REVOKED', 'PASSKEY_LOGIN_FAILED', 'EMAIL_LINK_SENT',
    'EMAIL_LINK_USED', 'LOGIN', 'LOGOUT', 'SESSION_REVOKED', 'IMPERSONATION_START', 'IMPERSONATION_END',
    'EVENT_REGISTER', 'EVENT_WAITLIST_JOIN', 'EVENT_CANCEL_REGISTRATION', 'PAYMENT_METHOD_ADDED',
    'PAYMENT_METHOD_REVOKED', 'UNDO', 'REDO', 'GROUP_PROPOSED', 'GROUP_APPROVED', 'GROUP_REJECTED',
    'GROUP_DEACTIVATED', 'GROUP_JOIN', 'GROUP_LEAVE', 'GROUP_ANNOUNCEMENT_CREATE',
    'GROUP_ANNOUNCEMENT_UPDATE', 'GROUP_ANNOUNCEMENT_DELETE', 'GROUP_MESSAGE_SEND');
CREATE TYPE "CampaignStatus" AS ENUM ('DRAFT', 'SCHEDULED', 'SENDING', 'SENT', 'CANCELLED');
CREATE TYPE "DeliveryStatus" AS ENUM ('PENDING', 'SENT', 'DELIVERED', 'BOUNCED', 'FAILED', 'COMPLAINED',
    'UNSUBSCRIBED');
CREATE TYPE "EmailStatus" AS ENUM ('QUEUED', 'SENT', 'DELIVERED', 'BOUNCED', 'FAILED');
CREATE TYPE "EventNoteType" AS ENUM ('PLANNING', 'VENUE', 'WRAP_UP', 'LESSON', 'HANDOFF');
CREATE TYPE "EventStatus" AS ENUM ('DRAFT', 'PENDING_APPROVAL', 'CHANGES_REQUESTED', 'APPROVED',
    'PUBLISHED', 'CANCELED', 'COMPLETED');
CREATE TYPE "FilePermission" AS ENUM ('READ', 'WRITE', 'ADMIN');
CREATE TYPE "FilePrincipalType" AS ENUM ('USER', 'ROLE', 'GROUP');
CREATE TYPE "FulfillmentType" AS ENUM ('SHIPPING', 'PICKUP', 'DIGITAL_DELIVERY');
CREATE TYPE "GovernanceMeetingType" AS ENUM ('BOARD', 'EXECUTIVE', 'SPECIAL', 'ANNUAL');
CREATE TYPE "JobRunStatus" AS ENUM ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'SKIPPED');
CREATE TYPE "MinutesStatus" AS ENUM ('DRAFT', 'SUBMITTED', 'REVISED', 'APPROVED', 'PUBLISHED', 'ARCHIVED');
CREATE TYPE "MotionResult" AS ENUM ('PASSED', 'FAILED', 'TABLED', 'WITHDRAWN');
CREATE TYPE "PageStatus" AS ENUM ('DRAFT', 'PUBLISHED', 'ARCHIVED');
CREATE TYPE "PageVisibility" AS ENUM ('PUBLIC', 'MEMBERS_ONLY', 'ROLE_RESTRICTED');
CREATE TYPE "PaymentIntentStatus" AS ENUM ('CREATED', 'PROCESSING', 'SUCCEEDED', 'FAILED', 'CANCELLED',
    'REQUIRES_ACTION', 'REFUND_PENDING', 'REFUNDED', 'PARTIALLY_REFUNDED');
CREATE TYPE "PaymentMethodStatus" AS ENUM ('ACTIVE', 'REVOKED');
CREATE TYPE "PaymentMethodType" AS ENUM ('CARD', 'ACH');
CREATE TYPE "PostmortemStatus" AS ENUM ('DRAFT', 'SUBMITTED', 'APPROVED', 'UNLOCKED');
CREATE TYPE "ProductType" AS ENUM ('PHYSICAL', 'DIGITAL');
CREATE TYPE "RegistrationStatus" AS ENUM ('DRAFT', 'PENDING_PAYMENT', 'PENDING', 'CONFIRMED', 'WAITLISTED',
    'CANCELLED', 'REFUND_PENDING', 'REFUNDED', 'NO_SHOW');
CREATE TYPE "ReviewFlagStatus" AS ENUM ('OPEN', 'IN_PROGRESS', 'RESOLVED', 'DISMISSED');
CREATE TYPE "ReviewFlagType" AS ENUM ('INSURANCE_REVIEW', 'LEGAL_REVIEW', 'POLICY_REVIEW',
    'COMPLIANCE_CHECK', 'GENERAL');
CREATE TYPE "ServiceType" AS ENUM ('BOARD_OFFICER', 'COMMITTEE_CHAIR', 'COMMITTEE_MEMBER', 'EVENT_HOST');
CREATE TYPE "StoreOrderStatus" AS ENUM ('CART', 'PENDING_PAYMENT', 'PAID', 'PROCESSING', 'SHIPPED',
    'READY_FOR_PICKUP', 'DELIVERED', 'PICKED_UP', 'COMPLETED', 'CANCELLED', 'REFUND_PENDING', 'REFUNDED');
CREATE TYPE "SupportCaseCategory" AS ENUM ('BUG', 'UX_GAP', 'RULE_MISMATCH', 'MISSING_CAPABILITY',
    'EDUCATION', 'UNKNOWN');
CREATE TYPE "SupportCaseChannel" AS ENUM ('EMAIL', 'TEXT', 'SLACK', 'IN_PERSON', 'PHONE', 'OTHER');
CREATE TYPE "SupportCaseResolution" AS ENUM ('RESPONSE_ONLY', 'RESPONSE_PLUS_DOCS', 'RESPONSE_PLUS_FIX',
    'ESCALATED', 'NO_ACTION_NEEDED');
CREATE TYPE "SupportCaseStatus" AS ENUM ('OPEN', 'AWAITING_INFO', 'IN_PROGRESS', 'ESCALATED', 'RESOLVED',
    'CLOSED');
CREATE TYPE "TemplateType" AS ENUM ('PAGE', 'EMAIL');
CREATE TYPE "ThemeStatus" AS ENUM ('DRAFT', 'ACTIVE', 'ARCHIVED');
CREATE TYPE "TransitionStatus" AS ENUM ('DRAFT', 'PENDING_APPROVAL', 'APPROVED', 'APPLIED', 'CANCELLED');
CREATE TYPE "WidgetTypeStatus" AS ENUM ('DRAFT', 'PENDING_VALIDATION', 'VALIDATION_FAILED',
    'PENDING_APPROVAL', 'APPROVED', 'DEPRECATED', 'REJECTED');

CREATE TABLE "ActivityGroup" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "category" TEXT,
    "schedule" TEXT,
    "imageEmoji" TEXT,
    "status" "ActivityGroupStatus" NOT NULL DEFAULT 'PROPOSED',
    "isPublic" BOOLEAN NOT NULL DEFAULT true,
    "proposedById" UUID NOT NULL,
    "proposedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "approvedById" UUID,
    "approvedAt" TIMESTAMP(3),
    "rejectedById" UUID,
    "rejectedAt" TIMESTAMP(3),
    "rejectionNotes" TEXT,
    "deactivatedById" UUID,
    "deactivatedAt" TIMESTAMP(3),
    "deactivationReason" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "ActivityGroupAnnouncement" (
    "id" UUID NOT NULL,
    "groupId" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "isPinned" BOOLEAN NOT NULL DEFAULT false,
    "publishedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMP(3),
    "createdById" UUID NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "ActivityGroupMember" (
    "id" UUID NOT NULL,
    "groupId" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "role" "ActivityGroupRole" NOT NULL DEFAULT 'MEMBER',
    "joinedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "leftAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Asset" (
    "id" UUID NOT NULL,
    "type" TEXT NOT NULL,
    "filename" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "mimeType" TEXT,
    "size" INTEGER,
    "width" INTEGER,
    "height" INTEGER,
    "alt" TEXT,
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "AudienceRule" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "rules" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "AuditLog" (
    "id" UUID NOT NULL,
    "action" "AuditAction" NOT NULL,
    "resourceType" TEXT NOT NULL,
    "resourceId" UUID NOT NULL,
    "memberId" UUID,
    "before" JSONB,
    "after" JSONB,
    "metadata" JSONB,
    "ipAddress" TEXT,
    "userAgent" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "AuthChallenge" (
    "id" UUID NOT NULL,
    "challenge" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "userAccountId" UUID,
    "email" TEXT,
    "ipAddress" TEXT,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    "usedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "Committee" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "CommitteeRole" (
    "id" UUID NOT NULL,
    "committeeId" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "CustomFieldDef" (
    "id" UUID NOT NULL,
    "entityType" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "fieldType" TEXT NOT NULL,
    "description" TEXT,
    "isRequired" BOOLEAN NOT NULL DEFAULT false,
    "allowedValues" JSONB,
    "validationRules" JSONB,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "CustomFieldValue" (
    "id" UUID NOT NULL,
    "customFieldDefId" UUID NOT NULL,
    "entityId" UUID NOT NULL,
    "value" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "DeliveryLog" (
    "id" UUID NOT NULL,
    "campaignId" UUID NOT NULL,
    "recipientId" UUID,
    "recipientEmail" TEXT NOT NULL,
    "status" "DeliveryStatus" NOT NULL DEFAULT 'PENDING',
    "providerMsgId" TEXT,
    "sentAt" TIMESTAMP(3),
    "deliveredAt" TIMESTAMP(3),
    "bouncedAt" TIMESTAMP(3),
    "bounceType" TEXT,
    "bounceReason" TEXT,
    "complainedAt" TIMESTAMP(3),
    "unsubscribedAt" TIMESTAMP(3),
    "openedAt" TIMESTAMP(3),
    "clickedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "DigitalDelivery" (
    "id" UUID NOT NULL,
    "orderId" UUID NOT NULL,
    "productId" UUID NOT NULL,
    "downloadToken" TEXT NOT NULL,
    "downloadCount" INTEGER NOT NULL DEFAULT 0,
    "maxDownloads" INTEGER,
    "expiresAt" TIMESTAMP(3),
    "firstDownloadAt" TIMESTAMP(3),
    "lastDownloadAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "EmailLog" (
    "id" UUID NOT NULL,
    "memberId" UUID,
    "recipientEmail" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "bodyPreview" TEXT,
    "sentAt" TIMESTAMP(3) NOT NULL,
    "channel" TEXT NOT NULL,
    "templateKey" TEXT,
    "status" "EmailStatus" NOT NULL DEFAULT 'QUEUED',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "EmailMagicLink" (
    "id" UUID NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "userAccountId" UUID,
    "purpose" TEXT NOT NULL DEFAULT 'login',
    "ipAddress" TEXT,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    "usedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "EmailSuppressionList" (
    "id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "sourceLogId" UUID,
    "expiresAt" TIMESTAMP(3),
    "addedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "EmailTrackingConfig" (
    "id" UUID NOT NULL,
    "trackOpens" BOOLEAN NOT NULL DEFAULT false,
    "trackClicks" BOOLEAN NOT NULL DEFAULT false,
    "trackBounces" BOOLEAN NOT NULL DEFAULT true,
    "trackComplaints" BOOLEAN NOT NULL DEFAULT true,
    "autoSuppressHardBounce" BOOLEAN NOT NULL DEFAULT true,
    "autoSuppressComplaint" BOOLEAN NOT NULL DEFAULT true,
    "retentionDays" INTEGER NOT NULL DEFAULT 90,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Event" (
    "id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "category" TEXT,
    "location" TEXT,
    "startTime" TIMESTAMP(3) NOT NULL,
    "endTime" TIMESTAMP(3),
    "capacity" INTEGER,
    "isPublished" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "status" "EventStatus" NOT NULL DEFAULT 'DRAFT',
    "publishAt" TIMESTAMP(3),
    "registrationDeadline" TIMESTAMP(3),
    "requiresRegistration" BOOLEAN NOT NULL DEFAULT true,
    "registrationOpensAt" TIMESTAMP(3),
    "enewsBlurbDraft" TEXT,
    "submittedAt" TIMESTAMP(3),
    "submittedById" UUID,
    "approvedAt" TIMESTAMP(3),
    "approvedById" UUID,
    "approvalNotes" TEXT,
    "publishedAt" TIMESTAMP(3),
    "publishedById" UUID,
    "changesRequestedAt" TIMESTAMP(3),
    "changesRequestedById" UUID,
    "rejectionNotes" TEXT,
    "canceledAt" TIMESTAMP(3),
    "canceledById" UUID,
    "canceledReason" TEXT,
    "committeeId" UUID,
    "activityGroupId" UUID,
    "eventChairId" UUID,
    "clonedFromId" UUID,
    "clonedAt" TIMESTAMP(3)
);
CREATE TABLE "EventNote" (
    "id" UUID NOT NULL,
    "eventId" UUID NOT NULL,
    "authorId" UUID NOT NULL,
    "noteType" "EventNoteType" NOT NULL,
    "content" TEXT NOT NULL,
    "isPrivate" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "EventPostmortem" (
    "id" UUID NOT NULL,
    "eventId" UUID NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "setupNotes" TEXT,
    "contactsUsed" TEXT,
    "timelineNotes" TEXT,
    "attendanceRating" INTEGER,
    "logisticsRating" INTEGER,
    "satisfactionRating" INTEGER,
    "whatWorked" TEXT,
    "whatDidNot" TEXT,
    "whatToChangeNextTime" TEXT,
    "internalOnly" BOOLEAN NOT NULL DEFAULT true,
    "status" "PostmortemStatus" NOT NULL DEFAULT 'DRAFT',
    "approvedAt" TIMESTAMP(3),
    "approvedBy" UUID,
    "createdById" UUID,
    "submittedAt" TIMESTAMP(3),
    "submittedByName" TEXT,
    "submittedByEmail" TEXT,
    "submittedByPhone" TEXT
);
CREATE TABLE "EventRegistration" (
    "id" UUID NOT NULL,
    "eventId" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "ticketTierId" UUID,
    "status" "RegistrationStatus" NOT NULL DEFAULT 'DRAFT',
    "waitlistPosition" INTEGER,
    "registeredAt" TIMESTAMP(3) NOT NULL,
    "cancelledAt" TIMESTAMP(3),
    "confirmedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "FileAccess" (
    "id" UUID NOT NULL,
    "fileId" UUID NOT NULL,
    "principalType" "FilePrincipalType" NOT NULL,
    "principalId" TEXT NOT NULL,
    "permission" "FilePermission" NOT NULL,
    "grantedById" UUID,
    "expiresAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "FileObject" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "mimeType" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "checksum" TEXT NOT NULL,
    "storageKey" TEXT NOT NULL,
    "description" TEXT,
    "isPublic" BOOLEAN NOT NULL DEFAULT false,
    "uploadedById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "FileTag" (
    "id" UUID NOT NULL,
    "fileId" UUID NOT NULL,
    "tag" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "GovernanceAnnotation" (
    "id" UUID NOT NULL,
    "targetType" TEXT NOT NULL,
    "targetId" UUID NOT NULL,
    "motionId" UUID,
    "anchor" TEXT,
    "body" TEXT NOT NULL,
    "isPublished" BOOLEAN NOT NULL DEFAULT false,
    "createdById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "GovernanceMeeting" (
    "id" UUID NOT NULL,
    "date" DATE NOT NULL,
    "type" "GovernanceMeetingType" NOT NULL,
    "title" TEXT,
    "location" TEXT,
    "attendanceCount" INTEGER,
    "quorumMet" BOOLEAN NOT NULL DEFAULT true,
    "createdById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "GovernanceMinutes" (
    "id" UUID NOT NULL,
    "meetingId" UUID NOT NULL,
    "status" "MinutesStatus" NOT NULL DEFAULT 'DRAFT',
    "version" INTEGER NOT NULL DEFAULT 1,
    "content" JSONB NOT NULL,
    "summary" TEXT,
    "submittedAt" TIMESTAMP(3),
    "submittedById" UUID,
    "reviewedAt" TIMESTAMP(3),
    "reviewedById" UUID,
    "reviewNotes" TEXT,
    "approvedAt" TIMESTAMP(3),
    "approvedById" UUID,
    "publishedAt" TIMESTAMP(3),
    "publishedById" UUID,
    "createdById" UUID,
    "lastEditedById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "GovernanceMotion" (
    "id" UUID NOT NULL,
    "meetingId" UUID NOT NULL,
    "motionNumber" INTEGER NOT NULL,
    "motionText" TEXT NOT NULL,
    "movedById" UUID,
    "secondedById" UUID,
    "votesYes" INTEGER NOT NULL DEFAULT 0,
    "votesNo" INTEGER NOT NULL DEFAULT 0,
    "votesAbstain" INTEGER NOT NULL DEFAULT 0,
    "result" "MotionResult",
    "resultNotes" TEXT,
    "createdById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "GovernanceReviewFlag" (
    "id" UUID NOT NULL,
    "targetType" TEXT NOT NULL,
    "targetId" UUID NOT NULL,
    "flagType" "ReviewFlagType" NOT NULL,
    "status" "ReviewFlagStatus" NOT NULL DEFAULT 'OPEN',
    "title" TEXT NOT NULL,
    "notes" TEXT,
    "dueDate" TIMESTAMP(3),
    "resolvedAt" TIMESTAMP(3),
    "resolvedById" UUID,
    "resolution" TEXT,
    "createdById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "JobRun" (
    "id" UUID NOT NULL,
    "jobName" TEXT NOT NULL,
    "scheduledFor" DATE NOT NULL,
    "requestId" TEXT,
    "status" "JobRunStatus" NOT NULL DEFAULT 'PENDING',
    "startedAt" TIMESTAMP(3),
    "finishedAt" TIMESTAMP(3),
    "errorSummary" TEXT,
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "MailingList" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "audienceRuleId" UUID,
    "staticMembers" JSONB,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Member" (
    "id" UUID NOT NULL,
    "firstName" TEXT NOT NULL,
    "lastName" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "phone" TEXT,
    "joinedAt" TIMESTAMP(3) NOT NULL,
    "membershipStatusId" UUID NOT NULL,
    "membershipTierId" UUID,
    "waMembershipLevelRaw" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "profilePhotoId" UUID,
    "waRawData" JSONB
);
CREATE TABLE "MemberServiceHistory" (
    "id" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "serviceType" "ServiceType" NOT NULL,
    "roleTitle" TEXT NOT NULL,
    "committeeId" UUID,
    "committeeName" TEXT,
    "eventId" UUID,
    "eventTitle" TEXT,
    "termId" UUID,
    "termName" TEXT,
    "startAt" TIMESTAMP(3) NOT NULL,
    "endAt" TIMESTAMP(3),
    "transitionPlanId" UUID,
    "notes" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "createdById" UUID
);
CREATE TABLE "MembershipStatus" (
    "id" UUID NOT NULL,
    "code" TEXT NOT NULL,
    "label" TEXT NOT NULL,
    "description" TEXT,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "isEligibleForRenewal" BOOLEAN NOT NULL DEFAULT false,
    "isBoardEligible" BOOLEAN NOT NULL DEFAULT false,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "MembershipTier" (
    "id" UUID NOT NULL,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "MessageCampaign" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "messageTemplateId" UUID NOT NULL,
    "mailingListId" UUID,
    "audienceRuleId" UUID,
    "status" "CampaignStatus" NOT NULL DEFAULT 'DRAFT',
    "scheduledAt" TIMESTAMP(3),
    "sentAt" TIMESTAMP(3),
    "totalRecipients" INTEGER,
    "successCount" INTEGER,
    "failureCount" INTEGER,
    "createdById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "MessageTemplate" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "bodyHtml" TEXT NOT NULL,
    "bodyText" TEXT,
    "tokens" JSONB,
    "templateId" UUID,
    "providerOpts" JSONB,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Navigation" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "items" JSONB NOT NULL,
    "audienceRuleId" UUID,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Page" (
    "id" UUID NOT NULL,
    "slug" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "status" "PageStatus" NOT NULL DEFAULT 'DRAFT',
    "visibility" "PageVisibility" NOT NULL DEFAULT 'PUBLIC',
    "templateId" UUID,
    "themeId" UUID,
    "content" JSONB NOT NULL,
    "publishedContent" JSONB,
    "seoTitle" TEXT,
    "seoDescription" TEXT,
    "seoImage" TEXT,
    "publishAt" TIMESTAMP(3),
    "publishedAt" TIMESTAMP(3),
    "audienceRuleId" UUID,
    "createdById" UUID,
    "updatedById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "PageRevision" (
    "id" UUID NOT NULL,
    "pageId" UUID NOT NULL,
    "content" JSONB NOT NULL,
    "action" TEXT NOT NULL,
    "actionSummary" TEXT,
    "stackPosition" INTEGER NOT NULL DEFAULT 0,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "createdById" UUID
);
CREATE TABLE "PasskeyCredential" (
    "id" UUID NOT NULL,
    "userAccountId" UUID NOT NULL,
    "credentialId" TEXT NOT NULL,
    "publicKey" TEXT NOT NULL,
    "counter" BIGINT NOT NULL DEFAULT 0,
    "transports" TEXT[],
    "deviceName" TEXT,
    "aaguid" TEXT,
    "isRevoked" BOOLEAN NOT NULL DEFAULT false,
    "revokedAt" TIMESTAMP(3),
    "revokedById" UUID,
    "revokedReason" TEXT,
    "lastUsedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "PaymentIntent" (
    "id" UUID NOT NULL,
    "registrationId" UUID NOT NULL,
    "idempotencyKey" TEXT NOT NULL,
    "providerRef" TEXT,
    "provider" TEXT NOT NULL DEFAULT 'fake',
    "status" "PaymentIntentStatus" NOT NULL DEFAULT 'CREATED',
    "amountCents" INTEGER NOT NULL,
    "currency" TEXT NOT NULL DEFAULT 'USD',
    "description" TEXT,
    "metadata" JSONB,
    "checkoutUrl" TEXT,
    "webhookReceivedAt" TIMESTAMP(3),
    "failureReason" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "PaymentMethod" (
    "id" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "type" "PaymentMethodType" NOT NULL,
    "status" "PaymentMethodStatus" NOT NULL DEFAULT 'ACTIVE',
    "displayName" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "providerRef" TEXT NOT NULL,
    "isDefault" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "revokedAt" TIMESTAMP(3)
);
CREATE TABLE "Permission" (
    "id" UUID NOT NULL,
    "resourceType" TEXT NOT NULL,
    "resourceId" UUID NOT NULL,
    "memberId" UUID,
    "roleSlug" TEXT,
    "action" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "Photo" (
    "id" UUID NOT NULL,
    "albumId" UUID NOT NULL,
    "uploaderId" UUID NOT NULL,
    "filename" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "caption" TEXT,
    "takenAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "PhotoAlbum" (
    "id" UUID NOT NULL,
    "eventId" UUID,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "coverPhotoId" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Product" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "type" "ProductType" NOT NULL DEFAULT 'PHYSICAL',
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "isPublic" BOOLEAN NOT NULL DEFAULT true,
    "priceCents" INTEGER NOT NULL,
    "memberPriceCents" INTEGER,
    "comparePriceCents" INTEGER,
    "imageUrl" TEXT,
    "images" JSONB,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "digitalAssetUrl" TEXT,
    "downloadLimit" INTEGER,
    "allowsShipping" BOOLEAN NOT NULL DEFAULT true,
    "allowsPickup" BOOLEAN NOT NULL DEFAULT false,
    "trackInventory" BOOLEAN NOT NULL DEFAULT true,
    "quantity" INTEGER NOT NULL DEFAULT 0,
    "lowStockThreshold" INTEGER,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "ProductVariant" (
    "id" UUID NOT NULL,
    "productId" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "sku" TEXT,
    "priceCents" INTEGER,
    "memberPriceCents" INTEGER,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "quantity" INTEGER NOT NULL DEFAULT 0,
    "lowStockThreshold" INTEGER,
    "attributes" JSONB,
    "imageUrl" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "RoleAssignment" (
    "id" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "committeeId" UUID NOT NULL,
    "committeeRoleId" UUID NOT NULL,
    "termId" UUID NOT NULL,
    "startDate" TIMESTAMP(3) NOT NULL,
    "endDate" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Session" (
    "id" UUID NOT NULL,
    "tokenHash" TEXT NOT NULL,
    "userAccountId" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "globalRole" TEXT NOT NULL,
    "ipAddress" TEXT,
    "userAgent" TEXT,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    "lastActivityAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "revokedAt" TIMESTAMP(3),
    "revokedById" UUID,
    "revokedReason" TEXT,
    "impersonatingMemberId" UUID,
    "impersonatedAt" TIMESTAMP(3)
);
CREATE TABLE "ShippingAddress" (
    "id" UUID NOT NULL,
    "customerId" UUID,
    "firstName" TEXT NOT NULL,
    "lastName" TEXT NOT NULL,
    "company" TEXT,
    "addressLine1" TEXT NOT NULL,
    "addressLine2" TEXT,
    "city" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "postalCode" TEXT NOT NULL,
    "country" TEXT NOT NULL DEFAULT 'US',
    "phone" TEXT,
    "isDefault" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "StarlingAudit" (
    "id" TEXT NOT NULL,
    "userId" UUID NOT NULL,
    "conversationId" TEXT,
    "action" TEXT NOT NULL,
    "userMessage" TEXT,
    "assistantResponse" TEXT,
    "intent" TEXT,
    "confidence" DOUBLE PRECISION,
    "stagingId" TEXT,
    "targetRoute" TEXT,
    "pageContext" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "StarlingConversation" (
    "id" TEXT NOT NULL,
    "userId" UUID NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "StarlingKnowledge" (
    "id" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "source_type" TEXT NOT NULL,
    "title" TEXT,
    "section" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "organization_id" UUID,
    "visibility" TEXT NOT NULL DEFAULT 'member',
    "embedding" TEXT,
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "StarlingMessage" (
    "id" TEXT NOT NULL,
    "conversationId" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "intent" TEXT,
    "confidence" DOUBLE PRECISION,
    "actionType" TEXT,
    "pageContext" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "StarlingStaging" (
    "id" TEXT NOT NULL,
    "userId" UUID NOT NULL,
    "conversationId" TEXT NOT NULL,
    "targetRoute" TEXT NOT NULL,
    "formData" JSONB NOT NULL,
    "stagedFields" TEXT[],
    "highlightSelector" TEXT NOT NULL,
    "toastMessage" TEXT NOT NULL,
    "requiresPasskey" BOOLEAN NOT NULL DEFAULT false,
    "metadata" JSONB NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    "consumed" BOOLEAN NOT NULL DEFAULT false,
    "consumedAt" TIMESTAMP(3),
    "confirmed" BOOLEAN NOT NULL DEFAULT false,
    "confirmedAt" TIMESTAMP(3)
);
CREATE TABLE "StoreOrder" (
    "id" UUID NOT NULL,
    "orderNumber" SERIAL NOT NULL,
    "status" "StoreOrderStatus" NOT NULL DEFAULT 'CART',
    "fulfillmentType" "FulfillmentType",
    "customerId" UUID,
    "guestEmail" TEXT,
    "guestFirstName" TEXT,
    "guestLastName" TEXT,
    "guestPhone" TEXT,
    "subtotalCents" INTEGER NOT NULL DEFAULT 0,
    "shippingCents" INTEGER NOT NULL DEFAULT 0,
    "taxCents" INTEGER NOT NULL DEFAULT 0,
    "totalCents" INTEGER NOT NULL DEFAULT 0,
    "sessionId" TEXT,
    "checkoutStartedAt" TIMESTAMP(3),
    "paidAt" TIMESTAMP(3),
    "shippedAt" TIMESTAMP(3),
    "deliveredAt" TIMESTAMP(3),
    "pickedUpAt" TIMESTAMP(3),
    "completedAt" TIMESTAMP(3),
    "cancelledAt" TIMESTAMP(3),
    "refundedAt" TIMESTAMP(3),
    "shippingAddressId" UUID,
    "trackingNumber" TEXT,
    "trackingUrl" TEXT,
    "carrier" TEXT,
    "pickupLocation" TEXT,
    "pickupInstructions" TEXT,
    "pickupCode" TEXT,
    "idempotencyKey" TEXT,
    "stripePaymentIntentId" TEXT,
    "paymentMethod" TEXT,
    "customerNotes" TEXT,
    "adminNotes" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "StoreOrderItem" (
    "id" UUID NOT NULL,
    "orderId" UUID NOT NULL,
    "productId" UUID NOT NULL,
    "variantId" UUID,
    "productName" TEXT NOT NULL,
    "variantName" TEXT,
    "sku" TEXT,
    "quantity" INTEGER NOT NULL,
    "unitPriceCents" INTEGER NOT NULL,
    "totalPriceCents" INTEGER NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "SupportCase" (
    "id" UUID NOT NULL,
    "caseNumber" SERIAL NOT NULL,
    "submitterName" TEXT NOT NULL,
    "submitterEmail" TEXT,
    "submitterId" UUID,
    "channel" "SupportCaseChannel" NOT NULL,
    "receivedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "description" TEXT NOT NULL,
    "context" JSONB,
    "status" "SupportCaseStatus" NOT NULL DEFAULT 'OPEN',
    "category" "SupportCaseCategory" NOT NULL DEFAULT 'UNKNOWN',
    "initialCategory" "SupportCaseCategory",
    "ownerId" UUID,
    "resolution" "SupportCaseResolution",
    "resolutionNotes" TEXT,
    "preventiveAction" TEXT,
    "relatedEventId" UUID,
    "relatedMemberId" UUID,
    "linkedPR" TEXT,
    "linkedDocs" TEXT,
    "aiRootCause" TEXT,
    "aiProposedActions" JSONB,
    "aiRiskLevel" TEXT,
    "aiEffortLevel" TEXT,
    "closedAt" TIMESTAMP(3),
    "closedById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "SupportCaseNote" (
    "id" UUID NOT NULL,
    "caseId" UUID NOT NULL,
    "authorId" UUID,
    "noteType" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE "Template" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "type" "TemplateType" NOT NULL,
    "description" TEXT,
    "schemaVersion" INTEGER NOT NULL DEFAULT 1,
    "content" JSONB NOT NULL,
    "themeId" UUID,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Term" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "startDate" TIMESTAMP(3) NOT NULL,
    "endDate" TIMESTAMP(3) NOT NULL,
    "isCurrent" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "Theme" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "description" TEXT,
    "status" "ThemeStatus" NOT NULL DEFAULT 'DRAFT',
    "tokens" JSONB NOT NULL,
    "cssText" TEXT,
    "cssUrl" TEXT,
    "isDefault" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "TicketTier" (
    "id" UUID NOT NULL,
    "eventId" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "priceCents" INTEGER NOT NULL DEFAULT 0,
    "quantity" INTEGER NOT NULL,
    "sortOrder" INTEGER NOT NULL DEFAULT 0,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "salesStartAt" TIMESTAMP(3),
    "salesEndAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "TransitionAssignment" (
    "id" UUID NOT NULL,
    "transitionPlanId" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "serviceType" "ServiceType" NOT NULL,
    "roleTitle" TEXT NOT NULL,
    "committeeId" UUID,
    "isOutgoing" BOOLEAN NOT NULL DEFAULT false,
    "existingServiceId" UUID,
    "notes" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "TransitionPlan" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "targetTermId" UUID NOT NULL,
    "effectiveAt" TIMESTAMP(3) NOT NULL,
    "status" "TransitionStatus" NOT NULL DEFAULT 'DRAFT',
    "presidentApprovedAt" TIMESTAMP(3),
    "presidentApprovedById" UUID,
    "vpActivitiesApprovedAt" TIMESTAMP(3),
    "vpActivitiesApprovedById" UUID,
    "appliedAt" TIMESTAMP(3),
    "appliedById" UUID,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "createdById" UUID
);
CREATE TABLE "UserAccount" (
    "id" UUID NOT NULL,
    "memberId" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "passwordHash" TEXT NOT NULL,
    "lastLoginAt" TIMESTAMP(3),
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaContactFieldDef" (
    "id" UUID NOT NULL,
    "waFieldId" INTEGER NOT NULL,
    "fieldName" TEXT NOT NULL,
    "systemCode" TEXT,
    "fieldType" TEXT NOT NULL,
    "isSystem" BOOLEAN NOT NULL DEFAULT false,
    "description" TEXT,
    "allowedValues" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaFieldMapping" (
    "id" UUID NOT NULL,
    "waFieldDefId" UUID NOT NULL,
    "mappingType" TEXT NOT NULL,
    "targetField" TEXT,
    "customFieldDefId" UUID,
    "transformerName" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaIdMapping" (
    "id" UUID NOT NULL,
    "entityType" TEXT NOT NULL,
    "waId" INTEGER NOT NULL,
    "clubosId" UUID NOT NULL,
    "syncedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaResourceMapping" (
    "id" UUID NOT NULL,
    "waResourceUrl" TEXT NOT NULL,
    "waResourceId" TEXT,
    "fileObjectId" UUID,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "mimeType" TEXT,
    "originalName" TEXT,
    "discoveredIn" TEXT,
    "failureReason" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WaSyncState" (
    "id" UUID NOT NULL,
    "lastFullSync" TIMESTAMP(3),
    "lastIncSync" TIMESTAMP(3),
    "lastContactSync" TIMESTAMP(3),
    "lastEventSync" TIMESTAMP(3),
    "lastRegSync" TIMESTAMP(3),
    "metadata" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WidgetData" (
    "id" UUID NOT NULL,
    "widgetTypeId" UUID NOT NULL,
    "scopeType" TEXT NOT NULL,
    "scopeId" UUID,
    "data" JSONB NOT NULL,
    "schemaVersion" INTEGER NOT NULL DEFAULT 1,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);
CREATE TABLE "WidgetType" (
    "id" UUID NOT NULL,
    "slug" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "schemaVersion" INTEGER NOT NULL DEFAULT 1,
    "dataSchema" JSONB NOT NULL,
    "entityScopes" TEXT[],
    "status" "WidgetTypeStatus" NOT NULL DEFAULT 'DRAFT',
    "validatedAt" TIMESTAMP(3),
    "validationReport" JSONB,
    "approvedAt" TIMESTAMP(3),
    "approvedById" UUID,
    "rejectionReason" TEXT,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL
);

-- After the rows

ALTER TABLE "ActivityGroup" ADD CONSTRAINT "ActivityGroup_pkey" PRIMARY KEY ("id");
ALTER TABLE "ActivityGroupAnnouncement" ADD CONSTRAINT "ActivityGroupAnnouncement_pkey" PRIMARY KEY ("id");
ALTER TABLE "ActivityGroupMember" ADD CONSTRAINT "ActivityGroupMember_pkey" PRIMARY KEY ("id");
ALTER TABLE "Asset" ADD CONSTRAINT "Asset_pkey" PRIMARY KEY ("id");
ALTER TABLE "AudienceRule" ADD CONSTRAINT "AudienceRule_pkey" PRIMARY KEY ("id");
ALTER TABLE "AuditLog" ADD CONSTRAINT "AuditLog_pkey" PRIMARY KEY ("id");
ALTER TABLE "AuthChallenge" ADD CONSTRAINT "AuthChallenge_pkey" PRIMARY KEY ("id");
ALTER TABLE "Committee" ADD CONSTRAINT "Committee_pkey" PRIMARY KEY ("id");
ALTER TABLE "CommitteeRole" ADD CONSTRAINT "CommitteeRole_pkey" PRIMARY KEY ("id");
ALTER TABLE "CustomFieldDef" ADD CONSTRAINT "CustomFieldDef_pkey" PRIMARY KEY ("id");
ALTER TABLE "CustomFieldValue" ADD CONSTRAINT "CustomFieldValue_pkey" PRIMARY KEY ("id");
ALTER TABLE "DeliveryLog" ADD CONSTRAINT "DeliveryLog_pkey" PRIMARY KEY ("id");
ALTER TABLE "DigitalDelivery" ADD CONSTRAINT "DigitalDelivery_pkey" PRIMARY KEY ("id");
ALTER TABLE "EmailLog" ADD CONSTRAINT "EmailLog_pkey" PRIMARY KEY ("id");
ALTER TABLE "EmailMagicLink" ADD CONSTRAINT "EmailMagicLink_pkey" PRIMARY KEY ("id");
ALTER TABLE "EmailSuppressionList" ADD CONSTRAINT "EmailSuppressionList_pkey" PRIMARY KEY ("id");
ALTER TABLE "EmailTrackingConfig" ADD CONSTRAINT "EmailTrackingConfig_pkey" PRIMARY KEY ("id");
ALTER TABLE "Event" ADD CONSTRAINT "Event_pkey" PRIMARY KEY ("id");
ALTER TABLE "EventNote" ADD CONSTRAINT "EventNote_pkey" PRIMARY KEY ("id");
ALTER TABLE "EventPostmortem" ADD CONSTRAINT "EventPostmortem_pkey" PRIMARY KEY ("id");
ALTER TABLE "EventRegistration" ADD CONSTRAINT "EventRegistration_pkey" PRIMARY KEY ("id");
ALTER TABLE "FileAccess" ADD CONSTRAINT "FileAccess_pkey" PRIMARY KEY ("id");
ALTER TABLE "FileObject" ADD CONSTRAINT "FileObject_pkey" PRIMARY KEY ("id");
ALTER TABLE "FileTag" ADD CONSTRAINT "FileTag_pkey" PRIMARY KEY ("id");
ALTER TABLE "GovernanceAnnotation" ADD CONSTRAINT "GovernanceAnnotation_pkey" PRIMARY KEY ("id");
ALTER TABLE "GovernanceMeeting" ADD CONSTRAINT "GovernanceMeeting_pkey" PRIMARY KEY ("id");
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_pkey" PRIMARY KEY ("id");
ALTER TABLE "GovernanceMotion" ADD CONSTRAINT "GovernanceMotion_pkey" PRIMARY KEY ("id");
ALTER TABLE "GovernanceReviewFlag" ADD CONSTRAINT "GovernanceReviewFlag_pkey" PRIMARY KEY ("id");
ALTER TABLE "JobRun" ADD CONSTRAINT "JobRun_pkey" PRIMARY KEY ("id");
ALTER TABLE "MailingList" ADD CONSTRAINT "MailingList_pkey" PRIMARY KEY ("id");
ALTER TABLE "Member" ADD CONSTRAINT "Member_pkey" PRIMARY KEY ("id");
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_pkey" PRIMARY KEY ("id");
ALTER TABLE "MembershipStatus" ADD CONSTRAINT "MembershipStatus_pkey" PRIMARY KEY ("id");
ALTER TABLE "MembershipTier" ADD CONSTRAINT "MembershipTier_pkey" PRIMARY KEY ("id");
ALTER TABLE "MessageCampaign" ADD CONSTRAINT "MessageCampaign_pkey" PRIMARY KEY ("id");
ALTER TABLE "MessageTemplate" ADD CONSTRAINT "MessageTemplate_pkey" PRIMARY KEY ("id");
ALTER TABLE "Navigation" ADD CONSTRAINT "Navigation_pkey" PRIMARY KEY ("id");
ALTER TABLE "Page" ADD CONSTRAINT "Page_pkey" PRIMARY KEY ("id");
ALTER TABLE "PageRevision" ADD CONSTRAINT "PageRevision_pkey" PRIMARY KEY ("id");
ALTER TABLE "PasskeyCredential" ADD CONSTRAINT "PasskeyCredential_pkey" PRIMARY KEY ("id");
ALTER TABLE "PaymentIntent" ADD CONSTRAINT "PaymentIntent_pkey" PRIMARY KEY ("id");
ALTER TABLE "PaymentMethod" ADD CONSTRAINT "PaymentMethod_pkey" PRIMARY KEY ("id");
ALTER TABLE "Permission" ADD CONSTRAINT "Permission_pkey" PRIMARY KEY ("id");
ALTER TABLE "Photo" ADD CONSTRAINT "Photo_pkey" PRIMARY KEY ("id");
ALTER TABLE "PhotoAlbum" ADD CONSTRAINT "PhotoAlbum_pkey" PRIMARY KEY ("id");
ALTER TABLE "Product" ADD CONSTRAINT "Product_pkey" PRIMARY KEY ("id");
ALTER TABLE "ProductVariant" ADD CONSTRAINT "ProductVariant_pkey" PRIMARY KEY ("id");
ALTER TABLE "RoleAssignment" ADD CONSTRAINT "RoleAssignment_pkey" PRIMARY KEY ("id");
ALTER TABLE "Session" ADD CONSTRAINT "Session_pkey" PRIMARY KEY ("id");
ALTER TABLE "ShippingAddress" ADD CONSTRAINT "ShippingAddress_pkey" PRIMARY KEY ("id");
ALTER TABLE "StarlingAudit" ADD CONSTRAINT "StarlingAudit_pkey" PRIMARY KEY ("id");
ALTER TABLE "StarlingConversation" ADD CONSTRAINT "StarlingConversation_pkey" PRIMARY KEY ("id");
ALTER TABLE "StarlingKnowledge" ADD CONSTRAINT "StarlingKnowledge_pkey" PRIMARY KEY ("id");
ALTER TABLE "StarlingMessage" ADD CONSTRAINT "StarlingMessage_pkey" PRIMARY KEY ("id");
ALTER TABLE "StarlingStaging" ADD CONSTRAINT "StarlingStaging_pkey" PRIMARY KEY ("id");
ALTER TABLE "StoreOrder" ADD CONSTRAINT "StoreOrder_pkey" PRIMARY KEY ("id");
ALTER TABLE "StoreOrderItem" ADD CONSTRAINT "StoreOrderItem_pkey" PRIMARY KEY ("id");
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_pkey" PRIMARY KEY ("id");
ALTER TABLE "SupportCaseNote" ADD CONSTRAINT "SupportCaseNote_pkey" PRIMARY KEY ("id");
ALTER TABLE "Template" ADD CONSTRAINT "Template_pkey" PRIMARY KEY ("id");
ALTER TABLE "Term" ADD CONSTRAINT "Term_pkey" PRIMARY KEY ("id");
ALTER TABLE "Theme" ADD CONSTRAINT "Theme_pkey" PRIMARY KEY ("id");
ALTER TABLE "TicketTier" ADD CONSTRAINT "TicketTier_pkey" PRIMARY KEY ("id");
ALTER TABLE "TransitionAssignment" ADD CONSTRAINT "TransitionAssignment_pkey" PRIMARY KEY ("id");
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_pkey" PRIMARY KEY ("id");
ALTER TABLE "UserAccount" ADD CONSTRAINT "UserAccount_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaContactFieldDef" ADD CONSTRAINT "WaContactFieldDef_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaFieldMapping" ADD CONSTRAINT "WaFieldMapping_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaIdMapping" ADD CONSTRAINT "WaIdMapping_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaResourceMapping" ADD CONSTRAINT "WaResourceMapping_pkey" PRIMARY KEY ("id");
ALTER TABLE "WaSyncState" ADD CONSTRAINT "WaSyncState_pkey" PRIMARY KEY ("id");
ALTER TABLE "WidgetData" ADD CONSTRAINT "WidgetData_pkey" PRIMARY KEY ("id");
ALTER TABLE "WidgetType" ADD CONSTRAINT "WidgetType_pkey" PRIMARY KEY ("id");

CREATE UNIQUE INDEX "ActivityGroup_slug_key" ON "ActivityGroup" ("slug");
CREATE INDEX "ActivityGroup_approvedById_idx" ON "ActivityGroup" ("approvedById");
CREATE INDEX "ActivityGroup_category_idx" ON "ActivityGroup" ("category");
CREATE INDEX "ActivityGroup_proposedById_idx" ON "ActivityGroup" ("proposedById");
CREATE INDEX "ActivityGroup_slug_idx" ON "ActivityGroup" ("slug");
CREATE INDEX "ActivityGroup_status_idx" ON "ActivityGroup" ("status");
CREATE INDEX "ActivityGroupAnnouncement_expiresAt_idx" ON "ActivityGroupAnnouncement" ("expiresAt");
CREATE INDEX "ActivityGroupAnnouncement_groupId_publishedAt_idx" ON "ActivityGroupAnnouncement" ("groupId", "publishedAt");
CREATE UNIQUE INDEX "ActivityGroupMember_groupId_memberId_joinedAt_key" ON "ActivityGroupMember" ("groupId", "memberId", "joinedAt");
CREATE INDEX "ActivityGroupMember_groupId_leftAt_idx" ON "ActivityGroupMember" ("groupId", "leftAt");
CREATE INDEX "ActivityGroupMember_memberId_idx" ON "ActivityGroupMember" ("memberId");
CREATE INDEX "Asset_type_idx" ON "Asset" ("type");
CREATE INDEX "AudienceRule_name_idx" ON "AudienceRule" ("name");
CREATE INDEX "AuditLog_action_idx" ON "AuditLog" ("action");
CREATE INDEX "AuditLog_createdAt_idx" ON "AuditLog" ("createdAt");
CREATE INDEX "AuditLog_memberId_idx" ON "AuditLog" ("memberId");
CREATE INDEX "AuditLog_resourceType_resourceId_idx" ON "AuditLog" ("resourceType", "resourceId");
CREATE UNIQUE INDEX "AuthChallenge_challenge_key" ON "AuthChallenge" ("challenge");
CREATE INDEX "AuthChallenge_challenge_idx" ON "AuthChallenge" ("challenge");
CREATE INDEX "AuthChallenge_email_idx" ON "AuthChallenge" ("email");
CREATE INDEX "AuthChallenge_expiresAt_idx" ON "AuthChallenge" ("expiresAt");
CREATE INDEX "AuthChallenge_userAccountId_idx" ON "AuthChallenge" ("userAccountId");
CREATE UNIQUE INDEX "Committee_slug_key" ON "Committee" ("slug");
CREATE INDEX "Committee_isActive_idx" ON "Committee" ("isActive");
CREATE UNIQUE INDEX "CommitteeRole_committeeId_slug_key" ON "CommitteeRole" ("committeeId", "slug");
CREATE INDEX "CommitteeRole_committeeId_idx" ON "CommitteeRole" ("committeeId");
CREATE UNIQUE INDEX "CustomFieldDef_entityType_slug_key" ON "CustomFieldDef" ("entityType", "slug");
CREATE INDEX "CustomFieldDef_entityType_isActive_idx" ON "CustomFieldDef" ("entityType", "isActive");
CREATE UNIQUE INDEX "CustomFieldValue_customFieldDefId_entityId_key" ON "CustomFieldValue" ("customFieldDefId", "entityId");
CREATE INDEX "CustomFieldValue_customFieldDefId_idx" ON "CustomFieldValue" ("customFieldDefId");
CREATE INDEX "CustomFieldValue_entityId_idx" ON "CustomFieldValue" ("entityId");
CREATE INDEX "DeliveryLog_campaignId_idx" ON "DeliveryLog" ("campaignId");
CREATE INDEX "DeliveryLog_recipientEmail_idx" ON "DeliveryLog" ("recipientEmail");
CREATE INDEX "DeliveryLog_recipientId_idx" ON "DeliveryLog" ("recipientId");
CREATE INDEX "DeliveryLog_status_idx" ON "DeliveryLog" ("status");
CREATE UNIQUE INDEX "DigitalDelivery_downloadToken_key" ON "DigitalDelivery" ("downloadToken");
CREATE INDEX "DigitalDelivery_downloadToken_idx" ON "DigitalDelivery" ("downloadToken");
CREATE INDEX "DigitalDelivery_expiresAt_idx" ON "DigitalDelivery" ("expiresAt");
CREATE INDEX "DigitalDelivery_orderId_idx" ON "DigitalDelivery" ("orderId");
CREATE INDEX "EmailLog_memberId_idx" ON "EmailLog" ("memberId");
CREATE INDEX "EmailLog_sentAt_idx" ON "EmailLog" ("sentAt");
CREATE INDEX "EmailLog_status_idx" ON "EmailLog" ("status");
CREATE UNIQUE INDEX "EmailMagicLink_tokenHash_key" ON "EmailMagicLink" ("tokenHash");
CREATE INDEX "EmailMagicLink_email_idx" ON "EmailMagicLink" ("email");
CREATE INDEX "EmailMagicLink_expiresAt_idx" ON "EmailMagicLink" ("expiresAt");
CREATE INDEX "EmailMagicLink_tokenHash_idx" ON "EmailMagicLink" ("tokenHash");
CREATE UNIQUE INDEX "EmailSuppressionList_email_key" ON "EmailSuppressionList" ("email");
CREATE INDEX "EmailSuppressionList_email_idx" ON "EmailSuppressionList" ("email");
CREATE INDEX "EmailSuppressionList_expiresAt_idx" ON "EmailSuppressionList" ("expiresAt");
CREATE INDEX "EmailSuppressionList_reason_idx" ON "EmailSuppressionList" ("reason");
CREATE INDEX "Event_activityGroupId_idx" ON "Event" ("activityGroupId");
CREATE INDEX "Event_approvedById_idx" ON "Event" ("approvedById");
CREATE INDEX "Event_canceledById_idx" ON "Event" ("canceledById");
CREATE INDEX "Event_category_idx" ON "Event" ("category");
CREATE INDEX "Event_changesRequestedById_idx" ON "Event" ("changesRequestedById");
CREATE INDEX "Event_clonedFromId_idx" ON "Event" ("clonedFromId");
CREATE INDEX "Event_committeeId_idx" ON "Event" ("committeeId");
CREATE INDEX "Event_eventChairId_idx" ON "Event" ("eventChairId");
CREATE INDEX "Event_publishedById_idx" ON "Event" ("publishedById");
CREATE INDEX "Event_startTime_idx" ON "Event" ("startTime");
CREATE INDEX "Event_status_idx" ON "Event" ("status");
CREATE INDEX "Event_submittedById_idx" ON "Event" ("submittedById");
CREATE INDEX "EventNote_authorId_idx" ON "EventNote" ("authorId");
CREATE INDEX "EventNote_eventId_idx" ON "EventNote" ("eventId");
CREATE INDEX "EventNote_eventId_noteType_idx" ON "EventNote" ("eventId", "noteType");
CREATE UNIQUE INDEX "EventPostmortem_eventId_key" ON "EventPostmortem" ("eventId");
CREATE INDEX "EventPostmortem_createdById_idx" ON "EventPostmortem" ("createdById");
CREATE INDEX "EventPostmortem_eventId_idx" ON "EventPostmortem" ("eventId");
CREATE INDEX "EventPostmortem_status_idx" ON "EventPostmortem" ("status");
CREATE UNIQUE INDEX "EventRegistration_eventId_memberId_key" ON "EventRegistration" ("eventId", "memberId");
CREATE INDEX "EventRegistration_eventId_idx" ON "EventRegistration" ("eventId");
CREATE INDEX "EventRegistration_eventId_status_waitlistPosition_idx" ON "EventRegistration" ("eventId", "status", "waitlistPosition");
CREATE INDEX "EventRegistration_memberId_eventId_idx" ON "EventRegistration" ("memberId", "eventId");
CREATE INDEX "EventRegistration_memberId_idx" ON "EventRegistration" ("memberId");
CREATE INDEX "EventRegistration_ticketTierId_idx" ON "EventRegistration" ("ticketTierId");
CREATE UNIQUE INDEX "FileAccess_fileId_principalType_principalId_permission_key" ON "FileAccess" ("fileId", "principalType", "principalId", "permission");
CREATE INDEX "FileAccess_expiresAt_idx" ON "FileAccess" ("expiresAt");
CREATE INDEX "FileAccess_fileId_idx" ON "FileAccess" ("fileId");
CREATE INDEX "FileAccess_principalType_principalId_idx" ON "FileAccess" ("principalType", "principalId");
CREATE UNIQUE INDEX "FileObject_storageKey_key" ON "FileObject" ("storageKey");
CREATE INDEX "FileObject_createdAt_idx" ON "FileObject" ("createdAt");
CREATE INDEX "FileObject_isPublic_idx" ON "FileObject" ("isPublic");
CREATE INDEX "FileObject_mimeType_idx" ON "FileObject" ("mimeType");
CREATE INDEX "FileObject_uploadedById_idx" ON "FileObject" ("uploadedById");
CREATE UNIQUE INDEX "FileTag_fileId_tag_key" ON "FileTag" ("fileId", "tag");
CREATE INDEX "FileTag_fileId_idx" ON "FileTag" ("fileId");
CREATE INDEX "FileTag_tag_idx" ON "FileTag" ("tag");
CREATE INDEX "GovernanceAnnotation_createdById_idx" ON "GovernanceAnnotation" ("createdById");
CREATE INDEX "GovernanceAnnotation_isPublished_idx" ON "GovernanceAnnotation" ("isPublished");
CREATE INDEX "GovernanceAnnotation_motionId_idx" ON "GovernanceAnnotation" ("motionId");
CREATE INDEX "GovernanceAnnotation_targetType_targetId_idx" ON "GovernanceAnnotation" ("targetType", "targetId");
CREATE UNIQUE INDEX "GovernanceMeeting_date_type_key" ON "GovernanceMeeting" ("date", "type");
CREATE INDEX "GovernanceMeeting_createdById_idx" ON "GovernanceMeeting" ("createdById");
CREATE INDEX "GovernanceMeeting_date_idx" ON "GovernanceMeeting" ("date");
CREATE INDEX "GovernanceMeeting_type_idx" ON "GovernanceMeeting" ("type");
CREATE UNIQUE INDEX "GovernanceMinutes_meetingId_version_key" ON "GovernanceMinutes" ("meetingId", "version");
CREATE INDEX "GovernanceMinutes_createdAt_idx" ON "GovernanceMinutes" ("createdAt");
CREATE INDEX "GovernanceMinutes_meetingId_idx" ON "GovernanceMinutes" ("meetingId");
CREATE INDEX "GovernanceMinutes_status_idx" ON "GovernanceMinutes" ("status");
CREATE UNIQUE INDEX "GovernanceMotion_meetingId_motionNumber_key" ON "GovernanceMotion" ("meetingId", "motionNumber");
CREATE INDEX "GovernanceMotion_meetingId_idx" ON "GovernanceMotion" ("meetingId");
CREATE INDEX "GovernanceMotion_result_idx" ON "GovernanceMotion" ("result");
CREATE INDEX "GovernanceReviewFlag_createdById_idx" ON "GovernanceReviewFlag" ("createdById");
CREATE INDEX "GovernanceReviewFlag_dueDate_idx" ON "GovernanceReviewFlag" ("dueDate");
CREATE INDEX "GovernanceReviewFlag_flagType_idx" ON "GovernanceReviewFlag" ("flagType");
CREATE INDEX "GovernanceReviewFlag_status_idx" ON "GovernanceReviewFlag" ("status");
CREATE INDEX "GovernanceReviewFlag_targetType_targetId_idx" ON "GovernanceReviewFlag" ("targetType", "targetId");
CREATE UNIQUE INDEX "JobRun_jobName_scheduledFor_key" ON "JobRun" ("jobName", "scheduledFor");
CREATE INDEX "JobRun_createdAt_idx" ON "JobRun" ("createdAt");
CREATE INDEX "JobRun_jobName_idx" ON "JobRun" ("jobName");
CREATE INDEX "JobRun_scheduledFor_idx" ON "JobRun" ("scheduledFor");
CREATE INDEX "JobRun_status_idx" ON "JobRun" ("status");
CREATE UNIQUE INDEX "MailingList_slug_key" ON "MailingList" ("slug");
CREATE INDEX "MailingList_isActive_idx" ON "MailingList" ("isActive");
CREATE UNIQUE INDEX "Member_email_key" ON "Member" ("email");
CREATE UNIQUE INDEX "Member_profilePhotoId_key" ON "Member" ("profilePhotoId");
CREATE INDEX "Member_membershipStatusId_idx" ON "Member" ("membershipStatusId");
CREATE INDEX "Member_membershipTierId_idx" ON "Member" ("membershipTierId");
CREATE INDEX "MemberServiceHistory_committeeId_idx" ON "MemberServiceHistory" ("committeeId");
CREATE INDEX "MemberServiceHistory_endAt_idx" ON "MemberServiceHistory" ("endAt");
CREATE INDEX "MemberServiceHistory_eventId_idx" ON "MemberServiceHistory" ("eventId");
CREATE INDEX "MemberServiceHistory_memberId_endAt_idx" ON "MemberServiceHistory" ("memberId", "endAt");
CREATE INDEX "MemberServiceHistory_memberId_idx" ON "MemberServiceHistory" ("memberId");
CREATE INDEX "MemberServiceHistory_serviceType_idx" ON "MemberServiceHistory" ("serviceType");
CREATE INDEX "MemberServiceHistory_startAt_idx" ON "MemberServiceHistory" ("startAt");
CREATE INDEX "MemberServiceHistory_termId_idx" ON "MemberServiceHistory" ("termId");
CREATE INDEX "MemberServiceHistory_transitionPlanId_idx" ON "MemberServiceHistory" ("transitionPlanId");
CREATE UNIQUE INDEX "MembershipStatus_code_key" ON "MembershipStatus" ("code");
CREATE UNIQUE INDEX "MembershipTier_code_key" ON "MembershipTier" ("code");
CREATE INDEX "MembershipTier_sortOrder_idx" ON "MembershipTier" ("sortOrder");
CREATE INDEX "MessageCampaign_mailingListId_idx" ON "MessageCampaign" ("mailingListId");
CREATE INDEX "MessageCampaign_messageTemplateId_idx" ON "MessageCampaign" ("messageTemplateId");
CREATE INDEX "MessageCampaign_scheduledAt_idx" ON "MessageCampaign" ("scheduledAt");
CREATE INDEX "MessageCampaign_status_idx" ON "MessageCampaign" ("status");
CREATE UNIQUE INDEX "MessageTemplate_slug_key" ON "MessageTemplate" ("slug");
CREATE INDEX "MessageTemplate_isActive_idx" ON "MessageTemplate" ("isActive");
CREATE UNIQUE INDEX "Navigation_slug_key" ON "Navigation" ("slug");
CREATE INDEX "Navigation_isActive_idx" ON "Navigation" ("isActive");
CREATE INDEX "Navigation_sortOrder_idx" ON "Navigation" ("sortOrder");
CREATE UNIQUE INDEX "Page_slug_key" ON "Page" ("slug");
CREATE INDEX "Page_publishAt_idx" ON "Page" ("publishAt");
CREATE INDEX "Page_status_idx" ON "Page" ("status");
CREATE INDEX "Page_templateId_idx" ON "Page" ("templateId");
CREATE INDEX "Page_visibility_idx" ON "Page" ("visibility");
CREATE INDEX "PageRevision_pageId_createdAt_idx" ON "PageRevision" ("pageId", "createdAt");
CREATE INDEX "PageRevision_pageId_stackPosition_idx" ON "PageRevision" ("pageId", "stackPosition");
CREATE UNIQUE INDEX "PasskeyCredential_credentialId_key" ON "PasskeyCredential" ("credentialId");
CREATE INDEX "PasskeyCredential_credentialId_idx" ON "PasskeyCredential" ("credentialId");
CREATE INDEX "PasskeyCredential_isRevoked_idx" ON "PasskeyCredential" ("isRevoked");
CREATE INDEX "PasskeyCredential_userAccountId_idx" ON "PasskeyCredential" ("userAccountId");
CREATE UNIQUE INDEX "PaymentIntent_idempotencyKey_key" ON "PaymentIntent" ("idempotencyKey");
CREATE INDEX "PaymentIntent_createdAt_idx" ON "PaymentIntent" ("createdAt");
CREATE INDEX "PaymentIntent_providerRef_idx" ON "PaymentIntent" ("providerRef");
CREATE INDEX "PaymentIntent_registrationId_idx" ON "PaymentIntent" ("registrationId");
CREATE INDEX "PaymentIntent_status_idx" ON "PaymentIntent" ("status");
CREATE INDEX "PaymentMethod_memberId_idx" ON "PaymentMethod" ("memberId");
CREATE INDEX "PaymentMethod_memberId_status_idx" ON "PaymentMethod" ("memberId", "status");
CREATE INDEX "PaymentMethod_memberId_type_status_idx" ON "PaymentMethod" ("memberId", "type", "status");
CREATE UNIQUE INDEX "Permission_resourceType_resourceId_memberId_action_key" ON "Permission" ("resourceType", "resourceId", "memberId", "action");
CREATE INDEX "Permission_memberId_idx" ON "Permission" ("memberId");
CREATE INDEX "Permission_resourceType_resourceId_idx" ON "Permission" ("resourceType", "resourceId");
CREATE INDEX "Permission_roleSlug_idx" ON "Permission" ("roleSlug");
CREATE INDEX "Photo_albumId_idx" ON "Photo" ("albumId");
CREATE INDEX "Photo_uploaderId_idx" ON "Photo" ("uploaderId");
CREATE UNIQUE INDEX "PhotoAlbum_coverPhotoId_key" ON "PhotoAlbum" ("coverPhotoId");
CREATE UNIQUE INDEX "PhotoAlbum_eventId_key" ON "PhotoAlbum" ("eventId");
CREATE UNIQUE INDEX "Product_slug_key" ON "Product" ("slug");
CREATE INDEX "Product_isActive_isPublic_idx" ON "Product" ("isActive", "isPublic");
CREATE INDEX "Product_slug_idx" ON "Product" ("slug");
CREATE INDEX "Product_sortOrder_idx" ON "Product" ("sortOrder");
CREATE INDEX "Product_type_idx" ON "Product" ("type");
CREATE UNIQUE INDEX "ProductVariant_sku_key" ON "ProductVariant" ("sku");
CREATE INDEX "ProductVariant_productId_idx" ON "ProductVariant" ("productId");
CREATE INDEX "ProductVariant_productId_isActive_idx" ON "ProductVariant" ("productId", "isActive");
CREATE INDEX "ProductVariant_sku_idx" ON "ProductVariant" ("sku");
CREATE INDEX "RoleAssignment_committeeId_idx" ON "RoleAssignment" ("committeeId");
CREATE INDEX "RoleAssignment_committeeRoleId_idx" ON "RoleAssignment" ("committeeRoleId");
CREATE INDEX "RoleAssignment_memberId_idx" ON "RoleAssignment" ("memberId");
CREATE INDEX "RoleAssignment_termId_committeeId_idx" ON "RoleAssignment" ("termId", "committeeId");
CREATE INDEX "RoleAssignment_termId_idx" ON "RoleAssignment" ("termId");
CREATE UNIQUE INDEX "Session_tokenHash_key" ON "Session" ("tokenHash");
CREATE INDEX "Session_expiresAt_idx" ON "Session" ("expiresAt");
CREATE INDEX "Session_revokedAt_idx" ON "Session" ("revokedAt");
CREATE INDEX "Session_tokenHash_idx" ON "Session" ("tokenHash");
CREATE INDEX "Session_userAccountId_idx" ON "Session" ("userAccountId");
CREATE INDEX "ShippingAddress_customerId_idx" ON "ShippingAddress" ("customerId");
CREATE INDEX "StarlingAudit_action_idx" ON "StarlingAudit" ("action");
CREATE INDEX "StarlingAudit_conversationId_idx" ON "StarlingAudit" ("conversationId");
CREATE INDEX "StarlingAudit_createdAt_idx" ON "StarlingAudit" ("createdAt");
CREATE INDEX "StarlingAudit_userId_idx" ON "StarlingAudit" ("userId");
CREATE INDEX "StarlingConversation_updatedAt_idx" ON "StarlingConversation" ("updatedAt");
CREATE INDEX "StarlingConversation_userId_idx" ON "StarlingConversation" ("userId");
CREATE INDEX "StarlingKnowledge_organization_id_idx" ON "StarlingKnowledge" ("organization_id");
CREATE INDEX "StarlingKnowledge_source_idx" ON "StarlingKnowledge" ("source");
CREATE INDEX "StarlingKnowledge_source_type_idx" ON "StarlingKnowledge" ("source_type");
CREATE INDEX "StarlingKnowledge_visibility_idx" ON "StarlingKnowledge" ("visibility");
CREATE INDEX "StarlingMessage_conversationId_idx" ON "StarlingMessage" ("conversationId");
CREATE INDEX "StarlingMessage_createdAt_idx" ON "StarlingMessage" ("createdAt");
CREATE INDEX "StarlingStaging_conversationId_idx" ON "StarlingStaging" ("conversationId");
CREATE INDEX "StarlingStaging_expiresAt_idx" ON "StarlingStaging" ("expiresAt");
CREATE INDEX "StarlingStaging_userId_idx" ON "StarlingStaging" ("userId");
CREATE UNIQUE INDEX "StoreOrder_idempotencyKey_key" ON "StoreOrder" ("idempotencyKey");
CREATE UNIQUE INDEX "StoreOrder_orderNumber_key" ON "StoreOrder" ("orderNumber");
CREATE INDEX "StoreOrder_createdAt_idx" ON "StoreOrder" ("createdAt");
CREATE INDEX "StoreOrder_customerId_idx" ON "StoreOrder" ("customerId");
CREATE INDEX "StoreOrder_guestEmail_idx" ON "StoreOrder" ("guestEmail");
CREATE INDEX "StoreOrder_orderNumber_idx" ON "StoreOrder" ("orderNumber");
CREATE INDEX "StoreOrder_sessionId_idx" ON "StoreOrder" ("sessionId");
CREATE INDEX "StoreOrder_status_idx" ON "StoreOrder" ("status");
CREATE INDEX "StoreOrderItem_orderId_idx" ON "StoreOrderItem" ("orderId");
CREATE INDEX "StoreOrderItem_productId_idx" ON "StoreOrderItem" ("productId");
CREATE UNIQUE INDEX "SupportCase_caseNumber_key" ON "SupportCase" ("caseNumber");
CREATE INDEX "SupportCase_category_idx" ON "SupportCase" ("category");
CREATE INDEX "SupportCase_closedAt_idx" ON "SupportCase" ("closedAt");
CREATE INDEX "SupportCase_ownerId_idx" ON "SupportCase" ("ownerId");
CREATE INDEX "SupportCase_receivedAt_idx" ON "SupportCase" ("receivedAt");
CREATE INDEX "SupportCase_status_idx" ON "SupportCase" ("status");
CREATE INDEX "SupportCase_submitterId_idx" ON "SupportCase" ("submitterId");
CREATE INDEX "SupportCaseNote_caseId_idx" ON "SupportCaseNote" ("caseId");
CREATE INDEX "SupportCaseNote_createdAt_idx" ON "SupportCaseNote" ("createdAt");
CREATE UNIQUE INDEX "Template_slug_key" ON "Template" ("slug");
CREATE INDEX "Template_isActive_idx" ON "Template" ("isActive");
CREATE INDEX "Template_type_idx" ON "Template" ("type");
CREATE UNIQUE INDEX "Theme_slug_key" ON "Theme" ("slug");
CREATE INDEX "Theme_isDefault_idx" ON "Theme" ("isDefault");
CREATE INDEX "Theme_status_idx" ON "Theme" ("status");
CREATE INDEX "TicketTier_eventId_idx" ON "TicketTier" ("eventId");
CREATE INDEX "TicketTier_eventId_isActive_idx" ON "TicketTier" ("eventId", "isActive");
CREATE INDEX "TransitionAssignment_committeeId_idx" ON "TransitionAssignment" ("committeeId");
CREATE INDEX "TransitionAssignment_memberId_idx" ON "TransitionAssignment" ("memberId");
CREATE INDEX "TransitionAssignment_transitionPlanId_idx" ON "TransitionAssignment" ("transitionPlanId");
CREATE INDEX "TransitionPlan_effectiveAt_idx" ON "TransitionPlan" ("effectiveAt");
CREATE INDEX "TransitionPlan_status_idx" ON "TransitionPlan" ("status");
CREATE INDEX "TransitionPlan_targetTermId_idx" ON "TransitionPlan" ("targetTermId");
CREATE UNIQUE INDEX "UserAccount_email_key" ON "UserAccount" ("email");
CREATE UNIQUE INDEX "UserAccount_memberId_key" ON "UserAccount" ("memberId");
CREATE UNIQUE INDEX "WaContactFieldDef_waFieldId_key" ON "WaContactFieldDef" ("waFieldId");
CREATE INDEX "WaContactFieldDef_fieldName_idx" ON "WaContactFieldDef" ("fieldName");
CREATE INDEX "WaContactFieldDef_systemCode_idx" ON "WaContactFieldDef" ("systemCode");
CREATE UNIQUE INDEX "WaFieldMapping_waFieldDefId_key" ON "WaFieldMapping" ("waFieldDefId");
CREATE UNIQUE INDEX "WaIdMapping_entityType_waId_key" ON "WaIdMapping" ("entityType", "waId");
CREATE INDEX "WaIdMapping_entityType_clubosId_idx" ON "WaIdMapping" ("entityType", "clubosId");
CREATE INDEX "WaIdMapping_syncedAt_idx" ON "WaIdMapping" ("syncedAt");
CREATE UNIQUE INDEX "WaResourceMapping_fileObjectId_key" ON "WaResourceMapping" ("fileObjectId");
CREATE UNIQUE INDEX "WaResourceMapping_waResourceUrl_key" ON "WaResourceMapping" ("waResourceUrl");
CREATE INDEX "WaResourceMapping_fileObjectId_idx" ON "WaResourceMapping" ("fileObjectId");
CREATE INDEX "WaResourceMapping_status_idx" ON "WaResourceMapping" ("status");
CREATE UNIQUE INDEX "WidgetData_widgetTypeId_scopeType_scopeId_key" ON "WidgetData" ("widgetTypeId", "scopeType", "scopeId");
CREATE INDEX "WidgetData_scopeType_scopeId_idx" ON "WidgetData" ("scopeType", "scopeId");
CREATE INDEX "WidgetData_widgetTypeId_idx" ON "WidgetData" ("widgetTypeId");
CREATE UNIQUE INDEX "WidgetType_slug_key" ON "WidgetType" ("slug");
CREATE INDEX "WidgetType_slug_idx" ON "WidgetType" ("slug");
CREATE INDEX "WidgetType_status_idx" ON "WidgetType" ("status");

ALTER TABLE "ActivityGroup" ADD CONSTRAINT "ActivityGroup_approvedById_fkey" FOREIGN KEY ("approvedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "ActivityGroup" ADD CONSTRAINT "ActivityGroup_deactivatedById_fkey" FOREIGN KEY ("deactivatedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "ActivityGroup" ADD CONSTRAINT "ActivityGroup_proposedById_fkey" FOREIGN KEY ("proposedById")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "ActivityGroup" ADD CONSTRAINT "ActivityGroup_rejectedById_fkey" FOREIGN KEY ("rejectedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "ActivityGroupAnnouncement" ADD CONSTRAINT "ActivityGroupAnnouncement_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "ActivityGroupAnnouncement" ADD CONSTRAINT "ActivityGroupAnnouncement_groupId_fkey" FOREIGN KEY ("groupId")
    REFERENCES "ActivityGroup" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "ActivityGroupMember" ADD CONSTRAINT "ActivityGroupMember_groupId_fkey" FOREIGN KEY ("groupId")
    REFERENCES "ActivityGroup" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "ActivityGroupMember" ADD CONSTRAINT "ActivityGroupMember_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "AuditLog" ADD CONSTRAINT "AuditLog_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "CommitteeRole" ADD CONSTRAINT "CommitteeRole_committeeId_fkey" FOREIGN KEY ("committeeId")
    REFERENCES "Committee" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "CustomFieldValue" ADD CONSTRAINT "CustomFieldValue_customFieldDefId_fkey" FOREIGN KEY ("customFieldDefId")
    REFERENCES "CustomFieldDef" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "DeliveryLog" ADD CONSTRAINT "DeliveryLog_campaignId_fkey" FOREIGN KEY ("campaignId")
    REFERENCES "MessageCampaign" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "DeliveryLog" ADD CONSTRAINT "DeliveryLog_recipientId_fkey" FOREIGN KEY ("recipientId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "DigitalDelivery" ADD CONSTRAINT "DigitalDelivery_orderId_fkey" FOREIGN KEY ("orderId")
    REFERENCES "StoreOrder" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EmailLog" ADD CONSTRAINT "EmailLog_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_activityGroupId_fkey" FOREIGN KEY ("activityGroupId")
    REFERENCES "ActivityGroup" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_approvedById_fkey" FOREIGN KEY ("approvedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_canceledById_fkey" FOREIGN KEY ("canceledById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_changesRequestedById_fkey" FOREIGN KEY ("changesRequestedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_clonedFromId_fkey" FOREIGN KEY ("clonedFromId")
    REFERENCES "Event" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_committeeId_fkey" FOREIGN KEY ("committeeId")
    REFERENCES "Committee" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_eventChairId_fkey" FOREIGN KEY ("eventChairId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_publishedById_fkey" FOREIGN KEY ("publishedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Event" ADD CONSTRAINT "Event_submittedById_fkey" FOREIGN KEY ("submittedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "EventNote" ADD CONSTRAINT "EventNote_authorId_fkey" FOREIGN KEY ("authorId")
    REFERENCES "Member" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EventNote" ADD CONSTRAINT "EventNote_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EventPostmortem" ADD CONSTRAINT "EventPostmortem_approvedBy_fkey" FOREIGN KEY ("approvedBy")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "EventPostmortem" ADD CONSTRAINT "EventPostmortem_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "EventPostmortem" ADD CONSTRAINT "EventPostmortem_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EventRegistration" ADD CONSTRAINT "EventRegistration_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "EventRegistration" ADD CONSTRAINT "EventRegistration_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "EventRegistration" ADD CONSTRAINT "EventRegistration_ticketTierId_fkey" FOREIGN KEY ("ticketTierId")
    REFERENCES "TicketTier" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "FileAccess" ADD CONSTRAINT "FileAccess_fileId_fkey" FOREIGN KEY ("fileId")
    REFERENCES "FileObject" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "FileAccess" ADD CONSTRAINT "FileAccess_grantedById_fkey" FOREIGN KEY ("grantedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "FileObject" ADD CONSTRAINT "FileObject_uploadedById_fkey" FOREIGN KEY ("uploadedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "FileTag" ADD CONSTRAINT "FileTag_fileId_fkey" FOREIGN KEY ("fileId")
    REFERENCES "FileObject" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "GovernanceAnnotation" ADD CONSTRAINT "GovernanceAnnotation_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceAnnotation" ADD CONSTRAINT "GovernanceAnnotation_motionId_fkey" FOREIGN KEY ("motionId")
    REFERENCES "GovernanceMotion" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "GovernanceMeeting" ADD CONSTRAINT "GovernanceMeeting_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_approvedById_fkey" FOREIGN KEY ("approvedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_lastEditedById_fkey" FOREIGN KEY ("lastEditedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_meetingId_fkey" FOREIGN KEY ("meetingId")
    REFERENCES "GovernanceMeeting" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_publishedById_fkey" FOREIGN KEY ("publishedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_reviewedById_fkey" FOREIGN KEY ("reviewedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMinutes" ADD CONSTRAINT "GovernanceMinutes_submittedById_fkey" FOREIGN KEY ("submittedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMotion" ADD CONSTRAINT "GovernanceMotion_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMotion" ADD CONSTRAINT "GovernanceMotion_meetingId_fkey" FOREIGN KEY ("meetingId")
    REFERENCES "GovernanceMeeting" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "GovernanceMotion" ADD CONSTRAINT "GovernanceMotion_movedById_fkey" FOREIGN KEY ("movedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceMotion" ADD CONSTRAINT "GovernanceMotion_secondedById_fkey" FOREIGN KEY ("secondedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceReviewFlag" ADD CONSTRAINT "GovernanceReviewFlag_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "GovernanceReviewFlag" ADD CONSTRAINT "GovernanceReviewFlag_resolvedById_fkey" FOREIGN KEY ("resolvedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MailingList" ADD CONSTRAINT "MailingList_audienceRuleId_fkey" FOREIGN KEY ("audienceRuleId")
    REFERENCES "AudienceRule" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Member" ADD CONSTRAINT "Member_membershipStatusId_fkey" FOREIGN KEY ("membershipStatusId")
    REFERENCES "MembershipStatus" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Member" ADD CONSTRAINT "Member_membershipTierId_fkey" FOREIGN KEY ("membershipTierId")
    REFERENCES "MembershipTier" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Member" ADD CONSTRAINT "Member_profilePhotoId_fkey" FOREIGN KEY ("profilePhotoId")
    REFERENCES "FileObject" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_committeeId_fkey" FOREIGN KEY ("committeeId")
    REFERENCES "Committee" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_termId_fkey" FOREIGN KEY ("termId")
    REFERENCES "Term" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MemberServiceHistory" ADD CONSTRAINT "MemberServiceHistory_transitionPlanId_fkey" FOREIGN KEY ("transitionPlanId")
    REFERENCES "TransitionPlan" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MessageCampaign" ADD CONSTRAINT "MessageCampaign_audienceRuleId_fkey" FOREIGN KEY ("audienceRuleId")
    REFERENCES "AudienceRule" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MessageCampaign" ADD CONSTRAINT "MessageCampaign_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MessageCampaign" ADD CONSTRAINT "MessageCampaign_mailingListId_fkey" FOREIGN KEY ("mailingListId")
    REFERENCES "MailingList" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "MessageCampaign" ADD CONSTRAINT "MessageCampaign_messageTemplateId_fkey" FOREIGN KEY ("messageTemplateId")
    REFERENCES "MessageTemplate" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "MessageTemplate" ADD CONSTRAINT "MessageTemplate_templateId_fkey" FOREIGN KEY ("templateId")
    REFERENCES "Template" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Navigation" ADD CONSTRAINT "Navigation_audienceRuleId_fkey" FOREIGN KEY ("audienceRuleId")
    REFERENCES "AudienceRule" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Page" ADD CONSTRAINT "Page_audienceRuleId_fkey" FOREIGN KEY ("audienceRuleId")
    REFERENCES "AudienceRule" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Page" ADD CONSTRAINT "Page_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Page" ADD CONSTRAINT "Page_templateId_fkey" FOREIGN KEY ("templateId")
    REFERENCES "Template" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Page" ADD CONSTRAINT "Page_themeId_fkey" FOREIGN KEY ("themeId")
    REFERENCES "Theme" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Page" ADD CONSTRAINT "Page_updatedById_fkey" FOREIGN KEY ("updatedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "PageRevision" ADD CONSTRAINT "PageRevision_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "PageRevision" ADD CONSTRAINT "PageRevision_pageId_fkey" FOREIGN KEY ("pageId")
    REFERENCES "Page" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "PasskeyCredential" ADD CONSTRAINT "PasskeyCredential_revokedById_fkey" FOREIGN KEY ("revokedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "PasskeyCredential" ADD CONSTRAINT "PasskeyCredential_userAccountId_fkey" FOREIGN KEY ("userAccountId")
    REFERENCES "UserAccount" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "PaymentIntent" ADD CONSTRAINT "PaymentIntent_registrationId_fkey" FOREIGN KEY ("registrationId")
    REFERENCES "EventRegistration" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "PaymentMethod" ADD CONSTRAINT "PaymentMethod_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Permission" ADD CONSTRAINT "Permission_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Photo" ADD CONSTRAINT "Photo_albumId_fkey" FOREIGN KEY ("albumId")
    REFERENCES "PhotoAlbum" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Photo" ADD CONSTRAINT "Photo_uploaderId_fkey" FOREIGN KEY ("uploaderId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "PhotoAlbum" ADD CONSTRAINT "PhotoAlbum_coverPhotoId_fkey" FOREIGN KEY ("coverPhotoId")
    REFERENCES "Photo" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "PhotoAlbum" ADD CONSTRAINT "PhotoAlbum_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "ProductVariant" ADD CONSTRAINT "ProductVariant_productId_fkey" FOREIGN KEY ("productId")
    REFERENCES "Product" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "RoleAssignment" ADD CONSTRAINT "RoleAssignment_committeeId_fkey" FOREIGN KEY ("committeeId")
    REFERENCES "Committee" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "RoleAssignment" ADD CONSTRAINT "RoleAssignment_committeeRoleId_fkey" FOREIGN KEY ("committeeRoleId")
    REFERENCES "CommitteeRole" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "RoleAssignment" ADD CONSTRAINT "RoleAssignment_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "RoleAssignment" ADD CONSTRAINT "RoleAssignment_termId_fkey" FOREIGN KEY ("termId")
    REFERENCES "Term" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Session" ADD CONSTRAINT "Session_impersonatingMemberId_fkey" FOREIGN KEY ("impersonatingMemberId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Session" ADD CONSTRAINT "Session_revokedById_fkey" FOREIGN KEY ("revokedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Session" ADD CONSTRAINT "Session_userAccountId_fkey" FOREIGN KEY ("userAccountId")
    REFERENCES "UserAccount" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "ShippingAddress" ADD CONSTRAINT "ShippingAddress_customerId_fkey" FOREIGN KEY ("customerId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "StarlingConversation" ADD CONSTRAINT "StarlingConversation_userId_fkey" FOREIGN KEY ("userId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "StarlingMessage" ADD CONSTRAINT "StarlingMessage_conversationId_fkey" FOREIGN KEY ("conversationId")
    REFERENCES "StarlingConversation" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "StarlingStaging" ADD CONSTRAINT "StarlingStaging_conversationId_fkey" FOREIGN KEY ("conversationId")
    REFERENCES "StarlingConversation" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "StoreOrder" ADD CONSTRAINT "StoreOrder_customerId_fkey" FOREIGN KEY ("customerId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "StoreOrder" ADD CONSTRAINT "StoreOrder_shippingAddressId_fkey" FOREIGN KEY ("shippingAddressId")
    REFERENCES "ShippingAddress" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "StoreOrderItem" ADD CONSTRAINT "StoreOrderItem_orderId_fkey" FOREIGN KEY ("orderId")
    REFERENCES "StoreOrder" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "StoreOrderItem" ADD CONSTRAINT "StoreOrderItem_productId_fkey" FOREIGN KEY ("productId")
    REFERENCES "Product" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "StoreOrderItem" ADD CONSTRAINT "StoreOrderItem_variantId_fkey" FOREIGN KEY ("variantId")
    REFERENCES "ProductVariant" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_closedById_fkey" FOREIGN KEY ("closedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_ownerId_fkey" FOREIGN KEY ("ownerId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_relatedEventId_fkey" FOREIGN KEY ("relatedEventId")
    REFERENCES "Event" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_relatedMemberId_fkey" FOREIGN KEY ("relatedMemberId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCase" ADD CONSTRAINT "SupportCase_submitterId_fkey" FOREIGN KEY ("submitterId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCaseNote" ADD CONSTRAINT "SupportCaseNote_authorId_fkey" FOREIGN KEY ("authorId")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "SupportCaseNote" ADD CONSTRAINT "SupportCaseNote_caseId_fkey" FOREIGN KEY ("caseId")
    REFERENCES "SupportCase" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "TicketTier" ADD CONSTRAINT "TicketTier_eventId_fkey" FOREIGN KEY ("eventId")
    REFERENCES "Event" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "TransitionAssignment" ADD CONSTRAINT "TransitionAssignment_committeeId_fkey" FOREIGN KEY ("committeeId")
    REFERENCES "Committee" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "TransitionAssignment" ADD CONSTRAINT "TransitionAssignment_existingServiceId_fkey" FOREIGN KEY ("existingServiceId")
    REFERENCES "MemberServiceHistory" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "TransitionAssignment" ADD CONSTRAINT "TransitionAssignment_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "TransitionAssignment" ADD CONSTRAINT "TransitionAssignment_transitionPlanId_fkey" FOREIGN KEY ("transitionPlanId")
    REFERENCES "TransitionPlan" ("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_appliedById_fkey" FOREIGN KEY ("appliedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_createdById_fkey" FOREIGN KEY ("createdById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_presidentApprovedById_fkey" FOREIGN KEY ("presidentApprovedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_targetTermId_fkey" FOREIGN KEY ("targetTermId")
    REFERENCES "Term" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "TransitionPlan" ADD CONSTRAINT "TransitionPlan_vpActivitiesApprovedById_fkey" FOREIGN KEY ("vpActivitiesApprovedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "UserAccount" ADD CONSTRAINT "UserAccount_memberId_fkey" FOREIGN KEY ("memberId")
    REFERENCES "Member" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "WaFieldMapping" ADD CONSTRAINT "WaFieldMapping_customFieldDefId_fkey" FOREIGN KEY ("customFieldDefId")
    REFERENCES "CustomFieldDef" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "WaFieldMapping" ADD CONSTRAINT "WaFieldMapping_waFieldDefId_fkey" FOREIGN KEY ("waFieldDefId")
    REFERENCES "WaContactFieldDef" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "WaResourceMapping" ADD CONSTRAINT "WaResourceMapping_fileObjectId_fkey" FOREIGN KEY ("fileObjectId")
    REFERENCES "FileObject" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "WidgetData" ADD CONSTRAINT "WidgetData_widgetTypeId_fkey" FOREIGN KEY ("widgetTypeId")
    REFERENCES "WidgetType" ("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "WidgetType" ADD CONSTRAINT "WidgetType_approvedById_fkey" FOREIGN KEY ("approvedById")
    REFERENCES "Member" ("id") ON DELETE SET NULL ON UPDATE CASCADE;
