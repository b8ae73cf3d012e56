"""Registrations that are not where their import brought them, or that it brought there by a wrong mapping (guide §1.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from workbench.mappings.queries import NEEDS, corrected, mapping_rows
from workbench.mappings.traces import LOGGED, latest_told, reported
from workbench.murmurant.exports import CONTACT_ID, EVENT_ID
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of, values_table
from workbench.murmurant.spellings import ENTITY_TYPES, EVENT, MEMBER, REGISTRATION
from workbench.plans.standing import merged

COLUMN_OF = {MEMBER: "member_id", EVENT: "event_id"}
"""The column of a registration that leads to the entity."""

_FIELD = {MEMBER: "memberId", EVENT: "eventId"}
_EXPORTED = {MEMBER: CONTACT_ID, EVENT: EVENT_ID}

BY_HAND = "somebody moved it by hand since"


class Wrong(NamedTuple):
    """A mapping of a member or event that led, or leads, to the wrong record: its id, the wrong record and the right one."""

    entity: str
    wa_id: str
    was: str
    right: str

    @property
    def key(self) -> str:
        """As people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


class Misplaced(NamedTuple):
    """A registration on a wrong event or person.

    Attributes
    ----------
    registration, wa_id : str
        Its own id, and Wild Apricot's where it is known.
    column : {"member_id", "event_id"}
        Which of the two is wrong.
    now, right : str
        The record it is on, and the one it belongs to.
    through : str
        The mapping it came through, ``Member/50012``.
    evidence : str
        What says so.
    because : str
        Why it is not to move all the same; empty for one that is.
    """

    registration: str
    wa_id: str
    column: str
    now: str
    right: str
    through: str
    evidence: str
    because: str = ""

    @property
    def moves(self) -> bool:
        """Whether it is to move."""
        return not self.because


def brought_elsewhere(connection: Connection, schema: Schema, runs: Sequence[Run]) -> Select[Any] | None:
    """Select the registrations that are on another event or person than their import's report says.

    One that is where a corrected mapping leads through which it was brought (guide §4.2), or on the record that
    the other one was merged into, is where it belongs; as long as nobody took that back.

    Returns
    -------
    Select or None
        ``key``, ``wa_id``, ``event_now``, ``event_imported``, ``member_now``, ``member_imported``;
        None where no report lists registrations.
    """
    records = [
        one
        for one in latest_told(runs, REGISTRATION).values()
        if one.record_id and one.fields.get("eventId") and one.fields.get("memberId")
    ]
    if not records:
        return None
    merges = merged(connection, schema)
    taken: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _, one in reported(runs, pairs=True):
        if one.wa_id and one.record_id and one.entity != REGISTRATION:
            taken[one.entity, one.record_id].add(one.wa_id)
    columns: dict[str, list[str | None]] = {
        "id": [one.record_id for one in records],
        "wa_id": [one.wa_id for one in records],
    }
    for entity, name in _FIELD.items():
        said = [(entity, str(one.fields[name])) for one in records]
        columns[entity] = [merges.get(place, (place[1], ""))[0] for place in said]
        columns[f"{entity}_ids"] = ["\x1f".join(sorted(taken.get(place, ()))) for place in said]
    told, row = values_table("told", **columns), schema.registrations

    def differs(entity: str) -> ColumnElement[bool]:
        said, now = told.c[entity], row.c[COLUMN_OF[entity]]
        if not schema.has(*NEEDS):
            return said != as_text(now)  # type: ignore[no-any-return]
        through = func.string_to_array(told.c[f"{entity}_ids"], "\x1f")
        meant = corrected(schema, ENTITY_TYPES[entity], target=now, was=said, taken=through)
        return and_(said != as_text(now), ~meant)

    return (
        select(
            as_text(row.c.id).label("key"),
            told.c.wa_id,
            as_text(row.c.event_id).label("event_now"),
            told.c[EVENT].label("event_imported"),
            as_text(row.c.member_id).label("member_now"),
            told.c[MEMBER].label("member_imported"),
        )
        .select_from(row)
        .join(told, told.c.id == as_text(row.c.id))
        .where(or_(differs(EVENT), differs(MEMBER)))
        .order_by("key")
    )


def came_through(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    exports: Sequence[ReportRecord] = (),
) -> list[Misplaced]:
    """List the registrations that are on a wrong event or person because of a wrong mapping.

    A registration is listed where a report says that it was brought for the right record and it is on
    the wrong one; where Wild Apricot's export says whose it is; or where the run that brought it is known
    to have taken the wrong record for this id, and no other id could have led there. What people entered
    is never among them, and what somebody moved by hand since stays.

    Returns
    -------
    list of Misplaced
        By their ids; those that are not to move with the reason.
    """
    wrongs = [wrong for wrong in wrongs if wrong.entity in COLUMN_OF]
    if not wrongs or not schema.has("registrations.id", "registrations.event_id", "registrations.member_id"):
        return []
    found: dict[tuple[str, str], Misplaced] = {}
    for one in (
        *_told_otherwise(connection, schema, runs, wrongs),
        *_exported(connection, schema, runs, wrongs, exports),
        *_brought(connection, schema, runs, wrongs),
    ):
        found.setdefault((one.registration, one.column), one)
    by_hand = _moved_by_hand(connection, schema, {key for key, _ in found})
    return [
        one._replace(because=BY_HAND) if place in by_hand else one for place, one in sorted(found.items())
    ]


def _misplaced(key: str, wa_id: str, wrong: Wrong, evidence: str, because: str = "") -> Misplaced:
    column = COLUMN_OF[wrong.entity]
    return Misplaced(key, wa_id, column, wrong.was, wrong.right, wrong.key, evidence, because)


def _told_otherwise(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> Iterator[Misplaced]:
    query = brought_elsewhere(connection, schema, runs)
    expected = {(wrong.entity, wrong.was, wrong.right): wrong for wrong in wrongs}
    for row in connection.execute(query) if query is not None else ():
        for place in (
            (EVENT, row.event_now, row.event_imported),
            (MEMBER, row.member_now, row.member_imported),
        ):
            if wrong := expected.get(place):
                yield _misplaced(row.key, row.wa_id, wrong, "its report brought it for the right one")


def _exported(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    wrongs: Sequence[Wrong],
    exports: Sequence[ReportRecord],
) -> Iterator[Misplaced]:
    """Go by Wild Apricot's own export of registrations, which names the contact and the event of each."""
    expected = {(wrong.entity, wrong.wa_id): wrong for wrong in wrongs}
    owned = [
        (line.wa_id, wrong)
        for line in exports
        if line.entity == REGISTRATION and line.wa_id
        for entity, name in _EXPORTED.items()
        if (wrong := expected.get((entity, str(line.fields.get(name) or ""))))
    ]
    # The registration that each became: by its mapping, else by a report.
    wa_ids = {wa_id for wa_id, _ in owned}
    told = latest_told(runs, REGISTRATION)
    records = {wa_id: told[wa_id].record_id or "" for wa_id in wa_ids if wa_id in told}
    for mapping in mapping_rows(connection, schema, wa_ids=wa_ids, entity=REGISTRATION):
        records[mapping.wa_id] = mapping.target
    row = schema.registrations
    columns = [as_text(row.c[name]) for name in ("id", *COLUMN_OF.values())]
    rows = connection.execute(select(*columns).where(is_one_of(row.c.id, records.values())))
    now = {key: dict(zip(COLUMN_OF, on, strict=True)) for key, *on in rows}
    for wa_id, wrong in owned:
        record = records.get(wa_id, "")
        if record in now and now[record][wrong.entity] == wrong.was:
            yield _misplaced(record, wa_id, wrong, "Wild Apricot's export says whose it is")


def _brought(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> Iterator[Misplaced]:
    """Yield the registrations on a wrong record that a run put there for a wrong mapping's id.

    A run's report, or its audit rows, must say that it took the wrong record for this very id. Where it took
    that record for another id too, or where another id leads there whose place in the run is not known, the
    registrations of both cannot be told apart: they are yielded with the reason, and stay.
    """
    for entity in COLUMN_OF:
        concerned = [wrong for wrong in wrongs if wrong.entity == entity]
        if not concerned:
            continue
        taken = _taken(connection, schema, runs, entity, concerned)
        leading: dict[str, set[str]] = defaultdict(set)
        for row in mapping_rows(
            connection, schema, records={wrong.was for wrong in concerned}, entity=entity
        ):
            leading[row.target].add(row.wa_id)
        going = {wrong.wa_id for wrong in concerned}
        for wrong in concerned:
            for run, of_record in sorted(taken.items()):
                others = of_record.get(wrong.was, set())
                if wrong.wa_id not in others:
                    continue
                elsewhere = {one for record, ids in of_record.items() if record != wrong.was for one in ids}
                mixed = sorted((others - {wrong.wa_id}) | (leading[wrong.was] - going - elsewhere))
                because = (
                    f"id {mixed[0]} led there too, and nothing tells whose it is; Wild Apricot's export of"
                    " registrations would (--export)"
                    if mixed
                    else ""
                )
                for key in _made(connection, schema, runs, run, wrong):
                    evidence = f"run {run} took the wrong record for this id and brought it"
                    yield _misplaced(key, "", wrong, evidence, because)


def _taken(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, wrongs: Sequence[Wrong]
) -> dict[str, dict[str, set[str]]]:
    """Return run to record to the WA ids that the run took for this record."""
    triples = [
        (run.run, one.wa_id, one.record_id) for run, one in reported(runs, pairs=True) if one.entity == entity
    ]
    if schema.has(*LOGGED):
        audit = schema.audit
        wa_id, record = audit.c.metadata["waId"].astext, as_text(audit.c.resource_id)
        ids, records = {wrong.wa_id for wrong in wrongs}, {wrong.was for wrong in wrongs}
        rows = connection.execute(
            select(schema.audit_run, wa_id, record).where(
                audit.c.action.in_(["CREATE", "UPDATE"]),
                audit.c.resource_type.in_(ENTITY_TYPES[entity]),
                schema.audit_run.is_not(None),
                or_(is_one_of(wa_id, ids), is_one_of(record, records)),
            )
        )
        triples += [tuple(row) for row in rows]
    taken: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for run_id, number, key in triples:
        if number and key:
            taken[run_id][key].add(number)
    return taken


def _made(
    connection: Connection, schema: Schema, runs: Sequence[Run], run_id: str, wrong: Wrong
) -> Iterable[str]:
    """Return the registrations on a wrong record that a run created, by its report, its audit rows or its id."""
    row = schema.registrations
    listed = {
        one.record_id
        for _, one in reported([run for run in runs if run.run == run_id])
        if one.entity == REGISTRATION
        and (one.action, str(one.fields.get(_FIELD[wrong.entity]))) == ("created", wrong.was)
    }
    brought = is_one_of(row.c.id, filter(None, listed))
    if "run_id" in row.c:
        brought |= row.c.run_id == run_id
    if schema.has(*LOGGED):
        audit = schema.audit
        brought |= as_text(row.c.id).in_(
            select(as_text(audit.c.resource_id)).where(
                audit.c.action == "CREATE",
                entity_of(audit.c.resource_type) == REGISTRATION,
                schema.audit_run == run_id,
            )
        )
    on_it = as_text(row.c[COLUMN_OF[wrong.entity]]) == wrong.was
    return sorted(connection.scalars(select(as_text(row.c.id)).where(on_it, brought)))


def _moved_by_hand(connection: Connection, schema: Schema, keys: Iterable[str]) -> set[tuple[str, str]]:
    """Return the registrations, and which column, that somebody changed outside any run."""
    if not keys or not schema.has(*LOGGED[:3], "audit.before"):
        return set()
    audit, spelled = schema.audit, schema.resolved["registrations"].spelling
    rows = connection.execute(
        select(as_text(audit.c.resource_id), audit.c.before).where(
            audit.c.resource_type.in_(ENTITY_TYPES[REGISTRATION]),
            is_one_of(audit.c.resource_id, keys),
            schema.audit_run.is_(None),
        )
    )
    return {
        (key, column)
        for key, before in rows
        for column in COLUMN_OF.values()
        if isinstance(before, dict) and spelled[column] in before
    }


def written_through(
    connection: Connection, schema: Schema, runs: Sequence[Run], wrongs: Sequence[Wrong]
) -> list[tuple[Wrong, str]]:
    """Return the runs that updated a wrong record with what they knew of an id, each with the mapping."""
    by_place = {(wrong.entity, wrong.wa_id, wrong.was): wrong for wrong in wrongs}
    found = {
        (run.run, wrong.key): wrong
        for run, one in reported(runs)
        if one.action == "updated"
        and (wrong := by_place.get((one.entity, one.wa_id or "", one.record_id or "")))
    }
    if wrongs and schema.has(*LOGGED):
        audit = schema.audit
        wa_id, record = audit.c.metadata["waId"].astext, as_text(audit.c.resource_id)
        rows = connection.execute(
            select(schema.audit_run, entity_of(audit.c.resource_type), wa_id, record)
            .where(
                audit.c.action == "UPDATE",
                schema.audit_run.is_not(None),
                is_one_of(record, {wrong.was for wrong in wrongs}),
            )
            .distinct()
        )
        for run_id, *place in rows:
            if written := by_place.get((place[0], place[1], place[2])):
                found[run_id, written.key] = written
    return [(wrong, run) for (run, _), wrong in sorted(found.items())]
