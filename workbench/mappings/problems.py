"""Every problem with a mapping in one frame, worst first, with the record it should lead to (guide §1.2).

A swap or a longer cycle is told as one: correcting half of it leaves the other half wrong, and two ids on one record meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.mappings.contradictions import contradicted
from workbench.mappings.identity import SURE, Judgement, Known, known_of, name_of
from workbench.mappings.places import Misplaced, Place, Wrong, came_through, told_places
from workbench.mappings.queries import (
    NEEDS,
    Key,
    MappingRow,
    fetch,
    mapping_rows,
    mapping_to_keep,
    read_sql,
    shared_targets,
)
from workbench.mappings.traces import imported_twice, without_mapping
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION

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
_NOWHERE = {
    "no such record": "missing-target",
    "unknown entity type": "unknown-type",
}  # else it is of another entity
_CERTAIN, _EVEN, _UNJUDGED = Judgement(1.0), Judgement(0.5), Judgement()


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

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, and everything could be looked at."""
        return not len(self.problems) and not self.not_known


def mapping_findings(
    connection: Connection, schema: Schema, runs: Sequence[Run], exports: Sequence[ReportRecord] = ()
) -> MappingFindings:
    """Find everything that is wrong with the mappings.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, with its report files.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports, where given; their word counts before the reports'.

    Raises
    ------
    SchemaGap
        When there is no table of mappings to be read.
    """
    schema.require("mappings.id", *NEEDS)
    against, places, not_known = _contradictions(connection, schema, runs, exports)
    unseen = tuple(f"{entity}/" for entity in ENTITIES if not schema.has(CONCEPT_OF[entity]))
    orphaned = fetch(connection, schema, read_sql("checks", "mappings-orphaned.sql"))
    nowhere = {row.key: row.why for row in orphaned if not row.key.startswith(unseen)}
    twice = {row.key for row in fetch(connection, schema, read_sql("checks", "mappings-duplicate.sql"))}
    shared = {row["key"] for row in shared_targets(connection, schema)}
    again = {f"{one.entity}/{one.wa_id}": one for one in imported_twice(connection, schema, runs)}
    concerned = {*nowhere, *twice, *shared, *again, *(f"{entity}/{wa_id}" for entity, wa_id in against)}
    rows = mapping_rows(connection, schema, wa_ids={key.partition("/")[2] for key in concerned})
    rows = [row for row in rows if row.key in concerned]
    known = known_of(connection, schema, rows, runs, exports, places)
    problems = []
    for row in rows:
        should_be, because = known.right_record(row)
        judged = known.judged(row, should_be)
        evidence = against.get((row.entity, row.wa_id), {}).get(row.id)
        if evidence is not None:
            problems.append(_problem(_WRONG[row.entity], row, evidence, judged, should_be, because))
        if row.key in nowhere and (row.entity, row.target) not in known.records:
            kind = _NOWHERE.get(nowhere[row.key], "wrong-type")
            right = known.right_record(row, "") if row.entity in ENTITIES else ()
            problems.append(_problem(kind, row, nowhere[row.key], _CERTAIN, *right))
        if row.key in again and evidence is None:
            one = again[row.key]
            words = f"two records for this id: {one.first}, and later {one.record} ({one.words})"
            problems.append(_problem("two-records", row, words))
            problems[-1]["other_record"] = one.record if row.target == one.first else one.first
        if row.key in shared:
            words = "another id leads to the same record"
            if judged.score is None:
                words += "; nothing tells who this contact is"
            elif should_be == row.target:
                words += "; this is the one it was made for"
            problems.append(_problem("shared-target", row, words, judged, should_be, because))
    for key in sorted(twice):
        problems += _duplicates(schema, [row for row in rows if row.key == key], known)
    _mark_cycles(problems, twice)
    wrongs = [
        Wrong(one["entity"], one["wa_id"], one["target"], one["should_be"])
        for one in problems
        if one["problem"] in (_WRONG[MEMBER], _WRONG[EVENT]) and one["sure"]
    ]
    through = came_through(connection, schema, runs, wrongs, exports)
    bare, _ = without_mapping(connection, schema, runs)
    for lost in bare:
        if lost.importer != "csv":
            row = MappingRow("", "", lost.entity, lost.wa_id, "")
            problems.append(_problem("no-mapping", row, lost.words, should_be=lost.record))
    registrations = pd.DataFrame(through, columns=list(Misplaced._fields))
    registrations = registrations.assign(moves=[one.moves for one in through])
    return MappingFindings(
        _frame(problems, known, through),
        registrations,
        tuple(not_known),
        dict(Counter(lost.entity for lost in bare if lost.importer == "csv")),
    )


def _contradictions(
    connection: Connection, schema: Schema, runs: Sequence[Run], exports: Sequence[ReportRecord]
) -> tuple[dict[Key, dict[str, str]], dict[str, Place], list[str]]:
    """Return what speaks against mappings, by key and own id; where registrations belong; what could not be found out."""
    against: dict[Key, dict[str, str]] = defaultdict(dict)
    places: dict[str, Place] = {}
    not_known = []
    for entity in ENTITIES:  # registrations last: the mappings of members and events say where they belong
        if entity == REGISTRATION:
            places = told_places(connection, schema, runs, exports, against)
        there = schema.has(CONCEPT_OF[entity])
        rows = contradicted(connection, schema, entity, runs, exports, places) if there else None
        if rows is None:
            not_known.append(
                f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations,"
                " no report that lists records. Give the importer's full report with --import-report."
            )
        for row in rows or ():
            against[entity, row.wa_id][row.mapping] = row.evidence
    return against, places, not_known


def _problem(
    problem: str,
    row: MappingRow,
    evidence: str,
    judged: Judgement = _UNJUDGED,
    should_be: str = "",
    because: str = "",
) -> dict[str, Any]:
    moves = should_be != row.target or problem == "duplicate"
    return {
        **row._asdict(),
        **judged._asdict(),
        "problem": problem,
        "mapping": row.id,
        "evidence": evidence,
        "should_be": should_be,
        "because": because,
        "sure": bool(should_be and moves and judged.score and judged.score >= SURE),
        "other_record": "",
        "cycle": "",
        "position": None,
        "key": row.key,
    }


def _duplicates(schema: Schema, rows: Sequence[MappingRow], known: Known) -> list[dict[str, Any]]:
    """Tell which of several mappings of one id is to be kept, where that can be told."""
    alike = len({row.target for row in rows}) == 1
    right = rows[0].target if alike else known.right_record(rows[0])[0]
    if not right or rows[0].entity not in ENTITIES:
        evidence = "the same id is mapped more than once, and nothing tells which is right"
        return [_problem("duplicate", row, evidence, _EVEN) for row in rows]
    kept = mapping_to_keep(schema, rows, right)
    problems = []
    for row in rows:
        evidence = "mapped more than once; this mapping is one too many"
        judged, because = _CERTAIN, f"mapping {kept.id} is kept"
        if row is kept:
            evidence = "mapped more than once; this mapping is the one to keep"
            judged = known.judged(row, right)
            judged = judged._replace(score=None if row.target == right else 1.0)
            because = ""
        problems.append(_problem("duplicate", row, evidence, judged, right, because))
    return problems


class CyclePosition(NamedTuple):
    """Where a mapping stands in its cycle.

    Attributes
    ----------
    cycle : str
        Its name: the smallest key in it.
    size : int
        2 for a swap.
    position : int
        From 0, which is the smallest key; each leads to the record of the next, the last to that of the first.
    """

    cycle: str
    size: int
    position: int


def find_cycles(leads_to: Mapping[str, str], belongs_to: Mapping[str, str]) -> dict[str, CyclePosition]:
    """Find the closed circles among wrong mappings.

    Parameters
    ----------
    leads_to, belongs_to : mapping of str to str
        Each wrong mapping's key to the record it leads to, and to the one it should lead to.

    Returns
    -------
    dict of str to CyclePosition
        For the mappings that are part of one; two mappings that should lead to one record are part of none.
    """
    owners: dict[str, list[str]] = {}
    for key in sorted(leads_to.keys() & belongs_to):
        owners.setdefault(belongs_to[key], []).append(key)
    following = {key: owners[to][0] for key, to in leads_to.items() if len(owners.get(to, ())) == 1}
    positions: dict[str, CyclePosition] = {}
    done: set[str] = set()
    for first in sorted(following):
        walked: list[str] = []
        at: str | None = first
        while at is not None and at not in done:
            done.add(at)
            walked.append(at)
            at = following.get(at)
        # The walk began at the smallest key that was not walked yet, but perhaps on the way into a circle.
        circle = walked[walked.index(at) :] if at in walked else []
        start = circle.index(min(circle)) if circle else 0
        circle = circle[start:] + circle[:start]
        if len(circle) > 1:
            positions |= {key: CyclePosition(circle[0], len(circle), n) for n, key in enumerate(circle)}
    return positions


def _mark_cycles(problems: Sequence[dict[str, Any]], twice: set[str]) -> None:
    once = {
        one["key"]: one for one in problems if one["problem"] in _WRONG.values() and one["key"] not in twice
    }
    leads_to = {key: one["target"] for key, one in once.items()}
    belongs_to = {key: one["should_be"] for key, one in once.items() if one["should_be"]}
    for key, place in find_cycles(leads_to, belongs_to).items():
        once[key].update(cycle=place.cycle, cycle_size=place.size, position=place.position)


def _frame(problems: Sequence[dict[str, Any]], known: Known, through: Sequence[Misplaced]) -> pd.DataFrame:
    """Lay problems out as a table, worst first; the mappings of a cycle side by side, in its own order."""
    counts = Counter(one.through for one in through if one.moves)
    worst: dict[str, float] = defaultdict(float)
    for one in problems:
        contact = known.contacts.get((one["entity"], one["wa_id"]), {})
        record = known.records.get((one["entity"], one["target"]), {})
        titles = dict.fromkeys((contact.get("title"), record.get("title")))
        one |= {
            "contact": name_of(contact),
            "person": name_of(record),
            "title": " / ".join(filter(None, titles)),
            "registrations": counts[one["key"]],
        }
        worst[one["cycle"]] = max(worst[one["cycle"]], one["score"] or 0.0)

    def weight(one: dict[str, Any]) -> tuple[Any, ...]:
        score = worst[one["cycle"]] if one["cycle"] else one["score"] or 0.0
        # Among what is sure, the gravest problem comes first; below that, what is surest.
        sure, order, group = score >= SURE, [*PROBLEMS].index(one["problem"]), one["cycle"] or one["key"]
        return not sure, order if sure else 0, -score, order, group, one["position"] or 0, one["mapping"]

    ordered = sorted(problems, key=weight)
    frame = pd.DataFrame(ordered, columns=list(COLUMNS))
    return frame.astype({"score": "float64", "cycle_size": "Int64", "position": "Int64", "sure": "bool"})


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


def cycles_of(problems: pd.DataFrame) -> list[list[str]]:
    """Return each swap or cycle as its keys in order: each leads to the record of the next, the last to the first's."""
    part = problems[(problems["cycle"] != "") & problems["position"].notna()]
    part = part.drop_duplicates(["entity", "wa_id"]).sort_values(["cycle", "position"])
    keys = part["entity"] + "/" + part["wa_id"]
    return [list(of_it) for _, of_it in keys.groupby(part["cycle"], sort=True)]
