"""``doctor`` and ``lab``: is everything here, and the notebooks, opened."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, ImportReports
from workbench.cli.output import banner, print_json, print_table
from workbench.errors import WorkbenchError


def doctor(
    environment: EnvironmentName = None, json: AsJson = False, import_report: ImportReports = None
) -> None:
    """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
    with workbench.open_workbench(environment, import_reports=import_report or (), one_state=True) as wb:
        found = wb.readiness()
    if json:
        print_json(found)
    else:
        banner(wb.environment)
        print_table(found)
    raise typer.Exit(1 if (found["state"] == "missing").any() else 0)


def lab(
    environment: EnvironmentName = None,
    browser: Annotated[bool, typer.Option(help="Open a browser as well.")] = True,
    port: Annotated[int, typer.Option(help="Where to listen, on this machine only.")] = 8888,
) -> None:
    """Open JupyterLab on the notebooks, with the environment set."""
    with workbench.open_workbench(environment) as wb:  # a wrong environment shows now, not in the first cell
        banner(wb.environment)
        name = wb.environment.name
        from workbench.reporting.templates import notebooks_folder
        from workbench.settings import config_file, load_settings

        surroundings = {
            **os.environ,
            "WORKBENCH_ENVIRONMENT": name,
            "WORKBENCH_HOME": str(load_settings().home),
        }
        if config_file().is_file():
            surroundings["WORKBENCH_CONFIG"] = str(config_file().resolve())
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={notebooks_folder()}",
            f"--port={port}",
        ]
        command += ["--ip=127.0.0.1", *([] if browser else ["--no-browser"])]
        command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            ended = subprocess.run(command, env=surroundings, check=False).returncode
        except OSError as error:
            raise WorkbenchError(
                f"JupyterLab could not be started: {error}.", "Run `make lab`, it sets up what is missing."
            ) from None
    raise typer.Exit(4 if ended not in {0, 130} else 0)
