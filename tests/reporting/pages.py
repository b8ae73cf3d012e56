"""Every notebook's page without its kernel: its cells run here, one after the other, and rendered like any report."""

from __future__ import annotations

import ast
import json
from typing import Any

from nbformat import NotebookNode, read
from nbformat.v4 import new_output

from workbench.reporting.html import to_html
from workbench.reporting.questions import MIME
from workbench.reporting.templates import report_template


def executed(name: str, **given: Any) -> tuple[NotebookNode, dict[str, Any]]:
    """Run a notebook's cells in this process; return it with its outputs, and its verdict."""
    notebook, names = read(report_template(name), as_version=4), dict[str, Any]()
    panels: list[Any] = []
    verdict: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= given
        if not isinstance(last, ast.Expr):
            continue
        value = eval(compile(ast.Expression(last.value), name, "eval"), names)
        panels += [value] if hasattr(value, "work") else []
        bundle = value._repr_mimebundle_()
        verdict |= bundle.pop(MIME, {})
        kept = {kind: bundle[kind] for kind in ("text/html", "text/plain")}
        cell.outputs.append(new_output("display_data", data=kept))
    for panel in panels:
        panel.work.wait()
    names["wb"].close()
    return notebook, json.loads(json.dumps(verdict))


def page_of(name: str, **given: Any) -> str:
    """Return a notebook's page."""
    notebook, verdict = executed(name, **given)
    where = {"environment": {"kind": "development", "name": name}, "made_at": "2026-05-01T10:00:00"}
    return to_html(notebook, {**where, **verdict}, name)
