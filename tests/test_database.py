"""Addresses, the environment guard, reading that cannot write, and the embedded server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from tests.conftest import database_at
from workbench.database.address import parse_address, redact
from workbench.database.environment import address_in, guard
from workbench.errors import DatabaseUnreachable, UsageError, WorkbenchError, WrongEnvironment
from workbench.settings import EnvironmentSettings


def query_of(address):
    place = ("user", "password", "host", "port", "dbname")
    return {name: value for name, value in conninfo_to_dict(address.conninfo).items() if name not in place}


secrets = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=6, max_size=30)


@given(secret=secrets)
def test_no_password_survives_redaction(secret):
    secret = "Zq" + secret + "9x"
    for spoken in (
        f"connection to postgresql://dana:{secret}@db/club failed",
        f"postgresql+psycopg://dana:{secret}@db:5432/club?sslmode=require",
        f"host=db password={secret} user=dana",
        f"password='{secret}'",
        f"PASSWORD: {secret}",
    ):
        assert secret not in redact(spoken)
    assert secret not in redact(f"something {secret} else", secret)


def test_prismas_own_parameters_are_understood():
    address = parse_address(
        "postgres://u:p@db:5433/club?schema=crm&connection_limit=5&sslmode=require", named="$X"
    )
    assert address.schema == "crm"
    assert address.where == "db:5433/club"
    assert query_of(address) == {"sslmode": "require"}
    assert "p@" not in repr(address)


@pytest.mark.parametrize(
    "wrong", ["", "club", "mysql://u:s3cret@db/club", "postgresql://db", "sqlite:///x.db"]
)
def test_what_is_no_postgresql_url_is_refused_without_showing_it(wrong):
    with pytest.raises(UsageError, match=r"\$CLUB_URL") as caught:
        parse_address(wrong, named="$CLUB_URL")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "leading_elsewhere",
    [
        "postgresql://localhost/club?host=prod-db",
        "postgresql://localhost/club?hostaddr=10.0.0.5",
        "postgresql://localhost/club?dbname=club_prod",
        "postgresql://localhost/club?service=production",
        "postgresql:///club?host=dev1,prod-db",
    ],
)
def test_a_url_that_would_lead_elsewhere_than_it_says_is_refused(leading_elsewhere):
    with pytest.raises(UsageError):
        parse_address(leading_elsewhere, named="$CLUB_URL")


def test_a_variable_must_not_decide_the_host(monkeypatch):
    assert parse_address("postgresql:///club", named="$CLUB_URL").where == "local/club"
    monkeypatch.setenv("PGHOST", "prod-db")
    assert parse_address("postgresql:///club", named="$CLUB_URL").where == "local/club"
    with pytest.raises(DatabaseUnreachable, match="socket"), database_at("postgresql:///club").reading():
        pass


def environment(kind, **more):
    return EnvironmentSettings(kind=kind, url_env="CLUB_URL", **more)


@pytest.mark.parametrize(
    ("name", "kind", "url"),
    [
        ("production", "development", "postgresql://db/club"),
        ("prod-eu", "staging", "postgresql://db/club"),
        ("club", "development", "postgresql://prod.example.org/club"),
        ("club", "production", "postgresql://db/club_staging"),
        ("club", "production", "postgresql://localhost/club"),
        ("club", "staging", "postgresql://dev-db/club"),
        ("club", "development", "postgresql://prod-db/club_dev"),
        ("club", "development", "postgresql://db/clubProd"),
        ("club", "production", "postgresql://[::1]/club"),
        ("club", "production", "postgresql://LOCALHOST./club"),
        ("club", "production", "postgresql://127.0.0.2/club"),
    ],
)
def test_the_guard_refuses_what_disagrees(name, kind, url):
    with pytest.raises(WrongEnvironment) as caught:
        guard(name, environment(kind), parse_address(url, named="$CLUB_URL"))
    assert caught.value.exit_code == 3
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("name", "kind", "url", "address"),
    [
        ("production", "production", "postgresql://db.club.org/murmurant", None),
        ("prod", "production", "postgresql://prod-db/club", None),
        ("club", "development", "postgresql://localhost/club", None),
        ("club", "production", "postgresql://localhost:6000/club", "localhost:6000/club"),
        ("reproduction", "development", "postgresql://localhost/deliver", None),
    ],
)
def test_the_guard_lets_through_what_agrees(name, kind, url, address):
    found = guard(name, environment(kind, address=address), parse_address(url, named="$CLUB_URL"))
    assert found.production == (kind == "production")


def test_another_address_than_stated_is_refused():
    with pytest.raises(WrongEnvironment, match="must be at db/club"):
        guard(
            "club",
            environment("production", address="db/club"),
            parse_address("postgresql://db/other", named="$X"),
        )


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("CLUB_URL", raising=False)
    with pytest.raises(UsageError, match="CLUB_URL"):
        address_in("CLUB_URL", "a club")


def test_reading_cannot_write(empty_url):
    database = database_at(empty_url)
    for statement in ("CREATE TABLE t (i int)", "COMMIT; CREATE TABLE t (i int)"):
        with pytest.raises(WorkbenchError, match="read-only"), database.reading() as connection:
            connection.exec_driver_sql(statement)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


@pytest.mark.parametrize("password", ["a%20b", "a+b", "%3A%2F%40%25%27%5C", ""])
@pytest.mark.parametrize("name", ["Klüb 'zwei' b\\\\c=d"])
def test_a_space_in_the_password_or_the_name_keeps_nobody_from_writing(server, name, password):
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    url = server.url("@@").replace("/@@", f"/{quote(name)}").replace("postgres:@", f"postgres:{password}@")
    assert quote(name) in url
    database = database_at(url)
    with database.writing() as connection:
        assert connection.info.dbname == name
        assert connection.info.password == unquote(password)
        assert "apply" in connection.execute("SHOW application_name").fetchone()[0]
        connection.execute("CREATE TABLE t AS SELECT current_setting('statement_timeout') AS limited")
    with database.reading() as connection:
        assert connection.execute(text("SELECT limited FROM t")).scalar_one() == "15min"


def test_reading_sees_one_state(empty_url):
    with psycopg.connect(empty_url, autocommit=True) as writer:
        writer.execute("CREATE TABLE t (i int)")
        with database_at(empty_url).reading() as connection:
            before = connection.execute(text("SELECT count(*) FROM t")).scalar_one()
            writer.execute("INSERT INTO t VALUES (1)")
            assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == before == 0


def test_a_question_that_takes_too_long_is_stopped(empty_url):
    database = replace(database_at(empty_url), statement_timeout=0.1)
    with pytest.raises(WorkbenchError, match=r"longer than 0\.1 s"), database.reading() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))


def test_a_server_that_is_down_is_said_plainly():
    database = database_at("postgresql://dana:hunter22@127.0.0.1:1/club")
    with pytest.raises(DatabaseUnreachable) as caught, database.reading():
        pass
    assert "127.0.0.1:1/club" in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_lost_connection_is_said_plainly(empty_url):
    def lose():
        with database_at(empty_url).reading() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with psycopg.connect(empty_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnreachable):
        lose()


HOLD = """
    import sys, time
    from pathlib import Path
    from workbench.database.databases import embedded_database
    from workbench.database.embedded import start_server
    embedded_database(Path(sys.argv[1]), "club")
    print(start_server(Path(sys.argv[1])).get_uri("club"), flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(data, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(data), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_embedded_server_is_shared_and_stopped_by_the_last(tmp_path):
    """A killed process must not keep the server alive for ever, nor take it from the others."""
    data = tmp_path / "home" / "postgres"
    first = hold(data, 60)
    url = first.stdout.readline().strip()
    second = hold(data, 1)
    assert second.stdout.readline().strip() == url
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0
    third = hold(data, 0)  # finds the dead one forgotten, and is the last
    assert third.stdout.readline().strip() == url
    assert third.wait() == 0
    deadline = time.monotonic() + 10
    while (data / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (data / "postmaster.pid").exists()
    for each in (first, second, third):
        each.stdout.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole run is an ordinary user's already")
def test_the_embedded_server_runs_for_an_ordinary_user():
    nobody = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="workbench-nobody-"))
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    places = [str(Path(__file__).parents[1]), str(Path(psycopg.__file__).parents[1])]
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(places)}
    become = {"user": "nobody", "group": nobody.pw_gid, "extra_groups": [], "cwd": home, "env": surroundings}

    def run(python, *arguments):
        return subprocess.run([python, *arguments], capture_output=True, text=True, **become)

    # Root's own interpreter may lie where nobody else may look; the system's will do as well.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            if run(python, "-c", "import workbench.database.databases").returncode == 0:
                break
        except OSError:
            continue
    else:
        pytest.skip(f"no {version} here that an ordinary user may run")
    done = run(python, "-c", textwrap.dedent(HOLD), str(home / "postgres"), "0")
    shutil.rmtree(home, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    assert "/club?" in done.stdout


def test_two_processes_may_start_at_once(tmp_path):
    both = [hold(tmp_path / "home" / "postgres", 1) for _ in range(2)]
    urls = {each.stdout.readline().strip() for each in both}
    assert [each.wait() for each in both] == [0, 0]
    assert len(urls) == 1
    for each in both:
        each.stdout.close()


@pytest.mark.parametrize("name", ['$HOME of "Ann\'s" `id` back\\slash; ünï', "long" * 40])
def test_the_embedded_server_starts_in_a_folder_of_any_name(name):
    # Not in pytest's own folder, which other runs of pytest close to the server's user.
    with tempfile.TemporaryDirectory(prefix="workbench-tests-") as folder:
        data = Path(folder, name, "postgres")
        for _ in range(2 if name.startswith("$") else 1):  # the second finds it made, and stopped
            only = hold(data, 0)
            with only.stdout as said:
                url = said.readline().strip()
            assert only.wait() == 0
            assert len(conninfo_to_dict(url)["host"]) < 90
        assert (data / "PG_VERSION").exists()


def test_a_server_that_cannot_start_says_why(tmp_path):
    from workbench.database.embedded import start_server

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnreachable, match="could not be started"):
        start_server(tmp_path / "file" / "postgres")


@pytest.mark.parametrize(
    ("parameters", "followed", "left_out"),
    [
        (
            "supa=base-pooler.x&pgbouncer=true&connection_limit=1",
            {},
            ("connection_limit", "pgbouncer", "supa"),
        ),
        ("max_idle_connection_lifetime=9&pool_timeout=9", {}, None),
        ("uselibpqcompat=true&sslmode=require", {"sslmode": "require"}, ("uselibpqcompat",)),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}, ()),
        # What speaks of encryption is translated, and never weakened.
        ("ssl=true", {"sslmode": "require"}, ()),
        ("ssl=true&sslmode=disable", {"sslmode": "require"}, ()),
        ("ssl=true&sslmode=verify-full", {"sslmode": "verify-full"}, ()),
        ("ssl=false", {}, ()),
        ("sslmode=no-verify", {"sslmode": "require"}, ()),
        ("sslmode=require&sslmode=verify-ca", {"sslmode": "verify-ca"}, ()),
        ("sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}, ()),
        ("sslaccept=strict&sslrootcert=/a.pem", {"sslmode": "verify-full", "sslrootcert": "/a.pem"}, ()),
        ("sslaccept=accept_invalid_certs", {}, ()),
    ],
)
def test_what_only_other_clients_know_is_left_out_and_encryption_is_kept(parameters, followed, left_out):
    address = parse_address(f"postgresql://u:p@db/club?{parameters}", named="$X")
    assert query_of(address) == followed
    assert left_out is None or address.left_out == left_out


@pytest.mark.parametrize(
    "parameters",
    [
        *(
            "sslmod=require",
            "sslMode=require",
            "sslmode=maybe",
            "ssl=maybe",
            "sslaccept=maybe",
            "useSSL=true",
            "sslidentity=/a.p12&sslpassword=b",
            "connectTimeout=9",
        ),
        *("sslrootcrt=/a", "channel_bindng=require", "require_auht=scram-sha-256", "tls=1", "sslfactory=x"),
        *("optoins=-c%20role%3Dboss", "target_session_attr=any", "passwrd=hunter2"),
    ],
)
def test_a_misspelt_parameter_never_weakens_or_misleads(parameters):
    with pytest.raises(UsageError, match=r"\$X") as caught:
        parse_address(f"postgresql://u:p@db/club?{parameters}", named="$X")
    assert "hunter2" not in str(caught.value)


def test_encryption_that_the_shell_asks_for_is_not_weakened_by_the_url(monkeypatch):
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    address = parse_address("postgresql://u:p@db/club?ssl=true", named="$X")
    assert query_of(address) == {"sslmode": "verify-full"}


@pytest.mark.parametrize("parameters", ["schema=crm", "search_path=crm,public", "currentSchema=crm"])
def test_the_schema_is_understood_as_each_client_says_it(parameters):
    address = parse_address(f"postgresql://u:p@db/club?{parameters}", named="$X")
    assert (address.schema, address.left_out) == ("crm", ())
