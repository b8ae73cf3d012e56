"""The digest of a row: 64 bits by which it is known as unchanged, in this database and in any copy of it."""

from __future__ import annotations

import re

from psycopg import sql

from workbench.errors import SchemaGap
from workbench.murmurant.catalogue import CatalogueTable

# Types that PostgreSQL can hash itself, in a third of the time that their text takes; every other one goes by its text.
# Floating point is not among them: its zero hashes as NULL does, and as its negative zero. Nor are enums: they hash by
# a number that a restored database gives anew, and a plan made before a restore must know its rows after it.
_HASHED = re.compile(
    r"^(text|uuid|integer|bigint|smallint|boolean|bytea|date|name|oid|inet"
    r"|character( varying)?(\(\d+\))?|timestamp(\(\d\))? with(out)? time zone)(\[\])?$"
)

# What is hashed whole, whatever the database; of others PostgreSQL would fold both halves into one: 1 as 2^32.
_WHOLE = re.compile(r"^(uuid|integer|smallint|boolean|bytea|date)$")
_SENT = {
    "bigint": "int8send",
    "timestamp without time zone": "timestamp_send",
    "timestamp with time zone": "timestamptz_send",
}
_HASHES = {"uuid": "uuid_hash_extended", "integer": "hashint4extended", "smallint": "hashint2extended"}
_TEXT = re.compile(r"^(text|character varying(\(\d+\))?)$")

# In JSON's text: what PostgreSQL cannot make a letter of, whatever follows an even number of backslashes. The first
# for a database in UTF-8: the letter nought and half a surrogate pair; in another encoding all beyond ASCII.
_HALF = r"u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\)u[dD][c-fC-F].."
_ESCAPES = r"(?<!\\)((?:\\\\)*)\\(u0000|{})"
_BROKEN = "CASE getdatabaseencoding() WHEN 'UTF8' THEN '{utf8}' ELSE '{other}' END".format(
    utf8=_ESCAPES.format(_HALF), other=_ESCAPES.format("u(?!00[0-7])....")
)


def odd_value(type: str, cell: str) -> str | None:
    """Return SQL that is true of a value that is there and that Python cannot hold, or JSON of it; None for other types."""
    if type == "json":
        return f"{cell}::text ~ {_BROKEN}"
    if type.startswith(("timestamp", "date")):
        return f"{cell} NOT BETWEEN '0001-01-01' AND '{'9999-12-31' if type == 'date' else '9999-12-31 23:59:59.999999'}'"
    return None


def readable_json(type: str, cell: str = "{cell}") -> str:
    """Return SQL that reads a JSON cell as ``jsonb``; of type ``json``, what no database can hold shows as it is written."""
    shown = rf"regexp_replace({cell}::text, {_BROKEN}, '\1\\\\\2', 'g')" if type == "json" else cell
    return f"{shown}::jsonb"


def digest(table: CatalogueTable, seen: tuple[str, ...], alias: str) -> sql.Composed:
    """Return the expression of a row's digest: 64 bits over the columns seen.

    It tells a row that was touched from one that was not; against somebody who wants to deceive,
    only the approval's SHA-256 of the whole plan counts.
    """
    for name in seen:
        if name not in table.columns:
            raise SchemaGap(
                f'The table "{table.name}" has lost its column {name!r} since.',
                "Its rows cannot be compared with what they were, nor brought back whole.",
            )
    return hashed([comparable(table, name, sql.Identifier(alias, name)) for name in seen])


def hashed(cells: list[sql.Composable], seed: int = 0) -> sql.Composed:
    """Return the 64-bit hash of some values together; the order counts."""
    return sql.SQL("hash_record_extended(ROW({}), {})").format(sql.SQL(", ").join(cells), seed)


def comparable(table: CatalogueTable, name: str, cell: sql.Composable) -> sql.Composable:
    """Return a column's value in a form whose equality means that nothing changed."""
    found = table.columns[name]
    whole = not found.is_enum and _HASHED.match(found.type)
    if not whole:
        return sql.SQL('{}::text COLLATE "C"').format(cell)
    # A collation of the column's own may take what differs for the same; hashed, its letters are those of "C".
    return sql.SQL('{} COLLATE "C"').format(cell) if re.match(r"text|character|name", found.type) else cell


def portable(type: str, cell: sql.Composable) -> sql.Composable:
    """Return a value of some type in a form that any two databases hash alike, and two values differently."""
    if _WHOLE.match(type):
        return cell
    if sent := _SENT.get(re.sub(r"\(\d\)", "", type)):
        return sql.SQL("pg_catalog.{}({})").format(sql.Identifier(sent), cell)
    # By its bytes, whatever the collation.
    return sql.SQL('{} COLLATE "C"' if _TEXT.match(type) else '{}::text COLLATE "C"').format(cell)


def hash_of(type: str, cell: sql.Composable) -> sql.Composed:
    """Return the 64-bit hash of one value, alike in any two databases; no row is made for most types, which costs much."""
    if whole := _HASHES.get(type):
        return sql.SQL("coalesce(pg_catalog.{}({}, 0), 0)").format(sql.Identifier(whole), cell)
    if type == "bytea" or re.sub(r"\(\d\)", "", type) in _SENT:
        return hashed([portable(type, cell)])
    shown = '{} COLLATE "C"' if _TEXT.match(type) else '{}::text COLLATE "C"'
    return sql.SQL("coalesce(pg_catalog.hashtextextended({}, 0), 0)").format(sql.SQL(shown).format(cell))
