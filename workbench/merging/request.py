"""What was asked to be merged: which records into which, and by which rules; pure, every mistake named at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from workbench.errors import UsageError, nearest, unknown

MERGE_RULES = {
    "canonical": "the canonical record's value stays",
    "newest": "the value of the record that was changed last, among those that have one",
    "most-complete": "the canonical record's value, and where it has none that of the fullest duplicate which has one",
}
"""How a field's value is chosen among the records that become one."""


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
    """Duplicates that go into a canonical record.

    Attributes
    ----------
    canonical : str
        The record that stays.
    duplicates : tuple of str
        Sorted.
    chosen_by : str
        What made it the canonical one, in words.
    reason : str
        Why they are merged.
    """

    canonical: str
    duplicates: tuple[str, ...]
    chosen_by: str = "named"
    reason: str = ""


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

    def checked(self, columns: Sequence[str]) -> Wishes:
        """Return these wishes; `UsageError` for a rule or a column that does not exist."""
        for rule in (self.rule, *self.fields.values()):
            if rule not in MERGE_RULES:
                raise unknown("rule", rule, MERGE_RULES)
        for name in (*self.fields, *(name for name, _ in self.by_hand)):
            if name not in columns:
                raise unknown("field", name, columns)
        twice = set(self.fields) & {name for name, _ in self.by_hand}
        if twice:
            raise UsageError(
                f"The field {min(twice)!r} is given a rule and a record.",
                "Name one of them: --field or --set.",
            )
        return self

    def parameters(self) -> dict[str, Any]:
        """Return them as a plan's header has them."""
        return {
            "rule": self.rule,
            "fields": dict(sorted(self.fields.items())),
            "by_hand": [f"{name}={record}" for name, record in self.by_hand],
            "keep": sorted(self.keep),
            "skip_blocked": self.skip_blocked,
        }


def spell_ids(asked: Iterable[Asked], are_uuids: bool) -> tuple[list[Asked], list[Problem]]:
    """Bring ids into the one spelling that the database has; name those that cannot be ids here."""
    problems: list[Problem] = []

    def spelled(each: Named) -> Named:
        text = each.id.strip()
        if are_uuids:
            try:
                text = str(UUID(text))
            except ValueError:
                problems.append(Problem(each.where, f"{text!r} is no id: ids here are UUIDs."))
        return Named(text, each.where)

    found = [
        Asked(
            spelled(each.canonical) if each.canonical else None, tuple(map(spelled, each.others)), each.reason
        )
        for each in asked
    ]
    return found, problems


def leave_out(asked: Iterable[Asked], exceptions: Iterable[str]) -> list[Asked]:
    """Take some records out of what was asked; what has no duplicate left is dropped.

    Raises
    ------
    UsageError
        For a record that nothing names, or that the others are to go into.
    """
    asked, out = list(asked), sorted(set(exceptions))
    named = {each.id for one in asked for each in one.all}
    for each in out:
        if each not in named:
            close = nearest(each, named)
            raise UsageError(
                f"{each!r} is to be left out, but it is not among the records to merge.",
                f"Nearest: {', '.join(close)}." if close else "",
            )
        if any(one.canonical is not None and one.canonical.id == each for one in asked):
            raise UsageError(
                f"{each!r} is to be left out, but others are to go into it.",
                "Name another record as the canonical one.",
            )
    left = [
        Asked(one.canonical, tuple(each for each in one.others if each.id not in out), one.reason)
        for one in asked
    ]
    return [one for one in left if len(one.all) > 1]


def settle(asked: Sequence[Asked]) -> tuple[list[Asked], list[Problem]]:
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
        for each in one.others:
            if one.canonical and each.id == one.canonical.id:
                problems.append(Problem(each.where, f"{each.id} is listed as a duplicate of itself."))
            elif each.id in heads:
                problems.append(Problem(each.where, _chain(each, heads[each.id], one)))
            elif each.id in into:
                problems.append(Problem(each.where, _twice(each, into[each.id], name)))
            else:
                into[each.id] = (name, each.where)
                kept.append(each)
        known = groups.get(name)
        reasons = [each for each in dict.fromkeys((known.reason if known else "", one.reason)) if each]
        groups[name] = Asked(one.canonical, (*(known.others if known else ()), *kept), "; ".join(reasons))
    return list(groups.values()), problems


def complain(problems: Sequence[Problem], source: str) -> UsageError:
    """Build the one error that names every problem, in order of the lines."""
    lines = [f"{each.where}: {each.why}" if each.where else each.why for each in dict.fromkeys(problems)]
    if not source:
        return UsageError("\n  ".join(lines), "Nothing was planned.")
    count = f"{len(lines)} problem{'s' * (len(lines) > 1)}"
    return UsageError(
        "\n  ".join([f"{source} has {count}:", *lines]), "Nothing was planned; correct all of them first."
    )


def line_number(problem: Problem) -> int:
    """Return the line that a problem is in, to sort by."""
    digits = "".join(letter for letter in problem.where if letter.isdigit())
    return int(digits or 0)


def _chain(each: Named, head_where: str, one: Asked) -> str:
    canonical = one.canonical.id if one.canonical else "one of its cluster"
    said = f" ({head_where})" if head_where else ""
    return (
        f"{each.id} is to go into {canonical}, but others are to go into it{said}:"
        " a chain. Name the same canonical record for all of them."
    )


def _twice(each: Named, before: tuple[str, str], name: str) -> str:
    into, where = before
    said = f" ({where})" if where else ""
    if into == name:
        return f"{each.id} is listed twice{said}."
    return f"{each.id} is in two clusters{said}: it can go into one record only."
