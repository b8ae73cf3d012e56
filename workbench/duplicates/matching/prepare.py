"""Prepare the comparison in SQL (``prepare.sql``): how common values are, which pairs to compare, and the levels they reach.

From `folded`, one row per member, come `people` with the columns that the model's conditions speak of, a table of shares for
each term of the model (``tf_...``), and `pairs`, which grow with the members, never with their square.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

from workbench.duplicates.matching.engines import Engine, read_queries
from workbench.duplicates.matching.folding import PARTS, fold_rows
from workbench.duplicates.matching.model import (
    FIELDS,
    PETS,
    Model,
    comparisons,
    is_weighed_by_kind,
    level_query,
    read_model,
    spoken,
)
from workbench.duplicates.matching.names import UNLISTED, census, kin

_SPREAD = 20 * 365
"""If the middle half of the joining dates spans so many days, they are taken for dates of birth."""

LARGEST_BLOCK = 50
"""Maximum number of members that are all compared because they share a key: 1,225 pairs."""

FAMILY = 3
"""Maximum number of names that share an address in a family, one more for a phone number; more are an office."""

LINE = 20
"""Maximum number of names that share a phone number in a household; more are a switchboard or a placeholder."""

_CENSUS = 10_000
"""Weight of the census against the members' own names, in members: in a small club Smith is as common as elsewhere."""

_EXCHANGED = 0.02
"""How often first name and surname are swapped."""

_SAMPLE = 300_000
"""Number of random pairs."""


def find_keys(fields: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return the keys for these fields: each with its label and its queries."""
    data = read_model()["keys"]
    entries = [(entry, "") for entry in data["all"]]
    for field, kind in fields.items():
        if is_weighed_by_kind(field, kind):
            entries += [(entry, field) for entry in data.get(kind, ())]
    return [
        (entry["label"].format(field=field), [*_key_queries(number, entry, field)])
        for number, (entry, field) in enumerate(entries)
    ]


class Counts(NamedTuple):
    """Figures of the whole club that the model needs.

    Attributes
    ----------
    members, pairs : int
        How many there are.
    named_addresses : float
        The share of members whose address says their first name.
    kinds : dict
        The fields' kinds; ``date`` where days of joining turned out to be days of birth.
    noted : list of str
        Which fields are empty, or weighed as another kind.
    notes : list of str
        Which groups were too large to compare everybody in.
    """

    members: int
    pairs: int
    named_addresses: float
    kinds: dict[str, str]
    noted: list[str]
    notes: list[str]


def prepare(
    engine: Engine, folder: str, rows: Iterable[Sequence[Any]], fields: Mapping[str, str], model: Model
) -> Counts:
    """Create the tables that Splink compares, from members with the values of some fields; other fields are empty.

    Raises
    ------
    ValueError
        When two rows have one id.
    """
    queries = read_queries("prepare.sql")
    _load_members(engine, folder, rows, fields)
    further = [field for field in fields if field not in FIELDS]
    days = [field for field, kind in fields.items() if kind == "joined"]
    counts = [f", count({field}) AS {field}" for field in further]
    for field in days:
        quartiles = (f"percentile_cont({at}) WITHIN GROUP (ORDER BY {field}_day)" for at in ("0.75", "0.25"))
        counts.append(f", {' - '.join(quartiles)} AS {field}")
    (club,) = engine.rows(queries["figures"].format(counts="".join(counts))).to_pylist()
    members = int(club["members"])
    if members != club["ids"]:
        raise ValueError("Two members have one id.")
    kinds, noted = dict(fields), []
    for field in further:
        if kinds[field] != "joined" and not club[field]:
            del kinds[field]
            noted.append(f"No member has anything that can be compared as {spoken(field)}: it is left out.")
    for field in days:
        if (club[field] or 0) >= _SPREAD:
            kinds[field] = "date"
            noted.append(f"The days of {field} lie as far apart as days of birth: they are weighed as such.")

    keys = find_keys(kinds)
    partners = max(min(_SAMPLE // max(members, 1), (members - 1) // 2), 1)  # of each member, for random pairs
    figures: dict[str, Any] = {
        "members": max(members, 1),
        "housemates": _double(model.housemates_each),
        # Housemates of one name who share nothing else: father and son.
        "namesakes": _double(model.housemates_each * 0.85 * 0.003 * 0.2 / max(members, 1)),
        "exchanged": _double(_EXCHANGED),
        "census_weight": _double(_CENSUS),
        "unlisted": _double(UNLISTED),
        "family": FAMILY,
        "line": LINE,
        "largest": LARGEST_BLOCK,
        "sample": _SAMPLE,
        "keys": " UNION ALL ".join(query for _, by_word in keys for query in by_word),
        "steps": ", ".join(f"({step})" for step in range(1, partners + 1)),
        "levels": " || ".join(
            f"chr(ascii('b') + {level_query(comparison)})" for comparison in comparisons(model, fields=kinds)
        ),
        "addresses": "".join(
            f" + CASE WHEN coalesce(l.{field} = r.{field}, FALSE) THEN 1 ELSE 0 END"
            for field, kind in kinds.items()
            if kind == "address"
        ),
    }
    for column in ("first_name", "last_name"):
        engine.table(f"{column}_shares", queries["shares"].format(column=column, **figures))
    for name in ("people", *(name for name in queries if name.startswith("tf_")), "keyed", "pairs", "random"):
        engine.table(name, queries[name].format(**figures))
    for field, kind in kinds.items():
        if query := queries.get("date" if kind == "joined" else kind):
            engine.table(f"tf_{field}", query.format(field=field, **figures))
    ((pairs,),) = (row.values() for row in engine.rows("SELECT count(*) AS pairs FROM pairs").to_pylist())
    notes = [
        f"{row['members']:,} members were not compared by {keys[row['key']][0]} alone: in {row['blocks']:,} groups more than"
        f" {LARGEST_BLOCK} share it; other keys compared those of them who share more."
        for row in engine.rows(queries["left_out"].format(**figures)).to_pylist()
    ]
    named_addresses = club["named_addresses"] / max(members, 1)
    return Counts(members, pairs, named_addresses, kinds, noted, notes)


def _double(number: float) -> str:
    """Write a number as a floating-point literal for both engines."""
    return text if "e" in (text := repr(float(number))) else f"{text}e0"


def _key_queries(number: int, entry: Mapping[str, Any], field: str) -> Iterator[str]:
    """Yield the queries of a key: one, or one for each of its words."""
    words = entry.get("words", ("first_name", "last_name")) if "word" in entry["shared"] else ("",)
    words = [word.format(field=field) for word in words]
    for word in words:
        shared, further = (
            entry[part].replace("word", word).format(field=field) for part in ("shared", "further")
        )
        # A member whose two names are the same has the key once.
        once = f" WHERE {word} IS DISTINCT FROM {words[0]}" if word != words[0] else ""
        yield f"SELECT {number} AS key, place, {shared} AS shared, cast({further} AS varchar) AS further FROM people{once}"


def _load_members(
    engine: Engine, folder: str, rows: Iterable[Sequence[Any]], fields: Mapping[str, str]
) -> None:
    """Load the normalised members, and the census's shares and nicknames of their names."""
    columns = {"id": "string", "generation": "int32"}
    for field, kind in (dict(fields) | {name: FIELDS[name] for name in FIELDS if name not in fields}).items():
        columns |= {f"{field}{part}": type_ for part, type_ in PARTS[kind].items()}
    _load(engine, folder, "folded", columns, fold_rows(rows, fields))
    present = engine.rows(
        "SELECT first_name AS name FROM folded UNION SELECT last_name FROM folded ORDER BY 1"
    )
    names = [row["name"] for row in present.to_pylist() if row["name"]]
    shares = [(name, *census()[name][:2]) for name in names if name in census()]
    _load(
        engine,
        folder,
        "census",
        {"name": "string", "first_name": "float64", "last_name": "float64"},
        [shares],
    )
    forms: dict[str, tuple[list[str], list[str]]] = {}
    borne = set(names)
    for name, form, factor in kin(names):
        if form in borne and (strength := _strength(factor)) is not None:
            known, likely = forms.setdefault(name, ([], []))
            known.append(form)
            likely.append(f"{strength}{form}")
    known_forms = [(name, *lists) for name, lists in forms.items()]
    _load(engine, folder, "kin", {"name": "string", "forms": "list", "likely": "list"}, [known_forms])


def _load(
    engine: Engine,
    folder: str,
    name: str,
    columns: Mapping[str, str],
    portions: Iterable[Sequence[Sequence[Any]]],
) -> None:
    """Create a table from rows; missing columns at the end are NULL."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    texts = pyarrow.list_(pyarrow.string())
    schema = pyarrow.schema(
        [
            (column, texts if type_ == "list" else pyarrow.type_for_alias(type_))
            for column, type_ in columns.items()
        ]
    )
    path = Path(folder, f"{name}.parquet")
    with ParquetWriter(path, schema) as file:
        for portion in filter(None, portions):
            values = [*zip(*portion, strict=True)]
            values += [(None,) * len(portion)] * (len(schema) - len(values))
            file.write_table(pyarrow.table(values, schema=schema))
    engine.load(name, str(path))


def _strength(factor: float) -> int | None:
    """Return the index of the nearest of the `PETS`; None if the two names are hardly more frequent for one person."""
    if factor < PETS[-1] / 2:
        return None
    return min(range(len(PETS)), key=lambda place: abs(log2(PETS[place]) - log2(factor)))
