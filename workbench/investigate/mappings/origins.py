"""Which record a Wild Apricot id became, by every trace of an import but the mappings themselves (guide §1.2, §1.4).

An API sync leaves a mapping for all that it makes. A CSV import leaves none, by design: what it made is known by its
report alone, a later API sync finds its members by their e-mail, and makes its events anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, literal, null, or_, select

from workbench.investigate.mappings.statements import listed
from workbench.murmurant.importers import Run, Trace
from workbench.murmurant.schema import Schema, as_text, entity_of, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, MEMBER, REGISTRATION

Key = tuple[str, str]
"""Entity and Wild Apricot id, or entity and record."""

_AUDIT = ("audit.metadata", "audit.resource_type", "audit.resource_id", "audit.action")
AUDIT, RAW, REPORT = "audit row", "raw data", "report"


class Claim(NamedTuple):
    """A trace that says which record an id became.

    Attributes
    ----------
    entity, wa_id, record : str
        The id, and the record.
    action : {"created", "updated", "existing", "paired"}
        What the import did with it; ``paired`` where an id map does not say.
    trace, importer, run : str
        Where it stands, and whose word it is; raw data name no run.
    at : datetime or None
        When that was.
    """

    entity: str
    wa_id: str
    record: str
    action: str
    trace: str
    importer: str
    run: str
    at: datetime | None

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
        if self.importer == "csv":
            return False
        return self.action == "created" or (self.action == "updated" and self.entity != REGISTRATION)

    @property
    def independent(self) -> bool:
        """Whether it does not merely follow the mapping: a record was made, or a CSV import looked for it itself."""
        return self.action == "created" or self.importer == "csv"

    @property
    def words(self) -> str:
        """What says so, in words."""
        of = f" of {self.run}" if self.run else ""
        return f"{self.trace}{of}: {self.action}"


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
    told = {run.run: run for run in runs}
    found = [
        Claim(entity, wa_id, record, action, trace, told[run].importer if run in told else "api", run, at)
        for entity, wa_id, record, action, trace, run, at in _logged(connection, schema, records, wa_ids)
        if run not in told or not told[run].rolled_back
    ]
    return found + [
        each
        for each in _reported(runs)
        if (records is None and wa_ids is None)
        or each.record in (records or ())
        or each.wa_id in (wa_ids or ())
    ]


def _logged(
    connection: Connection,
    schema: Schema,
    records: Collection[str] | None,
    wa_ids: Collection[str] | None,
) -> Iterable[Any]:
    """Yield what audit rows and raw data say: entity, id, record, action, trace, run, moment."""

    def asked(record: Any, wa_id: Any) -> Any:
        ways = [
            column.in_(select(listed(name, value=sorted(values)).c.value))
            for name, column, values in (("records", record, records), ("ids", wa_id, wa_ids))
            if values is not None
        ]
        return or_(*ways) if ways else literal(True)

    if schema.has(*_AUDIT):
        audit = schema.audit
        wa_id, record = audit.c.metadata["waId"].astext, as_text(audit.c.resource_id)
        kinds = [spelling for spellings in ENTITY_TYPES.values() for spelling in spellings]
        yield from connection.execute(
            select(
                entity_of(audit.c.resource_type),
                wa_id,
                record,
                case((audit.c.action == "CREATE", "created"), else_="updated"),
                literal(AUDIT),
                func.coalesce(schema.audit_run, ""),
                audit.c.created_at if schema.has("audit.created_at") else null(),
            ).where(
                audit.c.action.in_(["CREATE", "UPDATE"]),
                audit.c.resource_type.in_(kinds),
                asked(record, wa_id),
                wa_id.is_not(None),
                func.coalesce(audit.c.metadata["source"].astext, "").not_like("workbench%"),
            )
        )
    if schema.has("members.wa_raw"):
        members = schema.members
        wa_id, record = members.c.wa_raw["waContactId"].astext, as_text(members.c.id)
        made = members.c.created_at if schema.has("members.created_at") else null()
        yield from connection.execute(
            select(literal(MEMBER), wa_id, record, literal("created"), literal(RAW), literal(""), made).where(
                asked(record, wa_id), wa_id.is_not(None)
            )
        )


def _reported(runs: Sequence[Run]) -> list[Claim]:
    found: dict[tuple[Key, str, str], Claim] = {}
    for run in runs:
        if run.mode != "live" or run.rolled_back:
            continue
        told = [
            (each.entity, each.wa_id, each.record_id, each.action)
            for report in run.reports
            for each in report.records
            if each.wa_id and each.record_id
        ]
        told += [(*pair, "paired") for report in run.reports for pair in report.identities]
        for entity, wa_id, record, action in told:
            claim = Claim(entity, wa_id, record, action, REPORT, run.importer, run.run, run.started)
            found.setdefault((claim.key, claim.record, run.run), claim)
    return list(found.values())


class Made(NamedTuple):
    """A record that exists: when it was made, and the run that it names itself, where that is known."""

    at: datetime | None
    run: str


def there(connection: Connection, schema: Schema, places: Iterable[Key]) -> dict[Key, Made]:
    """Return which records exist."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for entity, record in places:
        wanted[entity].add(record)
    found: dict[Key, Made] = {}
    for entity, ids in wanted.items():
        if not schema.has(CONCEPT_OF[entity]):
            continue
        source = schema.entity(entity)
        made = source.c.created_at if schema.has(f"{CONCEPT_OF[entity]}.created_at") else null()
        asked = listed("wanted", value=sorted(ids))
        named = source.c.run_id if schema.has(f"{CONCEPT_OF[entity]}.run_id") else null()
        rows = connection.execute(
            select(as_text(source.c.id), made, named).where(as_text(source.c.id).in_(select(asked.c.value)))
        )
        found |= {(entity, key): Made(at, run or "") for key, at, run in rows}
    return found


def mapped_ids(connection: Connection, schema: Schema, keys: Collection[Key]) -> dict[Key, str]:
    """Return the record that each of some ids leads to, of those that are mapped."""
    mappings, wanted = schema.mappings, listed("wanted", value=sorted({wa_id for _, wa_id in keys}))
    return {
        key: target
        for key, target in _mappings(
            connection, schema, as_text(mappings.c.wa_id).in_(select(wanted.c.value))
        )
        if key in keys
    }


def leading_to(connection: Connection, schema: Schema, records: Iterable[str]) -> list[tuple[Key, str]]:
    """Return the ids that lead to some records now, each with the record."""
    wanted = listed("wanted", value=sorted(set(records)))
    return _mappings(connection, schema, as_text(schema.mappings.c.target).in_(select(wanted.c.value)))


def _mappings(connection: Connection, schema: Schema, condition: Any) -> list[tuple[Key, str]]:
    mappings = schema.mappings
    of_type = entity_of(func.coalesce(mappings.c.entity_type, ""))
    rows = connection.execute(
        select(of_type, as_text(mappings.c.wa_id), as_text(mappings.c.target)).where(condition)
    )
    return [((entity, wa_id), target) for entity, wa_id, target in rows]


def bare_records(connection: Connection, schema: Schema, entity: str) -> dict[str, str]:
    """Return the records that no mapping leads to, and none was led away from on purpose: id to the run it names."""
    mappings, record = schema.mappings, schema.entity(entity)
    own_run = record.c.run_id if schema.has(f"{CONCEPT_OF[entity]}.run_id") else null()
    leads_here = (
        select(mappings.c.id)
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]), same_id(mappings.c.target, record.c.id))
        .exists()
    )
    rows = connection.execute(select(as_text(record.c.id), own_run).select_from(record).where(~leads_here))
    away = {old for kind, _, old in led_away(connection, schema) if kind == entity}
    return {key: run or "" for key, run in rows if key not in away}


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
    found: dict[Key, Bare] = {}
    bare = {
        entity: bare_records(connection, schema, entity)
        for entity in ENTITIES
        if schema.has(CONCEPT_OF[entity])
    }
    records = {record for of_entity in bare.values() for record in of_entity}
    made = [
        each
        for each in (claims(connection, schema, runs, records=records) if records else ())
        if each.action == "created" and each.record in bare.get(each.entity, ())
    ]
    led = mapped_ids(connection, schema, {each.key for each in made})
    elsewhere = {each.place for each in made if each.key in led}  # there twice, or its mapping is wrong
    for each in sorted(made, key=lambda one: (one.importer == "csv", one.trace != AUDIT, one[:3])):
        if each.place not in elsewhere:
            told = Bare(each.entity, each.record, each.wa_id, each.run, each.importer, each.words)
            found.setdefault(each.place, told)
    for entity, of_entity in bare.items():
        for record, run_id in of_entity.items():
            run = known.get(run_id)
            # An id that looks like a CSV import's may be another's: then mappings name it too.
            if run and (run.importer != "csv" or Trace.MAPPING in run.traces):
                told = Bare(entity, record, "", run_id, run.importer, f"it names the run {run_id}")
                if (entity, record) not in elsewhere:
                    found.setdefault((entity, record), told)
    return sorted(found.values()), sum(map(len, bare.values())) - len(found) - len(elsewhere)


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


def imported_twice(connection: Connection, schema: Schema, runs: Sequence[Run]) -> list[Again]:
    """List the WA ids that became more than one record, by the mapping, the audit log and the id maps together.

    A mapping that leads to the record of another id is wrong, and no second record of this one; so is what was
    corrected on purpose.
    """
    bare: set[str] = set()
    for entity in ENTITIES:
        if schema.has(CONCEPT_OF[entity]):
            bare |= bare_records(connection, schema, entity).keys()
    suspected = claims(connection, schema, runs, records=bare) if bare else []
    keys = {each.key for each in (*suspected, *_reported(runs))}
    if not keys:
        return []
    said = [
        each
        for each in claims(connection, schema, runs, wa_ids={wa_id for _, wa_id in keys})
        if each.key in keys and each.trace != RAW and (each.trace == REPORT or each.maps)
    ]
    led = mapped_ids(connection, schema, keys)
    moments = there(
        connection, schema, {*(each.place for each in said), *((key[0], to) for key, to in led.items())}
    )
    of_record: dict[Key, set[str]] = defaultdict(set)
    claimed: dict[Key, list[Claim]] = defaultdict(list)
    for each in said:
        if each.place in moments:
            claimed[each.key].append(each)
            if each.independent:
                of_record[each.place].add(each.wa_id)
    for key, target in leading_to(connection, schema, led.values()):
        of_record[key[0], target].add(key[1])
    away = led_away(connection, schema)
    found = []
    for key, told in sorted(claimed.items()):
        entity, wa_id = key
        target = led.get(key, "")
        mapped = {target} if (entity, target) in moments else set()
        own = {each.record for each in told if each.independent}
        others = {each.record for each in told} | mapped
        rival = {record for record in others - own if of_record[entity, record] - {wa_id}}
        records = sorted(
            (each for each in others - rival if (*key, each) not in away),
            key=lambda record: (str(moments[entity, record].at or "~"), record),
        )
        for later in records[1:]:
            of_it = [each for each in told if each.record == later]
            of_it.sort(key=lambda each: (each.action != "created", str(each.at or "~")))
            found.append(
                Again(
                    *(entity, wa_id, later, records[0]),
                    of_it[0].run if of_it else moments[entity, later].run,
                    target,
                    of_it[0].words if of_it else "the mapping leads to it",
                )
            )
    return found


def led_away(connection: Connection, schema: Schema) -> set[tuple[str, str, str]]:
    """Return entity, WA id and the record that the id was led away from on purpose (guide §4.2's audit entry).

    Only what holds today: of a correction that was taken back the entry is still there.
    """
    if not schema.has("audit.metadata"):
        return set()
    facts = schema.audit.c.metadata
    names = ("waId", "oldMurmurantId", "newMurmurantId")
    wa_id, was, becomes = (facts[name].astext for name in names)
    said = func.coalesce(facts["entityType"].astext, "")
    rows = connection.execute(
        select(entity_of(said), wa_id, was, becomes).where(
            wa_id.is_not(None), was.is_not(None), becomes.is_not(None)
        )
    ).all()
    # An entry made by hand, as the guide's own SQL makes it, names no entity.
    told = [(kind, *row[1:]) for row in rows for kind in ([row[0]] if row[0] else ENTITIES)]
    led = mapped_ids(connection, schema, {(kind, number) for kind, number, *_ in told})
    return {(kind, number, old) for kind, number, old, new in told if led.get((kind, number)) == new}
