"""Who a Wild Apricot id is, who the record is that it leads to, and how surely they are two (guide §1.2).

A score is the probability that the record is not the contact's: the logistic of the bits below. It is never 1, and a
mapping is called *sure* to be wrong only where the right record is known and nothing hints at one person known twice:
people marry, move and change their address.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

from workbench.mappings.places import Place, at_places
from workbench.mappings.queries import Key, MappingRow
from workbench.mappings.traces import AUDIT, RAW, REPORT, Traces
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
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

_TOLD = {
    MEMBER: {
        "given": "firstName",
        "family": "lastName",
        "email": "email",
        "phone": "phone",
        "joined": "joinedAt",
    },
    EVENT: {"title": "title", "start": "startTime"},
}
"""What the importers call them."""

_LENGTHS = {"joined": 10, "start": 16}  # a day, and a moment to the minute

_RECORDS = {
    MEMBER: "first_name AS given, last_name AS family, email, phone, joined_at::text AS joined FROM members",
    EVENT: "title, start::text AS start FROM events",
    REGISTRATION: "member_id::text AS member, event_id::text AS event FROM registrations",
}
_RAW_DATA = """
SELECT wa_raw ->> 'waContactId' AS wa_id, split_part(wa_raw ->> 'displayName', ',', 2) AS given,
       split_part(wa_raw ->> 'displayName', ',', 1) AS family, wa_raw ->> 'memberSince' AS joined,
       (SELECT value FROM jsonb_each_text(CASE jsonb_typeof(wa_raw -> 'fieldValues') WHEN 'object' THEN wa_raw -> 'fieldValues' END)
        WHERE key LIKE 'Phone%%' AND value <> '' LIMIT 1) AS phone
FROM members WHERE id = ANY (%(ids)s::ids)
"""
_HAVING = """
SELECT id::text AS id, lower(email) AS email, concat_ws(' ', first_name, last_name) AS name
FROM members WHERE lower(email) = ANY (%(emails)s::text[])
"""

_BECAUSE = {
    AUDIT: "its audit row created another record",
    REPORT: "its report created another record",
    RAW: "its raw data name this contact",
}
_BY_MATCH = {
    MEMBER: "the only one with this name and e-mail",
    REGISTRATION: "the only one of this member for this event",
}


class Judgement(NamedTuple):
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
    """What the traces say of some Wild Apricot ids, and of the records they lead to.

    Attributes
    ----------
    births : dict of Key to dict of str to str
        Id to the records that were created for it, each with what says so; only those that still exist.
    born_for : dict of Key to set of str
        Record to the WA ids it was created for, by any trace.
    records, contacts : dict of Key to Facts
        The records that exist; and the ids, as the import tells of them.
    matches : dict of Key to str
        Id to the one record with its name and e-mail; of a registration, with its member and event.
    """

    births: dict[Key, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    born_for: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    records: dict[Key, Facts] = field(default_factory=dict)
    contacts: dict[Key, Facts] = field(default_factory=dict)
    matches: dict[Key, str] = field(default_factory=dict)

    def right_record(self, row: MappingRow, target: str | None = None) -> tuple[str, str]:
        """Return the record that a mapping's id should lead to, and why; empty where nothing or too much tells."""
        key, target = (row.entity, row.wa_id), row.target if target is None else target
        made = self.births.get(key, {})
        if target in made:
            return target, made[target]
        if len(made) == 1:
            return next(iter(made.items()))
        match = self.matches.get(key, "")
        return (match, _BY_MATCH[row.entity]) if match and (not made or match in made) else ("", "")

    def judged(self, row: MappingRow, should_be: str) -> Judgement:
        """Judge whether the record that a mapping leads to is its own."""
        key, place = (row.entity, row.wa_id), (row.entity, row.target)
        made = self.births.get(key, {})
        return judge(
            self.contacts.get(key, {}),
            self.records.get(place, {}),
            birth="here" if row.target in made else "elsewhere" if made else "",
            for_another=bool(self.born_for.get(place, set()) - {row.wa_id}),
            known=bool(should_be) and should_be != row.target,
        )


def known_of(traces: Traces, rows: Iterable[MappingRow], places: Mapping[str, Place]) -> Known:
    """Gather what is known of some mappings; `places` says where registrations are told to be."""
    known = Known()
    rows = [row for row in rows if row.entity in ENTITIES and traces.schema.has(CONCEPT_OF[row.entity])]
    if not rows:
        return known
    ids, targets = {(row.entity, row.wa_id) for row in rows}, {(row.entity, row.target) for row in rows}
    wa_ids, records = {wa_id for _, wa_id in ids}, {record for _, record in targets}
    said = traces.claims(records=records, wa_ids=wa_ids)
    made = [one for one in said if one.action == "created" and (one.key in ids or one.place in targets)]
    # An update through a wrong mapping may have written another contact's raw data: they count where nothing else does.
    settled = {one.key for one in made if one.born}, {one.place for one in made if one.born}
    born = [one for one in made if one.born or (one.key not in settled[0] and one.place not in settled[1])]
    wanted = targets | {one.place for one in born}
    for entity, cells in _RECORDS.items():
        query = f"SELECT id::text AS id, {cells} WHERE id = ANY (%(ids)s::ids)"
        of_it = [record for kind, record in wanted if kind == entity]
        found = traces.ask(query, ids=of_it) if of_it else ()
        known.records |= {(entity, row.id): _facts(row._asdict()) for row in found}
    for one in sorted(born, key=lambda one: (one.key, one.record, one.trace)):
        known.born_for[one.place].add(one.wa_id)
        if one.place in known.records:
            known.births[one.key].setdefault(one.record, _BECAUSE[one.trace])
    with_raw = [one.record for one in made if one.trace == RAW]
    raw = {row.wa_id: row for row in traces.ask(_RAW_DATA, ids=with_raw)} if with_raw else {}
    here = {wa_id: at for wa_id, at in places.items() if at.member and at.event and wa_id in wa_ids}
    for key in ids:
        entity, wa_id = key
        births = known.births.get(key, {})
        facts = known.records[entity, next(iter(births))] if len(births) == 1 else {}
        if entity == MEMBER and wa_id in raw:
            facts = facts | _facts(raw[wa_id]._asdict())
        if entity == REGISTRATION and wa_id in here:
            facts = facts | {"member": here[wa_id].member, "event": here[wa_id].event}
        elif entity in _TOLD and wa_id in traces.told[entity]:
            fields = traces.told[entity][wa_id].fields
            facts = facts | _facts({name: fields.get(theirs) for name, theirs in _TOLD[entity].items()})
        known.contacts[key] = facts
    known.matches = {(REGISTRATION, wa_id): key for wa_id, key in at_places(traces, here).items()}
    known.matches |= _matches(traces, known.contacts)
    return known


def _facts(cells: Mapping[Any, Any]) -> Facts:
    """Take facts from a row or a report; moments are cut to what is compared."""
    facts = {name: str(value).strip() for name, value in cells.items() if name in FIELDS and value}
    facts |= {
        name: facts[name][:length].replace("T", " ") for name, length in _LENGTHS.items() if name in facts
    }
    return {name: value for name, value in facts.items() if value}


def _matches(traces: Traces, contacts: Mapping[Key, Facts]) -> dict[Key, str]:
    """Return the one member with the e-mail and the name of each contact."""
    wanted = {key: facts["email"].casefold() for key, facts in contacts.items() if facts.get("email")}
    if not wanted or not traces.schema.has("members.email", "members.first_name", "members.last_name"):
        return {}
    having: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in traces.ask(_HAVING, emails=sorted(set(wanted.values()))):
        having[row.email].append((row.id, row.name))
    found = {}
    for contact, email in wanted.items():
        same = [key for key, name in having[email] if _alike("given", name_of(contacts[contact]), name)]
        if len(same) == 1:
            found[contact] = same[0]
    return found
