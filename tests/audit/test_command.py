"""``workbench audit`` and ``audit verify``: the questions of guide §5.2, and their exit codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

import workbench
from tests.audit.ground import Ground
from workbench.audit import record
from workbench.audit.spans import moment_of
from workbench.cli.main import app
from workbench.errors import UsageError, WorkbenchError

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def run(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on the ground in this process; give its exit code, answer and error."""

    def go(*arguments: str) -> tuple[int, str, WorkbenchError | None]:
        result = CliRunner().invoke(app, arguments)
        error = result.exception if isinstance(result.exception, WorkbenchError) else None
        if error is None and result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return (error.exit_code if error else result.exit_code), result.stdout, error

    monkeypatch.setattr(workbench, "open_workbench", lambda *_, **__: ground.workbench)
    return go


def log(ground: Ground, action: str, **metadata: Any) -> str:
    return record(ground.database, ground.schema, action, metadata, about=str(uuid4()))


def test_rollbacks_since(ground: Ground, run: Any) -> None:
    log(ground, "migration:rollback:level1", run_id="r1", records_affected=3, operator="dana")
    log(ground, "migration:rollback:level2", backup_file="b.dump", restore_time="x", operator="erin")
    log(ground, "migration:undone", undone_plan="p")
    code, answer, _ = run("audit", "--rollbacks", "--since", "30 days", "--json")
    told = json.loads(answer)
    assert code == 0
    assert [each["action"] for each in told] == ["migration:rollback:level1", "migration:rollback:level2"]
    assert [each["operator"] for each in told] == ["dana", "erin"]
    ground.club.execute('UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval \'31 days\'')
    assert json.loads(run("audit", "--rollbacks", "--since", "30 days", "--json")[1]) == []
    assert len(json.loads(run("audit", "--rollbacks", "--since", "32 days", "--json")[1])) == 2
    assert "no such entry since" in run("audit", "--rollbacks", "--since", "30 days")[1]


def test_imports_by_operator_this_month(ground: Ground, run: Any) -> None:
    before = json.loads(run("audit", "--by-operator", "--json")[1])
    for duration in (30, 12.5, "no number"):
        log(ground, "migration:completed", run_id="r1", counts={}, duration=duration, operator="gwen")
    (told,) = [each for each in json.loads(run("audit", "--by-operator", "--json")[1]) if each not in before]
    assert told == {"operator": "gwen", "imports": 3, "total_seconds": 42}
    ground.club.execute('UPDATE "AuditLog" SET "createdAt" = "createdAt" - interval \'32 days\'')
    assert not [
        each for each in json.loads(run("audit", "--by-operator", "--json")[1]) if each["operator"] == "gwen"
    ]
    assert [
        each["imports"]
        for each in json.loads(run("audit", "--operators", "--json")[1])
        if each["operator"] == "gwen"
    ] == [3]
    assert "gwen" in run("audit", "--by-operator", "--since", "2 months")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by-operator", "--summary"),
        ("--by-operator", "--rollbacks"),
        ("--rollbacks", "--action", "migration:"),
        ("--since", "yore"),
        ("--since", "9999-12-31"),
        ("--since", "99999 years"),
        ("--run", "nobody's"),
        ("--json", "verify"),
        ("verify", "--against", "nowhere.json"),
    ],
)
def test_a_wrong_question_is_refused(run: Any, arguments: tuple[str, ...]) -> None:
    code, answer, error = run("audit", *arguments)
    assert (code, answer) == (2, "")
    assert isinstance(error, UsageError)
    assert error.next_step


def test_verify_names_the_first_break(ground: Ground, run: Any, tmp_path: Path) -> None:
    code, answer, _ = run("audit", "verify")
    assert code == 1
    assert "Not verified. No entry carries a chain here" in answer
    ids = [log(ground, "migration:test", n=number) for number in range(3)]
    code, answer, _ = run("audit", "verify", "--json")
    assert code == 0
    noted = tmp_path / "noted.json"
    noted.write_text(answer, encoding="utf-8")
    assert json.loads(answer)["head"]["number"] == 3
    assert run("audit", "verify", "--against", str(noted))[0] == 0
    assert "The chain holds: 3 entries, from 1" in run("audit", "verify")[1]
    ground.club.execute('UPDATE "AuditLog" SET "createdAt" = now() WHERE id = %s', ids[1])
    code, answer, _ = run("audit", "verify")
    assert code == 1
    assert f"First: Entry {ids[1]} (migration:test) was altered" in answer
    (told,) = json.loads(run("audit", "verify", "--json")[1])["breaks"]
    assert (told["kind"], told["number"], told["entry"]) == ("altered", 2, ids[1])


@pytest.mark.parametrize(
    "text", ["", "{}", '{"head": {}}', '{"head": {"number": "1", "hash": "", "at": null}}']
)
def test_a_note_that_is_none_is_refused(ground: Ground, run: Any, tmp_path: Path, text: str) -> None:
    noted = tmp_path / "noted.json"
    noted.write_text(text, encoding="utf-8")
    code, _, error = run("audit", "verify", "--against", str(noted))
    assert code == 2
    assert "does not say where the audit chain ended" in str(error)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("30 days", "2026-03-01T12:30:00"),
        ("1 month", "2026-02-28T12:30:00"),
        ("13 Months", "2025-02-28T12:30:00"),
        ("2 years", "2024-03-31T12:30:00"),
        ("36 hours", "2026-03-30T00:30:00"),
        ("this month", "2026-03-01T00:00:00"),
        ("today", "2026-03-31T00:00:00"),
        ("this year", "2026-01-01T00:00:00"),
        ("2026-01-31", "2026-01-31T00:00:00"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00"),
    ],
)
def test_moments_as_people_say_them(said: str, meant: str) -> None:
    assert moment_of(said, NOW).isoformat() == meant
