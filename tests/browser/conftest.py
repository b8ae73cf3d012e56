"""JupyterLab and the pages of `workbench serve`, driven in a real Chromium as a person would.

What is compared in the end is the database, not the page alone.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest

from tests.conftest import Ground
from workbench.database.address import parse_address

TOKEN = "the-token-of-the-tests"
DESKS: pytest.StashKey[list[Any]] = pytest.StashKey()
PATIENCE = 60_000  # milliseconds; these machines are slow at times, and no test is about how fast


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Keep what every page showed when a test failed; the folder is the test's own."""
    report = yield
    if report.when == "call" and report.failed:
        for desk in item.stash.get(DESKS, []):
            for number, page in enumerate(desk.pages):
                page.screenshot(path=desk.folder / f"failed-{number}.png")
                report.sections.append(("page", str(desk.folder / f"failed-{number}.png")))
    return report


@dataclass
class Desk:
    """A folder with a club in it, and servers that an operator would have started there."""

    folder: Path
    club: Ground
    chromium: Any
    _open: ExitStack
    pages: list[Any] = field(default_factory=list)
    servers: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def lab(self, notebook: str) -> Lab:
        """Open a notebook in a JupyterLab of `workbench lab`."""
        # The notebooks are the repository's own: a slow test must not leave its outputs in them.
        kept = self.folder / ".jupyter/lab/user-settings/@jupyterlab/docmanager-extension"
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "plugin.jupyterlab-settings").write_text('{"autosave": false}')
        port = free_port()
        address = self.start("lab", "--no-browser", "--port", str(port), port=port)
        return Lab(self, address, notebook)

    def serve(self, panel: str, *arguments: str) -> Any:
        """Open the page of a panel that `workbench serve` serves."""
        address = self.serving(panel, *arguments)
        return self.page(f"{address}/?token={TOKEN}")

    def serving(self, panel: str, *arguments: str) -> str:
        """Serve a panel, and return its address, without the token."""
        port = free_port()
        return self.start("serve", panel, "--no-browser", "--port", str(port), *arguments, port=port)

    def start(self, *arguments: str, port: int) -> str:
        """Start a command that serves, wait until it does, and return its address; it is stopped in the end."""
        log = (self.folder / f"{arguments[0]}-{port}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments, "--environment", "club"],
            cwd=self.folder,
            env=self.surroundings(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.servers.append(process.pid)
        self._open.callback(log.close)
        self._open.callback(_stop, process)
        until = monotonic() + PATIENCE / 1000
        while monotonic() < until:
            if process.poll() is not None:
                raise AssertionError(Path(log.name).read_text())
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                sleep(0.1)
            else:
                return f"http://127.0.0.1:{port}"
        raise AssertionError(Path(log.name).read_text())

    def asked_elsewhere(self) -> list[str]:
        """Return the addresses that pages asked for, and that are not this machine's."""
        local = ("http://127.0.0.1:", "data:", "blob:", "about:")
        return [address for address in self.asked if not address.startswith(local)]

    def kernels(self) -> list[psutil.Process]:
        """Return the kernels of the servers, the latest last."""
        below = [child for pid in self.servers for child in psutil.Process(pid).children(recursive=True)]
        kernels = [child for child in below if "-f" in child.cmdline()]
        return sorted(kernels, key=lambda kernel: kernel.create_time())

    def surroundings(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
        tokens = {"JUPYTER_TOKEN": TOKEN, "WORKBENCH_TOKEN": TOKEN}
        own = {"HOME": str(self.folder), "CLUB_URL": self.club.url, **tokens}
        return {**kept, **own}

    def page(self, address: str) -> Any:
        """Open an address in a browser of its own: another person's, for what the server can tell."""
        context = self.chromium.new_context(viewport={"width": 1400, "height": 1200})
        self._open.callback(context.close)
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: self.asked.append(request.url))
        page = context.new_page()
        self.pages.append(page)
        page.goto(address)
        return page


class Lab:
    """A notebook in JupyterLab."""

    def __init__(self, desk: Desk, address: str, notebook: str) -> None:
        self.desk, self.address, self.notebook = desk, address, notebook
        self.page = desk.page(f"{address}/lab/tree/{notebook}?token={TOKEN}")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def run_all(self) -> None:
        """Run every cell; JupyterLab drops the request now and then while the kernel starts."""
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        for _attempt in range(12):
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_text("Run All Cells", exact=True).click()
            self.page.wait_for_timeout(PATIENCE / 30)
            until = monotonic() + 3 * PATIENCE / 1000
            while prompts.filter(has_text="[*]").count() and monotonic() < until:
                self.page.wait_for_timeout(500)
            if re.search(r"\d", prompts.last.inner_text()):  # else what was asked was dropped on its way
                self.page.locator(".wb-panel").first.wait_for()
                return
        raise AssertionError("JupyterLab never ran the cells")

    def press(self, title: str) -> None:
        """Press a button once it can be pressed."""
        press(self.page, title)


@pytest.fixture
def desk_of(request: pytest.FixtureRequest, tmp_path: Path, chromium: Any) -> Iterator[Callable[..., Desk]]:
    """Lay a desk for a club: its workbench.toml, and whatever servers are started on it."""
    with ExitStack() as opened:

        def lay(club: Ground, kind: str = "development") -> Desk:
            where = parse_address(club.url, named="the test's URL").where
            (tmp_path / "workbench.toml").write_text(
                f'operator = "dana"\n[environments.club]\nkind = "{kind}"\nurl_env = "CLUB_URL"\n'
                f'address = "{where}"\n'
                f'import_reports = ["{club.club.imports}"]\ntier_mapping = "{club.club.imports}/membership.yaml"\n'
                "event_capacity_limit = 100\n"
            )
            laid = Desk(tmp_path, club, chromium, opened)
            request.node.stash.setdefault(DESKS, []).append(laid)
            return laid

        yield lay


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and its kernels at once; how they end when they are asked to is tests/test_serving.py's."""
    servers = [psutil.Process(process.pid)] if process.poll() is None else []
    ended = [child for server in servers for child in (*server.children(recursive=True), server)]
    for child in ended:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    psutil.wait_procs(ended, 20)


def press(page: Any, title: str) -> None:
    """Press a button once it can be pressed."""
    # By its text: to a browser the icon is part of a button's name.
    page.locator("button:enabled", has_text=re.compile(rf"^\s*{re.escape(title)}$")).click()


def in_table(page: Any, caption: str, key: str) -> None:
    """Choose the row of a key in a table, as a person does: search for it, then click on it."""
    table = page.locator(".wb-choose", has=page.locator(".wb-caption", has_text=caption)).first
    cell = table.locator("tbody td", has_text=key).first
    table.locator("tbody td").first.wait_for()
    if not cell.is_visible():  # a table of one page has no field to search in
        table.get_by_label("Search:").fill(key)
    cell.click()
