"""What came after a snapshot and what a restore would lose, as the notebook tells it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Ground
from tests.differences.test_differences import REGISTRATIONS, work
from tests.reporting.test_charts import HOSTILE, svg
from workbench import (
    aftermath_facts,
    aftermath_findings,
    aftermath_rows,
    aftermath_steps,
    aftermath_summary,
    aftermath_table,
    authors_chart,
    differences_chart,
    losses_conflicts,
    losses_rows,
    losses_table,
)
from workbench.errors import UsageError
from workbench.history.ledger import CameAfter, Losses


def test_no_snapshot_is_said_and_is_never_green(
    club: Ground,
) -> None:
    wb = club.open()
    found = wb.came_after()
    assert "There is no snapshot of demo" in found.missing
    assert {each.status for each in aftermath_findings(found)} == {"not run"}
    for tell in (
        aftermath_summary,
        aftermath_table,
        aftermath_rows,
        losses_table,
        losses_rows,
        losses_conflicts,
    ):
        assert "There is no snapshot" in tell(found).text  # type: ignore[operator]
    assert "workbench snapshot create" in aftermath_steps(wb, found).text
    assert "nothing to show" in svg(differences_chart(found.tables))
    assert "nothing to show" in svg(authors_chart(found.authors))
    assert aftermath_facts(found) == {"snapshot": None}
    with pytest.raises(UsageError):
        wb.came_after("backup_20200101_000000")


def test_what_differs_and_what_a_restore_would_lose(
    club: Ground,
    dialect: str,
) -> None:
    wb = club.open()
    first = wb.snapshots.create(reason="before <b>work</b>")
    nothing = wb.came_after()
    assert [each.status for each in aftermath_findings(nothing)] == ["pass", "pass"]
    assert "Nothing would be lost" in aftermath_steps(wb, nothing).text
    work(club, dialect)
    found = wb.came_after()
    assert found.snapshot == first.snapshot
    assert found.differences is not None
    assert found.losses is not None
    alone = wb.differences(first.snapshot)
    pd.testing.assert_frame_equal(found.tables, alone.tables)
    pd.testing.assert_frame_equal(found.authors, alone.authors)
    assert found.losses.total == wb.losses(first.snapshot).total == 4
    loses, unexplained = aftermath_findings(found)
    assert (loses.status, loses.count) == ("warn", 4)
    assert (unexplained.status, unexplained.count) == ("warn", 4)
    assert aftermath_facts(found)["lost"] == 4
    assert "before &lt;b&gt;work" in aftermath_summary(found).html
    assert "4 rows" in aftermath_summary(found).text
    assert REGISTRATIONS[dialect] in aftermath_table(found).text
    assert "5550001111" not in aftermath_rows(found).html, "numbers are masked"
    assert "5550001111" in aftermath_rows(found, True).html
    assert "Member" in losses_table(found).text
    assert "5550001111" not in losses_rows(found).html
    assert "5550001111" in losses_rows(found, True).html
    assert "--run BAD_RUN" in aftermath_steps(wb, found).text
    drawn = svg(differences_chart(found.tables))
    assert "2 changed" in drawn
    assert "rows" in drawn
    assert "unknown" in svg(authors_chart(found.authors))


@pytest.mark.parametrize("rows", [1, 41])
def test_charts_of_any_size(rows: int) -> None:
    names = [f"{n} {HOSTILE}" for n in range(rows)]
    tables = pd.DataFrame({"table": names, "added": 1, "changed": range(rows), "removed": 0})
    authors = pd.DataFrame({"who": names, "change": "added", "rows": 2})
    for chart, frame in ((differences_chart, tables), (authors_chart, authors)):
        drawn = svg(chart(frame))
        assert drawn == svg(chart(frame))
        assert ("2 others" in drawn) == (rows == 41)


def test_a_conflict_is_masked(tmp_path: Path) -> None:
    conflicts = pd.DataFrame(
        [("Member", "1", "email", "alice@example.org", None, "al@example.org", "both changed it")],
        columns=["table", "key", "column", "before", "run", "now", "reason"],
    )
    empty = pd.DataFrame()
    found = CameAfter("s", losses=Losses("s", (), empty, empty, empty, conflicts, empty, 1))
    assert "alice@" not in losses_conflicts(found).html
    assert "both changed it" in losses_conflicts(found).text
    assert "alice@example.org" in losses_conflicts(found, True).html
