"""Who a Wild Apricot id is, who the record is that it leads to, and how surely they are two (guide §1.2).

A score is the probability that the record is not the contact's: the logistic of the bits below. It is never 1, and a
mapping is called *sure* to be wrong only where the right record is known and nothing hints at one person known twice:
people marry, move and change their address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Literal

from sqlalchemy import Connection, func, or_, select

from workbench.mappings.contradictions import Place, at_places
from workbench.mappings.traces import created_for, latest_told
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema, as_text, is_one_of, named
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION
from workbench.normalise import normalise

SURE = 0.95
"""From this score on, with the right record known, a correction may be planned without asking anybody else."""

_DOUBTFUL, _MOST = 0.9, 0.999
_ALIKE = 0.84  # two spellings of one name: Jon and John, Meyer and Meier

PRIOR = -3.0
"""Bits before anything is known: of the mappings that some trace speaks against, most are right all the same."""

BORN = {"here": -14.0, "elsewhere": 9.0, "": 0.0}
BORN_FOR_ANOTHER = 3.0
"""The record was created for this WA id; another record, which exists, was; this record was created for another id."""

FIELDS: dict[str, tuple[str, float, float]] = {
    # field: its name, bits when it agrees, bits when it differs. A surname and a phone number are a household's,
    # surnames and addresses change; given names and the day of joining hardly do.
    "given": ("given name", -3.0, 3.0),
    "family": ("family name", -1.5, 2.0),
    "email": ("e-mail", -5.0, 2.5),
    "phone": ("phone", -2.0, 1.5),
    "joined": ("joining date", -2.0, 2.0),
    "title": ("title", -4.0, 4.0),
    "start": ("start", -4.0, 4.0),
    # Of a registration; either alone may be somebody's correction, both at once are another registration.
    "member": ("member", -4.0, 4.0),
    "event": ("event", -4.0, 4.0),
}

Facts = dict[str, str]
"""What is known of a contact or a record, by the names of `FIELDS`; without what is not known."""

_COLUMNS = {
    MEMBER: {
        "given": "first_name",
        "family": "last_name",
        "email": "email",
        "phone": "phone",
        "joined": "joined_at",
    },
    EVENT: {"title": "title", "start": "start"},
    REGISTRATION: {"member": "member_id", "event": "event_id"},
}
_REPORTED = {
    "given": "firstName",
    "family": "lastName",
    "email": "email",
    "phone": "phone",
    "joined": "joinedAt",
    "title": "title",
    "start": "startTime",
}
_LENGTHS = {"joined": 10, "start": 16}  # a day, and a moment to the minute

BY_RAW = "its raw data name this contact"
BY_MATCH = "the only one with this name and e-mail"
BY_PLACE = "the only one of this member for this event"


@dataclass(frozen=True)
class Judgement:
    """How surely a mapping leads to the wrong record.

    Attributes
    ----------
    score : float or None
        0 to 1, rounded to 3 digits; None when nothing at all is known.
    agrees, differs : str
        What does, by name: ``given name, phone``.
    one_person_twice : bool
        Whether the two may be one person known under two records.
    """

    score: float | None = None
    agrees: str = ""
    differs: str = ""
    one_person_twice: bool = False


def judge(
    contact: Facts,
    record: Facts,
    *,
    birth: Literal["here", "elsewhere", ""] = "",
    for_another: bool = False,
    known: bool = False,
) -> Judgement:
    """Judge whether a record is a contact's.

    Parameters
    ----------
    contact, record : Facts
        What the import says of the contact, and the record that its id leads to.
    birth : {"here", "elsewhere", ""}
        Whether this record was created for this id, or another one that exists; empty when nothing tells.
    for_another : bool
        Whether the record was created for another id.
    known : bool
        Whether it is known which record it should be.
    """
    same = {
        name: _alike(name, contact[name], record[name])
        for name in FIELDS
        if contact.get(name) and record.get(name)
    }
    if not same and not birth:
        return Judgement()
    bits = (
        PRIOR + sum(FIELDS[name][1] if yes else FIELDS[name][2] for name, yes in same.items()) + BORN[birth]
    )
    bits += BORN_FOR_ANOTHER if for_another and birth != "here" else 0.0
    twice = bool(same.get("given")) and any(same.get(name) for name in ("family", "email", "phone", "joined"))
    most = _MOST if known and not twice and birth != "here" else _DOUBTFUL
    agrees, differs = (
        ", ".join(FIELDS[name][0] for name, yes in same.items() if yes is wanted) for wanted in (True, False)
    )
    return Judgement(round(min(1 / (1 + 2.0**-bits), most), 3), agrees, differs, twice)


def _alike(name: str, one: str, other: str) -> bool:
    """Whether two values of a field mean the same thing."""
    if name == "phone":
        one, other = (re.sub(r"\D", "", text)[-7:] for text in (one, other))
    elif name == "email":
        one, other = _mailbox(one), _mailbox(other)
    elif name in {"given", "family", "title"}:
        one, other = normalise(one), normalise(other)
        return one == other or SequenceMatcher(None, one, other).ratio() >= _ALIKE
    return one == other


def _mailbox(text: str) -> str:
    """Write an address without case, dots and tags, which most providers pass over."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}{at}{domain}"


def name_of(facts: Facts) -> str:
    """Return the full name."""
    return f"{facts.get('given', '')} {facts.get('family', '')}".strip()


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
        return (match, self.matched_by) if match and (not made or match in made) else ("", "")

    def judged(self, wa_id: str, target: str, should_be: str) -> Judgement:
        """Judge whether the record that an id leads to is its own."""
        made = self.births.get(wa_id, {})
        return judge(
            self.contacts.get(wa_id, {}),
            self.records.get(target, {}),
            birth="here" if target in made else "elsewhere" if made else "",
            for_another=bool(self.born_for.get(target, set()) - {wa_id}),
            known=bool(should_be) and should_be != target,
        )


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
    known = Known()
    if not pairs or not schema.has(CONCEPT_OF[entity]):
        return known
    wa_ids, targets = {wa_id for wa_id, _ in pairs}, {target for _, target in pairs}
    born: set[tuple[str, str, str]] = set()
    births = created_for(schema, entity, runs)
    if births is not None:
        concerned = or_(is_one_of(births.c.wa_id, wa_ids), is_one_of(births.c.record_id, targets))
        rows = connection.execute(select(births).where(concerned))
        born = {(str(wa_id), str(record), str(by)) for wa_id, record, by in rows if wa_id and record}
    raw = _raw_data(connection, schema, wa_ids, targets) if entity == MEMBER else {}
    # An update through a wrong mapping may have written another contact's raw data: they count where nothing else does.
    surely = {part for wa_id, record, _ in born for part in (("id", wa_id), ("record", record))}
    born |= {
        (wa_id, record, BY_RAW)
        for record, (wa_id, _) in raw.items()
        if not surely & {("id", wa_id), ("record", record)}
    }
    known.records = record_facts(connection, schema, entity, targets | {record for _, record, _ in born})
    for wa_id, record, by in sorted(born):
        known.born_for.setdefault(record, set()).add(wa_id)
        if record in known.records:
            known.births.setdefault(wa_id, {}).setdefault(record, by)
    told, by_raw = latest_told(runs, entity, exports), dict(raw.values())
    at = {wa_id: place for wa_id, place in (places or {}).items() if wa_id in wa_ids}
    for wa_id in wa_ids:
        facts = _facts(told[wa_id].fields, _REPORTED) if wa_id in told else {}
        if entity == REGISTRATION and wa_id in at:
            facts = dict(zip(("member", "event"), at[wa_id], strict=True))
        facts = by_raw.get(wa_id, {}) | facts
        if len(made := known.births.get(wa_id, {})) == 1:
            facts = known.records[next(iter(made))] | facts
        if facts:
            known.contacts[wa_id] = facts
    if entity == REGISTRATION:
        known.matches, known.matched_by = at_places(connection, schema, at), BY_PLACE
    if entity == MEMBER:
        with_email = {wa_id: facts for wa_id, facts in known.contacts.items() if facts.get("email")}
        known.matches = _matches(connection, schema, with_email)
    return known


def record_facts(connection: Connection, schema: Schema, entity: str, ids: Iterable[str]) -> dict[str, Facts]:
    """Return what is known of the records of an entity that exist, by id."""
    source, columns = schema.entity(entity), _COLUMNS[entity]
    query = select(as_text(source.c.id).label("id"), *named(source, *columns.values()))
    rows = connection.execute(query.where(is_one_of(source.c.id, ids))).mappings()
    return {row["id"]: _facts(row, columns) for row in rows}


def _facts(values: Mapping[Any, Any], names: Mapping[str, str]) -> Facts:
    """Take facts from a row or a report; moments are cut to what is compared."""

    def text(name: str, value: Any) -> str:
        words = value.isoformat(" ") if isinstance(value, datetime) else str(value or "").strip()
        return words[: _LENGTHS[name]].replace("T", " ") if name in _LENGTHS else words

    told = {name: text(name, values.get(spelled)) for name, spelled in names.items()}
    return {name: value for name, value in told.items() if value}


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
            or_(is_one_of(contact, wa_ids), contact.is_not(None) & is_one_of(members.c.id, records))
        )
    )
    return {record: (str(wa_id), _raw_facts(raw)) for record, wa_id, raw in rows}


def _raw_facts(raw: Any) -> Facts:
    if not isinstance(raw, dict):
        return {}
    family, _, given = str(raw.get("displayName") or "").partition(",")
    fields = raw.get("fieldValues")
    phones = (
        str(value)
        for name, value in (fields.items() if isinstance(fields, dict) else ())
        if str(name).startswith("Phone") and value
    )
    said = {"given": given, "family": family, "phone": next(phones, ""), "joined": raw.get("memberSince")}
    return _facts(said, {name: name for name in said})


def _matches(connection: Connection, schema: Schema, contacts: Mapping[str, Facts]) -> dict[str, str]:
    """Return the one member with the e-mail and the name of each contact."""
    if not contacts or not schema.has("members.email", "members.first_name", "members.last_name"):
        return {}
    members = schema.members
    wanted = {facts["email"].casefold() for facts in contacts.values()}
    columns = (members.c.email, members.c.first_name, members.c.last_name)
    having: dict[str, list[tuple[str, str]]] = {}
    query = select(as_text(members.c.id), *columns).where(is_one_of(func.lower(members.c.email), wanted))
    for key, email, first, last in connection.execute(query):
        having.setdefault(email.casefold(), []).append((key, f"{first} {last}"))
    found = {}
    for wa_id, facts in contacts.items():
        of_address = having.get(facts["email"].casefold(), [])
        same = [key for key, name in of_address if _alike("given", name_of(facts), name)]
        if len(same) == 1:
            found[wa_id] = same[0]
    return found
