"""A pooler before the server: what works works whole, what cannot is refused before anything starts (issue 12)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.commands import at as at
from tests.commands import shell as shell
from tests.imports import import_run
from tests.states import differences, state

HOSTILE = {
    "idle_in_transaction_session_timeout": 100,
    "idle_session_timeout": 100,
    "transaction_timeout": 100,
    "extra_float_digits": -15,
    "bytea_output": "escape",
    "DateStyle": "German",
    "jit_above_cost": 0,
}
SHELL = {
    "PGTZ": "Asia/Kolkata",
    "PGDATESTYLE": "German",
    "PGCLIENTENCODING": "LATIN1",
    "PGGEQO": "off",
    "PGHOST": "nowhere.example",
    "PGOPTIONS": "-c search_path=elsewhere -c role=nobody_here",
    "PGHOSTADDR": "192.0.2.7",
    "PGPORT": "1",
    "PGSERVICE": "nothing",
    "PGDATABASE": "other",
    "PGUSER": "nobody_here",
    "PGAPPNAME": "somebody",
    "PGTARGETSESSIONATTRS": "standby",
    "PGPASSWORD": "wrong",
}
"""What an operator's shell may hold for other databases."""
STRICT = {
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "system",
    "PGSSLCERTMODE": "require",
    "PGSSLNEGOTIATION": "direct",
    "PGGSSENCMODE": "require",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGREQUIREPEER": "somebody",
}
"""What it may demand of servers on the network."""
URL_OPTIONS = quote("-c role=boss -c search_path=elsewhere", safe="")


def answers(run, *questions):
    """Return exit code and JSON of each, less where the database is."""
    done = [run(*question.split(), "--json") for question in questions]
    return [
        (each.returncode, re.sub(r'"where": ".*"', "", each.stdout), "not run" in each.stdout)
        for each in done
    ]


@pytest.mark.parametrize(("dialect", "mode"), [("guide", "transaction"), ("application", "session")])
def test_behind_a_pooler_looking_planning_applying_and_undoing_work(ground, pool, at, mode, tmp_path):
    with ground.connect() as connection:
        run_id = import_run(connection, ground.club, "guide" if "guide" in ground.club.dialect else "api").run
        before = state(connection)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "own.sql").write_text("-- title = 'Own'\n\nSELECT id AS key FROM events LIMIT 1")
    questions = ("runs", f"run {run_id}", "policies own", "mappings", "duplicates")
    direct = answers(at(ground), *questions)
    url = pool(ground.url, mode)
    run = at(replace(ground, url=url))
    assert answers(run, *questions) == direct
    plan = json.loads(run("plan", "rollback", run_id, "--json").stdout)
    assert run("approve", plan["plan"], "--digest", plan["digest"], "--as", "robin").returncode == 0
    assert run("apply", plan["plan"], "--yes").returncode == 0
    with ground.connect() as connection:
        assert differences(before, state(connection)).keys() > {"AuditLog"}
    assert run("undo", plan["plan"], "--yes").returncode == 0
    with ground.connect() as connection:
        assert differences(before, state(connection)).keys() == {"AuditLog"}
    with psycopg.connect(
        url, autocommit=True, prepare_threshold=None
    ) as another:  # nothing of ours is left behind
        names = ["default_transaction_read_only", "search_path", "statement_timeout", "row_security"]
        left = [another.execute("SELECT current_setting(%s)", [each]).fetchone()[0] for each in names]
        assert left == ["off", '"$user", public', "0", "on"]
        assert another.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    backups = tmp_path / "backups"
    done = run("snapshot", "create")
    assert (done.returncode, backups.exists()) == (3, False), done.stderr
    assert "pooler" in done.stderr
    assert at(ground)("snapshot", "create").returncode == 0
    done = at(replace(ground, url=url))("snapshot", "restore", "latest")
    assert (done.returncode, "pooler" in done.stderr) == (3, True), done.stderr
    assert not list((tmp_path / ".workbench").rglob("restore*"))
    found = json.loads(run("doctor", "--json").stdout)
    assert [each["state"] for each in found if each["subject"] == "connection pooler"] == ["missing"]
    found = json.loads(at(ground)("doctor", "--json").stdout)
    assert not [each for each in found if each["subject"] == "connection pooler"]


@pytest.mark.parametrize(
    ("mode", "options", "commands"),
    [
        ("statement", "", ("runs", "check", "doctor", "plan sync-state", "snapshot create")),
        ("session", "?options=-c%20work_mem%3D8MB", ("runs",)),
    ],
)
def test_a_pooler_of_single_statements_or_that_refuses_the_urls_own_options_is_named(
    guide, pool, at, mode, options, commands
):
    run = at(replace(guide, url=f"{pool(guide.url, mode)}{options}"))
    for command in commands:
        done = run(*command.split())
        assert (done.returncode, "pooler" in done.stderr) == (3, True), (command, done.stderr)


def test_the_urls_own_options_hold(application, at):
    """As psql sees it: a role that may read, and the schema that the tables are in."""
    own = application.club.dialect
    application.execute("ALTER SCHEMA public RENAME TO elsewhere")
    application.execute("CREATE SCHEMA public")
    with application.connect() as connection:
        if connection.execute("SELECT to_regrole('boss')").fetchone() == (None,):
            connection.execute("CREATE ROLE boss")
        connection.execute("GRANT USAGE ON SCHEMA elsewhere TO boss")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA elsewhere TO boss")
    found = at(replace(application, url=f"{application.url}&options={URL_OPTIONS}"))("doctor", "--json")
    lines = {each["subject"]: each["detail"] for each in json.loads(found.stdout)}
    assert lines["dialect"] == own
    assert lines["connection"].endswith("as boss")


def test_neither_the_shell_nor_the_server_changes_what_is_read(application, server, at, monkeypatch):
    """Time zones and styles of the operator's shell, time-outs and the compiler of the server's settings."""
    monkeypatch.setenv("WORKBENCH_SCRATCH_URL_ENV", "SCRATCH_URL")
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))
    run = at(application)
    taken = json.loads(run("snapshot", "create", "--json").stdout)["snapshot"]
    with application.connect() as connection:
        run_id = import_run(connection, application.club, "api").run
    ask = ("plan", "rollback", run_id, "--snapshot", taken, "--json")
    digest = json.loads(run(*ask).stdout)["digest"]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        database = sql.Identifier(conninfo_to_dict(application.url)["dbname"])
        for setting, value in HOSTILE.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(setting), value)
            )
    for variable, value in SHELL.items():
        monkeypatch.setenv(variable, value)
    again = run(*ask)
    assert json.loads(again.stdout or "{}").get("digest") == digest, again.stderr
    noted = {each["subject"]: each["detail"] for each in json.loads(run("doctor", "--json").stdout)}
    assert all(each in noted["variables"] for each in ("PGHOSTADDR", "PGPORT", "PGTZ"))
    assert run("snapshot", "create").returncode == 0
    assert run("snapshot", "verify", "latest").returncode == 0
    found = json.loads(run("snapshot", "diff", "latest", "--full", "--json").stdout)
    assert [each["table"] for each in found["tables"]] == ["AuditLog"]


EMBEDDED = """
from workbench import open_workbench
from workbench.demo.making import make_demo
from workbench.settings import load_settings
make_demo(load_settings(), members=50, breakages=())
with open_workbench() as wb:
    wb.snapshots.create()
    (tried,) = wb.snapshots["latest"].verify().verifications
    assert tried.outcome == "pass", tried
"""


def test_the_embedded_server_is_not_misdirected_by_the_shell():
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "WORKBENCH_"))}
    # Not in pytest's own folder, which other runs of pytest close to the server's user.
    with tempfile.TemporaryDirectory(prefix="workbench-tests-") as folder:
        command, surroundings = [sys.executable, "-c", EMBEDDED], own | SHELL | STRICT
        done = subprocess.run(
            command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr


def test_a_url_for_other_clients_connects_as_they_would(application, at):
    direct = at(application)("runs", "--json")
    run = at(
        replace(application, url=f"{application.url}&supa=x&pgbouncer=true&target_session_attrs=read-write")
    )
    done = run("runs", "--json")
    assert (done.returncode, done.stdout) == (direct.returncode, direct.stdout)
    assert run("snapshot", "create").returncode == 0
    noted = {each["subject"]: each["detail"] for each in json.loads(run("doctor", "--json").stdout)}
    assert noted["URL parameters"].endswith("pgbouncer, supa")
    done = at(replace(application, url=f"{application.url}&sslmod=require"))("runs")
    assert (done.returncode, "sslmode" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("target_session_attrs=readwrite", "readwrite"),
        ("channel_binding=requir", "requir"),
        ("sslmode=require&sslrootcert=system", "weak"),
    ],
)
def test_a_wrong_value_in_the_way_to_connect_is_named(guide, at, parameter, named):
    done = at(replace(guide, url=f"{guide.url}&{parameter}"))("runs")
    assert (done.returncode, named in done.stderr) == (2, True), done.stderr


def test_encryption_that_the_url_asks_for_is_never_left_out(guide, pool, at):
    """A server that has none is no place to send a password to."""
    url = pool(guide.url, "session")
    assert at(replace(guide, url=url))("runs").returncode == 0
    for parameter in ("ssl=true", "sslmode=no-verify", "sslaccept=strict&pgbouncer=true"):
        done = at(replace(guide, url=f"{url}?{parameter}"))("runs")
        assert (done.returncode, "SSL" in done.stderr) == (4, True), (parameter, done.stderr)
