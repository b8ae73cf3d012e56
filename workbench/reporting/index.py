"""The page of all reports in a folder, the latest first: what each concluded, and what changed since the last of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from workbench.documents import write_whole
from workbench.reporting.html import TEMPLATE
from workbench.reporting.tables import visible

INDEX = "index.html"

_SHOWN = 5
"""How many changes are named."""


def write_index(folder: Path) -> None:
    """Write the page beside the reports that it lists, by their verdicts."""
    jinja = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True)
    jinja.filters["visible"] = visible
    page = jinja.get_template("reports.html.j2").render(reports=_reports(folder))
    write_whole(folder / INDEX, page.encode(), "page of reports")


def _reports(folder: Path) -> list[dict[str, Any]]:
    reports, last = [], dict[str, dict[str, Any]]()
    for path in folder.glob("*.json"):
        try:
            verdict = json.loads(path.read_bytes())
        except ValueError:
            verdict = {
                "report": path.name,
                "made_at": "",
                "headline": "It cannot be read.",
                "status": "not run",
            }
        if isinstance(verdict, dict) and {"report", "made_at", "headline", "status"} <= verdict.keys():
            reports.append(verdict | {"page": f"{path.stem}.html"})
    for report in sorted(reports, key=lambda report: str(report["made_at"])):
        if report["made_at"]:
            asked = {name: value for name, value in report["parameters"].items() if name != "unmask"}
            kind = json.dumps([report["report"], report["environment"], asked], sort_keys=True)
            changes = _changes(last[kind], report) if kind in last else ["the first of its kind"]
            more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
            report["changes"], last[kind] = changes[:_SHOWN] + more, report
    return sorted(reports, key=lambda report: str(report["made_at"]), reverse=True)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what is open now and was not, what is open no more, and what is open with another count."""
    was, still = (
        {finding["check"]: finding for finding in report["findings"] if finding["open"]}
        for report in (before, now)
    )
    counted = [(still[check], was[check]["count"]) for check in still if check in was]
    changes = [
        *(f"new: {still[check]['title']}" for check in still if check not in was),
        *(f"settled: {was[check]['title']}" for check in was if check not in still),
        *(f"{found['title']}: {count:,} → {found['count']:,}" for found, count in counted if found["count"] != count),
    ]  # fmt: skip
    return changes or ["nothing"]
