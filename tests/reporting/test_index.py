"""The page of all reports: the latest first, each with what changed since the last of its kind."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from workbench.reporting.index import write_index


def put(folder: Path, moment: str, name: str = "post-recovery", where: str = "club", **checks: int) -> None:
    """Leave a verdict, on which these checks are open with so many cases, and one is closed."""
    findings: list[dict[str, Any]] = [
        {"check": check, "title": f"Title of {check}", "count": count, "open": count > 0}
        for check, count in (checks | {"closed": 0}).items()
    ]
    verdict = {
        "report": name,
        "made_at": moment,
        "headline": f"Is it safe? <No> at {moment}",
        "status": "fail",
        "environment": {"name": where, "kind": "demo"},
        "parameters": {"environment": where, "unmask": len(checks) > 1},
        "findings": findings,
    }
    (folder / f"{name}-{where}-{moment}.json").write_text(json.dumps(verdict))


def rows(folder: Path) -> list[list[str]]:
    page = (folder / "index.html").read_text()
    cells = (re.findall(r"(?s)<td>(.*?)</td>", row) for row in re.findall(r"(?s)<tr>(.*?)</tr>", page))
    return [[unescape(re.sub("<[^<]*>", "|", cell)) for cell in row] for row in cells if row]


def test_the_latest_comes_first_with_what_changed(tmp_path):
    put(tmp_path, "2026-01-01T10:00:00", lost=3, twice=2)
    put(tmp_path, "2026-01-02T10:00:00", where="other", lost=9)
    put(tmp_path, "2026-01-03T10:00:00", lost=1, wrong=4)
    put(tmp_path, "2026-01-04T10:00:00", lost=1, wrong=4)
    (tmp_path / "cut.json").write_text('{"report": ')
    (tmp_path / "notes.json").write_text("[]")
    write_index(tmp_path)
    made, report, verdict, changes, where = zip(*rows(tmp_path), strict=True)
    assert [moment[:10] for moment in made] == ["2026-01-04", "2026-01-03", "2026-01-02", "2026-01-01", ""]
    assert where[:2] == ("club (demo)",) * 2
    assert "cut.json" in report[-1]
    assert verdict[0] == "Is it safe? <No> at 2026-01-04T10:00:00"
    assert changes[0] == "nothing"
    assert changes[2] == changes[3] == "the first of its kind"
    assert set(filter(None, changes[1].split("|"))) == {
        *("new: Title of wrong", "settled: Title of twice", "Title of lost: 3 → 1"),
    }
