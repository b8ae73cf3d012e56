"""Notebooks: run as reports, opened in JupyterLab, served as pages; and the demo club to try them on."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Literal

import typer

import workbench
from workbench.answer import Answer, Step
from workbench.cli.command import answers, open_as
from workbench.cli.options import pairs
from workbench.cli.output import Advance, banner, progress, stderr
from workbench.cli.saving import without_outputs
from workbench.errors import Refused, WorkbenchError, unknown
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.reporting.runner import ReportResult
    from workbench.workbench import Workbench

TOKEN = "WORKBENCH_TOKEN"
SHORTEST = 16  # characters of a token that somebody chose

_PANELS = Path(workbench.__file__).parent / "panels"
_SETTINGS = _PANELS / "lab"  # it asks the world for nothing, and keeps nobody's data in a notebook
_START = "00-start.ipynb"
_SAVING = f"{without_outputs.__module__}.{without_outputs.__name__}"


@answers("report", "import_report", "unmask", one_state=False)
def report(
    wb: Workbench, name: str, parameter: Sequence[str] = (), waive: Sequence[str] = (), *, advance: Advance
) -> Answer:
    """Run a report notebook: an executed notebook, a self-contained HTML file and a JSON verdict."""
    from workbench.checks.rules import read_waivers

    parameters: dict[str, Any] = {**pairs(parameter, "--parameter", "KEY VALUE")}
    if waive:
        parameters["waive"] = [f"{check}={reason}" for check, reason in read_waivers(waive).items()]
    result = wb.report(name, parameters, progress=advance)
    files = paths_below([result.html, result.notebook, result.json])
    is_open = any(finding["open"] for finding in result.verdict["findings"])
    headline = "\n".join((f"{name}: {result.verdict['status']}", *files))
    return Answer(headline, facts=_report_facts(result), code=int(is_open))


def _report_facts(result: ReportResult) -> dict[str, Any]:
    verdict, files = result.verdict, {"report": result.html, "notebook": result.notebook, "json": result.json}
    facts = {
        "status": verdict["status"],
        "headline": verdict["headline"],
        "counts": verdict.get("counts", {}),
    }
    return {**{name: str(path) for name, path in files.items()}, **facts}


@answers("lab", opens=False)
def lab(environment: str | None = None, browser: bool = True, port: int = 8888) -> None:
    """Open JupyterLab on the notebooks, with the environment set."""
    with workbench.open_workbench(environment) as wb:  # a wrong environment shows now, not in the first cell
        banner(wb.environment)
        from workbench.reporting.templates import notebooks_folder

        words = [
            *(
                sys.executable,
                "-P",
                "-m",
                "jupyterlab",
            ),  # -P: a file of one's own is no module of JupyterLab's
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
        words += ["--no-browser"] * (not browser)
        words += ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
        ended = _run(words, {**os.environ, **_surroundings(wb)})
    raise typer.Exit(4 if ended else 0)


@answers("serve", opens=False)
def serve(
    panel: str = "runs",
    environment: str | None = None,
    acting: str | None = None,
    browser: bool = True,
    port: int = 8866,
    host: str = "127.0.0.1",
    unmask: bool = False,
) -> None:
    """Serve the panels as a page without code, to whoever has the token; begin with the one that is named."""
    token = _token(host)
    # Seconds of imports that nothing else needs.
    from workbench.panels import PAGES
    from workbench.panels.serving import Served, serve_page

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
    with suppress(ValueError):
        return host == "localhost" or ip_address(host).is_loopback
    return False


def _surroundings(wb: Workbench) -> dict[str, str]:
    """Say by variables what a kernel's own look at the settings must come to, and where Jupyter finds that kernel."""
    from workbench.reporting.runner import SHARE, kernel_variables

    paths = [str(SHARE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {**kernel_variables(wb.environment.name, wb.settings), "JUPYTER_PATH": os.pathsep.join(paths)}


def _run(words: list[str], variables: dict[str, str]) -> int:
    """Run a server in the foreground, and outlive it: the embedded database is ours to stop.

    Ctrl-C is the server's; it reaches it from the terminal by itself. Whoever ends this process ends it.
    """
    try:
        process = subprocess.Popen(words, env=variables)
    except OSError as error:
        raise WorkbenchError(
            f"JupyterLab could not be started: {error}.", "Run `make lab`, it sets up what is missing."
        ) from None
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


@answers("demo", opens=False)
def demo(
    members: int = 2000,
    dialect: Literal["guide", "application"] = "application",
    seed: int = 1,
    healthy: bool = False,
) -> Answer:
    """Make a broken club on the embedded server, investigate it and leave a verification report."""
    from workbench.demo.breakages import BREAKAGES
    from workbench.demo.making import make_demo
    from workbench.settings import DEMO, load_settings

    settings = load_settings()
    planted = () if healthy else tuple(BREAKAGES)
    with progress() as advance:
        advance("making the club", 0, 3)
        demo_club = make_demo(settings, dialect=dialect, members=members, seed=seed, breakages=planted)
        advance("investigating it", 1, 3)
        with workbench.open_workbench(DEMO, one_state=True) as wb:  # by the settings that it has now
            runs, findings = wb.session.find_runs(), wb.check().findings
            advance("writing the report", 2, 3)
            result = wb.report("post-recovery")
    bad = sum(finding.status in {"fail", "warn"} for finding in findings)
    club = {"members": members, "dialect": dialect, "runs": len(runs), "findings": bad}
    telling = next((run for run in runs if run.status != "completed"), runs[-1])
    return Answer(
        f"A club of {members:,} members ({dialect} dialect), {len(runs)} import runs, {len(demo_club.truths)} faults planted.\n"
        f"{len(findings)} checks: {bad} found something.\n{result.verdict['headline']}\n"
        f"Verification report: {paths_below([result.html])[0]}",
        next_steps=[Step("", "runs"), Step("", "check"), Step("", f"report run -p run_id {telling.run}")],
        facts={
            "planted": sorted(truth.breakage for truth in demo_club.truths),
            **club,
            **_report_facts(result),
        },
    )
