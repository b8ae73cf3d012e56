"""Guide §1.5: imported data that violate the organisation's own rules.

What the guide names is asked with every other check; an environment's ``policies.toml`` decides how. All of
its rules are asked by ``workbench policies``. Two further checks ask for what the importers' transforms leave
behind: they fill in what Wild Apricot did not say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    String,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.checks.partial import NO_RUNS
from workbench.checks.registry import REGISTRY, Look, NotRunError, check
from workbench.checks.rules import rule_check, ruled_here
from workbench.investigate.policies import starter
from workbench.investigate.traces import TOLERANCE
from workbench.murmurant.schema import as_text, named, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, EVENT, MEMBER

NAMED_BY_THE_GUIDE = (
    "events-over-capacity-limit",
    "events-overbooked",
    "events-invalid-dates",
    "members-visibility",
)
"""The rules of the starter set that are checks too."""

SEVERAL = 3
"""How many members written in the same minute are an import's doing, and no person's."""

for _rule in starter().choose(list(NAMED_BY_THE_GUIDE)):
    REGISTRY[_rule.id] = replace(rule_check(_rule), here=ruled_here(_rule))


@check(
    "members-joined-at-import",
    "Join dates of imported members",
    guide="§1.5",
    symptom="Source data not validated against Murmurant policies",
    severity="warn",
    question="Did any imported member join at the very moment of an import? That is what the importers write where"
    " Wild Apricot gave them no date.",
    remedy="Find the day in Wild Apricot (Member since) and set it in the application, or import again once it is there.",
    needs=("members.joined_at",),
)
def members_joined_at_import(look: Look) -> Select[Any]:
    members, moment = look.schema.members, look.schema.members.c.joined_at
    live = [
        run for run in look.runs if run.mode == "live" and run.started and (run.finished or run.last_trace)
    ]
    if not live:
        raise NotRunError(NO_RUNS)
    ends = [(run.finished or run.last_trace or run.started) for run in live]
    columns: dict[str, tuple[list[Any], Any]] = {
        "run": ([run.run for run in live], String()),
        "began": ([run.started and run.started - TOLERANCE for run in live], DateTime()),
        "ended": ([end and end + TOLERANCE for end in ends], DateTime()),
    }
    arrays = (bindparam(name, values, type_=ARRAY(kind)) for name, (values, kind) in columns.items())
    runs = func.unnest(*arrays).table_valued(*columns, name="runs").render_derived()
    run = select(func.min(runs.c.run)).where(moment.between(runs.c.began, runs.c.ended)).scalar_subquery()
    brought, known = _imported(look, MEMBER)
    # Who came into being at that moment too may have joined by the application: then an import must have made them.
    is_import_s = known
    if look.schema.has("members.created_at"):
        born_then = moment.between(
            members.c.created_at - TOLERANCE * 10, members.c.created_at + TOLERANCE * 10
        )
        is_import_s = case((born_then, brought), else_=known)
    by_run = run.is_not(None) & is_import_s
    own_write: ColumnElement[bool] = literal(False)
    if look.schema.has("members.updated_at"):
        # Of an import without a trace only its writes tell: several members in a minute, each joining as it is written.
        own_write = moment.between(members.c.updated_at - TOLERANCE, members.c.updated_at + TOLERANCE) & known
    found = (
        select(
            as_text(members.c.id).label("key"),
            *named(members, "joined_at", "created_at"),
            run.label("run"),
            by_run.label("by_run"),
            func.count().over(partition_by=func.date_trunc("minute", moment)).label("nearby"),
        )
        .where(or_(by_run, own_write))
        .subquery("found")
    )
    shown = [found.c[name] for name in found.c.keys()[:-2]]
    return select(*shown).where(or_(found.c.by_run, found.c.nearby >= SEVERAL)).order_by("key")


@check(
    "events-published-as-draft",
    "State of published events",
    guide="§1.5",
    symptom="Transform functions not applying org rules",
    severity="warn",
    question="Is any imported event published and a draft at once? The importers say that it is published, and leave the"
    " state it begins with.",
    remedy="Open them in the application and publish them, or take the publication back, until both say the same.",
    needs=("events.published", "events.status"),
)
def events_published_as_draft(look: Look) -> Select[Any]:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    events = look.schema.events
    return (
        select(as_text(events.c.id).label("key"), *named(events, "title", "start", "status"))
        .where(events.c.published, as_text(events.c.status) == "DRAFT", _imported(look, EVENT)[1])
        .order_by(as_text(events.c.id))
    )


def _imported(look: Look, entity: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return whether an import made a record, and whether one knows it: by its own tag, audit rows, reports, mappings."""
    schema, record = look.schema, look.schema.entity(entity)
    reported = [
        each
        for run in look.runs
        if run.mode == "live"
        for report in run.reports
        for each in report.records
        if each.entity == entity and each.record_id
    ]

    def among(name: str, ids: list[str | None]) -> ColumnElement[bool]:
        given = bindparam(name, ids, type_=ARRAY(String()), unique=True)
        return as_text(record.c.id).in_(select(func.unnest(given)))

    made = [among("made", [each.record_id for each in reported if each.action == "created"])]
    if schema.has(f"{CONCEPT_OF[entity]}.run_id"):
        made.append(record.c.run_id.is_not(None))
    if schema.has("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action"):
        audit = schema.audit
        entry = (audit.c.resource_type.in_(ENTITY_TYPES[entity]), same_id(audit.c.resource_id, record.c.id))
        made.append(exists().where(*entry, audit.c.action == "CREATE", schema.audit_run.is_not(None)))
    known = [*made, among("known", [each.record_id for each in reported])]
    if schema.has("mappings.target", "mappings.entity_type"):
        mappings = schema.mappings
        of_it = (mappings.c.entity_type.in_(ENTITY_TYPES[entity]), same_id(mappings.c.target, record.c.id))
        known.append(exists().where(*of_it))
    return or_(*made), or_(*known)
