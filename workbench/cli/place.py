"""``doctor`` and ``lab``: is everything here, and the notebooks, opened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, ImportReports
from workbench.cli.output import banner, print_json, print_table
from workbench.errors import WorkbenchError

# It asks the world for nothing, starts the kernel without a question, and keeps nobody's data in a notebook.
_SETTINGS = Path(workbench.__file__).parent / "panels" / "lab"


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

        settings = load_settings()
        # A kernel runs in its notebook's folder; plans, reports and backups belong where the command was given.
        folders = {each: str(getattr(settings, each).resolve()) for each in ("home", "reports", "backups")}
        surroundings = {
            **os.environ,
            "WORKBENCH_ENVIRONMENT": name,
            **{f"WORKBENCH_{each.upper()}": path for each, path in folders.items()},
        }
        if config_file().is_file():
            surroundings["WORKBENCH_CONFIG"] = str(config_file().resolve())
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={notebooks_folder()}",
            f"--port={port}",
            f"--LabApp.app_settings_dir={_SETTINGS}",
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
