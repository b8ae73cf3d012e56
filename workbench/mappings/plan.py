"""Correct wrong mappings, each with guide §4.2's audit entry, move what was imported through them, and rebuild lost ones.

A swap or a longer cycle is corrected as a whole: half of it would leave the rest wrong, and two ids on one record. A
registration moves only where a trace says so, and never if people entered it. A lost mapping is rebuilt only where one
record is certain; everything else is listed with what would decide it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import pandas as pd
from psycopg import sql

from workbench.errors import Refused, UsageError
from workbench.hints import aim
from workbench.mappings.problems import mapping_findings
from workbench.mappings.queries import NEEDS, Key, MappingRow, corrections_made, mapping_to_keep
from workbench.mappings.registrations import COLUMN_OF, MOVED_BY_HAND, Wrong, imported_through
from workbench.mappings.traces import AUDIT, RAW, Claim, Traces
from workbench.murmurant.importers import MAPPING_CORRECTED, MAPPINGS_REBUILT, Run
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema, read_schema
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES, ENTITY_TYPES, MEMBER, REGISTRATION
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import current_rows
from workbench.settings import Settings
from workbench.snapshots.compare import Snapshot, opened

NEEDED, OPTIONAL = ("entity", "wa_id", "new_id"), ("reason",)
"""The columns of a table of corrections."""

Slot = tuple[str, str]
"""Event and member: only one registration may have both."""

Row = dict[str, str | None]
"""A mapping's columns as text."""

_ENTITY_OF = {word.casefold(): entity for entity, kinds in ENTITY_TYPES.items() for word in (entity, *kinds)}
_TARGETS = set(CONCEPTS["mappings"].columns["target"])
_EXPORT = "Wild Apricot's export of registrations, given with --export"
_TAKEN = """
SELECT id::text, event_id::text, member_id::text FROM registrations
WHERE (event_id::text, member_id::text) IN (SELECT * FROM unnest(%(events)s::text[], %(members)s::text[]))
"""


class Wanted(NamedTuple):
    """A correction to plan: an id, and the record that it should lead to.

    Attributes
    ----------
    line : int
        Its line in the table; 0 for one that was given by hand.
    problem : str
        Why that line cannot be read; empty where it can.
    """

    entity: str
    wa_id: str
    new_id: str
    reason: str = ""
    line: int = 0
    problem: str = ""

    @property
    def key(self) -> str:
        """The mapping as people write it: ``Member/50012``."""
        return f"{self.entity}/{self.wa_id}"


Resolved = list[tuple[Wanted, list[MappingRow]]]
"""Corrections sorted by key, each with the current mappings of its id."""


def corrections_of(source: str | Path | Iterable[Any]) -> list[Wanted]:
    """Read corrections from a CSV file, from rows (by name or in the order of the columns) or from one tuple.

    Raises
    ------
    UsageError
        For a file that is no such table, rows that lack a column, and no rows at all.
    """
    names = [*NEEDED, *OPTIONAL]
    if isinstance(source, str | Path):
        listing = read_csv(Path(source))
        lines = listing.lines(listing.columns(NEEDED, OPTIONAL))
        rows = [(line.cells, line.number, line.problem) for line in lines]
    else:
        single = isinstance(source, tuple)
        frame = pd.DataFrame([source] if single else source, dtype=object)
        if isinstance(frame.columns, pd.RangeIndex):
            frame.columns = pd.Index(names[: frame.shape[1]])
        if frame.empty or not {*NEEDED} <= {*frame.columns}:
            raise UsageError("There is no correction to plan.", f"Give rows of {', '.join(NEEDED)}.")
        records = frame.where(frame.notna(), "").to_dict("records")
        rows = [(row, line, "") for line, row in enumerate(records, 0 if single else 1)]
    return [
        Wanted._make([*(str(cells.get(name) or "").strip() for name in names), line, problem])
        for cells, line, problem in rows
    ]


def plan_mappings(
    context: PlanContext,
    traces: Traces,
    corrections: Sequence[Wanted],
    *,
    move_records: bool = False,
    whole_cycle: bool = False,
) -> Plan:
    """Plan the correction of mappings.

    Parameters
    ----------
    move_records : bool
        Whether registrations that were imported through the wrong mappings move too.
    whole_cycle : bool
        Whether to complete a swap or cycle of which only a part was named.

    Raises
    ------
    UsageError
        For corrections that are invalid, with all of them.
    Refused
        When there is nothing to do, or only a part of a swap or cycle was named.
    """
    resolved = _resolve(traces, corrections)
    problems = mapping_findings(traces).problems
    problems = problems.assign(key=problems["entity"] + "/" + problems["wa_id"])
    if missing := _missing(problems, {wanted.key: wanted for wanted, _ in resolved}, whole_cycle):
        resolved = _resolve(traces, [*(wanted for wanted, _ in resolved), *missing])
    corrected = [wanted for wanted, _ in resolved]
    wrongs = [
        Wrong(wanted.entity, wanted.wa_id, row.target, wanted.new_id)
        for wanted, rows in resolved
        for row in rows
        if wanted.entity in COLUMN_OF and row.target != wanted.new_id
    ]
    through = imported_through(traces, wrongs)
    concerned = problems[problems["key"].isin([wanted.key for wanted in corrected])]
    known = concerned[concerned["problem"] != "shared-target"]
    with Draft(
        context,
        "mapping",
        parameters={
            "corrections": [dict(zip((*NEEDED, *OPTIONAL), row, strict=False)) for row in corrected],
            "move_records": move_records,
            "whole_cycle": whole_cycle,
        },
        evidence=(known["key"] + ": " + known["evidence"]).drop_duplicates().head(12).tolist(),
    ) as draft:
        _note_doubts(draft, concerned, corrected)
        _correct(draft, resolved)
        moved = _move_registrations(draft, traces, through) if move_records else 0
        movable = sum(not row["because"] for row in through)
        if movable and not move_records:
            draft.note(f"Registrations imported through them stay ({movable:,}); --move-records moves them.")
        if any(wrong.entity == MEMBER for wrong in wrongs):
            draft.note(
                "A sync may have written these contacts' data into the wrong members; the next full sync corrects that."
            )
        sizes = concerned[concerned["cycle"] != ""].drop_duplicates("key").groupby("cycle").size()
        words = [_count(len(corrected), "Corrects", "mapping")]
        for size, count in sorted(Counter(sizes.tolist()).items()):
            words.append(
                _count(count, "", "swap") if size == 2 else _count(count, "", "cycle", f" of {size}")
            )
        words += [_count(moved, "moves", "registration")] if moved else []
        draft.reasons.append(f"{', '.join(words)} (guide §4.2).")
    return draft.plan


def _count(count: int, verb: str, noun: str, rest: str = "") -> str:
    return f"{verb} {count:,} {noun}{'s' * (count != 1)}{rest}".lstrip()


def _resolve(traces: Traces, asked: Sequence[Wanted]) -> Resolved:
    """Check every correction: its id must be mapped and its record exist, both of one entity; report all that are invalid.

    Corrections that are in effect already are dropped; refused where all are.
    """
    uuids = traces.schema.id_type == "uuid"
    asked = [
        wanted._replace(
            entity=_ENTITY_OF.get(wanted.entity.casefold(), wanted.entity),
            new_id=wanted.new_id.lower() if uuids else wanted.new_id,
        )
        for wanted in asked
    ]
    rows: dict[str, list[MappingRow]] = defaultdict(list)
    for mapping in traces.mappings(wa_ids={wanted.wa_id for wanted in asked}):
        rows[mapping.key].append(mapping)
    existing = traces.existing({(entity, wanted.new_id) for entity in ENTITIES for wanted in asked})
    first: dict[str, Wanted] = {}
    invalid = []
    for wanted in asked:
        problem = wanted.problem
        if problem:
            pass
        elif wanted.entity not in ENTITIES or not traces.schema.has(CONCEPT_OF[wanted.entity]):
            problem = f"there is no entity {wanted.entity!r}, only {', '.join(ENTITIES)}"
        elif not rows[wanted.key]:
            problem = f"WA id {wanted.wa_id!r} is not mapped as {wanted.entity}"
        elif (wanted.entity, wanted.new_id) not in existing:
            others = [entity for entity in ENTITIES if (entity, wanted.new_id) in existing]
            problem = f"there is no {wanted.entity} {wanted.new_id!r}"
            problem += f", it is the id of another entity ({others[0]})" if others else ""
        elif first.setdefault(wanted.key, wanted) is not wanted:
            problem = f"{wanted.key} is in line {first[wanted.key].line} already"
        if problem:
            invalid.append(f"line {wanted.line}: {problem}" if wanted.line else problem)
    if invalid:
        raise UsageError("\n  ".join(["Nothing was planned:", *invalid]), "Correct this and try again.")
    resolved = [(wanted, rows[wanted.key]) for wanted in sorted(asked, key=lambda wanted: wanted.key)]
    resolved = [
        (wanted, held) for wanted, held in resolved if [row.target for row in held] != [wanted.new_id]
    ]
    if not resolved:
        raise Refused(
            f"There is nothing to do: {asked[0].key}{' and the others lead' if asked[1:] else ' leads'} there already.",
            "`workbench mappings` lists the mappings that are wrong.",
        )
    return resolved


def _missing(problems: pd.DataFrame, named: Mapping[str, Wanted], whole_cycle: bool) -> list[Wanted]:
    """Return what is missing from cycles that are corrected in part; refuse unless the whole was asked for."""
    added: list[Wanted] = []
    for _, rows in problems[problems["cycle"] != ""].groupby("cycle", sort=True):
        rows = rows.sort_values("position")
        right = dict(zip(rows["key"], rows["should_be"], strict=True))
        parts = [key for key in right if key in named and named[key].new_id == right[key]]
        missing = [key for key in right if key not in named] if parts else []
        if missing and not whole_cycle:
            kind = "a swap" if len(right) == 2 else f"a cycle of {len(right)}"
            circle = " -> ".join((*right, next(iter(right))))
            raise Refused(
                f"{parts[0]} is part of {kind}: {circle} (each leads to the record of the next). Corrected alone, it would"
                " leave the rest wrong, and two ids on one record. Nothing was planned.",
                f"Add --whole-cycle to correct all of it: {'; '.join(f'{key} to {to}' for key, to in right.items())}.",
            )
        for key in missing:
            entity, _, wa_id = key.partition("/")
            reason = named[parts[0]].reason or f"completes the correction of {parts[0]}"
            added.append(Wanted(entity, wa_id, right[key], reason))
    return added


def _note_doubts(draft: Draft, problems: pd.DataFrame, corrections: Sequence[Wanted]) -> None:
    """Note where the traces contradict what was asked for, and which ids will share a record."""
    known = problems[(problems["should_be"] != "") & (problems["problem"] != "duplicate")]
    should_be = dict(zip(known["key"], known["should_be"], strict=True))
    sharing: dict[str, list[str]] = defaultdict(list)
    for wanted in corrections:
        sharing[wanted.new_id].append(wanted.key)
        if (right := should_be.get(wanted.key, wanted.new_id)) != wanted.new_id:
            draft.note(f"{wanted.key} will lead to {wanted.new_id}, as asked; but the traces say {right}.")
    for record, keys in sorted(sharing.items()):
        if len(keys) > 1:
            draft.note(f"{' and '.join(keys)} will lead to one record, {record}.")


def _correct(draft: Draft, resolved: Resolved) -> None:
    """Draft the changes of every correction, and its audit entries."""
    schema = draft.context.schema
    table = schema.resolved["mappings"].table
    targets: dict[str, str] = {}
    surplus: list[str] = []
    for wanted, rows in resolved:
        kept = mapping_to_keep(schema, rows, wanted.new_id)
        for row in rows:
            if row is kept and row.target == wanted.new_id:
                continue
            if row is kept:
                targets[row.id], reason, removed = wanted.new_id, wanted.reason, {}
            else:
                surplus.append(row.id)
                reason = wanted.reason or "the id was mapped more than once"
                removed = {"mappingRemoved": row.id}
            if wanted.reason:
                draft.because(table, row.id, wanted.reason)
            draft.log(
                MAPPING_CORRECTED,
                waId=wanted.wa_id,
                oldMurmurantId=row.target,
                newMurmurantId=wanted.new_id,
                entityType=row.entity_type,
                reason=reason,
                **removed,
            )
    updates = {}
    for key, current in current_rows(draft.context.raw, schema.catalogue, table, sorted(targets)):
        # Where both spellings of the column are in use, all that are filled have to agree afterwards.
        filled = [name for name, value in current.values.items() if name in _TARGETS and value is not None]
        updates[key] = dict.fromkeys(filled, targets[key])
    draft.update(table, updates)
    draft.delete(table, surplus)


def _move_registrations(draft: Draft, traces: Traces, through: Sequence[Mapping[str, str]]) -> int:
    """Move registrations to the right event or member; list what cannot or must not move, with the reason.

    All of them are one section of the plan, in which registrations can change places.
    """
    schema = draft.context.schema
    table, spelling = schema.table_of(REGISTRATION), schema.resolved["registrations"].spelling
    now: dict[str, Slot] = {}
    after: dict[str, Slot] = {}
    for row in through:
        key = row["registration"]
        if not row["because"]:
            now[key] = row["event"], row["member"]
            event, member = after.get(key, now[key])
            after[key] = (row["right"], member) if row["column"] == "event_id" else (event, row["right"])
        elif row["because"] == MOVED_BY_HAND:
            draft.keep(table, key, row["because"])
        else:
            why = f"on {row['now']} through {row['through']}: {row['because']}"
            draft.unresolved(table, key, why, _EXPORT)
    slots = sorted(set(after.values()))
    events, members = [event for event, _ in slots], [member for _, member in slots]
    taken = traces.fetch(_TAKEN, events=events, members=members) if slots else ()
    now |= {key: (event, member) for key, event, member in taken}
    names = [spelling[column] for column in ("event_id", "member_id")]
    refused = refuse_taken(now, after)
    for key, other in refused.items():
        for name, at, right in zip(names, now[key], after[key], strict=True):
            if at != right:
                reason = f"registration {other} has the same event and member already"
                draft.conflict(table, key, name, None, right, at, reason)
    moving = sorted(after.keys() - refused.keys())
    draft.update(table, {key: dict(zip(names, after[key], strict=True)) for key in moving}, together=names)
    return len(moving)


def refuse_taken(now: Mapping[str, Slot], after: Mapping[str, Slot]) -> dict[str, str]:
    """Return the registrations that cannot move, each with the one that has its slot or moves there as well.

    Parameters
    ----------
    now : mapping of str to (event, member)
        Where the moving registrations are, and those that are in a slot that one moves to.
    after : mapping of str to (event, member)
        Where the moving ones go.
    """
    refused = dict[str, str]()
    while True:
        going = {key: slot for key, slot in after.items() if key not in refused}
        holders: dict[Slot, list[str]] = defaultdict(list)
        for key, slot in now.items():
            holders[going.get(key, slot)].append(key)
        taken = {
            key: min(other for other in holders[slot] if other != key)
            for key, slot in going.items()
            if len(holders[slot]) > 1
        }
        if not taken:
            return refused
        refused |= taken


# ------------------------------------------------------------------------------------------------------ rebuild

_NO_NUMBER = "its id is no number, as the mappings of this database need it"
_GONE = "the record that was created for it is gone"
_SEVERAL = "the imports created, or adopted, more than one record for it"
_FOR_ANOTHER = "its record was created for another Wild Apricot id"
_BY_CSV = "created by a CSV import, which leaves no mapping"

_DECIDED_BY = {
    _NO_NUMBER: "nothing: no sync knows it",
    _GONE: "nothing to map; a sync creates it again where Wild Apricot still has it",
    _SEVERAL: "`workbench check records-imported-twice`: merge them, or roll back the second run; then rebuild again",
    _FOR_ANOTHER: "nothing to do where a person booked again; else find the right record, then `workbench plan mapping`",
    _BY_CSV: "--csv-records maps it by the import's own id map, so that the next API sync does not create it again",
}
"""What would decide each."""


def plan_rebuild(
    context: PlanContext,
    runs: Sequence[Run],
    *,
    snapshot: Snapshot | None = None,
    csv_records: bool = False,
    settings: Settings,
) -> Plan:
    """Plan to put back missing mappings: from the audit log, reports and id maps, or a snapshot.

    Parameters
    ----------
    snapshot : Snapshot, optional
        One that has the mappings as they were; it takes precedence.
    csv_records : bool
        Whether to map also what a CSV import created, which never had a mapping.

    Raises
    ------
    SchemaGap
        When there is no readable table of mappings.
    Refused
        When no mapping is missing that could be put back.
    """
    schema, traces = context.schema, Traces(context.connection, context.schema, runs)
    schema.require("mappings.id", *NEEDS)
    table = schema.resolved["mappings"].table
    kept = _of_snapshot(snapshot, schema, settings) if snapshot else {}
    sure = {
        row[:2]: Claim(row.entity, row.wa_id, row.record, "on purpose", "correction", "", None, "api")
        for row in corrections_made(context.connection, schema)
        if row.entity
    }
    claims = traces.claims()
    # Raw data do not count where an audit row says for which id the record was created.
    logged = {claim.place for claim in claims if claim.trace == AUDIT and claim.action == "created"}
    by_key: dict[Key, list[Claim]] = defaultdict(list)
    owners: dict[Key, set[str]] = defaultdict(set)  # ids that a record was created for, or that lead to it
    for claim in claims:
        if claim.trace != RAW or claim.place not in logged:
            by_key[claim.key].append(claim)
            if claim.action == "created":
                owners[claim.place].add(claim.wa_id)
    for row in traces.mappings(records={record for _, record in owners}):
        owners[row.entity, row.target].add(row.wa_id)
    wanted = by_key.keys() | kept.keys() | sure.keys()
    missing = sorted(wanted - traces.targets_of(wanted).keys())
    candidates = (*claims, *sure.values(), *(claim for claim, _ in kept.values()))
    existing = traces.existing({claim.place for claim in candidates})
    wa_id_column = schema.resolved["mappings"].spelling["wa_id"]
    is_number = "int" in schema.catalogue.tables[table].columns[wa_id_column].type

    def decide(key: Key) -> Claim | str:
        """Return the claim that says where an id leads, or why that is not certain."""
        if is_number and not key[1].isdecimal():
            return _NO_NUMBER
        for claim in (sure.get(key), kept[key][0] if key in kept else None):
            if claim and claim.place in existing:
                return claim
        claims = [claim for claim in by_key[key] if claim.place in existing]
        # A CSV import writes no mapping, so its id map does not count where another import knows the id.
        claims = [claim for claim in claims if claim.importer != "csv"] or claims
        if len({claim.record for claim in claims}) != 1:
            return _SEVERAL if claims else _GONE
        best = min(
            claims,
            key=lambda claim: (claim.action != "created", claim.trace != AUDIT, str(claim.at), claim.run),
        )
        followed = any(claim.maps and claim.action == "updated" for claim in claims)
        if owners[best.place] - {key[1]} and not followed:
            return _FOR_ANOTHER
        by_csv = best.action == "created" and best.importer == "csv"
        return _BY_CSV if by_csv and not csv_records else best

    with Draft(
        context,
        "mapping-rebuild",
        parameters={"snapshot": snapshot.file_name if snapshot else None, "csv_records": csv_records},
        nothing="No mapping is missing that could be put back",
        hint="`workbench check mappings-missing` names the records that no mapping leads to.",
    ) as draft:
        known = {claim.place for key in missing for claim in by_key[key]}
        sources = Counter[str]()
        for key in missing:
            choice = decide(key)
            if isinstance(choice, str):
                how = aim(_DECIDED_BY[choice], context.target.environment)
                draft.unresolved(table, "/".join(key), choice, how)
                continue
            sources[choice.words] += 1
            known.add(choice.place)
            from_snapshot = key in kept and choice is kept[key][0]
            lost = kept[key][1] if from_snapshot else _row(schema, choice, existing[choice.place].at)
            draft.insert(table, lost)
            draft.because(table, f"{'/'.join(key)} to {choice.record}", choice.words)
        for claim in traces.without_mapping[0]:
            if not claim.wa_id and claim.place not in known:
                why = f"{claim.words}, for an unknown Wild Apricot id"
                how = "a snapshot with its mapping (--snapshot FILE), or the import's report (--import-report FILE)"
                draft.unresolved(table, f"{claim.entity} {claim.record}", why, how)
        draft.reasons.append(f"{_count(sources.total(), 'Puts back', 'missing mapping')}.")
        draft.evidence += [f"{because} ({count:,})" for because, count in sorted(sources.items())]
        draft.note("Dry run the next sync before it runs live: it should create nothing that exists already.")
        if snapshot is None:
            draft.note(
                "Contacts that a sync found by e-mail and did not change are not included: nothing else recorded them."
            )
        draft.log(MAPPINGS_REBUILT, records_affected=sources.total(), rests_on=dict(sources))
    return draft.plan


def _row(schema: Schema, claim: Claim, created_at: Any) -> Row:
    """Return the row of a mapping, with the time and run of its evidence."""
    resolved, table = schema.resolved["mappings"], schema.table_of(claim.entity)
    moment = claim.at or created_at
    values = {
        "id": str(uuid5(NAMESPACE_URL, f"{table}/{claim.wa_id}/{claim.record}")),
        "entity_type": table,
        "wa_id": claim.wa_id,
        "run_id": claim.run or None,
        "synced_at": str(moment) if moment else None,
        "updated_at": str(moment) if moment else None,
    }
    row = {resolved.spelling[name]: value for name, value in values.items() if name in resolved.spelling}
    # Where the table has both spellings of the column, both are filled.
    columns = schema.catalogue.tables[resolved.table].columns
    return row | dict.fromkeys(_TARGETS & columns.keys(), claim.record)


def _of_snapshot(snapshot: Snapshot, schema: Schema, settings: Settings) -> dict[Key, tuple[Claim, Row]]:
    """Read the mappings of a snapshot: by id, each as a claim and as those of its columns that still exist."""
    table = schema.resolved["mappings"].table
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
            columns = schema.catalogue.tables[table].columns
            claim = Claim(entity, wa_id, record, "mapped", "snapshot", "", None, "api")
            kept[entity, wa_id] = claim, {name: value for name, value in row.items() if name in columns}
    return kept
