"""The hash chain: silent on what the workbench wrote, and loud at any single thing that was done to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.audit.conftest import Ground, ground_of
from tests.conftest import DIALECTS, Clubs, Server
from workbench.audit import read_chain, record, verify_chain, write_entry
from workbench.audit.chain import stored_seal
from workbench.audit.verifying import Noted, Verdict
from workbench.database.connection import raw
from workbench.database.embedded import client_tools
from workbench.errors import WorkbenchError
from workbench.murmurant.importers import RESTORED

ENTRIES = 6
AWKWARD: dict[str, Any] = {
    "small": 1e-7,
    "large": 10**30,
    "zero": -0.0,
    "exact": 1.50,
    "words": "Zoë \u2028 \"'%s\\",
    "nested": {"b": [1, {"z": None, "a": True}], "a": {}},
}
"""Metadata that a JSON of another make would spell otherwise."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Chained:
    """A club with a chain, whose damages are rolled back."""

    ground: Ground
    ids: tuple[str, ...]

    def after(self, damage: Callable[[Connection], object], noted: Noted | None = None) -> Verdict:
        """Return the verdict after some damage, which is then undone."""
        with self.ground.connect() as connection:
            connection.execute("SET LOCAL session_replication_role = replica")  # as who owns the database can
            damage(connection)
            found = verify_chain(read_chain(connection, self.ground.schema), noted)
            connection.rollback()
        return found

    def sql(self, statement: str, **values: Any) -> Callable[[Connection], object]:
        """Return the damage that a statement does."""
        return lambda connection: connection.execute(statement, values)  # type: ignore[arg-type]

    def sealed_anew(self, place: int, change: str) -> Callable[[Connection], object]:
        """Return the damage of somebody who knows how a seal is made."""

        def damage(connection: Connection) -> None:
            connection.execute(
                f'UPDATE "AuditLog" SET metadata = metadata || {change} WHERE id = %s',  # type: ignore[arg-type]
                [self.ids[place - 1]],
            )
            connection.execute(
                sql.SQL(
                    """UPDATE "AuditLog" t SET metadata = jsonb_set(metadata, '{{chain,hash}}', to_jsonb({}))
                    WHERE id = %s"""
                ).format(stored_seal(self.ground.schema, "t")),
                [self.ids[place - 1]],
            )

        return damage


@pytest.fixture(scope="module", params=DIALECTS)
def chained(
    request: pytest.FixtureRequest, clubs: Clubs, tmp_path_factory: pytest.TempPathFactory
) -> Chained:
    made = ground_of(clubs, request.param, tmp_path_factory.mktemp("chained"))
    ids = [
        record(
            made.database, made.schema, f"migration:test:{place}", {**AWKWARD, "n": place}, about=str(uuid4())
        )
        for place in range(ENTRIES)
    ]
    return Chained(made, tuple(ids))


def kinds(verdict: Verdict) -> list[tuple[str, int | None]]:
    return [(each.kind, each.number) for each in verdict.breaks]


def test_what_was_written_holds(chained: Chained) -> None:
    found = chained.after(lambda connection: None)
    assert (found.status, found.entries, found.breaks, found.open) == ("pass", ENTRIES, (), ())
    assert found.last is not None
    assert (found.last.number, found.last.entry) == (ENTRIES, chained.ids[-1])


def test_it_holds_however_a_session_spells_things(chained: Chained) -> None:
    spelled = "SET LOCAL TimeZone = 'Asia/Kolkata'; SET LOCAL DateStyle = 'German'; SET LOCAL extra_float_digits = -5"
    assert chained.after(lambda connection: connection.execute(spelled)).status == "pass"


def test_it_holds_after_a_dump_of_the_entries_as_text(chained: Chained) -> None:
    def rewrite(connection: Connection) -> None:
        connection.execute('CREATE TEMP TABLE kept AS SELECT t::text AS line FROM "AuditLog" t')
        connection.execute('DELETE FROM "AuditLog"')
        connection.execute('INSERT INTO "AuditLog" SELECT (line::"AuditLog").* FROM kept')

    assert chained.after(rewrite).status == "pass"


APPLICATION_ONLY = {
    "resource": """UPDATE "AuditLog" SET "resourceType" = 'Member' WHERE id = %(id)s""",
    "about": """UPDATE "AuditLog" SET "resourceId" = gen_random_uuid() WHERE id = %(id)s""",
    "person": """UPDATE "AuditLog" SET "memberId" = gen_random_uuid() WHERE id = %(id)s""",
    "image": """UPDATE "AuditLog" SET "before" = '{"a": 1}' WHERE id = %(id)s""",
    "address": """UPDATE "AuditLog" SET "ipAddress" = '' WHERE id = %(id)s""",
    "action": """UPDATE "AuditLog" SET action = 'DELETE' WHERE id = %(id)s""",
}
ALTERATIONS = {
    "moment": """UPDATE "AuditLog" SET "createdAt" = "createdAt" + interval '1 ms' WHERE id = %(id)s""",
    "no moment": """UPDATE "AuditLog" SET "createdAt" = 'infinity' WHERE id = %(id)s""",
    "number's scale": """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{n}',
        ((metadata ->> 'n') || '.0')::jsonb) WHERE id = %(id)s""",
    "nothing": """UPDATE "AuditLog" SET metadata = metadata || '{"more": null}' WHERE id = %(id)s""",
    "own seal": """UPDATE "AuditLog" SET metadata = jsonb_set(metadata, '{chain,hash}', '"00"') WHERE id = %(id)s""",
    **APPLICATION_ONLY,
}


@pytest.mark.parametrize("place", [1, 3, ENTRIES])
@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_entry_is_named(chained: Chained, name: str, place: int) -> None:
    if name in APPLICATION_ONLY and chained.ground.workbench.dialect == "guide":
        return  # the guide's log has no such column
    found = chained.after(chained.sql(ALTERATIONS[name], id=chained.ids[place - 1]))
    assert kinds(found) == [("altered", place)]
    assert found.breaks[0].entry == chained.ids[place - 1]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(1, ENTRIES),
    key=st.sampled_from(
        [*AWKWARD, "source", "a key of its own", "chain", "number", "previous", "hash", "version"]
    ),
    value=values,
)
def test_any_single_edit_of_metadata_is_found(chained: Chained, place: int, key: str, value: Any) -> None:
    path = ["chain", key] if key in {"number", "previous", "hash", "version"} else [key]
    written = json.dumps(value)
    with chained.ground.connect() as connection:
        row = connection.execute(
            """SELECT jsonb_set(metadata, %s, %s)::text = metadata::text FROM "AuditLog" WHERE id = %s""",
            [path, written, chained.ids[place - 1]],
        ).fetchone()
    found = chained.after(
        chained.sql(
            'UPDATE "AuditLog" SET metadata = jsonb_set(metadata, %(path)s, %(value)s) WHERE id = %(id)s',
            path=path,
            value=written,
            id=chained.ids[place - 1],
        )
    )
    assert found.status == ("pass" if row == (True,) else "fail")


@pytest.mark.parametrize("place", range(1, ENTRIES + 1))
def test_a_missing_entry_is_named(chained: Chained, place: int) -> None:
    found = chained.after(chained.sql('DELETE FROM "AuditLog" WHERE id = %(id)s', id=chained.ids[place - 1]))
    assert kinds(found) == [("cut" if place == ENTRIES else "missing", place)]


def test_an_entry_stripped_of_its_place_is_named(chained: Chained) -> None:
    strip = """UPDATE "AuditLog" SET metadata = metadata - 'chain' WHERE id = %(id)s"""
    assert kinds(chained.after(chained.sql(strip, id=chained.ids[2]))) == [
        ("missing", 3),
        ("unchained", None),
    ]


def test_an_inserted_entry_is_named(chained: Chained) -> None:
    def copy(connection: Connection) -> None:
        connection.execute(
            """CREATE TEMP TABLE copied AS SELECT * FROM "AuditLog" WHERE id = %s""", [chained.ids[2]]
        )
        connection.execute("UPDATE copied SET id = %s", [other])
        connection.execute('INSERT INTO "AuditLog" SELECT * FROM copied')

    other = str(uuid4())
    found = chained.after(copy)
    assert kinds(found) == [("inserted", 3)]
    assert found.breaks[0].entry == other


def test_an_entry_in_our_name_without_a_place_is_named(chained: Chained) -> None:
    forge = """INSERT INTO "AuditLog" SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(),
        'metadata', t.metadata - 'chain', 'createdAt', now()))).* FROM "AuditLog" t WHERE id = %(id)s"""
    assert kinds(chained.after(chained.sql(forge, id=chained.ids[0]))) == [("unchained", None)]


def test_entries_that_changed_places_are_named(chained: Chained) -> None:
    """Even when both were sealed anew."""

    def swap(connection: Connection) -> None:
        for place, number in ((3, 4), (4, 3)):
            change = f"""jsonb_build_object('chain', metadata -> 'chain' || '{{"number": {number}}}')"""
            chained.sealed_anew(place, change)(connection)

    found = chained.after(swap)
    assert found.breaks[0].number == 3
    assert ("reordered", 4) in kinds(found)
    assert {kind for kind, _ in kinds(found)} <= {"reordered", "replaced"}
    swapped = """UPDATE "AuditLog" t SET metadata = jsonb_set(t.metadata, '{chain}', o.metadata -> 'chain')
        FROM "AuditLog" o WHERE (t.id, o.id) IN ((%(one)s, %(two)s), (%(two)s, %(one)s))"""
    found = chained.after(chained.sql(swapped, one=chained.ids[2], two=chained.ids[3]))
    assert kinds(found) == [("altered", 3), ("altered", 4)]


def test_an_entry_replaced_by_who_knows_how_to_seal_is_named(chained: Chained) -> None:
    for place in (1, 3, ENTRIES):
        found = chained.after(chained.sealed_anew(place, """'{"n": 99}'"""))
        assert kinds(found) == [("replaced", place)]


def test_a_cut_end_is_named(chained: Chained) -> None:
    cut = """DELETE FROM "AuditLog" WHERE id::text = ANY(%(ids)s)"""
    assert kinds(chained.after(chained.sql(cut, ids=list(chained.ids[3:])))) == [("cut", 4)]
    everything = chained.after(chained.sql(cut, ids=list(chained.ids)))
    assert kinds(everything) == [("cut", 1)]
    assert "entries 1 to 6 are missing" in everything.breaks[0].what


def test_without_a_kept_end_nothing_is_green(chained: Chained) -> None:
    """And a noted one stands in for it."""
    drop = chained.sql("DROP TABLE workbench.audit_head")
    found = chained.after(drop)
    assert (found.status, found.breaks) == ("not run", ())
    assert "it is not kept here" in found.open[0]
    whole = chained.after(lambda connection: None)
    assert whole.last is not None
    noted = Noted(whole.last.number, whole.last.hash, whole.last.at)
    assert chained.after(drop, noted).status == "pass"
    cut = chained.sql('DELETE FROM "AuditLog" WHERE id = %(id)s', id=chained.ids[-1])
    found = chained.after(lambda connection: (drop(connection), cut(connection)), noted)
    assert kinds(found) == [("cut", ENTRIES)]


def test_a_chain_made_anew_is_told_by_what_was_noted(chained: Chained) -> None:
    """Whoever can seal, and writes the kept end as well, leaves a chain that is whole in itself."""

    def forge(connection: Connection) -> None:
        chained.sealed_anew(ENTRIES, """'{"n": 99}'""")(connection)
        connection.execute(
            """UPDATE workbench.audit_head SET hash =
            (SELECT metadata -> 'chain' ->> 'hash' FROM "AuditLog" WHERE id = %s)""",
            [chained.ids[-1]],
        )

    whole = chained.after(lambda connection: None)
    assert whole.last is not None
    noted = Noted(whole.last.number, whole.last.hash, whole.last.at)
    assert chained.after(forge).status == "pass"
    assert kinds(chained.after(forge, noted)) == [("replaced", ENTRIES)]


def test_a_restore_goes_on_from_what_the_snapshot_had(chained: Chained) -> None:
    """Level 2: the database is as it was at the third entry, its kept end with it, and the restore is logged."""

    def restore(connection: Connection) -> None:
        connection.execute("""DELETE FROM "AuditLog" WHERE id::text = ANY(%s)""", [list(chained.ids[3:])])
        connection.execute(
            """UPDATE workbench.audit_head SET number = 3, entry = %(id)s,
            hash = (SELECT metadata -> 'chain' ->> 'hash' FROM "AuditLog" WHERE id::text = %(id)s)""",
            {"id": chained.ids[2]},
        )
        told = {"backup_file": "backup_20260101_000000.dump", "restore_time": "2026-01-02T00:00:00Z"}
        write_entry(connection, chained.ground.schema, RESTORED, told, about=str(uuid4()))

    whole = chained.after(lambda connection: None)
    assert whole.last is not None
    for noted in (None, Noted(whole.last.number, whole.last.hash, whole.last.at)):
        found = chained.after(restore, noted)
        assert (found.status, found.breaks) == ("pass", ())
        assert [each.number for each in found.restores] == [4]
        assert found.restores[0].facts["backup_file"] == "backup_20260101_000000.dump"


def test_a_restore_in_place_of_an_older_snapshot_goes_on_from_the_kept_end(chained: Chained) -> None:
    """`pg_restore --clean` leaves what the archive does not know: the schema workbench, with a later end."""

    def restore(kept: int) -> Callable[[Connection], object]:
        def damage(connection: Connection) -> None:
            connection.execute(
                """DELETE FROM "AuditLog" WHERE id::text = ANY(%s)""", [list(chained.ids[kept:])]
            )
            write_entry(connection, chained.ground.schema, RESTORED, {}, about=str(uuid4()))

        return damage

    whole = chained.after(lambda connection: None)
    assert whole.last is not None
    noted = Noted(whole.last.number, whole.last.hash, whole.last.at)
    for kept in (0, 2):
        assert chained.after(restore(kept)).status == "pass"
        assert chained.after(restore(kept), noted).status == "pass"


def test_a_cut_end_is_not_explained_by_an_earlier_restore(chained: Chained) -> None:
    def restored_then_cut(connection: Connection) -> None:
        for action in (RESTORED, "migration:test:more", "migration:test:last"):
            made.append(write_entry(connection, chained.ground.schema, action, {}, about=str(uuid4())))
        connection.execute('DELETE FROM "AuditLog" WHERE id = %s', [made[-1]])

    made: list[str] = []
    assert kinds(chained.after(restored_then_cut)) == [("cut", ENTRIES + 3)]


def test_what_is_rolled_back_leaves_no_gap(chained: Chained) -> None:
    def twice(connection: Connection) -> None:
        with connection.transaction(force_rollback=True):
            write_entry(connection, chained.ground.schema, "migration:test:lost", {}, about=str(uuid4()))
        write_entry(connection, chained.ground.schema, "migration:test:kept", {}, about=str(uuid4()))

    found = chained.after(twice)
    assert (found.status, found.entries) == ("pass", ENTRIES + 1)


def test_many_at_once_stand_in_one_line(ground: Ground) -> None:
    def write(number: int) -> str:
        return record(
            ground.database, ground.schema, "migration:test:many", {"n": number}, about=str(uuid4())
        )

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(write, range(24)))
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries, len(ids)) == ("pass", 24, 24)


def test_the_second_waits_for_the_first(ground: Ground) -> None:
    """And takes the place that the first left when it gave up."""
    schema = ground.schema
    with ground.database.writing() as first, ThreadPoolExecutor(1) as pool:
        write_entry(first, schema, "migration:test:first", {}, about=str(uuid4()))
        waiting = pool.submit(
            record, ground.database, schema, "migration:test:second", {}, about=str(uuid4())
        )
        ground.wait_for_a_lock()
        assert not waiting.done()
        first.rollback()
        entry = waiting.result(10)
    found = ground.workbench.audit_verify()
    assert found.last is not None
    assert (found.status, found.last.number, found.last.entry) == ("pass", 1, entry)


def test_nothing_chained_is_not_green(ground: Ground) -> None:
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries) == ("not run", 0)


def test_a_log_that_stores_otherwise_takes_no_entry(ground: Ground) -> None:
    ground.club.execute(
        """CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.metadata := NEW.metadata || '{"meddled": true}'; RETURN NEW; END $$"""
    )
    ground.club.execute(
        'CREATE TRIGGER meddle BEFORE INSERT ON "AuditLog" FOR EACH ROW EXECUTE FUNCTION meddle()'
    )
    with pytest.raises(WorkbenchError, match="otherwise than it was written"):
        record(ground.database, ground.schema, "migration:test", {}, about=str(uuid4()))
    assert ground.workbench.audit(action="migration:test").empty


def test_where_no_schema_may_be_made_the_chain_goes_without_a_kept_end(
    ground: Ground, writer: Callable[[Ground], str]
) -> None:
    database = ground.reached_at(writer(ground))
    for number in range(2):
        record(database, ground.schema, "migration:test", {"n": number}, about=str(uuid4()))
    found = ground.workbench.audit_verify()
    assert (found.status, found.entries, found.breaks) == ("not run", 2, ())


def test_an_end_that_may_not_be_read_is_said(ground: Ground, writer: Callable[[Ground], str]) -> None:
    record(ground.database, ground.schema, "migration:test", {}, about=str(uuid4()))
    database = ground.reached_at(writer(ground))
    with pytest.raises(WorkbenchError, match="may not read where the audit chain ends"):
        record(database, ground.schema, "migration:test", {}, about=str(uuid4()))
    with database.reading() as connection:
        found = verify_chain(read_chain(raw(connection), ground.schema))
    assert (found.status, found.breaks) == ("not run", ())
    assert "may not read" in found.open[0]


def test_it_holds_after_a_dump_and_a_restore_and_goes_on(
    chained: Chained, server: Server, tmp_path: Path
) -> None:
    """Restored with `pg_restore` into another database, as Level 2 does, and logged there."""
    archive = tmp_path / "backup.dump"
    subprocess.run([client_tools() / "pg_dump", "-Fc", "-Z0", "-f", archive, chained.ground.url], check=True)
    url = server.url(server.create())
    subprocess.run([client_tools() / "pg_restore", "-d", url, archive], check=True)
    restored = chained.ground.reached_at(url)
    told = {"backup_file": archive.name, "restore_time": "2026-01-02T00:00:00Z"}
    record(restored, chained.ground.schema, RESTORED, told, about=str(uuid4()))
    with restored.reading() as connection:
        found = verify_chain(read_chain(raw(connection), chained.ground.schema))
    assert (found.status, found.entries, len(found.restores)) == ("pass", ENTRIES + 1, 1)
