"""A plan's sections inside the transaction: compared with what is there, carried out, and looked at once more.

Everything is one statement per section, whatever its size. The images that the journal keeps are made by
the same statement that compares every row with what the plan saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from workbench.database.encoding import to_client_encoding
from workbench.errors import DocumentError, Drift, SchemaGap
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.row_digest import portable
from workbench.plans import rows
from workbench.plans.journal import image
from workbench.plans.plan import Plan, Section

SHOWN = 20
"""How many rows that differ are named."""

Differing = list[tuple[str, str, str]]
"""Rows that are in the way: table, key, reason."""

_FEW = 5  # below a fifth of the table it pays to look for the keys instead of hashing every row
_ANALYSED = 1000  # staged rows; below it the planner's guess is good enough


class Stage:
    """One section of a plan on its way into the database.

    Parameters
    ----------
    connection : psycopg.Connection
        In the transaction of the apply.
    plan : Plan
        Whose file has the rows.
    entry, number : int
        The journal entry, and the section's place in it.

    Attributes
    ----------
    restored : tuple of str
        Columns that an update sets to what they were, besides those it changes.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        catalogue: Catalogue,
        plan: Plan,
        section: Section,
        entry: int,
        number: int,
    ) -> None:
        self.connection, self.plan, self.section, self.number = connection, plan, section, number
        self.described = rows.table_of(catalogue, section.table)
        self.restored: tuple[str, ...] = ()
        names = {*self.described.columns}
        other = {*section.key, *section.changed, *section.seen} - names | names.difference(section.seen)
        if other or section.key != self.described.primary_key:
            raise SchemaGap(
                f'The table "{section.table}" has changed its columns or key since the plan was made'
                f" ({', '.join(sorted(other)) or 'primary key'}).",
                "Plan again.",
            )
        self.parts: dict[str, sql.Composable] = {
            "table": rows.qualified(catalogue, section.table),
            "staged": sql.Identifier(f"workbench_stage_{number}"),
            "before": image(entry, number, "before"),
            "after": image(entry, number, "after"),
            "digest": rows.digest(self.described, section.seen, "t"),
            "same": rows.keys_match(section.key, "t", "s"),
            "kept": rows.keys_match(section.key, "s", "b"),
            "place": sql.Identifier("~place"),  # no column of Murmurant's begins with a tilde
            "seen": sql.Identifier("~digest"),
        }

    def run(self, text: LiteralString, **parts: Any) -> psycopg.Cursor[Any]:
        """Run a statement on this section's tables: ``{table}``, ``{staged}``, ``{before}``, ``{after}``."""
        return self.connection.execute(sql.SQL(text).format(**self.parts, **parts))

    def named(self, text: LiteralString, alias: str, **parts: Any) -> Differing:
        """Return table, key (of an alias) and reason of the first rows that a question finds."""
        key = rows.key_text(self.section.key, alias)
        cursor = self.run(f"SELECT {{key}}, {text} ORDER BY 1 LIMIT {SHOWN}", key=key, **parts)
        return [(self.section.table, *row) for row in cursor]

    def compare(self, size: float) -> Differing:
        """Keep the rows as they are now, if they are as the plan saw them; else name those that are not.

        Parameters
        ----------
        size : float
            About how many rows the table has.
        """
        section = self.section
        if section.name == "delete" and len(section.key) == 1 and 0 <= size <= _FEW * section.rows:
            if self._keep_by_digest() == section.rows:
                return []
            self.run("DROP TABLE {before}")  # only keys tell which of them differ
        self._load()
        if section.name == "insert":
            return self.named("'is there already' FROM {table} t JOIN {staged} s ON {same}", "t")
        kept = self.run(
            "CREATE TABLE {before} AS SELECT t.*, t.ctid AS {place} FROM {table} t JOIN {staged} s ON {same}"
            " WHERE {digest} = s.{seen}"
        )
        if kept.rowcount == section.rows:
            self._count("before")
            return []
        different = self.named(
            "CASE WHEN {first} IS NULL THEN 'is gone' ELSE 'was changed since the plan was made' END FROM {staged} s"
            " LEFT JOIN {table} t ON {same} WHERE {first} IS NULL OR {digest} <> s.{seen}",
            "s",
            first=sql.Identifier("t", section.key[0]),
        )
        return different or [(section.table, "", "names a row twice")]

    def _keep_by_digest(self) -> int:
        """Keep the rows whose digest the plan names; return how many there are.

        A digest covers a row's key too. A million digests are looked up in half the time that staging and joining a
        million keys takes; the planner must not estimate them one by one, hence CASE.
        """
        blocks = self.plan.blocks(self.section)
        digests = b",".join(digest for block in blocks for digest in re.findall(rb"\t(-?[0-9]+)\n", block))
        query = sql.SQL(
            "CREATE TABLE {before} AS SELECT t.*, t.ctid AS {place} FROM {table} t"
            " WHERE CASE WHEN {digest} = ANY (%s::bigint[]) THEN true END"
        )
        with self._readable():
            digests_sent = [f"{{{digests.decode()}}}"]
            return self.connection.execute(query.format(**self.parts), digests_sent).rowcount

    def _load(self) -> None:
        """Copy the section's rows, as they are in the plan file, into a typed table of this transaction.

        Raises
        ------
        DocumentError
            When a row cannot be read as one of this table.
        """
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
        with self._readable(), self.connection.cursor() as cursor:
            with cursor.copy(sql.SQL("COPY {staged} FROM STDIN").format(**self.parts)) as stream:
                for block in self.plan.blocks(section):
                    stream.write(to_client_encoding(block, self.connection))
            loaded = cursor.rowcount
        if loaded != section.rows:
            raise DocumentError(
                f"The plan {self.plan.id} is damaged: {loaded} rows where it says {section.rows}.",
                self.plan.remedy,
            )
        if loaded > _ANALYSED:
            self._count("staged")

    def _count(self, name: str) -> None:
        # Nobody else sees these tables yet, so nothing has counted them: unasked, the database takes them for tiny
        # and compares every row with every other.
        self.run("ANALYZE {counted}", counted=self.parts[name])

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.DataError, UnicodeDecodeError) as error:
            raise DocumentError(
                f'The plan {self.plan.id} holds a row that is none of "{self.section.table}":'
                f" {str(error).splitlines()[0]}.",
                self.plan.remedy,
            ) from None

    def carry_out(self, moved: bool = False) -> None:
        """Make the changes.

        Parameters
        ----------
        moved : bool
            Whether an earlier section updated this table, so that its rows may lie elsewhere by now.

        Raises
        ------
        Drift
            When not exactly the planned number of rows was changed.
        """
        section = self.section
        if section.name == "update":
            names = (*section.changed, *self.restored)
            sets = (sql.SQL("{} = {}").format(sql.Identifier(name), self.becomes(name)) for name in names)
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
            # By their place, which nobody can change while the table is locked: half the time of going by their keys.
            done = self.run("DELETE FROM {table} t WHERE t.ctid = ANY (ARRAY(SELECT {place} FROM {before}))")
        if done.rowcount != section.rows:
            raise Drift(
                f'{section.name} on "{section.table}" met {done.rowcount} rows where {section.rows} were planned;'
                " nothing was changed.",
                "A rule or trigger of the database stands in the way; ask its owner.",
            )

    def keep(self, stages: Sequence[Stage]) -> None:
        """Keep the rows as they became, once every section is carried out: that is what an undo will find.

        Raises
        ------
        Drift
            When a row did not become what was planned: a trigger of the database had its own mind.
        """
        section = self.section
        if section.name == "delete":
            return
        self.run("CREATE TABLE {after} AS SELECT t.* FROM {table} t JOIN {staged} s ON {same}")
        self._count("after")
        updates = [stage.section for stage in stages if stage.section.name == "update"]
        by_others = {
            name
            for other in updates
            if other is not section and other.table == section.table
            for name in other.changed
        }
        written = section.changed if section.name == "insert" else self.described.columns
        pairs = [
            sql.SQL("{} IS DISTINCT FROM {}").format(
                portable(column.type, sql.Identifier("a", name)), portable(column.type, self.becomes(name))
            )
            for name, column in self.described.columns.items()
            if not column.generated and name in written and name not in by_others.difference(section.changed)
        ]
        was = "JOIN {before} b ON {kept} " if section.name == "update" else ""
        changed = self.named(
            f"'became something else than was planned' FROM {{after}} a JOIN {{staged}} s ON {{became}} {was}WHERE {{different}}",
            "a",
            became=rows.keys_match(section.key, "a", "s"),
            different=sql.SQL(" OR ").join(pairs),
        )
        if changed:
            raise Drift(
                f'{section.name} on "{section.table}" left rows that are not as planned ({changed[0][1]}'
                f"{' and others' if len(changed) > 1 else ''}); nothing was changed.",
                "A trigger or rule of the database changes them; ask its owner.",
                tuple(changed),
            )

    def becomes(self, name: str) -> sql.Composable:
        """Return what a column of a row shall be, by the aliases of the staged rows (s) and of those before (b)."""
        if self.section.name == "insert":
            return sql.Identifier("s", name)
        if name in self.section.changed:
            return sql.SQL("s.{}").format(staged("new", name))
        return sql.Identifier("b", name)


def staged(moment: str, name: str) -> sql.Identifier:
    """Return the staged column that has an update's ``old`` or ``new`` value."""
    return sql.Identifier(f"~{moment} {name}")
