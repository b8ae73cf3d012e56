"""A club in a database of another encoding than UTF-8, or of none: every name is read, taken along and written back."""

from __future__ import annotations

import json
from dataclasses import replace

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from workbench.demo.club import build_club

STATE = """SELECT md5(string_agg(t::text, '|' ORDER BY t::text COLLATE "C")) FROM "Member" t"""
# The second's are Latin-1, UTF-8, a character that stands for a byte where it is read, and no text at all.
NAMES = {
    "LATIN1": ["'González'"],
    "SQL_ASCII": [r"E'Gonz\341lez'", r"E'Gonz\303\241lez'", r"E'\357\237\241\300'", r"E'\377\200\\n'"],
}


@pytest.mark.parametrize("encoding", NAMES)
def test_every_name_comes_back(clubs, server, at, tmp_path, encoding):
    name = server.create()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    url = server.url(name)

    def ask(statement):
        with psycopg.connect(url, client_encoding="LATIN1") as connection:  # any byte is a character
            cursor = connection.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    with psycopg.connect(url, client_encoding="UTF8") as connection:
        build_club(connection, dialect="guide", members=50, imports=tmp_path / "imports")
    names = NAMES[encoding]

    def answer(*words):
        done = run(*words, "--json")
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    for number, each in enumerate(names):
        ask(
            f"""UPDATE "Member" SET "lastName" = {each} WHERE abs(hashtext(id::text)) % {len(names)} = {number}"""
        )
    run = at(replace(clubs.clone("guide", 50), url=url))
    was = ask(STATE)
    for question in (["duplicates", "--unmask"], ["mappings"]):
        assert answer(*question)
    taken = answer("snapshot", "create")["name"]
    assert run("snapshot", "verify").returncode == 0
    first = """WHERE id = (SELECT min(id) FROM "Member")"""
    ask(f"""UPDATE "Member" SET "firstName" = '>' || "firstName" {first}""")
    (members,) = (
        each for each in answer("snapshot", "diff", "latest")["tables"] if each["table"] == "Member"
    )
    assert (members["changed"], members["columns"]) == (1, "firstName 1")
    ask(f"""UPDATE "Member" SET "firstName" = substr("firstName", 2) {first}""")
    newest = answer("runs")[-1]["run"]
    plan = answer("plan", "rollback", newest)
    assert plan["changes"]["Member"]["delete"] > 4
    assert run("approve", plan["id"], "--digest", plan["digest"], "--as", "erin").returncode == 0
    assert run("apply", plan["id"], "--yes").returncode == 0
    assert ask(STATE) != was
    removed = run("snapshot", "diff", "latest", "--unmask")
    assert "González" in removed.stdout, removed.stderr
    assert run("undo", plan["id"], "--yes").returncode == 0
    assert ask(STATE) == was
    for way in ([], ["--in-place"]) if encoding == "SQL_ASCII" else ():
        ask("""UPDATE "Member" SET "lastName" = 'gone'""")
        asked = answer("snapshot", "restore", taken, *way)
        assert run("approve", asked["request"], "--digest", asked["digest"], "--as", "erin").returncode == 0
        assert run("snapshot", "restore", asked["request"], "--yes").returncode == 0
        assert ask(STATE) == was
