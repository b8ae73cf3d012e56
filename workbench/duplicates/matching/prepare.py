"""What is reckoned once, in SQL, before pairs are compared: how frequent values are, and which pairs are worth comparing.

From `folded`, one row per member, come `people` with the columns that the model's conditions speak of, a table of
shares for each term of the model (``tf_...``), and `pairs`. Each is a plain SELECT, so that it runs on any engine that
Splink runs on. The pairs grow with the members, never with their square.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.duplicates.matching.fields import FIELDS, spoken
from workbench.duplicates.matching.folding import PARTS, fold_rows
from workbench.duplicates.matching.model import PETS, Model
from workbench.duplicates.matching.names import UNLISTED, census, kin

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SPREAD = 20 * 365
"""Days that the middle half of joining days must span to be taken for days of birth."""

LARGEST_BLOCK = 50
"""Members that may share a key: 1225 pairs."""

FAMILY = 3
"""Up to so many names behind one address, and one more behind one phone number, are a family; more are an office."""

LINE = 20
"""Up to so many names behind one phone number there are housemates among them; more are a switchboard or a placeholder."""


class Key(NamedTuple):
    """What two members must share to be compared, and what further where more than `LARGEST_BLOCK` share it.

    A key that speaks of ``word`` stands for either name in turn, so that names in each other's place meet.
    """

    said: str
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


def keys(fields: Mapping[str, str]) -> Iterable[Key]:
    """Yield what two members must share to be compared, by the fields that there are."""
    yield from _KEYS
    for field, kind in fields.items():
        if kind != FIELDS.get(field) or kind == "joined":
            for key in _FIELD_KEYS.get(kind, ()):
                said, shared, further = (text.format(field) for text in key[:3])
                yield Key(said, shared, further, tuple(word.format(field) for word in key.words))


_SHARES = """
    CREATE TABLE {0}_shares AS
    WITH counted AS (SELECT {0} AS name, count(*) AS bearers FROM folded WHERE {0} IS NOT NULL GROUP BY {0}),
    -- What the census does not list is mostly as rare as misspellings; where a club has many such names it is not.
    strange AS (SELECT sum(bearers) AS strangers, count(*) AS names FROM counted LEFT JOIN census USING (name)
        WHERE coalesce(census.{0}, 0) = 0),
    least AS (SELECT coalesce(power(strangers / (SELECT sum(bearers) FROM counted), 2) / names, 0) AS least FROM strange),
    others AS (SELECT name, bearers, greatest(bearers - 2, 0) AS others, coalesce(census.{0}, 0) AS listed,
        (SELECT count(*) FROM folded) AS members FROM counted LEFT JOIN census USING (name))
    SELECT name, listed > 0 OR bearers >= 3 AS known, greatest(least, others / members,
        (others + {1} * greatest(listed, {2})) / (members + {1})) AS share
    FROM others CROSS JOIN least
"""

_PEOPLE = """
    CREATE TABLE people AS
    SELECT folded.*, cast(row_number() OVER (ORDER BY id) AS integer) AS place,
        least(first_name, last_name) || ' ' || greatest(first_name, last_name) AS names,
        first_name || '|' || last_name AS both_names,
        least(substr(first_name, 1, 3), substr(last_name, 1, 3)) || greatest(substr(first_name, 1, 3), substr(last_name, 1, 3)) AS starts,
        least(substr(first_name, 1, 1), substr(last_name, 1, 1)) || greatest(substr(first_name, 1, 1), substr(last_name, 1, 1)) AS initials,
        coalesce(given.known, FALSE) AS first_known, given.share AS first_share, coalesce(family.known, FALSE) AS last_known,
        kin.forms AS kin, kin.likely AS pets, kin_last.forms AS kin_last, substr(last_name, 1, 2) AS last_start,
        regexp_replace(email_local, '[^0-9]', '', 'g') AS email_digits,
        substr(email_local, greatest(length(email_local) - 3, 1)) AS email_end, substr(email_local, 1, 10) AS email_start,
        substr(phone, greatest(length(phone) - 3, 1)) AS phone_end,
        substr(phone, greatest(length(phone) - 9, 1), 6) AS phone_start,
        emails.names AS email_names, phones.names AS phone_names
    FROM folded LEFT JOIN first_name_shares AS given ON first_name = given.name
    LEFT JOIN last_name_shares AS family ON last_name = family.name
    LEFT JOIN (SELECT email, count(DISTINCT first_name || '|' || last_name) AS names FROM folded GROUP BY email) AS emails USING (email)
    LEFT JOIN (SELECT phone, count(DISTINCT first_name || '|' || last_name) AS names FROM folded GROUP BY phone) AS phones USING (phone)
    LEFT JOIN kin ON first_name = kin.name LEFT JOIN kin AS kin_last ON last_name = kin_last.name
"""

# What takes the place of u for a value: its share among strangers.
_TERMS = {
    "first_name": "SELECT name AS first_name, share AS tf_first_name FROM first_name_shares",
    "last_name": "SELECT name AS last_name, share AS tf_last_name FROM last_name_shares",
    # No single name is rarer evidence than one in ten thousand; a father and a son have both names as well.
    "both_names": """SELECT both_names, any_value(greatest(given.share, 1e-4) * greatest(family.share, 1e-4)) + {namesakes} AS tf_both_names
        FROM people JOIN first_name_shares AS given ON first_name = given.name
        JOIN last_name_shares AS family ON last_name = family.name GROUP BY both_names""",
    # Thomas James and James Thomas may both be right: then that they are exchanged explains little.
    "names": """SELECT names, max({exchanged} * greatest(straight, crossed) + least(straight, crossed)) + {exchanged} * {namesakes} AS tf_names
        FROM (SELECT names, given.share * family.share AS straight,
            coalesce(given_crossed.share, {unlisted}) * coalesce(family_crossed.share, {unlisted}) AS crossed
            FROM people JOIN first_name_shares AS given ON first_name = given.name
            JOIN last_name_shares AS family ON last_name = family.name
            LEFT JOIN first_name_shares AS given_crossed ON last_name = given_crossed.name
            LEFT JOIN last_name_shares AS family_crossed ON first_name = family_crossed.name)
        GROUP BY names""",
    "email": """SELECT email, least((0.002 + {housemates} * 0.0045 + greatest(any_value(email_names) - {family}, 0)) / {members}, 0.5) AS tf_email
        FROM people WHERE email IS NOT NULL GROUP BY email""",
    "phone": """SELECT phone, least((0.01 + {housemates} * 0.0975 + greatest(any_value(phone_names) - {family} - 1, 0)) / {members}, 0.5) AS tf_phone
        FROM people WHERE phone IS NOT NULL GROUP BY phone""",
    # An address made of nothing but its owner's name is another namesake's elsewhere; each sign more is a tenth as likely.
    "email_own": "SELECT email_own, 0.00045 * power(10.0, -email_own) AS tf_email_own FROM people WHERE email_own IS NOT NULL GROUP BY email_own",
}

_FIELD_TERMS = {
    # A few initials behind a day may be one person's spellings; more are people.
    "date": """SELECT {0}, CASE WHEN count(DISTINCT initials) > 6 THEN (count(DISTINCT both_names) - 3) / {members} ELSE 0 END AS tf_{0}
        FROM people WHERE {0} IS NOT NULL GROUP BY {0}""",
    "address": """SELECT {0}, least((0.01 + {housemates} * 0.5 + greatest(count(DISTINCT both_names) - {family}, 0)) / {members}, 0.5) AS tf_{0}
        FROM people WHERE {0} IS NOT NULL GROUP BY {0}""",
    "identifier": """SELECT {0}, least(greatest(count(DISTINCT initials) - 3, 0) / {members}, 0.5) AS tf_{0}
        FROM people WHERE {0} IS NOT NULL GROUP BY {0}""",
}
_FIELD_TERMS["joined"] = _FIELD_TERMS["date"]

_BLOCKS = """
    CREATE OR REPLACE TEMP TABLE keyed AS
    WITH said AS (SELECT place, hash(shared) AS wide, hash(shared || '|' || coalesce(cast(further AS varchar), '')) AS narrow
        FROM ({}) WHERE shared IS NOT NULL),
    wide AS (SELECT wide, count(*) AS size FROM said GROUP BY wide HAVING count(*) > 1),
    narrow AS (SELECT narrow, count(*) AS size FROM said GROUP BY narrow)
    SELECT place, CASE WHEN wide.size > {largest} THEN narrow ELSE wide END AS block,
        CASE WHEN wide.size > {largest} THEN narrow.size ELSE wide.size END AS size
    FROM said JOIN wide USING (wide) JOIN narrow USING (narrow)
"""
_PAIRS = """
    INSERT INTO candidates SELECT one.place, other.place FROM keyed AS one JOIN keyed AS other USING (block)
    WHERE one.place < other.place AND one.size <= {largest} AND other.size <= {largest}
"""
_LEFT_OUT = "SELECT count(DISTINCT block), count(DISTINCT place) FROM keyed WHERE size > {largest}"

# Who shares two of surname, phone, mailbox and address may be housemates: these pairs are weighed against them.
_HOUSEHOLDS = """
    CREATE TABLE pairs AS
    SELECT low AS join_key_l, high AS join_key_r, '0' AS match_key,
        CASE WHEN coalesce(l.phone = r.phone AND l.phone_names <= {line}, FALSE) THEN 1 ELSE 0 END + CASE WHEN coalesce(l.email = r.email AND l.email_names <= {family}, FALSE) THEN 1 ELSE 0 END
        + CASE WHEN coalesce(l.last_start = r.last_start OR damerau_levenshtein(l.last_name, r.last_name) = 1 OR l.first_name = r.last_name OR l.last_name = r.first_name, FALSE) THEN 1 ELSE 0 END
        {addresses} >= 2 AS home
    FROM (SELECT DISTINCT low, high FROM candidates) JOIN people AS l ON l.place = low JOIN people AS r ON r.place = high
"""


@dataclass(frozen=True)
class Counts:
    """What the model needs to know of the club as a whole.

    Attributes
    ----------
    members : int
        How many there are.
    named_addresses : float
        The share of members whose address says their first name.
    kinds : dict
        The fields' kinds; ``date`` where days of joining turned out to be days of birth.
    noted : tuple of str
        Which fields are empty, or weighed as another kind.
    said : tuple of str
        Which groups were too large to compare everybody in.
    """

    members: int
    named_addresses: float
    kinds: dict[str, str]
    noted: tuple[str, ...]
    said: tuple[str, ...]


def prepare(
    connection: DuckDBPyConnection, rows: Iterable[Sequence[Any]], fields: Mapping[str, str], model: Model
) -> Counts:
    """Make the tables that Splink compares, of members with the values of some fields; absent fields are empty.

    Raises
    ------
    ValueError
        When two rows have one id.
    """
    run = connection.execute
    _fill(connection, rows, fields)
    for column in ("first_name", "last_name"):
        run(_SHARES.format(column, model.census_weight, UNLISTED))
    run(_PEOPLE)
    members, distinct = run("SELECT count(*), count(DISTINCT id) FROM people").fetchall()[0]
    if members != distinct:
        raise ValueError("Two members have one id.")
    # Housemates of one name who share nothing else: father and son.
    namesakes = model.housemates_each * 0.85 * 0.003 * 0.2 / max(members, 1)
    figures = {
        "members": max(members, 1),
        "housemates": model.housemates_each,
        "namesakes": namesakes,
        "exchanged": model.exchanged,
        "unlisted": UNLISTED,
        "family": FAMILY,
    }
    for term, query in _TERMS.items():
        run(f"CREATE TABLE tf_{term} AS {query.format(**figures)}")
    kinds, noted = dict(fields), []
    for field in [field for field in fields if field not in FIELDS]:
        if run(f"SELECT count({field}) FROM folded").fetchall() == [(0,)]:
            del kinds[field]
            noted.append(f"No member has anything that can be compared as {spoken(field)}: it is left out.")
    for field in [field for field, kind in fields.items() if kind == "joined"]:
        query = f"SELECT quantile_cont({field}_day, 0.75) - quantile_cont({field}_day, 0.25) FROM folded"
        ((spread,),) = run(query).fetchall()
        if spread is not None and spread >= _SPREAD:
            kinds[field] = "date"
            noted.append(f"The days of {field} lie as far apart as days of birth: they are weighed as such.")
    for field, kind in kinds.items():
        if kind in _FIELD_TERMS:
            run(f"CREATE TABLE tf_{field} AS {_FIELD_TERMS[kind].format(field, **figures)}")
    (named,) = run(
        """SELECT count(*) / greatest((SELECT count(*) FROM people), 1) FROM people
           WHERE strpos(email_local, replace(first_name, ' ', '')) > 0"""
    ).fetchall()[0]
    return Counts(members, float(named), kinds, tuple(noted), tuple(_block(connection, kinds)))


def _fill(connection: DuckDBPyConnection, rows: Iterable[Sequence[Any]], fields: Mapping[str, str]) -> None:
    """Write the folded members, and what is known of the names that they bear."""
    import pyarrow

    run = connection.execute
    columns = {f"{name}{part}": type_ for name, kind in fields.items() for part, type_ in PARTS[kind].items()}
    columns = {"id": "VARCHAR", "generation": "INTEGER", **columns}
    absent = {name: kind for name, kind in FIELDS.items() if name not in fields}
    columns |= {
        f"{name}{part}": type_ for name, kind in absent.items() for part, type_ in PARTS[kind].items()
    }
    run(f"CREATE TABLE folded ({', '.join(f'{name} {type_}' for name, type_ in columns.items())})")
    types = {"VARCHAR": pyarrow.string(), "INTEGER": pyarrow.int32(), "BOOLEAN": pyarrow.bool_()}

    def insert(table: str, named: Mapping[str, Any], content: Sequence[tuple[Any, ...]]) -> None:
        values = zip(*content, strict=True)
        arrays = [pyarrow.array(value, kind) for value, kind in zip(values, named.values(), strict=True)]
        connection.register("portion", pyarrow.table(arrays, list(named)))
        run(f"INSERT INTO {table} BY NAME SELECT * FROM portion")
        connection.unregister("portion")

    for portion in fold_rows(rows, fields):
        there = list(columns)[: len(portion[0])]
        insert("folded", {name: types[columns[name]] for name in there}, portion)
    run("CREATE TABLE census (name VARCHAR, first_name DOUBLE, last_name DOUBLE)")
    run("CREATE TABLE kin (name VARCHAR, forms VARCHAR[], likely VARCHAR[])")
    present = run("SELECT first_name FROM folded UNION SELECT last_name FROM folded ORDER BY 1").fetchall()
    names = [name for (name,) in present if name]
    shares = [(name, *census()[name][:2]) for name in names if name in census()]
    if shares:
        insert(
            "census",
            dict(
                zip(
                    ("name", "first_name", "last_name"),
                    (pyarrow.string(), *2 * [pyarrow.float64()]),
                    strict=True,
                )
            ),
            shares,
        )
    forms: dict[str, list[tuple[str, str]]] = {}
    borne = set(names)
    for name, form, factor in kin(names):
        if form in borne and (strength := _strength(factor)) is not None:
            forms.setdefault(name, []).append((form, f"{strength}{form}"))
    if forms:
        texts = pyarrow.list_(pyarrow.string())
        content = [(name, *map(list, zip(*known, strict=True))) for name, known in forms.items()]
        insert("kin", {"name": pyarrow.string(), "forms": texts, "likely": texts}, content)


def _strength(factor: float) -> int | None:
    """Return which of the `PETS` is nearest; None where one person hardly has both more often than two strangers."""
    if factor < PETS[-1] / 2:
        return None
    return min(range(len(PETS)), key=lambda place: abs(log2(PETS[place]) - log2(factor)))


def _block(connection: DuckDBPyConnection, fields: Mapping[str, str]) -> Iterable[str]:
    """Make the pairs worth comparing, key by key; say which groups were left out."""
    run = connection.execute
    run("CREATE TEMP TABLE candidates (low INTEGER, high INTEGER)")
    for key in keys(fields):
        words = key.words if "word" in key.shared else ("",)
        parts = (
            f"SELECT place, {key.shared.replace('word', word)} AS shared, {key.further.replace('word', word)} AS further FROM people"
            for word in words
        )
        run(_BLOCKS.format(" UNION ".join(parts), largest=LARGEST_BLOCK))
        run(_PAIRS.format(largest=LARGEST_BLOCK))
        blocks, members = run(_LEFT_OUT.format(largest=LARGEST_BLOCK)).fetchall()[0]
        if blocks:
            yield (
                f"{members:,} members were not compared by {key.said} alone: in {blocks:,} groups more than"
                f" {LARGEST_BLOCK} share it; other keys compared those of them who share more."
            )
    run("DROP TABLE keyed")
    addresses = "".join(
        f" + CASE WHEN coalesce(l.{field} = r.{field}, FALSE) THEN 1 ELSE 0 END"
        for field, kind in fields.items()
        if kind == "address"
    )
    run(_HOUSEHOLDS.format(family=FAMILY, line=LINE, addresses=addresses))
    run("DROP TABLE candidates")
