"""A notebook, executed in this very interpreter, whatever kernels are registered."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nbformat import NotebookNode

from workbench.errors import DocumentError
from workbench.settings import Settings, config_file

SHARE = Path(__file__).parents[1] / "panels" / "share"
"""Where Jupyter finds the kernel that is this Python, before any other of that name."""


def execute(
    notebook: NotebookNode, parameters: dict[str, Any], variables: dict[str, str], begin: Callable[..., None]
) -> tuple[NotebookNode, Exception | None]:
    """Execute a notebook; return it with its outputs, and what stopped it if something did.

    Parameters
    ----------
    parameters : dict
        By name, of the declared types.
    variables : dict of str to str
        For the kernel, besides this process's own.
    begin : callable
        Told the cell, as ``cell`` and ``cell_index``, before it is run.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.parameterize import parameterize_notebook

    notebook = parameterize_notebook(notebook, parameters)
    del notebook.metadata["papermill"]
    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(SHARE / "kernels")]),
        transport_encryption="auto",  # what is shown passes through local ports, which others here can reach
    )
    client = NotebookClient(notebook, km=manager, timeout=None, on_cell_start=begin)
    # Settings of IPython and matplotlib, and start-up files, have no say in a report.
    ours = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONSTARTUP")}
    with TemporaryDirectory(prefix="workbench-ipython-") as own:
        start = Path(own, "profile_default", "startup", "settings.py")
        start.parent.mkdir(parents=True)
        start.write_text("import matplotlib; matplotlib.rcdefaults()", encoding="utf-8")
        try:
            # On its way out a kernel tells the terminal that it was interrupted; nobody has to know.
            surroundings = {**ours, **variables, "IPYTHONDIR": own}
            client.execute(env=surroundings, stderr=subprocess.DEVNULL, cleanup_kc=True)
        except (CellExecutionError, DeadKernelError, RuntimeError) as error:
            return notebook, error
    return notebook, None


def kernel_variables(
    environment: str, settings: Settings, import_reports: Sequence[Path] = ()
) -> dict[str, str]:
    """Say by variables what the kernel's own look at the settings must come to, in whatever folder it runs.

    The settings hold the *name* of the variable with the database URL, and the kernel inherits that variable: the
    connection itself never travels, nor do the machine's paths get into the notebook as parameters. `DocumentError`
    for an import report that is not there.
    """
    if missing := next((path for path in import_reports if not path.exists()), None):
        raise DocumentError(f"The import report {missing} is not there.", "Check its name.")
    folders = {name: getattr(settings, name).resolve() for name in ("home", "reports", "backups")}
    variables = {f"WORKBENCH_{name.upper()}": str(folder) for name, folder in folders.items()}
    variables |= {"WORKBENCH_ENVIRONMENT": environment, "PYTHONIOENCODING": "utf-8"}
    if settings.operator_named:  # who is merely logged in is not named by being passed on
        variables["WORKBENCH_OPERATOR"] = settings.operator
    if config_file().is_file():
        variables["WORKBENCH_CONFIG"] = str(config_file().resolve())
    if import_reports:
        chosen = settings.environment(environment)
        files = (*chosen.import_reports, *(path.resolve() for path in import_reports))
        chosen = chosen.model_copy(update={"import_reports": files})
        known = chosen.model_dump(mode="json", exclude_none=True)
        variables["WORKBENCH_ENVIRONMENTS"] = json.dumps({environment: known})
    return variables
