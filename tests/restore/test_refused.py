"""What is refused, with the reason, and nothing touched: damage, lies, others' databases, drift, no consent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.plans.conftest import OWNER_OF_ALL
from tests.restore.acting import Acting
from tests.restore.conftest import LOG, Ground, Lay, assert_same, production
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
from workbench.snapshots.restore import preconditions


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
def test_damage_that_the_manifest_vouches_for(guide: Ground, way: str) -> None:
    """Caught while it is restored, or by the comparison; and the application is started again."""
    guide.changes.update(app_stop=("true",), app_start=("touch", str(guide.folder / "started")))
    made = guide.taken()
    whole = made.archive.read_bytes()
    for damaged in (whole[: len(whole) * 2 // 3], whole[:-2000] + bytes(1000) + whole[-1000:]):
        made.archive.write_bytes(damaged)
        rewritten(made, sha256=digest_of(made.archive), size=len(damaged))
        request = guide.asked(made.snapshot, in_place=way == "in place")
        error = refused(guide, lambda r=request: guide.restore(r), "backup_", WorkbenchError)  # type: ignore[misc]
        assert "is as it was. The application was started again" in error.next_step
        assert (guide.folder / "started").exists()
        (guide.folder / "started").unlink()


@pytest.mark.parametrize("way", ["swap", "in place"])
def test_a_manifest_that_lies(guide: Ground, way: str) -> None:
    made = guide.taken()
    member = made.tables["Member"]
    lies = {
        "Member has 50 rows instead of 51": {"Member": TableState(51, member.digest)},
        "Member has as many rows": {"Member": TableState(member.rows, "0" * 64)},
        "there is no table Ghost": {"Ghost": TableState(0, "0" * 64)},
    }
    for said, lie in [*lies.items()][: 3 if way == "swap" else 1]:
        rewritten(made, tables={**made.tables, **lie})
        request = guide.asked(made.snapshot, in_place=way == "in place")
        refused(guide, lambda r=request: guide.restore(r), said, DocumentError)  # type: ignore[misc]


def test_a_manifest_that_was_edited_or_changed_since(guide: Ground) -> None:
    made = guide.taken()
    path = made.path
    request = guide.asked()
    rewritten(made, reason="another")
    refused(
        guide, lambda: guide.restore(request), "is another than when the restore was asked for", DocumentError
    )
    path.write_text(path.read_text().replace('"rows": 50', '"rows": 49', 1))
    refused(guide, lambda: guide.asked(made.snapshot), "was edited", DocumentError)


def test_another_database_s_snapshot(lay: Lay) -> None:
    theirs, ours = lay("guide"), lay("guide")
    made = theirs.taken()
    shutil.copytree(theirs.folder / "backups", ours.folder / "backups")
    error = refused(ours, ours.asked, f"was taken from database {theirs.database}", WrongEnvironment)
    assert error.exit_code == 3
    request = ours.asked(from_elsewhere=True)
    assert theirs.database in request.elsewhere
    refused(theirs, lambda: theirs.restore(request), f"for database '{ours.database}'", WrongEnvironment)
    namesake = replace(ours, name="other")
    refused(ours, lambda: namesake.restore(request), "for environment 'demo'", WrongEnvironment)
    assert ours.restore(request).outcome == "done"
    # Of another environment it is never taken, whatever is said.
    other = replace(ours, name="other")
    with other.open() as wb, pytest.raises(WrongEnvironment, match="is of environment 'demo'"):
        wb.restores.ask(made.snapshot, from_elsewhere=True)


def test_a_server_of_an_older_version(guide: Ground) -> None:
    made = guide.taken()
    rewritten(made, server_version="99.1")
    refused(guide, guide.asked, r"from PostgreSQL 99\.1; .* of version 18", DocumentError)


def test_no_room(guide: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    guide.taken()
    requests = [guide.asked(), guide.asked(in_place=True)]
    monkeypatch.setattr(preconditions, "_MORE", 10**9)
    for request in requests:
        refused(guide, lambda request=request: guide.restore(request), "no room on the server for a second")  # type: ignore[misc]
    refused(guide, guide.asked, "no room on the server for a second database")


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
    assert guide.restore(again).outcome == "done"


def test_what_the_workbench_logs_of_snapshots_is_no_change(guide: Ground) -> None:
    made = guide.taken()
    request = guide.asked(made.snapshot)
    guide.snapshot()
    assert guide.restore(request).outcome == "done"


def test_nobody_s_consent(guide: Ground) -> None:
    guide.taken()
    request = guide.asked(approve=False)
    error = refused(guide, lambda: guide.restore(request), "Nobody has approved", NotApproved)
    assert f"approve {request.id} --digest {request.digest}" in error.next_step
    with guide.open() as wb:
        with pytest.raises(Refused, match="digest given is not that"):
            wb.approve(request, "0" * 64, approver="erin")
        wb.approve(request, request.digest, approver="erin")
    text = request.path.read_text()
    request.path.write_text(text.replace('"keep_sync_state": false', '"keep_sync_state": true'))
    with guide.open() as wb, pytest.raises(Refused, match="was altered since it was made"):
        wb.restores.find(request.id)
    request.path.write_text(text)
    guide.restore(request)
    refused(guide, lambda: guide.restore(request), "was carried out by dana")


def test_on_production_another_person_types_the_name(guide: Ground) -> None:
    ground = production(guide)
    ground.snapshot()
    request = ground.asked(approve=False)
    with ground.open() as wb:
        with pytest.raises(Refused, match=r"dana planned .* cannot approve"):
            wb.approve(request, request.digest, confirm="club")
        with pytest.raises(Refused, match="typed out: club"):
            wb.approve(request, request.digest, approver="erin")
        wb.approve(request, request.digest, approver="erin", confirm="club")
        assert wb.restores.carry_out(request).outcome == "done"


def test_an_approval_that_a_failed_restore_used(guide: Ground) -> None:
    guide.changes["app_stop"] = ("false",)
    guide.taken()
    request = guide.asked()
    error = refused(guide, lambda: guide.restore(request), "failed with exit code 1", WorkbenchError)
    assert "is as it was" in error.next_step
    guide.changes["app_stop"] = ("true",)
    refused(guide, lambda: guide.restore(request), "approval of .* was used before; that restore failed")
    with guide.open() as wb:
        wb.approve(request, request.digest, approver="erin")
        assert wb.restores.carry_out(request).outcome == "done"


def test_two_at_once(guide: Ground, acting: Callable[..., Acting]) -> None:
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
    under_way.kill()
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


@pytest.mark.parametrize("way", ["swap", "in place"])
def test_a_role_that_the_server_has_not_got_any_more(guide: Ground, way: str) -> None:
    """It says nothing against the snapshot, and the live database stays."""
    name = f"treasurer_of_{guide.database}"
    guide.execute(f"CREATE ROLE {name}; CREATE TABLE dues (x int); ALTER TABLE dues OWNER TO {name}")
    guide.snapshot()
    guide.execute(f"DROP TABLE dues; DROP ROLE {name}")
    request = guide.asked(in_place=way == "in place")
    error = refused(guide, lambda: guide.restore(request), f'role "{name}" does not exist')
    assert error.exit_code == 3
    assert "is as it was" in error.next_step


def test_a_snapshot_that_lies_elsewhere_on_the_disk(guide: Ground) -> None:
    made = guide.taken()
    place = guide.folder / "usb stick"
    (guide.folder / "backups").rename(place)
    before = guide.whole()
    guide.execute('DELETE FROM "WaIdMapping"')
    assert guide.restore(guide.asked(str(place / made.archive.name))).outcome == "done"
    assert_same(before, guide.whole())
