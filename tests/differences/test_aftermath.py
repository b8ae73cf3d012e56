"""What came after a snapshot and what a restore would lose, as a notebook and a report tell it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Ground
from tests.differences.test_differences import REGISTRATIONS, work
from tests.reporting.test_charts import svg
from workbench.answer import Answer
from workbench.errors import UsageError
from workbench.plans.plan import Plan


def page(answer: Answer) -> str:
    return str(answer._repr_mimebundle_()["text/html"])


def statuses(answer: Answer) -> list[tuple[str, Any]]:
    return [(finding.status, finding.count) for finding in answer.findings]


def test_no_snapshot_is_said_and_is_never_green(club: Ground) -> None:
    history = club.open().history
    for found in (history.differences(""), history.losses("")):
        assert statuses(found) == [("not run", None)]
        assert found.facts == {"snapshot": None}
        assert "There is no snapshot of demo" in page(found)
        assert "workbench snapshot create" in page(found)
    with pytest.raises(UsageError):
        history.losses("backup_20200101_000000")


def test_what_differs_and_what_a_restore_would_lose(club: Ground, dialect: str) -> None:
    history = club.open().history
    first = club.open().snapshots.create(reason="before <b>work</b>")
    nothing = [history.differences(""), history.losses("")]
    assert [statuses(found) for found in nothing] == [[("pass", 0)]] * 2
    work(club, dialect)
    changed, lost = history.differences(""), history.losses("")
    assert changed.facts["snapshot"] == lost.facts["snapshot"] == first.snapshot
    assert (lost.facts["total"], lost.facts["differing"]) == (4, changed.facts["authors"]["rows"].sum())
    assert [statuses(found) for found in (changed, lost)] == [[("warn", 4)]] * 2
    for found in (changed, lost):
        assert REGISTRATIONS[dialect] in page(found)
        assert "5550001111" in page(found)
    assert "snapshot losses" in page(changed)
    masked = club.open(unmask=False).history
    for found in (masked.differences(""), masked.losses("")):
        assert REGISTRATIONS[dialect] in page(found)
        assert "5550001111" not in page(found)
    assert "2 changed" in svg(changed.figures.changes)
    assert "unknown" in svg(changed.figures.whose)


def test_one_record_s_story(club: Ground) -> None:
    run = club.club.last_live_run.run
    plan = club.wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    deletes = [each for each in plan.operations if (each.name, each.table) == ("delete", "Member")]
    made = str(next(row[0] for each in deletes for row in plan.rows(each)))
    (told,) = club.wb.history("Member", made).facts["story"].query("who == @run").to_dict("records")
    assert told["what"].startswith("create")
    club.carry_out(plan)
    gone = club.open().history("Member", made)
    assert gone.facts["exists"] is False
    last = gone.facts["story"].iloc[-1]
    assert (last["what"], last["who"]) == ("deleted", f"dana by plan {plan.id}")
    club.undo(plan)
    again = club.open().history("Member", made)
    assert again.facts["exists"] is True
    assert [each for each in again.facts["story"]["what"] if each in ("deleted", "inserted")] == [
        "deleted",
        "inserted",
    ]
    assert "What happened to it" in page(again)
    with pytest.raises(UsageError, match="Nothing here tells"):
        club.wb.history("Member", "00000000-0000-4000-8000-00000000dead")
    with pytest.raises(UsageError, match="no entity"):
        club.wb.history("Membr", made)
