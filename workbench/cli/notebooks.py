"""The commands that run notebooks: reports, JupyterLab, served pages; and the demo club."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import webbrowser
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import typer

import workbench
from workbench.answer import Answer, Step
from workbench.cli.command import command, open_as
from workbench.cli.options import pairs
from workbench.cli.output import Advance, banner, progress, stderr
from workbench.errors import Refused, WorkbenchError, unknown
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.reporting.runner import ReportResult
    from workbench.workbench import Workbench

TOKEN = "WORKBENCH_TOKEN"
MIN_TOKEN = 16  # characters

_LAB_SETTINGS = Path(workbench.__file__).parent / "panels" / "lab"


@command("report", "name", "parameter", "waive", "import_report", "unmask", one_state=False)
def report(wb: Workbench, name: str, parameter: list[str], waive: list[str], advance: Advance) -> Answer:
    """Run a report: notebook, HTML page and JSON verdict."""
    from workbench.checks.registry import read_waivers

    parameters: dict[str, Any] = {**pairs(parameter, "--parameter", "KEY VALUE")}
    if waive:
        parameters["waive"] = [f"{check}={reason}" for check, reason in read_waivers(waive).items()]
    result = wb.report(name, parameters, progress=advance)
    files = paths_below([result.html, result.notebook, result.json])
    is_open = any(finding["open"] for finding in result.verdict["findings"])
    headline = "\n".join((f"{name}: {result.verdict['status']}", *files))
    return Answer(headline, facts=_report_facts(result), code=int(is_open))


def _report_facts(result: ReportResult) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "report": str(result.html),
        "notebook": str(result.notebook),
        "json": str(result.json),
        "status": verdict["status"],
        "headline": verdict["headline"],
        "counts": verdict.get("counts", {}),
    }


@command("lab", "environment", "browser", "port", opens=False, port=8888)
def lab(environment: str | None, browser: bool, port: int) -> None:
    """Open JupyterLab on the notebooks."""
    with workbench.open_workbench(environment) as wb:  # a wrong environment fails here, not in the first cell
        banner(wb.environment)
        from workbench.reporting.templates import notebooks_folder

        arguments = [
            *(sys.executable, "-P", "-m", "jupyterlab"),  # -P: the working folder is not on the path
            f"--ServerApp.root_dir={notebooks_folder()}",
            "--LabApp.default_url=/lab/tree/00-start.ipynb",
            f"--LabApp.workspaces_dir={wb.settings.home.resolve() / 'lab'}",
            f"--FileContentsManager.pre_save_hook={clear_outputs.__module__}.{clear_outputs.__name__}",
            f"--LabApp.app_settings_dir={_LAB_SETTINGS}",
            f"--port={port}",
            "--ip=127.0.0.1",
            "--KernelManager.transport_encryption=auto",  # other users of the machine can reach local ports
        ]
        arguments += ["--no-browser"] * (not browser)
        arguments += ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
        failed = _run(arguments, {**os.environ, **_kernel_variables(wb)})
    raise typer.Exit(4 if failed else 0)


def clear_outputs(model: dict[str, Any], **_: Any) -> None:
    """Clear the outputs of a notebook that JupyterLab is about to save, because they hold members' data.

    Parameters
    ----------
    model : dict
        The contents manager's model of the file; changed in place.
    """
    if model.get("type") != "notebook" or not model.get("content"):
        return
    notebook = model["content"]
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        cell["metadata"].pop("trusted", None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    metadata = notebook["metadata"]
    metadata.pop("widgets", None)
    if metadata.get("kernelspec", {}).get("name") == "python3":
        metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    if "name" in metadata.get("language_info", {}):
        metadata["language_info"] = {"name": metadata["language_info"]["name"]}


_SERVE = ("panel", "environment", "acting", "browser", "port", "host", "unmask")


@command("serve", *_SERVE, opens=False, port=8866)
def serve(
    panel: str, environment: str | None, acting: str | None, browser: bool, port: int, host: str, unmask: bool
) -> None:
    """Serve the panels as a web page, protected by a token."""
    token = _token(host)
    from workbench.panels import PAGES
    from workbench.panels.serving import Served, serve_page

    if panel not in PAGES:
        raise unknown("page", panel, PAGES)
    # The browser gets the token from a private file: arguments are visible to other users.
    with open_as(environment, acting) as wb, NamedTemporaryFile("w", suffix=".html") as redirect:
        banner(wb.environment)
        os.environ.update(_kernel_variables(wb))  # inherited by the kernels

        from markupsafe import Markup

        def listening(address: str) -> None:
            stderr().print(f"The page is at\n    {address}\nPress Ctrl-C to stop.")
            if browser:
                redirect.write(Markup('<meta http-equiv="refresh" content="0;url={}">').format(address))
                redirect.flush()
                webbrowser.open(Path(redirect.name).as_uri())

        serve_page(Served(panel, unmask), host=host, port=port, token=token, listening=listening)


def _token(host: str) -> str:
    """Return the token for the page; other machines need one that was chosen on purpose."""
    token = os.environ.pop(TOKEN, "")
    example = f"export {TOKEN}=$(openssl rand -hex 24)"
    if token and len(token) < MIN_TOKEN:
        raise Refused(
            f"{TOKEN} is too short ({len(token)} characters): it can be guessed.", f"For example: {example}"
        )
    if not token and not _is_loopback(host):
        raise Refused(
            f"Other machines can reach {host}, and {TOKEN} holds no token.",
            f"Serve on 127.0.0.1, or set a token: {example}",
        )
    return token or secrets.token_hex(24)


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _kernel_variables(wb: Workbench) -> dict[str, str]:
    """Return the environment variables for Jupyter: the settings, and where to find the kernel."""
    from workbench.reporting.runner import SHARE, kernel_variables

    paths = [str(SHARE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {**kernel_variables(wb.environment.name, wb.settings), "JUPYTER_PATH": os.pathsep.join(paths)}


def _run(arguments: list[str], variables: dict[str, str]) -> int:
    """Run a server in the foreground and wait for it, whatever signal arrives."""
    try:
        process = subprocess.Popen(arguments, env=variables)
    except OSError as error:
        raise WorkbenchError(
            f"JupyterLab could not be started: {error}.", "`make lab` installs what is missing."
        ) from None
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the server as well
    terminate = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


@command("demo", "members", "dialect", "seed", "healthy", opens=False)
def demo(members: int, dialect: Any, seed: int, healthy: bool) -> Answer:
    """Create a broken club to practise on, and a report about it."""
    from workbench.demo.breakages import BREAKAGES
    from workbench.demo.making import make_demo
    from workbench.settings import DEMO, load_settings

    settings = load_settings()
    planted = () if healthy else tuple(BREAKAGES)
    with progress() as advance:
        advance("creating the club", 0, 3)
        club = make_demo(settings, dialect=dialect, members=members, seed=seed, breakages=planted)
        advance("checking it", 1, 3)
        with workbench.open_workbench(DEMO, one_state=True) as wb:
            runs, findings = wb.session.find_runs(), wb.check().findings
            advance("writing the report", 2, 3)
            result = wb.report("post-recovery")
    bad = sum(finding.status in {"fail", "warn"} for finding in findings)
    example = next((run for run in runs if run.status != "completed"), runs[-1])
    return Answer(
        f"A club of {members:,} members ({dialect} dialect) with {len(runs)} import runs and {len(club.truths)} faults.\n"
        f"{bad} of {len(findings)} checks found something. {result.verdict['headline']}\n"
        f"Verification report: {paths_below([result.html])[0]}",
        next_steps=[Step("", "runs"), Step("", "check"), Step("", f"report run -p run_id {example.run}")],
        facts={
            "planted": sorted(truth.breakage for truth in club.truths),
            "members": members,
            "dialect": dialect,
            "runs": len(runs),
            "findings": bad,
            **_report_facts(result),
        },
    )
