"""Which record a Wild Apricot id became, by every trace of an import but the mappings themselves (guide §1.2, §1.4).

An API sync leaves a mapping for all that it makes. A CSV import leaves none, by design: what it made is known by its
report alone, a later API sync finds its members by their e-mail, and makes its events anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from workbench.database.connection import asked_once
from workbench.mappings.queries import Key, fetch, mapping_rows, standing_corrections
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES, REGISTRATION

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
WHERE NOT EXISTS (SELECT FROM mappings WHERE spelled IN ({spelled}) AND target = record.id)
"""


_THERE = """
SELECT id::text AS id, created_at AS at, coalesce(run_id, '') AS run FROM {relation} WHERE id = ANY (%(ids)s::ids)
"""


def reported(runs: Sequence[Run], *, pairs: bool = False) -> Iterator[tuple[Run, ReportRecord]]:
    """Yield the records that the reports of live runs list; with `pairs`, also what their id maps pair, as ``paired``."""
    for run in runs:
        reports = sorted(run.reports, key=lambda one: one.path.name) if run.mode == "live" else []
        yield from ((run, record) for report in reports for record in report.records)
        for report in reports if pairs else ():
            for entity, wa_id, record_id in report.identities:
                yield run, ReportRecord(entity, "paired", wa_id, record_id, {})


def latest_told(
    runs: Sequence[Run], entity: str, exports: Sequence[ReportRecord] = ()
) -> dict[str, ReportRecord]:
    """Return what is told of each WA id: by the reports of live runs, the latest run's word; by an export before all."""
    records = [*(record for _, record in reported(runs)), *exports]
    return {one.wa_id: one for one in records if one.entity == entity and one.wa_id is not None}


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


def claims(
    connection: Connection,
    schema: Schema,
    runs: Sequence[Run],
    *,
    records: Collection[str] | None = None,
    wa_ids: Collection[str] | None = None,
) -> list[Claim]:
    """Return what the audit log, raw data and reports say of some records and ids; of all where none are named.

    A run that was rolled back says nothing: what it did was taken back.
    """
    importers = {run.run: run.importer for run in runs}
    asked = {
        name: sorted(some) for name, some in (("record", records), ("wa_id", wa_ids)) if some is not None
    }
    named = {"record": "id = ANY (%(record)s::ids)", "wa_id": "wa_id = ANY (%(wa_id)s::text[])"}
    ways = " OR ".join(named[name] for name in asked) or "true"
    rolled_back = [run.run for run in runs if run.rolled_back]
    rows = fetch(connection, schema, f"{_CLAIMED} AND ({ways})", rolled_back=rolled_back, **asked)
    return [
        *(Claim._make((*row, importers.get(row.run, "api"))) for row in rows),
        *(
            claim
            for claim in reported_claims(runs)
            if not asked or claim.record in (records or ()) or claim.wa_id in (wa_ids or ())
        ),
    ]


def reported_claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what the reports of runs that stand say, each pair of id and record once for each run."""
    found: dict[tuple[str, ...], Claim] = {}
    for run, one in reported([run for run in runs if not run.rolled_back], pairs=True):
        if one.wa_id and one.record_id:
            pair = one.entity, one.wa_id, one.record_id
            claim = Claim(*pair, one.action, REPORT, run.run, run.started, run.importer)
            found.setdefault((*pair, run.run), claim)
    return list(found.values())


class Made(NamedTuple):
    """A record that exists: when it was made, and the run that it names itself, where that is known."""

    at: datetime | None
    run: str


def there(connection: Connection, schema: Schema, places: Iterable[Key]) -> dict[Key, Made]:
    """Return which records exist."""
    found: dict[Key, Made] = {}
    wanted = {*places}
    for entity, relation in CONCEPT_OF.items():
        ids = [record for kind, record in wanted if kind == entity]
        rows = fetch(connection, schema, _THERE.format(relation=relation), ids=ids) if ids else ()
        found |= {(entity, row.id): Made(row.at, row.run) for row in rows}
    return found


def mapped_ids(connection: Connection, schema: Schema, keys: Collection[Key]) -> dict[Key, str]:
    """Return the record that each of some ids leads to, of those that are mapped."""
    rows = mapping_rows(connection, schema, wa_ids={wa_id for _, wa_id in keys})
    return {key: row.target for row in rows if (key := (row.entity, row.wa_id)) in keys}


@asked_once
def bare_records(connection: Connection, schema: Schema) -> dict[Key, str]:
    """Return the records that no mapping leads to, and none was led away from on purpose: to the run they name."""
    query = " UNION ALL ".join(
        _BARE.format(
            entity=entity, relation=relation, spelled=", ".join(f"'{each}'" for each in ENTITY_TYPES[entity])
        )
        for entity, relation in CONCEPT_OF.items()
    )
    bare = {(entity, key): run for entity, key, run in fetch(connection, schema, query)}
    away = {(one.entity, one.was) for one in standing_corrections(connection, schema)} if bare else ()
    return {place: run for place, run in bare.items() if place not in away}


class Bare(NamedTuple):
    """A record that an import made and no mapping leads to; `wa_id` is empty where no trace tells it."""

    entity: str
    record: str
    wa_id: str
    run: str
    importer: str
    words: str


def without_mapping(connection: Connection, schema: Schema, runs: Sequence[Run]) -> tuple[list[Bare], int]:
    """List the records that an import made and no mapping leads to, those of CSV imports too.

    One whose Wild Apricot id leads to another record is none of them: it is there twice, or its mapping is wrong.

    Returns
    -------
    list of Bare, int
        And how many more records have no mapping, which nothing ties to an import: people may have entered them.
    """
    known = {run.run: run for run in runs if run.mode == "live" and not run.rolled_back}
    bare = bare_records(connection, schema)
    told = claims(connection, schema, runs, records={record for _, record in bare}) if bare else []
    made = [claim for claim in told if claim.action == "created" and claim.place in bare]
    led = mapped_ids(connection, schema, {claim.key for claim in made})
    elsewhere = {claim.place for claim in made if claim.key in led}
    found: dict[Key, Bare] = {}
    for claim in sorted(made, key=lambda one: (one.importer == "csv", one.trace != AUDIT, one[:3])):
        lost = Bare(claim.entity, claim.record, claim.wa_id, claim.run, claim.importer, claim.words)
        found.setdefault(claim.place, lost)
    for (entity, record), run_id in bare.items():
        run = known.get(run_id)
        # An id that looks like a CSV import's may be another's: then mappings name it too.
        if run and (run.importer != "csv" or Trace.MAPPING in run.traces):
            lost = Bare(entity, record, "", run_id, run.importer, f"it names the run {run_id}")
            found.setdefault((entity, record), lost)
    lost_ones = sorted(lost for place, lost in found.items() if place not in elsewhere)
    return lost_ones, len(bare) - len(found.keys() | elsewhere)


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


@asked_once
def imported_twice(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[Again]:
    """List the WA ids that became more than one record, by the mapping, the audit log and the id maps together.

    A mapping that leads to the record of another id is wrong, and no second record of this one; so is what was
    corrected on purpose.
    """
    bare = {record for _, record in bare_records(connection, schema)}
    suspected = claims(connection, schema, runs, records=bare) if bare else []
    keys = {claim.key for claim in (*suspected, *reported_claims(runs))}
    if not keys:
        return []
    told = [
        claim
        for claim in claims(connection, schema, runs, wa_ids={wa_id for _, wa_id in keys})
        if claim.key in keys and claim.trace != RAW and (claim.trace == REPORT or claim.maps)
    ]
    led = mapped_ids(connection, schema, keys)
    targets = {(entity, target) for (entity, _), target in led.items()}
    moments = there(connection, schema, {*(claim.place for claim in told), *targets})
    owners: dict[Key, set[str]] = defaultdict(set)
    claimed: dict[Key, list[Claim]] = defaultdict(list)
    for claim in told:
        if claim.place in moments:
            claimed[claim.key].append(claim)
            if claim.independent:
                owners[claim.place].add(claim.wa_id)
    for row in mapping_rows(connection, schema, records=led.values()):
        owners[row.entity, row.target].add(row.wa_id)
    away = {one[:3] for one in standing_corrections(connection, schema)}
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
            run, words = (
                (best.run, best.words) if best else (moments[entity, record].run, "the mapping leads to it")
            )
            found.append(Again(entity, wa_id, record, first, run, target, words))
    return found
