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
from workbench.snapshots.restore.request import Request


def refused(
    ground: Ground, act: Request | Callable[[], object], said: str, error: type[WorkbenchError] = Refused
) -> WorkbenchError:
    """Return the error of something, or of a restore, that must not have touched a thing."""
    # That a safety backup was taken stands in the log.
    before, databases = ground.whole(leave_out=(LOG,)), ground.databases()
    with pytest.raises(error, match=said) as caught:
        ground.restore(act) if isinstance(act, Request) else act()
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


def test_an_archive_and_a_manifest_that_are_not_what_they_were(
    guide: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = guide.taken()
    whole, request = made.archive.read_bytes(), guide.asked()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    made.archive.write_bytes(flipped)
    assert refused(guide, guide.asked, "its SHA-256", DocumentError).exit_code == 2
    made.archive.write_bytes(whole[:-100])
    refused(guide, request, "its SHA-256", DocumentError)
    made.archive.unlink()
    refused(guide, guide.asked, "cannot be read", DocumentError)
    made.archive.write_bytes(whole)
    with monkeypatch.context() as patched:
        patched.setattr(restores, "_MARGIN", 10**9)
        refused(guide, request, "No room for a second database")
        refused(guide, lambda: guide.asked(in_place=True), "No room for a second database")
    rewritten(made, server_version="99.1")
    refused(guide, guide.asked, r"from PostgreSQL 99\.1; .* of version 18")
    refused(guide, request, "was replaced since", Drift)
    made.path.write_text(made.path.read_text().replace('"rows": 50', '"rows": 49', 1))
    refused(guide, lambda: guide.asked(made.snapshot), "was edited", DocumentError)
    made.write(made.path)
    assert guide.restore(request).outcome == "done"  # none of that has used the approval up


@pytest.mark.parametrize("in_place", [False, True])
def test_what_the_manifest_vouches_for_is_compared_all_the_same(guide: Ground, in_place: bool) -> None:
    """Damage is caught while it is restored, a lie by the comparison; and the application is started again."""
    guide.changes.update(app_stop=("true",), app_start=("touch", str(guide.folder / "started")))
    made = guide.taken()
    whole, member = made.archive.read_bytes(), made.tables["Member"]
    damaged = whole[:-2000] + bytes(1000) + whole[-1000:] if in_place else whole[: len(whole) * 2 // 3]
    lie = TableState(member.rows, "0" * 64) if in_place else TableState(51, member.digest)
    for archive, state, said, error in (
        (damaged, member, "backup_", WorkbenchError),
        (whole, lie, "Member has", DocumentError),
    ):
        made.archive.write_bytes(archive)
        rewritten(made, sha256=digest_of(made.archive), tables={**made.tables, "Member": state})
        caught = refused(guide, guide.asked(made.snapshot, in_place=in_place), said, error)
        assert "is as it was. The application was started again" in caught.next_step
        (guide.folder / "started").unlink()


def test_another_database_s_snapshot(lay: Lay) -> None:
    theirs, ours = lay("guide"), lay("guide")
    made = theirs.taken()
    shutil.copytree(theirs.folder / "backups", ours.folder / "backups")
    error = refused(ours, ours.asked, f"database {theirs.database} of server", WrongEnvironment)
    assert error.exit_code == 3
    request = ours.asked(from_elsewhere=True)
    assert theirs.database in request.elsewhere
    refused(theirs, request, ours.database, WrongEnvironment)
    # Of another environment it is never taken, whatever is said.
    other = replace(ours, name="other")
    refused(ours, lambda: other.restore(request), "demo", WrongEnvironment)
    with other.open() as wb, pytest.raises(WrongEnvironment, match=r"is of demo \(demo\)"):
        wb.restores.ask(made.snapshot, from_elsewhere=True)
    assert ours.restore(request).outcome == "done"


def test_what_changed_since_the_losses_were_shown(guide: Ground) -> None:
    guide.taken()
    guide.execute('DELETE FROM "WaIdMapping"')
    request = guide.asked()
    assert any(each["table"] == "WaIdMapping" for each in request.losses)
    guide.execute("""UPDATE "Member" SET email = 'x@example.org' WHERE id = (SELECT min(id) FROM "Member")""")
    error = refused(guide, request, "has changed since", Drift)
    assert [row[0] for row in error.rows] == ["Member"]  # type: ignore[attr-defined]
    again = guide.asked()
    assert again.digest != request.digest
    guide.snapshot()  # what the workbench itself logs of that is no change
    assert guide.restore(again).outcome == "done"


def test_nobody_s_consent_or_one_that_was_used(guide: Ground) -> None:
    ground = production(guide)
    ground.snapshot()
    request = ground.asked(approve=False)
    error = refused(ground, request, "Nobody has approved", NotApproved)
    assert f"approve {request.id} --digest {request.digest}" in error.next_step
    text = request.path.read_text()
    with ground.open() as wb:
        for digest, by, confirm in (
            ("0" * 64, "erin", "club"),
            (request.digest, None, "club"),  # whoever planned it
            (request.digest, "erin", None),
        ):
            with pytest.raises(Refused):
                wb.plans.approve(request, digest, approver=by, confirm=confirm)
        wb.plans.approve(request, request.digest, approver="erin", confirm="club")
        request.path.write_text(text.replace('"keep_sync_state": false', '"keep_sync_state": true'))
        with pytest.raises(Refused, match="was edited"):
            wb.restores.find(request.id)
    request.path.write_text(text)
    ground.changes["app_stop"] = ("false",)
    error = refused(ground, request, "failed with exit code 1", WorkbenchError)
    assert "is as it was" in error.next_step
    ground.changes["app_stop"] = ("true",)
    refused(ground, request, "was carried out with this approval by dana: failed")
    with ground.open() as wb:
        wb.plans.approve(request, request.digest, approver="erin", confirm="club")
        assert wb.restores.carry_out(request).outcome == "done"
    refused(ground, request, "was carried out .* by dana: done")


def test_two_at_once(guide: Ground, acting: Callable[..., Acting], monkeypatch: pytest.MonkeyPatch) -> None:
    """From another home as well: the server knows."""
    monkeypatch.setattr(restores, "_PATIENCE", 0.2)
    guide.taken()
    other = replace(guide, folder=guide.folder / "other")
    shutil.copytree(guide.folder / "backups", other.folder / "backups")
    first, second, theirs = guide.asked(), guide.asked(keep_sync_state=True), other.asked()
    under_way = acting(guide, first)
    under_way.go_on(3)
    for ground, request in ((guide, second), (other, theirs)):
        with pytest.raises(Refused, match=r"Another restore of .* is running"):
            ground.restore(request)
    kill(guide, under_way)
    for ground, request in ((guide, second), (other, theirs)):
        with pytest.raises(Refused, match=r"was interrupted"):
            ground.restore(request)
    with guide.open() as wb:
        wb.restores.abandon()
    assert guide.restore(second).outcome == "done"


def test_who_may_not_rename_may_restore_in_place(guide: Ground) -> None:
    name = f"owner_of_{guide.database}"
    guide.execute(f"CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {guide.database} TO {name}")
    with guide.connect() as connection:
        connection.execute(f"ALTER SCHEMA public OWNER TO {name};" + OWNER_OF_ALL.replace("ROLE", name))
    theirs, before = replace(guide, url=guide.login(name)), guide.whole()
    try:
        theirs.snapshot()
        guide.execute('DELETE FROM "WaIdMapping"; CREATE TABLE foreigner (x int)')
        assert "--in-place" in refused(guide, theirs.asked, "CREATEDB").next_step
        refused(guide, lambda: theirs.asked(in_place=True), "foreigner", WorkbenchError)
        guide.execute("DROP TABLE foreigner")
        assert theirs.restore(theirs.asked(in_place=True)).outcome == "done"
        assert_same(before, guide.whole())
    finally:
        guide.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}")


def test_a_role_that_the_server_has_not_got_any_more(guide: Ground) -> None:
    """It says nothing against the snapshot, which lies elsewhere on the disk; and the live database stays."""
    name = f"treasurer_of_{guide.database}"
    guide.execute(f"CREATE ROLE {name}; CREATE TABLE dues (x int); ALTER TABLE dues OWNER TO {name}")
    made, before, place = guide.snapshot(), guide.whole(), guide.folder / "usb stick"
    (guide.folder / "backups").rename(place)
    archive = str(place / made.archive.name)
    guide.execute(f"DROP TABLE dues; DROP ROLE {name}")
    for in_place in (False, True):
        error = refused(guide, guide.asked(archive, in_place=in_place), f'role "{name}" does not exist')
        assert (error.exit_code, "is as it was" in error.next_step) == (3, True)
    guide.execute(f"CREATE ROLE {name}")
    assert guide.restore(guide.asked(archive)).outcome == "done"
    assert_same(before, guide.whole())
    guide.drop_all()
    with guide.connect("postgres") as connection:
        connection.execute(f"DROP ROLE {name}")
