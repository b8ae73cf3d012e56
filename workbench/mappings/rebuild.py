"""Put lost mappings back: from the audit log, the importers' reports and id maps, or a snapshot (guide §1.2, §4.2).

Nothing is guessed. An id that became two records, a record that two ids claim, one that is gone: these are left out and
listed, with what would decide them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from psycopg import sql

from workbench.hints import aim
from workbench.mappings.queries import NEEDS, Key, corrections_made
from workbench.mappings.traces import AUDIT, RAW, Claim, Traces
from workbench.murmurant.importers import MAPPINGS_REBUILT, Run
from workbench.murmurant.schema import Schema, read_schema
from workbench.murmurant.spellings import CONCEPTS, ENTITIES, ENTITY_TYPES
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

Row = dict[str, str | None]
"""A mapping's columns as text."""

_DECIDED_BY = {
    "its id is no number, as the mappings of this database need it": "nothing: no sync knows it",
    "the record that was made for it is gone": "nothing to map; a sync makes it again where Wild Apricot still has it",
    "the imports made, or took, more than one record for it": (
        "`workbench check records-imported-twice` names them: merge them, or roll back the run that made the second;"
        " then rebuild again"
    ),
    "its record was made for another Wild Apricot id": (
        "nothing to do where a person booked again: a sync maps the one it made the row for; else find out which one it"
        " is, then `workbench plan mapping`"
    ),
    "made by a CSV import, which leaves no mapping": (
        "--csv-records maps it by the import's own id map, so that the next API sync finds it; that finds members by"
        " their e-mail, and makes events and their registrations anew"
    ),
}
"""Why an id is left out, and what would decide it."""

_NO_NUMBER, _GONE, _SEVERAL, _FOR_ANOTHER, _BY_CSV = _DECIDED_BY


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
    made_by_hand = corrections_made(context.connection, schema)
    corrected = {(row.entity, row.wa_id): row.record for row in made_by_hand if row.entity}
    claims = traces.claims()
    # Raw data say nothing where an audit row says for which id the record was made.
    logged = {claim.place for claim in claims if claim.trace == AUDIT and claim.action == "created"}
    claims = [claim for claim in claims if claim.trace != RAW or claim.place not in logged]
    by_key: dict[Key, list[Claim]] = defaultdict(list)
    # The ids that a record was made for, or that lead to it now.
    owners: dict[Key, set[str]] = defaultdict(set)
    for claim in claims:
        by_key[claim.key].append(claim)
        if claim.action == "created":
            owners[claim.place].add(claim.wa_id)
    for row in traces.mappings(records={record for _, record in owners}):
        owners[row.entity, row.target].add(row.wa_id)
    wanted = by_key.keys() | kept.keys() | corrected.keys()
    missing = sorted(wanted - traces.leads_of(wanted).keys())
    places = {claim.place for claim in claims} | {
        (entity, record) for (entity, _), record in corrected.items()
    }
    there = traces.there(places | {(entity, record) for (entity, _), (record, _) in kept.items()})
    wa_id_column = mappings.spelling["wa_id"]
    is_number = "int" in schema.catalogue.tables[mappings.table].columns[wa_id_column].type

    def decide(key: Key) -> tuple[str, str, Claim | None]:
        """Return the record that an id is to lead to again, or none; what that rests on, or why not; and its trace."""
        entity, wa_id = key
        if is_number and not wa_id.isdecimal():
            return "", _NO_NUMBER, None
        if (entity, corrected.get(key, "")) in there:
            return corrected[key], "corrected to it on purpose (guide §4.2)", None
        if key in kept and (entity, kept[key][0]) in there:
            return kept[key][0], "snapshot", None
        here = [claim for claim in by_key[key] if claim.place in there]
        # A CSV import leaves no mapping, so its id map never says what the mapping was where another import does.
        here = [claim for claim in here if claim.importer != "csv"] or here
        if len({claim.record for claim in here}) != 1:
            return "", _SEVERAL if here else _GONE, None
        best = min(
            here,
            key=lambda claim: (claim.action != "created", claim.trace != AUDIT, str(claim.at), claim.run),
        )
        followed = any(claim.maps and claim.action == "updated" for claim in here)
        if owners[best.place] - {wa_id} and not followed:
            return "", _FOR_ANOTHER, None
        if best.action == "created" and best.importer == "csv" and not csv_records:
            return "", _BY_CSV, None
        return best.record, best.words, best

    with Draft(
        context,
        "mapping-rebuild",
        parameters={"snapshot": snapshot.file_name if snapshot else None, "csv_records": csv_records},
        nothing="No mapping is missing that could be put back",
        hint="`workbench check mappings-missing` names the records that no mapping leads to.",
    ) as draft:
        known = {claim.place for key in missing for claim in by_key[key]}
        counts, sources = Counter[str](), Counter[str]()
        for key in missing:
            entity, wa_id = key
            record, because, trace = decide(key)
            if not record:
                how = aim(_DECIDED_BY[because], context.target.environment)
                draft.unresolved(mappings.table, f"{entity}/{wa_id}", because, how)
                continue
            counts[entity] += 1
            sources[because] += 1
            known.add((entity, record))
            moment = (trace and trace.at) or there[entity, record].at
            lost = _row(schema, key, record, trace.run if trace else "", str(moment) if moment else None)
            draft.insert(mappings.table, kept[key][1] if because == "snapshot" else lost)
            draft.because(mappings.table, f"{entity}/{wa_id} to {record}", because)
        for claim in traces.without_mapping[0]:
            if not claim.wa_id and claim.place not in known:
                why = f"{claim.words}, and no trace says for which Wild Apricot id it was made"
                how = "a snapshot with its mapping (--snapshot FILE), or the import's report (--import-report FILE)"
                draft.unresolved(mappings.table, f"{claim.entity} {claim.record}", why, how)
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
        draft.log(MAPPINGS_REBUILT, records_affected=counts.total(), rests_on=dict(sources))
    return draft.plan


def _row(schema: Schema, key: Key, record: str, run: str, moment: str | None) -> Row:
    """Return the row of a mapping, with the moment and the run of the trace it rests on."""
    resolved, table = schema.resolved["mappings"], schema.table_of(key[0])
    values = {
        "id": str(uuid5(NAMESPACE_URL, f"{table}/{key[1]}/{record}")),
        "entity_type": table,
        "wa_id": key[1],
        "run_id": run or None,
        "synced_at": moment,
        "updated_at": moment,
    }
    row = {resolved.spelling[name]: value for name, value in values.items() if name in resolved.spelling}
    # Where both spellings of the column are there, both are filled.
    columns = schema.catalogue.tables[resolved.table].columns
    return row | {name: record for name in CONCEPTS["mappings"].columns["target"] if name in columns}


def _of_snapshot(snapshot: Snapshot, schema: Schema, settings: Settings) -> dict[Key, tuple[str, Row]]:
    """Read the mappings of a snapshot: by id, each with its record and those of its columns that are here."""
    table = schema.resolved["mappings"].table
    here = schema.catalogue.tables[table].columns
    entities = {spelling: entity for entity, kinds in ENTITY_TYPES.items() for spelling in kinds}
    with (
        opened(snapshot, [table], settings=settings, schema=schema.catalogue.schema) as before,
        before.readable.look() as connection,
    ):
        was = read_schema(connection, before.readable.address.schema)
        names, spelling = [*was.catalogue.tables[table].columns], was.resolved["mappings"].spelling
        cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        query = sql.SQL("SELECT {} FROM {}").format(cells, sql.Identifier(was.catalogue.schema, table))
        rows: list[Row] = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
    kept = {}
    for row in rows:
        kind, wa_id, record = (row[spelling[name]] for name in ("entity_type", "wa_id", "target"))
        if (entity := entities.get(kind or "")) and wa_id and record:
            kept[entity, wa_id] = record, {name: value for name, value in row.items() if name in here}
    return kept
