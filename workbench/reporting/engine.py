"""Papermill and nbformat, imported without two seconds of work that nobody here needs.

nbformat imports jsonschema, which builds a grammar of internationalised web addresses when it can,
in order to validate them. Notebooks have none; without the grammar jsonschema leaves that out.
"""

from __future__ import annotations

import sys
from typing import Any

_GRAMMAR: Any = "rfc3987_syntax"

_blocked = _GRAMMAR not in sys.modules
if _blocked:
    sys.modules[_GRAMMAR] = None  # type: ignore[assignment]
try:
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from nbformat import NotebookNode
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
    from papermill import PapermillExecutionError, execute_notebook, inspect_notebook
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.execute import ERROR_MARKER_TAG
finally:
    if _blocked:
        del sys.modules[_GRAMMAR]

__all__ = [
    "ERROR_MARKER_TAG",
    "NotebookNode",
    "as_text",
    "execute",
    "inspect_notebook",
    "new_code_cell",
    "new_markdown_cell",
    "new_notebook",
    "read",
]


class _KeepingEngine(NBClientEngine):  # type: ignore[misc, unused-ignore]
    """Hands out the notebook it executes, which papermill drops when the kernel dies."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, kept: list[NotebookNode], **options: Any
    ) -> Any:
        kept.append(nb_man.nb)
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register("workbench", _KeepingEngine)


def execute(path: Any, parameters: dict[str, Any], **options: Any) -> tuple[NotebookNode, Exception | None]:
    """Execute a notebook with papermill.

    Parameters
    ----------
    path : Path
        Of the notebook; it is not changed.
    parameters : dict
        By name, of the declared types.
    **options
        For nbclient.

    Returns
    -------
    tuple of NotebookNode and Exception or None
        What was executed, and what stopped it if something did.
    """
    kept: list[NotebookNode] = []
    try:
        execute_notebook(
            str(path),
            None,
            parameters,
            engine_name="workbench",
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            kept=kept,
            **options,
        )
    except (PapermillExecutionError, DeadKernelError, RuntimeError) as error:
        if not kept:
            raise
        return kept[0], error
    return kept[0], None


def read(path: Any) -> NotebookNode:
    """Read a notebook."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call, unused-ignore]
    return notebook


def as_text(notebook: NotebookNode) -> str:
    """Return a notebook as its file's text."""
    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call, unused-ignore]
