"""What is to be merged: which records into which, and by which rules; every mistake is named at once (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import UUID, select

from workbench.duplicates.associations import choose_canonicals
from workbench.errors import UsageError, unknown
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema, as_text, is_one_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.draft import PlanContext
from workbench.plans.rows import is_uuid
from workbench.plans.standing import merged

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a field's value is chosen among the records that become one."""

Wanted = tuple[str | None, Sequence[str]] | tuple[str | None, Sequence[str], str]
"""A merge to plan: the record that stays (None where the rule chooses), those that go, and perhaps why."""

_PAIRS, _CLUSTERS = ("canonical", "duplicate"), ("cluster", "member")


class Entry(NamedTuple):
    """A record that is to become one with others: into which, or with which cluster; why; and its line in a file."""

    record: str
    into: str | None
    cluster: str = ""
    reason: str = ""
    line: int = 0

    @property
    def group(self) -> str:
        """What the records that become one share."""
        return f"cluster {self.cluster}" if self.into is None else self.into


class Request(NamedTuple):
    """What is to be merged; of a file its name, its digest, and by line what cannot be read."""

    entries: list[Entry]
    problems: list[tuple[int, str]]
    file: str = ""
    sha256: str = ""


class Merge(NamedTuple):
    """Duplicates, sorted, that go into a canonical record; what made it canonical, and why they are merged."""

    canonical: str
    duplicates: tuple[str, ...]
    chosen_by: str
    reason: str

    @property
    def records(self) -> tuple[str, ...]:
        """All of them, the one that stays first."""
        return (self.canonical, *self.duplicates)


def read_request(merges: str | Path | Iterable[Wanted]) -> Request:
    """Read what is to be merged: a sequence, or a CSV file.

    A file has one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule. A ``reason`` may stand beside.
    """
    if not isinstance(merges, str | Path):
        return Request(
            [
                Entry(record, into, str(number), "".join(reason))
                for number, (into, records, *reason) in enumerate(merges)
                for record in records
            ],
            [],
        )
    listing = read_csv(Path(merges))
    headings = {name.casefold() for name in listing.header}
    form = _CLUSTERS if headings & {*_CLUSTERS} and not headings & {*_PAIRS} else _PAIRS
    request = Request([], [], Path(merges).name, listing.sha256)
    for line in listing.lines(listing.columns(form, ("reason", "size"))):
        empty = [name for name in form if not line.cells.get(name)]
        if line.problem or empty:
            problem = line.problem or f"it names no {' and no '.join(empty)}"
            request.problems.append((line.number, f"{problem}."))
            continue
        group, record = (line.cells[name] for name in form)
        into = group if form == _PAIRS else None
        request.entries.append(Entry(record, into, group, line.cells.get("reason", ""), line.number))
    return request


def merges_of(
    context: PlanContext, request: Request, entity: str, leave_out: Collection[str] = ()
) -> list[Merge]:
    """Check the request as a whole, and choose the canonical records where nobody named them.

    A record goes into one other and once; what others go into stays. A chain (B into A, C into B) is refused: whoever
    asks says that C goes into A.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    """
    schema, problems = context.schema, [*request.problems]
    entries = [
        entry._replace(
            record=spelled(schema, entity, entry.record),
            into=None if entry.into is None else spelled(schema, entity, entry.into),
        )
        for entry in request.entries
    ]
    left_out = {spelled(schema, entity, key) for key in leave_out}
    heads, sizes = {entry.into for entry in entries}, Counter(entry.group for entry in entries)
    for key in sorted((left_out & heads) | (left_out - {entry.record for entry in entries})):
        problems.append((0, f"{key!r} is to be left out, and is no duplicate in this list."))
    groups: dict[str, list[Entry]] = {}
    listed: set[str] = set()
    for entry in entries:
        problem = ""
        if entry.record in left_out:
            continue
        if entry.record == entry.into:
            problem = "is listed as a duplicate of itself."
        elif entry.record in heads:
            problem = (
                "is to go into another record, and others into it: name the same canonical record for all."
            )
        elif entry.record in listed:
            problem = "is listed twice: it can go into one record only."
        elif entry.into is None and sizes[entry.group] == 1:
            problem = "has no other member in its cluster, so there is nothing to merge."
        else:
            groups.setdefault(entry.group, []).append(entry)
        listed.add(entry.record)
        if problem:
            problems.append((entry.line, f"{entry.record} {problem}"))
    lines = {key: entry.line for entry in reversed(entries) for key in (entry.record, entry.into) if key}
    problems += [(lines[key], problem) for key, problem in _absent(context, entity, lines).items()]
    if problems:
        texts = [f"line {line}: {text}" if line else text for line, text in sorted(dict.fromkeys(problems))]
        heading = [f"{request.file} has {len(texts)} problems:"] if request.file else []
        raise UsageError("\n  ".join(heading + texts), "Nothing was planned; correct all of them first.")
    open_groups = [group for group in groups.values() if group[0].into is None and len(group) > 1]
    members = [[entry.record for entry in group] for group in open_groups]
    merges: list[Merge] = []
    for choice in choose_canonicals(context.connection, schema, members, entity):
        counts = ", ".join(f"{count:,}" for count in choice.associations.values())
        by = f"{choice.by} (rows that refer to each: {counts})"
        merges.append(_merge(choice.canonical, by, open_groups[len(merges)]))
    merges += [_merge(group[0].into, "named", group) for group in groups.values() if group[0].into]
    if not merges:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    return sorted(merges)


def _merge(canonical: str, by: str, group: Sequence[Entry]) -> Merge:
    duplicates = sorted({entry.record for entry in group} - {canonical})
    reasons = filter(None, dict.fromkeys(entry.reason for entry in group))
    return Merge(canonical, tuple(duplicates), by, "; ".join(reasons))


def _absent(context: PlanContext, entity: str, keys: Iterable[str]) -> dict[str, str]:
    """Say of every record that is not there what it is instead, or into what it went."""
    kinds: dict[str, str] = {}
    for kind in ENTITIES:
        if kind == entity or context.schema.has(CONCEPT_OF[kind]):
            column = context.schema.entity(kind).c.id
            rows = context.connection.scalars(select(as_text(column)).where(is_one_of(column, keys)))
            kinds |= {key: kind for key in rows if kinds.get(key) != entity}
    absent = sorted(key for key in keys if kinds.get(key) != entity)
    into_others = merged(context.connection) if absent else {}
    problems = {}
    for key in absent:
        problems[key] = f"There is no {entity.lower()} {key!r}."
        if key in kinds:
            kind = kinds[key].lower()
            problems[key] = f"{key} is of another kind: `--entity {kind}` merges {kind}s."
        elif (entity, key) in into_others:
            into, how = into_others[entity, key]
            problems[key] = f"{key} is gone: it was merged into {into} ({how}). Name {into} instead."
    return problems


def spelled(schema: Schema, entity: str, key: str) -> str:
    """Return an id in the one spelling that the database has."""
    text = key.strip()
    return text.lower() if is_uuid(text) and isinstance(schema.entity(entity).c.id.type, UUID) else text


def merge_rules(
    schema: Schema, entity: str, rules: str | Mapping[str, str], by_hand: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rule of each field (``"*"`` for the others), and each field whose value is a named record's.

    Raises
    ------
    UsageError
        For a rule or a field that does not exist, or a field that is given both.
    """
    of_fields = {"*": rules} if isinstance(rules, str) else {"*": "canonical", **rules}
    fields = fields_of(schema, entity)
    for rule in of_fields.values():
        if rule not in MERGE_RULES:
            raise unknown("rule", rule, MERGE_RULES)
    for name in {*of_fields, *by_hand} - {"*", *fields}:
        raise unknown("field", name, fields)
    if both := of_fields.keys() & by_hand.keys():
        problem = f"The field {min(both)!r} is given a rule and a record."
        raise UsageError(problem, "Name one of them: --field or --set.")
    return of_fields, {name: spelled(schema, entity, key) for name, key in sorted(by_hand.items())}


def fields_of(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity that may be given a rule: all that can be written, but the key."""
    described = schema.catalogue.tables[schema.table_of(entity)]
    columns = described.columns.items()
    return [name for name, column in columns if not column.generated and name not in described.primary_key]
