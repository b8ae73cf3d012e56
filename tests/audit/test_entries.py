"""``workbench audit``: the questions of guide §5.2, and the migration action of an entry in either dialect."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.audit.conftest import log
from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground
from workbench.audit.entries import ask_log, has_action
from workbench.cli.questions import parse_since
from workbench.database.connection import raw

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC).replace(tzinfo=None)
AGED = """UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval '{} days'"""

Asked = Callable[..., Any]


@pytest.fixture
def asked(ground: Ground, at: Callable[..., Shell]) -> Asked:
    """Ask the command for JSON."""
    run = at(ground)

    def ask(*arguments: str) -> Any:
        done = run("audit", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_the_migration_action_is_one_however_it_is_asked(ground: Ground) -> None:
    """Of an entry that the workbench wrote, of one of the guide's importer, and of one that is of no migration."""
    action = "migration:rollback:level1"
    number = log(ground, action)
    wb = ground.open()
    with wb.session.reading() as connection:
        query = f"SELECT id::text FROM audit WHERE {has_action(wb.session.schema, action)}"
        assert ask_log(raw(connection), wb.session.schema, query).fetchall() == [(str(number),)]
    actions = set(wb.sql("SELECT migration_action FROM audit")["migration_action"])
    others = {"CREATE"} if wb.session.dialect == "application" else {"migration:started", "member:updated"}
    assert {action} | others <= actions


@pytest.mark.parametrize("dialect", ["application"])
def test_rollbacks_since(ground: Ground, asked: Asked) -> None:
    log(ground, "migration:rollback:level1", run_id="r1", records_affected=3, operator="dana")
    log(ground, "migration:rollback:level2", backup_file="b.dump", restore_time="x", operator="erin")
    log(ground, "migration:undone", undone_plan="p")
    rows = asked("--rollbacks", "--since", "30 days")["entries"]
    assert [row["action"] for row in rows] == ["migration:rollback:level1", "migration:rollback:level2"]
    assert [row["operator"] for row in rows] == ["dana", "erin"]
    ground.execute(AGED.format(31))
    assert asked("--rollbacks", "--since", "30 days")["entries"] == []
    assert len(asked("--rollbacks", "--since", "32 days")["entries"]) == 2


@pytest.mark.parametrize("dialect", ["guide"])
def test_imports_by_operator_this_month(ground: Ground, asked: Asked) -> None:
    before = asked("--by-operator")
    for duration in (30, 12.5, "no number"):
        log(ground, "migration:completed", run_id="r1", counts={}, duration=duration, operator="gwen")
    (row,) = [row for row in asked("--by-operator") if row not in before]
    assert row == {"operator": "gwen", "imports": 3, "total_seconds": 42}
    ground.execute(AGED.format(32))
    assert "gwen" not in [row["operator"] for row in asked("--by-operator")]
    longer = asked("--by-operator", "--since", "60 days")
    assert [row["imports"] for row in longer if row["operator"] == "gwen"] == [3]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by-operator", "--summary"),
        ("--rollbacks", "--action", "migration:"),
        ("--since", "yore"),
        ("--since", "9999-12-31"),
        ("--run", "nobody's"),
    ],
)
@pytest.mark.parametrize("dialect", ["guide"])
def test_a_wrong_question_is_refused(
    ground: Ground, at: Callable[..., Shell], arguments: tuple[str, ...]
) -> None:
    done = at(ground)("audit", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("30 days", "2026-03-01T12:30:00"),
        ("36 hours", "2026-03-30T00:30:00"),
        ("this month", "2026-03-01T00:00:00"),
        ("2026-01-31", "2026-01-31T00:00:00"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00"),
    ],
)
def test_moments_as_people_say_them(words: str, meant: str) -> None:
    assert parse_since(words, NOW).isoformat() == meant
