"""Every problem with a mapping in one frame, worst first, with the record it should lead to (guide §1.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from sqlalchemy import Connection

from workbench.investigate.mappings.circles import find_cycles
from workbench.investigate.mappings.contacts import Known, known_of
from workbench.investigate.mappings.lookup import MappingRow, mapping_rows, mapping_to_keep
from workbench.investigate.mappings.misplaced import Wrong, came_through, misplaced_frame
from workbench.investigate.mappings.origins import Again, Bare, imported_twice, without_mapping
from workbench.investigate.mappings.places import told_places
from workbench.investigate.mappings.scoring import Birth, Facts, Judgement, judge
from workbench.investigate.mappings.statements import (
    NEEDS,
    NO_RECORD,
    OF_ANOTHER,
    leading_nowhere,
    mapped_twice,
    shared_targets,
)
from workbench.investigate.mappings.telling import Problem, problems_frame
from workbench.investigate.mappings.witnesses import anything_told, contradicted
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, EVENT, MEMBER, REGISTRATION

_WRONG = {MEMBER: "wrong-person", EVENT: "wrong-event", REGISTRATION: "wrong-registration"}


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
        Those that came through a wrong mapping: see `workbench.investigate.mappings.misplaced.Misplaced`.
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
    against: dict[str, str] = {}
    not_known = []
    places = told_places(connection, schema, runs, exports)
    for entity in ENTITIES:
        there = schema.has(CONCEPT_OF[entity])
        asked = contradicted(schema, entity, runs, exports, places) if there else None
        if asked is None or not anything_told(connection, schema, entity, runs, exports):
            not_known.append(_unknown_origin(entity))
            continue
        against |= {row.mapping: row.evidence for row in connection.execute(asked)}
    nowhere = {row.key: row.why for row in connection.execute(leading_nowhere(schema))}
    twice = {row.key for row in connection.execute(mapped_twice(schema))}
    shared = {row.key for row in connection.execute(shared_targets(schema))}
    again = {f"{each.entity}/{each.wa_id}": each for each in imported_twice(connection, schema, runs)}
    rows = mapping_rows(connection, schema, ids=against, keys={*nowhere, *twice, *shared, *again})
    known = {
        entity: known_of(
            connection,
            schema,
            entity,
            {(row.wa_id, row.target) for row in rows if row.entity == entity},
            runs,
            exports,
            places,
        )
        for entity in ENTITIES
    }
    found = [
        _wrong_record(row, known[row.entity], against[row.id])
        for row in rows
        if row.id in against and row.entity in known
    ]
    found = _with_cycles(found, twice)
    found += [_leads_nowhere(row, known, nowhere[row.key]) for row in rows if _is_lost(row, known, nowhere)]
    found += [
        each
        for key in sorted(twice)
        for each in _duplicates(schema, [row for row in rows if row.key == key], known)
    ]
    found += [_two_records(row, again[row.key]) for row in rows if row.key in again and row.id not in against]
    found += [_shares(row, known) for row in rows if row.key in shared]
    through = came_through(
        connection,
        schema,
        runs,
        [
            Wrong(each.row.entity, each.row.wa_id, each.row.target, each.should_be)
            for each in found
            if each.problem in (_WRONG[MEMBER], _WRONG[EVENT]) and each.sure
        ],
        exports,
    )
    bare, _ = without_mapping(connection, schema, runs)
    found += [_lost(schema, each) for each in bare if each.importer != "csv"]
    return MappingFindings(
        problems_frame(found, known, through),
        misplaced_frame(through),
        tuple(not_known),
        dict(Counter(each.entity for each in bare if each.importer == "csv")),
    )


def _unknown_origin(entity: str) -> str:
    return (
        f"Nothing here says which {entity.lower()} a Wild Apricot id was imported as: no audit rows of creations, no"
        " report that lists records. Give the importer's full report with --import-report."
    )


def _judged(row: MappingRow, known: Known, should_be: str) -> Judgement:
    made = known.births.get(row.wa_id, {})
    birth: Birth = "here" if row.target in made else "elsewhere" if made else ""
    return judge(
        known.contacts.get(row.wa_id, Facts()),
        known.records.get(row.target, Facts()),
        birth=birth,
        for_another=bool(known.born_for.get(row.target, set()) - {row.wa_id}),
        known=bool(should_be) and should_be != row.target,
    )


def _wrong_record(row: MappingRow, known: Known, evidence: str) -> Problem:
    should_be, because = known.right_record(row.wa_id, row.target)
    return Problem(_WRONG[row.entity], row, evidence, _judged(row, known, should_be), should_be, because)


def _with_cycles(found: Sequence[Problem], twice: set[str]) -> list[Problem]:
    once = [each for each in found if each.row.key not in twice]
    places = find_cycles(
        {each.row.key: each.row.target for each in once},
        {each.row.key: each.should_be for each in once if each.should_be},
    )
    return [replace(each, place=places.get(each.row.key)) for each in found]


def _is_lost(row: MappingRow, known: Mapping[str, Known], nowhere: Mapping[str, str]) -> bool:
    return row.key in nowhere and (row.entity not in known or row.target not in known[row.entity].records)


_FACT = Judgement(1.0, "", "")


def _leads_nowhere(row: MappingRow, known: Mapping[str, Known], why: str) -> Problem:
    problem = (
        "missing-target"
        if why == NO_RECORD
        else "wrong-type"
        if why.startswith(OF_ANOTHER)
        else "unknown-type"
    )
    should_be, because = known[row.entity].right_record(row.wa_id, "") if row.entity in known else ("", "")
    return Problem(problem, row, why, _FACT, should_be, because)


def _duplicates(schema: Schema, rows: Sequence[MappingRow], known: Mapping[str, Known]) -> list[Problem]:
    """Tell which of several mappings of one id is to be kept, where that can be told."""
    entity = rows[0].entity
    if entity not in known:
        return [Problem("duplicate", row, "the same id is mapped more than once", _FACT) for row in rows]
    of_it = known[entity]
    right = of_it.right_record(rows[0].wa_id, rows[0].target)[0]
    targets = {row.target for row in rows}
    right = next(iter(targets)) if len(targets) == 1 else right
    if not right:
        undecided = Judgement(0.5, "", "")
        said = "the same id is mapped to different records, and nothing tells which is right"
        return [Problem("duplicate", row, said, undecided) for row in rows]
    kept = mapping_to_keep(schema, rows, right)
    found = []
    for row in rows:
        if row is kept:
            judged = replace(_judged(row, of_it, right), score=None if row.target == right else 1.0)
            said = "mapped more than once; this mapping is the one to keep"
            found.append(Problem("duplicate", row, said, judged, right))
        else:
            said = "mapped more than once; this mapping is one too many"
            found.append(Problem("duplicate", row, said, _FACT, right, f"mapping {kept.id} is kept"))
    return found


def _lost(schema: Schema, bare: Bare) -> Problem:
    row = MappingRow("", schema.table_of(bare.entity), bare.entity, bare.wa_id, "", None)
    return Problem("no-mapping", row, bare.words, Judgement(None, "", ""), bare.record)


def _two_records(row: MappingRow, again: Again) -> Problem:
    other = again.record if row.target == again.first else again.first
    said = f"two records for this id: {again.first}, and later {again.record} ({again.words})"
    return Problem("two-records", row, said, Judgement(None, "", ""), other_record=other)


def _shares(row: MappingRow, known: Mapping[str, Known]) -> Problem:
    if row.entity not in known:
        return Problem("shared-target", row, "another id leads to the same record", Judgement(None, "", ""))
    should_be, because = known[row.entity].right_record(row.wa_id, row.target)
    judged = _judged(row, known[row.entity], should_be)
    said = "another id leads to the same record"
    if judged.score is None:
        said += "; nothing tells who this contact is"
    elif should_be == row.target:
        said += "; this is the one it was made for"
    return Problem("shared-target", row, said, judged, should_be, because)
