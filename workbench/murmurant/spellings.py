"""The one place that spells Murmurant's table and column names.

The guide and the application spell the same things differently, and mixtures occur. Each
concept lists the spellings it may have; `workbench.murmurant.schema` finds out which are in use.
"""

from __future__ import annotations

from dataclasses import dataclass

MEMBER, EVENT, REGISTRATION = "Member", "Event", "Registration"
ENTITIES = (MEMBER, EVENT, REGISTRATION)
"""The entities an importer brings, parents first."""

ENTITY_TYPES = {MEMBER: ("Member",), EVENT: ("Event",), REGISTRATION: ("Registration", "EventRegistration")}
"""How ``entityType`` and ``resourceType`` may spell each entity."""

CONCEPT_OF = {MEMBER: "members", EVENT: "events", REGISTRATION: "registrations"}
"""Each entity's table among the concepts."""

SYNC_MOMENTS = (
    "last_full_sync",
    "last_incremental_sync",
    "last_contact_sync",
    "last_event_sync",
    "last_registration_sync",
)
"""The sync state's moments: the ends of the last full, of the last incremental, and of either's three parts."""

TYPES: dict[str, str] = {
    name: kind
    for kind, names in {
        "id": "id tier_id status_id photo_id event_id member_id target resource_id file_id",
        "timestamp": "start end opens deadline joined_at registered_at synced_at created_at updated_at",
        "boolean": "is_private published requires_registration is_public",
        "jsonb": "before after metadata wa_raw",
        "integer": "capacity",
    }.items()
    for name in names.split()
} | dict.fromkeys(SYNC_MOMENTS, "timestamp")
"""What a column holds where it is not text; an id is a ``uuid`` where every id of a database is one, else text."""

RUN_ID_KEYS = ("syncRunId", "run_id", "runId", "importRunId")
"""How an audit row's metadata may spell the run it belongs to."""


@dataclass(frozen=True)
class Concept:
    """A table of Murmurant: the names it may have, and for each column the names *that* may have."""

    tables: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    purpose: str


CONCEPTS: dict[str, Concept] = {
    "members": Concept(
        ("Member",),
        {
            "id": ("id",),
            "first_name": ("firstName",),
            "last_name": ("lastName",),
            "email": ("email",),
            "phone": ("phone",),
            "joined_at": ("joinedAt",),
            "tier_id": ("membershipTierId", "tierId"),
            "status_id": ("membershipStatusId",),
            "level": ("waMembershipLevelRaw", "membershipLevel"),
            "wa_raw": ("waRawData",),
            "photo_id": ("profilePhotoId",),
            "is_private": ("isPrivate",),
            "visibility": ("visibility",),
            "run_id": ("importRunId", "syncRunId"),
            "created_at": ("createdAt",),
            "updated_at": ("updatedAt",),
        },
        "the people",
    ),
    "events": Concept(
        ("Event",),
        {
            "id": ("id",),
            "title": ("title", "name"),
            "start": ("startTime", "startDate", "startsAt"),
            "end": ("endTime", "endDate", "endsAt"),
            "capacity": ("capacity",),
            "published": ("isPublished",),
            "status": ("status",),
            "requires_registration": ("requiresRegistration",),
            "opens": ("registrationOpensAt",),
            "deadline": ("registrationDeadline",),
            "run_id": ("importRunId", "syncRunId"),
            "created_at": ("createdAt",),
            "updated_at": ("updatedAt",),
        },
        "the events",
    ),
    "registrations": Concept(
        ("EventRegistration", "Registration"),
        {
            "id": ("id",),
            "event_id": ("eventId",),
            "member_id": ("memberId",),
            "status": ("status",),
            "registered_at": ("registeredAt",),
            "run_id": ("importRunId", "syncRunId"),
            "created_at": ("createdAt",),
            "updated_at": ("updatedAt",),
        },
        "who comes to which event",
    ),
    "mappings": Concept(
        ("WaIdMapping",),
        {
            "id": ("id",),
            "entity_type": ("entityType",),
            "wa_id": ("waId",),
            "target": ("murmurantId", "clubosId"),
            "run_id": ("syncRunId", "importRunId"),
            "synced_at": ("syncedAt", "createdAt"),
            "updated_at": ("updatedAt",),
        },
        "which Wild Apricot id became which record",
    ),
    "audit": Concept(
        ("AuditLog",),
        {
            "id": ("id",),
            "action": ("action",),
            "resource_type": ("resourceType",),
            "resource_id": ("resourceId",),
            "member_id": ("memberId",),
            "before": ("before",),
            "after": ("after",),
            "metadata": ("metadata",),
            "ip_address": ("ipAddress",),
            "user_agent": ("userAgent",),
            "created_at": ("createdAt",),
        },
        "who did what",
    ),
    "sync_state": Concept(
        ("WaSyncState",),
        {
            "id": ("id",),
            "last_full_sync": ("lastFullSync",),
            "last_incremental_sync": ("lastIncSync",),
            "last_contact_sync": ("lastContactSync",),
            "last_event_sync": ("lastEventSync",),
            "last_registration_sync": ("lastRegSync",),
            "created_at": ("createdAt",),
            "updated_at": ("updatedAt",),
        },
        "when the last sync finished",
    ),
    "tiers": Concept(("MembershipTier",), {"id": ("id",), "code": ("code",)}, "the membership tiers"),
    "statuses": Concept(("MembershipStatus",), {"id": ("id",), "code": ("code",)}, "the membership statuses"),
    "files": Concept(
        ("FileObject",),
        {"id": ("id",), "is_public": ("isPublic",), "updated_at": ("updatedAt",)},
        "photos and files",
    ),
    "file_access": Concept(("FileAccess",), {"file_id": ("fileId",)}, "who may see a file"),
}
