"""``lab`` and ``serve``: the notebooks in JupyterLab, or one panel as a page; for a browser on this machine."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import webbrowser
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

import workbench
from workbench.cli.options import Acting, EnvironmentName, Unmask, open_as
from workbench.cli.output import banner, stderr
from workbench.cli.saving import without_outputs
from workbench.errors import Refused, WorkbenchError, unknown

if TYPE_CHECKING:
    from workbench.workbench import Workbench

TOKEN = "WORKBENCH_TOKEN"
SHORTEST = 16  # characters of a token that somebody chose

_PANELS = Path(workbench.__file__).parent / "panels"
_SETTINGS = _PANELS / "lab"  # it asks the world for nothing, and keeps nobody's data in a notebook
_SHARE = (
    _PANELS / "share"
)  # the kernel that is this Python, before any other of that name; the page's template

_START = "00-start.ipynb"
_SAVING = f"{without_outputs.__module__}.{without_outputs.__name__}"

Browser = Annotated[bool, typer.Option(help="Open a browser as well.")]


def lab(
    environment: EnvironmentName = None,
    browser: Browser = True,
    port: Annotated[int, typer.Option(help="Where to listen, on this machine only.")] = 8888,
) -> None:
    """Open JupyterLab on the notebooks, with the environment set."""
    with workbench.open_workbench(environment) as wb:  # a wrong environment shows now, not in the first cell
        banner(wb.environment)
        from workbench.reporting.templates import notebooks_folder

        command = [
            sys.executable,
            "-P",  # a file of one's own is no module of JupyterLab's
            "-m",
            "jupyterlab",
            f"--ServerApp.root_dir={notebooks_folder()}",
            f"--LabApp.default_url=/lab/tree/{_START}",
            # What was open here the last time opens again, and nothing of another JupyterLab's.
            f"--LabApp.workspaces_dir={wb.settings.home.resolve() / 'lab'}",
            f"--FileContentsManager.pre_save_hook={_SAVING}",
            f"--port={port}",
            f"--LabApp.app_settings_dir={_SETTINGS}",
            "--ip=127.0.0.1",
            "--KernelManager.transport_encryption=auto",  # other users of the machine can reach local ports
        ]
        command += [] if browser else ["--no-browser"]
        command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        ended = _run(command, {**os.environ, **_surroundings(wb)})
    raise typer.Exit(4 if ended else 0)


def serve(
    panel: Annotated[str, typer.Argument(help="runs, plans, mappings, tiers, duplicates or preflight.")],
    environment: EnvironmentName = None,
    acting: Acting = None,
    browser: Browser = True,
    port: Annotated[int, typer.Option(help="Where to listen.")] = 8866,
    host: Annotated[
        str, typer.Option(help=f"Where else than on this machine: only with a token in {TOKEN}.")
    ] = "127.0.0.1",
    unmask: Unmask = False,
) -> None:
    """Serve one panel as a page without code, to whoever has the token."""
    token = _token(host)
    # A second of imports that nothing else needs.
    from workbench.panels.serving import PAGES, Served, serve_page

    if panel not in PAGES:
        raise unknown("page", panel, PAGES)
    # A browser is led there by a file that only this user may read, for arguments can be read by all.
    with open_as(environment, acting) as wb, NamedTemporaryFile("w", suffix=".html") as lead:
        banner(wb.environment)
        os.environ.update(_surroundings(wb))  # the kernels inherit them

        from markupsafe import Markup

        def listening(address: str) -> None:
            stderr().print(f"The page is at\n    {address}\nCtrl-C ends it.")
            if browser:
                lead.write(Markup('<meta http-equiv="refresh" content="0;url={}">').format(address))
                lead.flush()
                webbrowser.open(Path(lead.name).as_uri())

        serve_page(Served(panel, unmask), host=host, port=port, token=token, listening=listening)


def _token(host: str) -> str:
    """Return what a browser has to show; refuse to be reached from elsewhere without one that was chosen for it."""
    # By variable, and not among the arguments, which every user of the machine can read.
    given = os.environ.pop(TOKEN, "")
    if given and len(given) < SHORTEST:
        raise Refused(
            f"The token in {TOKEN} has {len(given)} characters; it can be guessed.",
            f"Take {SHORTEST} or more: export {TOKEN}=$(openssl rand -hex 24)",
        )
    if not given and not _here(host):
        raise Refused(
            f"{host} can be reached from other machines, and {TOKEN} holds no token.",
            f"Serve it on 127.0.0.1, or: export {TOKEN}=$(openssl rand -hex 24)",
        )
    return given or secrets.token_hex(24)


def _here(host: str) -> bool:
    """Tell whether nobody but this machine gets there."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


def _surroundings(wb: Workbench) -> dict[str, str]:
    """Say by variables what a kernel's own look at the settings must come to.

    It runs in its notebook's folder; plans, reports and backups belong where the command was given.
    """
    from workbench.settings import config_file

    settings = wb.settings
    found = {
        f"WORKBENCH_{each.upper()}": str(getattr(settings, each)) for each in ("home", "reports", "backups")
    }
    found["WORKBENCH_ENVIRONMENT"] = wb.environment.name
    if settings.operator_named:
        found["WORKBENCH_OPERATOR"] = settings.operator
    if config_file().is_file():
        found["WORKBENCH_CONFIG"] = str(config_file().resolve())
    paths = [str(_SHARE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {**found, "JUPYTER_PATH": os.pathsep.join(paths)}


def _run(command: list[str], variables: dict[str, str]) -> int:
    """Run a server in the foreground, and outlive it: the embedded database is ours to stop.

    Ctrl-C is the server's; it reaches it from the terminal by itself. Whoever ends this process ends it.
    """
    try:
        process = subprocess.Popen(command, env=variables)
    except OSError as error:
        raise WorkbenchError(
            f"JupyterLab could not be started: {error}.", "Run `make lab`, it sets up what is missing."
        ) from None
    before = (
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    )
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
