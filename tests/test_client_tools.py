"""Servers and archives that only other client programs can work with than the embedded ones."""

from __future__ import annotations

import json
from dataclasses import replace

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.foreign import foreign as foreign
from tests.states import state
from workbench.database.embedded import client_tools
from workbench.demo.club import build_club


@pytest.fixture
def embedded_only(monkeypatch):
    """Let no program of this machine's stand in."""
    monkeypatch.setattr("shutil.which", lambda name: None)


def test_a_server_that_asks_for_ssl(clubs, foreign, at, tmp_path, embedded_only):
    """Without programs that have SSL all is refused before anything begins; with them it goes through."""
    url = foreign.create()
    with psycopg.connect(url) as connection:
        build_club(connection, dialect="guide", members=50, imports=tmp_path / "imports")
    club = replace(clubs.clone("guide", 50), url=url)
    stopped = tmp_path / "stopped"
    service = f"app_stop = ['touch', '{stopped}']"
    bare = at(club, service)
    taken = bare("snapshot", "create", "--json")
    assert taken.returncode == 3
    assert str(client_tools()) in taken.stderr
    assert "client_tools" in taken.stderr
    doctor = {each["subject"]: each for each in json.loads(bare("doctor", "--json").stdout)}
    assert (doctor["pg_dump"]["state"], doctor["psql"]["state"]) == ("missing", "missing")

    def able():
        shell = at(club, service)
        settings = tmp_path / "workbench.toml"
        settings.write_text(f"client_tools = '{foreign.programs}'\n" + settings.read_text())
        return shell

    made = able()("snapshot", "create", "--json")
    assert made.returncode == 0, made.stderr
    assert able()("snapshot", "verify").returncode == 0
    assert {
        each["state"]
        for each in json.loads(able()("doctor", "--json").stdout)
        if each["subject"].startswith("p")
    } <= {"ok"}
    club.execute('DELETE FROM "WaIdMapping"')
    for way in ([], ["--in-place"]):
        asked = at(club, service)("snapshot", "restore", "latest", *way, "--json")
        assert asked.returncode == 3
        assert str(client_tools()) in asked.stderr
    assert not stopped.exists()
    asked = json.loads(able()("snapshot", "restore", "latest", "--json").stdout)
    assert able()("approve", asked["request"], "--digest", asked["digest"], "--as", "erin").returncode == 0
    assert at(club, service)("snapshot", "restore", asked["request"], "--yes").returncode == 3
    assert not stopped.exists()
    done = able()("snapshot", "restore", asked["request"], "--yes")
    assert done.returncode == 0, done.stderr
    assert stopped.exists()
    with psycopg.connect(url) as connection:
        assert connection.execute('SELECT count(*) > 0 FROM "WaIdMapping"').fetchone() == (True,)


@pytest.fixture
def newer(tmp_path):
    """The folder of client programs that compress as the embedded ones cannot read: one byte of the head is another."""
    place, ours, theirs = 11, 1, 3
    folder = tmp_path / "newer"
    folder.mkdir()
    dump = f"""#!/bin/sh
        "{client_tools()}/pg_dump" "$@" || exit
        for each; do case "$each" in --file=*) printf '\\{theirs:o}' | dd of="${{each#--file=}}" bs=1 seek={place} conv=notrunc status=none;; esac; done
        """
    restore = f"""#!/bin/sh
        for each; do archive=$each; done
        [ -f "$archive" ] || exec "{client_tools()}/pg_restore" "$@"
        n=$#; for each; do [ $n = 1 ] || set -- "$@" "$each"; shift; n=$((n - 1)); done
        copy=$(mktemp); trap 'rm -f "$copy"' EXIT; cp "$archive" "$copy"
        printf '\\{ours:o}' | dd of="$copy" bs=1 seek={place} conv=notrunc status=none
        "{client_tools()}/pg_restore" "$@" "$copy"
        """
    for name, script in {"pg_dump": dump, "pg_restore": restore}.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


def test_an_archive_that_the_embedded_programs_do_not_read(clubs, newer, at, tmp_path, embedded_only):
    """It is read by those that took it, wherever it is read; without them nothing of it is green."""
    club = clubs.clone("guide", 50)

    def able():
        shell = at(club)
        settings = tmp_path / "workbench.toml"
        settings.write_text(f"client_tools = '{newer}'\n" + settings.read_text())
        return shell

    made = able()("snapshot", "create", "--json")
    assert made.returncode == 0, made.stderr
    club.execute('DELETE FROM "WaIdMapping" WHERE "entityType" = %s', "Member")
    archive = str(next((tmp_path / "backups").glob("*.dump")))
    (tmp_path / "alone.dump").write_bytes((tmp_path / archive).read_bytes())
    for name in ("latest", "alone.dump"):
        assert at(club)("snapshot", "diff", name).returncode == 3
        assert able()("snapshot", "diff", name).returncode in (0, 1)
    assert at(club)("snapshot", "verify", "--json").returncode == 3
    assert at(club)("snapshot", "restore", "latest", "--json").returncode == 3
    assert able()("snapshot", "verify").returncode == 0
    asked = json.loads(able()("snapshot", "restore", "latest", "--json").stdout)
    assert able()("approve", asked["request"], "--digest", asked["digest"], "--as", "erin").returncode == 0
    done = able()("snapshot", "restore", asked["request"], "--yes")
    assert done.returncode == 0, done.stderr
    with club.connect() as connection:
        kinds = connection.execute('SELECT count(DISTINCT "entityType") FROM "WaIdMapping"').fetchone()
    assert kinds == (3,)


def test_a_collation_that_takes_what_differs_for_the_same(clubs, foreign, at, tmp_path):
    """Rolled back and undone to the letter; two people whose addresses differ in case are found."""
    url, dialect = foreign.create(), "application"
    with psycopg.connect(url) as connection:
        built = build_club(connection, dialect=dialect, members=60, imports=tmp_path / "imports")
        connection.execute(
            "CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
        for column in ("email", '"lastName"'):
            connection.execute(f'ALTER TABLE "Member" ALTER {column} TYPE text COLLATE no_case')
    club = replace(clubs.clone(dialect, 60), url=url, club=built)
    run = at(club)

    def everything():
        with psycopg.connect(url) as connection:
            return state(connection, leave_out={"AuditLog"})

    def answer(*words):
        done = run(*words, "--json")
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    before = everything()
    for words in (["check"], ["mappings"], ["triage"], ["policies"]):
        assert answer(*words)
    plan = answer("plan", "rollback", built.last_live_run.run)
    assert plan["changes"]["Member"]["delete"] > 4
    assert run("approve", plan["id"], "--digest", plan["digest"]).returncode == 0
    assert run("apply", plan["id"], "--yes").returncode == 0
    assert everything() != before
    assert run("undo", plan["id"], "--yes").returncode == 0
    assert everything() == before
    with psycopg.connect(url) as connection:
        connection.execute('DROP INDEX IF EXISTS "Member_email_key"')
        connection.execute(
            """UPDATE "Member" t SET email = upper(f.email), "firstName" = f."firstName", "lastName" = f."lastName"
            FROM (SELECT * FROM "Member" ORDER BY id LIMIT 1) f
            WHERE t.id = (SELECT id FROM "Member" ORDER BY id OFFSET 1 LIMIT 1)"""
        )
    assert len(answer("duplicates", "--entity", "member")["members"]["pairs"]) == 1
