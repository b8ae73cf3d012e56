"""Put lost mappings back: from the audit log, the importers' reports and id maps, or a snapshot (guide §1.2, §4.2).

Nothing is guessed. An id that became two records, a record that two ids claim, one that is gone: these are left out and
listed, with what would decide them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from psycopg import sql
from sqlalchemy import Connection, func, select

from workbench.hints import aim
from workbench.investigate.mappings.origins import (
    AUDIT,
    RAW,
    Claim,
    Key,
    claims,
    leading_to,
    mapped_ids,
    there,
    without_mapping,
)
from workbench.investigate.mappings.statements import NEEDS
from workbench.murmurant.importers import MAPPINGS_REBUILT, Run
from workbench.murmurant.schema import Schema, entity_of
from workbench.murmurant.spellings import CONCEPTS, ENTITIES, ENTITY_TYPES, REGISTRATION
from workbench.plans import journal
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.journal import raw
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

KIND = "mapping-rebuild"

_BY_HAND = "find out which one it is, then `workbench plan mapping`, or the next sync"
_CORRECTED, _SNAPSHOT = "corrected to it on purpose (guide §4.2)", "snapshot"


class _Found(NamedTuple):
    """A mapping that is to be put back, and what it rests on."""

    entity: str
    wa_id: str
    record: str
    because: str

    @property
    def key(self) -> str:
        return f"{self.entity}/{self.wa_id}"


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
    connection, schema = context.connection, context.schema
    schema.require("mappings.id", *NEEDS)
    table = schema.resolved["mappings"].table
    kept = _of_snapshot(snapshot, schema, settings) if snapshot else {}
    corrections = _corrections(connection, schema)
    told: dict[Key, list[Claim]] = defaultdict(list)
    for each in _trusted(claims(connection, schema, runs)):
        told[each.key].append(each)
    wanted = told.keys() | kept.keys() | corrections.keys()
    open_keys = sorted(wanted - mapped_ids(connection, schema, wanted).keys())
    places = {each.place for of_id in told.values() for each in of_id}
    places |= {(key[0], row["target"] or "") for key, row in kept.items()}
    places |= {(key[0], record) for key, record in corrections.items()}
    made = there(connection, schema, places)
    owners = _owners(connection, schema, told)
    with Draft(
        context,
        KIND,
        parameters={
            "snapshot": snapshot.file_name if snapshot else None,
            "csv_records": csv_records,
        },
        nothing="No mapping is missing that could be put back",
        hint="`workbench check mappings-missing` names the records that no mapping leads to.",
    ) as draft:
        found: list[_Found] = []
        for key in open_keys:
            found += _decide(
                draft, key, told[key], kept.get(key), corrections.get(key), made, owners, csv_records
            )
        for one in sorted(found):
            draft.insert(table, _values_of(schema, one, told[one.entity, one.wa_id], made, kept))
            draft.because(table, f"{one.key} to {one.record}", one.because)
        done = {(each.entity, each.record) for each in found} | {
            (each.entity, each.record) for key in open_keys for each in told[key]
        }
        for bare in without_mapping(connection, schema, runs)[0]:
            if not bare.wa_id and (bare.entity, bare.record) not in done:
                why = f"{bare.words}, and no trace says for which Wild Apricot id it was made"
                how = "a snapshot with its mapping (--snapshot FILE), or the import's report (--import-report FILE)"
                draft.unresolved(table, f"{bare.entity} {bare.record}", why, how)
        counts = Counter(each.entity for each in found)
        sources = Counter(each.because for each in found)
        by_entity = ", ".join(
            f"{counts[entity]:,} of {entity.lower()}s" for entity in ENTITIES if counts[entity]
        )
        draft.reasons.append(f"Puts back {len(found):,} mappings that are missing: {by_entity}.")
        draft.evidence += [f"{because} ({count:,})" for because, count in sorted(sources.items())]
        draft.notes += _notes(len(draft.listed["unresolved"]), snapshot)
        draft.log(MAPPINGS_REBUILT, records_affected=len(found), rests_on=dict(sources))
    return draft.plan


def _trusted(said: Sequence[Claim]) -> Iterable[Claim]:
    """Leave out raw data where an audit row says for which id the record was made."""
    logged = {each.place for each in said if each.trace == AUDIT and each.action == "created"}
    return (each for each in said if each.trace != RAW or each.place not in logged)


def _owners(
    connection: Connection, schema: Schema, told: Mapping[Key, Sequence[Claim]]
) -> dict[Key, set[str]]:
    """Return the ids that a record was made for, or that lead to it now."""
    found: dict[Key, set[str]] = defaultdict(set)
    for of_id in told.values():
        for each in of_id:
            if each.action == "created":
                found[each.place].add(each.wa_id)
    for (entity, wa_id), record in leading_to(connection, schema, {record for _, record in found}):
        found[entity, record].add(wa_id)
    return found


def _decide(
    draft: Draft,
    key: Key,
    told: Sequence[Claim],
    row: Mapping[str, str | None] | None,
    corrected: str | None,
    made: Mapping[Key, Any],
    owners: Mapping[Key, set[str]],
    csv_records: bool,
) -> list[_Found]:
    """Return the mapping of an id, or note why there is none."""
    schema, (entity, wa_id) = draft.context.schema, key
    table = schema.resolved["mappings"].table

    def open_(why: str, how: str) -> list[_Found]:
        draft.unresolved(table, f"{entity}/{wa_id}", why, aim(how, draft.context.target.environment))
        return []

    spelled = schema.resolved["mappings"].spelling["wa_id"]
    if "int" in schema.catalogue.tables[table].columns[spelled].type and not wa_id.isdecimal():
        return open_(
            "its id is no number, as the mappings of this database need it", "nothing: no sync knows it"
        )
    if corrected and (entity, corrected) in made:
        return [_Found(entity, wa_id, corrected, _CORRECTED)]
    kept = (row or {}).get("target")
    if kept and (entity, kept) in made:
        return [_Found(entity, wa_id, kept, _SNAPSHOT)]
    here = [each for each in told if each.place in made]
    # A CSV import leaves no mapping, so its id map never says what the mapping was where another import does.
    here = [each for each in here if each.importer != "csv"] or here
    if not here:
        return open_(
            "the record that was made for it is gone",
            "nothing to map; a sync makes it again where Wild Apricot still has it",
        )
    records = sorted({each.record for each in here})
    if len(records) > 1:
        return open_(
            "the imports made, or took, more than one record for it",
            "`workbench check records-imported-twice` names them: merge them, or roll back the run that made the second;"
            " then rebuild again",
        )
    best = min(here, key=lambda each: (each.action != "created", each.trace != AUDIT, str(each.at), each.run))
    others = owners.get(best.place, set()) - {wa_id}
    if others and not any(each.maps and each.action == "updated" for each in here):
        return open_(
            "its record was made for another Wild Apricot id",
            "nothing to do where a person booked again: a sync maps the one it made the row for"
            if entity == REGISTRATION
            else _BY_HAND,
        )
    by_csv = best.action == "created" and all(each.importer == "csv" for each in here)
    if by_csv and not csv_records:
        return open_(
            "made by a CSV import, which leaves no mapping: the next API sync finds members by their e-mail, and makes"
            " events and their registrations anew",
            "--csv-records maps it by the import's own id map, so that the sync finds it",
        )
    return [_Found(entity, wa_id, best.record, best.words)]


def _values_of(
    schema: Schema,
    found: _Found,
    told: Sequence[Claim],
    made: Mapping[Key, Any],
    kept: Mapping[Key, Mapping[str, str | None]],
) -> dict[str, str | None]:
    """Return the row: as the snapshot had it, else with the moment and the run of the trace it rests on."""
    spelling = schema.resolved["mappings"].spelling
    columns = schema.catalogue.tables[schema.resolved["mappings"].table].columns
    table = schema.table_of(found.entity)
    if found.because == _SNAPSHOT:
        row = kept[found.entity, found.wa_id]
        return {name: value for name, value in row.items() if name in columns}
    of_it = sorted(
        (each for each in told if each.record == found.record),
        key=lambda each: (each.words != found.because, str(each.at)),
    )
    moment = (of_it[0].at if of_it else None) or made[found.entity, found.record].at
    run = of_it[0].run if of_it else ""
    values = {
        "id": str(uuid5(NAMESPACE_URL, f"{table}/{found.wa_id}/{found.record}")),
        "entity_type": table,
        "wa_id": found.wa_id,
        "target": found.record,
        "run_id": run or None,
        "synced_at": str(moment) if moment else None,
        "updated_at": str(moment) if moment else None,
    }
    row = {spelling[name]: value for name, value in values.items() if name in spelling}
    # Where both spellings of the column are there, both are filled.
    return row | dict.fromkeys(
        (name for name in CONCEPTS["mappings"].columns["target"] if name in columns), found.record
    )


def _of_snapshot(snapshot: Snapshot, schema: Schema, settings: Settings) -> dict[Key, dict[str, str | None]]:
    """Read the mappings of a snapshot: by id, each with its columns as text, and ``target``."""
    found: dict[Key, dict[str, str | None]] = {}
    resolved = schema.resolved["mappings"]
    types = {spelling: entity for entity, each in ENTITY_TYPES.items() for spelling in each}
    with (
        opened(snapshot, [resolved.table], settings=settings, schema=schema.catalogue.schema) as scratch,
        scratch.connect() as there_,
    ):
        cursor = there_.execute(
            sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(scratch.schema, resolved.table))
        )
        names = [each.name for each in cursor.description or ()]
        cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        spelled = {
            concept: next(name for name in CONCEPTS["mappings"].columns[concept] if name in names)
            for concept in ("entity_type", "wa_id", "target")
        }
        for row in there_.execute(
            sql.SQL("SELECT {} FROM {}").format(cells, sql.Identifier(scratch.schema, resolved.table))
        ):
            values = dict(zip(names, row, strict=True))
            entity, wa_id = types.get(values[spelled["entity_type"]] or ""), values[spelled["wa_id"]]
            if entity and wa_id:
                found[entity, wa_id] = {**values, "target": values[spelled["target"]]}
    return found


def _corrections(connection: Connection, schema: Schema) -> dict[Key, str]:
    """Return the record that each id was corrected to last, by guide §4.2's entries; not those taken back."""
    if not schema.has("audit.metadata", "audit.created_at"):
        return {}
    undone = {each.plan for each in journal.entries(raw(connection)) if each.undone_by}
    audit = schema.audit
    facts = audit.c.metadata
    rows = connection.execute(
        select(
            entity_of(func.coalesce(facts["entityType"].astext, "")),
            facts["waId"].astext,
            facts["newMurmurantId"].astext,
            facts["plan"].astext,
        )
        .where(facts["newMurmurantId"].astext.is_not(None), facts["waId"].astext.is_not(None))
        .order_by(audit.c.created_at)
    )
    return {
        (entity, wa_id): record
        for entity, wa_id, record, plan in rows
        if entity in ENTITIES and plan not in undone
    }


def _notes(left_out: int, snapshot: Snapshot | None) -> list[str]:
    found = ["Dry run the next sync before it runs live: it should create nothing that is here already."]
    if snapshot is None:
        found.append(
            "A contact that a sync found by its e-mail, and did not change, left no trace but its mapping: such mappings"
            " are not here. The next sync finds these contacts by their e-mail again."
        )
    if left_out:
        found.append(f"{left_out:,} mappings are left out, each with what would decide it.")
    return found
