"""What members are compared by, and the model of a match: how likely each agreement is for one person, strangers and housemates.

The model is Fellegi and Sunter's, as data: ``model.toml`` has every level with its shares and their source. Two records are one
person, two strangers, or two people of one household. Housemates share surname, phone, and often an address or the day they
joined, which would otherwise count as proof that they are one. So pairs that share two of surname, phone and mailbox are weighed
against housemates, all others against strangers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.documents import write_whole
from workbench.duplicates.matching.engines import read_queries
from workbench.errors import UsageError
from workbench.murmurant.schema import Schema

DEFAULT_THRESHOLD = 0.7
"""From this probability on a pair is worth a person's look: more than two in three are one person."""

OFFER_THRESHOLD = 0.99
"""From this probability on, and with nothing serious against it, a pair is offered without review."""

PETS = (150.0, 50.0, 18.0, 6.0)
"""How much more often one person has two forms of a name than two strangers have them: classes, as in ``model.toml``."""

FIELDS = {
    "first_name": "given",
    "last_name": "family",
    "email": "email",
    "phone": "phone",
    "joined_at": "joined",
}
"""The columns that are compared in every club, each with its kind."""

SHARES = ["comparison", "level", "m_shipped", "m", "u_shipped", "u"]
"""The columns of a frame of shares that are not as shipped."""

_FURTHER_FIELD = "further_"  # keeps a club's own columns apart from computed ones

_KNOWN = {
    "date": "birthdate birthday dateofbirth dob",
    "address": "address homeaddress mailingaddress postaladdress streetaddress",
    "email": "alternateemail email2 secondaryemail",
    "phone": "alternatephone cellphone homephone mobile mobilephone phone2 secondaryphone workphone",
}
"""Columns that are compared wherever a club has them, by kind; spelled without case and underscores."""

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[float, Field(gt=0)]


class Level(NamedTuple):
    """One way in which two records agree or differ; the fields are explained in ``model.toml``."""

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


class Shares(BaseModel):
    """What replaces a level's shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    m: Share | None = None
    u: Count | None = None
    home: Count | None = None


class Model(BaseModel):
    """What is assumed of members, duplicates and households; a frozen value.

    Attributes
    ----------
    duplicates_each : float
        How many further records of themselves a member has, on average. After a migration that went wrong there is about
        one duplicate per hundred members.
    housemates_each : float
        How many housemates a member has among the members, on average: 15% live in households of three.
    shares : dict
        By comparison and label, the shares that replace those of ``model.toml``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    duplicates_each: Count = 0.02
    housemates_each: Count = 0.30
    shares: dict[str, dict[str, Shares]] = {}

    @model_validator(mode="after")
    def _knows_every_label(self) -> Self:
        data = read_model()
        of_kinds = [entry for table in data["kinds"].values() for entry in table["levels"]]
        for name, labels in self.shares.items():
            entries = data[name]["levels"] if name in data.keys() - {"keys", "kinds"} else of_kinds
            for label in labels.keys() - {entry["label"] for entry in entries}:
                raise ValueError(f"there is no {name}: {label}")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Model:
        """Read parameters from a JSON file; what it does not name is as shipped.

        Raises
        ------
        UsageError
            When there is no such file, it is not JSON, or a parameter is unknown or out of range.
        """
        try:
            return cls.model_validate_json(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The model {path} cannot be read: {error}.", _ADVICE) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise UsageError(f"{path} is not a model: {place}: {first['msg']}.", _ADVICE) from error

    def write(self, path: str | Path) -> None:
        """Write the parameters as JSON, to be changed and read again."""
        text = self.model_dump_json(indent=2, exclude_none=True) + "\n"
        write_whole(Path(path), text.encode(), "model")


_ADVICE = "`workbench duplicates train --out FILE` writes a model to start from."


@cache
def read_model() -> dict[str, Any]:
    """Return the model's keys and comparisons as ``model.toml`` has them."""
    text = files("workbench.duplicates.matching").joinpath("model.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def comparisons(
    model: Model, members: int = 2, named: float = 0.0, fields: Mapping[str, str] = FIELDS
) -> list[Comparison]:
    """Return the model's comparisons for a club.

    Parameters
    ----------
    members : int
        How many members it has.
    named : float
        The share of e-mail addresses that say their owner's first name.
    fields : mapping of str to str
        What is compared, with its kind.
    """
    data = read_model()
    divisors = {"members": float(members), "named": max(4 * named**2, 1.0)}
    compared = [_comparison(name, data[name], "", divisors) for name in data if name not in ("keys", "kinds")]
    for field, kind in fields.items():
        if is_weighed_by_kind(field, kind):
            compared.append(_comparison(field.removesuffix("_at"), data["kinds"][kind], field, divisors))
    return [changed(comparison, model) for comparison in compared]


def is_weighed_by_kind(field: str, kind: str) -> bool:
    """Return whether a field is weighed like any other of its kind: all but names, e-mail and phone of every club."""
    return kind != FIELDS.get(field) or kind == "joined"


def _comparison(name: str, table: Mapping[str, Any], field: str, divisors: Mapping[str, float]) -> Comparison:
    missing = table.get("missing", "l.{field} IS NULL OR r.{field} IS NULL")
    levels = tuple(
        Level(**{key: _value(value, field, divisors) for key, value in entry.items()})
        for entry in table["levels"]
    )
    return Comparison(name, _value(missing, field, divisors), levels)


def _value(value: Any, field: str, divisors: Mapping[str, float]) -> Any:
    """Return an entry of ``model.toml`` with the field's name filled in and the division carried out."""
    if not isinstance(value, str):
        return value
    number, _, divisor = value.partition(" / ")
    if divisor:
        return float(number) / divisors[divisor]
    return _expand(value.replace("{field}", field), _conditions())


@cache
def _conditions() -> dict[str, tuple[list[str], str]]:
    """Return the parameters and the SQL of each condition of ``conditions.sql``."""
    conditions: dict[str, tuple[list[str], str]] = {}
    for signature, text in read_queries("conditions.sql").items():
        name, *parameters = re.findall(r"\w+", signature)
        conditions[name] = parameters, _expand(re.sub("(?m)^--.*\n", "", text), conditions)
    return conditions


def _expand(text: str, conditions: Mapping[str, tuple[list[str], str]]) -> str:
    """Put the SQL of conditions in the place of their names."""
    for name, definition in conditions.items():
        text = re.sub(rf"\b{name}\(([^()]*)\)", partial(_fill, *definition), text)
    return text


def _fill(parameters: list[str], condition: str, call: re.Match[str]) -> str:
    arguments = dict(zip(parameters, call[1].split(", "), strict=True))
    return f"({re.sub('[a-z_]+', lambda word: arguments.get(word[0], word[0]), condition)})"


def changed(comparison: Comparison, model: Model) -> Comparison:
    """Return a comparison with the shares that the model was given."""
    given = model.shares.get(comparison.name, {})
    levels = (
        level._replace(**given[level.label].model_dump(exclude_none=True)) if level.label in given else level
        for level in comparison.levels
    )
    return comparison._replace(levels=tuple(levels))


def level_query(comparison: Comparison) -> str:
    """Return the SQL of a pair's level: its place among the comparison's, or -1 where nothing can be said."""
    cases = [f"WHEN {level.condition} THEN {at}" for at, level in enumerate(comparison.levels[:-1])]
    return f"CASE WHEN {comparison.missing} THEN -1 {' '.join(cases)} ELSE {len(comparison.levels) - 1} END"


def splink_settings(
    model: Model, compared: list[Comparison], members: int, *, told_apart: bool
) -> dict[str, Any]:
    """Return Splink's settings: a pair's probability against strangers, or against housemates where it may be two of them.

    Which level a pair reached stands in its ``match_key``: "h" for housemates or "s", then a letter for each comparison, "a"
    where nothing can be said. Where nothing tells housemates apart, two who may live together are as likely two however many
    duplicates there are.
    """
    strangers = model.duplicates_each / max(members - 1, 1)
    duplicates = model.duplicates_each if told_apart else min(model.duplicates_each, Model().duplicates_each)
    household = duplicates / model.housemates_each / strangers
    shared = [
        _splink_level(_HOME, min(household, 1.0), min(1 / household, 1.0)),
        _splink_level("ELSE", 1.0, 1.0),
    ]
    comparisons = [
        {"output_column_name": comparison.name, "comparison_levels": [*_splink_levels(comparison, place)]}
        for place, comparison in enumerate(compared, start=2)
    ]
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "place",
        "probability_two_random_records_match": strangers / (1 + strangers),
        "blocking_rules_to_generate_predictions": [],
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
        "comparisons": [*comparisons, {"output_column_name": "household", "comparison_levels": shared}],
    }


_HOME = "substr(match_key, 1, 1) = 'h'"


def _splink_level(condition: str, m: float, u: float) -> dict[str, Any]:
    return {"sql_condition": condition, "m_probability": m, "u_probability": u}


def _splink_levels(comparison: Comparison, place: int) -> Iterator[dict[str, Any]]:
    """Yield a comparison's levels; ``place`` is that of its letter in ``match_key``."""
    letter = f"substr(match_key, {place}, 1)"
    yield {"sql_condition": f"{letter} = 'a'", "is_null_level": True}
    for at, level in enumerate(comparison.levels):
        reached = f"{letter} = '{chr(ord('b') + at)}'"
        if level.home:
            yield _splink_level(f"{reached} AND {_HOME}", level.m, level.home)
        if level.term:
            # Splink divides by the larger share of the two values: its m and u here are multiples of that.
            yield _splink_level(reached, min(level.m / level.u, 1.0), 1.0) | {
                "tf_adjustment_column": level.term,
                "tf_minimum_u_value": level.least,
                "disable_tf_exact_match_detection": True,
            }
        else:
            yield _splink_level(reached if at < len(comparison.levels) - 1 else "ELSE", level.m, level.u)


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
