"""What changed since a snapshot, of tables with another digest or of all, against a dump, a restored database, another snapshot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Clubs, Ground, database_at
from tests.differences.conftest import restore_in_place
from tests.test_cli import at, shell  # noqa: F401
from workbench.answer import Answer
from workbench.errors import DocumentError, UsageError, WrongEnvironment
from workbench.session import Session
from workbench.settings import Settings
from workbench.workbench import Workbench

REGISTRATIONS = {"application": "EventRegistration", "guide": "Registration"}


def counts(answer: Answer) -> dict[str, tuple[Any, ...]]:
    return {
        row.table: (row.before, row.now, row.added, row.removed, row.changed, row.columns)
        for row in answer.facts["tables"].itertuples()
        if row.table != "AuditLog"
    }


def work(club: Ground, dialect: str) -> None:
    """Do a little of everything, unlogged."""
    registrations = REGISTRATIONS[dialect]
    one = f'SELECT id FROM "{registrations}" ORDER BY id LIMIT 1'
    club.execute(f'DELETE FROM "{registrations}" WHERE id = ({one})')
    club.execute(
        'UPDATE "Member" SET phone = \'5550001111\' WHERE id IN (SELECT id FROM "Member" ORDER BY id LIMIT 2)'
    )
    club.execute('UPDATE "Event" SET title = title')
    club.execute(
        'INSERT INTO "MembershipTier" (id, code, name, "sortOrder", "createdAt", "updatedAt")'
        " VALUES (gen_random_uuid(), 'NEW', 'New', 9, '2026-01-01', '2026-01-01')"
    )


def test_short_and_long_ways_agree_on_a_club(club: Ground, dialect: str, tmp_path: Path) -> None:
    wb = club.open()
    first = wb.snapshots.create()
    assert counts(wb.history.differences("latest")) == {}
    work(club, dialect)
    found = wb.history.differences(first.snapshot)
    long = wb.history.differences(first.archive, in_full=True)
    members, registrations = len_of(club, "Member"), len_of(club, REGISTRATIONS[dialect])
    tiers = len_of(club, "MembershipTier")
    assert counts(found) == counts(long) == {
        "Member": (members, members, 0, 0, 2, "phone 2"),
        REGISTRATIONS[dialect]: (registrations + 1, registrations, 0, 1, 0, ""),
        "MembershipTier": (tiers - 1, tiers, 1, 0, 0, ""),
    }  # fmt: skip
    rows = found.facts["rows"]
    pd.testing.assert_frame_equal(rows, long.facts["rows"])
    phones = rows[rows["table"] == "Member"]
    assert all(set(row) == {"phone"} for row in phones["now"])
    assert {row["phone"] for row in phones["now"]} == {"5550001111"}
    assert set(found.facts["authors"].set_index("table").loc["Member", "who":"evidence"]) == {
        "unknown",
        "none",
    }  # type: ignore[misc]
    # Between two snapshots, both restored.
    second = wb.snapshots.create()
    club.execute('UPDATE "Member" SET phone = NULL')
    assert counts(wb.history.differences(first.snapshot, second.snapshot)) == counts(found)
    restore_in_place(club.url, first.archive)
    # What the manifest's digests know as unchanged is not restored: the archive is not even read.
    first.archive.rename(tmp_path / "elsewhere")
    first.archive.write_bytes(b"")
    again = club.open().history.differences(first.snapshot)
    assert counts(again) == {}


def len_of(club: Ground, table: str) -> int:
    (count,) = club.ask(f'SELECT count(*) FROM "{table}"')
    return int(count)


def test_logged_work_is_a_person_s(
    clubs: Clubs,
) -> None:
    club = clubs.clone("application")
    wb = club.open()
    wb.snapshots.create()
    for action, table, statement in (
        ("UPDATE", "Member", 'UPDATE "Member" SET phone = NULL WHERE id = %s'),
        ("DELETE", "EventNote", 'DELETE FROM "EventNote" WHERE id = %s'),
    ):
        with club.connect() as connection:
            key = connection.execute(f'SELECT id FROM "{table}" ORDER BY id LIMIT 1').fetchone()  # type: ignore[arg-type]
            assert key is not None
            connection.execute(statement, key)  # type: ignore[arg-type]
            connection.execute(
                'INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId") VALUES (gen_random_uuid(), %s, %s, %s)',
                [action, table, key[0]],
            )
    told = wb.history.differences("latest", tables=["Member", "EventNote"]).facts["authors"]
    assert {tuple(row) for row in told.itertuples(index=False)} == {
        ("Member", "changed", "a person", "certain", 1),
        ("EventNote", "removed", "a person", "certain", 1),
    }


def test_what_a_plan_changed_bears_the_name_of_who_applied_it(clubs: Clubs, tmp_path: Path) -> None:
    club = clubs.clone("guide")
    wb = club.open()
    club.execute('UPDATE "Member" SET "membershipTierId" = (SELECT max(id) FROM "MembershipTier")')
    wb.snapshots.create(reason="before the tiers")
    plan = wb.tiers.plan()
    club.carry_out(plan)
    told = wb.history.differences("latest", tables=["Member"], limit=1).facts["authors"]
    assert set(zip(told["who"], told["evidence"], strict=True)) == {(f"dana by plan {plan.id}", "certain")}


def test_tables_and_columns_that_came_or_went(
    clubs: Clubs,
) -> None:
    club = clubs.clone("application")
    wb = club.open()
    wb.snapshots.create()
    club.execute("ALTER TABLE \"Member\" ADD nick text DEFAULT '-'")
    club.execute('ALTER TABLE "Event" DROP COLUMN location')
    club.execute(
        "CREATE TABLE brand_new (id uuid PRIMARY KEY); INSERT INTO brand_new VALUES (gen_random_uuid())"
    )
    club.execute('DROP TABLE "EventNote"')
    found = club.open().history.differences("latest").facts["tables"].set_index("table")
    assert "new columns: nick" in found.loc["Member", "remark"]
    assert "columns that are gone: location" in found.loc["Event", "remark"]
    assert found.loc["Member", ["added", "removed", "changed"]].tolist() == [0, 0, 0]
    assert (found.loc["brand_new", "added"], found.loc["brand_new", "remark"]) == (1, "it is new")
    assert found.loc["EventNote", "removed"] > 0
    assert pd.isna(found.loc["EventNote", "now"])


def test_what_is_not_what_it_says_is_refused(
    clubs: Clubs,
) -> None:
    club = clubs.clone("guide")
    wb = club.open()
    made = wb.snapshots.create()

    def forge(**facts: object) -> None:
        made.model_copy(update=facts).write(made.path)

    club.execute('DELETE FROM "Registration"')
    members = made.tables["Member"]
    forge(tables={**made.tables, "Member": replace(members, rows=members.rows + 1)})
    with pytest.raises(DocumentError, match="its manifest says"):
        wb.history.differences(made.snapshot)
    forge(sha256="0" * 64)
    with pytest.raises(DocumentError, match="SHA-256 differs"):
        wb.history.differences(made.snapshot)
    forge(target=replace(made.target, environment="other"))
    with pytest.raises(WrongEnvironment, match="other"):
        wb.history.differences(made.snapshot)
    forge()
    with pytest.raises(UsageError, match="no table 'Membr'"):
        wb.history.differences(made.snapshot, tables=["Membr"])
    with pytest.raises(UsageError):
        wb.history.differences("backup_20000101_000000")


def test_the_commands(clubs: Clubs, at: Any, shell: Any, tmp_path: Path) -> None:  # noqa: F811
    club = clubs.clone("application")
    at(club)
    settings = Settings(operator="dana", backups=tmp_path / "backups", home=tmp_path)
    Workbench(Session(database_at(club.url, "demo", "club"), club.options, settings)).snapshots.create()

    def run(*arguments: str) -> Any:
        at_club = {"CLUB_URL": club.url, "WORKBENCH_SCRATCH_URL_ENV": "CLUB_URL"}
        return shell(*arguments, "--environment", "club", **at_club)

    club.execute(
        'UPDATE "Member" SET phone = \'8055550199\' WHERE id = (SELECT id FROM "Member" ORDER BY id LIMIT 1)'
    )
    done = run("snapshot", "diff", "latest", "--json", "--table", "Member")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["tables"][0]["changed"] == 1
    assert told["rows"][0]["now"] == {"phone": "•••99"}
    lost = run("snapshot", "losses", "latest")
    assert lost.returncode == 1, lost.stderr
    assert "would lose 1 rows" in lost.stdout
    assert "8055550199" not in lost.stdout
    # That run was before the snapshot: to restore it would not undo the run.
    assert run("plan", "replay", "--snapshot", "latest", "--run", club.club.last_live_run.run).returncode == 3
    assert not list((tmp_path / ".workbench").glob("plans/*"))
