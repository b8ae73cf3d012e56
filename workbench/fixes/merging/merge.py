"""Plan merges: duplicates go, everything that refers to them moves to the record that stays (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection, select

from workbench.documents import Target
from workbench.errors import Refused, UsageError, unknown
from workbench.fixes.ledger import Ledger
from workbench.fixes.merging.asking import (
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
from workbench.fixes.merging.collisions import Blocked
from workbench.fixes.merging.conservation import prove_conservation
from workbench.fixes.merging.identity import are_uuids, missing
from workbench.fixes.merging.ordering import Survivors, write_merge
from workbench.fixes.merging.survivorship import Survival, fields_of, refuse_strange_hands, survive
from workbench.fixes.merging.telling import audit_entries, facts_of, next_sync, notes_of, reason_of
from workbench.fixes.merging.working import Work, blocked_merges, work_out
from workbench.investigate.associations import choose_canonicals
from workbench.investigate.mappings.statements import listed
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema, as_text
from workbench.murmurant.spellings import ENTITIES, ENTITY_TYPES, REGISTRATION
from workbench.plans.current import Current, current_rows
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan


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


def plan_merges(
    connection: Connection,
    schema: Schema,
    request: MergeRequest,
    *,
    target: Target,
    planned_by: str,
    folder: Path,
) -> Plan:
    """Plan to merge duplicates, all of them in one plan.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction.
    folder : Path
        Where the plan file is written.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    Refused
        For a merge that no rule can decide, with the rows and what to do.
    """
    entity, wishes = request.entity, request.wishes
    if entity not in ENTITIES:
        raise unknown("entity", entity, ENTITIES)
    table, graph = schema.table_of(entity), References(schema)
    wishes = _spelled(schema, entity, wishes).checked(fields_of(schema, entity))
    merges = _merges(connection, schema, request)
    refuse_strange_hands(merges, wishes)
    ledger = Ledger()
    records = _records(connection, schema, table, merges)
    if entity == REGISTRATION:
        _refuse_different_guests(schema, merges, records)
    work = work_out(raw(connection), graph, table, merges, wishes.keep)
    while blocked := blocked_merges(work, graph, merges):
        if not wishes.skip_blocked or len(blocked) == len(merges):
            raise _blocked(blocked, len(merges), wishes.skip_blocked)
        ledger.unresolved += _left_out(table, blocked, merges)
        merges = [each for each in merges if each.canonical not in blocked]
        work = work_out(raw(connection), graph, table, merges, wishes.keep)
    _refuse_idle_hands(work, wishes)
    survivals = {each.canonical: survive(schema, entity, each, records, wishes) for each in merges}
    conserved = prove_conservation(connection, graph, work)
    leading = _leading(connection, schema, entity, list(records))
    parameters = {
        "entity": entity,
        "file": request.file or None,
        **wishes.parameters(),
        "merges": [facts_of(each, survivals[each.canonical], leading) for each in merges],
        "conservation": [each.as_fact() for each in conserved],
    }
    header = Header(
        kind="merge",
        parameters=parameters,
        reasons=reason_of(entity, merges),
        target=target,
        planned_by=planned_by,
        evidence=_evidence(request, merges),
        notes=(*notes_of(schema, merges, survivals, conserved), *next_sync(parameters)),
        audit=audit_entries(raw(connection), schema, entity, merges, work),
    )
    return write_merge(connection, graph, header, ledger, work, _survivors(records, survivals), folder)


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


def _records(
    connection: Connection, schema: Schema, table: str, merges: Sequence[Merge]
) -> dict[str, Current]:
    ids = sorted({each for merge in merges for each in (merge.canonical, *merge.duplicates)})
    return dict(current_rows(raw(connection), schema.catalogue, table, ids))


def _leading(
    connection: Connection, schema: Schema, entity: str, keys: Sequence[str]
) -> dict[str, list[str]]:
    """Return the WA ids that lead to each of some records."""
    if not schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        return {}
    mappings, wanted = schema.mappings, listed("merging", value=sorted(keys))
    target, wa_id = as_text(mappings.c.target), as_text(mappings.c.wa_id)
    rows = connection.execute(
        select(target, wa_id)
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), target.in_(select(wanted.c.value)))
        .distinct()
        .order_by(wa_id)
    )
    found: dict[str, list[str]] = {}
    for key, each in rows:
        found.setdefault(key, []).append(each)
    return found


def _survivors(records: dict[str, Current], survivals: dict[str, Survival]) -> Survivors:
    """Return what changes in the records that stay."""
    return {key: (records[key].digest, each.values) for key, each in survivals.items() if each.values}


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


def _left_out(
    table: str, blocked: dict[str, list[Blocked]], merges: Sequence[Merge]
) -> list[tuple[str, str, str, str]]:
    return [
        (
            table,
            duplicate,
            f"not merged into {merge.canonical}: {each.table} {', '.join(each.keys)}: {each.reason}",
            each.remedy,
        )
        for merge in merges
        for each in blocked.get(merge.canonical, ())
        for duplicate in merge.duplicates
    ]


def _evidence(request: MergeRequest, merges: Sequence[Merge]) -> tuple[str, ...]:
    found = [f"the list {request.file}, SHA-256 {request.sha256}"] if request.file else []
    found += (
        sorted({f"reason given: {each.reason}" for each in merges if each.reason})[:5]
        if len(merges) < 6
        else []
    )
    return tuple(found) or ("the word of whoever asked for it",)
