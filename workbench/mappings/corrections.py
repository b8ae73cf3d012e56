"""What mappings are to be corrected to: one by hand, or a table of them, each looked at before any is planned (guide §4.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import Refused, UsageError, nearest
from workbench.mappings.queries import MappingRow, ids_like
from workbench.mappings.traces import Traces
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES

NEEDED, OPTIONAL = ("entity", "wa_id", "new_id"), ("reason",)
"""The columns of a table of corrections."""

_SPELLED = {word.casefold(): entity for entity, kinds in ENTITY_TYPES.items() for word in (entity, *kinds)}


class Correction(NamedTuple):
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


def corrections_of(source: str | Path | Iterable[Any]) -> list[Correction]:
    """Take corrections from a CSV file; from rows, by name or in the order of the columns; or from one such tuple.

    Raises
    ------
    UsageError
        For a file that is no such table.
    """
    names = (*NEEDED, *OPTIONAL)
    if isinstance(source, str | Path):
        listing = read_csv(Path(source))
        lines = listing.lines(listing.columns(NEEDED, OPTIONAL))
        return [_correction(line.cells, line.number, line.problem) for line in lines]
    alone = isinstance(source, tuple) and all(isinstance(cell, str) for cell in source)
    rows = source.to_dict("records") if hasattr(source, "to_dict") else [source] if alone else source
    corrections = []
    for number, row in enumerate(rows, 0 if alone else 1):
        cells = dict(row) if hasattr(row, "keys") else dict(zip(names, row, strict=False))
        if missing := [name for name in NEEDED if name not in cells]:
            raise UsageError(
                f"Row {number} has no {missing[0]}.", f"A correction has {', '.join(NEEDED)} and a reason."
            )
        corrections.append(_correction(cells, number))
    if not corrections:
        raise UsageError("There is no correction to be planned.", "Give at least one row.")
    return corrections


def _correction(cells: Mapping[str, Any], line: int, problem: str = "") -> Correction:
    entity, wa_id, new_id, reason = (str(cells.get(name) or "").strip() for name in (*NEEDED, *OPTIONAL))
    return Correction(entity, wa_id, new_id, reason, line, problem)


def resolve_corrections(
    traces: Traces, asked: Sequence[Correction]
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
    connection, schema = traces.connection, traces.schema
    asked = [_spelled(schema, each) for each in asked]
    rows: dict[str, list[MappingRow]] = defaultdict(list)
    for row in traces.mappings(wa_ids={each.wa_id for each in asked}):
        rows[row.key].append(row)
    places = traces.there({(entity, each.new_id) for entity in ENTITIES for each in asked})
    first: dict[str, Correction] = {}

    def wrong_with(each: Correction) -> str:
        before = first.setdefault(each.key, each)
        others = [entity for entity in ENTITIES if (entity, each.new_id) in places]
        if each.problem:
            return each.problem
        if each.entity not in ENTITIES or not schema.has(CONCEPT_OF[each.entity]):
            return f"there is no entity {each.entity!r}{_near(each.entity, ENTITIES)}"
        if not (each.wa_id and each.new_id):
            return f"{'new_id' if each.wa_id else 'wa_id'} is empty"
        if not rows[each.key]:
            near = _near(each.wa_id, ids_like(connection, schema, each.wa_id))
            return f"WA id {each.wa_id!r} is not mapped as {each.entity}{near}"
        if others and each.entity not in others:
            return f"{each.new_id!r} is the id of another entity ({others[0]}), not of {each.entity}"
        if not others:
            return f"there is no {each.entity} {each.new_id!r}"
        if before is not each:
            which = ", with another record: which is right?" if before.new_id != each.new_id else ""
            return f"{each.key} is there before, in line {before.line}{which}"
        return ""

    wrong = sorted((each.line, problem) for each in asked if (problem := wrong_with(each)))
    if wrong and wrong[0][0] == 0:
        problem = wrong[0][1]
        raise UsageError(f"{problem[0].upper()}{problem[1:]}.", "Nothing was planned.")
    if wrong:
        lines = "".join(f"\n  line {number}: {problem}" for number, problem in wrong)
        raise UsageError(
            f"{len(wrong):,} line{'s' * (len(wrong) > 1)} of the table cannot be planned:{lines}",
            "Nothing was planned. Correct them and give the table again.",
        )
    found = [(each, rows[each.key]) for each in sorted(asked, key=lambda each: each.key)]
    found = [(each, held) for each, held in found if [row.target for row in held] != [each.new_id]]
    if not found:
        named = f"{asked[0].key} leads" if len(asked) == 1 else f"All {len(asked):,} lead"
        raise Refused(
            f"{named} there already: nothing to do.",
            "`workbench mappings` lists the mappings that are wrong.",
        )
    return found


def _near(wanted: str, known: Iterable[str]) -> str:
    close = nearest(wanted, [*known], 3)
    return f"; nearest: {', '.join(close)}" if close else ""


def _spelled(schema: Schema, each: Correction) -> Correction:
    """Write entity and record as the database does."""
    entity = _SPELLED.get(each.entity.strip().casefold(), each.entity)
    return each._replace(
        entity=entity, new_id=each.new_id.lower() if schema.id_type == "uuid" else each.new_id
    )
