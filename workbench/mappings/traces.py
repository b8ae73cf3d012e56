"""Which record each Wild Apricot id became, by every trace of an import except the mappings (guide §1.2, §1.4).

An API sync leaves a mapping for everything it creates. A CSV import leaves none, by design: only its report knows what it
created. A later API sync finds those members by e-mail and creates the events again.
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
from workbench.mappings.queries import (
    Correction,
    Key,
    MappingRow,
    corrections_made,
    fetch,
    mapping_rows,
    unlinked,
)
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION

AUDIT, RAW, REPORT = "audit row", "raw data", "report"

_CLAIMS = f"""
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
) AS claims
WHERE run <> ALL (%(rolled_back)s::text[])
"""
_EXISTING = """
SELECT id::text AS id, created_at AS at, coalesce(run_id, '') AS run FROM {relation} WHERE id = ANY (%(ids)s::ids)
"""
# Numbered along the index on both columns: grouping a million ids costs four times as much.
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
        The id and the record. The id is empty where a record names only its run.
    action : {"created", "updated", "existing", "paired"}
        What the import did; ``paired`` where an id map does not say.
    trace, run : str
        The kind of trace and its run; raw data name no run.
    importer : {"api", "csv", "guide"}
        The kind of import.
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
        """Entity and WA id."""
        return self.entity, self.wa_id

    @property
    def place(self) -> Key:
        """Entity and the record's own id."""
        return self.entity, self.record

    @property
    def maps(self) -> bool:
        """Whether the importer writes a mapping when it does this.

        A CSV import never does. A sync does not for a registration that it finds by member and event.
        """
        updates = self.action == "updated" and self.entity != REGISTRATION
        return self.importer != "csv" and (self.action == "created" or updates)

    @property
    def independent(self) -> bool:
        """Whether it does not merely follow the mapping: the record was created, or a CSV import looked it up itself."""
        return self.action == "created" or self.importer == "csv"

    @property
    def born(self) -> bool:
        """Whether an import says that it created the record for this id."""
        return self.action == "created" and self.trace != RAW

    @property
    def words(self) -> str:
        """The evidence as text."""
        return f"{self.trace}{f' of {self.run}' if self.run else ''}: {self.action}"


@dataclass(frozen=True)
class Traces:
    """What the database, reports and exports say about ids and records; expensive questions are cached.

    Attributes
    ----------
    runs : sequence of Run
        Every known run with its report files. Runs that were rolled back are ignored.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports; they take precedence over the reports.
    """

    connection: Connection
    schema: Schema
    runs: Sequence[Run] = ()
    exports: Sequence[ReportRecord] = ()

    def fetch(self, query: str, **parameters: Any) -> Sequence[Any]:
        """Query the canonical relations: see `workbench.mappings.queries.fetch`."""
        return fetch(self.connection, self.schema, query, **parameters)

    def mappings(self, *, wa_ids: Iterable[str] = (), records: Iterable[str] = ()) -> list[MappingRow]:
        """Return the mappings of some WA ids, or to some records, sorted by key."""
        return mapping_rows(self.connection, self.schema, wa_ids=wa_ids, records=records)

    def targets_of(self, keys: Collection[Key]) -> dict[Key, str]:
        """Return the record that each mapped id leads to."""
        rows = self.mappings(wa_ids={wa_id for _, wa_id in keys})
        return {key: row.target for row in rows if (key := (row.entity, row.wa_id)) in keys}

    @cached_property
    def rolled_back(self) -> list[str]:
        """The ids of the runs that were rolled back."""
        return [run.run for run in self.runs if run.rolled_back]

    @cached_property
    def reported(self) -> dict[str, dict[str, ReportRecord]]:
        """What is reported about each WA id, by entity: the export, else the latest live run's report."""
        reports = [
            report
            for run in self.runs
            if run.mode == "live"
            for report in sorted(run.reports, key=lambda file: file.path.name)
        ]
        latest: dict[str, dict[str, ReportRecord]] = {entity: {} for entity in ENTITIES}
        for record in (*(record for report in reports for record in report.records), *self.exports):
            if (wa_id := record.wa_id) is not None and record.entity in latest:
                before = latest[record.entity].get(wa_id)
                if before and before.record_id and not record.record_id:  # an export knows no record id
                    record = replace(record, record_id=before.record_id)
                latest[record.entity][wa_id] = record
        return latest

    @cached_property
    def reported_claims(self) -> list[Claim]:
        """What the reports of runs that were not rolled back claim, each pair of id and record once per run."""
        claims: dict[tuple[str, ...], Claim] = {}
        for run in self.runs:
            if run.mode != "live" or run.rolled_back:
                continue
            reports = sorted(run.reports, key=lambda file: file.path.name)
            rows = [
                (row.entity, row.wa_id, row.record_id, row.action) for file in reports for row in file.records
            ]
            # An id map comes last: it does not say what was done.
            rows += [(*pair, "paired") for file in reports for pair in file.identities]
            for entity, wa_id, record, action in rows:
                if wa_id and record:
                    claim = Claim(entity, wa_id, record, action, REPORT, run.run, run.started, run.importer)
                    claims.setdefault((entity, wa_id, record, run.run), claim)
        return list(claims.values())

    def claims(
        self, *, records: Collection[str] | None = None, wa_ids: Collection[str] | None = None
    ) -> list[Claim]:
        """Return the claims of audit log, raw data and reports about some records or ids; all where none are named."""
        importers = {run.run: run.importer for run in self.runs}
        conditions = []
        if records is not None:
            conditions.append("id = ANY (%(records)s::ids)")
        if wa_ids is not None:
            conditions.append("wa_id = ANY (%(wa_ids)s::text[])")
        rows = self.fetch(
            f"{_CLAIMS} AND ({' OR '.join(conditions) or 'true'})",
            rolled_back=self.rolled_back,
            records=sorted(records or ()),
            wa_ids=sorted(wa_ids or ()),
        )
        reported = [
            claim
            for claim in self.reported_claims
            if not conditions or claim.record in (records or ()) or claim.wa_id in (wa_ids or ())
        ]
        return [Claim._make((*row, importers.get(row.run, "api"))) for row in rows] + reported

    def births(self, keys: Collection[Key], places: Collection[Key] = ()) -> list[Claim]:
        """Return the claims that say for which of some ids an existing record was created, or some records.

        An update through a wrong mapping may have written another contact's raw data, so raw data count only where no
        import says who created what.
        """
        claims = self.claims(records={record for _, record in places}, wa_ids={wa_id for _, wa_id in keys})
        claims = [
            row for row in claims if row.action == "created" and (row.key in keys or row.place in places)
        ]
        existing = self.existing({claim.place for claim in claims})
        logged = {name for row in claims if row.born for name in (row.key, ("record", *row.place))}
        return sorted(
            (
                row
                for row in claims
                if row.place in existing and (row.born or not {row.key, ("record", *row.place)} & logged)
            ),
            key=lambda row: (row.key, row.record, row.trace),
        )

    def existing(self, places: Iterable[Key]) -> dict[Key, Any]:
        """Return which records exist, each with ``at``, when it was created, and ``run``, the run id that it bears."""
        wanted, existing = {*places}, dict[Key, Any]()
        for entity, relation in CONCEPT_OF.items():
            if ids := [record for kind, record in wanted if kind == entity]:
                rows = self.fetch(_EXISTING.format(relation=relation), ids=ids)
                existing |= {(entity, row.id): row for row in rows}
        return existing

    @cached_property
    def corrections(self) -> set[Correction]:
        """The deliberate corrections that are still in effect: the id leads where the correction led it."""
        corrections = [
            correction._replace(entity=entity)
            for correction in corrections_made(self.connection, self.schema)
            for entity in ([correction.entity] if correction.entity else ENTITIES)
        ]
        rows = self.mappings(wa_ids={correction.wa_id for correction in corrections})
        current = {(row.entity, row.wa_id, row.target) for row in rows}
        return {row for row in corrections if (row.entity, row.wa_id, row.record) in current}

    @cached_property
    def deliberate(self) -> set[tuple[str, str, str]]:
        """Entity, WA id and record of each correction in effect."""
        return {(row.entity, row.wa_id, row.record) for row in self.corrections}

    @cached_property
    def shared_targets(self) -> list[dict[str, Any]]:
        """The mappings that share their record with another WA id, as ``key``, ``target`` and the number of ``wa_ids``.

        Deliberate corrections do not count (guide §4.2); one id mapped twice to one record is another check's finding.
        """
        shared = []
        for entity, target, wa_ids in self.fetch(_SHARED):
            accidental = [wa_id for wa_id in wa_ids if (entity, wa_id, target) not in self.deliberate]
            if len(accidental) > 1:
                shared += [
                    {"key": f"{entity}/{wa_id}", "target": target, "wa_ids": len(wa_ids)}
                    for wa_id in accidental
                ]
        return shared

    @cached_property
    def unmapped(self) -> dict[Key, str]:
        """The records to which no mapping leads, each with its run id; not those that a correction led an id away from."""
        rows = unlinked(self.connection, self.schema)
        unmapped = {(row.entity, row.record): row.run for row in rows if row.record}
        corrected = {(row.entity, row.was) for row in self.corrections} if unmapped else ()
        return {place: run for place, run in unmapped.items() if place not in corrected}

    @cached_property
    def _claims_on_unmapped(self) -> list[Claim]:
        return self.claims(records={record for _, record in self.unmapped}) if self.unmapped else []

    @cached_property
    def without_mapping(self) -> tuple[list[Claim], int]:
        """The imported records without a mapping, those of CSV imports included; and how many more records have none.

        A record whose WA id leads to another record is not among them: it was imported twice, or its mapping is wrong.
        Nothing ties the others to an import, so people may have entered them.
        """
        claims = [
            row for row in self._claims_on_unmapped if row.action == "created" and row.place in self.unmapped
        ]
        mapped = self.targets_of({claim.key for claim in claims})
        elsewhere = {claim.place for claim in claims if claim.key in mapped}
        claims.sort(key=lambda claim: (claim.importer == "csv", claim.trace != AUDIT, claim[:3]))
        live = {run.run: run for run in self.runs if run.mode == "live" and not run.rolled_back}
        for (entity, record), run_id in self.unmapped.items():
            run = live.get(run_id)
            # A run id that looks like a CSV import's may be another importer's; then mappings bear it too.
            if run and (run.importer != "csv" or Trace.MAPPING in run.traces):
                claims.append(Claim(entity, "", record, "created", Trace.RECORD, run_id, None, run.importer))
        lost: dict[Key, Claim] = {}
        for claim in claims:
            lost.setdefault(claim.place, claim)
        listed = [claim for place, claim in lost.items() if place not in elsewhere]
        return sorted(listed, key=lambda claim: claim.place), len(self.unmapped) - len(
            lost.keys() | elsewhere
        )

    @cached_property
    def imported_twice(self) -> list[dict[str, Any]]:
        """The records that were created, or adopted, for a WA id that has an older one: by mappings, audit log and id maps.

        Each as ``key`` (the later record), ``entity``, ``wa_id``, ``first`` (the older one), ``run`` (of the later one),
        ``leads_to`` (the mapping's target) and ``evidence``; what is unknown is None. A mapping to a record that was
        created for another id is wrong rather than a second record, and a deliberate correction is neither.
        """
        keys = {claim.key for claim in (*self._claims_on_unmapped, *self.reported_claims)}
        if not keys:
            return []
        claims = [
            claim
            for claim in self.claims(wa_ids={wa_id for _, wa_id in keys})
            if claim.key in keys and (claim.trace == REPORT or (claim.trace == AUDIT and claim.maps))
        ]
        mapped = self.targets_of(keys)
        targets = {(entity, target) for (entity, _), target in mapped.items()}
        existing = self.existing({claim.place for claim in claims} | targets)
        owners: dict[Key, set[str]] = defaultdict(set)
        for claim in claims:
            if claim.independent:
                owners[claim.place].add(claim.wa_id)
        for row in self.mappings(records=mapped.values()):
            owners[row.entity, row.target].add(row.wa_id)
        corrected = {row[:3] for row in self.corrections}
        # The claim that created a record is listed before one that found it.
        claims = [claim for claim in claims if claim.place in existing]
        claims.sort(key=lambda claim: (claim.key, claim.action != "created", str(claim.at or "~")))
        twice = []
        for key, group in groupby(claims, lambda claim: claim.key):
            entity, wa_id = key
            target = mapped.get(key, "")
            best: dict[str, Claim | None] = {target: None} if (entity, target) in existing else {}
            own = set()
            for claim in group:
                best[claim.record] = best.get(claim.record) or claim
                own |= {claim.record} if claim.independent else set()
            records = [
                record
                for record in best
                if (record in own or not owners[entity, record] - {wa_id}) and (*key, record) not in corrected
            ]
            records.sort(key=lambda record: (str(existing[entity, record].at or "~"), record))
            for record in records[1:]:
                by = best[record]
                twice.append(
                    {
                        "key": record,
                        "entity": entity,
                        "wa_id": wa_id,
                        "first": records[0],
                        "run": (by.run if by else existing[entity, record].run) or None,
                        "leads_to": target or None,
                        "evidence": by.words if by else "the mapping leads to it",
                    }
                )
        return twice


@cached_per_connection
def traces_of(connection: Connection, schema: Schema, runs: Sequence[Run] = ()) -> Traces:
    """Return the traces, the same object for everyone who asks in one transaction."""
    return Traces(connection, schema, runs)
