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

-- Every table's key is its id. Prisma names keys and indexes after their table and columns.
DO $$
BEGIN
    EXECUTE (
        SELECT string_agg(format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (id)', tablename, tablename || '_pkey'), ';')
        FROM pg_tables WHERE schemaname = 'public'
    );

    -- The unique indexes of a table, and its others; a plus joins the columns of one.
    EXECUTE (
        SELECT string_agg(format('CREATE %s INDEX %I ON %I ("%s")', uniqueness, concat_ws('_', name, replace(columns, '+', '_'), ending),
            name, replace(columns, '+', '", "')), ';')
        FROM (VALUES
            ('ActivityGroup', 'slug', 'approvedById category proposedById slug status'),
            ('ActivityGroupAnnouncement', '', 'expiresAt groupId+publishedAt'),
            ('ActivityGroupMember', 'groupId+memberId+joinedAt', 'groupId+leftAt memberId'),
            ('Asset', '', 'type'),
            ('AudienceRule', '', 'name'),
            ('AuditLog', '', 'action createdAt memberId resourceType+resourceId'),
            ('AuthChallenge', 'challenge', 'challenge email expiresAt userAccountId'),
            ('Committee', 'slug', 'isActive'),
            ('CommitteeRole', 'committeeId+slug', 'committeeId'),
            ('CustomFieldDef', 'entityType+slug', 'entityType+isActive'),
            ('CustomFieldValue', 'customFieldDefId+entityId', 'customFieldDefId entityId'),
            ('DeliveryLog', '', 'campaignId recipientEmail recipientId status'),
            ('DigitalDelivery', 'downloadToken', 'downloadToken expiresAt orderId'),
            ('EmailLog', '', 'memberId sentAt status'),
            ('EmailMagicLink', 'tokenHash', 'email expiresAt tokenHash'),
            ('EmailSuppressionList', 'email', 'email expiresAt reason'),
            ('Event', '', 'activityGroupId approvedById canceledById category changesRequestedById clonedFromId
                committeeId eventChairId publishedById startTime status submittedById'),
            ('EventNote', '', 'authorId eventId eventId+noteType'),
            ('EventPostmortem', 'eventId', 'createdById eventId status'),
            ('EventRegistration', 'eventId+memberId', 'eventId eventId+status+waitlistPosition memberId+eventId
                memberId ticketTierId'),
            ('FileAccess', 'fileId+principalType+principalId+permission', 'expiresAt fileId
                principalType+principalId'),
            ('FileObject', 'storageKey', 'createdAt isPublic mimeType uploadedById'),
            ('FileTag', 'fileId+tag', 'fileId tag'),
            ('GovernanceAnnotation', '', 'createdById isPublished motionId targetType+targetId'),
            ('GovernanceMeeting', 'date+type', 'createdById date type'),
            ('GovernanceMinutes', 'meetingId+version', 'createdAt meetingId status'),
            ('GovernanceMotion', 'meetingId+motionNumber', 'meetingId result'),
            ('GovernanceReviewFlag', '', 'createdById dueDate flagType status targetType+targetId'),
            ('JobRun', 'jobName+scheduledFor', 'createdAt jobName scheduledFor status'),
            ('MailingList', 'slug', 'isActive'),
            ('Member', 'email profilePhotoId', 'membershipStatusId membershipTierId'),
            ('MemberServiceHistory', '', 'committeeId endAt eventId memberId+endAt memberId serviceType startAt termId
                transitionPlanId'),
            ('MembershipStatus', 'code', ''),
            ('MembershipTier', 'code', 'sortOrder'),
            ('MessageCampaign', '', 'mailingListId messageTemplateId scheduledAt status'),
            ('MessageTemplate', 'slug', 'isActive'),
            ('Navigation', 'slug', 'isActive sortOrder'),
            ('Page', 'slug', 'publishAt status templateId visibility'),
            ('PageRevision', '', 'pageId+createdAt pageId+stackPosition'),
            ('PasskeyCredential', 'credentialId', 'credentialId isRevoked userAccountId'),
            ('PaymentIntent', 'idempotencyKey', 'createdAt providerRef registrationId status'),
            ('PaymentMethod', '', 'memberId memberId+status memberId+type+status'),
            ('Permission', 'resourceType+resourceId+memberId+action', 'memberId resourceType+resourceId roleSlug'),
            ('Photo', '', 'albumId uploaderId'),
            ('PhotoAlbum', 'coverPhotoId eventId', ''),
            ('Product', 'slug', 'isActive+isPublic slug sortOrder type'),
            ('ProductVariant', 'sku', 'productId productId+isActive sku'),
            ('RoleAssignment', '', 'committeeId committeeRoleId memberId termId+committeeId termId'),
            ('Session', 'tokenHash', 'expiresAt revokedAt tokenHash userAccountId'),
            ('ShippingAddress', '', 'customerId'),
            ('StarlingAudit', '', 'action conversationId createdAt userId'),
            ('StarlingConversation', '', 'updatedAt userId'),
            ('StarlingKnowledge', '', 'organization_id source source_type visibility'),
            ('StarlingMessage', '', 'conversationId createdAt'),
            ('StarlingStaging', '', 'conversationId expiresAt userId'),
            ('StoreOrder', 'idempotencyKey orderNumber', 'createdAt customerId guestEmail orderNumber sessionId
                status'),
            ('StoreOrderItem', '', 'orderId productId'),
            ('SupportCase', 'caseNumber', 'category closedAt ownerId receivedAt status submitterId'),
            ('SupportCaseNote', '', 'caseId createdAt'),
            ('Template', 'slug', 'isActive type'),
            ('Theme', 'slug', 'isDefault status'),
            ('TicketTier', '', 'eventId eventId+isActive'),
            ('TransitionAssignment', '', 'committeeId memberId transitionPlanId'),
            ('TransitionPlan', '', 'effectiveAt status targetTermId'),
            ('UserAccount', 'email memberId', ''),
            ('WaContactFieldDef', 'waFieldId', 'fieldName systemCode'),
            ('WaFieldMapping', 'waFieldDefId', ''),
            ('WaIdMapping', 'entityType+waId', 'entityType+clubosId syncedAt'),
            ('WaResourceMapping', 'fileObjectId waResourceUrl', 'fileObjectId status'),
            ('WidgetData', 'widgetTypeId+scopeType+scopeId', 'scopeType+scopeId widgetTypeId'),
            ('WidgetType', 'slug', 'slug status')
        ) AS t (name, uniques, others) CROSS JOIN LATERAL (
            SELECT 'UNIQUE' AS uniqueness, 'key' AS ending, regexp_split_to_table(uniques, '\s+') AS columns
            UNION ALL SELECT '', 'idx', regexp_split_to_table(others, '\s+')
        ) AS i WHERE columns <> ''
    );

    -- What becomes of the rows that refer to a record when it goes, and the columns by which they refer to it.
    EXECUTE (
        SELECT string_agg(format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %I (id) ON DELETE %s ON UPDATE CASCADE',
            split_part(child, '.', 1), replace(child, '.', '_') || '_fkey', split_part(child, '.', 2), parent, rule), ';')
        FROM (VALUES
            ('ActivityGroup', 'SET NULL', 'Event.activityGroupId'),
            ('ActivityGroup', 'CASCADE', 'ActivityGroupAnnouncement.groupId ActivityGroupMember.groupId'),
            ('AudienceRule', 'SET NULL', 'MailingList.audienceRuleId MessageCampaign.audienceRuleId
                Navigation.audienceRuleId Page.audienceRuleId'),
            ('Committee', 'SET NULL', 'Event.committeeId MemberServiceHistory.committeeId
                TransitionAssignment.committeeId'),
            ('Committee', 'RESTRICT', 'CommitteeRole.committeeId RoleAssignment.committeeId'),
            ('CommitteeRole', 'RESTRICT', 'RoleAssignment.committeeRoleId'),
            ('CustomFieldDef', 'SET NULL', 'WaFieldMapping.customFieldDefId'),
            ('CustomFieldDef', 'RESTRICT', 'CustomFieldValue.customFieldDefId'),
            ('Event', 'SET NULL', 'Event.clonedFromId MemberServiceHistory.eventId PhotoAlbum.eventId
                SupportCase.relatedEventId'),
            ('Event', 'RESTRICT', 'EventRegistration.eventId'),
            ('Event', 'CASCADE', 'EventNote.eventId EventPostmortem.eventId TicketTier.eventId'),
            ('EventRegistration', 'CASCADE', 'PaymentIntent.registrationId'),
            ('FileObject', 'SET NULL', 'Member.profilePhotoId WaResourceMapping.fileObjectId'),
            ('FileObject', 'CASCADE', 'FileAccess.fileId FileTag.fileId'),
            ('GovernanceMeeting', 'CASCADE', 'GovernanceMinutes.meetingId GovernanceMotion.meetingId'),
            ('GovernanceMotion', 'CASCADE', 'GovernanceAnnotation.motionId'),
            ('MailingList', 'SET NULL', 'MessageCampaign.mailingListId'),
            ('Member', 'SET NULL', 'ActivityGroup.approvedById ActivityGroup.deactivatedById
                ActivityGroup.rejectedById AuditLog.memberId DeliveryLog.recipientId EmailLog.memberId
                Event.approvedById Event.canceledById Event.changesRequestedById Event.eventChairId
                Event.publishedById Event.submittedById EventPostmortem.approvedBy EventPostmortem.createdById
                FileAccess.grantedById FileObject.uploadedById GovernanceAnnotation.createdById
                GovernanceMeeting.createdById GovernanceMinutes.approvedById GovernanceMinutes.createdById
                GovernanceMinutes.lastEditedById GovernanceMinutes.publishedById GovernanceMinutes.reviewedById
                GovernanceMinutes.submittedById GovernanceMotion.createdById GovernanceMotion.movedById
                GovernanceMotion.secondedById GovernanceReviewFlag.createdById GovernanceReviewFlag.resolvedById
                MemberServiceHistory.createdById MessageCampaign.createdById Page.createdById Page.updatedById
                PageRevision.createdById PasskeyCredential.revokedById Permission.memberId
                Session.impersonatingMemberId Session.revokedById ShippingAddress.customerId StoreOrder.customerId
                SupportCase.closedById SupportCase.ownerId SupportCase.relatedMemberId SupportCase.submitterId
                SupportCaseNote.authorId TransitionPlan.appliedById TransitionPlan.createdById
                TransitionPlan.presidentApprovedById TransitionPlan.vpActivitiesApprovedById WidgetType.approvedById'),
            ('Member', 'RESTRICT', 'ActivityGroup.proposedById ActivityGroupAnnouncement.createdById
                ActivityGroupMember.memberId EventRegistration.memberId MemberServiceHistory.memberId Photo.uploaderId
                RoleAssignment.memberId StarlingConversation.userId TransitionAssignment.memberId
                UserAccount.memberId'),
            ('Member', 'CASCADE', 'EventNote.authorId PaymentMethod.memberId'),
            ('MemberServiceHistory', 'SET NULL', 'TransitionAssignment.existingServiceId'),
            ('MembershipStatus', 'RESTRICT', 'Member.membershipStatusId'),
            ('MembershipTier', 'SET NULL', 'Member.membershipTierId'),
            ('MessageCampaign', 'RESTRICT', 'DeliveryLog.campaignId'),
            ('MessageTemplate', 'RESTRICT', 'MessageCampaign.messageTemplateId'),
            ('Page', 'CASCADE', 'PageRevision.pageId'),
            ('Photo', 'SET NULL', 'PhotoAlbum.coverPhotoId'),
            ('PhotoAlbum', 'RESTRICT', 'Photo.albumId'),
            ('Product', 'RESTRICT', 'StoreOrderItem.productId'),
            ('Product', 'CASCADE', 'ProductVariant.productId'),
            ('ProductVariant', 'SET NULL', 'StoreOrderItem.variantId'),
            ('ShippingAddress', 'SET NULL', 'StoreOrder.shippingAddressId'),
            ('StarlingConversation', 'CASCADE', 'StarlingMessage.conversationId StarlingStaging.conversationId'),
            ('StoreOrder', 'CASCADE', 'DigitalDelivery.orderId StoreOrderItem.orderId'),
            ('SupportCase', 'CASCADE', 'SupportCaseNote.caseId'),
            ('Template', 'SET NULL', 'MessageTemplate.templateId Page.templateId'),
            ('Term', 'SET NULL', 'MemberServiceHistory.termId'),
            ('Term', 'RESTRICT', 'RoleAssignment.termId TransitionPlan.targetTermId'),
            ('Theme', 'SET NULL', 'Page.themeId'),
            ('TicketTier', 'SET NULL', 'EventRegistration.ticketTierId'),
            ('TransitionPlan', 'SET NULL', 'MemberServiceHistory.transitionPlanId'),
            ('TransitionPlan', 'CASCADE', 'TransitionAssignment.transitionPlanId'),
            ('UserAccount', 'CASCADE', 'PasskeyCredential.userAccountId Session.userAccountId'),
            ('WaContactFieldDef', 'RESTRICT', 'WaFieldMapping.waFieldDefId'),
            ('WidgetType', 'RESTRICT', 'WidgetData.widgetTypeId')
        ) AS r (parent, rule, children) CROSS JOIN LATERAL regexp_split_to_table(children, '\s+') AS child
    );
END $$;
