"""What came after a snapshot and what a restore would lose, as a notebook and a report tell it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.conftest import Ground
from tests.differences.test_differences import REGISTRATIONS, work
from tests.reporting.test_charts import HOSTILE, svg
from workbench.answer import Answer
from workbench.errors import UsageError
from workbench.reporting.charts import authors_chart, differences_chart


def page(answer: Answer) -> str:
    return str(answer._repr_mimebundle_()["text/html"])


def statuses(answer: Answer) -> list[tuple[str, Any]]:
    return [(finding.status, finding.count) for finding in answer.findings]


def test_no_snapshot_is_said_and_is_never_green(club: Ground) -> None:
    wb = club.open()
    found = wb.history.since()
    assert statuses(found) == [("not run", None)] * 2
    assert found.facts == {"snapshot": None}
    assert "There is no snapshot of demo" in page(found)
    assert "workbench snapshot create" in page(found)
    with pytest.raises(UsageError):
        wb.history.since("backup_20200101_000000")


def test_what_differs_and_what_a_restore_would_lose(club: Ground, dialect: str) -> None:
    wb = club.open()
    first = wb.snapshots.create(reason="before <b>work</b>")
    nothing = wb.history.since()
    assert statuses(nothing) == [("pass", 0), ("pass", 0)]
    assert len(nothing.next_steps) == 1
    work(club, dialect)
    found = wb.history.since()
    assert found.facts["snapshot"] == first.snapshot
    alone = wb.history.differences(first.snapshot).facts
    assert set(found.facts["differs"]) == set(alone["tables"]["table"])
    pd.testing.assert_frame_equal(found.tables.authors, alone["authors"])
    assert found.facts["lost"] == wb.history.losses(first.snapshot).facts["total"] == 4
    assert statuses(found) == [("warn", 4), ("warn", 4)]
    shown = page(found)
    assert "before &lt;b&gt;work" in shown
    assert REGISTRATIONS[dialect] in shown
    assert "--run BAD_RUN" in shown
    assert "5550001111" in shown
    masked = page(club.open(unmask=False).history.since())
    assert REGISTRATIONS[dialect] in masked
    assert "5550001111" not in masked
    assert "2 changed" in svg(found.figures.changes)
    assert "unknown" in svg(found.figures.whose)


@pytest.mark.parametrize("rows", [0, 1, 41])
def test_charts_of_any_size(rows: int) -> None:
    names = [f"{n} {HOSTILE}" for n in range(rows)]
    tables = pd.DataFrame({"table": names, "added": 1, "changed": range(rows), "removed": 0})
    authors = pd.DataFrame({"who": names, "change": "added", "rows": 2})
    for chart, frame in ((differences_chart, tables), (authors_chart, authors)):
        drawn = svg(chart(frame))
        assert drawn == svg(chart(frame))
        assert ("2 others" in drawn) == (rows == 41)
        assert ("nothing to show" in drawn) == (rows == 0)
