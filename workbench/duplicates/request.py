"""What was asked to be merged: which records into which, and by which rules; every mistake is named at once (guide §4.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from workbench.duplicates.associations import choose_canonicals
from workbench.errors import UsageError, nearest, unknown
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.draft import PlanContext
from workbench.plans.standing import merged

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a field's value is chosen among the records that become one."""

Wanted = tuple[str | None, Sequence[str]] | tuple[str | None, Sequence[str], str]
"""A merge that is asked for: the record that stays (None where the rule chooses), those that go, and perhaps why."""

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


Problems = list[tuple[int, str]]
"""What was asked for and cannot be: the line it was asked on, and why not."""


@dataclass(frozen=True)
class Request:
    """What is asked for: of a file its name, the digest of its bytes, and the lines that could not be read."""

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
        return Request(
            tuple(
                Named(record, head, str(number), "".join(why))
                for number, (head, records, *why) in enumerate(merges)
                for record in records
            )
        )
    listing = read_csv(Path(merges))
    headings = {name.casefold() for name in listing.header}
    form = _CLUSTERS if headings & {*_CLUSTERS} and not headings & {*_PAIRS} else _PAIRS
    named, problems = list[Named](), Problems()
    for line in listing.lines(listing.columns(form, _OPTIONAL)):
        missing = [] if line.problem else [f"it names no {name}" for name in form if not line.cells[name]]
        if wrong := [*filter(None, [line.problem]), *missing]:
            problems += [(line.number, f"{why}.") for why in wrong]
            continue
        group, record = (line.cells[name] for name in form)
        into = group if form == _PAIRS else None
        named.append(Named(record, into, group, line.cells.get("reason", ""), line.number))
    members: dict[str, list[int]] = {}
    for each in named if form == _CLUSTERS else ():
        members.setdefault(each.cluster, []).append(each.line)
    problems += [
        (lines[0], f"the cluster {name!r} has no other member, so there is nothing to merge.")
        for name, lines in members.items()
        if len(lines) == 1
    ]
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
    schema, problems, strange = context.schema, list(request.problems), set[int]()

    def spelled(key: str, line: int) -> str:
        found = spelling(schema, entity, key)
        if found is None:
            problems.append((line, f"{key.strip()!r} is no id: ids here are UUIDs."))
            strange.add(line)
        return key if found is None else found

    named = [
        each._replace(
            record=spelled(each.record, each.line),
            into=None if each.into is None else spelled(each.into, each.line),
        )
        for each in request.named
    ]
    heads = {each.into: each.line for each in reversed(named) if each.into is not None}
    out = sorted(spelling(schema, entity, each) or each for each in leave_out)
    _refuse_idle(out, {each.record for each in named} | heads.keys(), heads)
    groups: dict[str, list[Named]] = {}
    goes: dict[str, Named] = {}
    for each in named:
        if each.record in out:
            continue
        before = goes.get(each.record)
        where = before.line if before else heads.get(each.record, 0)
        said = f" (line {where})" if where else ""
        if each.record == each.into:
            why = "is listed as a duplicate of itself."
        elif each.record in heads:
            why = (
                f"is to go into {each.into or 'one of its cluster'}, but others are to go"
                f" into it{said}: a chain. Name the same canonical record for all of them."
            )
        elif before:
            twice = before.group == each.group
            why = (
                f"is listed twice{said}."
                if twice
                else f"is in two clusters{said}: it can go into one record only."
            )
        else:
            goes[each.record] = each
            groups.setdefault(each.group, []).append(each)
            continue
        problems.append((each.line, f"{each.record} {why}"))
    problems += _missing(context, entity, [each for each in named if each.line not in strange])
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


def spelling(schema: Schema, entity: str, key: str) -> str | None:
    """Return an id in the one spelling that the database has; None for what cannot be one there."""
    described = rows.table_of(schema.catalogue, schema.table_of(entity))
    if described.columns[rows.key_of(described)].type != "uuid":
        return key.strip()
    try:
        return str(UUID(key.strip()))
    except ValueError:
        return None


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
    for rule in named.values():
        if rule not in MERGE_RULES:
            raise unknown("rule", rule, MERGE_RULES)
    for name in (*named, *by_hand):
        if name != "*" and name not in (known := fields_of(schema, entity)):
            raise unknown("field", name, known)
    if twice := named.keys() & by_hand.keys():
        raise UsageError(
            f"The field {min(twice)!r} is given a rule and a record.", "Name one of them: --field or --set."
        )
    return named, {name: spelling(schema, entity, key) or key for name, key in sorted(by_hand.items())}


def fields_of(schema: Schema, entity: str) -> list[str]:
    """Return the columns of an entity that may be given a rule: all that can be written, but the key."""
    described = schema.catalogue.tables[schema.table_of(entity)]
    columns = described.columns.items()
    return [name for name, column in columns if not column.generated and name not in described.primary_key]


def _refuse_idle(out: Sequence[str], named: Collection[str], heads: Collection[str]) -> None:
    for record in out:
        if record not in named:
            close = nearest(record, named)
            raise UsageError(
                f"{record!r} is to be left out, but it is not among the records to merge.",
                f"Nearest: {', '.join(close)}." if close else "",
            )
        if record in heads:
            raise UsageError(
                f"{record!r} is to be left out, but others are to go into it.",
                "Name another record as the canonical one.",
            )


def _missing(context: PlanContext, entity: str, named: Iterable[Named]) -> Problems:
    """Say of every record that is not there what it is instead, or into what it went."""
    schema, table = context.schema, context.schema.table_of(entity)
    lines = {key: each.line for each in named for key in (each.into, each.record) if key is not None}
    gone = lines.keys() - _tables_of(context, [table], lines).keys()
    if not gone:
        return []
    others = [
        name
        for name, described in sorted(schema.catalogue.tables.items())
        if len(described.primary_key) == 1
        and name != table
        and (own := described.columns[described.primary_key[0]]).readable
        and own.type in ("uuid", "text")
    ]
    elsewhere = _tables_of(context, others, gone)
    nouns = {schema.table_of(kind): kind.lower() for kind in ENTITIES if schema.has(CONCEPT_OF[kind])}
    merges, problems = merged(context.connection, schema), Problems()
    for key in sorted(gone):
        if other := elsewhere.get(key):
            noun = nouns.get(other)
            what = f"{_article(noun)} {noun}" if noun else f"a row of {other}"
            way = f": `--entity {noun}` merges {noun}s." if noun else "."
            why = f"{key} is {what}, not {_article(entity)} {entity.lower()}{way}"
        elif (entity, key) in merges:
            into, how = merges[entity, key]
            why = f"{key} is gone: it was merged into {into} ({how}). Name {into} instead."
        else:
            why = f"There is no {entity.lower()} {key!r}."
        problems.append((lines[key], why))
    return problems


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiouAEIOU" else "a"


def _tables_of(context: PlanContext, tables: Sequence[str], ids: Iterable[str]) -> dict[str, str]:
    """Return which of some ids are there, each with the first of the tables that has it."""
    parts = []
    for name in tables:
        described = context.schema.catalogue.tables[name]
        (key,) = described.primary_key
        kind = described.columns[key].type
        fitting = [one for one in sorted(ids) if kind != "uuid" or rows.is_uuid(one)]
        parts.append(
            sql.SQL("SELECT {}, t.{}::text FROM {} t WHERE t.{} = ANY({}::{}[])").format(
                *(sql.Literal(name), sql.Identifier(key), rows.qualified(context.schema.catalogue, name)),
                *(sql.Identifier(key), sql.Literal(rows.as_array(fitting)), sql.SQL(kind)),
            )
        )
    if not parts:
        return {}
    found = context.raw.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {key: table for table, key in sorted(found, reverse=True)}


def _complaint(problems: Iterable[tuple[int, str]], source: str) -> UsageError:
    """Build the one error that names every problem, in order of the lines."""
    lines = [
        f"line {line}: {why}" if line else why
        for line, why in dict.fromkeys(sorted(problems, key=lambda each: each[0]))
    ]
    if not source:
        return UsageError("\n  ".join(lines), "Nothing was planned.")
    count = f"{len(lines)} problem{'s' * (len(lines) > 1)}"
    return UsageError(
        "\n  ".join([f"{source} has {count}:", *lines]), "Nothing was planned; correct all of them first."
    )
