"""A hash chain whose end was cut off or made anew, and one that a restore goes on from."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from tests.audit.chained import ENTRIES, Chained, Connection, kinds
from workbench.audit import write_entry
from workbench.audit.verifying import Noted
from workbench.murmurant.importers import RESTORED


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
