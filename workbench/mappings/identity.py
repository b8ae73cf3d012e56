"""Who a Wild Apricot id is, who the record is that it leads to, and how surely they are two (guide §1.2).

A score is the probability that the record is not the contact's: the logistic of the bits below. It is never 1, and a
mapping is called *sure* to be wrong only where the right record is known and nothing hints at one person known twice:
people marry, move and change their address.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from workbench.mappings.places import Place, at_places
from workbench.mappings.queries import Key, MappingRow
from workbench.mappings.traces import AUDIT, RAW, REPORT, Claim, Traces
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION
from workbench.normalise import normalise

SURE = 0.95
"""From this score on, with the right record known, a correction may be planned without asking anybody else."""

_DOUBTFUL, _MOST = 0.9, 0.999  # the most that is said: with anything left to doubt, and without
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
    contact: Facts, record: Facts, *, birth: str = "", for_another: bool = False, known: bool = False
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
    shared = [name for name in FIELDS if contact.get(name) and record.get(name)]
    if not shared and not birth:
        return Judgement()
    same = [name for name in shared if _alike(name, contact[name], record[name])]
    other = [name for name in shared if name not in same]
    bits = (
        PRIOR + BORN[birth] + sum(FIELDS[name][1] for name in same) + sum(FIELDS[name][2] for name in other)
    )
    bits += BORN_FOR_ANOTHER if for_another and birth != "here" else 0.0
    twice = "given" in same and not {"family", "email", "phone", "joined"}.isdisjoint(same)
    most = _MOST if known and not twice and birth != "here" else _DOUBTFUL
    agrees, differs = (", ".join(FIELDS[name][0] for name in names) for names in (same, other))
    return Judgement(round(min(1 / (1 + 2.0**-bits), most), 3), agrees, differs, twice)


def _alike(name: str, left: str, right: str) -> bool:
    """Whether two values of a field mean the same thing."""
    if name == "phone":
        left, right = (re.sub(r"\D", "", text)[-7:] for text in (left, right))
    elif name == "email":
        left, right = _mailbox(left), _mailbox(right)
    elif name in {"given", "family", "title"}:
        left, right = normalise(left), normalise(right)
        return left == right or SequenceMatcher(None, left, right).ratio() >= _ALIKE
    return left == right


def _mailbox(text: str) -> str:
    """Write an address without case, dots and tags, which most providers pass over."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}{at}{domain}"


def name_of(facts: Facts) -> str:
    """Return the full name."""
    return f"{facts.get('given', '')} {facts.get('family', '')}".strip()


@dataclass(frozen=True)
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

    births: Mapping[Key, Mapping[str, str]]
    born_for: Mapping[Key, set[str]]
    records: Mapping[Key, Facts]
    contacts: Mapping[Key, Facts]
    matches: Mapping[Key, str]

    def right_record(self, key: Key, target: str = "") -> tuple[str, str]:
        """Return the record that an id should lead to, and why; `target` where that is one of several it was made for.

        Empty where nothing or too much tells.
        """
        births = self.births.get(key, {})
        if target in births:
            return target, births[target]
        if len(births) == 1:
            return next(iter(births.items()))
        match = self.matches.get(key, "")
        return (match, _BY_MATCH[key[0]]) if match and (not births or match in births) else ("", "")

    def judged(self, row: MappingRow, should_be: str) -> Judgement:
        """Judge whether the record that a mapping leads to is its own."""
        key, place = (row.entity, row.wa_id), (row.entity, row.target)
        births = self.births.get(key, {})
        return judge(
            self.contacts.get(key, {}),
            self.records.get(place, {}),
            birth="here" if row.target in births else "elsewhere" if births else "",
            for_another=bool(self.born_for.get(place, set()) - {row.wa_id}),
            known=bool(should_be) and should_be != row.target,
        )


def known_of(traces: Traces, rows: Iterable[MappingRow], places: Mapping[str, Place]) -> Known:
    """Gather what is known of some mappings; `places` says where registrations are told to be."""
    rows = [row for row in rows if row.entity in ENTITIES and traces.schema.has(CONCEPT_OF[row.entity])]
    ids, targets = {(row.entity, row.wa_id) for row in rows}, {(row.entity, row.target) for row in rows}
    created = _births(traces, ids, targets) if rows else []
    records = _records(traces, targets | {claim.place for claim in created})
    births, born_for = defaultdict[Key, dict[str, str]](dict), defaultdict[Key, set[str]](set)
    for claim in sorted(created, key=lambda claim: (claim.key, claim.record, claim.trace)):
        born_for[claim.place].add(claim.wa_id)
        if claim.place in records:
            births[claim.key].setdefault(claim.record, _BECAUSE[claim.trace])
    wa_ids = {wa_id for _, wa_id in ids}
    members = {record for entity, record in records if entity == MEMBER}
    raw = {row.wa_id: row for row in traces.ask(_RAW_DATA, ids=list(members))} if members else {}
    here = {wa_id: at for wa_id, at in places.items() if at.member and at.event and wa_id in wa_ids}
    contacts: dict[Key, Facts] = {}
    for entity, wa_id in ids:
        of_id = births.get((entity, wa_id), {})
        facts = records[entity, min(of_id)] if len(of_id) == 1 else {}
        if entity == MEMBER and wa_id in raw:
            facts = facts | _facts(raw[wa_id]._asdict())
        if entity == REGISTRATION and wa_id in here:
            facts = facts | {"member": here[wa_id].member, "event": here[wa_id].event}
        elif entity in _TOLD and wa_id in traces.reported[entity]:
            fields = traces.reported[entity][wa_id].fields
            facts = facts | _facts({name: fields.get(theirs) for name, theirs in _TOLD[entity].items()})
        contacts[entity, wa_id] = facts
    matches = {(REGISTRATION, wa_id): record for wa_id, record in at_places(traces, here).items()}
    return Known(births, born_for, records, contacts, matches | _matches(traces, contacts))


def _births(traces: Traces, ids: Collection[Key], targets: Collection[Key]) -> list[Claim]:
    """Return what says for which id a record was made, of some ids and records.

    An update through a wrong mapping may have written another contact's raw data: they count where nothing else does.
    """
    claims = traces.claims(records={record for _, record in targets}, wa_ids={wa_id for _, wa_id in ids})
    created = [row for row in claims if row.action == "created" and (row.key in ids or row.place in targets)]
    ids_born, places_born = (
        {row.key for row in created if row.born},
        {row.place for row in created if row.born},
    )
    return [row for row in created if row.born or (row.key not in ids_born and row.place not in places_born)]


def _records(traces: Traces, places: Collection[Key]) -> dict[Key, Facts]:
    records: dict[Key, Facts] = {}
    for entity, cells in _RECORDS.items():
        if wanted := [record for kind, record in places if kind == entity]:
            query = f"SELECT id::text AS id, {cells} WHERE id = ANY (%(ids)s::ids)"
            records |= {(entity, row.id): _facts(row._asdict()) for row in traces.ask(query, ids=wanted)}
    return records


def _facts(cells: Mapping[Any, Any]) -> Facts:
    """Take facts from a row or a report; moments are cut to what is compared."""
    facts = {name: str(value).strip() for name, value in cells.items() if name in FIELDS and value}
    for name, length in _LENGTHS.items():
        if name in facts:
            facts[name] = facts[name][:length].replace("T", " ")
    return {name: value for name, value in facts.items() if value}


def _matches(traces: Traces, contacts: Mapping[Key, Facts]) -> dict[Key, str]:
    """Return the one member with the e-mail and the name of each contact."""
    wanted = {key: facts["email"].casefold() for key, facts in contacts.items() if facts.get("email")}
    if not wanted or not traces.schema.has("members.email", "members.first_name", "members.last_name"):
        return {}
    having: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in traces.ask(_HAVING, emails=sorted(set(wanted.values()))):
        having[row.email].append((row.id, row.name))
    matches = {}
    for contact, email in wanted.items():
        same = [record for record, name in having[email] if _alike("given", name_of(contacts[contact]), name)]
        if len(same) == 1:
            matches[contact] = same[0]
    return matches
