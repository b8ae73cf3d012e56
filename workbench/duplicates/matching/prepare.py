"""What is counted once, in SQL (``prepare.sql``), before pairs are compared: how frequent values are, and which pairs are worth it.

From `folded`, one row per member, come `people` with the columns that the model's conditions speak of, a table of shares for
each term of the model (``tf_...``), and `pairs`, which grow with the members, never with their square.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

from workbench.duplicates.matching.engines import Engine
from workbench.duplicates.matching.fields import FIELDS, spoken
from workbench.duplicates.matching.folding import PARTS, fold_rows
from workbench.duplicates.matching.model import PETS, Model
from workbench.duplicates.matching.names import UNLISTED, census, kin

_SPREAD = 20 * 365
"""Days that the middle half of joining days must span to be taken for days of birth."""

LARGEST_BLOCK = 50
"""Members that may share a key: 1225 pairs."""

FAMILY = 3
"""Up to so many names behind one address, and one more behind one phone number, are a family; more are an office."""

LINE = 20
"""Up to so many names behind one phone number there are housemates among them; more are a switchboard or a placeholder."""

_SAMPLE = 300_000
"""Random pairs that are drawn."""


class Key(NamedTuple):
    """What two members must share to be compared, and what further where more than `LARGEST_BLOCK` share it.

    A key that speaks of ``word`` stands for either name in turn, so that names in each other's place meet.
    """

    label: str
    shared: str
    further: str
    words: tuple[str, ...] = ("first_name", "last_name")


_KEYS = (
    Key("mailbox", "email", "names"),
    Key("phone number", "phone", "names"),
    Key("both names", "names", "joined_at_day // 31"),
    Key("the beginnings of both names", "starts", "joined_at"),
    Key("local part of the e-mail address", "email_local", "names"),
    Key("a name and the end of the phone number", "word || '|' || phone_end", "joined_at"),
    Key("a name and the beginning of the phone number", "word || '|' || phone_start", "joined_at"),
    Key("a name and the end of the e-mail address", "word || '|' || email_end", "joined_at"),
    Key("a name and the beginning of the e-mail address", "word || '|' || email_start", "joined_at"),
)
_DAY_KEYS = (
    Key("a name and the day", "word || '|' || {0}", "phone_end"),
    Key("the day and the end of the e-mail address", "{0} || '|' || email_end", "first_name"),
)
_DATE_KEYS = (
    Key("the day", "{0}", "initials"),
    Key("a name and the day of the year", "word || '|' || substr({0}, 5)", "substr({0}, 3, 1)"),
    Key("a name, month and year", "word || '|' || substr({0}, 1, 6)", "initials"),
)
_FIELD_KEYS = {
    "joined": _DAY_KEYS,
    "date": (*_DAY_KEYS, *_DATE_KEYS),
    "identifier": (Key("the {0}", "{0}", "initials"),),
    "address": (
        Key("the {0}", "{0}", "first_name"),
        Key("a name and the {0}'s numbers", "word || '|' || {0}_numbers", "joined_at"),
    ),
    "email": (Key("the {0}", "word", "names", ("email", "{0}")),),
    "phone": (Key("the {0}", "word", "names", ("phone", "{0}")),),
    "name": (Key("the {0}", "word", "joined_at", ("last_name", "{0}")),),
}


def keys(fields: Mapping[str, str]) -> list[Key]:
    """Return what two members must share to be compared, by the fields that there are."""
    return list(_KEYS) + [
        Key(
            key.label.format(field),
            key.shared.format(field),
            key.further.format(field),
            tuple(word.format(field) for word in key.words),
        )
        for field, kind in fields.items()
        if kind != FIELDS.get(field) or kind == "joined"
        for key in _FIELD_KEYS.get(kind, ())
    ]


class Counts(NamedTuple):
    """What the model needs to know of the club as a whole.

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
    """Make the tables that Splink compares, of members with the values of some fields; absent fields are empty.

    Raises
    ------
    ValueError
        When two rows have one id.
    """
    queries = _queries()
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

    partners = max(min(_SAMPLE // max(members, 1), (members - 1) // 2), 1)  # of each member, for random pairs
    figures: dict[str, Any] = {
        "members": max(members, 1),
        "housemates": _double(model.housemates_each),
        # Housemates of one name who share nothing else: father and son.
        "namesakes": _double(model.housemates_each * 0.85 * 0.003 * 0.2 / max(members, 1)),
        "exchanged": _double(model.exchanged),
        "census_weight": _double(model.census_weight),
        "unlisted": _double(UNLISTED),
        "family": FAMILY,
        "line": LINE,
        "largest": LARGEST_BLOCK,
        "sample": _SAMPLE,
        "keys": " UNION ALL ".join(_key_queries(keys(kinds))),
        "steps": ", ".join(f"({step})" for step in range(1, partners + 1)),
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
        f"{row['members']:,} members were not compared by {keys(kinds)[row['key']].label} alone: in {row['blocks']:,} groups more than"
        f" {LARGEST_BLOCK} share it; other keys compared those of them who share more."
        for row in engine.rows(queries["left_out"].format(**figures)).to_pylist()
    ]
    named_addresses = club["named_addresses"] / max(members, 1)
    return Counts(members, pairs, named_addresses, kinds, noted, notes)


def _queries() -> dict[str, str]:
    text = files("workbench.duplicates.matching").joinpath("prepare.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- \[(\w+)\]$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _double(number: float) -> str:
    """Write a number as no engine takes for a decimal."""
    return text if "e" in (text := repr(float(number))) else f"{text}e0"


def _key_queries(wanted: Sequence[Key]) -> Iterable[str]:
    for number, key in enumerate(wanted):
        words = key.words if "word" in key.shared else ("",)
        for word in words:
            shared, further = (text.replace("word", word) for text in (key.shared, key.further))
            # Who has one word twice is in a group once.
            once = f" WHERE {word} IS DISTINCT FROM {words[0]}" if word != words[0] else ""
            yield f"SELECT {number} AS key, place, {shared} AS shared, cast({further} AS varchar) AS further FROM people{once}"


def _load_members(
    engine: Engine, folder: str, rows: Iterable[Sequence[Any]], fields: Mapping[str, str]
) -> None:
    """Write the folded members, and what is known of the names that they bear."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    text, number = pyarrow.string(), pyarrow.float64()
    types = {"VARCHAR": text, "INTEGER": pyarrow.int32(), "BOOLEAN": pyarrow.bool_()}
    folded = [("id", text), ("generation", types["INTEGER"])]
    for field, kind in [
        *fields.items(),
        *((field, kind) for field, kind in FIELDS.items() if field not in fields),
    ]:
        folded += [(f"{field}{part}", types[type_]) for part, type_ in PARTS[kind].items()]

    def load(
        name: str, columns: Sequence[tuple[str, Any]], portions: Iterable[Sequence[Sequence[Any]]]
    ) -> None:
        schema = pyarrow.schema(columns)
        path = Path(folder, f"{name}.parquet")
        with ParquetWriter(path, schema) as file:
            for portion in portions:
                absent = (None,) * (len(columns) - len(portion[0]))
                values = zip(*((*row, *absent) for row in portion), strict=True)
                arrays = [
                    pyarrow.array(column, field.type) for column, field in zip(values, schema, strict=True)
                ]
                file.write_table(pyarrow.table(arrays, schema=schema))
        engine.load(name, str(path))

    load("folded", folded, fold_rows(rows, fields))
    present = engine.rows(
        "SELECT first_name AS name FROM folded UNION SELECT last_name FROM folded ORDER BY 1"
    )
    names = [row["name"] for row in present.to_pylist() if row["name"]]
    shares = [(name, *census()[name][:2]) for name in names if name in census()]
    load(
        "census", [("name", text), ("first_name", number), ("last_name", number)], [shares] if shares else []
    )
    forms: dict[str, list[tuple[str, str]]] = {}
    borne = set(names)
    for name, form, factor in kin(names):
        if form in borne and (strength := _strength(factor)) is not None:
            forms.setdefault(name, []).append((form, f"{strength}{form}"))
    known = [(name, *map(list, zip(*pairs, strict=True))) for name, pairs in forms.items()]
    texts = pyarrow.list_(text)
    load("kin", [("name", text), ("forms", texts), ("likely", texts)], [known] if known else [])


def _strength(factor: float) -> int | None:
    """Return which of the `PETS` is nearest; None where one person hardly has both more often than two strangers."""
    if factor < PETS[-1] / 2:
        return None
    return min(range(len(PETS)), key=lambda place: abs(log2(PETS[place]) - log2(factor)))
