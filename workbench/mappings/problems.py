"""Every problem with a mapping in one frame, worst first, with the record it should lead to (guide §1.2).

A swap or a longer cycle is told as one: correcting half of it leaves the other half wrong, and two ids on one record meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from workbench.mappings.identity import SURE, Judgement, known_of, name_of
from workbench.mappings.places import Misplaced, Place, Wrong, came_through, listed, told_places
from workbench.mappings.queries import NEEDS, Key, MappingRow, mapping_to_keep, read_sql
from workbench.mappings.traces import Traces
from workbench.murmurant.spellings import (
    CONCEPT_OF,
    ENTITIES,
    ENTITY_TYPES,
    EVENT,
    MEMBER,
    REGISTRATION,
)

PROBLEMS = {
    "wrong-person": "the id of a contact leads to somebody else",
    "wrong-event": "the id of an event leads to another event",
    "wrong-registration": "the id of a registration leads to another registration",
    "wrong-type": "the record it leads to is of another entity",
    "missing-target": "the record it leads to does not exist",
    "unknown-type": "its entity type is none that Murmurant has",
    "duplicate": "the same id is mapped more than once",
    "no-mapping": "an import made a record for the id, and no mapping leads there",
    "two-records": "the id became two records, of which its mapping leads to one",
    "shared-target": "two ids lead to one record",
}
"""What can be wrong with a mapping, and what that means; in the order of their weight."""

COLUMNS = (
    *("problem", "entity", "wa_id", "mapping", "target", "score", "sure", "evidence", "agrees", "differs"),
    *("should_be", "because", "cycle", "cycle_size", "position", "contact", "person", "title"),
    *("registrations", "other_record"),
)

_WRONG = {MEMBER: "wrong-person", EVENT: "wrong-event", REGISTRATION: "wrong-registration"}
_NOWHERE = {"no such record": "missing-target", "unknown entity type": "unknown-type"}
_CERTAIN, _EVEN, _UNJUDGED = Judgement(1.0), Judgement(0.5), Judgement()

_SILENT = """
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
        One row per problem of a mapping, worst first: ``problem`` (see `PROBLEMS`), ``entity``,
        ``wa_id``, ``mapping`` (its own id), ``target``, ``score`` (0 to 1, how surely it is wrong; a gap
        where nothing tells), ``sure`` (whether `should_be` may be planned without more ado), ``evidence``,
        ``agrees``, ``differs`` (in words, no personal value), ``should_be``, ``because``; ``cycle``,
        ``cycle_size``, ``position`` where the mapping is part of a swap or a longer cycle; ``contact``
        and ``person`` (the names of both), ``title`` of an event; ``registrations`` that came through it;
        ``other_record``, where an import made, or took, another record for the id.
    registrations : pandas.DataFrame
        Those that came through a wrong mapping: see `workbench.mappings.places.Misplaced`.
    not_known : tuple of str
        What could not be found out, and what would tell.
    without_mapping : dict of str to int
        Entity to the number of records that a CSV import made, which leaves no mapping by design.
    """

    problems: pd.DataFrame
    registrations: pd.DataFrame
    not_known: tuple[str, ...]
    without_mapping: dict[str, int] = field(default_factory=dict)


def mapping_findings(traces: Traces) -> MappingFindings:
    """Find everything that is wrong with the mappings; `SchemaGap` when there is no table of them to be read."""
    schema = traces.schema
    schema.require("mappings.id", *NEEDS)
    against: dict[Key, dict[str, str]] = defaultdict(dict)
    places: dict[str, Place] = {}
    not_known = []
    for entity in ENTITIES:  # registrations last: the mappings of members and events say where they belong
        if entity == REGISTRATION:
            places = told_places(traces, against)
        here = schema.has(CONCEPT_OF[entity])
        accused = contradicted(traces, entity, places) if here else None
        for one in accused or ():
            against[entity, one.wa_id][one.mapping] = one.evidence
        if accused is None:
            not_known.append(
                f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations,"
                " no report that lists records. Give the importer's full report with --import-report."
            )
    unseen = tuple(f"{entity}/" for entity in ENTITIES if not schema.has(CONCEPT_OF[entity]))
    orphaned = traces.ask(read_sql("checks", "mappings-orphaned.sql"))
    nowhere = {row.key: row.why for row in orphaned if not row.key.startswith(unseen)}
    twice = {row.key for row in traces.ask(read_sql("checks", "mappings-duplicate.sql"))}
    shared = {row["key"] for row in traces.shared_targets}
    again = {f"{one.entity}/{one.wa_id}": one for one in traces.imported_twice}
    concerned = {*nowhere, *twice, *shared, *again, *(f"{entity}/{wa_id}" for entity, wa_id in against)}
    rows = traces.mappings(wa_ids={key.partition("/")[2] for key in concerned})
    rows = [row for row in rows if row.key in concerned]
    known = known_of(traces, rows, places)
    problems: list[dict[str, Any]] = []

    def tell(
        problem: str,
        row: MappingRow,
        evidence: str,
        judged: Judgement = _UNJUDGED,
        should_be: str = "",
        because: str = "",
        other_record: str = "",
    ) -> None:
        """Note a problem; it is sure where the right record is known, and is another one or one too many."""
        contact = known.contacts.get((row.entity, row.wa_id), {})
        record = known.records.get((row.entity, row.target), {})
        titles = dict.fromkeys((contact.get("title"), record.get("title")))
        moves = should_be and (should_be != row.target or problem == "duplicate")
        problems.append({
            **row._asdict(), **judged._asdict(), "problem": problem, "mapping": row.id, "evidence": evidence,
            "should_be": should_be, "because": because, "sure": bool(moves and (judged.score or 0) >= SURE),
            "other_record": other_record, "cycle": "", "key": row.key, "contact": name_of(contact),
            "person": name_of(record), "title": " / ".join(filter(None, titles)),
        })  # fmt: skip

    for row in rows:
        should_be, because = known.right_record(row)
        judged = known.judged(row, should_be)
        evidence = against.get((row.entity, row.wa_id), {}).get(row.id)
        if evidence is not None:
            tell(_WRONG[row.entity], row, evidence, judged, should_be, because)
        if row.key in nowhere and (row.entity, row.target) not in known.records:
            should, why = known.right_record(row, "") if row.entity in ENTITIES else ("", "")
            tell(_NOWHERE.get(nowhere[row.key], "wrong-type"), row, nowhere[row.key], _CERTAIN, should, why)
        if row.key in again and evidence is None:
            one = again[row.key]
            words = f"two records for this id: {one.first}, and later {one.record} ({one.words})"
            tell(
                "two-records",
                row,
                words,
                other_record=one.record if row.target == one.first else one.first,
            )
        if row.key in shared:
            words = "another id leads to the same record"
            if judged.score is None:
                words += "; nothing tells who this contact is"
            elif should_be == row.target:
                words += "; this is the one it was made for"
            tell("shared-target", row, words, judged, should_be, because)
    for key in sorted(twice):
        several = [row for row in rows if row.key == key]
        alike = len({row.target for row in several}) == 1
        right = several[0].target if alike else known.right_record(several[0])[0]
        known_right = right and several[0].entity in ENTITIES
        kept = mapping_to_keep(schema, several, right) if known_right else None
        for row in several:
            if kept is None:
                words = "the same id is mapped more than once, and nothing tells which is right"
                tell("duplicate", row, words, _EVEN)
            elif row is kept:
                judged = known.judged(row, right)._replace(score=None if row.target == right else 1.0)
                tell(
                    "duplicate", row, "mapped more than once; this mapping is the one to keep", judged, right
                )
            else:
                words = "mapped more than once; this mapping is one too many"
                tell("duplicate", row, words, _CERTAIN, right, f"mapping {kept.id} is kept")
    wrong = {
        one["key"]: one for one in problems if one["problem"] in _WRONG.values() and one["key"] not in twice
    }
    belongs_to = {key: one["should_be"] for key, one in wrong.items() if one["should_be"]}
    for key, place in find_cycles({key: one["target"] for key, one in wrong.items()}, belongs_to).items():
        wrong[key].update(cycle=place.cycle, cycle_size=place.size, position=place.position)
    wrongs = [
        Wrong(one["entity"], one["wa_id"], one["target"], one["should_be"])
        for one in problems
        if one["problem"] in (_WRONG[MEMBER], _WRONG[EVENT]) and one["sure"]
    ]
    through = came_through(traces, wrongs)
    bare, _ = traces.without_mapping
    for lost in bare:
        if lost.importer != "csv":
            row = MappingRow("", "", lost.entity, lost.wa_id, "")
            tell("no-mapping", row, lost.words, should_be=lost.record)
    registrations = pd.DataFrame(through, columns=[*Misplaced._fields])
    registrations = registrations.assign(moves=registrations["because"] == "")
    by_csv = Counter(lost.entity for lost in bare if lost.importer == "csv")
    return MappingFindings(_ordered(problems, registrations), registrations, tuple(not_known), dict(by_csv))


def _ordered(problems: Sequence[dict[str, Any]], registrations: pd.DataFrame) -> pd.DataFrame:
    """Lay problems out as a table, worst first; the mappings of a cycle side by side, in its own order."""
    names = [*COLUMNS, "key"]
    frame = pd.DataFrame(problems, columns=names).astype(
        {"score": "float64", "cycle_size": "Int64", "position": "Int64", "sure": "bool"}
    )
    counts = registrations.loc[registrations["moves"], "through"].value_counts()
    group = frame["cycle"].where(frame["cycle"] != "", frame["key"])
    worst = (
        frame["score"]
        .fillna(0.0)
        .where(frame["cycle"] == "", frame.groupby("cycle")["score"].transform("max"))
    )
    weight = frame["problem"].map({name: place for place, name in enumerate(PROBLEMS)})
    # Among what is sure, the gravest problem comes first; below that, what is surest.
    order = pd.DataFrame(
        {
            "doubtful": worst < SURE,
            "gravest": weight.where(worst >= SURE, 0),
            "surest": -worst,
            "weight": weight,
            "group": group,
            "position": frame["position"].fillna(0),
            "mapping": frame["mapping"],
        }
    )
    frame = frame.assign(registrations=frame["key"].map(counts).fillna(0).astype(int))
    frame = frame.loc[order.sort_values([*order], kind="stable").index, [*COLUMNS]]
    return frame.reset_index(drop=True)


class CyclePosition(NamedTuple):
    """Where a mapping stands in a cycle: its name, the smallest key; its size, 2 for a swap; and the place in it, from 0."""

    cycle: str
    size: int
    position: int


def find_cycles(leads_to: Mapping[str, str], belongs_to: Mapping[str, str]) -> dict[str, CyclePosition]:
    """Find the closed circles among wrong mappings: each leads to the record of the next, the last to that of the first.

    Parameters
    ----------
    leads_to, belongs_to : mapping of str to str
        Each wrong mapping's key to the record it leads to, and to the one it should lead to.

    Returns
    -------
    dict of str to CyclePosition
        For the mappings that are part of one; two mappings that should lead to one record are part of none.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for key in sorted(leads_to.keys() & belongs_to):
        owners[belongs_to[key]].append(key)
    following = {key: owners[to][0] for key, to in leads_to.items() if len(owners.get(to, ())) == 1}
    positions: dict[str, CyclePosition] = {}
    for first in sorted(following.keys()):  # the smallest key of a circle comes upon it before the others
        circle, at = {first: 0}, following[first]
        while at not in circle and at in following and at not in positions:
            circle[at] = len(circle)
            at = following[at]
        if at == first and len(circle) > 1:
            positions |= {key: CyclePosition(first, len(circle), place) for key, place in circle.items()}
    return positions


def contradicted(
    traces: Traces, entity: str, places: Mapping[str, Place] | None = None
) -> Sequence[Any] | None:
    """List the mappings of `entity` that the traces of its own creation contradict, asked as plain joins.

    Four witnesses, each enough: an audit row, or the importer's report, says that another record, which still exists, was
    created for this id; the record's raw Wild Apricot data name another contact, whose id does not lead here; the importer's
    report has another name *and* another e-mail for this id (one of the two changes when people marry or move; both at once
    is somebody else); of a registration, a report or an export has another member or event, whose registration is there. None
    of them counts against a mapping to the very record that was created for this id.

    Parameters
    ----------
    places : mapping of str to (member, event), optional
        For registrations, from `told_places`.

    Returns
    -------
    sequence of Row or None
        ``key``, ``mapping`` (its own id), ``wa_id``, ``target``, ``evidence``, and what people know the record by
        (NULL what it has not); None where nothing here tells what an id was imported as.
    """
    told = traces.told[entity]
    born = {
        (one.wa_id, one.record)
        for one in traces.reported_claims
        if one.entity == entity and one.action == "created"
    }
    called = [_called(one.fields) for one in told.values()]
    about = {"entity": entity, "rolled_back": traces.rolled_back}
    rows = traces.ask(
        read_sql("contradicted.sql"),
        **about,
        spelled=list(ENTITY_TYPES[entity]),
        born=[wa_id for wa_id, _ in born],
        became=[record for _, record in born],
        told=list(told),
        names=[name for name, _ in called],
        others=[other for _, other in called],
        **listed(places or {}),
    )
    if rows:
        return [row for row in rows if (entity, row.wa_id, row.target) not in traces.meant]
    silent = not told and not born and traces.ask(_SILENT, **about)[0][0]
    return None if silent else []


def _called(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a contact's name and e-mail, or an event's title and start, as the database has them."""
    name = " ".join(str(fields[each]) for each in ("firstName", "lastName", "title") if fields.get(each))
    start = str(fields.get("startTime") or "")[:16].replace("T", " ")
    return name or None, str(fields.get("email") or "") or start or None


def sure_corrections(problems: pd.DataFrame) -> pd.DataFrame:
    """Return the corrections that may be planned without asking anybody else.

    A cycle is among them as a whole or not at all.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``new_id``, ``reason``: the table that ``plan mapping --from`` reads.
    """
    sure = problems[problems["sure"]]
    counts = sure.groupby("cycle")["cycle"].transform("size")
    whole = (sure["cycle"] == "") | (counts == sure["cycle_size"])
    rows = sure[whole.fillna(False).astype(bool)].drop_duplicates(["entity", "wa_id"])
    rows = rows[["entity", "wa_id", "should_be", "evidence"]].reset_index(drop=True)
    return rows.set_axis(["entity", "wa_id", "new_id", "reason"], axis=1)
