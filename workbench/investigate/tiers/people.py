"""Who last changed a member's tier, where the audit log tells: what a person set is never overwritten."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, Subquery, case, cast, func, null, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from workbench.investigate.tiers.statements import InUse
from workbench.murmurant.importers import IMPORT_SOURCE
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import MEMBER

_NEEDED = ("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at")


def tells_of_members(schema: Schema) -> bool:
    """Whether the audit log names the record of an entry; the guide's own does not."""
    return schema.has(*_NEEDED, "audit.before") or schema.has(*_NEEDED, "audit.after")


def last_changes(schema: Schema, used: InUse) -> Subquery | None:
    """Select, for each member whose tier the audit log speaks of, the last entry that does.

    Returns
    -------
    Subquery or None
        ``key``, ``person`` (whether it was no import and no plan of the workbench), ``by`` (the
        member who did it), ``at``, ``was`` and ``became`` (references as text; None where the entry
        does not say), ``run``; None where the log cannot tell.
    """
    if not tells_of_members(schema):
        return None
    audit = schema.audit
    column = schema.resolved["members"].spelling[used.column]
    before: Any = audit.c.before if schema.has("audit.before") else None
    after: Any = audit.c.after if schema.has("audit.after") else None
    changes = audit.c.metadata["changes"]
    said = [each for each in (before, after, changes) if each is not None]
    became = [each[column].astext for each in (after, changes) if each is not None]
    source = func.coalesce(audit.c.metadata["source"].astext, "")
    nobody = cast(null(), String)
    actor: Any = as_text(audit.c.member_id) if schema.has("audit.member_id") else nobody
    return (
        select(
            as_text(audit.c.resource_id).label("key"),
            ((schema.audit_run.is_(None)) & (source != IMPORT_SOURCE) & source.not_like("workbench%")).label(
                "person"
            ),
            actor.label("by"),
            audit.c.created_at.label("at"),
            (nobody if before is None else before[column].astext).label("was"),
            func.coalesce(*became).label("became"),
            case(
                (or_(*(each.has_key(column) for each in said if each is not before)), True), else_=False
            ).label("told"),
            schema.audit_run.label("run"),
        )
        .ext(distinct_on(as_text(audit.c.resource_id)))
        .where(entity_of(audit.c.resource_type) == MEMBER, or_(*(each.has_key(column) for each in said)))
        .order_by(as_text(audit.c.resource_id), audit.c.created_at.desc(), as_text(audit.c.id).desc())
        .subquery("last_change")
    )


def is_a_person_s(changes: Subquery, held: Any) -> Any:
    """Whether a member's tier is as a person set it: what they set it to is still there.

    An entry that does not say what the tier became counts as long as nothing later is logged.
    """
    return changes.c.person & or_(~changes.c.told, changes.c.became.is_not_distinct_from(held))
