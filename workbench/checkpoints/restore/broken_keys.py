"""Foreign keys that the snapshot's own rows break.

A row can get past a foreign key while triggers are off, and stay: the key holds for every later write, and the
row is there. ``pg_restore`` checks all rows when it makes the key, and fails. What was there before must be there
afterwards, row and key; so such a key is made without a check of what is there already (NOT VALID).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from workbench.checkpoints.archive import AGAIN, failure, pg_restore, reader
from workbench.database.tools import plain_english
from workbench.errors import SnapshotError

Session = psycopg.Connection[Any]

_BROKEN = re.compile(r'on table "(.+)" violates foreign key constraint "(.+)"')
_KEY = re.compile(r"^\d+; \d+ \d+ FK CONSTRAINT (.*)$")
_STATEMENT = re.compile(r"^ALTER TABLE .*?;$", re.MULTILINE | re.DOTALL)


def broken_by(said: str) -> tuple[str, str] | None:
    """Return table and name of the foreign key that rows break, when that is what the server said."""
    found = _BROKEN.search(said)
    return (found.group(1), found.group(2)) if found else None


def listed(archive: Path, tools: Path | None) -> list[str]:
    """Return an archive's list of contents, line by line."""
    done = subprocess.run(
        pg_restore(archive, reader(archive, tools), "--list"),
        capture_output=True,
        env=plain_english(),
        check=False,
    )
    if done.returncode:
        raise SnapshotError(f"The snapshot {archive} is damaged: {failure(done.stderr)}.", AGAIN)
    text = done.stdout.decode(errors="surrogateescape")
    return [line for line in text.splitlines() if line and not line.startswith(";")]


def is_key(line: str) -> bool:
    """Tell whether a line of the list is a foreign key."""
    return _KEY.match(line) is not None


def statements(archive: Path, tools: Path | None, keys: Iterable[str]) -> list[str]:
    """Return the statements that make some foreign keys, by their lines in the list."""
    chosen = "".join(f"{line}\n" for line in keys)
    if not chosen:
        return []
    done = subprocess.run(
        pg_restore(archive, reader(archive, tools), "--file=-", "--use-list=/dev/stdin"),
        input=chosen.encode(errors="surrogateescape"),
        capture_output=True,
        env=plain_english(),
        check=False,
    )
    if done.returncode:
        raise SnapshotError(f"The snapshot {archive} is damaged: {failure(done.stderr)}.", AGAIN)
    return _STATEMENT.findall(done.stdout.decode())


def make_unchecked(
    connection: Session, archive: Path, tools: Path | None, lines: list[str], broken: set[tuple[str, str]]
) -> None:
    """Make the foreign keys that rows break, without a check of these."""
    keys = [
        line for line in lines if is_key(line) and any(f" {table} {name} " in line for table, name in broken)
    ]
    for statement in statements(archive, tools, keys):
        connection.execute(unchecked(statement).encode())


def unchecked(statement: str) -> str:
    """Return the statement that makes a foreign key without checking the rows that are there."""
    return statement if statement.endswith(" NOT VALID;") else f"{statement.removesuffix(';')} NOT VALID;"
