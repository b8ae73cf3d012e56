"""Every notebook's page without its kernel: its cells run here, one after the other, and rendered like any report."""

from __future__ import annotations

import ast
import json
from typing import Any

from nbformat import NotebookNode, read

from workbench.reporting.html import to_html
from workbench.reporting.templates import report_template
from workbench.reporting.verdict import MIME
from workbench.settings import Settings


def executed(
    name: str, settings: Settings, monkeypatch: Any, **given: Any
) -> tuple[NotebookNode, dict[str, Any]]:
    """Run a notebook's cells in this process on the settings' own club; return it, and its verdict."""
    from nbformat.v4 import new_output

    displayed: list[dict[str, Any]] = []
    panels: list[Any] = []
    verdict: dict[str, Any] = {}
    notebook, names = read(report_template(name), as_version=4), dict[str, Any]()
    environment = next(each for each in settings.environments if each != "demo")
    with monkeypatch.context() as only_now:
        only_now.setattr("IPython.display.display", lambda data, raw: displayed.append(data))
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            tree = ast.parse(cell.source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, name, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"environment": environment, "one_state": True, **given}
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), name, "eval"), names)
                panels += [value] if hasattr(value, "work") else []
                if value is not None:
                    displayed.append(value._repr_mimebundle_())
            for data in displayed:
                verdict |= data.pop(MIME, {})
                kept = {kind: data[kind] for kind in ("text/html", "text/plain")}
                cell.outputs.append(new_output("display_data", data=kept))
            displayed.clear()
        for panel in panels:
            panel.work.wait()
        names["wb"].close()
    return notebook, json.loads(json.dumps(verdict))


def page_of(name: str, settings: Settings, monkeypatch: Any, **given: Any) -> str:
    """Return a notebook's page."""
    notebook, verdict = executed(name, settings, monkeypatch, **given)
    where = {"environment": {"kind": "development", "name": name}}
    return to_html(notebook, {**where, **verdict, "made_at": "2026-05-01T10:00:00"}, name)
