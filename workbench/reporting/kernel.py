"""A notebook, executed in this very interpreter, whatever kernels are registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from workbench.errors import DocumentError
from workbench.settings import Settings, config_file

# The folder in which the command was given may hold files that are named like modules: it is searched last. Settings
# of IPython and matplotlib, and start-up files, have no say in a report.
_START = """
import os, sys
sys.path.sort(key=os.getcwd().__eq__)
import matplotlib
from ipykernel.kernelapp import IPKernelApp
class ReportKernel(IPKernelApp):
    def load_config_file(self, *_, **__): pass
    def init_code(self): matplotlib.rcdefaults()
ReportKernel.launch_instance()
"""
_NOT_FOR_IT = {"IPYTHONDIR", "MPLBACKEND", "PYTHONSTARTUP"}


class _Kernel(AsyncKernelManager):
    """Starts ``sys.executable``; a kernel spec of the user's that says ``python3`` may be another Python."""

    variables: dict[str, str]

    @property
    def kernel_spec(self) -> KernelSpec:
        """A spec that is found nowhere on disk."""
        command = [sys.executable, "-P", "-c", _START, "-f", "{connection_file}"]
        encrypted = {"supported_encryption": ["curve"]}
        return KernelSpec(argv=command, display_name="Python 3", language="python", metadata=encrypted)

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        """Start it with the variables that let it find what this process found."""
        ours = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
        # On its way out a kernel tells the terminal that it was interrupted; nobody has to know.
        options |= {"env": {**ours, **self.variables}, "stderr": subprocess.DEVNULL}
        # What is shown passes through local ports, which other users of the machine can reach.
        await super().start_kernel(**{**options, "transport_encryption": "auto"})


def execute(
    path: Path, parameters: dict[str, Any], variables: dict[str, str], begin: Callable[..., None]
) -> tuple[NotebookNode, Exception | None]:
    """Execute a notebook; return it, and what stopped it if something did.

    Parameters
    ----------
    path : Path
        Of the notebook; it is not changed.
    parameters : dict
        By name, of the declared types.
    variables : dict of str to str
        For the kernel, besides this process's own.
    begin : callable
        Told the cell, as ``cell`` and ``cell_index``, before it is run.
    """
    notebook: NotebookNode = parameterize_notebook(load_notebook_node(str(path)), parameters)
    del notebook.metadata["papermill"]
    kernel = type("ReportKernel", (_Kernel,), {"variables": variables})
    client = NotebookClient(notebook, timeout=None, kernel_manager_class=kernel, on_cell_start=begin)
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, RuntimeError) as error:
        return notebook, error
    return notebook, None


def kernel_variables(environment: str, settings: Settings, import_reports: list[Path]) -> dict[str, str]:
    """Say by variables what the kernel's own look at the settings must come to.

    The settings hold the *name* of the variable with the database URL, and the kernel inherits that variable: the
    connection itself never travels, nor do the machine's paths get into the notebook as parameters. `DocumentError`
    for an import report that is not there.
    """
    for path in import_reports:
        if not path.exists():
            raise DocumentError(f"The import report {path} is not there.", "Check its name.")
    chosen = settings.environment(environment)
    files = (*chosen.import_reports, *(path.resolve() for path in import_reports))
    chosen = chosen.model_copy(update={"import_reports": files})
    return {
        "WORKBENCH_ENVIRONMENT": environment,
        "WORKBENCH_HOME": str(settings.home.resolve()),
        # Who is merely logged in is not named by being passed on.
        **({"WORKBENCH_OPERATOR": settings.operator} if settings.operator_named else {}),
        "WORKBENCH_ENVIRONMENTS": json.dumps(
            {environment: chosen.model_dump(mode="json", exclude_none=True)}
        ),
        "PYTHONIOENCODING": "utf-8",
        **({"WORKBENCH_CONFIG": str(config_file().resolve())} if config_file().is_file() else {}),
    }
