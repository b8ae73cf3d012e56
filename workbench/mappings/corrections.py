"""What mappings are to be corrected to: one by hand, or a table of them, each looked at before any is planned (guide §4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from workbench.errors import Refused, UsageError, nearest
from workbench.mappings.identity import record_facts
from workbench.mappings.queries import MappingRow, ids_like, mapping_rows
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES

NEEDED, OPTIONAL = ("entity", "wa_id", "new_id"), ("reason",)
"""The columns of a table of corrections."""

NOTHING_TO_DO = "leads there already"


@dataclass(frozen=True)
class Correction:
    """One mapping, and the record it should lead to.

    Attributes
    ----------
    line : int
        Where it stands in the table; 0 for one that was given by hand.
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

    def facts(self) -> dict[str, str]:
        """Return it as a plan's header has it."""
        return {
            "entity": self.entity,
            "wa_id": self.wa_id,
            "new_id": self.new_id,
            "reason": self.reason,
        }


def corrections_of(source: str | Path | Iterable[Any]) -> list[Correction]:
    """Take corrections from a CSV file; from rows, by name or in the order of the columns; or from one such tuple.

    Raises
    ------
    UsageError
        For a file that is no such table.
    """
    if isinstance(source, str | Path):
        listing = read_csv(Path(source))
        return [
            Correction(
                **{name: line.cells.get(name, "") for name in (*NEEDED, *OPTIONAL)},
                line=line.number,
                problem=line.problem,
            )
            for line in listing.lines(listing.columns(NEEDED, OPTIONAL))
        ]
    if isinstance(source, tuple) and all(isinstance(cell, str) for cell in source):
        return [Correction(*(cell.strip() for cell in source))]
    found = []
    rows = source.to_dict("records") if hasattr(source, "to_dict") else source
    for number, row in enumerate(rows, 1):
        cells = dict(row) if hasattr(row, "keys") else dict(zip((*NEEDED, *OPTIONAL), row, strict=False))
        missing = [name for name in NEEDED if name not in cells]
        if missing:
            raise UsageError(
                f"Row {number} has no {missing[0]}.", f"A correction has {', '.join(NEEDED)} and a reason."
            )
        words = {name: str(cells.get(name) or "").strip() for name in (*NEEDED, *OPTIONAL)}
        found.append(Correction(**words, line=number))
    if not found:
        raise UsageError("There is no correction to be planned.", "Give at least one row.")
    return found


def resolve_corrections(
    connection: Connection, schema: Schema, asked: Sequence[Correction]
) -> list[tuple[Correction, list[MappingRow]]]:
    """Look at every correction: whether its id is mapped, its record exists, and both are of one entity.

    Returns
    -------
    list of (Correction, list of MappingRow)
        In order of their keys, with the mappings of each as they are.

    Raises
    ------
    UsageError
        With everything that is wrong, line by line; nothing is planned until all are right.
    Refused
        When all that is asked for is so already; in a table with others such a line is passed over.
    """
    wrong: list[tuple[int, str]] = []
    sound: list[Correction] = []
    for each in asked:
        if each.problem:
            wrong.append((each.line, each.problem))
            continue
        entity = _entity(each.entity)
        if entity is None or not schema.has(CONCEPT_OF[entity]):
            close = nearest(each.entity, [*ENTITIES, "EventRegistration"], 1)
            hint = f", nearest: {close[0]}" if close else ""
            wrong.append((each.line, f"there is no entity {each.entity!r} ({', '.join(ENTITIES)}{hint})"))
            continue
        empty = [name for name in ("wa_id", "new_id") if not getattr(each, name)]
        if empty:
            wrong.append((each.line, f"{empty[0]} is empty"))
            continue
        sound.append(replace(each, entity=entity, new_id=_as_id(schema, entity, each.new_id)))
    rows: dict[str, list[MappingRow]] = {}
    for row in mapping_rows(connection, schema, keys=[each.key for each in sound]):
        rows.setdefault(row.key, []).append(row)
    new_ids = {each.new_id for each in sound}
    there = {
        entity: set(record_facts(connection, schema, entity, new_ids))
        for entity in ENTITIES
        if schema.has(CONCEPT_OF[entity])
    }
    first: dict[str, Correction] = {}
    found = []
    for each in sound:
        told = _wrong_with(connection, schema, each, rows.get(each.key, []), there)
        if not told and each.key in first:
            told = f"{each.key} is there before, in line {first[each.key].line}"
            if first[each.key].new_id != each.new_id:
                told += ", with another record: which is right?"
        first.setdefault(each.key, each)
        if told:
            wrong.append((each.line, told))
        else:
            found.append((each, rows[each.key]))
    _complain(wrong)
    found = [(each, held) for each, held in found if not (len(held) == 1 and held[0].target == each.new_id)]
    if not found:
        named = f"{sound[0].key} leads" if len(sound) == 1 else f"All {len(sound):,} lead"
        raise Refused(
            f"{named} there already: nothing to do.",
            "`workbench mappings` lists the mappings that are wrong.",
        )
    return sorted(found, key=lambda pair: pair[0].key)


def _entity(word: str) -> str | None:
    spelled = {each.casefold(): entity for entity, kinds in ENTITY_TYPES.items() for each in (entity, *kinds)}
    return spelled.get(word.strip().casefold())


def _as_id(schema: Schema, entity: str, text: str) -> str:
    table = schema.catalogue.tables[schema.table_of(entity)]
    spelled = schema.resolved[CONCEPT_OF[entity]].spelling["id"]
    return text.lower() if table.columns[spelled].type == "uuid" else text


def _wrong_with(
    connection: Connection,
    schema: Schema,
    each: Correction,
    rows: Sequence[MappingRow],
    there: dict[str, set[str]],
) -> str:
    if not rows:
        like = nearest(each.wa_id, ids_like(connection, schema, each.wa_id))
        near = f"; nearest: {', '.join(like)}" if like else ""
        return f"WA id {each.wa_id!r} is not mapped as {each.entity}{near}"
    if each.new_id not in there.get(each.entity, set()):
        other = next((entity for entity, ids in there.items() if each.new_id in ids), None)
        if other:
            return f"{each.new_id!r} is the id of another entity ({other}), not of {each.entity}"
        return f"there is no {each.entity} {each.new_id!r}"
    return ""


def _complain(wrong: Sequence[tuple[int, str]]) -> None:
    if not wrong:
        return
    if len(wrong) == 1 and wrong[0][0] == 0:
        said = wrong[0][1]
        raise UsageError(f"{said[0].upper()}{said[1:]}.", "Nothing was planned.")
    ordered = sorted(wrong)
    lines = "".join(f"\n  line {number}: {said}" for number, said in ordered)
    count = "1 line of the table is" if len(ordered) == 1 else f"{len(ordered):,} lines of the table are"
    raise UsageError(
        f"{count} not right:{lines}",
        "Nothing was planned. Correct them and give the table again.",
    )
