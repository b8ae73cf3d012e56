"""Files of rules: what is read, and every way in which one is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policies.conftest import keys, rule
from workbench.checks.registry import STARTER, copy_starter, read_check, read_rules
from workbench.errors import UsageError
from workbench.settings import load_settings

SELECT = "SELECT id AS key FROM events"

WRONG = {
    "no title": f"-- guide = '§1.5'\n\n{SELECT}",
    "an unknown key": rule(SELECT, tittle="T"),
    "an unknown severity": rule(SELECT, severity="error"),
    "an unknown section": rule(SELECT, guide="1.5"),
    "no SELECT": rule(""),
    "a semicolon alone": rule(";"),
    "a function": "-- title = 'T'\n-- answer = 'integrity.sync_state'\n",
    "a function and a SELECT": rule(SELECT, answer="integrity.sync_state"),
    "a header that is no TOML": f"-- title = T\n\n{SELECT}",
    "no header": SELECT,
    "a zero byte": rule(SELECT + "\0"),
    "an id of its own": rule(SELECT, id="A B"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_and_named(write, name):
    with pytest.raises(UsageError, match="mine"):
        read_rules(write(mine=WRONG[name]))


def test_no_folder_no_rule_no_utf8(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        read_rules(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty"):
        read_rules(tmp_path / "empty")
    (tmp_path / "bad.sql").write_bytes(b"-- title = '\xff'\n\nSELECT 1 AS key")
    with pytest.raises(UsageError, match="bad"):
        read_rules(tmp_path / "bad.sql")


def test_a_file_is_read_however_it_was_saved(tmp_path):
    path = tmp_path / "mine.sql"
    path.write_bytes(
        b"\xef\xbb\xbf" + rule(SELECT, fix="SELECT 1", severity="warn").replace("\n", "\r\n").encode()
    )
    check = read_check(path)
    assert (check.id, check.sql, check.fix, check.severity) == ("mine", SELECT, "SELECT 1", "warn")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_rules_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "mine.sql"
    path.write_bytes(content)
    with suppress(UsageError):
        assert read_check(path).sql


def test_the_folder_beside_the_settings_is_found(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)
    assert load_settings().environment("demo").policies is None
    write(mine=rule(SELECT))
    assert load_settings().environment("demo").policies == tmp_path / "policies"
    (tmp_path / "workbench.toml").write_text("[environments.demo]\nkind = 'demo'\npolicies = 'rules/club'")
    assert load_settings().environment("demo").policies == tmp_path / "rules" / "club"


def test_the_starter_set_is_copied_once(tmp_path):
    files = copy_starter(tmp_path / "rules")
    assert {each.stem for each in files} == {each.stem for folder in STARTER for each in folder.glob("*.sql")}
    assert [*read_rules(tmp_path / "rules").checks] == [*read_rules(None).checks]
    with pytest.raises(UsageError, match="exists already"):
        copy_starter(tmp_path / "rules")


@pytest.mark.parametrize(
    ("sql", "lacks"),
    [
        ("SELECT id AS key FROM events WHERE capacity IS NULL", 'ALTER TABLE "Event" DROP COLUMN capacity'),
        ("SELECT id AS key FROM members m WHERE m.wa_raw IS NULL", None),
        ("SELECT id AS key FROM members WHERE NOT EXISTS (SELECT FROM mappings)", 'DROP TABLE "WaIdMapping"'),
    ],
)
def test_what_is_absent_is_never_green_nor_red(clubs, write, sql, lacks):
    """A column that is not here is NULL, a table empty: a rule that speaks of one is not asked."""
    club = clubs.clone("guide", 60)
    if lacks:
        club.execute(lacks)
    with club.workbench() as wb:
        (found,) = wb.policies(write(mine=rule(sql))).findings
        (optional,) = wb.policies(write(mine=rule(sql).replace("\n", "\n-- optional = true\n", 1))).findings
    assert (found.status, found.count, found.open) == ("not run", None, True)
    assert (optional.status, optional.open) == ("not run", False)


def test_a_rule_asks_of_its_time_and_place(guide, write):
    club = guide
    club.execute(
        """UPDATE "Event" SET "startTime" = now() + interval '9 days', "endTime" = NULL
                    WHERE id IN (SELECT id FROM "Event" WHERE "isPublished" ORDER BY id LIMIT 2)"""
    )
    path = write(
        coming=rule("SELECT id AS key FROM events, here WHERE start > here.now"),
        over=rule("SELECT id AS key FROM events, here WHERE NOT start > here.now"),
        large=rule("SELECT id AS key FROM events, here WHERE capacity > capacity_limit"),
    )
    with club.workbench(event_capacity_limit=0) as wb:
        found = {each.check: each for each in wb.policies(path, sample=10_000).findings}
    with club.connect() as connection:
        (every, seats) = connection.execute(
            'SELECT array_agg(id::text), count(capacity) FROM "Event"'
        ).fetchone()
    assert len(keys(found["coming"])) >= 2
    assert keys(found["coming"]) | keys(found["over"]) == set(every)
    assert not keys(found["coming"]) & keys(found["over"])
    assert found["large"].count == seats
