"""A club with a bad run and people's work on top of it, and the snapshot restored in its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.fixes.conftest import staged as staged
from workbench.database.embedded import client_tools


def restore_in_place(url: str, snapshot: Path) -> None:
    """Do what a restore does: another database, made from the snapshot, under the live one's name."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(str(name)))
        )
    subprocess.run(
        [client_tools() / "pg_restore", "--exit-on-error", "--single-transaction", "-d", url, snapshot],
        check=True,
    )
