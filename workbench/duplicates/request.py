"""What was asked to be merged: which records into which, and by which rules; every mistake is named at once (guide §4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
"""A merge that is asked for: the record that stays (None where the rule chooses), those that go, and perhaps why."""

_A = {"Member": "a member", "Event": "an event", "Registration": "a registration"}
_PAIRS, _CLUSTERS = ("canonical", "duplicate"), ("cluster", "member")
_OPTIONAL = ("reason", "size")
"""Columns that may stand beside; ``size`` is what a list of clusters has, and says nothing here."""


class Named(NamedTuple):
    """A record that is to become one with others.

    Attributes
    ----------
    record : str
        Its id.
    into : str or None
        The record that it goes into; None where the rule of guide §4.4 is to choose among those of its cluster.
    cluster : str
        With which others it is to become one.
    reason : str
        Why, in the words of whoever asks.
    line : int
        Where it was named, in a file.
    """

    record: str
    into: str | None
    cluster: str
    reason: str = ""
    line: int = 0

    @property
    def group(self) -> str:
        """What those that become one have in common."""
        return f"cluster {self.cluster}" if self.into is None else self.into


@dataclass(frozen=True)
class Request:
    """What is asked for: of a file its name, the digest of its bytes, and why some lines of it could not be read."""

    named: tuple[Named, ...]
    problems: tuple[tuple[int, str], ...] = ()
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Merge:
    """Duplicates, sorted, that go into a canonical record; what made it the canonical one, and why they are merged."""

    canonical: str
    duplicates: tuple[str, ...]
    chosen_by: str = "named"
    reason: str = ""

    @property
    def records(self) -> tuple[str, ...]:
        """All of them, the one that stays first."""
        return (self.canonical, *self.duplicates)


def requested(merges: str | Path | Iterable[Wanted]) -> Request:
    """Read what is to be merged, of a CSV file or as it is given.

    A file has one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule. A ``reason`` may stand beside.

    Raises
    ------
    UsageError
        When it cannot be read (see `workbench.murmurant.listings.read_csv`), or its header is none of the two.
    """
    if not isinstance(merges, str | Path):
        asked = enumerate(merges)
        named = [
            Named(one, head, str(place), "".join(why)) for place, (head, all_, *why) in asked for one in all_
        ]
        return Request(tuple(named))
    listing = read_csv(Path(merges))
    headings = {name.casefold() for name in listing.header}
    form = _CLUSTERS if headings & {*_CLUSTERS} and not headings & {*_PAIRS} else _PAIRS
    named, problems = [], []
    for line in listing.lines(listing.columns(form, _OPTIONAL)):
        empty = [each for each in form if not line.problem and not line.cells[each]]
        problems += [(line.number, f"{line.problem}.")] if line.problem else []
        problems += [(line.number, f"it names no {each}.") for each in empty]
        if not line.problem and not empty:
            group, record = (line.cells[each] for each in form)
            into = group if form == _PAIRS else None
            named.append(Named(record, into, group, line.cells.get("reason", ""), line.number))
    return Request(tuple(named), tuple(problems), Path(merges).name, listing.sha256)


def merges_of(
    context: PlanContext, request: Request, entity: str, leave_out: Collection[str] = ()
) -> list[Merge]:
    """Check what was asked as a whole, name everything that is wrong, and choose where the choice is ours.

    A record goes into one other and once; what others go into stays. A chain (B into A, C into B) is
    not guessed at: whoever asks says that C goes into A.

    Parameters
    ----------
    leave_out : collection of str
        Records that are not merged.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    """
    schema, problems = context.schema, [*request.problems]
    named = [
        each._replace(
            record=spelled(schema, entity, each.record),
            into=None if each.into is None else spelled(schema, entity, each.into),
        )
        for each in request.named
    ]
    heads, sizes = {each.into for each in named}, Counter(each.group for each in named)
    known, out = (
        {each.record for each in named} | heads,
        {spelled(schema, entity, each) for each in leave_out},
    )
    idle = dict.fromkeys(out - known, "it is not among the records to merge")
    idle |= dict.fromkeys(out & heads, "others are to go into it")
    problems += [(0, f"{each!r} is to be left out, but {why}.") for each, why in sorted(idle.items())]
    groups: dict[str, list[Named]] = {}
    goes: dict[str, str] = {}
    for each in named:
        before = goes.get(each.record)
        if each.record in out:
            continue
        if each.record == each.into:
            why = "is listed as a duplicate of itself."
        elif each.record in heads:
            whole = f"is to go into {each.into or 'one of its cluster'}, but others are to go into it"
            why = f"{whole}: a chain. Name the same canonical record for all of them."
        elif before == each.group:
            why = "is listed twice."
        elif before:
            why = "is in two clusters: it can go into one record only."
        elif each.into is None and sizes[each.group] == 1:
            why = "has no other member in its cluster, so there is nothing to merge."
        else:
            goes[each.record] = each.group
            groups.setdefault(each.group, []).append(each)
            continue
        problems.append((each.line, f"{each.record} {why}"))
    problems += _missing(context, entity, named)
    if problems:
        raise _complaint(problems, request.file)
    groups = {name: group for name, group in groups.items() if group[0].into is not None or len(group) > 1}
    if not groups:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    open_ones = [[each.record for each in group] for group in groups.values() if group[0].into is None]
    choices = iter(choose_canonicals(context.connection, schema, open_ones, entity))
    merges = []
    for group in groups.values():
        head, by = group[0].into, "named"
        if head is None:
            choice = next(choices)
            counts = ", ".join(f"{count:,}" for count in choice.associations.values())
            head, by = choice.canonical, f"{choice.by} (rows that refer to each: {counts})"
        reason = "; ".join(filter(None, dict.fromkeys(each.reason for each in group)))
        merges.append(Merge(head, tuple(sorted({each.record for each in group} - {head})), by, reason))
    return sorted(merges, key=lambda merge: merge.canonical)


def spelled(schema: Schema, entity: str, key: str) -> str:
    """Return an id in the one spelling that the database has."""
    text = key.strip()
    return text.lower() if is_uuid(text) and isinstance(schema.entity(entity).c.id.type, UUID) else text


def merge_rules(
    schema: Schema, entity: str, rules: str | Mapping[str, str], by_hand: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the rule of each field (``"*"`` for the others), and each field whose value is a record's.

    Raises
    ------
    UsageError
        For a rule or a field that does not exist, or a field that is given both.
    """
    named = {"*": rules} if isinstance(rules, str) else {"*": "canonical", **rules}
    known = fields_of(schema, entity)
    for rule in named.values():
        if rule not in MERGE_RULES:
            raise unknown("rule", rule, MERGE_RULES)
    for name in (*named, *by_hand):
        if name not in ("*", *known):
            raise unknown("field", name, known)
    if twice := named.keys() & by_hand.keys():
        raise UsageError(
            f"The field {min(twice)!r} is given a rule and a record.", "Name one of them: --field or --set."
        )
    return named, {name: spelled(schema, entity, key) for name, key in sorted(by_hand.items())}


def fields_of(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity that may be given a rule: all that can be written, but the key."""
    described = schema.catalogue.tables[schema.table_of(entity)]
    columns = described.columns.items()
    return [name for name, column in columns if not column.generated and name not in described.primary_key]


def _missing(context: PlanContext, entity: str, named: Iterable[Named]) -> list[tuple[int, str]]:
    """Say of every record that is not there what it is instead, or into what it went."""
    schema = context.schema
    lines = {key: each.line for each in named for key in (each.record, each.into) if key is not None}
    kinds = [each for each in ENTITIES if each != entity and schema.has(CONCEPT_OF[each])]
    is_a: dict[str, str] = {}
    for kind in (*kinds, entity):
        column = schema.entity(kind).c.id
        here = context.connection.scalars(select(as_text(column)).where(is_one_of(column, lines)))
        is_a |= dict.fromkeys(here, kind)
    problems, merges = list[tuple[int, str]](), dict[tuple[str, str], tuple[str, str]]()
    if gone := sorted(key for key in lines if is_a.get(key) != entity):
        merges = merged(context.connection, schema)
    for key in gone:
        why = f"There is no {entity.lower()} {key!r}."
        if key in is_a:
            why = f"{key} is {_A[kind := is_a[key]]}, not {_A[entity]}: `--entity {kind.lower()}` merges {kind.lower()}s."
        elif (entity, key) in merges:
            into, how = merges[entity, key]
            why = f"{key} is gone: it was merged into {into} ({how}). Name {into} instead."
        problems.append((lines[key], why))
    return problems


def _complaint(problems: Iterable[tuple[int, str]], source: str) -> UsageError:
    """Build the one error that names every problem, in order of the lines."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem[0])
    lines = [f"line {line}: {why}" if line else why for line, why in ordered]
    head = [f"{source} has {len(lines)} problem{'s' * (len(lines) > 1)}:"] if source else []
    return UsageError("\n  ".join([*head, *lines]), "Nothing was planned; correct all of them first.")
