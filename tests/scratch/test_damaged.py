"""What an archive says of itself, and archives that cannot be read whole."""

from __future__ import annotations

import re

import pytest

from tests.scratch.ground import dump, execute, failure, restored, rows
from workbench.errors import DocumentError, Refused
from workbench.snapshots.archive import read_archive


def test_what_an_archive_says_of_itself(snapshot, template):
    path = snapshot("-Fc")
    archive = read_archive(path)
    assert archive.tables == ("first", "second")
    assert archive.database == template
    assert archive.server_version.startswith("18")
    with path.open("ab") as file:
        file.write(b"x")
    assert read_archive(path).sha256 != archive.sha256


def of_a_newer_server(data: bytes) -> bytes:
    at = data.index(b"18.")  # the server's version comes before pg_dump's
    return data[:at] + b"99" + data[at + 2 :]


@pytest.mark.parametrize(
    ("options", "damage", "said"),
    [
        pytest.param("-Fp", lambda data: data[:1500], "cut short", id="script cut"),
        pytest.param("-Fp", of_a_newer_server, "was taken from PostgreSQL 99", id="script of a newer server"),
        pytest.param("-Fc", lambda data: b"", "is not an archive", id="empty"),
        pytest.param("-Fc", lambda data: data[:1500], "cut short", id="list cut"),
        pytest.param("-Ft", lambda data: data, "not an archive of pg_dump's custom", id="tar"),
        pytest.param(
            "-Fc", lambda data: data[:6] + b"\x63" + data[7:], "No suitable pg_restore", id="newer format"
        ),
        pytest.param("-Fc", of_a_newer_server, "was taken from PostgreSQL 99", id="newer server"),
    ],
)
def test_a_file_that_cannot_be_read(snapshot, settings, options, damage, said):
    path = snapshot(options)
    path.write_bytes(damage(path.read_bytes()))
    newer = re.search("PostgreSQL 99|No suitable", said)
    error = failure(path, ["first"], settings, said, Refused if newer else DocumentError)
    assert str(path) in error.what
    assert error.next_step
    assert error.exit_code == (3 if newer else 2)


@pytest.mark.parametrize("options", ["-Fc", "-Fc -Z0"])
def test_rows_that_are_cut_short(snapshot, settings, options):
    path = snapshot(*options.split())
    kept = path.read_bytes()[: path.stat().st_size // 4]  # of two tables alike, in the first
    # Where rows are not compressed, at a row's end: what is left looks whole.
    path.write_bytes(kept[: kept.rindex(b"\n") + 1] if "-Z0" in options else kept)
    assert str(path) in failure(path, ["first"], settings, "cut short or damaged").what


@pytest.mark.parametrize(
    ("option", "table", "said"),
    [
        ("--table=*", "frist", "no rows of the table public.frist"),
        ("--exclude-table-data=first", "first", "no rows of the table public.first"),
        ("--data-only", "first", "first of .* has rows, but no definition"),
        ("--table=first", "first", "first .* type .public.mood. does not exist"),
    ],
)
def test_a_table_that_the_archive_lacks(snapshot, settings, option, table, said):
    path = snapshot("-Fc", option)
    assert failure(path, [table], settings, said).next_step


def test_an_extension_matters_to_the_table_that_needs_it(small, tmp_path, settings):
    execute(small, "CREATE EXTENSION vector; CREATE TABLE third AS SELECT '[1,2]'::vector AS at")
    path = dump(small, tmp_path, "-Fc")
    with restored(path, ["third"], settings=settings) as back, back.readable.look() as connection:
        assert rows(connection, "third") == ['("[1,2]")']
    path.write_bytes(path.read_bytes().replace(b"vector", b"rotcev"))  # which no server has
    with restored(path, ["first"], settings=settings) as back, back.readable.look() as connection:
        assert len(rows(connection, "first")) == 3000
    failure(path, ["first", "third"], settings, r"third .* type .public\.rotcev. does not exist")


def test_what_rows_need_besides_their_table(small, tmp_path, settings):
    """Functions are made before what uses them; defaults and checks, which no row needs, keep nothing from being read."""
    execute(
        small,
        """CREATE SCHEMA other; CREATE FUNCTION other.three() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 3';
        CREATE FUNCTION code(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT 'M-' || $1$$;
        CREATE FUNCTION known(int) RETURNS bool STABLE LANGUAGE plpgsql
        AS $$BEGIN RETURN EXISTS (SELECT FROM public.first); END$$;
        CREATE DOMAIN short AS text CHECK (length(public.code(VALUE)) < 9 AND public.known(1)); CREATE SEQUENCE numbers;
        CREATE TABLE third (id bigint DEFAULT nextval('numbers') NOT NULL, name short DEFAULT 'it''s, ' || code('b'),
            nr text GENERATED ALWAYS AS (code(name)) STORED, three int DEFAULT other.three() CHECK (known(three)));
        CREATE TABLE fourth (id int, more int GENERATED ALWAYS AS (id + other.three()) STORED);
        INSERT INTO third (name) VALUES ('x'), ('y')""",
    )
    for options in (["-Fc"], ["-Fc", "--schema=public"]):  # the second lacks the schema other
        path = dump(small, tmp_path, *options)
        with restored(path, ["third"], settings=settings) as back, back.readable.look() as connection:
            assert rows(connection, "third") == ["(1,x,M-x,3)", "(2,y,M-y,3)"]
    failure(path, ["fourth"], settings, r"fourth .* schema .other. does not exist")
