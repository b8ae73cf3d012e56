"""An executed notebook as one HTML page that loads nothing, and the index page of all reports in a folder."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from workbench.documents import write_whole
from workbench.reporting.tables import visible

_TEMPLATE = Path(__file__).parent / "template"
_NOTEBOOK_LINK = re.compile(r'<a href="[^":]+\.ipynb">(.*?)</a>')
_MOST_CHANGES = 5  # listed since the last report of a kind


def to_html(notebook: NotebookNode, verdict: dict[str, Any], title: str, failed: str = "") -> str:
    """Render an executed notebook as a page without scripts, whose security policy forbids loading anything.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs.
    verdict : dict
        The verdict; ``environment`` and ``made_at`` at least.
    title : str
        Title of the page.
    failed : str
        The error that stopped the notebook, if any.
    """
    exporter = HTMLExporter(  # type: ignore[no-untyped-call, unused-ignore]
        template_name=_TEMPLATE.name,
        extra_template_basedirs=[str(_TEMPLATE.parent)],
        exclude_anchor_links=True,
        filters={"unstyled": _without_style, "unlinked": _without_links, "escape_text": _escape},
    )
    resources = {"report": {"title": title, "verdict": verdict, "failed": failed}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(page)


def write_index(folder: Path) -> None:
    """Write the index of all reports in a folder, the latest first, with the changes since the last of each kind."""
    jinja = Environment(loader=FileSystemLoader(_TEMPLATE), autoescape=True)
    jinja.filters["visible"] = visible
    page = jinja.get_template("reports.html.j2").render(reports=_reports(folder))
    write_whole(folder / "index.html", page.encode(), "page of reports")


def _without_style(output: str) -> str:
    """Remove an output's own style sheet; the page has one."""
    return output.partition("</style>")[2] if output.startswith("<style>") else output


def _without_links(text: str) -> str:
    """Remove links to other notebooks, which a reader of the page does not have."""
    return _NOTEBOOK_LINK.sub(r"\1", text)


def _escape(text: str) -> str:
    """Escape text for HTML; control characters become visible, line breaks stay."""
    return html.escape("\n".join(map(visible, str(text).split("\n"))))


def _reports(folder: Path) -> list[dict[str, Any]]:
    reports = []
    for path in folder.glob("*.json"):
        try:
            verdict = json.loads(path.read_bytes())
        except ValueError:
            unreadable = {"report": path.name, "made_at": "", "status": "not run"}
            verdict = unreadable | {"headline": "This file cannot be read."}
        if isinstance(verdict, dict) and {"report", "made_at", "headline", "status"} <= verdict.keys():
            reports.append(verdict | {"page": f"{path.stem}.html"})
    reports.sort(key=lambda report: str(report["made_at"]))
    last: dict[str, dict[str, Any]] = {}
    for report in filter(lambda report: report["made_at"], reports):
        parameters = {name: value for name, value in report["parameters"].items() if name != "unmask"}
        kind = json.dumps([report["report"], report["environment"], parameters], sort_keys=True)
        changes = _changes(last[kind], report) if kind in last else ["the first of its kind"]
        more = [f"and {len(changes) - _MOST_CHANGES} more"] if len(changes) > _MOST_CHANGES else []
        report["changes"], last[kind] = changes[:_MOST_CHANGES] + more, report
    return reports[::-1]


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the findings that are new, settled, or have another count."""
    old, new = (
        {finding["check"]: finding for finding in report["findings"] if finding["open"]}
        for report in (before, now)
    )
    changes = [f"new: {new[check]['title']}" for check in new if check not in old]
    changes += [f"settled: {old[check]['title']}" for check in old if check not in new]
    for check, finding in new.items():
        if check in old and old[check]["count"] != finding["count"]:
            counts = (
                "?" if count is None else f"{count:,}" for count in (old[check]["count"], finding["count"])
            )
            changes.append(f"{finding['title']}: {' → '.join(counts)}")
    return changes or ["nothing"]
