"""Put lost mappings back: from the audit log, the importers' reports and id maps, or a snapshot (guide §1.2, §4.2).

Nothing is guessed. An id that became two records, a record that two ids claim, one that is gone: these are left out and
listed, with what would decide them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from psycopg import sql
from sqlalchemy import func, select

from workbench.hints import aim
from workbench.mappings.queries import NEEDS, Key, mapping_rows
from workbench.mappings.traces import AUDIT, RAW, Claim, claims, mapped_ids, there, without_mapping
from workbench.murmurant.importers import MAPPINGS_REBUILT, Run
from workbench.murmurant.schema import Schema, entity_of
from workbench.murmurant.spellings import CONCEPTS, ENTITIES, ENTITY_TYPES, REGISTRATION
from workbench.plans import journal
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

_BY_HAND = "find out which one it is, then `workbench plan mapping`, or the next sync"
_CORRECTED, _SNAPSHOT = "corrected to it on purpose (guide §4.2)", "snapshot"

Row = dict[str, str | None]


class _Lost(NamedTuple):
    """A mapping that is to be put back, and what it rests on."""

    entity: str
    wa_id: str
    record: str
    because: str


class _Open(Exception):
    """Why there is no mapping to be put back for an id, and what would decide it."""


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
    schema = context.schema
    schema.require("mappings.id", *NEEDS)
    table = schema.resolved["mappings"].table
    traces = _Traces(context, runs, _of_snapshot(snapshot, schema, settings) if snapshot else {}, csv_records)
    found: list[_Lost] = []
    with Draft(
        context,
        "mapping-rebuild",
        parameters={"snapshot": snapshot.file_name if snapshot else None, "csv_records": csv_records},
        nothing="No mapping is missing that could be put back",
        hint="`workbench check mappings-missing` names the records that no mapping leads to.",
    ) as draft:
        for entity, wa_id in traces.missing:
            try:
                found.append(traces.decide((entity, wa_id)))
            except _Open as left_open:
                reason, decided_by = left_open.args
                draft.unresolved(
                    table, f"{entity}/{wa_id}", reason, aim(decided_by, context.target.environment)
                )
        for each in found:
            draft.insert(table, traces.row_of(each))
            draft.because(table, f"{each.entity}/{each.wa_id} to {each.record}", each.because)
        told = {(each.entity, each.record) for each in found}
        told |= {each.place for key in traces.missing for each in traces.told[key]}
        for bare in without_mapping(context.connection, schema, runs)[0]:
            if not bare.wa_id and (bare.entity, bare.record) not in told:
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
        draft.log(MAPPINGS_REBUILT, records_affected=len(found), rests_on=dict(sources))
    return draft.plan


class _Traces:
    """Everything that says which record a Wild Apricot id became.

    Parameters
    ----------
    kept : dict
        The mappings of a snapshot, by id.
    """

    def __init__(
        self, context: PlanContext, runs: Sequence[Run], kept: Mapping[Key, Row], csv_records: bool
    ) -> None:
        connection, self.schema = context.connection, context.schema
        self.kept, self.csv_records = kept, csv_records
        self.corrected = _corrections(context)
        self.told: dict[Key, list[Claim]] = defaultdict(list)
        said = claims(connection, self.schema, runs)
        # Raw data say nothing where an audit row says for which id the record was made.
        logged = {each.place for each in said if each.trace == AUDIT and each.action == "created"}
        for each in said:
            if each.trace != RAW or each.place not in logged:
                self.told[each.key].append(each)
        wanted = self.told.keys() | kept.keys() | self.corrected.keys()
        self.missing = sorted(wanted - mapped_ids(connection, self.schema, wanted).keys())
        places = {each.place for of_id in self.told.values() for each in of_id}
        places |= {(key[0], row["target"] or "") for key, row in kept.items()}
        places |= {(key[0], record) for key, record in self.corrected.items()}
        self.made = there(connection, self.schema, places)
        # The ids that a record was made for, or that lead to it now.
        self.owners: dict[Key, set[str]] = defaultdict(set)
        for of_id in self.told.values():
            for each in of_id:
                if each.action == "created":
                    self.owners[each.place].add(each.wa_id)
        made_for = {record for _, record in self.owners}
        for row in mapping_rows(connection, self.schema, records=made_for):
            self.owners[row.entity, row.target].add(row.wa_id)

    def decide(self, key: Key) -> _Lost:
        """Return the mapping of an id; `_Open` where there is none."""
        entity, wa_id = key
        table, spelling = self.schema.resolved["mappings"].table, self.schema.resolved["mappings"].spelling
        if (
            "int" in self.schema.catalogue.tables[table].columns[spelling["wa_id"]].type
            and not wa_id.isdecimal()
        ):
            raise _Open(
                "its id is no number, as the mappings of this database need it", "nothing: no sync knows it"
            )
        of_snapshot = self.kept.get(key, {}).get("target")
        for record, because in ((self.corrected.get(key), _CORRECTED), (of_snapshot, _SNAPSHOT)):
            if record and (entity, record) in self.made:
                return _Lost(entity, wa_id, record, because)
        here = [each for each in self.told[key] if each.place in self.made]
        # A CSV import leaves no mapping, so its id map never says what the mapping was where another import does.
        here = [each for each in here if each.importer != "csv"] or here
        if not here:
            raise _Open(
                "the record that was made for it is gone",
                "nothing to map; a sync makes it again where Wild Apricot still has it",
            )
        if len({each.record for each in here}) > 1:
            raise _Open(
                "the imports made, or took, more than one record for it",
                "`workbench check records-imported-twice` names them: merge them, or roll back the run that made the"
                " second; then rebuild again",
            )
        best = min(
            here, key=lambda each: (each.action != "created", each.trace != AUDIT, str(each.at), each.run)
        )
        others = self.owners.get(best.place, set()) - {wa_id}
        if others and not any(each.maps and each.action == "updated" for each in here):
            raise _Open(
                "its record was made for another Wild Apricot id",
                "nothing to do where a person booked again: a sync maps the one it made the row for"
                if entity == REGISTRATION
                else _BY_HAND,
            )
        by_csv = best.action == "created" and all(each.importer == "csv" for each in here)
        if by_csv and not self.csv_records:
            raise _Open(
                "made by a CSV import, which leaves no mapping: the next API sync finds members by their e-mail, and makes"
                " events and their registrations anew",
                "--csv-records maps it by the import's own id map, so that the sync finds it",
            )
        return _Lost(entity, wa_id, best.record, best.words)

    def row_of(self, lost: _Lost) -> Row:
        """Return the row: as the snapshot had it, else with the moment and the run of the trace it rests on."""
        resolved, key = self.schema.resolved["mappings"], (lost.entity, lost.wa_id)
        columns = self.schema.catalogue.tables[resolved.table].columns
        if lost.because == _SNAPSHOT:
            return {name: value for name, value in self.kept[key].items() if name in columns}
        of_it = min(
            (each for each in self.told[key] if each.record == lost.record),
            key=lambda each: (each.words != lost.because, str(each.at)),
            default=None,
        )
        moment = (of_it and of_it.at) or self.made[lost.entity, lost.record].at
        table = self.schema.table_of(lost.entity)
        values = {
            "id": str(uuid5(NAMESPACE_URL, f"{table}/{lost.wa_id}/{lost.record}")),
            "entity_type": table,
            "wa_id": lost.wa_id,
            "target": lost.record,
            "run_id": of_it.run or None if of_it else None,
            "synced_at": str(moment) if moment else None,
            "updated_at": str(moment) if moment else None,
        }
        row = {resolved.spelling[name]: value for name, value in values.items() if name in resolved.spelling}
        # Where both spellings of the column are there, both are filled.
        targets = (name for name in CONCEPTS["mappings"].columns["target"] if name in columns)
        return row | dict.fromkeys(targets, lost.record)


def _of_snapshot(snapshot: Snapshot, schema: Schema, settings: Settings) -> dict[Key, Row]:
    """Read the mappings of a snapshot: by id, each with its columns as text, and ``target``."""
    found: dict[Key, Row] = {}
    table = schema.resolved["mappings"].table
    types = {spelling: entity for entity, each in ENTITY_TYPES.items() for spelling in each}
    with (
        opened(snapshot, [table], settings=settings, schema=schema.catalogue.schema) as scratch,
        scratch.connect() as connection,
    ):
        place = sql.Identifier(scratch.schema, table)
        cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(place))
        names = [each.name for each in cursor.description or ()]
        entity_type, wa_id, target = (
            next(name for name in CONCEPTS["mappings"].columns[concept] if name in names)
            for concept in ("entity_type", "wa_id", "target")
        )
        cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in names)
        for row in connection.execute(sql.SQL("SELECT {} FROM {}").format(cells, place)):
            values: Row = dict(zip(names, row, strict=True))
            entity, number = types.get(values[entity_type] or ""), values[wa_id]
            if entity and number:
                found[entity, number] = {**values, "target": values[target]}
    return found


def _corrections(context: PlanContext) -> dict[Key, str]:
    """Return the record that each id was corrected to last, by guide §4.2's entries; not those taken back."""
    if not context.schema.has("audit.metadata", "audit.created_at"):
        return {}
    undone = {each.plan for each in journal.entries(context.raw) if each.undone_by}
    audit = context.schema.audit
    facts: Any = audit.c.metadata
    named = [facts[name].astext for name in ("entityType", "waId", "newMurmurantId", "plan")]
    query = select(entity_of(func.coalesce(named[0], "")), *named[1:])
    rows = context.connection.execute(
        query.where(named[1].is_not(None), named[2].is_not(None)).order_by(audit.c.created_at)
    )
    return {
        (entity, wa_id): record
        for entity, wa_id, record, plan in rows
        if entity in ENTITIES and plan not in undone
    }
