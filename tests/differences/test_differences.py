"""What changed since a snapshot, whose doing it is, what a restore would lose, and one record's story."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground, database_at
from tests.differences.conftest import restore_in_place
from tests.reporting.test_charts import svg
from workbench.answer import Answer
from workbench.errors import DocumentError, UsageError, WrongEnvironment
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.settings import Settings
from workbench.workbench import Workbench


def counts(answer: Answer) -> dict[str, tuple[Any, ...]]:
    return {
        row.table: (row.before, row.now, row.added, row.removed, row.changed, row.columns)
        for row in answer.facts["tables"].itertuples()
        if row.table != "AuditLog"
    }


def page(answer: Answer) -> str:
    return str(answer._repr_mimebundle_()["text/html"])


def status(answer: Answer) -> tuple[str, Any]:
    (finding,) = answer.findings
    return finding.status, finding.count


def work(club: Ground, registrations: str) -> None:
    """Do a little of everything, unlogged."""
    club.execute(
        f"""DELETE FROM "{registrations}" WHERE id = (SELECT id FROM "{registrations}" ORDER BY id LIMIT 1);
            UPDATE "Member" SET phone = '5550001111' WHERE id IN (SELECT id FROM "Member" ORDER BY id LIMIT 2);
            UPDATE "Event" SET title = title;
            INSERT INTO "MembershipTier" (id, code, name, "sortOrder", "createdAt", "updatedAt")
                VALUES (gen_random_uuid(), 'NEW', 'New', 9, '2026-01-01', '2026-01-01')"""
    )


def test_what_differs_and_what_a_restore_would_lose(clubs: Clubs, tmp_path: Path) -> None:
    club, registrations = clubs.clone("application", 60), "EventRegistration"
    wb = club.open()
    first = wb.snapshots.create(reason="before <b>work</b>")
    assert [status(wb.history.differences("")), status(wb.history.losses(""))] == [("pass", 0)] * 2
    rows = {
        table: club.ask(f'SELECT count(*) FROM "{table}"')[0]
        for table in ("Member", registrations, "MembershipTier")
    }
    work(club, registrations)
    short, long = wb.history.differences("latest"), wb.history.differences(first.archive, in_full=True)
    assert counts(short) == counts(long) == {
        "Member": (rows["Member"], rows["Member"], 0, 0, 2, "phone 2"),
        registrations: (rows[registrations], rows[registrations] - 1, 0, 1, 0, ""),
        "MembershipTier": (rows["MembershipTier"], rows["MembershipTier"] + 1, 1, 0, 0, ""),
    }  # fmt: skip
    pd.testing.assert_frame_equal(short.facts["rows"], long.facts["rows"])
    phones = short.facts["rows"].query("table == 'Member'")["now"]
    assert [*phones] == [{"phone": "5550001111"}] * 2
    authors = short.facts["authors"].query("table == 'Member'")
    assert [*zip(authors["who"], authors["evidence"], strict=True)] == [("unknown", "none")]
    lost = wb.history.losses("latest")
    assert (lost.facts["total"], lost.facts["differing"]) == (4, short.facts["authors"]["rows"].sum())
    masked = club.open(unmask=False).history
    for open_, covered in ((short, masked.differences("")), (lost, masked.losses(""))):
        assert status(open_) == ("warn", 4)
        assert registrations in page(open_)
        assert registrations in page(covered)
        assert ("5550001111" in page(open_), "5550001111" in page(covered)) == (True, False)
    assert "2 changed" in svg(short.figures.changes)
    assert "unknown" in svg(short.figures.by_author)
    # Between two snapshots, both restored.
    second = wb.snapshots.create()
    club.execute('UPDATE "Member" SET phone = NULL')
    assert counts(wb.history.differences(first.snapshot, second.snapshot)) == counts(short)
    restore_in_place(club.url, first.archive)
    # What the manifest's digests know as unchanged is not restored: the archive is not even read.
    first.archive.rename(tmp_path / "elsewhere")
    first.archive.write_bytes(b"")
    assert counts(club.open().history.differences(first.snapshot)) == {}


def test_no_snapshot_is_said_and_is_never_green(application: Ground) -> None:
    history = application.open().history
    for answer in (history.differences(""), history.losses("")):
        assert status(answer) == ("not run", None)
        assert answer.facts == {"snapshot": None}
        assert "workbench snapshot create" in page(answer)
    with pytest.raises(UsageError):
        history.losses("backup_20200101_000000")


def test_who_did_it_and_which_tables_and_columns_came_or_went(clubs: Clubs) -> None:
    club = clubs.clone("application", 60)
    club.open().snapshots.create()
    for action, table, statement in (
        ("UPDATE", "Member", 'UPDATE "Member" SET phone = NULL WHERE id = %s'),
        ("DELETE", "EventNote", 'DELETE FROM "EventNote" WHERE id = %s'),
    ):
        (key,) = club.ask(f'SELECT id FROM "{table}" ORDER BY id LIMIT 1')
        club.execute(statement, key)
        club.execute(
            'INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId") VALUES (gen_random_uuid(), %s, %s, %s)',
            *(action, table, key),
        )
    answer = club.open().history.differences("latest", tables=["Member", "EventNote"])
    assert {tuple(row) for row in answer.facts["authors"].itertuples(index=False)} == {
        ("Member", "changed", "a person", "certain", 1),
        ("EventNote", "removed", "a person", "certain", 1),
    }
    club.execute(
        """ALTER TABLE "Member" ADD nick text DEFAULT '-'; ALTER TABLE "Event" DROP COLUMN location;
           CREATE TABLE brand_new (id uuid PRIMARY KEY); INSERT INTO brand_new VALUES (gen_random_uuid());
           DROP TABLE "EventNote" """
    )
    tables = club.open().history.differences("latest").facts["tables"].set_index("table")
    assert "new columns: nick" in tables.loc["Member", "remark"]
    assert "removed columns: location" in tables.loc["Event", "remark"]
    assert tables.loc["Event", ["added", "removed", "changed"]].tolist() == [0, 0, 0]
    assert (tables.loc["brand_new", "added"], tables.loc["brand_new", "remark"]) == (1, "new table")
    assert tables.loc["EventNote", "removed"] > 0
    assert pd.isna(tables.loc["EventNote", "now"])


def test_what_a_plan_changed_bears_the_name_of_who_applied_it(clubs: Clubs) -> None:
    club = clubs.clone("guide", 50)
    wb = club.open()
    club.execute('UPDATE "Member" SET "membershipTierId" = (SELECT max(id) FROM "MembershipTier")')
    wb.snapshots.create(reason="before the tiers")
    plan = wb.tiers.plan()
    club.carry_out(plan)
    authors = wb.history.differences("latest", tables=["Member"], limit=1).facts["authors"]
    assert set(zip(authors["who"], authors["evidence"], strict=True)) == {
        (f"dana by plan {plan.id}", "certain")
    }


def test_what_is_not_what_it_says_is_refused(clubs: Clubs) -> None:
    club = clubs.clone("guide", 50)
    history, taken = club.wb.history, club.wb.snapshots.create()
    members = taken.tables["Member"]
    club.execute('DELETE FROM "Registration"')
    for forged, error, words in (
        (
            {"tables": {**taken.tables, "Member": replace(members, rows=members.rows + 1)}},
            DocumentError,
            "its manifest",
        ),
        ({"sha256": "0" * 64}, DocumentError, "is not the archive described by its manifest"),
        ({"target": replace(taken.target, environment="other")}, WrongEnvironment, "other"),
    ):
        taken.model_copy(update=forged).write(taken.path)
        with pytest.raises(error, match=words):
            history.differences(taken.snapshot)
    taken.write(taken.path)
    with pytest.raises(UsageError, match="no table 'Membr'"):
        history.differences(taken.snapshot, tables=["Membr"])
    with pytest.raises(UsageError):
        history.differences("backup_20000101_000000")


def test_the_commands(clubs: Clubs, at: Any, shell: Any, tmp_path: Path) -> None:
    club = clubs.clone("application")
    at(club)
    settings = Settings(operator="dana", backups=tmp_path / "backups", home=tmp_path)
    Workbench(Session(database_at(club.url, "demo", "club"), club.options, settings)).snapshots.create()

    def run(*arguments: str) -> Any:
        given = {"CLUB_URL": club.url, "WORKBENCH_SCRATCH_URL_ENV": "CLUB_URL"}
        return shell(*arguments, "--environment", "club", **given)

    # That run was before the snapshot: to restore it would not undo the run.
    bad = ("--run", club.club.last_live_run.run)
    assert run("snapshot", "losses", "latest", *bad).returncode == 3
    club.execute(
        """UPDATE "Member" SET phone = '8055550199' WHERE id = (SELECT id FROM "Member" ORDER BY id LIMIT 1)"""
    )
    done = run("snapshot", "diff", "latest", "--json", "--table", "Member")
    assert done.returncode == 1, done.stderr
    facts = json.loads(done.stdout)
    assert facts["tables"][0]["changed"] == 1
    assert facts["rows"][0]["now"] == {"phone": "•••99"}
    lost = run("snapshot", "losses", "latest")
    assert lost.returncode == 1, lost.stderr
    assert "8055550199" not in lost.stdout
    assert run("plan", "replay", "--snapshot", "latest", *bad).returncode == 3
    assert not list((tmp_path / ".workbench").glob("plans/*"))


def test_one_record_s_story(application: Ground) -> None:
    club = application
    run = club.club.last_live_run.run
    plan = club.wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    deletes = [part for part in plan.operations if (part.name, part.table) == ("delete", "Member")]
    key = str(next(row[0] for part in deletes for row in plan.rows(part)))
    (created,) = club.wb.history("Member", key).facts["story"].query("who == @run").to_dict("records")
    assert created["what"].startswith("create")
    club.carry_out(plan)
    gone = club.open().history("Member", key)
    assert gone.facts["exists"] is False
    last = gone.facts["story"].iloc[-1]
    assert (last["what"], last["who"]) == ("deleted", f"dana by plan {plan.id}")
    club.undo(plan)
    again = club.open().history("Member", key)
    assert again.facts["exists"] is True
    story = [what for what in again.facts["story"]["what"] if what in ("deleted", "inserted")]
    assert story == ["deleted", "inserted"]
    assert "What happened to it" in page(again)
    with pytest.raises(UsageError, match="Nothing is known of"):
        club.wb.history("Member", "00000000-0000-4000-8000-00000000dead")
    with pytest.raises(UsageError, match="no entity"):
        club.wb.history("Membr", key)
