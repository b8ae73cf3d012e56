"""What is known of Wild Apricot's contacts and events, and of the records that stand for them here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from workbench.investigate.mappings.places import Place, at_places
from workbench.investigate.mappings.scoring import Facts, alike
from workbench.investigate.mappings.statements import latest_told, listed
from workbench.investigate.mappings.witnesses import created_for
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, named
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION

BY_RAW = "its raw data name this contact"
BY_MATCH = "the only one with this name and e-mail"
BY_PLACE = "the only one of this member for this event"


@dataclass
class Known:
    """What the traces say of some WA ids of one entity, and of the records they lead to.

    Attributes
    ----------
    births : dict of str to dict of str to str
        WA id to the records that were created for it, each with its witness; only those that still exist.
    born_for : dict of str to set of str
        Record to the WA ids it was created for, by any trace.
    records : dict of str to Facts
        The records that exist.
    contacts : dict of str to Facts
        WA id to what the import says of it.
    matches : dict of str to str
        WA id to the one record with its name and e-mail; of a registration, with its member and event.
    matched_by : str
        Which of the two.
    """

    births: dict[str, dict[str, str]] = field(default_factory=dict)
    born_for: dict[str, set[str]] = field(default_factory=dict)
    records: dict[str, Facts] = field(default_factory=dict)
    contacts: dict[str, Facts] = field(default_factory=dict)
    matches: dict[str, str] = field(default_factory=dict)
    matched_by: str = BY_MATCH

    def right_record(self, wa_id: str, target: str) -> tuple[str, str]:
        """Return the record that an id should lead to, and why; empty where nothing or too much tells."""
        made = self.births.get(wa_id, {})
        if target in made:
            return target, made[target]
        if len(made) == 1:
            return next(iter(made.items()))
        match = self.matches.get(wa_id, "")
        if match and (not made or match in made):
            return match, self.matched_by
        return "", ""


def known_of(
    connection: Connection,
    schema: Schema,
    entity: str,
    pairs: Collection[tuple[str, str]],
    runs: Sequence[Run],
    exports: Sequence[ReportRecord] = (),
    places: Mapping[str, Place] | None = None,
) -> Known:
    """Gather what is known of some mappings.

    Parameters
    ----------
    pairs : collection of (wa_id, target)
        The mappings.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports, where given.
    places : mapping of str to (member, event), optional
        Of registrations, where they are told to be.
    """
    found = Known()
    if not pairs or not schema.has(CONCEPT_OF[entity]):
        return found
    wa_ids, targets = {wa_id for wa_id, _ in pairs}, {target for _, target in pairs}
    told = latest_told(runs, entity, exports)
    born: list[tuple[str, str, str]] = []
    births = created_for(schema, entity, runs)
    if births is not None:
        rows = connection.execute(
            select(births.c.wa_id, births.c.record_id, births.c.witness).where(
                or_(_among(births.c.wa_id, wa_ids), _among(births.c.record_id, targets))
            )
        )
        born += [(str(wa_id), str(record), str(by)) for wa_id, record, by in rows if wa_id and record]
    raw = _raw_data(connection, schema, wa_ids, targets) if entity == MEMBER else {}
    # An update through a wrong mapping may have written another contact's raw data: they count where nothing else does.
    surely = {wa_id for wa_id, _, _ in born}, {record for _, record, _ in born}
    born += [
        (wa_id, record, BY_RAW)
        for record, (wa_id, _) in raw.items()
        if wa_id not in surely[0] and record not in surely[1]
    ]
    found.records = record_facts(connection, schema, entity, targets | {record for _, record, _ in born})
    for wa_id, record, by in sorted(born):
        found.born_for.setdefault(record, set()).add(wa_id)
        if record in found.records:
            found.births.setdefault(wa_id, {}).setdefault(record, by)
    by_raw = dict(raw.values())
    for wa_id in wa_ids:
        facts = facts_told(told[wa_id]) if wa_id in told else Facts()
        if entity == REGISTRATION and wa_id in (places or {}):
            facts = Facts(**dict(zip(("member", "event"), (places or {})[wa_id], strict=True)))
        facts = facts.filled_from(by_raw.get(wa_id, Facts()))
        if len(made := found.births.get(wa_id, {})) == 1:
            facts = facts.filled_from(found.records[next(iter(made))])
        if facts != Facts():
            found.contacts[wa_id] = facts
    if entity == REGISTRATION:
        at = {wa_id: place for wa_id, place in (places or {}).items() if wa_id in wa_ids}
        found.matches, found.matched_by = at_places(connection, schema, at), BY_PLACE
    if entity == MEMBER:
        found.matches = _matches(connection, schema, {w: f for w, f in found.contacts.items() if f.email})
    return found


def record_facts(connection: Connection, schema: Schema, entity: str, ids: Iterable[str]) -> dict[str, Facts]:
    """Return what is known of the records of an entity that exist, by id."""
    source = schema.entity(entity)
    columns = named(source, *_COLUMNS.get(entity, ()))
    rows = connection.execute(
        select(as_text(source.c.id).label("id"), *columns).where(_among(as_text(source.c.id), ids))
    ).mappings()
    return {row["id"]: _facts_of(dict(row)) for row in rows}


def facts_told(record: ReportRecord) -> Facts:
    """Return what a report or an export says of a contact or an event."""

    def said(name: str) -> str:
        return str(record.fields.get(name) or "").strip()

    return Facts(
        given=said("firstName"),
        family=said("lastName"),
        email=said("email"),
        phone=said("phone"),
        joined=said("joinedAt")[:10],
        title=said("title"),
        start=said("startTime")[:16].replace("T", " "),
    )


_COLUMNS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at"),
    EVENT: ("title", "start"),
    REGISTRATION: ("member_id", "event_id"),
}


def _facts_of(row: Mapping[str, Any]) -> Facts:
    def said(name: str, form: str = "") -> str:
        value = row.get(name)
        return f"{value:{form}}" if form and isinstance(value, datetime) else str(value or "").strip()

    return Facts(
        given=said("first_name"),
        family=said("last_name"),
        email=said("email"),
        phone=said("phone"),
        joined=said("joined_at", "%Y-%m-%d"),
        title=said("title"),
        start=said("start", "%Y-%m-%d %H:%M"),
        member=said("member_id"),
        event=said("event_id"),
    )


def _raw_data(
    connection: Connection, schema: Schema, wa_ids: Iterable[str], records: Iterable[str]
) -> dict[str, tuple[str, Facts]]:
    """Return which contact a record's raw data name, and what they say of it, by record."""
    if not schema.has("members.wa_raw"):
        return {}
    members = schema.members
    contact = members.c.wa_raw["waContactId"].astext
    rows = connection.execute(
        select(as_text(members.c.id), contact, members.c.wa_raw).where(
            or_(_among(contact, wa_ids), contact.is_not(None) & _among(as_text(members.c.id), records))
        )
    )
    return {record: (str(wa_id), _raw_facts(raw)) for record, wa_id, raw in rows}


def _raw_facts(raw: Any) -> Facts:
    if not isinstance(raw, dict):
        return Facts()
    family, _, given = str(raw.get("displayName") or "").partition(",")
    fields = raw.get("fieldValues")
    phones = [
        str(value)
        for name, value in (fields.items() if isinstance(fields, dict) else ())
        if str(name).startswith("Phone") and value
    ]
    return Facts(
        given=given.strip(),
        family=family.strip(),
        phone=phones[0] if phones else "",
        joined=str(raw.get("memberSince") or "")[:10],
    )


def _matches(connection: Connection, schema: Schema, contacts: Mapping[str, Facts]) -> dict[str, str]:
    if not contacts or not schema.has("members.email", "members.first_name", "members.last_name"):
        return {}
    members = schema.members
    wanted = {facts.email.casefold() for facts in contacts.values()}
    rows = connection.execute(
        select(as_text(members.c.id), members.c.email, members.c.first_name, members.c.last_name).where(
            _among(func.lower(members.c.email), wanted)
        )
    )
    having: dict[str, list[tuple[str, str]]] = {}
    for key, email, first, last in rows:
        having.setdefault(email.casefold(), []).append((key, f"{first} {last}"))
    found = {}
    for wa_id, facts in contacts.items():
        same = [
            key for key, name in having.get(facts.email.casefold(), []) if alike("given", facts.name, name)
        ]
        if len(same) == 1:
            found[wa_id] = same[0]
    return found


def _among(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    wanted = listed("wanted", value=sorted(set(values)))
    return column.in_(select(wanted.c.value))
