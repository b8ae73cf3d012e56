"""Snapshots made readable: rows come back exactly, only those that are needed, and nothing stays behind."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from workbench.checkpoints import scratch
from workbench.checkpoints.scratch import read_archive, restored
from workbench.database.embedded import client_tools
from workbench.errors import DatabaseUnreachable, SnapshotError, UsageError, WorkbenchError
from workbench.settings import Settings

NEEDED = {
    "guide": ("WaIdMapping", "Member", "Event", "Registration", "Odd rows"),
    "application": ("WaIdMapping", "Member", "Event", "EventRegistration", "Odd rows"),
}

ODD = r"""
CREATE SCHEMA other;
CREATE DOMAIN other.seats AS int CHECK (VALUE >= 0);
CREATE TYPE place AS (town text, "no" int);
CREATE TABLE "Odd rows" (id serial PRIMARY KEY, said text NOT NULL DEFAULT 'nothing', at timestamptz,
    half float8, exact numeric, place place, free other.seats, raw bytea, many text[],
    twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO "Odd rows" (said, at, half, exact, place, free, raw, many) VALUES
    (E'\\.', '2026-01-01 09:00+05', 0.1, 1.10, ('Zürich', 1), 3, 'x', '{a,"b c",NULL}'),
    (E'tab\t newline\n\\.\n return\r back\\slash \\N', 'infinity', 'NaN', 'NaN', NULL, NULL, '\x00ff', '{}'),
    ('', '0044-03-15 BC', '-0', 12345678901234567890.123, (NULL, NULL), 0, '', NULL);
"""

FORMATS = ("-Fc", "-Ft", "-Fd")


@pytest.fixture
def settings(server) -> Settings:
    """Settings whose embedded server is the run's own."""
    return Settings(home=Path(server.handle.pgdata).parent)


@pytest.fixture(autouse=True)
def scratches(server):
    """Say which scratch databases there are; at the end there must be none."""

    def names() -> list[str]:
        with psycopg.connect(server.url("postgres")) as connection:
            found = connection.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'scratch\_%'")
            return sorted(name for (name,) in found.fetchall())

    yield names
    assert names() == []


@pytest.fixture(scope="module")
def template(server) -> str:
    """Name of a database with two tables, quick to dump; for looking only."""
    return server.template(
        "scratch-tests",
        lambda connection: connection.execute(
            "CREATE TYPE mood AS ENUM ('glad');"
            "CREATE TABLE first (id int PRIMARY KEY, note text, mood mood);"
            "CREATE TABLE second (id int PRIMARY KEY REFERENCES first, note text);"
            "INSERT INTO first SELECT n, md5(n::text), 'glad' FROM generate_series(1, 3000) n;"
            "INSERT INTO second SELECT n, md5(n::text) FROM generate_series(1, 3000) n"
        ),
    )


@pytest.fixture
def small(server, template) -> str:
    """URL of such a database, to be changed."""
    return server.url(server.create(template))


@pytest.fixture
def snapshot(server, template, tmp_path):
    """Dump the database for looking."""
    return lambda *options: dump(server.url(template), tmp_path, *options)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def dump(url: str, folder: Path, *options: str) -> Path:
    path = folder / "snapshot"
    subprocess.run([client_tools() / "pg_dump", *options, f"--file={path}", url], check=True)
    return path


def rows(connection, table: str) -> list[str]:
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
    return [row for (row,) in connection.execute(query).fetchall()]


def failure(
    path: Path, tables: list[str], settings: Settings, said: str, kind: type[WorkbenchError] = SnapshotError
) -> WorkbenchError:
    """Restore what cannot be restored; return the error, which says `said`."""
    with pytest.raises(kind, match=said) as caught, restored(path, tables, settings=settings):
        pytest.fail("it was restored")
    return caught.value


@pytest.mark.parametrize("options", FORMATS)
def test_every_row_comes_back_exactly(club, dialect, options, tmp_path, settings, scratches):
    club.execute(ODD)
    path = dump(club.url, tmp_path, options)
    with (
        psycopg.connect(club.url, options="-c TimeZone=UTC -c DateStyle=ISO") as live,
        restored(path, NEEDED[dialect], settings=settings) as back,
        back.connect() as connection,
    ):
        assert scratches() == [back.server.address.database]
        for table in NEEDED[dialect]:
            assert len(rows(live, table)) >= 3
            assert rows(connection, table) == rows(live, table)


def test_only_what_is_needed_is_restored(snapshot, settings):
    path = snapshot("-Fc")
    with (
        restored(path, ["second", "second"], settings=settings) as back,
        back.connect() as connection,
    ):
        relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(relations).fetchall() == [("second",)]
        assert connection.execute("SELECT 1 FROM pg_constraint WHERE contype = 'f'").fetchall() == []
        assert connection.execute(
            "SELECT relpersistence FROM pg_class WHERE relname = 'second'"
        ).fetchall() == [("u",)]


def test_the_session_only_reads_in_utc_and_iso(snapshot, settings):
    path = snapshot("-Fc")
    with restored(path, ["first"], settings=settings) as back, back.connect() as connection:
        shown = [connection.execute(f"SHOW {each}").fetchone()[0] for each in ("TimeZone", "DateStyle")]
        assert shown == ["UTC", "ISO, MDY"]
        connection.rollback()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM first")


def test_another_schema(small, tmp_path, settings):
    execute(small, 'CREATE SCHEMA "my club"; CREATE TABLE "my club".first AS SELECT 7 AS seven')
    path = dump(small, tmp_path, "-Fc")
    assert read_archive(path, "my club").tables == ("first",)
    with (
        restored(path, ["first"], settings=settings, schema="my club") as back,
        back.connect() as connection,
    ):
        assert connection.execute("SELECT seven FROM first").fetchall() == [(7,)]


def test_another_encoding_and_a_dump_of_one_schema(small, tmp_path, settings):
    execute(small, "INSERT INTO first VALUES (0, 'Zoë', NULL)")
    path = dump(small, tmp_path, "-Fc", "--encoding=LATIN1", "--schema=public")
    with restored(path, ["first"], settings=settings) as back, back.connect() as connection:
        assert connection.execute("SELECT note FROM first WHERE id = 0").fetchone() == ("Zoë",)


@pytest.mark.parametrize("options", FORMATS)
def test_what_an_archive_says_of_itself(snapshot, template, tmp_path, options):
    path = snapshot(options)
    archive = read_archive(path)
    assert archive.tables == ("first", "second")
    assert archive.database == template
    assert archive.server_version.startswith("18")
    assert archive.tool_version.startswith("18")
    # An archive says the time of a clock, without its zone.
    assert abs(datetime.now() - archive.created) < timedelta(minutes=5)  # noqa: DTZ005

    copy = tmp_path / "copy"
    if path.is_dir():
        shutil.copytree(path, copy)
    else:
        shutil.copy(path, copy)
    assert read_archive(copy).sha256 == archive.sha256
    with (copy / "more" if copy.is_dir() else copy).open("ab") as file:
        file.write(b"x")
    assert read_archive(copy).sha256 != archive.sha256


def of_a_newer_server(data: bytes) -> bytes:
    at = data.index(b"18.")  # the server's version comes before pg_dump's
    return data[:at] + b"99" + data[at + 2 :]


@pytest.mark.parametrize(
    ("options", "damage", "said"),
    [
        pytest.param("-Fp", lambda data: data, "plain SQL", id="script"),
        pytest.param("-Fc", lambda data: b"", "is empty", id="empty"),
        pytest.param("-Fc", lambda data: data[:3], "not an archive", id="three bytes"),
        pytest.param("-Fc", lambda data: data[:40], "cut short", id="head cut"),
        pytest.param("-Fc", lambda data: data[:1500], "cut short", id="list cut"),
        pytest.param("-Ft", lambda data: data[:300], "not an archive", id="tar's head cut"),
        pytest.param("-Ft", lambda data: data[:1500], "cut short", id="tar's list cut"),
        pytest.param("-Fc", lambda data: b"\x1f\x8b" + data, "not an archive", id="something else"),
        pytest.param("-Fc", lambda data: data[:6] + b"\x63" + data[7:], "newer pg_dump", id="newer format"),
        pytest.param("-Fc", of_a_newer_server, "was taken from PostgreSQL 99", id="newer server"),
    ],
)
def test_a_file_that_cannot_be_read(snapshot, settings, options, damage, said):
    path = snapshot(options)
    path.write_bytes(damage(path.read_bytes()))
    error = failure(path, ["first"], settings, said)
    assert str(path) in error.what
    assert error.next_step
    assert error.exit_code == 2


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SnapshotError, match="There is no snapshot"):
        read_archive(tmp_path / "nowhere.dump")
    with pytest.raises(SnapshotError, match="not an archive"):
        read_archive(tmp_path)


def cut(path: Path, table: str) -> None:
    """Cut an archive short in the middle of a table's rows."""
    (number,) = (e.number for e in read_archive(path).entries if (e.kind, e.table) == ("TABLE DATA", table))
    if path.is_dir():
        (file,) = path.glob(f"{number}.dat*")
        size = file.stat().st_size // 2
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            member = tar.getmember(f"{number}.dat")
        file, size = path, member.offset_data + member.size // 2
    else:
        file, size = path, path.stat().st_size // 4  # of two tables alike, in the first
    # Where rows are not compressed, at a row's end: what is left looks whole.
    kept = file.read_bytes()[:size]
    file.write_bytes(kept if file.suffix == ".gz" else kept[: kept.rindex(b"\n") + 1])


@pytest.mark.parametrize(
    ("options", "tables"),
    [
        ("-Fc", ["first"]),
        ("-Fc -Z0", ["first"]),
        ("-Ft", ["first"]),
        ("-Fd", ["first", "second"]),
        ("-Fd -Z0", ["first"]),
        ("-Fd -Z0", ["first", "second"]),
    ],
)
def test_rows_that_are_cut_short(snapshot, settings, options, tables):
    path = snapshot(*options.split())
    cut(path, "first")
    assert str(path) in failure(path, tables, settings, "cut short or damaged").what


@pytest.mark.parametrize(
    ("option", "table", "said"),
    [
        ("--table=*", "third", "no table public.third"),
        ("--table=*", "frist", "Nearest: first"),
        ("--table=second", "first", "no table public.first"),
        ("--schema-only", "first", "no rows of the table public.first"),
        ("--exclude-table-data=first", "first", "no rows of the table public.first"),
        ("--data-only", "first", "the rows of public.first, but not"),
        ("--inserts", "first", "first as INSERT statements"),
        ("--table=first", "first", "first .* has a column of the type public.mood"),
    ],
)
def test_a_table_that_the_archive_lacks(snapshot, settings, option, table, said):
    path = snapshot("-Fc", option)
    assert failure(path, [table], settings, said).next_step


def test_an_extension_matters_to_the_table_that_needs_it(small, tmp_path, settings):
    execute(small, "CREATE EXTENSION vector; CREATE TABLE third AS SELECT '[1,2]'::vector AS at")
    path = dump(small, tmp_path, "-Fc")
    with restored(path, ["third"], settings=settings) as back, back.connect() as connection:
        assert rows(connection, "third") == ['("[1,2]")']
    path.write_bytes(path.read_bytes().replace(b"vector", b"rotcev"))  # which no server has
    with restored(path, ["first"], settings=settings) as back, back.connect() as connection:
        assert len(rows(connection, "first")) == 3000
    failure(path, ["first", "third"], settings, r"third .* of the type public\.rotcev")


def test_what_else_a_table_needs_is_named(small, tmp_path, settings):
    execute(
        small,
        "CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3';"
        "CREATE TABLE third (id int DEFAULT three())",
    )
    path = dump(small, tmp_path, "-Fc")
    failure(path, ["third"], settings, r"third .* function public\.three\(\) does not exist")


@pytest.fixture
def elsewhere(server, monkeypatch):
    """Name a scratch server by a variable, and make its user with a password and the given rights."""

    def make(rights: str) -> Settings:
        execute(server.url("postgres"), f"CREATE ROLE maker LOGIN {rights} PASSWORD 'hunter2 hunter+2'")
        url = server.url("postgres").replace("postgres:@", "maker:hunter2%20hunter+2@")
        monkeypatch.setenv("SCRATCH_URL", f"{url}&options=-c%20work_mem%3D5MB&connection_limit=5")
        return Settings(scratch_url_env="SCRATCH_URL")

    yield make
    execute(server.url("postgres"), "DROP ROLE maker")


def test_a_server_of_the_settings(snapshot, elsewhere, monkeypatch):
    path = snapshot("-Fc")
    settings = elsewhere("CREATEDB")
    commands = []

    class Watched(subprocess.Popen):
        def __init__(self, command, **more):
            commands.append(command)
            super().__init__(command, **more)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with restored(path, ["first"], settings=settings) as back, back.connect() as connection:
        assert connection.execute("SELECT current_user, count(*) FROM first").fetchone() == ("maker", 3000)
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
        with psycopg.connect(back.url) as direct:
            assert len(rows(direct, "first")) == 3000
    assert len(commands) == 3
    assert "hunter2" not in str(commands)
    assert "hunter2" not in repr(back)


def test_a_user_who_may_not_make_databases(snapshot, elsewhere):
    path = snapshot("-Fc")
    settings = elsewhere("NOCREATEDB")
    error = failure(path, ["first"], settings, r"permission denied to create .*CREATEDB", WorkbenchError)
    assert error.exit_code == 4
    assert "hunter2" not in str(error)


def test_a_server_that_is_not_there(snapshot, monkeypatch):
    path = snapshot("-Fc")
    settings = Settings(scratch_url_env="SCRATCH_URL")
    monkeypatch.delenv("SCRATCH_URL", raising=False)
    failure(path, ["first"], settings, "SCRATCH_URL", UsageError)
    monkeypatch.setenv("SCRATCH_URL", "postgresql://dana:hunter2@127.0.0.1:1/postgres?password=hunter3")
    error = failure(path, ["first"], settings, r"scratch server on 127\.0\.0\.1:1", DatabaseUnreachable)
    assert "hunter" not in str(error)


def test_a_full_disk(snapshot, settings, monkeypatch):
    path = snapshot("-Fc")

    def full(*_):
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    monkeypatch.setattr(scratch, "_copy", full)
    assert failure(path, ["first"], settings, "no room", WorkbenchError).exit_code == 4


def test_what_could_not_be_dropped_is_said(snapshot, elsewhere, monkeypatch, server):
    path = snapshot("-Fc")
    settings = elsewhere("CREATEDB")
    with pytest.raises(WorkbenchError, match=r"scratch_[0-9a-f]{16}, which .*Drop it yourself") as caught:  # noqa: SIM117
        with restored(path, ["first"], settings=settings) as back:
            execute(
                server.url("postgres"), f"ALTER DATABASE {back.server.address.database} OWNER TO postgres"
            )
    assert "hunter2" not in str(caught.value)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {back.server.address.database}")


def test_rows_that_a_crash_would_have_emptied_are_not_read(snapshot, settings):
    path = snapshot("-Fc")
    with restored(path, ["first"], settings=settings) as back:
        back.server.holder.close()
        with pytest.raises(DatabaseUnreachable, match="embedded server"):
            back.connect()


def test_an_error_of_the_caller_stays_the_callers(snapshot, settings):
    path = snapshot("-Fc")
    with (
        pytest.raises(psycopg.errors.UndefinedTable),
        restored(path, ["first"], settings=settings) as back,
        back.connect() as connection,
    ):
        connection.execute("SELECT * FROM second")


def test_what_a_killed_process_left_is_dropped_and_what_is_in_use_is_not(
    snapshot, settings, scratches, server
):
    path = snapshot("-Fc")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE scratch_0123456789abcdef")
    with (
        restored(path, ["first"], settings=settings) as one,
        restored(path, ["first"], settings=settings) as other,
    ):
        assert scratches() == sorted(each.server.address.database for each in (one, other))
