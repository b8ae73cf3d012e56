"""What can be wrong with a mapping by its own form, one statement each (guide §1.2, §7.1).

The checks and the investigation ask these same statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, entity_of, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, REGISTRATION
from workbench.plans.standing import not_taken_back

NEEDS = ("mappings.entity_type", "mappings.wa_id", "mappings.target")
"""Without these nothing can be said of mappings."""

NO_RECORD, UNKNOWN_TYPE, OF_ANOTHER = "no such record", "unknown entity type", "the id of another entity: "
"""Why a mapping leads nowhere; the last one names the entity."""


def mapping_key(schema: Schema) -> ColumnElement[str]:
    """Return the key of a mapping as people write it: ``Member/50012``."""
    mappings = schema.mappings
    return (entity_of(func.coalesce(mappings.c.entity_type, "")) + "/" + as_text(mappings.c.wa_id)).label(
        "key"
    )


def mapped_twice(schema: Schema) -> Select[Any]:
    """Select the WA ids that are mapped more than once: ``key``, ``mappings`` (how many), ``targets``."""
    mappings = schema.mappings
    # Ids of different kinds may agree; so first those that occur twice at all, which an index can tell.
    one, other = mappings.alias("one"), mappings.alias("other")
    twice = select(one.c.wa_id).group_by(one.c.wa_id).having(func.count() > 1)
    if schema.forbids_twins("mappings", "entity_type", "wa_id"):
        # Only under two spellings of one kind can an id occur twice here.
        first, second = ENTITY_TYPES[REGISTRATION]
        twice = select(one.c.wa_id).where(
            one.c.entity_type == first, other.c.entity_type == second, other.c.wa_id == one.c.wa_id
        )
    targets = func.string_agg(as_text(mappings.c.target), literal(", "))
    return (
        select(mapping_key(schema), func.count().label("mappings"), targets.label("targets"))
        .where(mappings.c.wa_id.in_(twice))
        .group_by("key")
        .having(func.count() > 1)
        .order_by("key")
    )


def shared_targets(schema: Schema) -> Select[Any]:
    """Select the mappings of two WA ids that lead to one record: ``key``, ``target``, ``wa_ids`` (how many).

    Ids that a merge or a correction led there on purpose make no record shared, as long as that stands.
    """
    mappings = schema.mappings
    several = (
        select(mappings.c.entity_type, mappings.c.target)
        .group_by(mappings.c.entity_type, mappings.c.target)
        .having(func.count() > 1)
        .cte("several")
    )
    together = [mappings.c.entity_type, mappings.c.target]
    kinds = [spelling for spellings in ENTITY_TYPES.values() for spelling in spellings]
    meant = corrected(schema, kinds, wa_id=mappings.c.wa_id, target=mappings.c.target)
    found = (
        select(
            mapping_key(schema),
            as_text(mappings.c.target).label("target"),
            func.count().over(partition_by=together).label("wa_ids"),
            func.min(mappings.c.wa_id).over(partition_by=together).label("least"),
            func.max(mappings.c.wa_id).over(partition_by=together).label("greatest"),
            func.count().over(partition_by=[*together, meant]).label("alike"),
            meant.label("meant"),
        )
        .select_from(
            mappings.join(
                several,
                (several.c.target == mappings.c.target) & (several.c.entity_type == mappings.c.entity_type),
            )
        )
        .subquery("found")
    )
    # The same id mapped twice to one record is another check's finding.
    different = found.c.least != found.c.greatest
    by_chance = case((found.c.meant, found.c.wa_ids - found.c.alike), else_=found.c.alike) > 1
    return (
        select(found.c.key, found.c.target, found.c.wa_ids)
        .where(different, by_chance)
        .order_by("target", "key")
    )


def leading_nowhere(schema: Schema) -> Select[Any]:
    """Select the mappings whose record does not exist: ``key``, ``target``, ``why``.

    A target that is the id of another entity's record is told as that.
    """
    mappings = schema.mappings
    there = [entity for entity in ENTITIES if schema.has(CONCEPT_OF[entity])]
    parts = []
    for entity in there:
        record = schema.entity(entity)
        others = [
            (
                exists().where(same_id(schema.entity(other).c.id, mappings.c.target)),
                literal(OF_ANOTHER + other),
            )
            for other in there
            if other != entity
        ]
        parts.append(
            select(
                mapping_key(schema),
                as_text(mappings.c.target).label("target"),
                (case(*others, else_=NO_RECORD) if others else literal(NO_RECORD)).label("why"),
            ).where(
                mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
                ~exists().where(same_id(record.c.id, mappings.c.target)),
            )
        )
    known = [spelling for spellings in ENTITY_TYPES.values() for spelling in spellings]
    parts.append(
        select(
            mapping_key(schema),
            as_text(mappings.c.target).label("target"),
            literal(UNKNOWN_TYPE).label("why"),
        ).where(or_(mappings.c.entity_type.not_in(known), mappings.c.entity_type.is_(None)))
    )
    every = union_all(*parts).subquery("orphans")
    return select(every).order_by(every.c.key)


def corrected(
    schema: Schema,
    kinds: Sequence[str],
    *,
    wa_id: Any = None,
    target: Any,
    was: Any = None,
    taken: Any = None,
) -> ColumnElement[bool]:
    """Whether somebody put a mapping right on purpose (guide §4.2's audit entry), and nobody took that back.

    The mapping must lead there now, and the plan that wrote the entry, if one did, must stand: what was taken
    back counts for nothing, whatever the log says.

    Parameters
    ----------
    kinds : sequence of str
        How the mapping may spell its entity.
    target : column
        The record it leads to.
    wa_id : column, optional
        The WA id; else any.
    was, taken : column, optional
        Instead of one id an array of them, of which it must be one; where that is empty, the record that the
        mapping had led to before.
    """
    if not schema.has("audit.metadata", "audit.action"):
        return false()
    entry, led = schema.audit.alias("correction"), schema.mappings.alias("led")
    facts = entry.c.metadata
    corrected_id = facts["waId"].astext
    told = [facts["newMurmurantId"].astext == as_text(target)]
    # An entry made by hand, as the guide's own SQL makes it, names no entity.
    told.append(or_(facts["entityType"].astext.is_(None), facts["entityType"].astext.in_(kinds)))
    if wa_id is None:
        told += [
            as_text(led.c.wa_id) == corrected_id,
            led.c.entity_type.in_(kinds),
            as_text(led.c.target) == as_text(target),
        ]
    else:
        told.append(corrected_id == as_text(wa_id))
    if taken is not None:
        unknown = and_(func.cardinality(taken) == 0, facts["oldMurmurantId"].astext == as_text(was))
        told.append(or_(unknown, corrected_id == func.any(taken)))
    return exists().where(*told, not_taken_back(schema, entry))


def latest_told(
    runs: Sequence[Run], entity: str, exports: Sequence[ReportRecord] = ()
) -> dict[str, ReportRecord]:
    """Return what is told of each WA id: by the reports of live runs, the latest run's word; by an export before all."""
    found: dict[str, ReportRecord] = {}
    for run in runs:
        if run.mode == "live":
            for report in sorted(run.reports, key=lambda each: each.path.name):
                for each in report.records:
                    if each.entity == entity and each.wa_id is not None:
                        found[each.wa_id] = each
    for each in exports:
        if each.entity == entity and each.wa_id is not None:
            found[each.wa_id] = each
    return found


def listed(name: str, /, **columns: Sequence[str | None]) -> Any:
    """Return lists of equal length as a table to join with."""
    arrays = [
        bindparam(f"{name}_{key}", values, type_=ARRAY(String()), unique=True)
        for key, values in columns.items()
    ]
    return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()
