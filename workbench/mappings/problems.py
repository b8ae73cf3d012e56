"""Every problem with a mapping in one frame, worst first, with the record it should lead to (guide §1.2).

A swap or a longer cycle is told as one: correcting half of it leaves the other half wrong, and two ids on one record meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection

from workbench.mappings.contradictions import contradicted, told_places
from workbench.mappings.identity import SURE, Judgement, Known, known_of, name_of
from workbench.mappings.misplaced import Misplaced, Wrong, came_through
from workbench.mappings.queries import (
    NEEDS,
    NO_RECORD,
    OF_ANOTHER,
    MappingRow,
    mapping_rows,
    mapping_to_keep,
    rows_of_check,
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
_CERTAIN = Judgement(1.0)


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
        Those that came through a wrong mapping: see `workbench.mappings.misplaced.Misplaced`.
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
    against, not_known = dict[str, str](), []
    places = told_places(connection, schema, runs, exports)
    for entity in ENTITIES:
        there = schema.has(CONCEPT_OF[entity])
        query = contradicted(connection, schema, entity, runs, exports, places) if there else None
        if query is not None:
            against |= {row.mapping: row.evidence for row in connection.execute(query)}
            continue
        not_known.append(
            f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations,"
            " no report that lists records. Give the importer's full report with --import-report."
        )
    unseen = tuple(f"{entity}/" for entity in ENTITIES if not schema.has(CONCEPT_OF[entity]))
    orphaned = rows_of_check(connection, schema, "mappings-orphaned")
    reasons = zip(orphaned["key"].tolist(), orphaned["why"].tolist(), strict=True)
    nowhere: dict[str, str] = {key: why for key, why in reasons if not key.startswith(unseen)}
    twice: set[str] = set(rows_of_check(connection, schema, "mappings-duplicate")["key"].tolist())
    shared = {row.key for row in connection.execute(shared_targets(schema))}
    again = {f"{one.entity}/{one.wa_id}": one for one in imported_twice(connection, schema, runs)}
    rows = mapping_rows(connection, schema, ids=against, keys={*nowhere, *twice, *shared, *again})
    known = {}
    for entity in ENTITIES:
        pairs = {(row.wa_id, row.target) for row in rows if row.entity == entity}
        known[entity] = known_of(connection, schema, entity, pairs, runs, exports, places)
    problems: list[dict[str, Any]] = []
    for row in rows:
        of_it = known.get(row.entity, Known())
        should_be, because = of_it.right_record(row.wa_id, row.target)
        judged = of_it.judged(row.wa_id, row.target, should_be)
        if row.id in against and row.entity in known:
            problems.append(_problem(_WRONG[row.entity], row, against[row.id], judged, should_be, because))
        if row.key in nowhere and row.target not in of_it.records:
            why = nowhere[row.key]
            other = "wrong-type" if why.startswith(OF_ANOTHER) else "unknown-type"
            kind = "missing-target" if why == NO_RECORD else other
            problems.append(_problem(kind, row, why, _CERTAIN, *of_it.right_record(row.wa_id, "")))
        if row.key in again and row.id not in against:
            one = again[row.key]
            evidence = f"two records for this id: {one.first}, and later {one.record} ({one.words})"
            other = one.record if row.target == one.first else one.first
            problems.append(_problem("two-records", row, evidence, other_record=other))
        if row.key in shared:
            evidence = "another id leads to the same record"
            if row.entity in known and judged.score is None:
                evidence += "; nothing tells who this contact is"
            elif should_be and should_be == row.target:
                evidence += "; this is the one it was made for"
            problems.append(_problem("shared-target", row, evidence, judged, should_be, because))
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
            row = MappingRow("", schema.table_of(lost.entity), lost.entity, lost.wa_id, "")
            problems.append(_problem("no-mapping", row, lost.words, should_be=lost.record))
    by_csv = Counter(lost.entity for lost in bare if lost.importer == "csv")
    registrations = pd.DataFrame(through, columns=list(Misplaced._fields))
    registrations = registrations.assign(moves=[one.moves for one in through])
    return MappingFindings(_frame(problems, known, through), registrations, tuple(not_known), dict(by_csv))


def _problem(
    problem: str,
    row: MappingRow,
    evidence: str,
    judged: Judgement = Judgement(),  # noqa: B008
    should_be: str = "",
    because: str = "",
    other_record: str = "",
) -> dict[str, Any]:
    score = judged.score
    moves = should_be != row.target or problem == "duplicate"
    return {
        "problem": problem,
        "entity": row.entity,
        "wa_id": row.wa_id,
        "mapping": row.id,
        "target": row.target,
        "score": score,
        "sure": bool(should_be and moves and score and score >= SURE),
        "evidence": evidence,
        "agrees": judged.agrees,
        "differs": judged.differs,
        "should_be": should_be,
        "because": because,
        "cycle": "",
        "cycle_size": None,
        "position": None,
        "other_record": other_record,
    }


def _duplicates(
    schema: Schema, rows: Sequence[MappingRow], known: Mapping[str, Known]
) -> Iterable[dict[str, Any]]:
    """Tell which of several mappings of one id is to be kept, where that can be told."""
    of_it = known.get(rows[0].entity)
    targets = {row.target for row in rows}
    right = (
        of_it.right_record(rows[0].wa_id, rows[0].target)[0] if of_it and len(targets) > 1 else rows[0].target
    )
    if of_it is None or not right:
        what = (
            "mapped more than once"
            if of_it is None
            else "mapped to different records, and nothing tells which is right"
        )
        score = _CERTAIN if of_it is None else Judgement(0.5)
        return [_problem("duplicate", row, f"the same id is {what}", score) for row in rows]
    kept = mapping_to_keep(schema, rows, right)
    problems = []
    for row in rows:
        if row is kept:
            judged = of_it.judged(row.wa_id, row.target, right)
            judged = Judgement(None if row.target == right else 1.0, judged.agrees, judged.differs)
            evidence, because = "mapped more than once; this mapping is the one to keep", ""
        else:
            judged, because = _CERTAIN, f"mapping {kept.id} is kept"
            evidence = "mapped more than once; this mapping is one too many"
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
        key: one
        for one in problems
        if one["problem"] in _WRONG.values() and (key := f"{one['entity']}/{one['wa_id']}") not in twice
    }
    leads_to = {key: one["target"] for key, one in once.items()}
    positions = find_cycles(
        leads_to, {key: one["should_be"] for key, one in once.items() if one["should_be"]}
    )
    for key, place in positions.items():
        once[key].update(cycle=place.cycle, cycle_size=place.size, position=place.position)


def _frame(
    problems: list[dict[str, Any]], known: Mapping[str, Known], through: Iterable[Misplaced]
) -> pd.DataFrame:
    """Lay problems out as a table, worst first; the mappings of a cycle side by side, in its own order."""
    counts = Counter(one.through for one in through if one.moves)
    worst: dict[str, float] = {}
    for one in problems:
        of_it = known.get(one["entity"], Known())
        contact, record = of_it.contacts.get(one["wa_id"], {}), of_it.records.get(one["target"], {})
        titles = dict.fromkeys((contact.get("title"), record.get("title")))
        one |= {
            "contact": name_of(contact),
            "person": name_of(record),
            "title": " / ".join(filter(None, titles)),
            "registrations": counts[f"{one['entity']}/{one['wa_id']}"],
        }
        worst[one["cycle"]] = max(worst.get(one["cycle"], 0.0), one["score"] or 0.0)

    def weight(one: dict[str, Any]) -> tuple[Any, ...]:
        score = worst[one["cycle"]] if one["cycle"] else one["score"] or 0.0
        group = one["cycle"] or f"{one['entity']}/{one['wa_id']}"
        # Among what is sure, the gravest problem comes first; below that, what is surest.
        sure, order = score >= SURE, list(PROBLEMS).index(one["problem"])
        return (not sure, order if sure else 0, -score, order, group, one["position"] or 0, one["mapping"])

    ordered: list[dict[str, Any]] = sorted(problems, key=weight)
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
