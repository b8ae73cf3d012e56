"""A plan's sections inside the transaction: staged as typed rows, compared with what is there, carried out.

Everything is one statement per section, whatever its size. The images that the journal keeps are made by
the same join that compares every row with what the plan saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from workbench.database.encoding import as_sent
from workbench.errors import DocumentError, Drift, SchemaGap
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.row_digest import portable
from workbench.plans import rows
from workbench.plans.journal import image
from workbench.plans.plan import Plan, Section

SHOWN = 20
"""How many rows that differ are named."""

_MUCH = 50  # a fiftieth of a table or more is much of it
_ANALYSED = 1000  # rows; below it the planner's guess is good enough


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
        self.connection, self.plan = connection, plan
        self.section = section
        self.described = rows.table_of(catalogue, section.table)
        new = [] if section.name == "insert" else sorted(set(self.described.columns) - set(section.seen))
        gone = [
            each
            for each in (*section.key, *section.changed, *section.seen)
            if each not in self.described.columns
        ]
        if gone or new or section.key != self.described.primary_key:
            raise SchemaGap(
                f'The table "{section.table}" has changed its columns or key since the plan was made'
                f" ({', '.join((*gone, *new)) or 'primary key'}).",
                "Plan again.",
            )
        if section.name != "insert" and not set(section.key) <= set(section.seen):
            raise DocumentError(
                f"The plan {plan.id} is damaged: its digests do not cover the keys.", "Plan again."
            )
        self.table = rows.qualified(catalogue, section.table)
        self.name = f"workbench_stage_{number}"
        self.staged = sql.Identifier(self.name)
        self.before = image(entry, number, "before")
        self.after = image(entry, number, "after")
        self.restored: tuple[
            str, ...
        ] = ()  # columns that an update sets to what they were, besides those it changes

    def load(self) -> None:
        """Copy the section's rows, as they are in the plan file, into a typed table of this transaction.

        Raises
        ------
        DocumentError
            When a row cannot be read as one of this table.
        """
        section = self.section
        cells: list[sql.Composable] = [sql.Identifier(each) for each in section.key]
        if section.name != "insert":
            cells.append(sql.SQL("0::bigint AS {}").format(_DIGEST))
            cells += [
                sql.SQL("{} AS {}").format(sql.Identifier(each), made(each))
                for made in (_old, _new)
                for each in section.changed
            ]
        else:
            cells = [sql.Identifier(each) for each in section.changed]
        self._run(
            sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                self.staged, sql.SQL(", ").join(cells), self.table
            )
        )
        copy = sql.SQL("COPY {} FROM STDIN").format(self.staged)
        with self._readable(), self.connection.cursor() as cursor:
            with cursor.copy(copy) as stream:
                for block in self.plan.blocks(section):
                    stream.write(as_sent(block, self.connection))
            loaded = cursor.rowcount
        if loaded != section.rows:
            raise DocumentError(
                f"The plan {self.plan.id} is damaged: {loaded} rows where it says {section.rows}.",
                "Plan again.",
            )
        if section.rows > _ANALYSED:
            self._run(sql.SQL("ANALYZE {}").format(self.staged))

    def compare(self) -> list[tuple[str, str, str]]:
        """Keep the rows as they are now, if they are as the plan saw them; else name those that are not.

        Returns
        -------
        list of (table, key, reason)
            Empty when the database is as the plan saw it.
        """
        if self.section.name == "delete" and self._takes_much():
            if self._keep_by_digest() == self.section.rows:
                return []
            self._run(sql.SQL("DROP TABLE {}").format(self.before))  # only keys tell which of them differ
        self.load()
        match = rows.keys_match(self.section.key, "t", "s")
        if self.section.name == "insert":
            clash = sql.SQL("SELECT {} FROM {} t JOIN {} s ON {} ORDER BY 1 LIMIT {}").format(
                rows.key_text(self.section.key, "t"), self.table, self.staged, match, SHOWN
            )
            return self._named(clash, "is there already")
        digest = rows.digest(self.described, self.section.seen, "t")
        kept = self._run(
            sql.SQL(
                "CREATE TABLE {} AS SELECT t.*, t.ctid AS {} FROM {} t JOIN {} s ON {} WHERE {} = s.{}"
            ).format(self.before, _PLACE, self.table, self.staged, match, digest, _DIGEST)
        )
        if kept == self.section.rows:
            return []
        first = sql.Identifier("t", self.section.key[0])
        different = sql.SQL(
            "SELECT {}, CASE WHEN {} IS NULL THEN 'is gone' ELSE 'was changed since the plan was made' END"
            " FROM {} s LEFT JOIN {} t ON {} WHERE {} IS NULL OR {} <> s.{} ORDER BY 1 LIMIT {}"
        ).format(
            *(rows.key_text(self.section.key, "s"), first, self.staged, self.table, match),
            *(first, digest, _DIGEST, SHOWN),
        )
        return self._named(different) or [(self.section.table, "", "names a row twice")]

    def _takes_much(self) -> bool:
        """Whether so much of the table goes that reading it through is the shortest way."""
        row = self.connection.execute(
            "SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [self.table.as_string(self.connection)]
        ).fetchone()
        return row is not None and 0 <= row[0] <= self.section.rows * _MUCH

    def _keep_by_digest(self) -> int:
        """Keep the rows whose digest the plan names; return how many there are.

        A digest covers a row's key too. A million digests are looked up in half the time that staging and joining a
        million keys takes; the planner must not estimate them one by one, hence CASE.
        """
        statement = sql.SQL(
            "CREATE TABLE {} AS SELECT t.*, t.ctid AS {} FROM {} t"
            " WHERE CASE WHEN {} = ANY (%s::bigint[]) THEN true END"
        ).format(self.before, _PLACE, self.table, rows.digest(self.described, self.section.seen, "t"))
        digests = b",".join(
            digest
            for block in self.plan.blocks(self.section)
            for digest in re.findall(rb"\t(-?[0-9]+)\n", block)
        )
        with self._readable():
            return self.connection.execute(statement, [f"{{{digests.decode()}}}"]).rowcount

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except psycopg.DataError as error:
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
        match = rows.keys_match(section.key, "t", "s")
        if section.name == "delete" and not moved and not self.described.in_parts:
            # By their place, which nobody can change while the table is locked: half the time of going by their keys.
            done = self._run(
                sql.SQL("DELETE FROM {} t WHERE t.ctid = ANY (ARRAY(SELECT {} FROM {}))").format(
                    self.table, _PLACE, self.before
                )
            )
        elif section.name == "delete":
            done = self._run(
                sql.SQL("DELETE FROM {} t USING {} s WHERE {}").format(self.table, self.before, match)
            )
        elif section.name == "update":
            sets = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(each), self.becomes(each, "s", "b"))
                for each in (*section.changed, *self.restored)
            )
            source = sql.SQL("{} s").format(self.staged)
            if self.restored:
                source += sql.SQL(" JOIN {} b ON {}").format(
                    self.before, rows.keys_match(section.key, "s", "b")
                )
            done = self._run(
                sql.SQL("UPDATE {} t SET {} FROM {} WHERE {}").format(self.table, sets, source, match)
            )
        else:
            names = rows.columns(section.changed)
            done = self._run(
                sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                    self.table, names, names, self.staged
                )
            )
        if done != section.rows:
            raise Drift(
                f'{section.name} on "{section.table}" met {done} rows where {section.rows} were planned; nothing was changed.',
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
        match = rows.keys_match(section.key, "t", "s")
        self._run(
            sql.SQL("CREATE TABLE {} AS SELECT t.* FROM {} t JOIN {} s ON {}").format(
                self.after, self.table, self.staged, match
            )
        )
        # Nobody else sees these tables yet, so nothing has counted them: unasked, the database takes them for tiny
        # and compares every row with every other.
        for each in (self.after, self.before) if section.name == "update" else (self.after,):
            self._run(sql.SQL("ANALYZE {}").format(each))
        others = {
            name
            for each in stages
            if each is not self and each.section.table == section.table and each.section.name == "update"
            for name in each.section.changed
        }
        became = [name for name, column in self.described.columns.items() if not column.generated]
        if section.name == "insert":
            became = [name for name in became if name in section.changed]
        cells = [self._expected(name) for name in became if name not in others or name in section.changed]
        pairs = [sql.SQL("{} IS DISTINCT FROM {}").format(*pair) for pair in cells]
        source = sql.SQL("{} a JOIN {} s ON {}").format(
            self.after, self.staged, rows.keys_match(section.key, "a", "s")
        )
        if section.name == "update":
            source = sql.SQL("{} JOIN {} b ON {}").format(
                source, self.before, rows.keys_match(section.key, "a", "b")
            )
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY 1 LIMIT {}").format(
            rows.key_text(section.key, "a"), source, sql.SQL(" OR ").join(pairs), SHOWN
        )
        changed = self._named(query, "became something else than was planned")
        if changed:
            raise Drift(
                f'{section.name} on "{section.table}" left rows that are not as planned ({changed[0][1]}'
                f"{' and others' if len(changed) > 1 else ''}); nothing was changed.",
                "A trigger or rule of the database changes them; ask its owner.",
                tuple(changed),
            )

    def _expected(self, name: str) -> tuple[sql.Composable, sql.Composable]:
        """Return a column as it became and as it should be, in a form that can be compared."""
        wanted = sql.Identifier("s", name) if self.section.name == "insert" else self.becomes(name, "s", "b")
        type = self.described.columns[name].type
        return portable(type, sql.Identifier("a", name)), portable(type, wanted)

    def becomes(self, name: str, staged: str, before: str) -> sql.Composable:
        """Return what a column of an updated row shall be, by the aliases of the staged rows and of those before."""
        if name in self.section.changed:
            return sql.SQL("{}.{}").format(sql.Identifier(staged), _new(name))
        return sql.Identifier(before, name)

    def _named(self, query: sql.Composed, reason: str = "") -> list[tuple[str, str, str]]:
        found = self.connection.execute(query).fetchall()
        return [(self.section.table, str(row[0]), reason or str(row[1])) for row in found]

    def _run(self, statement: sql.Composed) -> int:
        return self.connection.execute(statement).rowcount


_DIGEST = sql.Identifier("~digest")  # no column of Murmurant's begins with a tilde
_PLACE = sql.Identifier("~place")


def _old(name: str) -> sql.Identifier:
    return sql.Identifier(f"~old {name}")


def _new(name: str) -> sql.Identifier:
    return sql.Identifier(f"~new {name}")
