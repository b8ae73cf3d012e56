"""Which record a Wild Apricot id became, by every trace of an import but the mappings themselves (guide §1.2, §1.4).

An API sync leaves a mapping for all that it makes. A CSV import leaves none, by design: what it made is known by its
report alone, a later API sync finds its members by their e-mail, and makes its events anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Connection

from workbench.database.connection import asked_once
from workbench.mappings.queries import Corrected, Key, MappingRow, corrections_made, fetch, mapping_rows
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, REGISTRATION

AUDIT, RAW, REPORT = "audit row", "raw data", "report"

_CLAIMED = f"""
SELECT entity, wa_id, record, action, trace, run, at FROM (
  SELECT resource_id AS id, resource_type AS entity, metadata ->> 'waId' AS wa_id, resource_id::text AS record,
         CASE action WHEN 'CREATE' THEN 'created' ELSE 'updated' END AS action, '{AUDIT}' AS trace,
         coalesce(run_id, '') AS run, created_at AS at
  FROM audit
  WHERE action IN ('CREATE', 'UPDATE') AND resource_type IN ('Member', 'Event', 'Registration')
    AND resource_id IS NOT NULL AND metadata ->> 'waId' IS NOT NULL
    AND coalesce(metadata ->> 'source', '') NOT LIKE 'workbench%%'
  UNION ALL
  SELECT id, 'Member', wa_raw ->> 'waContactId', id::text, 'created', '{RAW}', '', created_at
  FROM members WHERE wa_raw ->> 'waContactId' IS NOT NULL
) AS claimed
WHERE run <> ALL (%(rolled_back)s::text[])
"""
_BARE = """
SELECT '{entity}', id::text, coalesce(run_id, '') FROM {relation} AS record
WHERE {unmapped}
"""


_THERE = """
SELECT id::text AS id, created_at AS at, coalesce(run_id, '') AS run FROM {relation} WHERE id = ANY (%(ids)s::ids)
"""
_SHARED = """
SELECT coalesce(entity_type, '') AS entity, target::text AS target, wa_id, wa_ids
FROM (
  SELECT entity_type, target, wa_id, count(*) OVER each AS wa_ids, min(wa_id) OVER each AS least, max(wa_id) OVER each AS most
  FROM mappings WHERE target IN (
    SELECT target FROM mappings GROUP BY spelled, target HAVING count(*) > 1
    UNION ALL
    SELECT target FROM mappings AS one WHERE spelled = 'Registration'
    AND EXISTS (SELECT FROM mappings AS other WHERE other.spelled = 'EventRegistration' AND other.target = one.target)
  )
  WINDOW each AS (PARTITION BY entity_type, target)
) AS several
WHERE least <> most
ORDER BY 2, 1, 3
"""


def reported(runs: Sequence[Run], *, pairs: bool = False) -> Iterator[tuple[Run, ReportRecord]]:
    """Yield the records that the reports of live runs list; with `pairs`, also what their id maps pair, as ``paired``."""
    for run in runs:
        reports = sorted(run.reports, key=lambda one: one.path.name) if run.mode == "live" else []
        yield from ((run, record) for report in reports for record in report.records)
        for report in reports if pairs else ():
            for entity, wa_id, record_id in report.identities:
                yield run, ReportRecord(entity, "paired", wa_id, record_id, {})


class Claim(NamedTuple):
    """A trace that says which record an id became.

    Attributes
    ----------
    entity, wa_id, record : str
        The id, and the record.
    action : {"created", "updated", "existing", "paired"}
        What the import did with it; ``paired`` where an id map does not say.
    trace, run, importer : str
        Where it stands, and whose word it is; raw data name no run.
    at : datetime or None
        When that was.
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


class Made(NamedTuple):
    """A record that exists: when it was made, and the run that it names itself, where that is known."""

    at: datetime | None
    run: str


class Bare(NamedTuple):
    """A record that an import made and no mapping leads to; `wa_id` is empty where no trace tells it."""

    entity: str
    record: str
    wa_id: str
    run: str
    importer: str
    words: str


class Again(NamedTuple):
    """A record that was made, or taken, for a WA id that has another one already.

    Attributes
    ----------
    record : str
        The later one.
    first : str
        The record that was there before it.
    run : str
        The run that made or took the later one; empty where nothing tells.
    leads_to : str
        Which of them the id's mapping leads to; empty where it has none.
    """

    entity: str
    wa_id: str
    record: str
    first: str
    run: str
    leads_to: str
    words: str


class Traces:
    """What the database, and the reports and exports at hand, say of ids and records; what is dear is asked once.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, with its report files. One that was rolled back says nothing: what it did was taken back.
    exports : sequence of ReportRecord
        From Wild Apricot's own CSV exports, where given; their word counts before the reports'.
    """

    def __init__(
        self,
        connection: Connection,
        schema: Schema,
        runs: Sequence[Run] = (),
        exports: Sequence[ReportRecord] = (),
    ) -> None:
        self.connection, self.schema, self.runs, self.exports = connection, schema, runs, exports

    def ask(self, query: str, **parameters: Any) -> Sequence[Any]:
        """Ask the canonical relations: see `fetch`."""
        return fetch(self.connection, self.schema, query, **parameters)

    def mappings(
        self, *, wa_ids: Iterable[str] = (), records: Iterable[str] = (), entity: str = ""
    ) -> list[MappingRow]:
        """Return the mappings of some WA ids, or to some records, sorted by key."""
        return mapping_rows(self.connection, self.schema, wa_ids=wa_ids, records=records, entity=entity)

    @cached_property
    def told(self) -> dict[str, dict[str, ReportRecord]]:
        """What is told of each WA id, by entity: the latest live run's word; an export's before all."""
        told: dict[str, dict[str, ReportRecord]] = {entity: {} for entity in ENTITIES}
        for one in (record for _, record in reported(self.runs)):
            if one.wa_id is not None and one.entity in told:
                told[one.entity][one.wa_id] = one
        for one in self.exports:
            if one.wa_id is not None and one.entity in told:
                before = told[one.entity].get(one.wa_id)  # an export knows no record of ours
                told[one.entity][one.wa_id] = replace(one, record_id=before.record_id) if before else one
        return told

    @cached_property
    def reported_claims(self) -> list[Claim]:
        """What the reports of runs that stand say, each pair of id and record once for each run."""
        found: dict[tuple[str, ...], Claim] = {}
        for run, one in reported([run for run in self.runs if not run.rolled_back], pairs=True):
            if one.wa_id and one.record_id:
                pair = one.entity, one.wa_id, one.record_id
                claim = Claim(*pair, one.action, REPORT, run.run, run.started, run.importer)
                found.setdefault((*pair, run.run), claim)
        return list(found.values())

    def claims(
        self, *, records: Collection[str] | None = None, wa_ids: Collection[str] | None = None
    ) -> list[Claim]:
        """Return what the audit log, raw data and reports say of some records and ids; of all where none are named."""
        importers = {run.run: run.importer for run in self.runs}
        asked = {
            name: sorted(some) for name, some in (("record", records), ("wa_id", wa_ids)) if some is not None
        }
        named = {"record": "id = ANY (%(record)s::ids)", "wa_id": "wa_id = ANY (%(wa_id)s::text[])"}
        ways = " OR ".join(named[name] for name in asked) or "true"
        rows = self.ask(f"{_CLAIMED} AND ({ways})", rolled_back=self.rolled_back, **asked)
        return [
            *(Claim._make((*row, importers.get(row.run, "api"))) for row in rows),
            *(
                claim
                for claim in self.reported_claims
                if not asked or claim.record in (records or ()) or claim.wa_id in (wa_ids or ())
            ),
        ]

    @property
    def rolled_back(self) -> list[str]:
        """The runs that were rolled back."""
        return [run.run for run in self.runs if run.rolled_back]

    def there(self, places: Iterable[Key]) -> dict[Key, Made]:
        """Return which records exist."""
        found: dict[Key, Made] = {}
        wanted = {*places}
        for entity, relation in CONCEPT_OF.items():
            ids = [record for kind, record in wanted if kind == entity]
            rows = self.ask(_THERE.format(relation=relation), ids=ids) if ids else ()
            found |= {(entity, row.id): Made(row.at, row.run) for row in rows}
        return found

    def leads_of(self, keys: Collection[Key]) -> dict[Key, str]:
        """Return the record that each of some ids leads to, of those that are mapped."""
        rows = self.mappings(wa_ids={wa_id for _, wa_id in keys})
        return {key: row.target for row in rows if (key := (row.entity, row.wa_id)) in keys}

    @cached_property
    def corrections(self) -> set[Corrected]:
        """The corrections on purpose whose id leads today to where they led it, each with its entity."""
        made = [
            one._replace(entity=entity)
            for one in corrections_made(self.connection, self.schema)
            for entity in ([one.entity] if one.entity else ENTITIES)
        ]
        rows = self.mappings(wa_ids={one.wa_id for one in made})
        led = {(row.entity, row.wa_id, row.target) for row in rows}
        return {one for one in made if (one.entity, one.wa_id, one.record) in led}

    @cached_property
    def meant(self) -> set[tuple[str, str, str]]:
        """What was led where on purpose: entity, WA id and record."""
        return {(one.entity, one.wa_id, one.record) for one in self.corrections}

    @cached_property
    def shared_targets(self) -> list[dict[str, Any]]:
        """The mappings that share their record with another WA id's, as ``key``, ``target`` and the number of ``wa_ids``.

        Not those that somebody led there on purpose (guide §4.2). The same id mapped twice to one record is another
        check's finding.
        """
        rows = self.ask(_SHARED)
        meant = self.meant if rows else ()
        by_chance = Counter(row[:2] for row in rows if (row.entity, row.wa_id, row.target) not in meant)
        return [
            {"key": f"{row.entity}/{row.wa_id}", "target": row.target, "wa_ids": row.wa_ids}
            for row in rows
            if by_chance[row[:2]] > 1
        ]

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
        query = " UNION ALL ".join(selects)
        bare = {(entity, key): run for entity, key, run in self.ask(query)}
        away = {(one.entity, one.was) for one in self.corrections} if bare else ()
        return {place: run for place, run in bare.items() if place not in away}

    @cached_property
    def of_bare(self) -> list[Claim]:
        """What is said of the records that no mapping leads to."""
        return self.claims(records={record for _, record in self.bare}) if self.bare else []

    @cached_property
    def without_mapping(self) -> tuple[list[Bare], int]:
        """The records that an import made and no mapping leads to, those of CSV imports too; and how many more have none.

        One whose Wild Apricot id leads to another record is none of them: it is there twice, or its mapping is wrong.
        Nothing ties the others to an import: people may have entered them.
        """
        known = {run.run: run for run in self.runs if run.mode == "live" and not run.rolled_back}
        made = [claim for claim in self.of_bare if claim.action == "created" and claim.place in self.bare]
        led = self.leads_of({claim.key for claim in made})
        elsewhere = {claim.place for claim in made if claim.key in led}
        found: dict[Key, Bare] = {}
        for claim in sorted(made, key=lambda one: (one.importer == "csv", one.trace != AUDIT, one[:3])):
            lost = Bare(claim.entity, claim.record, claim.wa_id, claim.run, claim.importer, claim.words)
            found.setdefault(claim.place, lost)
        for (entity, record), run_id in self.bare.items():
            run = known.get(run_id)
            # An id that looks like a CSV import's may be another's: then mappings name it too.
            if run and (run.importer != "csv" or Trace.MAPPING in run.traces):
                lost = Bare(entity, record, "", run_id, run.importer, f"it names the run {run_id}")
                found.setdefault((entity, record), lost)
        lost_ones = sorted(lost for place, lost in found.items() if place not in elsewhere)
        return lost_ones, len(self.bare) - len(found.keys() | elsewhere)

    @cached_property
    def imported_twice(self) -> list[Again]:
        """The WA ids that became more than one record, by the mapping, the audit log and the id maps together.

        A mapping that leads to the record of another id is wrong, and no second record of this one; so is what was
        corrected on purpose.
        """
        keys = {claim.key for claim in (*self.of_bare, *self.reported_claims)}
        if not keys:
            return []
        told = [
            claim
            for claim in self.claims(wa_ids={wa_id for _, wa_id in keys})
            if claim.key in keys and claim.trace != RAW and (claim.trace == REPORT or claim.maps)
        ]
        led = self.leads_of(keys)
        targets = {(entity, target) for (entity, _), target in led.items()}
        moments = self.there({*(claim.place for claim in told), *targets})
        owners: dict[Key, set[str]] = defaultdict(set)
        claimed: dict[Key, list[Claim]] = defaultdict(list)
        for claim in told:
            if claim.place in moments:
                claimed[claim.key].append(claim)
                if claim.independent:
                    owners[claim.place].add(claim.wa_id)
        for row in self.mappings(records=led.values()):
            owners[row.entity, row.target].add(row.wa_id)
        away = {one[:3] for one in self.corrections}
        found = []
        for (entity, wa_id), of_id in sorted(claimed.items()):
            target = led.get((entity, wa_id), "")
            own = {claim.record for claim in of_id if claim.independent}
            others = {claim.record for claim in of_id} | ({target} if (entity, target) in moments else set())
            rival = {record for record in others - own if owners[entity, record] - {wa_id}}
            first, *later = sorted(
                (record for record in others - rival if (entity, wa_id, record) not in away),
                key=lambda record: (str(moments[entity, record].at or "~"), record),
            ) or [""]
            for record in later:
                best = min(
                    (claim for claim in of_id if claim.record == record),
                    key=lambda claim: (claim.action != "created", str(claim.at or "~")),
                    default=None,
                )
                run = best.run if best else moments[entity, record].run
                words = best.words if best else "the mapping leads to it"
                found.append(Again(entity, wa_id, record, first, run, target, words))
        return found


@asked_once
def traces_of(connection: Connection, schema: Schema, runs: Sequence[Run] = ()) -> Traces:
    """Return the traces at hand, the same for everybody who asks in one look."""
    return Traces(connection, schema, runs)
