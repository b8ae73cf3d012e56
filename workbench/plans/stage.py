"""One section of a plan inside the transaction of an apply: compared with the database, carried out, and checked.

Each step is one statement per section, whatever its size. The statement that compares the rows with what the plan saw
also makes the images that the journal keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from workbench.database.connection import Session
from workbench.database.encoding import to_client_encoding
from workbench.errors import DocumentError, Drift, SchemaGap
from workbench.murmurant.references import References
from workbench.murmurant.row_digest import portable
from workbench.plans import rows
from workbench.plans.journal import image
from workbench.plans.plan import Plan, Section

SHOWN = 20
"""How many differing rows an error lists."""

Differing = list[tuple[str, str, str]]
"""Rows that prevent an apply: table, key, reason."""

_SCANNED = (
    20  # a table up to this many times as large as its section is scanned; in a larger one keys are looked up
)
_HASHED = 2  # up to this many times as large, every row is hashed; beyond, rows are filtered by key first
_ANALYSED = 1000  # rows of a new table above which its statistics are worth collecting


@dataclass
class Stage:
    """One section of a plan, being applied.

    Attributes
    ----------
    connection : psycopg.Connection
        In the transaction of the apply.
    plan : Plan
        Its file has the section's rows.
    entry, number : int
        The journal entry, and the section's place in it.
    restored : tuple of str
        Columns that an update sets back to their old values, besides those it changes.
    """

    connection: Session
    graph: References
    plan: Plan
    section: Section
    entry: int
    number: int
    restored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        section, catalogue = self.section, self.graph.schema.catalogue
        self.described = rows.table_of(catalogue, section.table)
        names = {*self.described.columns}
        other = {*section.key, *section.changed, *section.seen} - names | names.difference(section.seen)
        if other or section.key != self.described.primary_key:
            raise SchemaGap(
                f'The columns or the key of "{section.table}" have changed since the plan was made'
                f" ({', '.join(sorted(other)) or 'primary key'}).",
                "Plan again.",
            )
        self.parts: dict[str, sql.Composable] = {
            "table": rows.qualified(catalogue, section.table),
            "staged": sql.Identifier(f"workbench_stage_{self.number}"),
            "before": image(self.entry, self.number, "before"),
            "after": image(self.entry, self.number, "after"),
            "digest": rows.digest(self.described, section.seen, "t"),
            "same": rows.keys_match(section.key, "t", "s"),
            "kept": rows.keys_match(section.key, "s", "b"),
            # No column of Murmurant's begins with a tilde.
            "place": sql.Identifier("~place"),
            "seen": sql.Identifier("~digest"),
            "free": sql.Identifier("~free"),
            "number": sql.Identifier("~number"),
        }

    def run(self, text: LiteralString, **parts: sql.Composable) -> psycopg.Cursor[Any]:
        """Run a statement on this section's tables: ``{table}``, ``{staged}``, ``{before}``, ``{after}``."""
        return self.connection.execute(sql.SQL(text).format(**self.parts | parts))

    def named(self, text: LiteralString, alias: str, **parts: sql.Composable) -> Differing:
        """Return table, key and reason of the first rows that a query finds; `alias` names the rows in it."""
        key = rows.key_text(self.section.key, alias)
        cursor = self.run(f"SELECT {{key}}, {text} ORDER BY 1 LIMIT {SHOWN}", key=key, **parts)
        return [(self.section.table, *row) for row in cursor]

    def compare(self, size: float) -> Differing:
        """Store the rows as they are now if the plan saw them so; else return those that differ.

        Parameters
        ----------
        size : float
            About how many rows the table has.
        """
        section = self.section
        if section.name == "delete" and len(section.key) == 1 and 0 <= size <= _SCANNED * section.rows:
            if self._store_by_digest(filtered=size > _HASHED * section.rows) == section.rows:
                return []
            self.run("DROP TABLE {before}")  # only keys tell which rows differ
        self._load()
        if section.name == "insert":
            return self.named("'already exists' FROM {table} t JOIN {staged} s ON {same}", "t")
        stored = self.run(
            "CREATE TABLE {before} AS SELECT t.*, t.ctid AS {place} FROM {table} t JOIN {staged} s ON {same}"
            " WHERE {digest} IS NOT DISTINCT FROM s.{seen}"  # with = the join would hash every row of the table
        )
        if stored.rowcount == section.rows:
            self._analyse("before")
            return []
        different = self.named(
            "CASE WHEN {first} IS NULL THEN 'is gone' ELSE 'was changed since the plan was made' END FROM {staged} s"
            " LEFT JOIN {table} t ON {same} WHERE {first} IS NULL OR {digest} <> s.{seen}",
            "s",
            first=sql.Identifier("t", section.key[0]),
        )
        return different or [(section.table, "", "is named twice")]

    def _store_by_digest(self, *, filtered: bool) -> int:
        """Store the rows whose digest the plan names; return how many there are.

        A digest covers the key too. Looking up a million digests takes half the time of loading and joining a million
        keys. Where much of the table is not in the plan, `filtered` spares hashing it. The CASE keeps the planner from
        estimating each element of the arrays.
        """
        content, key = b"".join(self.plan.blocks(self.section)), self.section.key[0]
        digests = b",".join(re.findall(rb"\t(-?[0-9]+)\n", content))
        values: dict[str, Any] = {"digests": f"{{{digests.decode()}}}"}
        matches = sql.SQL("{digest} = ANY (%(digests)s::bigint[])").format(**self.parts)
        with self._damaged_rows():
            if filtered and b"\\" not in content:
                type = self.described.columns[key].type
                values["keys"] = rows.sent(re.findall("^(.*)\t", content.decode(), re.MULTILINE), type)
                among = sql.SQL("CASE WHEN {} = ANY (%(keys)s::{}[]) THEN {} END")
                matches = among.format(sql.Identifier("t", key), sql.SQL(type), matches)
            query = sql.SQL(
                "CREATE TABLE {before} AS SELECT t.*, t.ctid AS {place} FROM {table} t WHERE CASE WHEN {} THEN true END"
            )
            return self.connection.execute(query.format(matches, **self.parts), values).rowcount

    def _load(self) -> None:
        """Copy the section's rows from the plan file into a temporary table with the table's types."""
        section = self.section
        cells: list[sql.Composable] = [sql.Identifier(name) for name in section.changed]
        if section.name != "insert":
            images = [(moment, name) for moment in ("old", "new") for name in section.changed]
            cells = [sql.Identifier(name) for name in section.key]
            cells.append(sql.SQL("0::bigint AS {seen}").format(**self.parts))
            cells += [
                sql.SQL("{} AS {}").format(sql.Identifier(name), staged(moment, name))
                for moment, name in images
            ]
        self.run(
            "CREATE TEMP TABLE {staged} ON COMMIT DROP AS SELECT {cells} FROM {table} WITH NO DATA",
            cells=sql.SQL(", ").join(cells),
        )
        with self._damaged_rows(), self.connection.cursor() as cursor:
            with cursor.copy(sql.SQL("COPY {staged} FROM STDIN").format(**self.parts)) as stream:
                for block in self.plan.blocks(section):
                    stream.write(to_client_encoding(block, self.connection))
            if cursor.rowcount != section.rows:
                raise ValueError(f"{cursor.rowcount} rows instead of {section.rows}")
        self._analyse("staged")

    def _analyse(self, name: str) -> None:
        # Without statistics the planner takes a new table for tiny, and compares each of its rows with all others.
        if self.section.rows > _ANALYSED:
            self.run("ANALYZE {new}", new=self.parts[name])

    @contextmanager
    def _damaged_rows(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, ValueError) as error:
            problem = str(error).splitlines()[0]
            what = (
                f'The plan {self.plan.id} is damaged: its rows do not fit "{self.section.table}": {problem}.'
            )
            raise DocumentError(what, self.plan.remedy) from None

    def carry_out(self, *, moved: bool) -> int:
        """Make the changes; return how many rows were parked for that, see `_park`.

        Parameters
        ----------
        moved : bool
            Whether an earlier section updated this table, so that its rows may have moved.

        Raises
        ------
        Drift
            When the database did not change exactly the planned number of rows.
        """
        section, parked = self.section, 0
        if section.name == "update":
            indexes = [unique for unique in self.described.unique if {*section.changed} & {*unique}]
            parked = sum(self._park(number, unique) for number, unique in enumerate(indexes))
            names = (*section.changed, *self.restored)
            sets = (sql.SQL("{} = {}").format(sql.Identifier(name), self.new_value(name)) for name in names)
            done = self.run(
                "UPDATE {table} t SET {sets} FROM {staged} s JOIN {before} b ON {kept} WHERE {same}",
                sets=sql.SQL(", ").join(sets),
            )
        elif section.name == "insert":
            done = self.run(
                "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {staged}",
                names=rows.columns(section.changed),
            )
        elif moved or self.described.in_parts:
            done = self.run("DELETE FROM {table} t USING {before} s WHERE {same}")
        else:
            # By physical place, which cannot change while the table is locked: half the time of deleting by key.
            done = self.run("DELETE FROM {table} t WHERE t.ctid = ANY (ARRAY(SELECT {place} FROM {before}))")
        if done.rowcount != section.rows:
            raise Drift(
                f'{section.name} on "{section.table}" affected {done.rowcount} rows instead of {section.rows}; nothing was'
                " changed.",
                "A rule or trigger of the database interferes; ask its owner.",
            )
        return parked

    def _park(self, number: int, unique: Sequence[str]) -> int:
        """Move rows out of the way of others that take their place in a unique index; return how many.

        A unique index is checked row by row, so two registrations for one event cannot exchange their members in one
        UPDATE. Each row that stands where another one of the section goes is first moved to a free place: on the same
        event, to a member without a registration for it. Such a value is legal, nobody else sees it, and the section's
        own UPDATE replaces it. The journal has the rows as they were before and after both.

        Raises
        ------
        Drift
            When there is no free place for them.
        """
        key, table, changed = self.section.key, self.section.table, self.section.changed
        after = (
            sql.SQL("{} AS {}").format(self.new_value(name), sql.Identifier(name)) for name in {*key, *unique}
        )
        for name in ("coming", "waiting"):
            self.parts[name] = sql.Identifier(f"workbench_{self.number}_{number}_{name}")
        self.run(
            "CREATE TEMP TABLE {coming} ON COMMIT DROP AS SELECT {cells} FROM {staged} s JOIN {before} b ON {kept}",
            cells=sql.SQL(", ").join(after),
        )
        waiting = self.run(
            "CREATE TEMP TABLE {waiting} ON COMMIT DROP AS"
            " SELECT x.* FROM {before} x JOIN {coming} c ON {there} AND NOT ({itself})",
            there=rows.keys_match(unique, "x", "c"),
            itself=rows.keys_match(key, "x", "c"),
        ).rowcount
        if not waiting:
            return 0
        self.run("CREATE INDEX ON {coming} ({unique})", unique=rows.columns(unique))
        parents = {way.column: way for way in self.graph.all if way.child == table and not way.kinds}
        # Preferably in a column that the section changes anyway; another one has to be set back.
        for column in sorted(parents.keys() & {*unique}, key=lambda name: (name not in changed, name)):
            others = tuple(name for name in unique if name != column)
            parts: dict[str, sql.Composable] = {
                "places": sql.Identifier(f"workbench_{self.number}_{number}_{column}"),
                "column": sql.Identifier(column),
                "value": sql.SQL("{}::{}").format(
                    sql.Identifier("p", parents[column].parent_column),
                    sql.SQL(self.described.columns[column].type),
                ),
                "parents": rows.qualified(self.graph.schema.catalogue, parents[column].parent),
                "key": rows.columns(key),
                "named": rows.columns(key, "x"),
                "others": rows.columns(others) if others else sql.SQL("true"),
                "alike": rows.keys_match(others, "t", "x"),
            }
            # For each waiting row another value of this column that no row has or will have in its place.
            places = self.run(
                """
                CREATE TEMP TABLE {places} ON COMMIT DROP AS SELECT {named}, f.{free}
                FROM (SELECT *, row_number() OVER (PARTITION BY {others} ORDER BY {key}) AS {number} FROM {waiting}) x
                CROSS JOIN LATERAL (
                    SELECT {value} AS {free} FROM {parents} p
                    WHERE NOT EXISTS (SELECT FROM {table} t WHERE t.{column} = {value} AND {alike})
                      AND NOT EXISTS (SELECT FROM {coming} t WHERE t.{column} = {value} AND {alike})
                    ORDER BY {value} OFFSET x.{number} - 1 LIMIT 1
                ) f
                """,
                **parts,
            )
            if places.rowcount == waiting:
                self.restored += () if column in (*changed, *self.restored) else (column,)
                row = rows.keys_match(key, "t", "p")
                self.run(
                    "UPDATE {table} t SET {column} = p.{free} FROM {places} p WHERE {row}", row=row, **parts
                )
                return waiting
        stuck = self.named("'exchanges its place' FROM {waiting} x", "x")
        raise Drift(
            f'Rows of "{table}" exchange places in the unique index on {", ".join(unique)}, {stuck[0][1]} among them, and'
            " there is no free place to move them through. Nothing was changed.",
            "Plan again without them.",
            tuple(stuck),
        )

    def check(self, stages: Sequence[Stage]) -> None:
        """Store the rows as they became, for the journal, once every section is carried out.

        Raises
        ------
        Drift
            When a row did not become what was planned: a trigger of the database changed it.
        """
        section = self.section
        if section.name == "delete":
            return
        self.run("CREATE TABLE {after} AS SELECT t.* FROM {table} t JOIN {staged} s ON {same}")
        self._analyse("after")
        written = {*(section.changed if section.name == "insert" else self.described.columns)}
        for other in stages:
            if other.section.name == "update" and other.section.table == section.table:
                written -= {*other.section.changed}.difference(section.changed)
        pairs = [
            sql.SQL("{} IS DISTINCT FROM {}").format(
                portable(column.type, sql.Identifier("a", name)), portable(column.type, self.new_value(name))
            )
            for name, column in self.described.columns.items()
            if name in written and not column.generated
        ]
        was = "JOIN {before} b ON {kept} " if section.name == "update" else ""
        changed = self.named(
            f"'differs from the plan' FROM {{after}} a JOIN {{staged}} s ON {{became}} {was}WHERE {{different}}",
            "a",
            became=rows.keys_match(section.key, "a", "s"),
            different=sql.SQL(" OR ").join(pairs),
        )
        if changed:
            raise Drift(
                f'After {section.name} on "{section.table}" {len(changed)} rows or more differ from the plan, {changed[0][1]}'
                " for one; nothing was changed.",
                "A trigger or rule of the database changes them; ask its owner.",
                tuple(changed),
            )

    def new_value(self, name: str) -> sql.Composable:
        """Return a column's new value, of the staged row (s) or the row before (b)."""
        if self.section.name == "insert":
            return sql.Identifier("s", name)
        if name in self.section.changed:
            return sql.SQL("s.{}").format(staged("new", name))
        return sql.Identifier("b", name)


def staged(moment: str, name: str) -> sql.Identifier:
    """Return the staged column with an update's ``old`` or ``new`` value."""
    return sql.Identifier(f"~{moment} {name}")
