"""An executed notebook as one HTML page that asks for nothing from anywhere."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from typing import Any

from workbench.reporting.engine import NotebookNode, new_code_cell, new_markdown_cell, new_notebook
from workbench.reporting.tables import symbol_of, visible

TEMPLATE = Path(__file__).parent / "template"


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
    status = "not run" if failed else str(verdict.get("status", "not run"))
    facts = {
        "title": title,
        "verdict": verdict,
        "status": status,
        "symbol": symbol_of(status),
        "headline": "This report did not finish"
        if failed
        else verdict.get("headline", "There is no verdict"),
        "failed": failed,
    }
    page, _ = _exporter().from_notebook_node(notebook, resources={"report": facts})
    return str(page)


def warm_up() -> None:
    """Do in good time what the first page costs: two seconds of imports, templates and patterns."""
    cells = [new_markdown_cell("# A *title*"), new_code_cell("a = 1")]
    to_html(new_notebook(cells=cells), {"environment": {"kind": "", "name": ""}, "made_at": ""}, "")


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter  # slow to import: a thread does it while the kernel runs

    exporter = HTMLExporter(
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    exporter.register_filter("escape_text", _escaped)
    return exporter


def _escaped(text: str) -> str:
    """Escape text for HTML; what no page may contain becomes visible, line breaks stay."""
    return html.escape("\n".join(visible(line) for line in str(text).split("\n")))
