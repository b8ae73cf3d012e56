"""An executed notebook as one HTML page that asks for nothing from anywhere, and the page of all reports of a folder."""

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
_TO_A_NOTEBOOK = re.compile(r'<a href="[^":]+\.ipynb">(.*?)</a>')
_NAMED = 5  # changes since the last report of a kind


def to_html(notebook: NotebookNode, verdict: dict[str, Any], title: str, failed: str = "") -> str:
    """Render an executed notebook.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs.
    verdict : dict
        As the notebook concluded it; ``environment`` and ``made_at`` at least.
    title : str
        Of the page.
    failed : str
        What stopped the notebook, if something did.

    Returns
    -------
    str
        A page with no script, whose security policy forbids it to fetch anything.
    """
    exporter = HTMLExporter(  # type: ignore[no-untyped-call, unused-ignore]
        template_name=_TEMPLATE.name,
        extra_template_basedirs=[str(_TEMPLATE.parent)],
        exclude_anchor_links=True,
        filters={"unstyled": _unstyled, "unlinked": _unlinked, "escape_text": _escaped},
    )
    resources = {"report": {"title": title, "verdict": verdict, "failed": failed}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(page)


def write_index(folder: Path) -> None:
    """Write the page of all reports of a folder, the latest first, with what changed since the last of its kind."""
    jinja = Environment(loader=FileSystemLoader(_TEMPLATE), autoescape=True)
    jinja.filters["visible"] = visible
    page = jinja.get_template("reports.html.j2").render(reports=_reports(folder))
    write_whole(folder / "index.html", page.encode(), "page of reports")


def _unstyled(shown: str) -> str:
    """Leave out the sheet that an output carries for JupyterLab; the page has one of its own."""
    return shown.partition("</style>")[2] if shown.startswith("<style>") else shown


def _unlinked(text: str) -> str:
    """Leave the words of links to other notebooks: these do not lie beside a page that was sent to somebody."""
    return _TO_A_NOTEBOOK.sub(r"\1", text)


def _escaped(text: str) -> str:
    """Escape text for HTML; what no page may contain becomes visible, line breaks stay."""
    return html.escape("\n".join(map(visible, str(text).split("\n"))))


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
    reports.sort(key=lambda report: str(report["made_at"]))
    for report in reports:
        if report["made_at"]:
            asked = {name: value for name, value in report["parameters"].items() if name != "unmask"}
            kind = json.dumps([report["report"], report["environment"], asked], sort_keys=True)
            changes = _changes(last[kind], report) if kind in last else ["the first of its kind"]
            more = [f"and {len(changes) - _NAMED} more"] if len(changes) > _NAMED else []
            report["changes"], last[kind] = changes[:_NAMED] + more, report
    return reports[::-1]


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what is open now and was not, what is open no more, and what is open with another count."""
    was, still = (
        {finding["check"]: finding for finding in report["findings"] if finding["open"]}
        for report in (before, now)
    )
    changes = [f"new: {still[check]['title']}" for check in still if check not in was]
    changes += [f"settled: {was[check]['title']}" for check in was if check not in still]
    for check in still.keys() & was.keys():
        old, new = was[check]["count"], still[check]["count"]
        if old != new:
            changes.append(f"{still[check]['title']}: {old:,} → {new:,}")
    return changes or ["nothing"]
