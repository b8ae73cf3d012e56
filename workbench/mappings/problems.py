"""Every problem with a mapping in one frame, worst first, with the record it should lead to (guide §1.2).

A swap or a longer cycle is told as one: correcting half of it leaves the other half wrong, and two ids on one record meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from workbench.mappings.identity import SURE, Judgement, Known, known_of, name_of
from workbench.mappings.places import Place, Wrong, came_through, listed, told_places
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
_CERTAIN, _UNJUDGED = Judgement(1.0), Judgement()

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
        Those that came through a wrong mapping, see `workbench.mappings.places.came_through`; and whether each ``moves``.
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
    traces.schema.require("mappings.id", *NEEDS)
    against: dict[Key, dict[str, str]] = {}
    places: dict[str, Place] = {}
    not_known = []
    for entity in ENTITIES:  # registrations last: the mappings of members and events say where they belong
        if entity == REGISTRATION:
            places = told_places(traces, against)
        accused = contradicted(traces, entity, places) if traces.schema.has(CONCEPT_OF[entity]) else None
        for row in accused or ():
            against.setdefault((entity, row.wa_id), {})[row.mapping] = row.evidence
        if accused is None:
            not_known.append(
                f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations,"
                " no report that lists records. Give the importer's full report with --import-report."
            )
    problems = _problems_of(traces, against, places)
    _mark_cycles(problems)
    wrongs = [
        Wrong(row["entity"], row["wa_id"], row["target"], row["should_be"])
        for row in problems
        if row["problem"] in (_WRONG[MEMBER], _WRONG[EVENT]) and row["sure"]
    ]
    lost, _ = traces.without_mapping
    problems += [
        _problem(
            "no-mapping",
            MappingRow("", "", claim.entity, claim.wa_id, ""),
            claim.words,
            should_be=claim.record,
        )
        for claim in lost
        if claim.importer != "csv"
    ]
    columns = ["registration", "wa_id", "column", "now", "right", "through", "evidence", "because"]
    registrations = pd.DataFrame(came_through(traces, wrongs), columns=columns)
    registrations = registrations.assign(moves=registrations["because"] == "")
    by_csv = Counter(claim.entity for claim in lost if claim.importer == "csv")
    return MappingFindings(_ordered(problems, registrations), registrations, tuple(not_known), dict(by_csv))


def _problems_of(
    traces: Traces, against: Mapping[Key, Mapping[str, str]], places: Mapping[str, Place]
) -> list[dict[str, Any]]:
    """List what is wrong with each mapping that some trace, or another mapping, speaks against."""
    schema = traces.schema
    unseen = tuple(f"{entity}/" for entity in ENTITIES if not schema.has(CONCEPT_OF[entity]))
    orphaned = traces.ask(read_sql("checks", "mappings-orphaned.sql"))
    nowhere = {row.key: row.why for row in orphaned if not row.key.startswith(unseen)}
    twice = {row.key for row in traces.ask(read_sql("checks", "mappings-duplicate.sql"))}
    shared = {row["key"] for row in traces.shared_targets}
    again = {f"{row.entity}/{row.wa_id}": row for row in traces.imported_twice}
    concerned = {*nowhere, *twice, *shared, *again, *map("/".join, against)}
    rows = traces.mappings(wa_ids={key.partition("/")[2] for key in concerned})
    by_key: dict[str, list[MappingRow]] = defaultdict(list)
    for row in rows:
        if row.key in concerned:
            by_key[row.key].append(row)
    known = known_of(traces, (row for rows in by_key.values() for row in rows), places)
    problems = []
    for key, rows in by_key.items():
        place = rows[0].entity, rows[0].wa_id
        for row in rows:
            right, because = known.right_record(place, row.target)
            judged = known.judged(row, right)
            evidence = against.get(place, {}).get(row.id)
            if evidence is not None:
                problems.append(_problem(_WRONG[row.entity], row, evidence, judged, right, because, known))
            if key in nowhere and (row.entity, row.target) not in known.records:
                kind = _NOWHERE.get(nowhere[key], "wrong-type")
                right_there = known.right_record(place) if row.entity in ENTITIES else ("", "")
                problems.append(_problem(kind, row, nowhere[key], _CERTAIN, *right_there, known))
            if key in again and evidence is None:
                twin = again[key]
                words = f"two records for this id: {twin.first}, and later {twin.record} ({twin.words})"
                other = twin.record if row.target == twin.first else twin.first
                problems.append(_problem("two-records", row, words, known=known) | {"other_record": other})
            if key in shared:
                words = "another id leads to the same record"
                if judged.score is None:
                    words += "; nothing tells who this contact is"
                elif right == row.target:
                    words += "; this is the one it was made for"
                problems.append(_problem("shared-target", row, words, judged, right, because, known))
        if key in twice:
            problems += _duplicates(traces, rows, known)
    return problems


def _duplicates(traces: Traces, rows: Sequence[MappingRow], known: Known) -> list[dict[str, Any]]:
    """Say of several mappings of one id which is to be kept, where that is known."""
    first = rows[0]
    alike = len({row.target for row in rows}) == 1
    right = first.target if alike else known.right_record((first.entity, first.wa_id), first.target)[0]
    if not right or first.entity not in ENTITIES:
        words = "the same id is mapped more than once, and nothing tells which is right"
        return [_problem("duplicate", row, words, Judgement(0.5), known=known) for row in rows]
    kept = mapping_to_keep(traces.schema, rows, right)
    score = None if kept.target == right else 1.0
    judged, words = known.judged(kept, right)._replace(score=score), "mapped more than once; this mapping is"
    return [
        _problem("duplicate", row, f"{words} the one to keep", judged, right, "", known)
        if row is kept
        else _problem(
            "duplicate", row, f"{words} one too many", _CERTAIN, right, f"mapping {kept.id} is kept", known
        )
        for row in rows
    ]


def _problem(
    problem: str,
    row: MappingRow,
    evidence: str,
    judged: Judgement = _UNJUDGED,
    should_be: str = "",
    because: str = "",
    known: Known | None = None,
) -> dict[str, Any]:
    """Return a problem; it is sure where the right record is known, and is another one or one too many."""
    contact = known.contacts.get((row.entity, row.wa_id), {}) if known else {}
    record = known.records.get((row.entity, row.target), {}) if known else {}
    titles = dict.fromkeys((contact.get("title"), record.get("title")))
    moves = should_be and (should_be != row.target or problem == "duplicate")
    return {
        **row._asdict(), **judged._asdict(), "problem": problem, "mapping": row.id, "evidence": evidence,
        "should_be": should_be, "because": because, "sure": bool(moves and (judged.score or 0) >= SURE),
        "other_record": "", "cycle": "", "key": row.key, "contact": name_of(contact),
        "person": name_of(record), "title": " / ".join(filter(None, titles)),
    }  # fmt: skip


def _mark_cycles(problems: Sequence[dict[str, Any]]) -> None:
    """Note of each wrong mapping the swap or longer cycle that it is part of, and its place there."""
    twice = {row["key"] for row in problems if row["problem"] == "duplicate"}
    wrong = {
        row["key"]: row for row in problems if row["problem"] in _WRONG.values() and row["key"] not in twice
    }
    leads_to = {key: row["target"] for key, row in wrong.items()}
    for cycle in find_cycles(
        leads_to, {key: row["should_be"] for key, row in wrong.items() if row["should_be"]}
    ):
        for position, key in enumerate(cycle):
            wrong[key].update(cycle=cycle[0], cycle_size=len(cycle), position=position)


def find_cycles(leads_to: Mapping[str, str], belongs_to: Mapping[str, str]) -> list[list[str]]:
    """Find the closed circles among wrong mappings: each leads to the record of the next, the last to that of the first.

    Parameters
    ----------
    leads_to, belongs_to : mapping of str to str
        Each wrong mapping's key to the record it leads to, and to the one it should lead to.

    Returns
    -------
    list of list of str
        The keys of each, beginning with the smallest; two mappings that should lead to one record are part of none.
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
    """Lay problems out as a table, worst first; the mappings of a cycle side by side, in its own order."""
    kinds = {"score": "float64", "cycle_size": "Int64", "position": "Int64", "sure": "bool"}
    frame = pd.DataFrame(problems, columns=[*COLUMNS, "key"]).astype(kinds)
    came = registrations.loc[registrations["moves"], "through"].value_counts()
    frame["registrations"] = frame["key"].map(came).fillna(0).astype(int)
    alone = frame["cycle"] == ""
    worst = frame["score"].fillna(0.0).where(alone, frame.groupby("cycle")["score"].transform("max"))
    weight = frame["problem"].map({name: place for place, name in enumerate(PROBLEMS)})
    # Among what is sure, the gravest problem comes first; below that, what is surest.
    order = pd.DataFrame(
        {
            "doubtful": worst < SURE,
            "gravest": weight.where(worst >= SURE, 0),
            "surest": -worst,
            "weight": weight,
            "group": frame["key"].where(alone, frame["cycle"]),
            "position": frame["position"].fillna(0),
            "mapping": frame["mapping"],
        }
    )
    return frame.loc[order.sort_values([*order], kind="stable").index, [*COLUMNS]].reset_index(drop=True)


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
    reports = traces.reported[entity]
    claims = [row for row in traces.reported_claims if row.entity == entity and row.action == "created"]
    born = {(claim.wa_id, claim.record) for claim in claims}
    called = [_called(record.fields) for record in reports.values()]
    about = {"entity": entity, "rolled_back": traces.rolled_back}
    rows = traces.ask(
        read_sql("contradicted.sql"),
        **about,
        **listed(places or {}),
        spelled=list(ENTITY_TYPES[entity]),
        born=[wa_id for wa_id, _ in born],
        became=[record for _, record in born],
        told=list(reports),
        names=[name for name, _ in called],
        others=[other for _, other in called],
    )
    silent = not rows and not reports and not born and traces.ask(_SILENT, **about)[0][0]
    return None if silent else [row for row in rows if (entity, row.wa_id, row.target) not in traces.meant]


def _called(fields: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a contact's name and e-mail, or an event's title and start, as the database has them."""
    name = " ".join(str(fields[part]) for part in ("firstName", "lastName", "title") if fields.get(part))
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
