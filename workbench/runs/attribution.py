"""The traces of one record put together, and what became of the record since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Select,
    String,
    Subquery,
    and_,
    case,
    cast,
    distinct,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, distinct_on

from workbench.murmurant.importers import ACTIONS, Run, Strength, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.journal import Entry
from workbench.plans.standing import removed
from workbench.runs.traces import ALONE, BITS, TOLERANCE

FATES = {"rollback": "rolled back", "merge": "merged into another"}
"""What a plan of some kind did with a record that it took away."""


def about(trace: Select[Any], ids: Sequence[str]) -> Select[Any]:
    """Restrict a trace to some records, and to what names a WA id only: another trace knows whose that is."""
    seen = trace.subquery()
    return select(seen).where(or_(seen.c.record_id.is_(None), is_one_of(seen.c.record_id, ids)))


def merge_traces(traces: Sequence[Select[Any]], run: Run) -> Subquery:
    """Put the traces of one record together, whatever number of WA ids and writes it has.

    Returns
    -------
    sqlalchemy.Subquery
        One row per record: ``entity``, ``action``, ``record_id``, ``wa_id`` (that of the action; the least of
        several), ``other_wa_ids``, ``own_wa_ids`` (those by which the run itself knows it), ``evidence``,
        ``strength`` (of the action), ``first`` and ``at`` (the run's first and last write), and for each action
        how many WA ids were dealt with so, as importers count.
    """
    if run.traces.keys() - {Trace.MIGRATION, Trace.SYNC_STATE} <= {Trace.MAPPING, Trace.RECORD}:
        # A record that a mapping of the run names is not named by its own tag as well: one with a tag is alone.
        alone = [each for each in traces if each.get_execution_options().get(ALONE)]
        others = [each for each in traces if each not in alone]
        parts = [_in_words(_by_record(union_all(*others).subquery("traces")))] if others else []
        parts += [_alone(union_all(*alone).subquery("tagged"))] if alone else []
        return union_all(*parts).subquery("merged")
    seen = union_all(*traces).subquery("traces")
    # One trace may know the WA id only, another the record only; a third, or the same one, knows both.
    wa_id = func.coalesce(
        seen.c.wa_id, func.max(seen.c.wa_id).over(partition_by=[seen.c.entity, seen.c.record_id])
    )
    record_id = func.coalesce(
        seen.c.record_id, func.max(seen.c.record_id).over(partition_by=[seen.c.entity, seen.c.wa_id])
    )
    rest = [seen.c[name] for name in ("entity", "action", "said", "at", "traces", "strength")]
    every = select(
        *rest,
        case((seen.c.record_id.is_(None), seen.c.wa_id), else_=wa_id).label("wa_id"),
        case((seen.c.wa_id.is_(None), seen.c.record_id), else_=record_id).label("record_id"),
    ).subquery("every")
    # Of several traces of one WA id the most direct says what was done.
    order = (every.c.action.is_(None), every.c.said.desc(), every.c.strength.desc(), every.c.action)
    by_wa_id = (
        select(
            every.c.entity,
            func.array_agg(aggregate_order_by(every.c.action, *order), type_=ARRAY(String()))[1].label(
                "action"
            ),
            every.c.record_id,
            every.c.wa_id,
            func.bit_or(every.c.traces).label("traces"),
            func.max(every.c.strength).label("strength"),
            func.max(every.c.at).label("at"),
        )
        .group_by(every.c.entity, every.c.record_id, every.c.wa_id)
        .subquery("by_wa_id")
    )
    return _in_words(_by_record(by_wa_id)).subquery("merged")


def _by_record(found: Subquery) -> Select[Any]:
    """Put what was done with each WA id together by record: created wins, then updated, mapped, existing.

    No aggregate needs its rows in order, so that a million of them can be hashed.
    """
    rank = case(
        *((found.c.action == name, number) for number, name in enumerate(ACTIONS)), else_=len(ACTIONS)
    )
    ids = {
        "ids": found.c.wa_id.is_not(None),
        "sure_ids": found.c.strength >= Strength.strong,
        "mapped_ids": found.c.action == "mapped",
    }
    columns: list[Any] = [
        found.c.entity,
        found.c.record_id,
        func.min(rank * 10 + 9 - found.c.strength).label("code"),
        func.min(cast(rank, String).concat(found.c.wa_id.collate("C"))).label("ranked"),
        (func.min(found.c.wa_id) < func.max(found.c.wa_id)).label("several"),
        *(
            func.array_agg(found.c.wa_id, type_=ARRAY(String())).filter(which).label(name)
            for name, which in ids.items()
        ),
        func.bit_or(found.c.traces).label("traces"),
        func.min(found.c.at).label("first"),
        func.max(found.c.at).label("at"),
        *(
            func.count()
            .filter(
                found.c.action == name, found.c.traces != BITS[Trace.TIME]
            )  # that alone counts as nothing
            .label(name)
            for name in ACTIONS
        ),
    ]
    if "alive" in found.c:
        columns += [func.bool_or(found.c.alive).label("alive"), func.max(found.c.changed).label("changed")]
    return select(*columns).group_by(
        found.c.entity, found.c.record_id, case((found.c.record_id.is_(None), found.c.wa_id))
    )


def _alone(found: Subquery) -> Select[Any]:
    """Lay out records of one trace each as `_in_words` does, with nothing to put together."""
    counted = (and_(found.c.action == name, found.c.traces != BITS[Trace.TIME]) for name in ACTIONS)
    return select(
        found.c.entity,
        found.c.record_id,
        found.c.at.label("first"),
        found.c.at,
        *(
            cast(cast(each, Integer), BigInteger).label(name)
            for name, each in zip(ACTIONS, counted, strict=True)
        ),
        found.c.alive,
        found.c.changed,
        found.c.action,
        found.c.wa_id,
        literal("").label("other_wa_ids"),
        found.c.wa_id.label("own_wa_ids"),
        _kinds(found.c.traces).label("evidence"),
        found.c.strength,
    )


def _kinds(traces: Any) -> Any:
    return func.concat_ws(
        ", ", *(case((traces.bitwise_and(bit) != 0, str(each))) for each, bit in BITS.items())
    )


def _in_words(records: Select[Any]) -> Select[Any]:
    """Turn the codes of records into words."""
    found = records.subquery("records")
    rank, wa_id = found.c.code // 10, func.substr(found.c.ranked, 2)
    own = case((rank == ACTIONS.index("mapped"), found.c.mapped_ids), else_=found.c.sure_ids)
    # A record is created once: a further id that says so was mapped onto it.
    again = func.greatest(found.c.created - 1, 0)
    counts = {"created": found.c.created - again, "mapped": found.c.mapped + again}
    return select(
        *(found.c[name] for name in ("entity", "record_id", "first", "at")),
        *(counts.get(name, found.c[name]).label(name) for name in ACTIONS),
        *(found.c[name] for name in ("alive", "changed") if name in found.c),
        case(*((rank == number, name) for number, name in enumerate(ACTIONS))).label("action"),
        wa_id.label("wa_id"),
        case((found.c.several, _joined(found.c.ids, wa_id)), else_="").label("other_wa_ids"),
        case((found.c.several, func.coalesce(_joined(own), wa_id)), else_=wa_id).label("own_wa_ids"),
        _kinds(found.c.traces).label("evidence"),
        (9 - found.c.code % 10).label("strength"),
    )


def _joined(ids: Any, but: Any = None) -> Any:
    """Write an array of ids as text, each once."""
    each = func.unnest(ids).column_valued("each")
    return (
        select(func.string_agg(distinct(each), literal(", ")))
        .where(each.is_distinct_from(but))
        .scalar_subquery()
    )


def with_fate(
    schema: Schema, run: Run, merged: Subquery, others: Sequence[Run], plans: Sequence[Entry] = ()
) -> Subquery:
    """Add whether each record still exists, who touched it since, and which of some plans took it away.

    The last hand is named; that of a run that was taken back only if there was no other.
    """
    source: Any = merged
    alive: list[Any] = []
    changed: list[Any] = []
    at_hand = "alive" in merged.c
    if at_hand:
        alive, changed = [merged.c.alive], [merged.c.changed]
    for entity in ENTITIES:
        if at_hand or not schema.has(CONCEPT_OF[entity]):
            continue
        table = schema.entity(entity).alias(f"now_{CONCEPT_OF[entity]}")
        source = source.outerjoin(
            table, and_(merged.c.entity == entity, as_text(table.c.id) == merged.c.record_id)
        )
        alive.append(as_text(table.c.id))
        if schema.has(f"{CONCEPT_OF[entity]}.updated_at"):
            changed.append(table.c.updated_at)
    later: Any = literal(None)
    by: Any = cast(null(), String)
    if run.mode == "live" and schema.has(
        "audit.metadata", "audit.resource_type", "audit.resource_id", "audit.created_at"
    ):
        audit = schema.audit
        owner = schema.audit_run
        touched = (
            select(
                entity_of(audit.c.resource_type).label("entity"),
                as_text(audit.c.resource_id).label("record_id"),
                func.max(audit.c.created_at).label("at"),
                func.array_agg(
                    aggregate_order_by(
                        func.coalesce(owner, "a person"),
                        func.coalesce(owner, "").in_([each.run for each in others if each.rolled_back]),
                        audit.c.created_at.desc(),
                    ),
                    type_=ARRAY(String()),
                )[1].label("by"),
            )
            .where(owner.is_distinct_from(run.run), audit.c.created_at > (run.started or literal(None)))
            .group_by("entity", "record_id")
            .subquery("touched")
        )
        source = source.outerjoin(
            touched, and_(touched.c.entity == merged.c.entity, touched.c.record_id == merged.c.record_id)
        )
        later, by = touched.c.at, touched.c.by
    takers = [
        (literal(entity).label("entity"), taken)
        for entity in (ENTITIES if run.mode == "live" else ())
        if (taken := removed(schema, entity, plans, run.run)) is not None
    ]
    taken_by: Any = literal("")
    if takers:
        # A record may have come back and gone again: the last plan that took it.
        taken = union_all(
            *(
                select(entity, each.c.record_id, each.c.entry, each.c.plan, each.c.kind)
                for entity, each in takers
            )
        ).subquery("takers")
        last = (
            select(taken)
            .ext(distinct_on(taken.c.entity, taken.c.record_id))
            .order_by(taken.c.entity, taken.c.record_id, taken.c.entry.desc())
            .subquery("last_taken")
        )
        source = source.outerjoin(
            last, and_(last.c.entity == merged.c.entity, last.c.record_id == merged.c.record_id)
        )
        words = case(*((last.c.kind == kind, said) for kind, said in FATES.items()), else_=literal("removed"))
        taken_by = func.coalesce(words + " by plan " + last.c.plan, "")
    since: Any = case(
        # What somebody logged between two writes of the run is theirs; a row's own time after the last is not the run's.
        (later > merged.c.first, by),
        *([(func.coalesce(*changed) > merged.c.at + TOLERANCE, "somebody")] if changed else []),
        else_="",
    )
    if run.mode == "dry":
        since = literal("")
    gone = null() if run.mode == "dry" else _exists(alive, at_hand)
    return (
        select(
            *merged.c,
            cast(gone, Boolean).label("exists"),
            since.label("touched_since"),
            (since != "").label("touched"),
            taken_by.label("fate"),
        )
        .select_from(source)
        .subquery("fate")
    )


def _exists(alive: Sequence[Any], at_hand: bool) -> Any:
    if at_hand:
        return alive[0]
    return func.coalesce(*alive).is_not(None) if alive else null()
