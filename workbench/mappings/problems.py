"""Every problem with a mapping in one frame, worst first, with the record that it should lead to (guide §1.2).

A score is the probability that the record is not the contact's: the logistic of the bits below. People marry, move and
change their address, so a score is never 1, and a mapping is *sure* to be wrong only where the right record is known and
nothing suggests one person with two records. A swap or a longer cycle is one problem: correcting half of it leaves the
other half wrong, and two ids on one record.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import pandas as pd

from workbench.mappings.queries import NEEDS, Key, MappingRow, mapping_to_keep, read_sql, unlinked
from workbench.mappings.registrations import Place, Wrong, as_parameters, imported_places, imported_through
from workbench.mappings.traces import Traces
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, EVENT, MEMBER, REGISTRATION
from workbench.normalise import normalise

PROBLEMS = {
    "wrong-person": "the id of a contact leads to somebody else",
    "wrong-event": "the id of an event leads to another event",
    "wrong-registration": "the id of a registration leads to another registration",
    "wrong-type": "the record it leads to is of another entity",
    "missing-target": "the record it leads to does not exist",
    "unknown-type": "its entity type is unknown to Murmurant",
    "duplicate": "the same id is mapped more than once",
    "no-mapping": "an import created a record for the id, and no mapping leads there",
    "two-records": "the id became two records, of which its mapping leads to one",
    "shared-target": "two ids lead to one record",
}
"""What can be wrong with a mapping, gravest first."""

COLUMNS = (
    *("problem", "entity", "wa_id", "mapping", "target", "score", "sure", "evidence", "agrees", "differs"),
    *("should_be", "cycle", "cycle_size", "position", "contact", "person", "title", "registrations"),
    "other_record",
)

_WRONG = {MEMBER: "wrong-person", EVENT: "wrong-event", REGISTRATION: "wrong-registration"}
_NOWHERE = {"no such record": "missing-target", "unknown entity type": "unknown-type"}

SURE = 0.95
"""From this score on, with the right record known, a correction may be planned without further review."""

_DOUBTFUL, _MOST = 0.9, 0.999  # the highest scores, with and without something left to doubt
_ALIKE = 0.84  # two spellings of one name: Jon and John, Meyer and Meier

PRIOR = -3.0
"""Bits before anything is known: most of the mappings that some trace contradicts are right all the same."""

BORN = {"here": -14.0, "elsewhere": 9.0, "": 0.0}
BORN_FOR_ANOTHER = 3.0
"""Bits where the record was created for this WA id; where another existing record was; where it was for another id."""

FIELDS: dict[str, tuple[str, float, float]] = {
    # field: its name, bits when it agrees, bits when it differs. A household shares surname and phone, and surnames and
    # addresses change; given names and joining dates hardly do.
    "given": ("given name", -3.0, 3.0),
    "family": ("family name", -1.5, 2.0),
    "email": ("e-mail", -5.0, 2.5),
    "phone": ("phone", -2.0, 1.5),
    "joined": ("joining date", -2.0, 2.0),
    "title": ("title", -4.0, 4.0),
    "start": ("start", -4.0, 4.0),
    # Of a registration, one may have been corrected by hand; both at once are another registration.
    "member": ("member", -4.0, 4.0),
    "event": ("event", -4.0, 4.0),
}

Facts = dict[str, str]
"""What is known of a contact or a record, by the names of `FIELDS`."""

_REPORTED: dict[str, dict[str, str]] = {
    MEMBER: {
        "firstName": "given",
        "lastName": "family",
        "email": "email",
        "phone": "phone",
        "joinedAt": "joined",
    },
    EVENT: {"title": "title", "startTime": "start"},
    REGISTRATION: {},
}
"""The importers' names of these fields."""

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
_BY_EMAIL = """
SELECT id::text AS id, lower(email) AS email, concat_ws(' ', first_name, last_name) AS name
FROM members WHERE lower(email) = ANY (%(emails)s::text[])
"""
_AT_PLACES = """
SELECT wa_id, min(id::text) AS record
FROM registrations
JOIN unnest(%(placed)s::text[], %(members)s::text[], %(events)s::text[]) AS place(wa_id, member, event)
  ON member_id::text = place.member AND event_id::text = place.event
GROUP BY wa_id HAVING count(*) = 1
"""
_NO_EVIDENCE = """
SELECT EXISTS (SELECT FROM mappings WHERE entity_type = %(entity)s)
   AND NOT EXISTS (
     SELECT FROM audit
     WHERE action = 'CREATE' AND resource_type = %(entity)s AND metadata ? 'waId'
       AND coalesce(run_id, '') <> ALL (%(rolled_back)s::text[])
   )
   AND NOT EXISTS (SELECT FROM members WHERE %(entity)s = 'Member' AND wa_raw ? 'waContactId')
"""


@dataclass(frozen=True)
class MappingFindings:
    """What is wrong with the mappings of a database.

    Attributes
    ----------
    problems : pandas.DataFrame
        One row per problem of a mapping, worst first: ``problem`` (see `PROBLEMS`), ``entity``, ``wa_id``, ``mapping``
        (its own id), ``target``, ``score`` (0 to 1; a gap where nothing is known), ``sure`` (whether `should_be` may be
        planned without further review), ``evidence``, ``agrees``, ``differs`` (names of fields, no personal value),
        ``should_be``; ``cycle``, ``cycle_size``, ``position`` in a swap or longer cycle; ``contact`` and ``person`` (the
        names of both), ``title`` of an event; how many ``registrations`` were imported through it;
        ``other_record``, where the id became two.
    registrations : pandas.DataFrame
        See `workbench.mappings.registrations.imported_through`, and whether each ``moves``.
    not_known : tuple of str
        What could not be found out, and which evidence is missing.
    without_mapping : dict of str to int
        How many records of each entity a CSV import created, which leaves no mapping by design.
    """

    problems: pd.DataFrame
    registrations: pd.DataFrame
    not_known: tuple[str, ...]
    without_mapping: dict[str, int]


def mapping_findings(traces: Traces) -> MappingFindings:
    """Find everything that is wrong with the mappings; `SchemaGap` when there is no readable table of them."""
    traces.schema.require("mappings.id", *NEEDS)
    against: dict[str, str] = {}
    doubted: set[Key] = set()
    places: dict[str, Place] = {}
    not_known = []
    for entity in ENTITIES:  # registrations last: the mappings of members and events say where they belong
        if entity == REGISTRATION:
            places = imported_places(traces, doubted)
        rows = contradicted(traces, entity, places) if traces.schema.has(CONCEPT_OF[entity]) else None
        against |= {row.mapping: row.evidence for row in rows or ()}
        doubted |= {(entity, row.wa_id) for row in rows or ()}
        if rows is None:
            not_known.append(
                f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations,"
                " no report that lists records. Give the importer's full report with --import-report."
            )
    problems = _problems_of(traces, against, doubted, places)
    _mark_cycles(problems)
    wrongs = [
        Wrong(row["entity"], row["wa_id"], row["target"], row["should_be"])
        for row in problems
        if row["problem"] in (_WRONG[MEMBER], _WRONG[EVENT]) and row["sure"]
    ]
    lost, _ = traces.without_mapping
    problems += [
        _problem(
            "no-mapping", MappingRow("", "", claim.entity, claim.wa_id, ""), claim.words, {}, claim.record
        )
        for claim in lost
        if claim.importer != "csv"
    ]
    columns = ["registration", "wa_id", "column", "now", "right", "through", "evidence", "because"]
    registrations = pd.DataFrame(imported_through(traces, wrongs), columns=columns)
    registrations = registrations.assign(moves=registrations["because"] == "")
    by_csv = Counter(claim.entity for claim in lost if claim.importer == "csv")
    return MappingFindings(_ordered(problems, registrations), registrations, tuple(not_known), dict(by_csv))


def _problems_of(
    traces: Traces, against: Mapping[str, str], doubted: Collection[Key], places: Mapping[str, Place]
) -> list[dict[str, Any]]:
    """List what is wrong with each mapping that some trace, or another mapping, contradicts."""
    hidden = tuple(f"{entity}/" for entity in ENTITIES if not traces.schema.has(CONCEPT_OF[entity]))
    rows = unlinked(traces.connection, traces.schema)
    nowhere = {row.key: row.why for row in rows if not row.record and not row.key.startswith(hidden)}
    repeated = {row.key for row in traces.fetch(read_sql("checks", "mappings-duplicate.sql"))}
    shared = {row["key"] for row in traces.shared_targets}
    twice = {f"{row['entity']}/{row['wa_id']}": row for row in traces.imported_twice}
    concerned = {*nowhere, *repeated, *shared, *twice, *map("/".join, doubted)}
    by_key: dict[str, list[MappingRow]] = defaultdict(list)
    for row in traces.mappings(wa_ids={key.partition("/")[2] for key in concerned}):
        if row.key in concerned:
            by_key[row.key].append(row)
    known = Known(traces, [row for rows in by_key.values() for row in rows], places)
    problems = []
    for key, rows in by_key.items():
        for row in rows:
            right = known.right_record(row)
            judged = known.judge(row, right)
            if row.id in against:
                problems.append(_problem(_WRONG[row.entity], row, against[row.id], judged, right))
            if key in nowhere and (row.entity, row.target) not in known.records:
                kind = _NOWHERE.get(nowhere[key], "wrong-type")
                problems.append(_problem(kind, row, nowhere[key], {"score": 1.0}, right))
            if key in twice and row.id not in against:
                words = "two records for this id: {first}, and later {key} ({evidence})".format(**twice[key])
                records = twice[key]["first"], twice[key]["key"]
                other = records[row.target == records[0]]
                problems.append(_problem("two-records", row, words, {}) | {"other_record": other})
            if key in shared:
                words = "another id leads to the same record"
                if judged["score"] is None:
                    words += "; nothing is known of this contact"
                elif right == row.target:
                    words += "; it was created for this id"
                problems.append(_problem("shared-target", row, words, judged, right))
        if key in repeated:
            problems += _duplicates(traces, rows, known)
    for problem in problems:
        contact = known.contacts.get((problem["entity"], problem["wa_id"]), {})
        record = known.records.get((problem["entity"], problem["target"]), {})
        titles = dict.fromkeys(filter(None, (contact.get("title"), record.get("title"))))
        problem |= {"contact": name_of(contact), "person": name_of(record), "title": " / ".join(titles)}
    return problems


def _duplicates(traces: Traces, rows: Sequence[MappingRow], known: Known) -> list[dict[str, Any]]:
    """Say which of several mappings of one id to keep, where that is known."""
    alike = len({row.target for row in rows}) == 1
    right = rows[0].target if alike else known.right_record(rows[0])
    if not right or rows[0].entity not in ENTITIES:
        words = "the same id is mapped more than once, and which mapping is right is not known"
        return [_problem("duplicate", row, words, {"score": 0.5}) for row in rows]
    kept = mapping_to_keep(traces.schema, rows, right)
    problems = []
    for row in rows:
        judged: dict[str, Any] = {"score": 1.0}
        if row is kept:
            judged = known.judge(row, right) | {"score": None if row.target == right else 1.0}
        which = "the one to keep" if row is kept else f"one too many, {kept.id} is kept"
        words = f"mapped more than once; this mapping is {which}"
        problems.append(_problem("duplicate", row, words, judged, right))
    return problems


def _problem(
    problem: str, row: MappingRow, evidence: str, judged: dict[str, Any], should_be: str = ""
) -> dict[str, Any]:
    """Return a problem; it is sure where the right record is known, and the mapping is wrong or one too many."""
    moves = should_be and (should_be != row.target or problem == "duplicate")
    return {
        **row._asdict(), "score": None, "agrees": "", "differs": "", **judged, "problem": problem, "mapping": row.id,
        "evidence": evidence, "should_be": should_be, "sure": bool(moves and (judged.get("score") or 0) >= SURE),
        "cycle": "", "other_record": "", "key": row.key, "contact": "", "person": "", "title": "",
    }  # fmt: skip


def _mark_cycles(problems: Sequence[dict[str, Any]]) -> None:
    """Add to each wrong mapping the swap or longer cycle that it is part of, and its position there."""
    repeated = {row["key"] for row in problems if row["problem"] == "duplicate"}
    wrong = {
        row["key"]: row
        for row in problems
        if row["problem"] in _WRONG.values() and row["key"] not in repeated
    }
    leads_to = {key: row["target"] for key, row in wrong.items()}
    for cycle in find_cycles(leads_to, {key: row["should_be"] for key, row in wrong.items()}):
        for position, key in enumerate(cycle):
            wrong[key].update(cycle=cycle[0], cycle_size=len(cycle), position=position)


def find_cycles(leads_to: Mapping[str, str], belongs_to: Mapping[str, str]) -> list[list[str]]:
    """Find the cycles among wrong mappings: each leads to the record of the next, the last to that of the first.

    Parameters
    ----------
    leads_to, belongs_to : mapping of str to str
        Each wrong mapping's key to the record it leads to, and to the one it should lead to (empty where unknown).

    Returns
    -------
    list of list of str
        The keys of each, the smallest first; two mappings that should lead to one record are part of no cycle.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for key in leads_to.keys() & belongs_to:
        owners[belongs_to[key]].append(key)
    following = {
        key: owners[record][0] for key, record in leads_to.items() if len(owners.get(record, ())) == 1
    }
    cycles: list[list[str]] = []
    for first in sorted(following):
        path, key = {first: None}, following[first]
        while key in following and key not in path:
            path[key] = None
            key = following[key]
        if key == first == min(path) and len(path) > 1:
            cycles.append([*path])
    return cycles


def _ordered(problems: Sequence[dict[str, Any]], registrations: pd.DataFrame) -> pd.DataFrame:
    """Lay problems out as a table: the sure ones first, then the graver, then the likelier; cycles together."""
    types = {"score": "float64", "cycle_size": "Int64", "position": "Int64", "sure": "bool"}
    frame = pd.DataFrame(problems, columns=[*COLUMNS, "key"]).astype(types)
    moving = registrations.loc[registrations["moves"], "through"].value_counts()
    frame["registrations"] = frame["key"].map(moving).fillna(0).astype(int)
    alone = frame["cycle"] == ""
    worst = frame["score"].fillna(0.0).where(alone, frame.groupby("cycle")["score"].transform("max"))
    order = pd.DataFrame(
        {
            "doubtful": worst < SURE,
            "problem": frame["problem"].map([*PROBLEMS].index).astype(int),
            "likelier": -worst,
            "group": frame["key"].where(alone, frame["cycle"]),
            "position": frame["position"].fillna(0),
            "mapping": frame["mapping"],
        }
    )
    return frame.loc[order.sort_values([*order], kind="stable").index, [*COLUMNS]].reset_index(drop=True)


def contradicted(
    traces: Traces, entity: str, places: Mapping[str, Place] | None = None
) -> Sequence[Any] | None:
    """List the mappings of an entity that contradict the traces of their creation.

    Any of these is enough: an audit row or report says that another record, which still exists, was created for this id;
    the record's raw Wild Apricot data name another contact, whose id does not lead here; the report has another name
    *and* another e-mail for this id (one of them changes when people marry or move); for a registration, a report or
    export has another member or event, whose registration exists. A mapping to the record that was created for this id
    is never listed.

    Parameters
    ----------
    places : mapping of str to Place, optional
        For registrations, from `imported_places`.

    Returns
    -------
    sequence of Row or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, ``evidence``, and what people know the record by;
        None without any evidence of what an id was imported as.
    """
    reports = traces.reported[entity]
    claims = [row for row in traces.reported_claims if row.entity == entity and row.action == "created"]
    names = [_name_and_other(record.fields) for record in reports.values()]
    rows = traces.fetch(
        read_sql("contradicted.sql"),
        entity=entity,
        rolled_back=traces.rolled_back,
        **as_parameters(places or {}),
        spelled=list(ENTITY_TYPES[entity]),
        born=[claim.wa_id for claim in claims],
        became=[claim.record for claim in claims],
        reported=list(reports),
        names=[name for name, _ in names],
        others=[other for _, other in names],
    )
    if not rows and not reports and not claims:
        ((nothing,),) = traces.fetch(_NO_EVIDENCE, entity=entity, rolled_back=traces.rolled_back)
        if nothing:
            return None
    return [row for row in rows if (entity, row.wa_id, row.target) not in traces.deliberate]


def _name_and_other(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a contact's name and e-mail, or an event's title and start, as the database has them."""
    name = " ".join(str(fields[part]) for part in ("firstName", "lastName", "title") if fields.get(part))
    start = str(fields.get("startTime") or "")[:16].replace("T", " ")
    return name or None, str(fields.get("email") or "") or start or None


def sure_corrections(problems: pd.DataFrame) -> pd.DataFrame:
    """Return the corrections that may be planned without further review; a cycle only as a whole.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``new_id``, ``reason``: the table that ``plan mapping --from`` reads.
    """
    sure = problems[problems["sure"]]
    counts = sure.groupby("cycle")["cycle"].transform("size")
    whole = (sure["cycle"] == "") | (counts == sure["cycle_size"]).fillna(False).astype(bool)
    rows = sure[whole].drop_duplicates(["entity", "wa_id"])
    rows = rows[["entity", "wa_id", "should_be", "evidence"]].reset_index(drop=True)
    return rows.set_axis(["entity", "wa_id", "new_id", "reason"], axis=1)


# ------------------------------------------------------------------------------------ is it the right record?


def score(
    contact: Facts, record: Facts, *, birth: str = "", for_another: bool = False, known: bool = False
) -> dict[str, Any]:
    """Return the ``score`` that a record is not a contact's (None when nothing is known), and what ``agrees`` and ``differs``.

    Parameters
    ----------
    contact, record : Facts
        What the import says of the contact, and the record that its id leads to.
    birth : {"here", "elsewhere", ""}
        Whether this record was created for this id, or another one that exists; empty when unknown.
    for_another : bool
        Whether the record was created for another id.
    known : bool
        Whether the right record is known, and another one.
    """
    shared = [name for name in FIELDS if contact.get(name) and record.get(name)]
    if not shared and not birth:
        return {"score": None}
    same = [name for name in shared if _alike(name, contact[name], record[name])]
    other = [name for name in shared if name not in same]
    bits = PRIOR + BORN[birth] + (BORN_FOR_ANOTHER if for_another and birth != "here" else 0.0)
    bits += sum(FIELDS[name][1] for name in same) + sum(FIELDS[name][2] for name in other)
    one_person = "given" in same and not {"family", "email", "phone", "joined"}.isdisjoint(same)
    highest = _MOST if known and not one_person and birth != "here" else _DOUBTFUL
    return {
        "score": round(min(1 / (1 + 2.0**-bits), highest), 3),
        "agrees": ", ".join(FIELDS[name][0] for name in same),
        "differs": ", ".join(FIELDS[name][0] for name in other),
    }


def _alike(name: str, left: str, right: str) -> bool:
    """Whether two values of a field mean the same."""
    if name == "phone":
        left, right = (re.sub(r"\D", "", text)[-7:] for text in (left, right))
    elif name == "email":
        left, right = _mailbox(left), _mailbox(right)
    elif name in {"given", "family", "title"}:
        left, right = normalise(left), normalise(right)
        return left == right or SequenceMatcher(None, left, right).ratio() >= _ALIKE
    return left == right


def _mailbox(text: str) -> str:
    """Write an address without case, dots and tags, which most providers ignore."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}{at}{domain}"


def name_of(facts: Facts) -> str:
    """Return the full name."""
    return f"{facts.get('given', '')} {facts.get('family', '')}".strip()


class Known:
    """What is known of the ids and targets of some mappings.

    Attributes
    ----------
    births : dict of Key to set of str
        Id to the existing records that were created for it.
    born_for : dict of Key to set of str
        Record to the WA ids that it was created for.
    records, contacts : dict of Key to Facts
        The records that exist, and the ids as the imports describe them.
    matches : dict of Key to str
        Id to the one record with its name and e-mail; of a registration, with its member and event.
    """

    def __init__(self, traces: Traces, rows: Iterable[MappingRow], places: Mapping[str, Place]) -> None:
        rows = [row for row in rows if row.entity in ENTITIES and traces.schema.has(CONCEPT_OF[row.entity])]
        keys = {(row.entity, row.wa_id) for row in rows}
        targets = {(row.entity, row.target) for row in rows}
        self.births, self.born_for = defaultdict[Key, set[str]](set), defaultdict[Key, set[str]](set)
        for claim in traces.births(keys, targets) if rows else ():
            self.births[claim.key].add(claim.record)
            self.born_for[claim.place].add(claim.wa_id)
        self.records = _records(traces, targets | self.born_for.keys())
        places = {
            key: place
            for key, place in places.items()
            if place.member and place.event and (REGISTRATION, key) in keys
        }
        members = [record for entity, record in self.records if entity == MEMBER]
        rows_of = traces.fetch(_RAW_DATA, ids=members) if members else ()
        raw_data = {(MEMBER, row.wa_id): _facts(row._asdict()) for row in rows_of}
        self.contacts: dict[Key, Facts] = {}
        for entity, wa_id in keys:
            born = self.births.get((entity, wa_id), set())
            facts = self.records[entity, min(born)] if len(born) == 1 else {}
            # Two people with one e-mail address share a record; the raw data say which one this contact is.
            facts = facts | raw_data.get((entity, wa_id), {})
            if entity == REGISTRATION and wa_id in places:
                facts |= {"member": places[wa_id].member, "event": places[wa_id].event}
            elif wa_id in traces.reported[entity]:
                fields = traces.reported[entity][wa_id].fields
                facts |= _facts({name: fields.get(theirs) for theirs, name in _REPORTED[entity].items()})
            self.contacts[entity, wa_id] = facts
        self.matches = _by_name_and_email(traces, self.contacts)
        if places:
            at = traces.fetch(_AT_PLACES, **as_parameters(places))
            self.matches |= {(REGISTRATION, row.wa_id): row.record for row in at}

    def right_record(self, row: MappingRow) -> str:
        """Return the record that a mapping's id should lead to; empty where it is unknown or ambiguous."""
        key = row.entity, row.wa_id
        births, match = self.births.get(key, set()), self.matches.get(key, "")
        if row.target in births:
            return row.target
        if len(births) == 1:
            return min(births)
        return match if not births or match in births else ""

    def judge(self, row: MappingRow, right: str) -> dict[str, Any]:
        """Score a mapping, given the record that it should lead to."""
        key, place = (row.entity, row.wa_id), (row.entity, row.target)
        births = self.births.get(key, set())
        return score(
            self.contacts.get(key, {}),
            self.records.get(place, {}),
            birth="here" if row.target in births else "elsewhere" if births else "",
            for_another=bool(self.born_for.get(place, set()) - {row.wa_id}),
            known=bool(right) and right != row.target,
        )


def _records(traces: Traces, places: Collection[Key]) -> dict[Key, Facts]:
    records: dict[Key, Facts] = {}
    for entity, cells in _RECORDS.items():
        if ids := [record for kind, record in places if kind == entity]:
            query = f"SELECT id::text AS id, {cells} WHERE id = ANY (%(ids)s::ids)"
            records |= {(entity, row.id): _facts(row._asdict()) for row in traces.fetch(query, ids=ids)}
    return records


def _facts(cells: Mapping[str, Any]) -> Facts:
    """Take facts from a row or a report, times cut to what is compared."""
    facts = {name: str(value).strip() for name, value in cells.items() if name in FIELDS and value}
    for name in facts.keys() & _LENGTHS:
        facts[name] = facts[name][: _LENGTHS[name]].replace("T", " ")
    return {name: value for name, value in facts.items() if value}


def _by_name_and_email(traces: Traces, contacts: Mapping[Key, Facts]) -> dict[Key, str]:
    """Return the one member with each contact's e-mail and name."""
    emails = {key: facts["email"].casefold() for key, facts in contacts.items() if facts.get("email")}
    if not emails or not traces.schema.has("members.email", "members.first_name", "members.last_name"):
        return {}
    members: dict[str, list[Any]] = defaultdict(list)
    for row in traces.fetch(_BY_EMAIL, emails=sorted(set(emails.values()))):
        members[row.email].append(row)
    matches = {}
    for key, email in emails.items():
        same = [row.id for row in members[email] if _alike("given", name_of(contacts[key]), row.name)]
        if len(same) == 1:
            matches[key] = same[0]
    return matches
