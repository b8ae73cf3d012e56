"""What members are compared by, field by field, and how fields of each kind are weighed.

Names, mailboxes and phone numbers speak of one another; the model weighs them (``model.py``). Here is what stands by itself:
days, identifiers, addresses, and what a club has of a kind besides the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, get_args

from workbench.murmurant.schema import Schema
from workbench.settings import FieldKind

FIELDS = {
    "first_name": "given",
    "last_name": "family",
    "email": "email",
    "phone": "phone",
    "joined_at": "joined",
}
"""The columns that are compared in every club, each with its kind."""

KINDS: tuple[str, ...] = get_args(FieldKind)
"""The kinds that a further column can be of."""

_FURTHER_FIELD = "further_"  # so that no column of a club is called as one that is reckoned here

_KNOWN = {
    "date": "birthdate birthday dateofbirth dob",
    "address": "address homeaddress mailingaddress postaladdress streetaddress",
    "email": "alternateemail email2 secondaryemail",
    "phone": "alternatephone cellphone homephone mobile mobilephone phone2 secondaryphone workphone",
}
"""Columns that are compared wherever a club has them, by kind; spelled without case and underscores."""


SHARES = ["comparison", "level", "m_shipped", "m", "u_shipped", "u"]
"""What is told of a share that is not as shipped."""


class Level(NamedTuple):
    """One way in which two records agree or differ.

    Attributes
    ----------
    label : str
        What people are told: the explanation; what stands in brackets tells levels of one explanation apart.
    condition : str
        SQL over the two records ``l`` and ``r``; the first level of a comparison whose condition holds counts.
    m : float
        Its share among pairs of one person.
    u : float
        Its share among pairs of strangers; with a term, as a multiple of the value's own share.
    home : float, optional
        Its share among housemates; else as among strangers.
    term : str
        The column whose value's share (``tf_...``) is a factor of ``u``: what is rare proves more.
    least : float
        The least share of a value, so that nothing proves more than it can.
    sure : bool
        Whether it leaves no doubt that a person would want to look into.
    counted : bool
        Whether ``u`` is counted among random pairs of the members themselves.
    """

    label: str
    condition: str
    m: float
    u: float
    home: float | None = None
    term: str = ""
    least: float = 0.0
    sure: bool = False
    counted: bool = False


class Comparison(NamedTuple):
    """One thing that two records are compared by; ``missing``: the condition under which nothing can be said."""

    name: str
    missing: str
    levels: tuple[Level, ...]


def further_columns(schema: Schema, named: Mapping[str, str]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return what else members can be compared by: each field with its column and kind; and what was left out.

    Parameters
    ----------
    named : mapping of str to str
        Columns that the settings name, with their kinds.
    """
    table = schema.resolved["members"]
    readable = [
        name for name, column in schema.catalogue.tables[table.table].columns.items() if column.readable
    ]
    spelled = {_plain(name): name for name in readable}
    every = {real for canonical, real in table.spelling.items() if canonical in ("id", *FIELDS)}
    known = {spelling: kind for kind, spellings in _KNOWN.items() for spelling in spellings.split()}
    kinds = {name: known[_plain(name)] for name in readable if _plain(name) in known and name not in every}
    notes = []
    for name, kind in named.items():
        real = name if name in readable else spelled.get(_plain(name))
        if real is None:
            notes.append(
                f'"{table.table}" has no readable column "{name}", which the settings name. It is not compared.'
            )
        elif real in every:
            notes.append(
                f'The settings name "{real}", which is compared everywhere; it is not compared twice.'
            )
        else:
            kinds[real] = kind
    fields: dict[str, tuple[str, str]] = {}
    for real, kind in kinds.items():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", real).lower()
        field = _FURTHER_FIELD + re.sub(r"\W", "_", snake, flags=re.ASCII)
        while field in fields:
            field += "_"
        fields[field] = real, kind
    return fields, notes


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def spoken(name: str) -> str:
    """Return what people call a field or a comparison."""
    return name.removeprefix(_FURTHER_FIELD).replace("_", " ").strip()


def explanation(compared: str, level: Level) -> str:
    """Return what people are told of a level; of a further field with its name."""
    label = level.label.partition(" (")[0]
    return f"{spoken(compared)}: {label}" if compared.startswith(_FURTHER_FIELD) else label


def comparison_name(field: str) -> str:
    """Return what a field's comparison is called."""
    return field.removesuffix("_at")


def further_comparisons(fields: Mapping[str, str], members: int) -> list[Comparison]:
    """Return the comparisons of the fields that stand by themselves, in the fields' order."""
    comparisons = []
    for field, kind in fields.items():
        if kind in _COMPARED:
            left, right = f"l.{field}", f"r.{field}"
            levels = _COMPARED[kind](field, left, right, members)
            comparisons.append(
                Comparison(comparison_name(field), f"{left} IS NULL OR {right} IS NULL", levels)
            )
        elif kind in _FURTHER and field not in FIELDS:
            comparisons.append(_another(field, *_FURTHER[kind]))
    return comparisons


def _joined(field: str, left: str, right: str, members: int) -> tuple[Level, ...]:
    """Compare the days of joining; how many strangers share one is counted, since imports give one day to all."""
    near = f"(abs({left}_day - {right}_day) <= 31 OR {_turned(left, right)})"
    return (
        Level("joined on the same day", f"{left} = {right}", 0.50, 1, 0.30, field, 3e-4),
        Level("joined about the same time", near, 0.07, 0.0186, counted=True),
        Level("joined on another day", "ELSE", 0.40, 0.98, 0.70, counted=True),
    )


def _turned(left: str, right: str) -> str:
    return f"substr({left}, 1, 4) || substr({left}, 7, 2) || substr({left}, 5, 2) = {right}"


def _date(field: str, left: str, right: str, members: int) -> tuple[Level, ...]:
    """Compare days that stay, as of birth; they differ by slips, seldom by more. How often strangers' do is counted."""
    parts = " + ".join(
        f"CASE WHEN substr({left}, {at}) = substr({right}, {at}) THEN 1 ELSE 0 END"
        for at in ("1, 4", "5, 2", "7, 2")
    )
    edits = f"damerau_levenshtein({left}, {right})"
    return (
        Level("same day", f"{left} = {right}", 0.80, 1, None, field, 1e-5),
        Level("day but for a slip", f"({edits} = 1 OR {_turned(left, right)})", 0.06, 0.001, counted=True),
        Level("day but for the day, month or year", f"{parts} = 2", 0.03, 0.005, counted=True),
        Level("days of one month", f"abs({left}_day - {right}_day) <= 31", 0.01, 0.0186, counted=True),
        Level(
            "day but for two slips, or days of one year",
            f"({edits} = 2 OR abs({left}_day - {right}_day) <= 366)",
            0.04,
            0.03,
            counted=True,
        ),
        Level("another day", "ELSE", 0.07, 0.94, counted=True),
    )


def _identifier(field: str, left: str, right: str, members: int) -> tuple[Level, ...]:
    """Compare numbers that one person alone should have."""
    edits = f"damerau_levenshtein({left}, {right})"
    return (
        Level("same number", f"{left} = {right}", 0.85, 1, None, field, 0.001 / members, sure=True),
        Level("number but for a slip", f"{edits} = 1", 0.08, 1e-4, counted=True),
        Level(
            "number but for two slips",
            f"{edits} = 2 AND least(length({left}), length({right})) > 5",
            0.02,
            1e-3,
            counted=True,
        ),
        Level("another number", "ELSE", 0.05, 0.999, counted=True),
    )


def _address(field: str, left: str, right: str, members: int) -> tuple[Level, ...]:
    """Compare postal addresses; one person moves, and a household shares one."""
    alike = f"jaro_winkler_similarity({left}, {right})"
    return (
        Level("same address", f"{left} = {right}", 0.55, 1, 0.85, field, 0.1 / members),
        Level("address but for slips", f"{left}_numbers IS NOT DISTINCT FROM {right}_numbers AND {alike} >= 0.8799999", 0.20, 1e-4, 0.05, counted=True),
        Level("similar address", f"{alike} >= 0.7999999", 0.10, 0.01, 0.02, counted=True),
        Level("another address", "ELSE", 0.15, 0.99, 0.08, counted=True),
    )  # fmt: skip


def _another(
    field: str, what: str, first: str, alone: tuple[float, float, float], home: tuple[float, float]
) -> Comparison:
    """Compare a further value of a kind, also with the first of the other record."""
    left, right = f"l.{field}", f"r.{field}"
    across = " OR ".join(
        f"coalesce({pair}, FALSE)"
        for column in first.split()
        for pair in (f"{left} = r.{column}", f"l.{column} = {right}")
    )
    same, slip, different = alone
    return Comparison(
        comparison_name(field),
        f"({left} IS NULL OR {right} IS NULL) AND NOT ({across})",
        (
            Level(f"same further {what}", f"({left} = {right} OR {across})", same, 1e-4, home[0], counted=True),
            Level(f"further {what} but for a slip", f"(least(length({left}), length({right})) > 3 AND damerau_levenshtein({left}, {right}) = 1)", slip, 1e-4, counted=True),
            Level(f"different further {what}", "ELSE", different, 0.999, home[1], counted=True),
        ),
    )  # fmt: skip


_FURTHER = {
    "name": ("name", "first_name last_name", (0.70, 0.05, 0.25), (0.10, 0.90)),
    "email": ("e-mail", "email", (0.50, 0.05, 0.45), (0.10, 0.90)),
    "phone": ("phone", "phone", (0.50, 0.05, 0.45), (0.45, 0.55)),
}
_COMPARED = {"joined": _joined, "date": _date, "identifier": _identifier, "address": _address}
