"""An executed notebook as one HTML page that asks for nothing from anywhere."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter
from nbformat import NotebookNode

from workbench.reporting.tables import visible

TEMPLATE = Path(__file__).parent / "template"
_TO_A_NOTEBOOK = re.compile(r'<a href="[^":]+\.ipynb">(.*?)</a>')


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
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_anchor_links=True,
        filters={"unstyled": _unstyled, "unlinked": _unlinked, "escape_text": _escaped},
    )
    resources = {"report": {"title": title, "verdict": verdict, "failed": failed}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(page)


def _unstyled(shown: str) -> str:
    """Leave out the sheet that an output carries for JupyterLab; the page has one of its own."""
    return shown.partition("</style>")[2] if shown.startswith("<style>") else shown


def _unlinked(text: str) -> str:
    """Leave the words of links to other notebooks: these do not lie beside a page that was sent to somebody."""
    return _TO_A_NOTEBOOK.sub(r"\1", text)


def _escaped(text: str) -> str:
    """Escape text for HTML; what no page may contain becomes visible, line breaks stay."""
    return html.escape("\n".join(visible(line) for line in str(text).split("\n")))
