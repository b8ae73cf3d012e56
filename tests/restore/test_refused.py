"""What is refused, with the reason, and nothing touched: damage, lies, others' databases, drift, no consent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.plans.conftest import OWNER_OF_ALL
from tests.restore.acting import Acting
from tests.restore.conftest import LOG, Ground, Lay, assert_same, kill, production
from workbench.errors import (
    DocumentError,
    Drift,
    NotApproved,
    Refused,
    WorkbenchError,
    WrongEnvironment,
)
from workbench.snapshots.archive import digest_of
from workbench.snapshots.contents import TableState
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore import restores


def refused(
    ground: Ground, act: Callable[[], object], said: str, error: type[WorkbenchError] = Refused
) -> WorkbenchError:
    """Return the error of something that must not have touched a thing."""
    # That a safety backup was taken stands in the log.
    before, databases = ground.whole(leave_out=(LOG,)), ground.databases()
    with pytest.raises(error, match=said) as caught:
        act()
    assert caught.value.next_step
    assert_same(before, ground.whole(leave_out=(LOG,)))
    assert ground.databases() == databases
    return caught.value


def rewritten(made: Manifest, **facts: object) -> Manifest:
    """Write a manifest anew, with its own digest right: one that lies."""
    return made.model_copy(update=facts).write(made.path)


@pytest.fixture
def guide(lay: Lay) -> Ground:
    return lay("guide")


def test_a_flipped_byte_and_a_cut_tail(guide: Ground) -> None:
    made = guide.taken()
    request = guide.asked()
    whole = made.archive.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[:-100]):
        made.archive.write_bytes(damaged)
        error = refused(
            guide, guide.asked, "another than its manifest was written for: its SHA-256", DocumentError
        )
        assert error.exit_code == 2
        refused(guide, lambda: guide.restore(request), "its SHA-256 is", DocumentError)
    made.archive.unlink()
    refused(guide, guide.asked, "is not there", DocumentError)
    made.archive.write_bytes(whole)
    assert guide.restore(request).outcome == "done"  # none of that has used the approval up


@pytest.mark.parametrize("way", ["swap", "in place"])
def test_what_the_manifest_vouches_for_is_compared_all_the_same(guide: Ground, way: str) -> None:
    """Damage is caught while it is restored, a lie by the comparison; and the application is started again."""
    guide.changes.update(app_stop=("true",), app_start=("touch", str(guide.folder / "started")))
    made = guide.taken()
    whole, member = made.archive.read_bytes(), made.tables["Member"]
    cut, holed = whole[: len(whole) * 2 // 3], whole[:-2000] + bytes(1000) + whole[-1000:]
    damaged = cut if way == "swap" else holed
    rows = TableState(51, member.digest) if way == "swap" else TableState(member.rows, "0" * 64)
    lie = "Member has 50 rows instead of 51" if way == "swap" else "Member has as many rows"
    for archive, tables, said, error in (
        (damaged, made.tables, "backup_", WorkbenchError),
        (whole, {**made.tables, "Member": rows}, lie, DocumentError),
    ):
        made.archive.write_bytes(archive)
        rewritten(made, sha256=digest_of(made.archive), size=len(archive), tables=tables)
        request = guide.asked(made.snapshot, in_place=way == "in place")
        caught = refused(guide, lambda r=request: guide.restore(r), said, error)  # type: ignore[misc]
        assert "is as it was. The application was started again" in caught.next_step
        assert (guide.folder / "started").exists()
        (guide.folder / "started").unlink()


def test_an_edited_manifest_an_older_server_and_no_room(
    guide: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = guide.taken()
    requests = [guide.asked(), guide.asked(in_place=True)]
    with monkeypatch.context() as patched:
        patched.setattr(restores, "_MORE", 10**9)
        for act in (*(lambda r=r: guide.restore(r) for r in requests), guide.asked):  # type: ignore[misc]
            refused(guide, act, "no room on the server for a second database")
    rewritten(made, server_version="99.1")
    refused(guide, guide.asked, r"from PostgreSQL 99\.1; .* of version 18", DocumentError)
    changed = "is another than when the restore was asked for"
    refused(guide, lambda: guide.restore(requests[0]), changed, DocumentError)
    made.path.write_text(made.path.read_text().replace('"rows": 50', '"rows": 49', 1))
    refused(guide, lambda: guide.asked(made.snapshot), "was edited", DocumentError)


def test_another_database_s_snapshot(lay: Lay) -> None:
    theirs, ours = lay("guide"), lay("guide")
    made = theirs.taken()
    shutil.copytree(theirs.folder / "backups", ours.folder / "backups")
    error = refused(ours, ours.asked, f"was taken from database {theirs.database}", WrongEnvironment)
    assert error.exit_code == 3
    request = ours.asked(from_elsewhere=True)
    assert theirs.database in request.elsewhere
    refused(theirs, lambda: theirs.restore(request), f"for the database '{ours.database}'", WrongEnvironment)
    namesake = replace(ours, name="other")
    refused(ours, lambda: namesake.restore(request), "for the environment 'demo'", WrongEnvironment)
    assert ours.restore(request).outcome == "done"
    # Of another environment it is never taken, whatever is said.
    other = replace(ours, name="other")
    with other.open() as wb, pytest.raises(WrongEnvironment, match="is of environment 'demo'"):
        wb.restores.ask(made.snapshot, from_elsewhere=True)


def test_what_changed_since_the_losses_were_shown(guide: Ground) -> None:
    guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    request = guide.asked()
    assert any(each["table"] == "WaIdMapping" for each in request.losses)
    guide.execute(
        """UPDATE "Member" SET email = 'new@example.org' WHERE id = (SELECT min(id) FROM "Member")"""
    )
    error = refused(
        guide, lambda: guide.restore(request), "has changed since what a restore would lose", Drift
    )
    assert [row[0] for row in error.rows] == ["Member"]  # type: ignore[attr-defined]
    again = guide.asked()
    assert again.digest != request.digest
    guide.snapshot()  # what the workbench itself logs of that is no change
    assert guide.restore(again).outcome == "done"


def test_nobody_s_consent_or_one_that_was_used(guide: Ground) -> None:
    ground = production(guide)
    ground.snapshot()
    request = ground.asked(approve=False)
    error = refused(ground, lambda: ground.restore(request), "Nobody has approved", NotApproved)
    assert f"approve {request.id} --digest {request.digest}" in error.next_step
    with ground.open() as wb:
        for digest, by, confirm, said in (
            ("0" * 64, "erin", "club", "digest given is not that"),
            (request.digest, None, "club", r"dana planned .* cannot approve"),
            (request.digest, "erin", None, "typed out: club"),
        ):
            with pytest.raises(Refused, match=said):
                wb.plans.approve(request, digest, approver=by, confirm=confirm)
        wb.plans.approve(request, request.digest, approver="erin", confirm="club")
    text = request.path.read_text()
    request.path.write_text(text.replace('"keep_sync_state": false', '"keep_sync_state": true'))
    with ground.open() as wb, pytest.raises(Refused, match="was altered since it was made"):
        wb.restores.find(request.id)
    request.path.write_text(text)
    ground.changes["app_stop"] = ("false",)
    error = refused(ground, lambda: ground.restore(request), "failed with exit code 1", WorkbenchError)
    assert "is as it was" in error.next_step
    ground.changes["app_stop"] = ("true",)
    refused(ground, lambda: ground.restore(request), "approval of .* was used before; that restore failed")
    with ground.open() as wb:
        wb.plans.approve(request, request.digest, approver="erin", confirm="club")
        assert wb.restores.carry_out(request).outcome == "done"
    refused(ground, lambda: ground.restore(request), "was carried out by dana")


def test_two_at_once(guide: Ground, acting: Callable[..., Acting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restores, "_PATIENCE", 0.2)
    guide.taken()
    first, second = guide.asked(), guide.asked(keep_sync_state=True)
    under_way = acting(guide, first)
    under_way.go_on(3)
    refused_here = guide.restore
    with pytest.raises(Refused, match=r"Another restore of .* is running"):
        refused_here(second)
    # From another home as well: the server knows.
    other = replace(guide, folder=guide.folder / "other")
    shutil.copytree(guide.folder / "backups", other.folder / "backups")
    with pytest.raises(Refused, match=r"Another restore of .* is running"):
        other.restore(other.asked())
    kill(guide, under_way)
    with pytest.raises(Refused, match=r"was interrupted after its step 'fill'"):
        refused_here(second)
    with pytest.raises(Refused, match="was interrupted: when it goes on"):
        other.restore(other.asked())
    with guide.open() as wb:
        wb.restores.abandon()
    assert guide.restore(second).outcome == "done"


def test_who_may_not_rename_may_restore_in_place(guide: Ground) -> None:
    name = f"owner_of_{guide.database}"
    guide.execute(f"CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {guide.database} TO {name}")
    with guide.connect() as connection:
        connection.execute(f"ALTER SCHEMA public OWNER TO {name};" + OWNER_OF_ALL.replace("ROLE", name))
    try:
        url = guide.login(name)
        theirs = replace(guide, url=url)
        before = guide.whole()
        theirs.snapshot()
        guide.execute('DELETE FROM "WaIdMapping"')
        error = refused(guide, theirs.asked, r"may not make databases \(CREATEDB\)")
        assert "--in-place" in error.next_step
        guide.execute("CREATE TABLE foreigner (x int)")
        refused(guide, lambda: theirs.asked(in_place=True), "foreigner belongs to postgres")
        guide.execute("DROP TABLE foreigner")
        assert theirs.restore(theirs.asked(in_place=True)).outcome == "done"
        assert_same(before, guide.whole())
    finally:
        with guide.connect() as connection:
            connection.execute(
                f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}"
            )


def test_a_role_that_the_server_has_not_got_any_more(guide: Ground) -> None:
    """It says nothing against the snapshot, which lies elsewhere on the disk; and the live database stays."""
    name = f"treasurer_of_{guide.database}"
    guide.execute(f"CREATE ROLE {name}; CREATE TABLE dues (x int); ALTER TABLE dues OWNER TO {name}")
    place = guide.folder / "usb stick"
    made, before = guide.snapshot(), guide.whole()
    (guide.folder / "backups").rename(place)
    guide.execute(f"DROP TABLE dues; DROP ROLE {name}")
    for in_place in (False, True):
        request = guide.asked(str(place / made.archive.name), in_place=in_place)
        error = refused(guide, lambda r=request: guide.restore(r), f'role "{name}" does not exist')  # type: ignore[misc]
        assert error.exit_code == 3
        assert "is as it was" in error.next_step
    guide.execute(f"CREATE ROLE {name}")
    assert guide.restore(guide.asked(str(place / made.archive.name))).outcome == "done"
    assert_same(before, guide.whole())
    guide.drop_all()
    with guide.connect("postgres") as connection:
        connection.execute(f"DROP ROLE {name}")
