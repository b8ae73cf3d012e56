"""A rule of the organisation's own, as SQL: a SELECT of the records at fault, each with its ``key``.

What the server enforces: the statement stands inside a SELECT and goes by the extended protocol, so it is
one statement and can be nothing but a question; the transaction is read-only, so it writes no row, no
sequence and no large object, and cannot leave that mode again; it is stopped after the statement timeout;
and whatever it sets or locks ends with it. Where the role is a superuser the question is asked as
``pg_read_all_data``.

What it does not enforce: a function that acts outside the transaction does what the role may do
(`pg_terminate_backend` on sessions of the same role, an extension such as dblink), a superuser's rights can
be taken back by `set_config`, and what may be read can be shown, password hashes among it. Rules are code: whoever may edit them must be trusted like the role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import pandas as pd
import psycopg
from psycopg import sql
from pydantic import Field, field_validator, model_validator
from sqlalchemy import Select

from workbench.database.address import redact
from workbench.errors import nearest
from workbench.investigate.policies.ground import Ground, NoAnswerError
from workbench.investigate.policies.rule import Rule, Where, Words
from workbench.murmurant.spellings import CONCEPT_OF

_READER = "pg_read_all_data"

_WRAPPED = "{head} FROM (\n{body}\n) AS culprits{tail}"


@dataclass(frozen=True)
class SqlAnswer:
    """What a statement answered: how many rows, and the first of them by their key."""

    count: int
    rows: pd.DataFrame
    query: str


class OwnSql(Rule):
    """What the organisation asks itself."""

    ask: Literal["sql"] = "sql"
    scope: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    sql: Words
    fix: None = None

    @field_validator("sql")
    @classmethod
    def _something(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("it holds a zero byte")
        body = text.strip()
        while body.endswith(";"):
            body = body[:-1].rstrip()
        if not body:
            raise ValueError("it is empty")
        return body

    @model_validator(mode="after")
    def _no_where(self) -> OwnSql:
        if self.where != Where():
            raise ValueError("a rule in SQL has no where; write it into the SQL")
        return self

    def culprits(self, ground: Ground) -> Select[Any]:
        """Say that this kind is answered by `answer`."""
        raise TypeError("A rule in SQL is asked by answer().")

    def answer(self, ground: Ground) -> SqlAnswer:
        """Ask it.

        Raises
        ------
        NoAnswerError
            With what the server said, when it refused, or when the answer has no column ``key``.
        """
        tables = ground.schema.catalogue.tables
        known = {*CONCEPT_OF, *tables}
        if self.scope not in known:
            close = nearest(self.scope, known)
            offer = f" Nearest: {', '.join(close)}." if close else ""
            raise NoAnswerError(f"Its scope {self.scope!r} is no table here.{offer}")
        connection = ground.connection.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        try:
            # Rolled back whatever happens: what a question sets is not for the next one.
            with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                _give_up_rights(cursor, ground.timeout)
                found = self._ask(cursor, ground.sample)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
        except psycopg.Error as error:
            if connection.closed or connection.broken:
                raise
            raise NoAnswerError(
                f"The database refused the rule's SQL: {_said(error, ground.timeout)}"
            ) from None
        return found

    def _ask(self, cursor: psycopg.Cursor[Any], sample: int) -> SqlAnswer:
        def run(head: str, tail: str) -> None:
            query = _WRAPPED.format(head=head, body=self.sql, tail=tail)
            with cursor.connection.pipeline():  # there it goes by the extended protocol: as one statement
                cursor.execute(query.encode())

        run("SELECT *", " LIMIT 0")  # not executed: only what its columns are called
        names = [each.name for each in cursor.description or ()]
        if names.count("key") != 1:
            has = f"its columns are {', '.join(names)}" if names else "it has no column at all"
            twice = (
                "two columns called key" if "key" in names else "no column called key (SELECT id AS key, ...)"
            )
            raise NoAnswerError(f"The rule's SQL has {twice}; {has}.")
        if len(set(names)) < len(names):
            twins = sorted({name for name in names if names.count(name) > 1})
            raise NoAnswerError(f"The rule's SQL has more than one column called {', '.join(twins)}.")
        shown = _with_origins(cursor, names)
        run(
            "SELECT count(*) OVER (), culprits.key::text, culprits.*",
            f' ORDER BY culprits.key::text COLLATE "C", culprits::text COLLATE "C" LIMIT {int(sample)}',
        )
        rows = cursor.fetchall()
        at = names.index("key")
        others = [place for place in range(len(names)) if place != at]
        cells = [(row[1], *(_plain(row[2 + place]) for place in others)) for row in rows]
        frame = pd.DataFrame.from_records(cells, columns=["key", *(shown[place] for place in others)])
        return SqlAnswer(int(rows[0][0]) if rows else 0, frame, self.sql)


def _give_up_rights(cursor: psycopg.Cursor[Any], timeout: float) -> None:
    """Set this question's limits; a superuser asks with the right to read, and nothing more."""
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{max(1, int(timeout * 1000))}ms"])
    found = cursor.execute(
        "SELECT rolsuper, to_regrole(%s) IS NOT NULL FROM pg_roles WHERE rolname = current_user", [_READER]
    ).fetchone()
    if found == (True, True):
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(_READER)))


def _with_origins(cursor: psycopg.Cursor[Any], names: list[str]) -> list[str]:
    """Call a column that was renamed by its own name as well: masking judges by names."""
    result = cursor.pgresult
    assert result is not None
    origins = [(result.ftable(place), result.ftablecol(place)) for place in range(len(names))]
    found = cursor.execute(
        "SELECT attrelid::int8, attnum::int, attname::text FROM pg_attribute"
        " WHERE (attrelid::int8, attnum::int) IN (SELECT * FROM unnest(%s::int8[], %s::int[]))",
        [[table for table, _ in origins], [column for _, column in origins]],
    )
    real = {(table, column): name for table, column, name in found}
    return [
        f"{name} ({own})"
        if name != "key" and (own := real.get(origin, name)).lower() != name.lower()
        else name
        for name, origin in zip(names, origins, strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def _said(error: psycopg.Error, timeout: float) -> str:
    """Say what the server said, in its own words where it is its word."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it took longer than {timeout:g} s and was stopped."
    said = redact((str(error).strip() or type(error).__name__).splitlines()[0].rstrip("."))
    if "multiple commands" in said:
        return "it is more than one statement."
    hint = getattr(getattr(error, "diag", None), "message_hint", None)
    return f"{said}." + (f" {redact(hint)}" if hint else "")
