"""The state before a run, in each form that people have it: an archive, a plain script, a name, a branch (issue 12)."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.imports import import_run
from tests.states import differences, state
from workbench.database.embedded import client_tools

BRANCH = '[environments.branch]\nkind = "demo"\nurl_env = "BRANCH_URL"\n'


@pytest.fixture(autouse=True)
def _scratch_on_the_tests_server(server, monkeypatch, shell):
    monkeypatch.setenv("WORKBENCH_SCRATCH_URL_ENV", "SCRATCH_URL")
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))


@pytest.fixture
def staged(club, server, at, monkeypatch):
    """A club after a run, and a branch of it from before; the command line, and the run's id."""
    branch = server.create(urlsplit(club.url).path[1:])
    monkeypatch.setenv("BRANCH_URL", server.url(branch))
    with club.connect() as connection:
        run = import_run(connection, club.club, "guide" if club.club.dialect == "guide" else "api")
    return at(club, BRANCH), run.run, server.url(branch)


def script(url: str, path: Path, *options: str) -> Path:
    subprocess.run([client_tools() / "pg_dump", *options, f"--file={path}", url], check=True)
    return path


def body(planned: dict[str, object]) -> str:
    """Return a plan less its header, which names what it rests on."""
    return Path(str(planned["plan"])).read_text().partition("\n")[2]


@pytest.mark.parametrize("dialect", ["application"])
def test_a_rollback_is_the_same_from_each(club, staged, tmp_path):
    run, run_id, branch = staged
    plain = script(branch, tmp_path / "before.sql")
    (tmp_path / "before.sql.gz").write_bytes(gzip.compress(plain.read_bytes()))
    forms = {
        "archive": ("--snapshot", str(script(branch, tmp_path / "before.dump", "-Fc"))),
        "script": ("--snapshot", str(plain)),
        "packed script": ("--snapshot", str(tmp_path / "before.sql.gz")),
        "branch": ("--before", "branch"),
    }
    planned = {}
    for form, given in forms.items():
        done = run("plan", "rollback", run_id, *given, "--json")
        assert done.returncode == 0, (form, done.stderr)
        planned[form] = json.loads(done.stdout)
        assert not planned[form]["unresolved"]
    assert len({body(each) for each in planned.values()}) == 1
    with psycopg.connect(branch) as connection:
        before = state(connection)
    last = planned["branch"]
    assert run("approve", last["plan"], "--digest", last["digest"], "--as", "robin").returncode == 0
    assert run("apply", last["plan"], "--yes").returncode == 0
    with club.connect() as connection:
        assert differences(before, state(connection)).keys() == {"AuditLog"}


@pytest.mark.parametrize("dialect", ["application"])
def test_every_command_takes_a_branch_and_a_script_and_a_name_as_a_file(club, staged, tmp_path):
    run, run_id, branch = staged
    plain = str(script(branch, tmp_path / "before.sql"))
    for words, key, from_name in (
        ("snapshot diff", "tables", ()),
        (f"snapshot losses --run {run_id}", "tables", ()),
        (f"plan replay --run {run_id}", "changes", ("--snapshot",)),
    ):
        answers = [
            json.loads(run(*words.split(), *state, "--json").stdout or "{}").get(key)
            for state in ((*from_name, plain), ("--before", "branch"))
        ]
        assert answers[0] == answers[1], words
    taken = json.loads(run("snapshot", "create", "--json").stdout)
    with club.connect() as connection:
        later = import_run(connection, club.club, "api", seed=2).run
    digests = {
        json.loads(run("plan", "rollback", later, "--snapshot", name, "--json").stdout)["digest"]
        for name in (taken["snapshot"], taken["name"], "latest")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("dialect", ["application"])
def test_what_is_no_state_before_is_refused(club, clubs, staged, server, tmp_path, monkeypatch):
    run, run_id, _ = staged
    plan = ("plan", "rollback", run_id)
    another = clubs.clone("application", 60)
    another.execute(
        """SET session_replication_role = replica; UPDATE "Member" SET id = gen_random_uuid();
           UPDATE "Event" SET id = gen_random_uuid()"""
    )
    after = server.url(server.create(urlsplit(club.url).path[1:]))
    for url, words in (
        (club.url, "same database"),  # under another name, as a hosted branch's URL that was never changed
        (another.url, "another club"),
        (after, "snapshot branch is not from before"),
    ):
        monkeypatch.setenv("BRANCH_URL", url)
        done = run(*plan, "--before", "branch")
        assert (done.returncode, words in done.stderr) == (3, True), done.stderr
    for given, code in ((["club"], 3), (["brunch"], 2), (["branch", "--snapshot", "latest"], 2)):
        assert run(*plan, "--before", *given).returncode == code
    assert run("snapshot", "diff").returncode == 2
    assert not list(tmp_path.rglob("*.plan"))


def damaged(whole: str) -> dict[str, str]:
    """Return what becomes of a script on the way, by what happened to it."""
    rows = re.search(r'^COPY public."Member" .*\n(.*\n)', whole, re.MULTILINE)
    assert rows
    return {
        "cut in the middle of rows": whole[: rows.end() + 40],
        "cut after a table": whole[: whole.index("\\.\n", rows.end()) + 3],
        "without its end": whole.replace("-- PostgreSQL database dump complete", ""),
        "a row cut short": whole.replace(rows.group(1), rows.group(1)[:20] + "\n"),
        "a command to psql": whole.replace(
            "SET lock_timeout = 0;", "\\! touch was-here\nSET lock_timeout = 0;"
        ),
        "a command within a line": whole.replace("SET lock_timeout = 0;", "SELECT 1 \\g |touch was-here"),
        "the schema alone": re.sub(r"^COPY .*?^\\\.\n", "", whole, flags=re.MULTILINE | re.DOTALL),
    }


def test_a_damaged_script_is_refused_by_name(clubs, at, server, tmp_path):
    club = clubs.clone("application")
    whole = script(club.url, tmp_path / "whole.sql").read_text()
    with club.connect() as connection:
        run_id = import_run(connection, club.club, "api").run
    run = at(club)
    before = server.databases()
    inserts = script(club.url, tmp_path / "inserts.sql", "--inserts").read_text()
    for what, content in {**damaged(whole), "rows as INSERT": inserts}.items():
        (tmp_path / "damaged.sql").write_text(content)
        done = run("plan", "rollback", run_id, "--snapshot", "damaged.sql")
        assert (done.returncode, "damaged.sql" in done.stderr) == (2, True), (what, done.stderr)
    packed = gzip.compress(whole.encode())
    (tmp_path / "damaged.sql.gz").write_bytes(packed[: len(packed) // 2])
    assert run("plan", "rollback", run_id, "--snapshot", "damaged.sql.gz").returncode == 2
    (tmp_path / "wide.sql").write_text(whole, encoding="utf-16")
    assert run("plan", "rollback", run_id, "--snapshot", "wide.sql").returncode == 2
    assert server.databases() == before
    assert not (tmp_path / "was-here").exists()
    assert not list(tmp_path.rglob("*.plan"))


def test_a_script_of_roles_and_rights_that_are_not_there_is_loaded(clubs, at, server, tmp_path):
    """As a dump of another server is: owned by others, made anew, connected to by name, of an older psql or a newer."""
    club = clubs.clone("guide")
    whole = script(club.url, tmp_path / "whole.sql", "--create", "--clean").read_text()
    name = urlsplit(club.url).path[1:]
    whole = whole.replace("OWNER TO postgres", "OWNER TO neon_superuser")
    whole += "\nCREATE FUNCTION noted() RETURNS void LANGUAGE sql AS $$\nINSERT INTO x VALUES (1);\n$$;"
    whole += '\nGRANT SELECT ON TABLE public."Member" TO cloudsqlsuperuser;\nALTER TABLE public."Member" OWNER TO rdsadmin;\n'
    whole = (
        whole.replace("-- PostgreSQL database dump complete", "--") + "-- PostgreSQL database dump complete\n"
    )
    (tmp_path / "theirs.sql").write_text(
        f"DROP DATABASE IF EXISTS {name};\nDROP ROLE IF EXISTS dana;\n{whole}", newline=""
    )
    run = at(club)
    done = run("snapshot", "diff", "theirs.sql", "--json")
    assert (done.returncode, json.loads(done.stdout)["tables"]) == (0, []), done.stderr
    assert name in server.databases()
