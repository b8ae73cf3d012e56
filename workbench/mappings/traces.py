"""Which record a Wild Apricot id became, by every trace of an import but the mappings themselves (guide §1.2, §1.4).

An API sync leaves a mapping for all that it makes. A CSV import leaves none, by design: what it made is known by its
report alone, a later API sync finds its members by their e-mail, and makes its events anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection

from workbench.database.connection import cached_per_connection
from workbench.mappings.queries import Corrected, Key, MappingRow, corrections_made, fetch, mapping_rows
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.reports import ImportReport, ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, REGISTRATION

AUDIT, RAW, REPORT = "audit row", "raw data", "report"

_CLAIMED = f"""
SELECT entity, wa_id, record, action, trace, run, at FROM (
  SELECT resource_id AS id, resource_type AS entity, metadata ->> 'waId' AS wa_id, resource_id::text AS record,
         CASE spelled WHEN 'CREATE' THEN 'created' ELSE 'updated' END AS action, '{AUDIT}' AS trace,
         coalesce(run_id, '') AS run, created_at AS at
  FROM audit
  WHERE spelled IN ('CREATE', 'UPDATE') AND resource_type IN ('Member', 'Event', 'Registration')
    AND resource_id IS NOT NULL AND metadata ->> 'waId' IS NOT NULL
    AND coalesce(metadata ->> 'source', '') NOT LIKE 'workbench%%'
  UNION ALL
  SELECT id, 'Member', wa_raw ->> 'waContactId', id::text, 'created', '{RAW}', '', created_at
  FROM members WHERE wa_raw ->> 'waContactId' IS NOT NULL
) AS claimed
WHERE run <> ALL (%(rolled_back)s::text[])
"""
_BARE = "SELECT '{entity}', id::text, coalesce(run_id, '') FROM {relation} AS record WHERE {unmapped}"
_THERE = """
SELECT id::text AS id, created_at AS at, coalesce(run_id, '') AS run FROM {relation} WHERE id = ANY (%(ids)s::ids)
"""
# Numbered along the index on both columns: to group a million ids costs four times as much.
_SHARED = """
SELECT coalesce(entity_type, '') AS entity, target::text AS target, array_agg(DISTINCT wa_id) AS wa_ids
FROM mappings WHERE target IN (
  SELECT target FROM (SELECT target, row_number() OVER (PARTITION BY spelled, target) AS number FROM mappings) AS numbered WHERE number > 1
  UNION ALL (SELECT target FROM mappings WHERE spelled = 'Registration' INTERSECT SELECT target FROM mappings WHERE spelled = 'EventRegistration')
)
GROUP BY 1, 2 HAVING min(wa_id) <> max(wa_id) ORDER BY 2, 1
"""


class Claim(NamedTuple):
    """A trace that says which record an id became.

    Attributes
    ----------
    entity, wa_id, record : str
        The id, and the record. The id is empty where a record names its run and nothing its id.
    action : {"created", "updated", "existing", "paired"}
        What the import did with it; ``paired`` where an id map does not say.
    trace, run : str
        Where it stands, and whose word it is; raw data name no run.
    at : datetime or None
        When that was.
    importer : {"api", "csv", "guide"}
        What kind of import it was.
    """

    entity: str
    wa_id: str
    record: str
    action: str
    trace: str
    run: str
    at: datetime | None
    importer: str

    @property
    def key(self) -> Key:
        """The id: entity and number."""
        return self.entity, self.wa_id

    @property
    def place(self) -> Key:
        """The record: entity and its own id."""
        return self.entity, self.record

    @property
    def maps(self) -> bool:
        """Whether the importer leaves a mapping where it does this.

        It does not for a registration that it finds by its member and event, nor does a CSV import at all.
        """
        updates = self.action == "updated" and self.entity != REGISTRATION
        return self.importer != "csv" and (self.action == "created" or updates)

    @property
    def independent(self) -> bool:
        """Whether it does not merely follow the mapping: a record was made, or a CSV import looked for it itself."""
        return self.action == "created" or self.importer == "csv"

    @property
    def born(self) -> bool:
        """Whether an import says that it made the record for this id."""
        return self.action == "created" and self.trace != RAW

    @property
    def words(self) -> str:
        """What says so, in words."""
        return f"{self.trace}{f' of {self.run}' if self.run else ''}: {self.action}"


class Again(NamedTuple):
    """A record that was made, or taken, for a WA id that has another one already.

    Attributes
    ----------
    record, first : str
        The later one, and the one that was there before it.
    run : str
        The run that made or took the later one; empty where nothing tells.
    leads_to : str
        Which of them the id's mapping leads to; empty where it has none.
    words : str
        What says so.
    """

    entity: str
    wa_id: str
    record: str
    first: str
    run: str
    leads_to: str
    words: str


@dataclass(frozen=True)
class Traces:
    """What the database, and the reports and exports at hand, say of ids and records; what is dear is asked once.

    Attributes
    ----------
    runs : sequence of Run
        Every run that is known, with its report files. One that was rolled back says nothing: what it did was taken back.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports, where given; their word counts before the reports'.
    """

    connection: Connection
    schema: Schema
    runs: Sequence[Run] = ()
    exports: Sequence[ReportRecord] = ()

    def ask(self, query: str, **parameters: Any) -> Sequence[Any]:
        """Ask the canonical relations: see `fetch`."""
        return fetch(self.connection, self.schema, query, **parameters)

    def mappings(self, *, wa_ids: Iterable[str] = (), records: Iterable[str] = ()) -> list[MappingRow]:
        """Return the mappings of some WA ids, or to some records, sorted by key."""
        return mapping_rows(self.connection, self.schema, wa_ids=wa_ids, records=records)

    def leads_of(self, keys: Collection[Key]) -> dict[Key, str]:
        """Return the record that each of some ids leads to, of those that are mapped."""
        rows = self.mappings(wa_ids={wa_id for _, wa_id in keys})
        return {key: row.target for row in rows if (key := (row.entity, row.wa_id)) in keys}

    @cached_property
    def rolled_back(self) -> list[str]:
        """The runs that were rolled back."""
        return [run.run for run in self.runs if run.rolled_back]

    @cached_property
    def _reports(self) -> list[tuple[Run, ImportReport]]:
        live = [run for run in self.runs if run.mode == "live"]
        return [
            (run, report) for run in live for report in sorted(run.reports, key=lambda file: file.path.name)
        ]

    @cached_property
    def reported(self) -> dict[str, dict[str, ReportRecord]]:
        """What is reported of each WA id, by entity: the latest live run's word; an export's before all."""
        latest: dict[str, dict[str, ReportRecord]] = {entity: {} for entity in ENTITIES}
        reported = (record for _, report in self._reports for record in report.records)
        for record in (*reported, *self.exports):
            if (wa_id := record.wa_id) is not None and record.entity in latest:
                before = latest[record.entity].get(wa_id)
                # An export knows no record of ours.
                if before and before.record_id and not record.record_id:
                    record = replace(record, record_id=before.record_id)
                latest[record.entity][wa_id] = record
        return latest

    @cached_property
    def reported_claims(self) -> list[Claim]:
        """What the reports of runs that stand say, each pair of id and record once for each run."""
        standing = [(run, report) for run, report in self._reports if not run.rolled_back]
        rows = [
            (run, (row.entity, row.wa_id, row.record_id, row.action))
            for run, report in standing
            for row in report.records
        ]
        # What an id map pairs comes after what any report says of it.
        rows += [(run, (*pair, "paired")) for run, report in standing for pair in report.identities]
        claims: dict[tuple[str, ...], Claim] = {}
        for run, (entity, wa_id, record, action) in rows:
            if wa_id and record:
                claim = Claim(entity, wa_id, record, action, REPORT, run.run, run.started, run.importer)
                claims.setdefault((entity, wa_id, record, run.run), claim)
        return list(claims.values())

    def claims(
        self, *, records: Collection[str] | None = None, wa_ids: Collection[str] | None = None
    ) -> list[Claim]:
        """Return what the audit log, raw data and reports say of some records and ids; of all where none are named."""
        importers = {run.run: run.importer for run in self.runs}
        ways, asked = [], {}
        if records is not None:
            ways, asked = ["id = ANY (%(records)s::ids)"], {"records": sorted(records)}
        if wa_ids is not None:
            ways, asked = [*ways, "wa_id = ANY (%(wa_ids)s::text[])"], asked | {"wa_ids": sorted(wa_ids)}
        query = f"{_CLAIMED} AND ({' OR '.join(ways) or 'true'})"
        rows = self.ask(query, rolled_back=self.rolled_back, **asked)
        reported = [
            claim
            for claim in self.reported_claims
            if not asked or claim.record in (records or ()) or claim.wa_id in (wa_ids or ())
        ]
        return [Claim._make((*row, importers.get(row.run, "api"))) for row in rows] + reported

    def there(self, places: Iterable[Key]) -> dict[Key, Any]:
        """Return which records exist, each with the moment ``at`` which it was made and the ``run`` that it names itself."""
        wanted, there = {*places}, dict[Key, Any]()
        for entity, relation in CONCEPT_OF.items():
            if ids := [record for kind, record in wanted if kind == entity]:
                rows = self.ask(_THERE.format(relation=relation), ids=ids)
                there |= {(entity, row.id): row for row in rows}
        return there

    @cached_property
    def corrections(self) -> set[Corrected]:
        """The corrections on purpose whose id leads today to where they led it, each with its entity."""
        corrections = [
            correction._replace(entity=entity)
            for correction in corrections_made(self.connection, self.schema)
            for entity in ([correction.entity] if correction.entity else ENTITIES)
        ]
        rows = self.mappings(wa_ids={correction.wa_id for correction in corrections})
        led = {(row.entity, row.wa_id, row.target) for row in rows}
        return {row for row in corrections if (row.entity, row.wa_id, row.record) in led}

    @cached_property
    def meant(self) -> set[tuple[str, str, str]]:
        """What was led where on purpose: entity, WA id and record."""
        return {(row.entity, row.wa_id, row.record) for row in self.corrections}

    @cached_property
    def shared_targets(self) -> list[dict[str, Any]]:
        """The mappings that share their record with another WA id's, as ``key``, ``target`` and the number of ``wa_ids``.

        Not those that somebody led there on purpose (guide §4.2). The same id mapped twice to one record is another
        check's finding.
        """
        shared = []
        for entity, target, wa_ids in self.ask(_SHARED):
            by_chance = [wa_id for wa_id in wa_ids if (entity, wa_id, target) not in self.meant]
            if len(by_chance) > 1:
                shared += [
                    {"key": f"{entity}/{wa_id}", "target": target, "wa_ids": len(wa_ids)}
                    for wa_id in by_chance
                ]
        return shared

    @cached_property
    def bare(self) -> dict[Key, str]:
        """The records that no mapping leads to, and none was led away from on purpose: to the run they name."""
        selects = []
        for entity, relation in CONCEPT_OF.items():  # each spelling by itself: so an index on it serves
            unmapped = " AND ".join(
                f"NOT EXISTS (SELECT FROM mappings WHERE spelled = '{spelling}' AND target = record.id)"
                for spelling in ENTITY_TYPES[entity]
            )
            selects.append(_BARE.format(entity=entity, relation=relation, unmapped=unmapped))
        bare = {(entity, record): run for entity, record, run in self.ask(" UNION ALL ".join(selects))}
        away = {(row.entity, row.was) for row in self.corrections} if bare else ()
        return {place: run for place, run in bare.items() if place not in away}

    @cached_property
    def _claims_on_bare(self) -> list[Claim]:
        return self.claims(records={record for _, record in self.bare}) if self.bare else []

    @cached_property
    def without_mapping(self) -> tuple[list[Claim], int]:
        """The records that an import made and no mapping leads to, those of CSV imports too; and how many more have none.

        One whose Wild Apricot id leads to another record is none of them: it is there twice, or its mapping is wrong.
        Nothing ties the others to an import: people may have entered them.
        """
        claims = [row for row in self._claims_on_bare if row.action == "created" and row.place in self.bare]
        led = self.leads_of({claim.key for claim in claims})
        elsewhere = {claim.place for claim in claims if claim.key in led}
        claims.sort(key=lambda claim: (claim.importer == "csv", claim.trace != AUDIT, claim[:3]))
        known = {run.run: run for run in self.runs if run.mode == "live" and not run.rolled_back}
        for (entity, record), run_id in self.bare.items():
            run = known.get(run_id)
            # An id that looks like a CSV import's may be another's: then mappings name it too.
            if run and (run.importer != "csv" or Trace.MAPPING in run.traces):
                claims.append(Claim(entity, "", record, "created", Trace.RECORD, run_id, None, run.importer))
        lost: dict[Key, Claim] = {}
        for claim in claims:
            lost.setdefault(claim.place, claim)
        listed = [claim for place, claim in lost.items() if place not in elsewhere]
        return sorted(listed, key=lambda claim: claim.place), len(self.bare) - len(lost.keys() | elsewhere)

    @cached_property
    def imported_twice(self) -> list[Again]:
        """The WA ids that became more than one record, by the mapping, the audit log and the id maps together.

        A mapping that leads to the record of another id is wrong, and no second record of this one; so is what was
        corrected on purpose.
        """
        keys = {claim.key for claim in (*self._claims_on_bare, *self.reported_claims)}
        if not keys:
            return []
        claims = [
            claim
            for claim in self.claims(wa_ids={wa_id for _, wa_id in keys})
            if claim.key in keys and (claim.trace == REPORT or (claim.trace == AUDIT and claim.maps))
        ]
        led = self.leads_of(keys)
        targets = {(entity, target) for (entity, _), target in led.items()}
        records = self.there({claim.place for claim in claims} | targets)
        claims = [claim for claim in claims if claim.place in records]
        owners: dict[Key, set[str]] = defaultdict(set)
        for claim in claims:
            if claim.independent:
                owners[claim.place].add(claim.wa_id)
        for row in self.mappings(records=led.values()):
            owners[row.entity, row.target].add(row.wa_id)
        away = {row[:3] for row in self.corrections}
        twice = []
        for key, group in groupby(sorted(claims, key=lambda claim: claim.key), lambda claim: claim.key):
            entity, wa_id = key
            target = led.get(key, "")
            # Of a record the claim that made it says more than one that found it.
            best: dict[str, Claim | None] = {target: None} if (entity, target) in records else {}
            own = set()
            for claim in sorted(group, key=lambda claim: (claim.action != "created", str(claim.at or "~"))):
                best[claim.record] = best.get(claim.record) or claim
                own |= {claim.record} if claim.independent else set()
            mine = [
                record
                for record in best
                if (record in own or not owners[entity, record] - {wa_id}) and (*key, record) not in away
            ]
            first, *later = sorted(
                mine, key=lambda record: (str(records[entity, record].at or "~"), record)
            ) or [""]
            for record in later:
                taken = best[record]
                words = taken.words if taken else "the mapping leads to it"
                run = taken.run if taken else records[entity, record].run
                twice.append(Again(entity, wa_id, record, first, run, target, words))
        return twice


@cached_per_connection
def traces_of(connection: Connection, schema: Schema, runs: Sequence[Run] = ()) -> Traces:
    """Return the traces at hand, the same for everybody who asks in one look."""
    return Traces(connection, schema, runs)
