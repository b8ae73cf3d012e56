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


def _concept(purpose: str, tables: str, columns: str, **spellings: str) -> Concept:
    """Describe a table; a column that is not given spellings is spelled as itself, in camel case."""
    names = {name: spellings.get(name) or _camel_case(name) for name in columns.split()}
    return Concept(
        tuple(tables.split()), {name: tuple(words.split()) for name, words in names.items()}, purpose
    )


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


_OF_RECORDS = "importRunId syncRunId"

CONCEPTS: dict[str, Concept] = {
    "members": _concept(
        "the people",
        "Member",
        "id first_name last_name email phone joined_at tier_id status_id level wa_raw photo_id is_private visibility"
        " run_id created_at updated_at",
        tier_id="membershipTierId tierId",
        status_id="membershipStatusId",
        level="waMembershipLevelRaw membershipLevel",
        wa_raw="waRawData",
        photo_id="profilePhotoId",
        run_id=_OF_RECORDS,
    ),
    "events": _concept(
        "the events",
        "Event",
        "id title start end capacity published status requires_registration opens deadline run_id created_at updated_at",
        title="title name",
        start="startTime startDate startsAt",
        end="endTime endDate endsAt",
        published="isPublished",
        opens="registrationOpensAt",
        deadline="registrationDeadline",
        run_id=_OF_RECORDS,
    ),
    "registrations": _concept(
        "who comes to which event",
        "EventRegistration Registration",
        "id event_id member_id status registered_at run_id created_at updated_at",
        run_id=_OF_RECORDS,
    ),
    "mappings": _concept(
        "which Wild Apricot id became which record",
        "WaIdMapping",
        "id entity_type wa_id target run_id synced_at updated_at",
        target="murmurantId clubosId",
        run_id="syncRunId importRunId",
        synced_at="syncedAt createdAt",
    ),
    "audit": _concept(
        "who did what",
        "AuditLog",
        "id action resource_type resource_id member_id before after metadata ip_address user_agent created_at",
    ),
    "sync_state": _concept(
        "when the last sync finished",
        "WaSyncState",
        " ".join(("id", *SYNC_MOMENTS, "created_at", "updated_at")),
        last_incremental_sync="lastIncSync",
        last_registration_sync="lastRegSync",
    ),
    "tiers": _concept("the membership tiers", "MembershipTier", "id code"),
    "statuses": _concept("the membership statuses", "MembershipStatus", "id code"),
    "files": _concept("photos and files", "FileObject", "id is_public updated_at"),
    "file_access": _concept("who may see a file", "FileAccess", "file_id"),
}
