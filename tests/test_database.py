"""Addresses, the environment guard, reading that cannot write, and the embedded server."""

from __future__ import annotations

import os
import pwd
import re
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
from workbench.database.embedded import start_server
from workbench.database.environment import address_in, guard
from workbench.errors import DatabaseUnreachable, UsageError, WorkbenchError, WrongEnvironment
from workbench.settings import EnvironmentSettings

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


STRICT = {"sslmode": "verify-full", "sslrootcert": "system"}


@pytest.mark.parametrize(
    ("parameters", "followed", "left_out", "schema"),
    [
        ("schema=crm&connection_limit=5", {}, ("connection_limit",), "crm"),
        ("search_path=crm,public", {}, (), "crm"),
        ("currentSchema=crm", {}, (), "crm"),
        ("options=-c%20search_path%3Dcrm,public", {"options": "-c search_path=crm,public"}, (), "crm"),
        ("schema=The%20club,%20too&search_path=crm", {}, (), "The club, too"),
        ("supa=base-pooler.x&pgbouncer=true", {}, ("pgbouncer", "supa"), "public"),
        (
            "max_idle_connection_lifetime=9&pool_timeout=9",
            {},
            ("max_idle_connection_lifetime", "pool_timeout"),
            "public",
        ),
        ("uselibpqcompat=true&sslmode=require", {"sslmode": "require"}, ("uselibpqcompat",), "public"),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}, (), "public"),
        # What speaks of encryption is translated, and never weakened.
        ("ssl=true", {"sslmode": "require"}, (), "public"),
        ("ssl=true&sslmode=disable", {"sslmode": "require"}, (), "public"),
        ("ssl=true&sslmode=verify-full", {"sslmode": "verify-full"}, (), "public"),
        ("ssl=false", {}, (), "public"),
        ("sslmode=no-verify", {"sslmode": "require"}, (), "public"),
        ("sslmode=require&sslmode=verify-ca", {"sslmode": "verify-ca"}, (), "public"),
        ("sslaccept=strict", STRICT, (), "public"),
        ("sslaccept=strict&sslrootcert=/a+b.pem", STRICT | {"sslrootcert": "/a+b.pem"}, (), "public"),
        ("sslaccept=accept_invalid_certs", {}, (), "public"),
    ],
)
def test_a_url_is_read_as_libpq_reads_it_without_what_only_other_clients_know(
    parameters, followed, left_out, schema
):
    address = parse_address(f"postgres://u:s3cret@db:5433/club?{parameters}", named="$X")
    place = {"user": "u", "password": "s3cret", "host": "db", "port": "5433", "dbname": "club"}
    assert conninfo_to_dict(address.conninfo) == place | followed
    assert (address.left_out, address.schema, address.where) == (left_out, schema, "db:5433/club")
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "club", "mysql://u:s3cret@db/club", "postgresql://db", "sqlite:///x.db"),
        # What would lead elsewhere than it says.
        *("postgresql://localhost/club?host=prod-db", "postgresql://localhost/club?hostaddr=10.0.0.5"),
        *("postgresql://localhost/club?dbname=prod", "postgresql://localhost/club?service=production"),
        "postgresql:///club?host=dev1,prod-db",
        # What would show a part of the password.
        *(
            "postgresql://u:s3@cret@db/club",
            "postgresql://u:s3/cret@db/club",
            "postgresql://u:s3?cret=1@db/club",
            "postgresql://u:s3#a/cret@db:5432/club",
            "postgresql://u:s3cret/club",
            "postgresql://db/club?port=s3cret",
        ),
        # What is nearly a parameter of libpq's, or speaks of encryption.
        *(
            f"postgresql://u:s3cret@db/club?{parameter}"
            for parameter in (
                *("sslmod=require", "sslMode=require", "sslmode=maybe", "ssl=maybe", "sslaccept=maybe"),
                *(
                    "useSSL=true",
                    "sslidentity=/a.p12",
                    "sslpassword=s3cret",
                    "connectTimeout=9",
                    "sslrootcrt=/a",
                ),
                *("channel_bindng=require", "require_auht=scram-sha-256", "tls=1", "sslfactory=x"),
                *("optoins=-c%20role%3Dboss", "target_session_attr=any", "passwrd=hunter2"),
            )
        ),
    ],
)
def test_what_could_mislead_or_weaken_is_refused_without_showing_it(wrong):
    with pytest.raises(UsageError, match=r"\$CLUB_URL") as caught:
        parse_address(wrong, named="$CLUB_URL")
    assert not re.search("s3|cret|hunter2", str(caught.value))


def test_what_the_shell_says_decides_no_host_and_weakens_nothing(monkeypatch):
    monkeypatch.setenv("PGHOST", "prod-db")
    address = parse_address("postgresql:///club", named="$X")
    assert (address.where, address.on_this_machine) == ("local/club", True)
    with pytest.raises(DatabaseUnreachable, match="socket"), database_at("postgresql:///club").reading():
        pass
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    address = parse_address("postgresql://u:p@db/club?ssl=true", named="$X")
    assert address.parameters()["sslmode"] == "verify-full"


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
        ("club", "production", "postgresql:///club?host=/tmp"),
    ],
)
def test_the_guard_refuses_what_disagrees(name, kind, url):
    with pytest.raises(WrongEnvironment) as caught:
        guard(name, EnvironmentSettings(kind=kind, url_env="X"), parse_address(url, named="$X"))
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
    options = EnvironmentSettings(kind=kind, url_env="X", address=address)
    assert guard(name, options, parse_address(url, named="$X")).production == (kind == "production")
    with pytest.raises(WrongEnvironment, match="must be at elsewhere"):
        guard(name, options.model_copy(update={"address": "elsewhere/club"}), parse_address(url, named="$X"))


def test_an_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("CLUB_URL", raising=False)
    with pytest.raises(UsageError, match="CLUB_URL"):
        address_in("CLUB_URL", "a club")


def test_reading_sees_one_state_and_cannot_write(empty_url):
    database = database_at(empty_url)
    for statement in ("CREATE TABLE t (i int)", "COMMIT; CREATE TABLE t (i int)"):
        with pytest.raises(WorkbenchError, match="read-only"), database.reading() as connection:
            connection.exec_driver_sql(statement)
    with psycopg.connect(empty_url, autocommit=True) as writer:
        assert writer.execute("SELECT to_regclass('t')").fetchone() == (None,)
        writer.execute("CREATE TABLE t (i int)")
        with database.reading() as connection:
            before = connection.execute(text("SELECT count(*) FROM t")).scalar_one()
            writer.execute("INSERT INTO t VALUES (1)")
            assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == before == 0


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
        connection.execute(
            "CREATE TABLE t AS SELECT current_setting('statement_timeout') AS limited, current_setting('application_name') AS who"
        )
    with database.reading() as connection:
        assert connection.execute(text("SELECT * FROM t")).one() == ("15min", "murmurant-workbench apply")


def test_what_goes_wrong_is_said_plainly(empty_url):
    hasty = replace(database_at(empty_url), statement_timeout=0.1)
    with pytest.raises(WorkbenchError, match=r"longer than 0\.1 s"), hasty.reading() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    down = database_at("postgresql://dana:hunter22@127.0.0.1:1/club")
    with pytest.raises(DatabaseUnreachable, match=r"127\.0\.0\.1:1/club") as caught, down.reading():
        pass
    assert "hunter22" not in str(caught.value)
    with pytest.raises(DatabaseUnreachable), database_at(empty_url).reading() as connection:  # noqa: PT012
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with psycopg.connect(empty_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        connection.execute(text("SELECT 1"))


HOLD = """
    import sys, time
    from pathlib import Path
    from workbench.database.databases import embedded_database
    print(embedded_database(Path(sys.argv[1]), "club").address.conninfo, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(data, seconds):
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(data), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_embedded_server_is_shared_and_stopped_by_the_last(tmp_path):
    """Two may start it at once; a killed process must not keep it alive for ever, nor take it from the others."""
    data = tmp_path / "home" / "postgres"
    first, second = hold(data, 60), hold(data, 1)
    url = first.stdout.readline()
    assert second.stdout.readline() == url
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0
    third = hold(data, 0)  # finds the dead one forgotten, and is the last
    assert third.stdout.readline() == url
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
    assert "dbname=club" in done.stdout


@pytest.mark.parametrize("name", ['$HOME of "Ann\'s" `id` back\\slash; ünï', "long" * 40])
def test_the_embedded_server_starts_in_a_folder_of_any_name(name):
    # Not in pytest's own folder, which other runs of pytest close to the server's user.
    with tempfile.TemporaryDirectory(prefix="workbench-tests-") as folder:
        data = Path(folder, name, "postgres")
        for _ in range(2 if name.startswith("$") else 1):  # the second finds it made, and stopped
            only = hold(data, 0)
            with only.stdout as said:
                url = said.readline()
            assert only.wait() == 0
            assert len(conninfo_to_dict(url)["host"]) < 90
        assert (data / "PG_VERSION").exists()


def test_a_server_that_cannot_start_says_why(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnreachable, match="could not be started"):
        start_server(tmp_path / "file" / "postgres")
