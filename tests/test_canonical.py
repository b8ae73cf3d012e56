"""The canonical relations: alike in either dialect, served by indexes, and never taken for what is not there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import DIALECTS
from workbench.checks import REGISTRY
from workbench.checks.registry import in_package
from workbench.errors import SchemaGap, UsageError, WorkbenchError
from workbench.murmurant.canonical import Canonical
from workbench.murmurant.spellings import CONCEPTS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def both(clubs):
    return {dialect: clubs.clone(dialect, 60) for dialect in DIALECTS}


@pytest.mark.parametrize("relation", CONCEPTS)
def test_a_relation_has_the_same_columns_in_both_dialects(both, relation):
    seen = {}
    for dialect, club in both.items():
        with club.workbench() as wb, wb.session.reading() as connection:
            before, given = Canonical(wb.session.schema).around(f"SELECT FROM {relation}")
            assert not given
            rows = connection.exec_driver_sql(f"{before}SELECT * FROM {relation} LIMIT 0".replace("%", "%%"))
            names = {each.name: each.type_code for each in rows.cursor.description}
        ids = {2950: 25}  # a uuid where all are, else text
        seen[dialect] = {name: ids.get(kind, kind) for name, kind in names.items() if name != "spelled"}
    assert seen["guide"] == seen["application"]
    assert [*CONCEPTS[relation].columns] == [*seen["guide"]][: len(CONCEPTS[relation].columns)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_member_s_tier_is_asked_by_its_code(both, dialect):
    real = 'SELECT t.code, count(*)::int FROM "Member" m LEFT JOIN "MembershipTier" t ON t.id = m."membershipTierId"'
    with both[dialect].workbench() as wb:
        frame = wb.sql("SELECT tier, count(*) AS members FROM members GROUP BY 1 ORDER BY 1")
    counts = dict(frame.itertuples(index=False))
    assert counts == dict(both[dialect].ask(f"{real} GROUP BY 1"))
    assert len(counts) > 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "question",
    [
        "SELECT email FROM members WHERE id = '00000000-0000-4000-8000-000000000001'",
        "SELECT title FROM events WHERE id = '00000000-0000-4000-8000-000000000001'",
        "SELECT id FROM registrations WHERE event_id = '00000000-0000-4000-8000-000000000001'",
        "SELECT email FROM registrations r JOIN members m ON m.id = r.member_id WHERE r.id = '00000000-0000-4000-8000-000000000001'",
        "SELECT title FROM mappings JOIN events e ON e.id = target WHERE mappings.id = '00000000-0000-4000-8000-000000000001'",
    ],
)
def test_indexes_serve(both, dialect, question):
    with both[dialect].workbench() as wb, wb.session.reading() as connection:
        before, _ = Canonical(wb.session.schema).around(question)
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {before}{question}"))
    assert "Seq Scan" not in plan, plan
    assert "Index Cond" in plan


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_question_in_canonical_names(both, dialect):
    club = both[dialect]
    table = "Registration" if dialect == "guide" else "EventRegistration"
    with club.connect() as connection:
        (expected,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    with club.workbench() as wb:
        counted = wb.sql("SELECT entity_type, count(*) AS mapped FROM mappings GROUP BY 1 ORDER BY 1;")
        assert list(counted["entity_type"]) == ["Event", "Member", "Registration"]
        assert wb.sql("SELECT count(*) AS all FROM registrations WHERE status LIKE '%'")["all"][0] == expected
        (run, *_) = wb.sql("SELECT run FROM runs ORDER BY ended DESC")["run"]
        assert run == club.club.last_live_run.run
        records = wb.runs.records(run).records
        ids = wb.sql("SELECT id FROM members")["id"]
        assert ids.isin(records["record_id"]).any()
        assert len(wb.sql("SELECT id FROM members", limit=3)) == 3
        for wrong in ("DELETE FROM members", "SELECT 1; SELECT 2", "SELECT nosuch FROM members"):
            with pytest.raises(WorkbenchError):
                wb.sql(wrong)
        with pytest.raises(UsageError):
            wb.sql("SELECT id, id FROM members")
        with pytest.raises(UsageError):
            wb.sql("SELECT $1")
        assert len(wb.sql("SELECT 'a' AS still")) == 1
    people = "SELECT last_name AS event, first_name || ' ' || last_name AS level, first_name AS key, status FROM members, registrations LIMIT 9"
    with club.workbench(unmask=False) as wb:
        covered = wb.sql(people)
    with club.workbench(unmask=True) as wb:
        plain = wb.sql(people)
    assert [*covered] == [*plain] == ["event", "level", "key", "status"]
    assert (covered["status"] == plain["status"]).all()
    for column in ("event", "level", "key"):
        assert not (covered[column] == plain[column]).any()


def test_what_is_absent_is_told(clubs):
    club = clubs.clone("guide", 60)
    club.execute('ALTER TABLE "Event" DROP COLUMN "endTime"')
    with club.workbench() as wb:
        with pytest.raises(SchemaGap, match="endTime"):
            wb.sql('SELECT "end" FROM events')
        with pytest.raises(SchemaGap, match="FileObject"):
            wb.sql("SELECT count(*) FROM files")
        assert wb.sql("SELECT count(*) FROM files", without=["files"])["count"][0] == 0
        assert wb.sql('SELECT count("end") FROM events', without=["events.end"])["count"][0] == 0
        assert wb.sql("SELECT count(*) FROM events WHERE CASE WHEN true THEN true END")["count"][0]


def test_a_table_that_may_not_be_read_whole_is_never_empty(clubs):
    club = clubs.clone("application", 60)
    club.execute('ALTER TABLE "FileObject" RENAME TO "Hidden"')
    club.execute('CREATE VIEW "FileObject" AS SELECT * FROM "Hidden" WHERE false')
    with club.workbench() as wb:
        with pytest.raises(SchemaGap):
            wb.sql("SELECT count(*) FROM files", without=["files"])
        (found,) = wb.check(["members-visibility"]).findings
    assert found.status == "not run"


def test_a_check_is_added_by_adding_a_file(clubs, at, tmp_path, monkeypatch):
    """As docs/architecture.md says it."""
    said = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```sql\n(.*?)```", said, re.DOTALL)
    (tmp_path / "events" / "checks").mkdir(parents=True)
    (tmp_path / "events" / "checks" / "christmas-eve.sql").write_text(example, encoding="utf-8")
    added = in_package(tmp_path)
    monkeypatch.setitem(REGISTRY, "christmas-eve", added["christmas-eve"])
    club = clubs.clone("guide", 60)
    check = at(club)
    assert check("check", "christmas-eve").returncode == 0
    club.execute(
        """UPDATE "Event" SET "startTime" = '2026-12-24 18:00' WHERE id = (SELECT min(id) FROM "Event")"""
    )
    done = check("check", "christmas-eve")
    assert (done.returncode, "Does the club rest" in done.stdout) == (1, True)


def test_each_check_says_what_it_asks() -> None:
    assert {each.id: each for each in in_package().values()} == REGISTRY
    for check in REGISTRY.values():
        assert all((check.title, check.guide, check.symptom, check.question, check.remedy)), check.id
        assert bool(check.sql) != bool(check.answer), check.id
        module, _, name = check.answer.partition(".")
        assert not name or callable(getattr(import_module(f"workbench.checks.{module}"), name))
