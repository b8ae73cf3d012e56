"""An executed notebook as one HTML page that asks for nothing from anywhere."""

from __future__ import annotations

import html
import re
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
    # Slow to import: a thread does it while the kernel runs.
    from nbconvert import HTMLExporter, TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter

    class Page(HTMLExporter):  # type: ignore[misc, unused-ignore]
        """Renders the template, and leaves it at that.

        The parent class parses the whole page anew, to give pictures a text and JupyterLab's own
        boxes a place in the tab order: half a second, and here pictures have theirs already.
        """

        def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
            code = Highlight2HTML(pygments_lexer="ipython3", parent=self)  # type: ignore[no-untyped-call, unused-ignore]
            self.register_filter("highlight_code", code)  # type: ignore[no-untyped-call, unused-ignore]
            widgets = WidgetsDataTypeFilter(notebook_metadata=nb.metadata, parent=self, resources=resources)
            self.register_filter("filter_data_type", widgets)  # type: ignore[no-untyped-call, unused-ignore]
            return TemplateExporter.from_notebook_node(self, nb, resources, **kw)

    exporter = Page(  # type: ignore[no-untyped-call, unused-ignore]
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    exporter.register_filter("unstyled", _unstyled)  # type: ignore[no-untyped-call, unused-ignore]
    exporter.register_filter("unlinked", _unlinked)  # type: ignore[no-untyped-call, unused-ignore]
    exporter.register_filter("escape_text", _escaped)  # type: ignore[no-untyped-call, unused-ignore]
    return exporter


def _unstyled(shown: str) -> str:
    """Leave out the sheet that an output carries for JupyterLab; the page has one of its own."""
    return shown.partition("</style>")[2] if shown.startswith("<style>") else shown


def _unlinked(text: str) -> str:
    """Leave the words of links to other notebooks: these do not lie beside a page that was sent to somebody."""
    return _TO_A_NOTEBOOK.sub(r"\1", text)


_TO_A_NOTEBOOK = re.compile(r'<a href="[^":]+\.ipynb">(.*?)</a>')


def _escaped(text: str) -> str:
    """Escape text for HTML; what no page may contain becomes visible, line breaks stay."""
    return html.escape("\n".join(visible(line) for line in str(text).split("\n")))
