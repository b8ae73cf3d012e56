"""Plan merges: duplicates go, everything that refers to them moves to the record that stays (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from workbench.duplicates.associations import choose_canonicals
from workbench.errors import Refused, UsageError, unknown
from workbench.mappings.queries import mapping_rows
from workbench.merging.collisions import Blocked
from workbench.merging.conservation import prove_conservation
from workbench.merging.graph import Work, blocked_merges, work_out
from workbench.merging.identity import are_uuids, missing
from workbench.merging.request import (
    Asked,
    Merge,
    Named,
    Problem,
    Wishes,
    complain,
    leave_out,
    line_number,
    settle,
    spell_ids,
)
from workbench.merging.survivorship import fields_of, refuse_strange_hands, survive
from workbench.merging.telling import audit_entries, facts_of, next_sync, notes_of, reason_of
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import ENTITIES, REGISTRATION
from workbench.plans.current import Current, current_rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan


@dataclass(frozen=True)
class MergeRequest:
    """What was asked for.

    Attributes
    ----------
    asked : tuple of Asked
        Which records become one.
    wishes : Wishes
        By which rules.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    exceptions : tuple of str
        Records to leave out.
    problems : tuple of Problem
        Lines of the file that could not be read.
    file, sha256 : str
        The file's name and the digest of its bytes, where they come from one.
    """

    asked: tuple[Asked, ...]
    wishes: Wishes = field(default_factory=Wishes)
    entity: str = "Member"
    exceptions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    file: str = ""
    sha256: str = ""


def plan_merges(context: PlanContext, request: MergeRequest) -> Plan:
    """Plan to merge duplicates, all of them in one plan.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    Refused
        For a merge that no rule can decide, with the rows and what to do.
    """
    connection, schema, graph = context.connection, context.schema, context.references
    entity, wishes = request.entity, request.wishes
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    table = schema.table_of(entity)
    wishes = _spelled(schema, entity, wishes).checked(fields_of(schema, entity))
    merges = _merges(connection, schema, request)
    refuse_strange_hands(merges, wishes)
    ids = sorted({record for merge in merges for record in (merge.canonical, *merge.duplicates)})
    records = dict(current_rows(context.raw, schema.catalogue, table, ids))
    if entity == REGISTRATION:
        _refuse_different_guests(schema, merges, records)
    with Draft(context, "merge") as draft:
        work = work_out(context.raw, graph, table, merges, wishes.keep)
        while blocked := blocked_merges(work, graph, merges):
            if not wishes.skip_blocked or len(blocked) == len(merges):
                raise _blocked(blocked, len(merges), wishes.skip_blocked)
            _leave_out(draft, table, blocked, merges)
            merges = [merge for merge in merges if merge.canonical not in blocked]
            work = work_out(context.raw, graph, table, merges, wishes.keep)
        _refuse_idle_hands(work, wishes)
        survivals = {merge.canonical: survive(schema, entity, merge, records, wishes) for merge in merges}
        conserved = prove_conservation(connection, graph, work)
        leading = _leading(connection, schema, entity, list(records))
        draft.parameters |= {
            "entity": entity,
            "file": request.file or None,
            **wishes.parameters(),
            "merges": [facts_of(merge, survivals[merge.canonical], leading) for merge in merges],
            "conservation": [row.as_fact() for row in conserved],
        }
        draft.reasons += reason_of(entity, merges)
        draft.evidence += _evidence(request, merges)
        draft.notes += [*notes_of(schema, merges, survivals, conserved), *next_sync(draft.parameters)]
        draft.audit += audit_entries(context.raw, schema, entity, merges, work)
        _write_changes(draft, work)
        for key in sorted(survivals):
            changes = {name: new for name, (_, new) in survivals[key].values.items()}
            draft.update(table, key, changes, row=records[key])
    return draft.plan


def _write_changes(draft: Draft, work: Work) -> None:
    """Delete what goes, and lead away from it what refers to it."""
    for table, losers in work.moves.items():
        draft.delete(table, losers)
    for table, child in sorted(work.children.items()):
        for key, row in child.rows.items():
            after = child.after(row.values, work.moves)
            if child.rewritten:
                draft.rewrite(table, row, {} if key in child.dropped else after)
            elif not work.goes(table, key):
                draft.update(table, key, after, row=row)


def _merges(connection: Connection, schema: Schema, request: MergeRequest) -> list[Merge]:
    """Check what was asked as a whole, name everything that is wrong, and choose where the choice is ours."""
    uuids = are_uuids(schema, request.entity)
    spelled, problems = spell_ids(request.asked, uuids)
    exceptions, strange = spell_ids([Asked(None, tuple(map(Named, request.exceptions)))], uuids)
    if strange:
        raise complain(strange, "")
    wrong = {each.where for each in problems}
    left = leave_out(spelled, [each.id for one in exceptions for each in one.others])
    asked, contradictions = settle(left)
    named = [each for one in left for each in one.all if not (each.where in wrong and problems)]
    problems = [
        *request.problems,
        *problems,
        *contradictions,
        *missing(connection, schema, request.entity, named),
    ]
    if problems:
        raise complain(sorted(problems, key=line_number), request.file)
    if not asked:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    open_ones = [[each.id for each in one.others] for one in asked if one.canonical is None]
    choices = iter(choose_canonicals(connection, schema, open_ones, request.entity))
    found = []
    for one in asked:
        if one.canonical is not None:
            head, by = one.canonical.id, "named"
        else:
            choice = next(choices)
            counts = ", ".join(f"{count:,}" for count in choice.associations.values())
            head, by = choice.canonical, f"{choice.by} (rows that refer to each: {counts})"
        duplicates = tuple(sorted(each.id for each in one.others if each.id != head))
        found.append(Merge(head, duplicates, by, one.reason))
    return sorted(found, key=lambda each: each.canonical)


def _spelled(schema: Schema, entity: str, wishes: Wishes) -> Wishes:
    """Bring the ids among the wishes into the database's spelling."""
    if not are_uuids(schema, entity):
        return wishes
    hands = tuple((name, record.strip().lower()) for name, record in wishes.by_hand)
    return replace(wishes, by_hand=hands, keep=frozenset(each.strip().lower() for each in wishes.keep))


def _leading(
    connection: Connection, schema: Schema, entity: str, keys: Sequence[str]
) -> dict[str, list[str]]:
    """Return the WA ids that lead to each of some records."""
    if not schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        return {}
    leading: dict[str, list[str]] = {}
    for row in mapping_rows(connection, schema, records=keys, entity=entity):
        leading.setdefault(row.target, []).append(row.wa_id)
    return {key: sorted(set(wa_ids)) for key, wa_ids in leading.items()}


def _refuse_idle_hands(work: Work, wishes: Wishes) -> None:
    used = {each for found in work.settled.values() for each in found.kept_by_hand}
    if idle := sorted(wishes.keep - used):
        raise UsageError(
            f"The row {idle[0]} is named to stay (--keep), but it collides with no other.",
            "Leave it out; it stays anyway.",
        )


def _refuse_different_guests(schema: Schema, merges: Sequence[Merge], records: dict[str, Current]) -> None:
    spelling = schema.resolved["registrations"].spelling
    names = [spelling[each] for each in ("event_id", "member_id") if each in spelling]
    for merge in merges:
        whose = {
            tuple(records[each].values[name] for name in names)
            for each in (merge.canonical, *merge.duplicates)
        }
        if len(whose) > 1:
            raise Refused(
                f"Registration {merge.canonical} and {', '.join(merge.duplicates)} are not of one member for one event,"
                " so they are not the same registration.",
                "Merge the members, or the events: their registrations are settled with them.",
            )


def _blocked(blocked: dict[str, list[Blocked]], count: int, skipping: bool) -> Refused:
    lines = []
    for canonical, reasons in sorted(blocked.items()):
        for each in reasons:
            keys = ", ".join(each.keys)
            lines.append(f"into {canonical}: {each.table} {keys}: {each.reason}. {each.remedy}.")
    ours = "This merge" if count == 1 else f"{len(blocked):,} of {count:,} merges"
    way = "Leave a record out with --except ID"
    if count > 1 and not skipping:
        way += ", or plan the other merges with --skip-blocked"
    return Refused(
        "\n  ".join([f"{ours} cannot be decided by any rule:", *lines]), f"{way}. Nothing was planned."
    )


def _leave_out(draft: Draft, table: str, blocked: dict[str, list[Blocked]], merges: Sequence[Merge]) -> None:
    for merge in merges:
        for each in blocked.get(merge.canonical, ()):
            where = f"{each.table} {', '.join(each.keys)}"
            for duplicate in merge.duplicates:
                reason = f"not merged into {merge.canonical}: {where}: {each.reason}"
                draft.unresolved(table, duplicate, reason, each.remedy)


def _evidence(request: MergeRequest, merges: Sequence[Merge]) -> tuple[str, ...]:
    found = [f"the list {request.file}, SHA-256 {request.sha256}"] if request.file else []
    found += (
        sorted({f"reason given: {each.reason}" for each in merges if each.reason})[:5]
        if len(merges) < 6
        else []
    )
    return tuple(found) or ("the word of whoever asked for it",)
