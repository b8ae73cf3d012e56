"""Put lost mappings back: from the audit log, the importers' reports and id maps, or a snapshot (guide §1.2, §4.2).

Nothing is guessed. An id that became two records, a record that two ids claim, one that is gone: these are left out and
listed, with what would decide them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from psycopg import sql

from workbench.hints import aim
from workbench.mappings.queries import NEEDS, Key, corrections_made
from workbench.mappings.traces import AUDIT, RAW, Claim, Traces
from workbench.murmurant.importers import MAPPINGS_REBUILT, Run
from workbench.murmurant.schema import Schema, read_schema
from workbench.murmurant.spellings import CONCEPTS, ENTITIES, ENTITY_TYPES, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

Row = dict[str, str | None]


class _Fate(NamedTuple):
    """The record that an id is to lead to again, what that rests on, and its row or trace; or what would decide it."""

    because: str
    decided_by: str = ""
    record: str = ""
    row: Row | None = None
    claim: Claim | None = None


_NO_NUMBER = _Fate(
    "its id is no number, as the mappings of this database need it", "nothing: no sync knows it"
)
_GONE = _Fate(
    "the record that was made for it is gone",
    "nothing to map; a sync makes it again where Wild Apricot still has it",
)
_SEVERAL = _Fate(
    "the imports made, or took, more than one record for it",
    "`workbench check records-imported-twice` names them: merge them, or roll back the run that made the"
    " second; then rebuild again",
)
_BY_CSV = _Fate(
    "made by a CSV import, which leaves no mapping: the next API sync finds members by their e-mail, and makes"
    " events and their registrations anew",
    "--csv-records maps it by the import's own id map, so that the sync finds it",
)
_FOR_ANOTHER = "its record was made for another Wild Apricot id"
_BOOKED_AGAIN = "nothing to do where a person booked again: a sync maps the one it made the row for"
_BY_HAND = "find out which one it is, then `workbench plan mapping`, or the next sync"


def plan_rebuild(
    context: PlanContext,
    runs: Sequence[Run],
    *,
    snapshot: Snapshot | None = None,
    csv_records: bool = False,
    settings: Settings,
) -> Plan:
    """Plan to put back the mappings that are missing; those that are there stay as they are.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, with its report files.
    snapshot : Snapshot, optional
        One that has the mappings as they were; its word counts before the others'.
    csv_records : bool
        Whether to map also what a CSV import made, which never had a mapping.

    Raises
    ------
    SchemaGap
        When there is no table of mappings to be read.
    Refused
        When no mapping is missing that could be put back.
    """
    schema, traces = context.schema, Traces(context.connection, context.schema, runs)
    schema.require("mappings.id", *NEEDS)
    mappings = schema.resolved["mappings"]
    kept = _of_snapshot(snapshot, schema, settings) if snapshot else {}
    corrected = {
        (one.entity, one.wa_id): one.record
        for one in corrections_made(context.connection, schema)
        if one.entity
    }
    told: dict[Key, list[Claim]] = defaultdict(list)
    said = traces.claims()
    # Raw data say nothing where an audit row says for which id the record was made.
    logged = {one.place for one in said if one.trace == AUDIT and one.action == "created"}
    for one in said:
        if one.trace != RAW or one.place not in logged:
            told[one.key].append(one)
    wanted = told.keys() | kept.keys() | corrected.keys()
    missing = sorted(wanted - traces.leads_of(wanted).keys())
    places = {(entity, str(row["target"])) for (entity, _), row in kept.items()}
    places |= {(entity, record) for (entity, _), record in corrected.items()}
    places |= {one.place for one in chain.from_iterable(told.values())}
    made = traces.there(places)
    # The ids that a record was made for, or that lead to it now.
    owners: dict[Key, set[str]] = defaultdict(set)
    for one in chain.from_iterable(told.values()):
        if one.action == "created":
            owners[one.place].add(one.wa_id)
    for row in traces.mappings(records={record for _, record in owners}):
        owners[row.entity, row.target].add(row.wa_id)
    is_number = "int" in schema.catalogue.tables[mappings.table].columns[mappings.spelling["wa_id"]].type

    def decide(key: Key) -> _Fate:
        entity, wa_id = key
        if is_number and not wa_id.isdecimal():
            return _NO_NUMBER
        if (record := corrected.get(key, "")) and (entity, record) in made:
            return _Fate("corrected to it on purpose (guide §4.2)", record=record)
        if (of_snapshot := kept.get(key)) and (entity, of_snapshot["target"]) in made:
            return _Fate("snapshot", record=str(of_snapshot["target"]), row=of_snapshot)
        here = [one for one in told[key] if one.place in made]
        # A CSV import leaves no mapping, so its id map never says what the mapping was where another import does.
        here = [one for one in here if one.importer != "csv"] or here
        if len({one.record for one in here}) != 1:
            return _SEVERAL if here else _GONE
        best = min(here, key=lambda one: (one.action != "created", one.trace != AUDIT, str(one.at), one.run))
        followed = any(one.maps and one.action == "updated" for one in here)
        if owners[best.place] - {wa_id} and not followed:
            return _Fate(_FOR_ANOTHER, _BOOKED_AGAIN if entity == REGISTRATION else _BY_HAND)
        by_csv = best.action == "created" and all(one.importer == "csv" for one in here)
        return _BY_CSV if by_csv and not csv_records else _Fate(best.words, record=best.record, claim=best)

    with Draft(
        context,
        "mapping-rebuild",
        parameters={"snapshot": snapshot.file_name if snapshot else None, "csv_records": csv_records},
        nothing="No mapping is missing that could be put back",
        hint="`workbench check mappings-missing` names the records that no mapping leads to.",
    ) as draft:
        known = {one.place for key in missing for one in told[key]}
        counts, sources = Counter[str](), Counter[str]()
        for key in missing:
            entity, wa_id = key
            found = decide(key)
            if not found.record:
                how = aim(found.decided_by, context.target.environment)
                draft.unresolved(mappings.table, f"{entity}/{wa_id}", found.because, how)
                continue
            counts[entity] += 1
            sources[found.because] += 1
            known.add((entity, found.record))
            moment = (found.claim and found.claim.at) or made[entity, found.record].at
            draft.insert(mappings.table, _row(schema, key, found, str(moment) if moment else None))
            draft.because(mappings.table, f"{entity}/{wa_id} to {found.record}", found.because)
        for bare in traces.without_mapping[0]:
            if not bare.wa_id and (bare.entity, bare.record) not in known:
                why = f"{bare.words}, and no trace says for which Wild Apricot id it was made"
                how = "a snapshot with its mapping (--snapshot FILE), or the import's report (--import-report FILE)"
                draft.unresolved(mappings.table, f"{bare.entity} {bare.record}", why, how)
        by_entity = (f"{counts[entity]:,} of {entity.lower()}s" for entity in ENTITIES if counts[entity])
        draft.reasons.append(
            f"Puts back {counts.total():,} mappings that are missing: {', '.join(by_entity)}."
        )
        draft.evidence += [f"{because} ({count:,})" for because, count in sorted(sources.items())]
        draft.note(
            "Dry run the next sync before it runs live: it should create nothing that is here already."
        )
        if snapshot is None:
            draft.note(
                "A contact that a sync found by its e-mail, and did not change, left no trace but its mapping: such mappings"
                " are not here. The next sync finds these contacts by their e-mail again."
            )
        if left_out := len(draft.listed["unresolved"]):
            draft.note(f"{left_out:,} mappings are left out, each with what would decide it.")
        draft.log(MAPPINGS_REBUILT, records_affected=counts.total(), rests_on=dict(sources))
    return draft.plan


def _row(schema: Schema, key: Key, lost: _Fate, moment: str | None) -> Row:
    """Return the row: as the snapshot had it, else with the moment and the run of the trace it rests on."""
    resolved = schema.resolved["mappings"]
    columns = schema.catalogue.tables[resolved.table].columns
    if lost.row:
        return {name: value for name, value in lost.row.items() if name in columns}
    table = schema.table_of(key[0])
    values = {
        "id": str(uuid5(NAMESPACE_URL, f"{table}/{key[1]}/{lost.record}")),
        "entity_type": table,
        "wa_id": key[1],
        "run_id": (lost.claim and lost.claim.run) or None,
        "synced_at": moment,
        "updated_at": moment,
    }
    row = {resolved.spelling[name]: value for name, value in values.items() if name in resolved.spelling}
    # Where both spellings of the column are there, both are filled.
    return row | {name: lost.record for name in CONCEPTS["mappings"].columns["target"] if name in columns}


def _of_snapshot(snapshot: Snapshot, schema: Schema, settings: Settings) -> dict[Key, Row]:
    """Read the mappings of a snapshot: by id, each with its columns as text, and ``target``."""
    table = schema.resolved["mappings"].table
    entities = {spelling: entity for entity, kinds in ENTITY_TYPES.items() for spelling in kinds}
    with (
        opened(snapshot, [table], settings=settings, schema=schema.catalogue.schema) as before,
        before.readable.look() as connection,
    ):
        was = read_schema(connection, before.readable.address.schema)
        names, spelled = [*was.catalogue.tables[table].columns], was.resolved["mappings"].spelling
        cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        query = sql.SQL("SELECT {} FROM {}").format(cells, sql.Identifier(was.catalogue.schema, table))
        rows: list[Row] = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
    return {
        (entity, number): {**row, "target": row[spelled["target"]]}
        for row in rows
        if (entity := entities.get(row[spelled["entity_type"]] or "")) and (number := row[spelled["wa_id"]])
    }
