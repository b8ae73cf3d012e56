"""What was asked to be merged: which records into which, and by which rules; every mistake is named at once (guide §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection

from workbench.duplicates.associations import choose_canonicals
from workbench.errors import UsageError, nearest, unknown
from workbench.murmurant.listings import read_csv
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import journal, rows
from workbench.plans.standing import merged

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a field's value is chosen among the records that become one."""

PAIRS, CLUSTERS = ("canonical", "duplicate"), ("cluster", "member")
OPTIONAL = ("reason", "size")
"""Columns that may stand beside; ``size`` is what a list of clusters has, and says nothing here."""


class Named(NamedTuple):
    """A record's id, and where it was named: a line of a file, or nothing."""

    id: str
    where: str = ""


class Problem(NamedTuple):
    """Something that was asked for and cannot be: where it was asked, and why not."""

    where: str
    why: str


@dataclass(frozen=True)
class Asked:
    """Some records that are to become one.

    Attributes
    ----------
    canonical : Named or None
        The one that stays; None where the rule of guide §4.4 is to choose.
    others : tuple of Named
        The duplicates; where the rule chooses, all of them.
    reason : str
        Why, in the words of whoever asks.
    """

    canonical: Named | None
    others: tuple[Named, ...]
    reason: str = ""

    @property
    def all(self) -> tuple[Named, ...]:
        """Every record that is named."""
        return (*filter(None, [self.canonical]), *self.others)


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


@dataclass(frozen=True)
class Wishes:
    """By which rules records become one.

    Attributes
    ----------
    rule : str
        One of `MERGE_RULES`, for every field that has none of its own.
    fields : mapping of str to str
        Column to rule.
    by_hand : tuple of (column, record)
        Columns whose value is that of a record which is named.
    keep : frozenset of str
        Rows that stay where two collide, named by hand.
    skip_blocked : bool
        Whether a merge that no rule can decide is left out, instead of refusing the whole plan.
    """

    rule: str = "canonical"
    fields: Mapping[str, str] = field(default_factory=dict)
    by_hand: tuple[tuple[str, str], ...] = ()
    keep: frozenset[str] = frozenset()
    skip_blocked: bool = False

    def checked(self, columns: Sequence[str], uuids: bool) -> Wishes:
        """Return these wishes, ids as the database spells them; `UsageError` for a rule or a column that does not exist."""
        for rule in (self.rule, *self.fields.values()):
            if rule not in MERGE_RULES:
                raise unknown("rule", rule, MERGE_RULES)
        for name in (*self.fields, *(name for name, _ in self.by_hand)):
            if name not in columns:
                raise unknown("field", name, columns)
        if twice := set(self.fields) & {name for name, _ in self.by_hand}:
            raise UsageError(
                f"The field {min(twice)!r} is given a rule and a record.",
                "Name one of them: --field or --set.",
            )
        if not uuids:
            return self
        hands = tuple((name, record.strip().lower()) for name, record in self.by_hand)
        return replace(self, by_hand=hands, keep=frozenset(key.strip().lower() for key in self.keep))

    def parameters(self) -> dict[str, Any]:
        """Return them as a plan's header has them."""
        return {
            "rule": self.rule,
            "fields": dict(sorted(self.fields.items())),
            "by_hand": [f"{name}={record}" for name, record in self.by_hand],
            "keep": sorted(self.keep),
            "skip_blocked": self.skip_blocked,
        }


@dataclass(frozen=True)
class MergeRequest:
    """What was asked for.

    Attributes
    ----------
    asked : tuple of Asked
        Which records become one.
    wishes : Wishes
        By which rules.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    exceptions : tuple of str
        Records to leave out.
    problems : tuple of Problem
        Lines of the file that could not be read.
    file, sha256 : str
        The file's name and the digest of its bytes, where they come from one.
    """

    asked: tuple[Asked, ...]
    wishes: Wishes = field(default_factory=Wishes)
    entity: str = "Member"
    exceptions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    file: str = ""
    sha256: str = ""


def read_merges(path: Path) -> MergeRequest:
    """Read a CSV file of merges.

    Either one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule of guide §4.4. A ``reason`` may
    stand beside.

    Raises
    ------
    UsageError
        When it cannot be read (see `workbench.murmurant.listings.read_csv`), or its header is none of the two.
    """
    listing = read_csv(path)
    headings = {name.casefold() for name in listing.header}
    form = CLUSTERS if headings & {*CLUSTERS} and not headings & {*PAIRS} else PAIRS
    asked: list[Asked] = []
    problems: list[Problem] = []
    clusters: dict[str, list[tuple[Named, str]]] = {}
    for line in listing.lines(listing.columns(form, OPTIONAL)):
        where, cells = f"line {line.number}", line.cells
        wrong = (
            [line.problem] if line.problem else [f"it names no {name}" for name in form if not cells[name]]
        )
        problems += [Problem(where, f"{why}.") for why in wrong]
        if wrong:
            continue
        into, record, reason = cells[form[0]], Named(cells[form[1]], where), cells.get("reason", "")
        if form == PAIRS:
            asked.append(Asked(Named(into, where), (record,), reason))
        else:
            clusters.setdefault(into, []).append((record, reason))
    for name, members in clusters.items():
        if len(members) == 1:
            why = f"the cluster {name!r} has no other member, so there is nothing to merge."
            problems.append(Problem(members[0][0].where, why))
        else:
            records, reasons = zip(*members, strict=True)
            asked.append(Asked(None, records, "; ".join(filter(None, dict.fromkeys(reasons)))))
    return MergeRequest(tuple(asked), problems=tuple(problems), file=path.name, sha256=listing.sha256)


def are_uuids(schema: Schema, entity: str) -> bool:
    """Whether the ids of an entity are UUIDs to the database."""
    described = rows.table_of(schema.catalogue, schema.table_of(entity))
    return described.columns[described.primary_key[0]].type == "uuid"


def merges_of(connection: Connection, schema: Schema, request: MergeRequest) -> list[Merge]:
    """Check what was asked as a whole, name everything that is wrong, and choose where the choice is ours.

    Raises
    ------
    UsageError
        For records that are not there, are something else, or contradict one another; every one named.
    """
    uuids = are_uuids(schema, request.entity)
    asked, problems = _spelled(request.asked, uuids)
    (out,), strange = _spelled([Asked(None, tuple(map(Named, request.exceptions)))], uuids)
    if strange:
        raise _complaint(strange, "")
    strange_lines = {problem.where for problem in problems}
    asked = _without(asked, sorted({record.id for record in out.others}))
    groups, contradictions = _settled(asked)
    named = [record for one in asked for record in one.all if record.where not in strange_lines]
    problems = [*request.problems, *problems, *contradictions]
    problems += _missing(connection, schema, request.entity, named)
    if problems:
        raise _complaint(sorted(problems, key=_line_number), request.file)
    if not groups:
        raise UsageError("There is nothing to merge.", "Name a canonical record and at least one duplicate.")
    open_ones = [[record.id for record in one.others] for one in groups if one.canonical is None]
    choices = iter(choose_canonicals(connection, schema, open_ones, request.entity))
    merges = []
    for one in groups:
        if one.canonical is not None:
            head, by = one.canonical.id, "named"
        else:
            choice = next(choices)
            counts = ", ".join(f"{count:,}" for count in choice.associations.values())
            head, by = choice.canonical, f"{choice.by} (rows that refer to each: {counts})"
        duplicates = tuple(sorted(record.id for record in one.others if record.id != head))
        merges.append(Merge(head, duplicates, by, one.reason))
    return sorted(merges, key=lambda merge: merge.canonical)


def _spelled(asked: Iterable[Asked], uuids: bool) -> tuple[list[Asked], list[Problem]]:
    """Bring ids into the one spelling that the database has; name those that cannot be ids here."""
    problems: list[Problem] = []

    def spelled(record: Named) -> Named:
        text = record.id.strip()
        if uuids:
            try:
                text = str(UUID(text))
            except ValueError:
                problems.append(Problem(record.where, f"{text!r} is no id: ids here are UUIDs."))
        return Named(text, record.where)

    spelt = [
        replace(
            one, canonical=one.canonical and spelled(one.canonical), others=tuple(map(spelled, one.others))
        )
        for one in asked
    ]
    return spelt, problems


def _without(asked: Sequence[Asked], out: Sequence[str]) -> list[Asked]:
    """Take some records out of what was asked; what has no duplicate left is dropped."""
    named = {record.id for one in asked for record in one.all}
    heads = {one.canonical.id for one in asked if one.canonical}
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
    left = [replace(one, others=tuple(each for each in one.others if each.id not in out)) for one in asked]
    return [one for one in left if len(one.all) > 1]


def _settled(asked: Sequence[Asked]) -> tuple[list[Asked], list[Problem]]:
    """Put together what goes into the same record, and name everything that contradicts itself.

    A record goes into one other and once; what others go into stays. A chain (B into A, C into B) is
    not guessed at: whoever asks says that C goes into A.
    """
    problems: list[Problem] = []
    into: dict[str, tuple[str, str]] = {}  # record -> what it goes into, where that was said
    heads = {one.canonical.id: one.canonical.where for one in asked if one.canonical}
    groups: dict[str, Asked] = {}
    for number, one in enumerate(asked):
        name = one.canonical.id if one.canonical else f"cluster {number}"
        kept: list[Named] = []
        for record in one.others:
            before, where = into.get(record.id, ("", heads.get(record.id, "")))
            said = f" ({where})" if where else ""
            if one.canonical and record.id == one.canonical.id:
                why = "is listed as a duplicate of itself."
            elif record.id in heads:
                why = (
                    f"is to go into {one.canonical.id if one.canonical else 'one of its cluster'}, but others are to go"
                    f" into it{said}: a chain. Name the same canonical record for all of them."
                )
            elif before:
                why = f"is in two clusters{said}: it can go into one record only."
                why = f"is listed twice{said}." if before == name else why
            else:
                into[record.id] = (name, record.where)
                kept.append(record)
                continue
            problems.append(Problem(record.where, f"{record.id} {why}"))
        known = groups.get(name, Asked(one.canonical, ()))
        reasons = filter(None, dict.fromkeys((known.reason, one.reason)))
        groups[name] = Asked(one.canonical, (*known.others, *kept), "; ".join(reasons))
    return list(groups.values()), problems


def _missing(connection: Connection, schema: Schema, entity: str, named: Sequence[Named]) -> list[Problem]:
    """Say of every record that is not there what it is instead, or into what it went."""
    table = schema.table_of(entity)
    there = _tables_of(connection, schema, [table], {record.id for record in named})
    gone = {record.id for record in named} - there.keys()
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
    elsewhere = _tables_of(connection, schema, others, gone)
    nouns = {schema.table_of(kind): kind.lower() for kind in ENTITIES if schema.has(CONCEPT_OF[kind])}
    merges, problems = merged(connection, schema), []
    for key, where in named:
        if key not in gone:
            continue
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
        problems.append(Problem(where, why))
    return problems


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiouAEIOU" else "a"


def _tables_of(
    connection: Connection, schema: Schema, tables: Sequence[str], ids: Iterable[str]
) -> dict[str, str]:
    """Return which of some ids are there, each with the first of the tables that has it."""
    parts = []
    for name in tables:
        described = rows.table_of(schema.catalogue, name)
        (key,) = described.primary_key
        kind = described.columns[key].type
        fitting = [one for one in sorted(ids) if kind != "uuid" or rows.is_uuid(one)]
        parts.append(
            sql.SQL("SELECT {}, t.{}::text FROM {} t WHERE t.{} = ANY({}::{}[])").format(
                *(sql.Literal(name), sql.Identifier(key), rows.qualified(schema.catalogue, name)),
                *(sql.Identifier(key), sql.Literal(rows.as_array(fitting)), sql.SQL(kind)),
            )
        )
    if not parts:
        return {}
    found = journal.raw(connection).execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {key: table for table, key in sorted(found, reverse=True)}


def _complaint(problems: Sequence[Problem], source: str) -> UsageError:
    """Build the one error that names every problem, in order of the lines."""
    lines = [f"{where}: {why}" if where else why for where, why in dict.fromkeys(problems)]
    if not source:
        return UsageError("\n  ".join(lines), "Nothing was planned.")
    count = f"{len(lines)} problem{'s' * (len(lines) > 1)}"
    return UsageError(
        "\n  ".join([f"{source} has {count}:", *lines]), "Nothing was planned; correct all of them first."
    )


def _line_number(problem: Problem) -> int:
    return int("".join(filter(str.isdigit, problem.where)) or 0)
