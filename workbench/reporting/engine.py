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
    from papermill.execute import ERROR_MARKER_TAG
finally:
    if _blocked:
        del sys.modules[_GRAMMAR]

__all__ = [
    "ERROR_MARKER_TAG",
    "DeadKernelError",
    "NotebookNode",
    "PapermillExecutionError",
    "as_text",
    "execute_notebook",
    "inspect_notebook",
    "new_code_cell",
    "new_markdown_cell",
    "new_notebook",
    "read",
]


def read(path: Any) -> NotebookNode:
    """Read a notebook."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call, unused-ignore]
    return notebook


def as_text(notebook: NotebookNode) -> str:
    """Return a notebook as its file's text."""
    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call, unused-ignore]
